import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from napari_stmask.features.graph import knn_graph, normalised_adjacency
from napari_stmask.nn.masking import EdgeMasker, sample_nodes


@given(n=st.integers(1, 300), rate=st.floats(0, 0.9), seed=st.integers(0, 99))
def test_node_mask_has_the_exact_size(n: int, rate: float, seed: int) -> None:
    drawn = sample_nodes(n, rate, np.random.default_rng(seed))
    assert len(drawn) == int(rate * n) == len(np.unique(drawn))
    again = sample_nodes(n, rate, np.random.default_rng(seed))
    np.testing.assert_array_equal(drawn, again)


def test_node_masks_differ_between_steps() -> None:
    rng = np.random.default_rng(0)
    assert not np.array_equal(sample_nodes(100, 0.5, rng), sample_nodes(100, 0.5, rng))


@pytest.fixture
def graph() -> sp.csr_matrix:
    return knn_graph(np.random.default_rng(3).random((200, 2)), 6)


def test_nothing_hidden_is_the_normalised_graph(graph: sp.csr_matrix) -> None:
    masker = EdgeMasker(graph)
    whole = masker.adjacency_without(np.zeros(len(masker.edges), dtype=bool))
    assert abs(whole - normalised_adjacency(graph)).max() < 1e-6


def test_hidden_links_vanish_in_both_directions(graph: sp.csr_matrix) -> None:
    masker = EdgeMasker(graph)
    hidden = masker.mask(0.4, np.random.default_rng(0))
    kept = masker.adjacency_without(hidden)
    i, j = masker.edges[hidden].T
    assert not np.asarray(kept[i, j]).any()
    assert not np.asarray(kept[j, i]).any()
    p, q = masker.edges[~hidden].T
    assert np.asarray(kept[p, q]).all()
    # Self-loops stay, and with them the reference: the graph rebuilt from the kept links alone.
    rebuilt = sp.csr_matrix((np.ones(len(p)), (p, q)), shape=graph.shape)
    assert abs(kept - normalised_adjacency((rebuilt + rebuilt.T).tocsr())).max() < 1e-6


def test_edges_are_each_link_once_without_self_loops(graph: sp.csr_matrix) -> None:
    edges = EdgeMasker(graph).edges
    assert len(edges) == graph.nnz // 2
    assert (edges[:, 0] < edges[:, 1]).all()
    assert len(np.unique(edges, axis=0)) == len(edges)


def test_masked_share_is_the_rate(graph: sp.csr_matrix) -> None:
    masker, rng = EdgeMasker(graph), np.random.default_rng(0)
    share = np.mean([masker.mask(0.3, rng).mean() for _ in range(100)])
    assert abs(share - 0.3) < 4 * np.sqrt(0.21 / (100 * len(masker.edges)))


def test_negatives_are_no_links(graph: sp.csr_matrix) -> None:
    pairs = EdgeMasker(graph).non_edges(20_000, np.random.default_rng(0))
    assert len(pairs) == 20_000
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert not np.asarray(graph[pairs[:, 0], pairs[:, 1]]).any()


def test_complete_graph_has_no_negatives() -> None:
    complete = sp.csr_matrix(np.ones((5, 5)) - np.eye(5))
    assert len(EdgeMasker(complete).non_edges(10, np.random.default_rng(0))) == 0


def test_graph_without_links() -> None:
    masker = EdgeMasker(sp.csr_matrix((4, 4)))
    assert (
        masker.adjacency_without(masker.mask(0.5, np.random.default_rng(0))).diagonal().tolist()
        == [1] * 4
    )
    assert len(masker.non_edges(3, np.random.default_rng(0))) == 3


@pytest.fixture
def weighted(graph: sp.csr_matrix) -> sp.csr_matrix:
    """The same links with weights between 0.1 and 1, alike in both directions."""
    upper = sp.triu(graph, k=1).tocsr()
    upper.data = np.random.default_rng(5).uniform(0.1, 1, upper.nnz).astype(np.float32)
    return (upper + upper.T).tocsr()


def dense_normalised(graph: np.ndarray) -> np.ndarray:
    """``D^-1/2 (A + I) D^-1/2``."""
    own = graph.astype(np.float64) + np.eye(len(graph))
    scale = 1 / np.sqrt(own.sum(axis=1))
    return scale[:, None] * own * scale


def test_weights_of_links_count(weighted: sp.csr_matrix) -> None:
    masker = EdgeMasker(weighted)
    whole = masker.adjacency_without(np.zeros(len(masker.edges), dtype=bool))
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole.toarray(), dense_normalised(weighted.toarray()), atol=1e-6)
    hidden = masker.mask(0.4, np.random.default_rng(0))
    left = weighted.toarray()
    i, j = masker.edges[hidden].T
    left[i, j] = left[j, i] = 0
    kept = masker.adjacency_without(hidden).toarray()
    np.testing.assert_allclose(kept, dense_normalised(left), atol=1e-6)


def test_weights_change_no_draw(graph: sp.csr_matrix, weighted: sp.csr_matrix) -> None:
    plain, other = EdgeMasker(graph), EdgeMasker(weighted)
    np.testing.assert_array_equal(plain.edges, other.edges)
    for released in (False, True):
        (_, a), (_, b) = (
            m.drop(0.3, np.random.default_rng(1), released=released) for m in (plain, other)
        )
        np.testing.assert_array_equal(a, b)
    pairs = [m.non_edges(500, np.random.default_rng(2)) for m in (plain, other)]
    np.testing.assert_array_equal(*pairs)


def test_unit_weights_give_the_values_of_links_that_only_count(graph: sp.csr_matrix) -> None:
    """Bit by bit what degrees by number and entries ``1 / sqrt(d_i d_j)`` in float32 give."""
    masker = EdgeMasker(graph)
    hidden = masker.mask(0.4, np.random.default_rng(3))
    kept = masker.adjacency_without(hidden)
    degree = np.diff(kept.indptr)
    scale = (1.0 / np.sqrt(degree)).astype(np.float32)
    row = np.repeat(np.arange(masker.n), degree)
    np.testing.assert_array_equal(kept.data, scale[row] * scale[kept.indices])
