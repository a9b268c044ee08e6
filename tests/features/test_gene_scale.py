"""Expression goes to [0, 1] by the references and comes back."""

from __future__ import annotations

import numpy as np
import pytest
from tests.helpers import banded

from napari_stmask.core.errors import DataError, ParameterError, ResourceError
from napari_stmask.features import gene_scale
from napari_stmask.features.gene_scale import GeneScale, log_expression, to_counts

KINDS = ("normalised", "counts")


@pytest.fixture(scope="module")
def section():
    return banded(10, 10, genes=60)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_log_expression_is_its_formula(section, kind: str) -> None:
    genes = ["GENE7", "GENE3", "GENE40"]
    dense = section.counts().toarray()
    chosen = dense[:, [7, 3, 40]]
    expected = (
        np.log10(chosen + 1)
        if kind == "counts"
        else np.log(1 + 1e4 * chosen / dense.sum(axis=1, keepdims=True))
    )
    found = log_expression(section, genes, kind)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", ["range", "robust", "deviation"])
def test_the_whole_way_and_back(section, kind: str, unit: str) -> None:
    genes = [f"GENE{i}" for i in range(60)]
    values = log_expression(section, genes, kind)
    scale = GeneScale.fit(kind, [values[:40], values[40:]], unit=unit)
    back = scale.unscaled(scale.scaled(values))
    counts = section.counts().toarray()
    totals = counts.sum(axis=1) if kind == "normalised" else None
    moving = scale.span > 0
    assert moving.sum() > 50
    np.testing.assert_allclose(back[:, moving], values[:, moving], atol=1e-5)
    found = to_counts(values, kind, totals)
    np.testing.assert_allclose(found, counts, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        to_counts(back, kind, totals)[:, moving], counts[:, moving], rtol=1e-4, atol=1e-4
    )


def test_the_references_fill_zero_to_one_and_others_leave_it() -> None:
    rng = np.random.default_rng(0)
    references = [rng.normal(size=(n, 4)).astype(np.float32) for n in (30, 0, 50)]
    scale = GeneScale.fit("counts", references)
    scaled = scale.scaled(np.concatenate(references))
    assert (scaled.min(axis=0) == 0).all()
    np.testing.assert_allclose(scaled.max(axis=0), 1, rtol=1e-6)
    out = scale.scaled(np.stack([scale.low - scale.span, scale.high + scale.span]))
    np.testing.assert_allclose(out, [[-1] * 4, [2] * 4], atol=1e-5)


def test_a_constant_gene_is_zero_and_comes_back() -> None:
    values = np.array([[1.5, 2], [1.5, 4]], dtype=np.float32)
    scale = GeneScale.fit("normalised", [values])
    assert scale.scaled(values).tolist() == [[0, 0], [0, 1]]
    assert scale.scaled(values + 3)[:, 0].tolist() == [0, 0]
    assert scale.unscaled(np.array([[0.7, 0.5]], np.float32)).tolist() == [[1.5, 3]]


def test_robust_ends_ignore_a_few_spots() -> None:
    values = np.linspace(0, 1, 1001, dtype=np.float32)[:, None]
    values[0], values[-1] = -50, 90
    scale = GeneScale.fit("counts", [values[::2], values[1::2]], unit="robust")
    np.testing.assert_allclose([scale.low[0], scale.high[0]], [0.005, 0.995], atol=1e-4)
    assert scale.scaled(values).max() > 50
    plain = GeneScale.fit("counts", [values])
    assert (plain.low[0], plain.high[0]) == (-50, 90)


def test_counts_of_the_release() -> None:
    """9 molecules are 1 on its scale; below nothing there is nothing."""
    assert to_counts(np.array([[1.0, 0, -2]]), "counts").tolist() == [[9, 0, 0]]
    found = to_counts(np.log1p([[1e4, 5e3]]), "normalised", np.array([300.0]))
    np.testing.assert_allclose(found, [[300, 150]], rtol=1e-6)


def test_spots_without_counts_are_zero() -> None:
    section = banded(10, 10, genes=60)[0]
    matrix = section.adata.X.tolil()
    matrix[4] = 0
    section.adata.X = matrix.tocsr()
    for kind in KINDS:
        assert not log_expression(section, ["GENE1", "GENE2"], kind)[4].any()


def test_reading_leaves_the_section_alone(section) -> None:
    before = section.counts().copy()
    for kind in KINDS:
        log_expression(section, ["GENE1"], kind)[:] = 9
    assert abs(section.counts() - before).nnz == 0


def test_refusals(section, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParameterError, match="expression is 'raw'"):
        log_expression(section, ["GENE1"], "raw")
    with pytest.raises(ParameterError, match="expression is 'raw'"):
        GeneScale.fit("raw", [np.ones((2, 2))])
    with pytest.raises(DataError, match=r"section 'banded' lacks 2 of 3 genes: A, B;"):
        log_expression(section, ["A", "GENE1", "B"], "counts")
    with pytest.raises(DataError, match="same genes"):
        GeneScale.fit("counts", [np.ones((2, 2)), np.ones((2, 3))])
    for empty in ([], [np.ones((0, 2))]):
        with pytest.raises(DataError, match="with spots"):
            GeneScale.fit("counts", empty)
    with pytest.raises(ParameterError, match="mean nothing for counts"):
        to_counts(np.ones((2, 2)), "counts", np.ones(2))
    for totals in (None, np.ones(3)):
        with pytest.raises(ParameterError, match="one total for each"):
            to_counts(np.ones((2, 2)), "normalised", totals)
    monkeypatch.setattr(gene_scale, "densify", lambda m, what: _no(what))
    with pytest.raises(ResourceError, match="the expression of section 'banded'"):
        log_expression(section, ["GENE1"], "counts")


def _no(what: str) -> None:
    raise ResourceError(what, "select fewer")
