import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_stmask.core.errors import ParameterError
from napari_stmask.features.graph import (
    coherence,
    gaussian_graph,
    knn_graph,
    morans_i,
    normalised_adjacency,
    random_walk,
    shared_weight,
    within_groups,
)


def hexagons(rows: int, columns: int) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns].reshape(2, -1).astype(float)
    return np.column_stack([x + 0.5 * (y % 2), y * np.sqrt(3) / 2])


def test_two_linked_spots() -> None:
    a = normalised_adjacency(sp.csr_matrix([[0, 1], [1, 0]]))
    np.testing.assert_allclose(a.toarray(), 0.5)


def test_path_of_three() -> None:
    a = normalised_adjacency(sp.csr_matrix([[0, 1, 0], [1, 0, 1], [0, 1, 0]])).toarray()
    np.testing.assert_allclose(np.diag(a), [1 / 2, 1 / 3, 1 / 2], rtol=1e-6)
    np.testing.assert_allclose(a[0, 1], 0.408248, atol=1e-6)
    assert a[0, 2] == 0


def test_isolated_spot_keeps_itself() -> None:
    assert normalised_adjacency(sp.csr_matrix((3, 3))).toarray().tolist() == np.eye(3).tolist()


@given(n=st.integers(2, 60), k=st.integers(1, 12), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_invariants(n: int, k: int, seed: int) -> None:
    graph = knn_graph(np.random.default_rng(seed).random((n, 2)), k)
    assert abs(graph - graph.T).nnz == 0
    assert graph.diagonal().sum() == 0
    assert set(np.unique(graph.data)) == {1.0}
    assert np.diff(graph.indptr).min() >= min(k, n - 1)
    a = normalised_adjacency(graph)
    assert abs(a - a.T).max() < 1e-7
    assert np.linalg.eigvalsh(a.toarray())[-1] <= 1 + 1e-5


@given(angle=st.floats(0, 6.3), scale=st.floats(0.01, 1000), shift=st.floats(-100, 100))
@settings(max_examples=40, deadline=None)
def test_moving_the_section_changes_no_link(angle: float, scale: float, shift: float) -> None:
    coords = np.random.default_rng(0).random((80, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = coords @ turn * scale + shift
    assert abs(knn_graph(coords, 6) - knn_graph(moved, 6)).nnz == 0


def test_order_of_spots_does_not_matter() -> None:
    coords = np.random.default_rng(0).random((80, 2))
    order = np.random.default_rng(1).permutation(80)
    there = knn_graph(coords, 6)[order][:, order]
    assert abs(there - knn_graph(coords[order], 6)).nnz == 0


@pytest.mark.parametrize(("k", "inner"), [(6, 6), (12, 12), (18, 18)])
def test_rings_of_the_hexagonal_lattice(k: int, inner: int) -> None:
    graph = knn_graph(hexagons(20, 20), k)
    middle = 10 * 20 + 10
    assert graph[middle].nnz == inner


def test_ties_are_all_kept_on_a_square_lattice() -> None:
    y, x = np.mgrid[:9, :9].reshape(2, -1).astype(float)
    assert knn_graph(np.column_stack([x, y]), 3)[40].nnz == 4


def test_doubled_positions_are_linked() -> None:
    coords = np.zeros((5, 2))
    assert knn_graph(coords, 2).nnz == 20  # all at distance 0: all tie


def test_refuses_no_neighbours() -> None:
    with pytest.raises(ParameterError, match="at least 1"):
        knn_graph(np.zeros((3, 2)), 0)


def test_kernel_values() -> None:
    """Width 2: distances 1, sqrt 2 and 2; beyond the cut nothing."""
    coords = np.array([[0.0, 0], [1, 0], [1, 1], [0, 2], [0, 9]])
    graph = gaussian_graph(coords, 2.0, cut=3.0).toarray()
    np.testing.assert_allclose(graph[0, 1:4], [0.882497, 0.778801, 0.606531], atol=1e-6)
    assert graph[0, 4] == 0
    assert graph[3, 4] == 0
    assert gaussian_graph(coords, 2.0, cut=3.5)[3, 4] == pytest.approx(np.exp(-49 / 8))
    assert (graph == graph.T).all()
    assert not graph.diagonal().any()


def test_random_walk_averages() -> None:
    graph = gaussian_graph(hexagons(12, 12), 1.3)
    walk = random_walk(graph)
    np.testing.assert_allclose(walk.sum(axis=1), 1, atol=1e-6)
    # With the kernel's own diagonal of 1, W + I has 2 there.
    whole = 1 + np.asarray(graph.sum(axis=1)).ravel()
    np.testing.assert_allclose(walk.diagonal(), 2 / (1 + whole), rtol=1e-5)
    full = (graph + 2 * sp.identity(144)).toarray()
    expected = full / full.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(walk.toarray(), expected, atol=1e-7)
    assert abs(walk - walk.T).max() > 1e-3
    assert random_walk(sp.csr_matrix((3, 3))).toarray().tolist() == np.eye(3).tolist()


@given(angle=st.floats(0, 6.3), scale=st.floats(0.01, 1000), shift=st.floats(-100, 100))
@settings(max_examples=25, deadline=None)
def test_moving_the_section_changes_no_kernel(angle: float, scale: float, shift: float) -> None:
    coords = hexagons(9, 9)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = gaussian_graph(coords @ turn * scale + shift * scale, 1.1 * scale)
    there = gaussian_graph(coords, 1.1)
    assert moved.nnz == there.nnz
    assert abs(moved - there).max() < 1e-5


def test_truncation_changes_the_smoothed_data_little() -> None:
    """All pairs against the default cut and one of five widths."""
    coords = hexagons(20, 20)
    square = ((coords[:, None] - coords[None]) ** 2).sum(axis=2)
    full = np.exp(-square / 2) + np.eye(len(coords))
    full /= full.sum(axis=1, keepdims=True)
    x = np.random.default_rng(0).normal(size=(400, 5))
    exact = full @ (full @ x)

    def off(cut: float) -> float:
        walk = random_walk(gaussian_graph(coords, 1.0, cut=cut))
        return float(np.linalg.norm(walk @ (walk @ x) - exact) / np.linalg.norm(exact))

    assert off(5.0) < 1e-3
    assert off(5.0) < off(3.0) < 0.1


def test_shared_weight_counts_the_spots_that_are_averaged() -> None:
    assert shared_weight(sp.identity(5, format="csr")) == 1
    assert shared_weight(sp.csr_matrix(np.full((8, 8), 1 / 8))) == pytest.approx(1 / 8)
    walk = random_walk(gaussian_graph(hexagons(6, 6), 1.0))
    twice = np.linalg.matrix_power(walk.toarray(), 2)
    assert shared_weight(walk) == pytest.approx((twice**2).sum() / 36, rel=1e-5)


def test_shared_weight_of_several_blocks_is_that_of_the_whole() -> None:
    points = np.random.default_rng(0).uniform(0, 50, (2500, 2))
    walk = random_walk(gaussian_graph(points, 1.0))
    twice = (walk @ walk).toarray()
    assert shared_weight(walk) == pytest.approx((twice**2).sum() / 2500, rel=1e-5)


def test_no_link_between_groups() -> None:
    graph = gaussian_graph(hexagons(6, 6), 1.0)
    groups = np.arange(36) % 2
    apart = within_groups(graph, groups)
    same = groups[:, None] == groups
    assert (apart.toarray() == graph.toarray() * same).all()
    assert 0 < apart.nnz < graph.nnz
    assert abs(within_groups(graph, np.zeros(36)) - graph).nnz == 0


@pytest.mark.parametrize(("width", "cut"), [(0, 3), (-1, 3), (1, 0)])
def test_refuses_kernels_without_reach(width: float, cut: float) -> None:
    with pytest.raises(ParameterError, match="positive"):
        gaussian_graph(np.zeros((3, 2)), width, cut=cut)


def test_coherence_by_hand() -> None:
    path = knn_graph(np.array([[0.0, 0], [1, 0], [2.1, 0], [3, 0]]), 1)  # 0-1 and 2-3
    assert coherence(path, np.array([[1.0], [1], [-1], [-1]])) == pytest.approx(1)
    # Moran's I of the second column is -1, counted as 0; both have the same variance.
    two = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert coherence(path, two) == pytest.approx(0.5)
    assert coherence(path, np.ones((4, 2))) == 0
    assert coherence(sp.csr_matrix((4, 4)), two) == 0


def test_noise_has_no_coherence_and_a_trend_much() -> None:
    coords = hexagons(40, 50)
    graph = knn_graph(coords, 6)
    rng = np.random.default_rng(0)
    assert coherence(graph, rng.normal(size=(len(coords), 30))) < 0.02
    assert coherence(graph, coords) > 0.9
    assert coherence(graph, 5 + 3 * coords) == pytest.approx(coherence(graph, coords))


def test_morans_i_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.7, (90, 7)) * rng.gamma(1, 1, (90, 1))
    dense[:, 3] += np.arange(90)
    graph = sp.random(90, 90, 0.1, format="csr", random_state=1)  # weighted, one-way
    z = dense - dense.mean(axis=0)
    w = graph.toarray()
    expected = [90 / w.sum() * (z[:, g] @ w @ z[:, g]) / (z[:, g] @ z[:, g]) for g in range(7)]
    np.testing.assert_allclose(morans_i(graph, dense), expected, rtol=1e-10)
    np.testing.assert_allclose(morans_i(graph, sp.csr_matrix(dense)), expected, rtol=1e-10)
    path = knn_graph(np.array([[0.0, 0], [1, 0], [2.1, 0], [3, 0]]), 1)
    two = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    np.testing.assert_allclose(morans_i(path, two), [1, -1], atol=1e-12)


@pytest.mark.parametrize("entries", [1, 300, 4_000_000])
def test_morans_i_equals_scanpy(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import scanpy as sc

    from napari_stmask.features import graph as module

    monkeypatch.setattr(module, "_ENTRIES", entries)
    rng = np.random.default_rng(0)
    x = rng.poisson(0.5, (100, 20)).astype(np.float32)
    x[:, 0] += np.arange(100, dtype=np.float32)
    graph = knn_graph(hexagons(10, 10), 6)
    expected = sc.metrics.morans_i(graph, x.T)
    np.testing.assert_allclose(morans_i(graph, x), expected, atol=1e-5)
    np.testing.assert_allclose(morans_i(graph, sp.csr_matrix(x)), expected, atol=1e-5)


def test_morans_i_of_what_does_not_vary_is_zero() -> None:
    graph = knn_graph(hexagons(10, 10), 6)
    x = np.zeros((100, 40))
    x[:, 1:-1] = np.random.default_rng(0).random(38)
    x[:, -1] = np.arange(100)
    for form in (x, sp.csr_matrix(x)):
        assert not morans_i(graph, form)[:-1].any()
        assert morans_i(graph, form)[-1] > 0.5
        assert not morans_i(sp.csr_matrix((100, 100)), form).any()


def test_coherence_is_morans_i_weighted_by_variance() -> None:
    x = np.random.default_rng(0).normal(size=(100, 6)) * np.arange(1, 7)
    x[:, 0] += np.arange(100)
    graph = knn_graph(hexagons(10, 10), 6)
    own = np.maximum(morans_i(graph, x), 0)
    assert coherence(graph, x) == pytest.approx((own * x.var(axis=0)).sum() / x.var(axis=0).sum())
