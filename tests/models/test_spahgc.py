"""SpaHGC on small generated sections: what it predicts, and that it does so reliably."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.models.spahgc_helpers import (
    FOLLOWING,
    GENES,
    KEY,
    TILE,
    fit,
    pictured,
    predict,
    settings,
    tabled,
)

from napari_stmask.analysis.prediction_baselines import References, baseline_predictions
from napari_stmask.analysis.prediction_scores import gene_scores
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.features import retrieval
from napari_stmask.features.gene_scale import log_expression
from napari_stmask.features.image_features import image_features
from napari_stmask.models import predictor
from napari_stmask.models.base import Predicted
from napari_stmask.models.spahgc.graph import graph_of, near_graph
from napari_stmask.models.spahgc.head import Head
from napari_stmask.models.spahgc.inputs import Side, at_positions, blind, side_of
from napari_stmask.models.spahgc.state import SpaHGCState
from napari_stmask.models.spahgc.training import Tensors, predict_steps, whole_batch

LONGER = {"epochs": 60, "hidden": 64}
QUICK = {"image_encoder": KEY, "epochs": 25, "hidden": 64, "learning_rate": 5e-3}


@pytest.fixture(scope="module")
def sections() -> list[Section]:
    return [pictured(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def trained(sections: list[Section]) -> SpaHGCState:
    return fit(sections[:2], **LONGER)


@pytest.fixture(scope="module")
def tables() -> list[Section]:
    return [tabled(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def quick(tables: list[Section]) -> SpaHGCState:
    return fit(tables[:2], **QUICK)


def pcc(found: np.ndarray, target: Section) -> tuple[float, float]:
    """Mean correlation of the genes that follow the domains, mean size of the others'."""
    genes = [f"GENE{i:02d}" for i in range(GENES)]
    scores = gene_scores(found, log_expression(target, genes, "normalised"))["pcc"]
    return float(scores[:FOLLOWING].mean()), float(scores[FOLLOWING:].abs().mean())


# What it predicts


def test_genes_of_the_domains_are_predicted_and_noise_is_not(
    sections: list[Section], trained: SpaHGCState
) -> None:
    found = predict(trained, sections[2])
    following, noise = pcc(found.values, sections[2])
    assert following >= 0.6
    assert noise <= 0.1
    measured = [log_expression(s, trained.genes, "normalised") for s in sections[:2]]
    z = [drain(image_features(s, patch_size=100.0, unit="um")) for s in sections]
    references = References(z[:2], [s.coords for s in sections[:2]], measured)
    baselines = baseline_predictions(z[2], sections[2].coords, references, ring=4)
    nearest = [pcc(v, sections[2])[0] for name, v in baselines.items() if "k-NN" in name]
    assert following >= max(nearest) - 0.02


def test_the_network_alone_predicts_too(sections: list[Section], trained: SpaHGCState) -> None:
    """Else the regression beside it could hide a network that has learnt nothing."""
    alone = replace(trained, head=Head.network_only(GENES))
    following, noise = pcc(predict(alone, sections[2]).values, sections[2])
    assert following >= 0.6
    assert noise <= 0.1
    assert trained.head.weights[2] > 0.1


def test_shuffled_patches_predict_nothing(sections: list[Section], trained: SpaHGCState) -> None:
    shuffled = pictured(2, shuffled=True)
    assert (shuffled.counts() != sections[2].counts()).nnz == 0
    assert abs(pcc(predict(trained, shuffled).values, sections[2])[0]) < 0.15


def test_expected_correlation_is_about_the_real_one(
    sections: list[Section], trained: SpaHGCState
) -> None:
    found = predict(trained, sections[2])
    real = pcc(found.values, sections[2])[0]
    assert np.nanmean(found.expected_pcc[:FOLLOWING]) == pytest.approx(real, abs=0.15)
    measured = log_expression(sections[2], trained.genes, "normalised")
    error = np.sqrt(((found.values - measured) ** 2).mean(axis=0))
    np.testing.assert_allclose(found.expected_error, error, rtol=0.5)


def test_losses_fall(trained: SpaHGCState) -> None:
    for name in ("error", "correlation", "error 2", "correlation 2"):
        assert len(trained.history[name]) == 60
        assert np.mean(trained.history[name][-5:]) < 0.8 * np.mean(trained.history[name][:5])


def test_released_form(sections: list[Section]) -> None:
    """One network on raw features by L1, a fixed second encoder, and nothing beside it."""
    state = fit(sections[:2], **LONGER, mode="release", similarity="l1", momentum=1.0)
    found = predict(state, sections[2])
    assert pcc(found.values, sections[2])[0] >= 0.6
    assert (len(state.nets), state.ridges) == (1, ())
    assert state.head.weights.tolist() == [0, 0, 1]
    assert np.isnan(found.expected_pcc).all()
    raw = drain(image_features(sections[0], patch_size=100.0, unit="um", standardise=False))
    np.testing.assert_array_equal(state.sides[0].features, raw)
    pool = np.concatenate([side.features for side in state.sides])
    mine = drain(image_features(sections[2], patch_size=100.0, unit="um", standardise=False))
    away = np.abs(mine[:, None] - pool).sum(axis=2)
    nearest = np.sort(np.argsort(away, axis=1)[:, :7], axis=1)
    np.testing.assert_array_equal(np.sort(found.references, axis=1), nearest)


def test_genes_are_scaled_by_the_references(trained: SpaHGCState) -> None:
    scaled = np.concatenate([trained.scale.scaled(side.expression) for side in trained.sides])
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-3)


# What it gives


def test_parts_of_a_prediction(tables: list[Section], quick: SpaHGCState) -> None:
    found = predict(quick, tables[2])
    n = tables[2].n_spots
    assert isinstance(found, Predicted)
    assert found.values.shape == (n, GENES)
    assert found.embedding.shape == (n, 64)
    assert found.references.shape == found.weights.shape == (n, 7)
    assert found.novelty.shape == (n,)
    assert found.values.dtype == found.weights.dtype == found.novelty.dtype == np.float32
    assert np.isfinite(found.values).all()
    assert found.spread is None
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-5)
    assert (np.diff(found.weights, axis=1) <= 0).all()
    assert (np.diff(np.sort(found.references, axis=1), axis=1) > 0).all()
    table = quick.reference_table()
    assert len(table) == 2 * n > found.references.max() > n > found.references.min() >= 0
    row = table.iloc[n + 3]
    assert (row["section"], row["spot"]) == ("section1", "section1_3")
    assert (row["x"], row["y"]) == tuple(tables[1].coords[3])


def test_weights_belong_to_the_references_beside_them(
    tables: list[Section], quick: SpaHGCState
) -> None:
    """The links in another order give each reference the same weight."""
    net, pool, target = quick.nets[0], quick.pool(), tables[2]
    one = replace(quick, nets=(net,))
    found = predict(one, target)
    assert np.ptp(found.weights, axis=1).max() > 0.01  # they differ at all
    raw = target.adata.obsm["patches"]
    side = drain(side_of(target, one.standard(raw), np.empty((144, 0), np.float32), one.params))
    rows = np.sort(found.references, axis=1)
    data = drain(graph_of(side, pool, rows, one.params))
    batch = whole_batch(data, torch.device("cpu"))
    tensors = Tensors(*map(torch.from_numpy, (side.features, pool.features, pool.expression)))
    _, _, weights = drain(predict_steps(net, tensors, batch))
    by_hand = np.take_along_axis(weights, np.argsort(np.argsort(found.references, 1), 1), 1)
    np.testing.assert_allclose(found.weights, by_hand, atol=1e-5)


@pytest.mark.parametrize("width", [48, 118, 512, 1024, 2560])
def test_any_width_of_features(width: int) -> None:
    some = [tabled(seed, side=8, width=width) for seed in range(3)]
    state = fit(some[:2], image_encoder=KEY, epochs=1)
    found = predict(state, some[2])
    assert found.values.shape == (64, GENES)
    assert state.sides[0].features.shape == (64, 2 * width)


def test_positions_without_spots(sections: list[Section], trained: SpaHGCState) -> None:
    """Predictions where nothing was measured; at the spots themselves they are the usual ones."""
    target = sections[2]
    found = drain(
        predictor("spahgc").predict(trained, at_positions(target, target.coords), settings())
    )
    np.testing.assert_array_equal(found.values, predict(trained, target).values)
    between = target.coords[target.coords.max(axis=1) < 19 * TILE] + TILE / 2
    values = drain(
        predictor("spahgc").predict(trained, at_positions(target, between), settings())
    ).values
    assert values.shape == (len(between), GENES)
    assert np.isfinite(values).all()


# Same in, same out


def test_same_seed_same_prediction(tables: list[Section], quick: SpaHGCState) -> None:
    assert quick.head.weights[2] > 0.1  # the networks have a say
    again = fit(tables[:2], **QUICK)
    other = fit(tables[:2], **QUICK, seed=1)
    first, second, third = (predict(s, tables[2]).values for s in (quick, again, other))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - third).max() > 1e-4


def test_second_prediction_is_the_first(tables: list[Section], quick: SpaHGCState) -> None:
    first, second = (predict(quick, tables[2], uncertainty=2) for _ in range(2))
    for name in ("values", "spread", "embedding", "references", "weights", "novelty"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_size_of_blocks_does_not_matter(
    tables: list[Section], quick: SpaHGCState, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = predict(quick, tables[2])
    monkeypatch.setattr(retrieval, "_SIDE", (16, 17))
    after = predict(quick, tables[2])
    np.testing.assert_array_equal(before.references, after.references)
    np.testing.assert_allclose(before.values, after.values, atol=1e-4)


def test_global_generators_and_sections_are_left_alone(tables: list[Section]) -> None:
    before = [(s.adata.X.copy(), s.adata.obsm["patches"].copy()) for s in tables]
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    predict(fit(tables[:2], image_encoder=KEY, epochs=1), tables[2], uncertainty=2)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002
    for section, (counts, features) in zip(tables, before, strict=True):
        assert (counts != section.adata.X).nnz == 0
        np.testing.assert_array_equal(section.adata.obsm["patches"], features)


# No leak


def test_counts_of_the_target_are_not_read(tables: list[Section], quick: SpaHGCState) -> None:
    target = tabled(2)
    unseen = blind(target, KEY)
    assert unseen.adata.n_vars == 1
    assert unseen.adata.X.nnz == 0
    np.testing.assert_array_equal(unseen.coords, target.coords)
    target.adata.X = sp.csr_matrix(
        np.random.default_rng(0).poisson(50, target.adata.shape).astype(np.float32)
    )
    method, params = predictor("spahgc"), settings(uncertainty=2)
    honest, seen, damaged = (
        drain(method.predict(quick, s, params)) for s in (unseen, tables[2], target)
    )
    for other in (seen, damaged):
        np.testing.assert_array_equal(honest.values, other.values)
        np.testing.assert_array_equal(honest.spread, other.spread)


# Trust


def test_spread_comes_of_the_seed(tables: list[Section], quick: SpaHGCState) -> None:
    same = [predict(quick, tables[2], uncertainty=4, seed=s).spread for s in (0, 0, 1)]
    np.testing.assert_array_equal(same[0], same[1])
    assert np.abs(same[0] - same[2]).max() > 0
    assert same[0].shape == (144, GENES)
    assert (same[0] > 0).all()


def test_spread_leaves_no_mark_on_the_values(tables: list[Section], quick: SpaHGCState) -> None:
    plain, drawn = (predict(quick, tables[2], uncertainty=u) for u in (0, 3))
    assert plain.spread is None
    np.testing.assert_array_equal(plain.values, drawn.values)


def test_spread_where_one_section_cannot_be_spared(tables: list[Section]) -> None:
    """Without the larger section too few references would remain."""
    small = tabled(5, side=4)
    state = fit([tables[0], small], image_encoder=KEY, epochs=1, n_references=20, replicates=2,
                standardise="references", groups=[0, 0])  # fmt: skip
    assert (predict(state, tables[2], uncertainty=3).spread > 0).all()


def test_unknown_tissue_is_novel(tables: list[Section]) -> None:
    state = fit(tables[:2], image_encoder=KEY, standardise="references", epochs=1)
    strange = tabled(2)
    half = np.arange(144) % 12 < 6
    features = strange.adata.obsm["patches"]
    features[half] = np.random.default_rng(1).normal(size=(72, features.shape[1])) * 3
    found = predict(state, strange)
    assert ((found.novelty >= 0) & (found.novelty <= 1)).all()
    inner = half & (np.arange(144) % 12 != 5)
    assert found.novelty[inner].mean() > 0.9
    assert found.novelty[~half].mean() < 0.6
    assert 0.2 < predict(state, tables[2]).novelty.mean() < 0.8


def test_smoothing_takes_the_mean_of_neighbours(tables: list[Section], quick: SpaHGCState) -> None:
    target = tables[2]
    plain, smooth = (predict(quick, target, smoothing=s).values for s in (0.0, 0.3))
    unmeasured = np.empty((144, 0), dtype=np.float32)
    side = Side(0, 0, target.coords, unmeasured, target.lattice.pitch, unmeasured)
    graph = near_graph(side, quick.params)
    around = np.stack([plain[graph[i].indices].mean(axis=0) for i in range(144)])
    np.testing.assert_allclose(smooth, 0.7 * plain + 0.3 * around, atol=1e-4)
    assert np.abs(smooth - plain).max() > 0.01


# Few references


def test_pieces_of_one_section_learn_from_one_another(sections: list[Section]) -> None:
    state = fit(sections[:1], **LONGER)
    assert any("pieces" in note for note in state.notes)
    assert len(state.sides) == 1
    assert len(state.reference_table()) == sections[0].n_spots
    assert pcc(predict(state, sections[2]).values, sections[2])[0] >= 0.5


def test_sections_of_one_patient_are_cut_too(tables: list[Section]) -> None:
    state = fit(tables[:2], [5, 5], image_encoder=KEY, epochs=1)
    assert any("pieces" in note for note in state.notes)


def test_too_few_references(tables: list[Section]) -> None:
    small = [tabled(seed, side=7) for seed in range(2)]
    with pytest.raises(DataError, match="only 49 reference spots remain for 60 links") as caught:
        fit(small, image_encoder=KEY, n_references=60)
    assert "n_references" in caught.value.remedy
    with pytest.raises(ParameterError, match="no reference"):
        fit([])


def test_features_of_different_encoders(tables: list[Section]) -> None:
    with pytest.raises(DataError, match=r"section1.* 10 columns.* 12"):
        fit([tables[0], tabled(1, width=10)], image_encoder=KEY)


def test_no_image_and_no_counts(tables: list[Section]) -> None:
    with pytest.raises(DataError, match="no histology image"):
        fit(tables[:2])
    negative = tabled(1)
    negative.adata.X = -negative.adata.X
    with pytest.raises(DataError, match="section1"):
        fit([tables[0], negative], image_encoder=KEY)


def test_genes_of_a_list(tables: list[Section], tmp_path: Path) -> None:
    path = tmp_path / "genes.txt"
    path.write_text("GENE30\nGENE02\nGENE11\n")
    state = fit(tables[:2], image_encoder=KEY, panel="list", gene_list=str(path), epochs=1)
    assert state.genes == ("GENE02", "GENE11", "GENE30")
    assert predict(state, tables[2]).values.shape == (144, 3)


def test_fewer_genes_than_asked_for_are_said(tables: list[Section]) -> None:
    state = fit(tables[:2], image_encoder=KEY, n_genes=80, epochs=1)
    assert len(state.genes) == GENES
    assert any(f"Only {GENES} genes" in note for note in state.notes)


def test_prediction_says_how_it_goes_and_leaves_gradients_on(quick: SpaHGCState) -> None:
    """One event for each layer; what runs between two events is not without gradient."""
    events = []
    steps = predictor("spahgc").predict(quick, blind(tabled(2), KEY), settings())
    for event in steps:
        assert torch.is_grad_enabled()
        events.append(event.phase)
    assert events.count("predicting") >= len(quick.nets) * (quick.params.layers + 1)
