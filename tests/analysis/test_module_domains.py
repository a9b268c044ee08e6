"""Genes by name, the kernel against its dense form, the width of SpaGCN, refinement."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from tests.helpers import banded, hexagons

from napari_stmask.analysis import module_domains as module
from napari_stmask.analysis.module_domains import (
    domain_features_steps,
    kernel_width,
    select_genes,
    spatial_kernel,
)
from napari_stmask.analysis.refine import smooth_labels
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain
from napari_stmask.features.expression import log_normalise, pca_scores
from napari_stmask.features.graph import knn_graph


def square(rows: int, columns: int) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns].reshape(2, -1)
    return np.column_stack([x, y]).astype(float)


def dense(coords: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-(cdist(coords, coords) ** 2) / (2 * width**2))


def test_each_module_gives_its_share() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-1, 12, 300)
    scores = rng.normal(size=300)
    genes = np.array([f"G{i}" for i in range(300)])
    for fraction in (0.01, 0.1, 0.37, 0.5, 1.0):
        chosen = select_genes(genes, codes, scores, fraction=fraction)
        assert len(chosen) == len(set(chosen))
        rows = [int(g[1:]) for g in chosen]
        for m in range(12):
            members = np.flatnonzero(codes == m)
            size = max(1, int(np.ceil(round(fraction * members.size, 9))))
            best = members[np.argsort(-scores[members])][:size]
            assert [r for r in rows if codes[r] == m] == list(best)
        assert not any(codes[r] < 0 for r in rows)


def test_the_order_of_the_table_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    genes = np.array([f"G{i}" for i in range(60)])
    codes, scores = rng.integers(0, 5, 60), rng.integers(0, 3, 60).astype(float)
    scores[7] = np.nan
    one = select_genes(genes, codes, scores)
    for _ in range(5):
        i = rng.permutation(60)
        assert select_genes(genes[i], codes[i], scores[i]) == one


def test_single_genes_round_shares_and_unknown_scores() -> None:
    assert select_genes(["A"], np.array([3]), np.array([0.1]), fraction=0.01) == ["A"]
    genes = [f"G{i:02d}" for i in range(30)]
    scores = -np.arange(30.0)
    # 0.1 * 30 is a little more than 3 in floating point.
    assert select_genes(genes, np.zeros(30, int), scores, fraction=0.1) == genes[:3]
    assert select_genes(["A", "B"], np.zeros(2, int), np.array([np.nan, -5.0])) == ["B"]


def test_width_on_the_lattice_of_the_paper() -> None:
    """0.48 for a unit square lattice of 60 x 51; SpaGCN found 0.483 on 151676."""
    coords = square(60, 51)
    width = kernel_width(coords, 0.5)
    assert width == pytest.approx(0.48, abs=0.02)
    k = dense(coords, width)
    assert (k.sum(axis=1) - 1).mean() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("p", [0.05, 0.5, 2.0, 20.0])
@pytest.mark.parametrize("unit", [1.0, 137.0])
def test_width_solves_its_equation(p: float, unit: float) -> None:
    rng = np.random.default_rng(1)
    for coords in (hexagons(20, 20), rng.uniform(0, 20, (400, 2))):
        width = kernel_width(unit * coords, p)
        assert width == pytest.approx(unit * kernel_width(coords, p), rel=1e-6)
        weight = dense(unit * coords, width).sum(axis=1).mean() - 1
        assert weight == pytest.approx(p, rel=2e-2)  # what lies beyond four widths is left out


def test_kernel_is_the_dense_one_up_to_four_widths() -> None:
    rng = np.random.default_rng(2)
    coords = np.vstack([hexagons(15, 15), rng.uniform(0, 10, (50, 2))])
    kernel = spatial_kernel(coords, 0.7)
    assert sp.issparse(kernel)
    assert kernel.dtype == np.float32
    full = dense(coords, 0.7)
    np.testing.assert_allclose(kernel.toarray(), full, atol=1e-3)
    np.testing.assert_array_equal(kernel.diagonal(), 1)
    assert (kernel != kernel.T).nnz == 0
    assert kernel.nnz < 0.3 * full.size
    x = rng.normal(size=(len(coords), 5))
    np.testing.assert_allclose(kernel @ x, full @ x, atol=1e-2)


def test_features_are_kernel_times_components() -> None:
    section, _band = banded(rows=20, columns=20, genes=80, fold=2.0)
    names = [f"GENE{i}" for i in range(0, 80, 2)]
    got = drain(domain_features_steps(section, names, n_pcs=6, seed=4))
    counts = section.counts()
    values = log_normalise(counts, np.asarray(counts.sum(axis=1)).ravel())[:, ::2]
    scores, _ = pca_scores(values, 6, seed=4)
    coords = section.coords / 100  # the pitch of the lattice
    expected = dense(coords, kernel_width(coords, 0.5)) @ scores
    assert got.shape == (400, 6)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=2e-2 * np.abs(expected).max())


def test_order_of_names_and_unit_of_length_do_not_matter() -> None:
    section, _ = banded(rows=15, columns=20, genes=60)
    names = [f"GENE{i}" for i in range(40)]
    one = drain(domain_features_steps(section, names, n_pcs=4))
    other = drain(domain_features_steps(section, [*names[::-1], "GENE3"], n_pcs=4))
    np.testing.assert_allclose(np.abs(one), np.abs(other), atol=1e-2)
    section.adata.obsm["spatial"] = section.coords * 7
    del section.lattice
    np.testing.assert_allclose(
        drain(domain_features_steps(section, names, n_pcs=4)), one, atol=1e-3
    )


def test_surroundings_help_to_find_domains() -> None:
    section, band = banded(rows=20, columns=25, genes=200, fold=1.5)
    names = [f"GENE{i}" for i in range(200)]
    smooth = drain(domain_features_steps(section, names, n_pcs=10, p=2.0))
    alone = drain(domain_features_steps(section, names, n_pcs=10, p=1e-6))

    def found(x):
        codes = KMeans(5, n_init=5, random_state=0).fit_predict(x)
        return adjusted_rand_score(band, codes)

    assert found(smooth) > found(alone) + 0.1


def test_fewer_components_where_genes_are_few() -> None:
    section, _ = banded(rows=10, columns=20, genes=30)
    x = drain(domain_features_steps(section, ["GENE0", "GENE1", "GENE2"], n_pcs=50))
    assert x.shape == (200, 2)


def test_refinement_flips_an_odd_pixel_and_keeps_a_straight_edge() -> None:
    coords = hexagons(10, 12)
    graph = knn_graph(coords, 6)
    straight = (coords[:, 0] > 5.7).astype(int)
    odd = straight.copy()
    odd[12 * 5 + 2] = 1
    np.testing.assert_array_equal(smooth_labels(odd, graph), straight)
    np.testing.assert_array_equal(smooth_labels(straight, graph), straight)


def test_mistakes(monkeypatch) -> None:
    section, _ = banded(rows=10, columns=20, genes=30)
    genes, codes, scores = ["A", "B"], np.zeros(2, int), np.ones(2)
    for fraction in (0.0, -1, 1.1, np.nan):
        with pytest.raises(ParameterError, match="fraction is"):
            select_genes(genes, codes, scores, fraction=fraction)
    with pytest.raises(ParameterError, match="2 genes, 1 modules"):
        select_genes(genes, codes[:1], scores)
    with pytest.raises(DataError, match="'A' occurs twice"):
        select_genes(["A", "A"], codes, scores)
    with pytest.raises(DataError, match="no gene belongs"):
        select_genes(genes, codes - 1, scores)
    with pytest.raises(DataError, match="no gene 'nonsense'"):
        drain(domain_features_steps(section, ["GENE0", "nonsense"]))
    with pytest.raises(DataError, match="1 genes are too few"):
        drain(domain_features_steps(section, ["GENE0", "GENE0"]))
    with pytest.raises(ParameterError, match="n_pcs is 0"):
        drain(domain_features_steps(section, ["GENE0", "GENE1"], n_pcs=0))
    for p in (0.0, -1.0, 199.0, np.nan):
        with pytest.raises(ParameterError, match="p is"):
            kernel_width(section.coords, p)
    with pytest.raises(ParameterError, match="lies upon another"):
        kernel_width(np.zeros((5, 2)))
    doubled = np.vstack([section.coords] * 2)
    with pytest.raises(ParameterError, match="share a position"):
        kernel_width(doubled, 0.5)
    assert kernel_width(doubled, 1.5) > 0
    monkeypatch.setattr(module, "_MAX_PAIRS", 5000)
    with pytest.raises(ParameterError, match="reach too far"):
        kernel_width(section.coords, 150.0)
