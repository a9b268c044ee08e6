"""Random pictures: they keep what a gene looks like but for its place, and p-values are uniform."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import kstest, spearmanr
from sklearn.metrics import roc_auc_score
from tests.models.spacex_helpers import programmes, settings, striped

from napari_stmask.core.progress import drain
from napari_stmask.core.result import Fit
from napari_stmask.core.section import Section
from napari_stmask.features.gene_images import picture_values
from napari_stmask.features.graph import knn_graph, morans_i
from napari_stmask.models import get
from napari_stmask.models.spacex import nulls
from napari_stmask.models.spacex.nulls import null_vectors_steps, shuffled
from napari_stmask.models.spacex.spatial import Crossed
from napari_stmask.models.spacex.state import GeneModel


@pytest.fixture(scope="module")
def section() -> Section:
    return striped(9, 10, genes=40)


@pytest.fixture(scope="module")
def model(section: Section) -> GeneModel:
    found = drain(get("spacex").fit([section], settings(svg_draws=0)))
    assert isinstance(found.state, GeneModel)
    return found.state


# Shuffling


def test_shuffled_values_keep_their_marginals() -> None:
    values = sp.random(50, 30, density=0.3, format="csc", random_state=0, dtype=np.float32)
    before = values.copy()
    found = shuffled(values, np.random.default_rng(0))
    assert (values != before).nnz == 0
    assert found.shape == values.shape
    dense, original = found.toarray(), values.toarray()
    np.testing.assert_array_equal(np.sort(dense, axis=0), np.sort(original, axis=0))
    assert (dense != original).any(axis=0).all()
    # Each gene by itself: two equal genes are shuffled differently.
    twins = sp.hstack([values[:, :1], values[:, :1]], format="csc")
    made = shuffled(twins, np.random.default_rng(1)).toarray()
    assert not np.array_equal(made[:, 0], made[:, 1])


def test_every_value_comes_everywhere_equally_often() -> None:
    column = np.array([[0.0], [0.0], [1.0], [2.0]], dtype=np.float32)
    values = sp.csc_matrix(np.tile(column, (1, 24_000)))
    made = shuffled(values, np.random.default_rng(0)).toarray()
    kinds, number = np.unique(made, axis=1, return_counts=True)
    assert kinds.shape[1] == 12  # 4! / 2! arrangements
    assert ((number - 2000) ** 2 / 2000).sum() < 31.3  # chi-square, 11 degrees, p = 0.001


@pytest.mark.parametrize("null", ["permutation", "zinb"])
def test_null_vectors(section: Section, model: GeneModel, null: str) -> None:
    values, maker = picture_values(section, model.columns(section)), model.maker(section)
    before = values.copy()
    one, same, other = (
        drain(null_vectors_steps(model, maker, values, draws=3, null=null, seed=seed))
        for seed in (0, 0, 1)
    )
    assert one.shape == (3, 40, model.encoder.width)
    assert one.dtype == np.float32
    assert np.isfinite(one).all()
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    assert not np.allclose(one[0], one[1])
    assert (values != before).nnz == 0


def test_null_vectors_are_encoded_shuffles(section: Section, model: GeneModel) -> None:
    values, maker = picture_values(section, model.columns(section)), model.maker(section)
    found = drain(null_vectors_steps(model, maker, values, draws=2, seed=3))
    rng = np.random.default_rng([3, 7])
    for draw in range(2):
        expected = drain(model.encode_steps(maker, shuffled(values, rng)))
        np.testing.assert_allclose(found[draw], expected, atol=1e-6)


def test_blocks_fill_all_genes_and_count_steadily(
    section: Section, model: GeneModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nulls, "_BLOCK", 16)
    values, maker = picture_values(section, model.columns(section)), model.maker(section)
    steps = null_vectors_steps(model, maker, values, draws=3)
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            found = stop.value
            break
    assert np.isfinite(found).all()
    assert (np.abs(found).max(axis=2) > 0).all()
    counted = [event.step for event in events]
    assert counted == sorted(counted)
    assert events[-1].step == events[-1].total == 3 * 40


def test_zinb_counts_have_the_moments_of_the_genes(section: Section, model: GeneModel) -> None:
    """Drawn directly: many draws of one gene average to its mean on the normalised scale."""
    values = picture_values(section, model.columns(section))[:, :4]
    many = sp.hstack([values] * 500, format="csc")
    law = nulls.zinb_moments(*nulls.column_moments(nulls._counts(many)))
    drawn = nulls._simulated(law, slice(0, many.shape[1]), many, np.random.default_rng(0))
    assert drawn.dtype == np.float32
    mean = np.expm1(drawn.toarray()).mean(axis=0).reshape(500, 4).mean(axis=0)
    np.testing.assert_allclose(mean, np.expm1(values.toarray()).mean(axis=0), rtol=0.03)


# Calibration through the network


@pytest.fixture(scope="module")
def answered() -> tuple[Section, np.ndarray, Fit]:
    """The generated section, its programmes, and a short training."""
    section, programme, _ = programmes(24, 40, 700, seed=3)
    params = settings(
        min_steps=200, token_dim=16, batch=64, batch_cluster=64, svg_draws=20, gene_modules=20
    )
    return section, programme, drain(get("spacex").fit([section], params))


def test_p_values_of_genes_learned_from_are_uniform_without_a_pattern(
    answered: tuple[Section, np.ndarray, Fit],
) -> None:
    """Half of the genes follow nothing, and the network has learned from their pictures too."""
    _, programme, fit = answered
    plain = np.isfinite(fit.varm).all(axis=1) & (programme < 0)
    p, effect = fit.var["svg_p"][plain], fit.var["svg_effect"][plain]
    assert plain.sum() >= 300
    assert kstest(p, "uniform").pvalue > 0.01
    assert (p < 0.05).mean() < 0.08
    assert (fit.var["svg_q"][plain] < 0.05).mean() < 0.05
    assert np.median(effect) == pytest.approx(1, abs=0.15)


def test_each_half_of_the_genes_is_projected_by_the_other() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.normal(size=(60, 40)).astype(np.float32)
    one = Crossed.of(pictures, 0)
    assert np.bincount(one.half).tolist() == [30, 30]
    changed = pictures.copy()
    own = one.half == 0
    changed[own] = rng.normal(size=(30, 40))
    other = Crossed.of(changed, 0)
    # Components for the first half come from the second, which is the same.
    np.testing.assert_array_equal(one.components[0], other.components[0])
    assert not np.allclose(one.components[1], other.components[1])
    whole = one.project(pictures, slice(0, 60))
    np.testing.assert_allclose(whole[own], pictures[own] @ one.components[0].T, rtol=1e-4)
    part = one.project(pictures[10:20], slice(10, 20))
    np.testing.assert_allclose(part, whole[10:20], atol=1e-5)


def test_spatial_genes_are_found_as_well_as_by_morans_i(
    answered: tuple[Section, np.ndarray, Fit],
) -> None:
    section, programme, fit = answered
    learned = np.isfinite(fit.varm).all(axis=1)
    spatial = programme[learned] >= 0
    values = picture_values(section, np.flatnonzero(learned))
    moran = morans_i(knn_graph(section.coords, 6), values)
    level = values.mean(axis=0).A1
    score = -fit.var["svg_rank"][learned]
    found, baseline = roc_auc_score(spatial, score), roc_auc_score(spatial, moran)
    assert found >= baseline - 0.03
    assert found >= 0.85
    # Of genes without a programme neither the effect nor p follows abundance.
    effect = fit.var["svg_effect"][learned][~spatial]
    assert abs(spearmanr(effect, level[~spatial]).statistic) < 0.3
