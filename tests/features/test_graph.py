import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_stmask.core.errors import ParameterError
from napari_stmask.features.graph import (
    knn_graph,
    normalised_adjacency,
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
