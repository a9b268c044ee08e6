"""Count splitting, the score on what was held out, and the two controls."""

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from tests.helpers import hexagons

from napari_stmask.analysis import denoising as module
from napari_stmask.analysis.denoising import (
    held_out_score,
    neighbour_mean_prediction,
    pca_of_neighbour_mean,
    thin_counts,
    thin_section,
)
from napari_stmask.analysis.inputs import expression_of
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.section import Section


@pytest.fixture(scope="module")
def smooth():
    """Counts of a few molecules a gene whose means vary slowly over the tissue."""
    rng = np.random.default_rng(0)
    coords = hexagons(30, 30, 100.0)
    x, y = (coords / coords.max(axis=0)).T
    fields = np.column_stack([np.sin(3 * x), np.cos(4 * y), x * y, x - y])
    mean = 0.6 * np.exp(0.8 * fields @ rng.normal(size=(4, 200)))
    adata = AnnData(sp.csr_matrix(rng.poisson(mean).astype(np.float32)))
    adata.var_names = [f"G{i}" for i in range(200)]
    adata.obs_names = [f"s{i}" for i in range(900)]
    adata.obsm["spatial"] = coords
    return Section(adata, platform="visium"), mean


def test_parts_add_up_and_have_the_right_mean(smooth) -> None:
    counts = smooth[0].counts()
    before = counts.copy()
    for share in (0.5, 0.8):
        kept, rest = thin_counts(counts, share, np.random.default_rng(1))
        assert abs(kept + rest - counts).nnz == 0
        total = counts.sum()
        spread = np.sqrt(total * share * (1 - share))
        assert abs(kept.sum() - share * total) < 4 * spread
        assert kept.data.all()
        assert rest.data.all()
        assert kept.dtype == counts.dtype
    assert abs(counts - before).nnz == 0


def test_parts_of_poisson_counts_are_independent() -> None:
    counts = sp.csr_matrix(np.random.default_rng(0).poisson(4, (200, 200)).astype(np.int32))
    kept, rest = thin_counts(counts, 0.5, np.random.default_rng(1))
    a, b = (np.asarray(m.todense(), dtype=float).ravel() for m in (kept, rest))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.02  # 40,000 entries: four standard errors
    assert a.var() == pytest.approx(2, rel=0.05)  # Poisson again


def test_thinning_is_seeded(smooth) -> None:
    one, two, other = (thin_section(smooth[0], 0.8, seed=s)[0].counts() for s in (3, 3, 4))
    assert abs(one - two).nnz == 0
    assert abs(one - other).nnz > 0


def test_thinned_section(smooth) -> None:
    section, rest = thin_section(smooth[0], 0.8)
    np.testing.assert_array_equal(section.coords, smooth[0].coords)
    assert abs(section.counts() + rest - smooth[0].counts()).nnz == 0
    assert section.platform == "visium"


def test_mistakes_in_thinning() -> None:
    for share in (0, 1, -0.1, 1.5, np.nan):
        with pytest.raises(ParameterError, match="share is"):
            thin_counts(sp.csr_matrix(np.ones((2, 2))), share)
    for bad in (0.5, -1.0):
        with pytest.raises(DataError, match="whole numbers"):
            thin_counts(sp.csr_matrix(np.full((2, 2), bad)))


def test_score_is_the_correlation_with_residuals(smooth, monkeypatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 900 * 7)  # several blocks of genes
    section, mean = smooth
    held = section.counts()
    found = held_out_score(mean, held)
    x = held.toarray().astype(float)
    depth = x.sum(axis=1, keepdims=True)
    residual = (x - depth * (x.sum(axis=0) / depth.sum())) / np.sqrt(depth)
    expected = [np.corrcoef(mean[:, j], residual[:, j])[0, 1] for j in range(200)]
    np.testing.assert_allclose(found.correlation, expected, atol=1e-6)
    assert found.median == pytest.approx(np.median(expected))
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.genes == 200
    # Scale and offset of a gene do not matter; sparse is dense.
    again = held_out_score(sp.csr_matrix(3 * mean + 1), held)
    np.testing.assert_allclose(again.correlation, expected, atol=1e-5)
    perfect = held_out_score(residual, held)
    np.testing.assert_allclose(perfect.correlation, 1)


def test_depth_tells_nothing() -> None:
    """Of log-normalised held-out counts it would tell much, and of raw ones even more."""
    rng = np.random.default_rng(0)
    depth = rng.lognormal(0, 1, (4000, 1))
    held = rng.poisson(depth * rng.uniform(0.02, 2, 300)).astype(float)
    prediction = np.repeat(np.log(depth), 300, axis=1)
    assert abs(held_out_score(prediction, sp.csr_matrix(held)).median) < 0.01
    log = np.log1p(300 * held / np.maximum(held.sum(axis=1, keepdims=True), 1))
    naive = [np.corrcoef(prediction[:, 0], log[:, j])[0, 1] for j in range(300)]
    assert np.median(naive) > 0.1


def test_totals_are_those_of_all_genes(smooth) -> None:
    section, mean = smooth
    held = section.counts()
    totals = np.asarray(held.sum(axis=1)).ravel()
    part = held_out_score(mean[:, :5], held[:, :5], totals=totals)
    whole = held_out_score(mean, held)
    np.testing.assert_allclose(part.correlation, whole.correlation[:5])


def test_constant_genes() -> None:
    rng = np.random.default_rng(0)
    held = rng.poisson(3, (50, 3)).astype(float)
    held[:, 1] = 0
    prediction = rng.normal(size=(50, 3))
    prediction[:, 2] = 0.1
    found = held_out_score(prediction, sp.csr_matrix(held))
    assert np.isnan(found.correlation[1])
    assert found.correlation[2] == 0
    assert found.genes == 2
    with pytest.raises(DataError, match="no gene varies"):
        held_out_score(prediction, sp.csr_matrix((50, 3)))
    with pytest.raises(ParameterError, match="shape"):
        held_out_score(prediction[:, :2], sp.csr_matrix(held))
    prediction[3, 0] = np.nan
    with pytest.raises(DataError, match="not finite"):
        held_out_score(prediction, sp.csr_matrix(held))


def test_neighbour_mean_by_hand() -> None:
    adata = AnnData(sp.csr_matrix(np.array([[4.0, 0], [0, 3], [2, 2]])))
    adata.var_names, adata.obs_names = ["a", "b"], ["x", "y", "z"]
    adata.obsm["spatial"] = np.array([[0.0, 0], [1, 0], [5, 0]])
    section = Section(adata)
    got = neighbour_mean_prediction(section, ["b", "a"], n_neighbors=1)
    full, half = np.log1p(1e4), np.log1p(5e3)
    # Links x-y, y-x and z-y, symmetric: y is the mean of all three.
    expected_a = [full / 2, (full + half) / 3, half / 2]
    expected_b = [full / 2, (full + half) / 3, (full + half) / 2]
    np.testing.assert_allclose(got, np.column_stack([expected_b, expected_a]), rtol=1e-6)


def test_order_of_the_controls_on_smooth_tissue(smooth) -> None:
    """Against the truth and against held-out molecules the order is the same."""
    section, mean = smooth
    thinned, held = thin_section(section, 0.8)
    genes = list(section.adata.var_names)
    predictions = (
        expression_of(thinned),
        neighbour_mean_prediction(thinned, genes),
        pca_of_neighbour_mean(thinned, genes, n_pcs=4),
    )
    raw, near, rebuilt = (held_out_score(p, held).median for p in predictions)
    assert raw + 0.05 < near < rebuilt
    truth = np.log1p(1e4 * mean / mean.sum(axis=1, keepdims=True))
    with_truth = [
        np.median([np.corrcoef(np.asarray(p[:, j].todense()).ravel() if sp.issparse(p) else p[:, j],
                               truth[:, j])[0, 1] for j in range(200)])
        for p in predictions
    ]  # fmt: skip
    assert with_truth[0] < with_truth[1] < with_truth[2]


def test_chosen_genes_are_those_of_all(smooth) -> None:
    section, _ = smooth
    every = pca_of_neighbour_mean(section, list(section.adata.var_names), n_pcs=5)
    some = pca_of_neighbour_mean(section, ["G7", "G3"], n_pcs=5)
    np.testing.assert_allclose(some, every[:, [7, 3]], atol=1e-4)
    # With as many components as it can have, it is the neighbour mean itself.
    few = AnnData(section.adata.X[:, :6])
    few.obs_names, few.var_names = section.adata.obs_names, section.adata.var_names[:6]
    few.obsm["spatial"] = section.coords
    small = Section(few)
    exact = neighbour_mean_prediction(small, ["G1"])
    near = pca_of_neighbour_mean(small, ["G1"], n_pcs=5)
    assert np.corrcoef(exact[:, 0], near[:, 0])[0, 1] > 0.9


def test_rebuilding_keeps_the_mean_of_each_gene(smooth) -> None:
    section, _ = smooth
    genes = ["G5", "G50", "G150"]
    near = neighbour_mean_prediction(section, genes).mean(axis=0)
    rebuilt = pca_of_neighbour_mean(section, genes, n_pcs=3).mean(axis=0)
    np.testing.assert_allclose(rebuilt, near, rtol=1e-4)


def test_mistakes_in_genes(smooth) -> None:
    for genes, said in ((["G1", "nonsense"], "no gene 'nonsense'"), ([], "no gene was named")):
        for control in (neighbour_mean_prediction, pca_of_neighbour_mean):
            with pytest.raises(ParameterError, match=said):
                control(smooth[0], genes)
    with pytest.raises(ParameterError, match="n_pcs is 0"):
        pca_of_neighbour_mean(smooth[0], ["G1"], n_pcs=0)
