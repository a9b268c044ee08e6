import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from napari_stmask.analysis.domains import (
    _soft_vote,
    choose_n_domains_steps,
    cluster,
    cluster_steps,
    reduce,
)
from napari_stmask.analysis.match import match_codes, partners
from napari_stmask.analysis.refine import smooth_labels
from napari_stmask.core.errors import ParameterError
from napari_stmask.core.progress import drain
from napari_stmask.features.graph import knn_graph


def blobs(
    k: int = 4, n: int = 240, seed: int = 0, spread: float = 8
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    return rng.normal(size=(n, 5)) + spread * rng.normal(size=(k, 5))[labels], labels


@pytest.mark.parametrize("method", ["mixture", "kmeans", "leiden"])
def test_each_clustering_recovers_blobs(method: str) -> None:
    x, labels = blobs()
    found = cluster(x, 4, method=method)
    assert adjusted_rand_score(labels, found.codes) > 0.98
    assert found.n_domains == 4
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    np.testing.assert_array_equal(found.codes, cluster(x, 4, method=method).codes)


@pytest.mark.parametrize("method", ["mixture", "kmeans"])
def test_domains_are_ordered_by_size(method: str) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(n, 3)) + 20 * i for i, n in enumerate((20, 80, 50))])
    sizes = np.bincount(cluster(x, 3, method=method).codes)
    assert sizes.tolist() == [80, 50, 20]


def test_confidence_is_low_between_two_blobs() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(100, 2)), rng.normal(size=(100, 2))
    right[:, 0] += 8
    x = np.concatenate([left, right, [[4.0, 0]]])
    for method in ("mixture", "kmeans"):
        found = cluster(x, 2, method=method)
        assert found.confidence[-1] < np.quantile(found.confidence[:-1], 0.1)


def test_more_domains_than_spots() -> None:
    with pytest.raises(ParameterError, match="9 domains were asked of 8 spots"):
        cluster(np.zeros((8, 2)), 9)


def test_consensus_outvotes_a_bad_replicate() -> None:
    x, labels = blobs()
    noise = np.random.default_rng(1).normal(size=x.shape)
    found = drain(cluster_steps([x, noise, x + 0.1 * noise], 4, method="mixture", seed=0))
    assert adjusted_rand_score(labels, found.codes) > 0.98


def test_soft_vote_ignores_the_order_of_columns() -> None:
    rng = np.random.default_rng(0)
    one = rng.dirichlet(np.full(3, 0.2), size=50)
    shuffled = one[:, [2, 0, 1]]
    np.testing.assert_allclose(_soft_vote([one, shuffled]), one)


def test_number_of_domains_is_found() -> None:
    for k in (3, 5):
        x, _ = blobs(k, 300, seed=k, spread=12)
        assert drain(choose_n_domains_steps(x, seed=0))[0] == k


def test_reduce_keeps_a_stable_covariance() -> None:
    x = np.random.default_rng(0).normal(size=(60, 40))
    assert reduce(x, 15, seed=0).shape == (60, 6)
    assert reduce(x[:, :3], 15, seed=0).shape == (60, 3)


@given(st.lists(st.integers(0, 4), min_size=8, max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_matching_is_optimal(codes: list[int], random) -> None:
    reference = np.array(codes)
    other = np.array([random.randrange(5) for _ in codes])
    matched = match_codes(other, reference)
    assert adjusted_rand_score(matched, other) == 1
    best = max(
        sum(np.array(order)[other] == reference) for order in itertools.permutations(range(5))
    )
    assert (matched == reference).sum() == best


def test_smoothing_removes_one_odd_spot() -> None:
    y, x = np.mgrid[:10, :10].reshape(2, -1).astype(float)
    graph = knn_graph(np.column_stack([x, y]), 4)
    labels = np.zeros(100, int)
    labels[:50] = 1
    odd = labels.copy()
    odd[[22, 77]] = [0, 1]
    np.testing.assert_array_equal(smooth_labels(odd, graph), labels)
    np.testing.assert_array_equal(smooth_labels(labels, graph), labels)


def test_smoothing_is_the_vote_spelled_out() -> None:
    """Against a loop over 300 spots, one round at a time."""
    rng = np.random.default_rng(0)
    graph = knn_graph(rng.random((300, 2)), 6)
    labels = rng.integers(3, size=300)
    expected = labels.copy()
    for spot in range(300):
        around = labels[graph[spot].indices]
        votes = np.bincount(around, minlength=3)
        if 2 * votes.max() > len(around):
            expected[spot] = votes.argmax()
    assert (expected != labels).sum() > 0
    np.testing.assert_array_equal(smooth_labels(labels, graph, max_rounds=1), expected)


def test_smoothing_never_removes_a_domain() -> None:
    y, x = np.mgrid[:6, :6].reshape(2, -1).astype(float)
    labels = np.zeros(36, int)
    labels[14] = 1
    assert set(smooth_labels(labels, knn_graph(np.column_stack([x, y]), 4))) == {0, 1}


@pytest.mark.parametrize("method", ["kmeans", "leiden"])
def test_a_vote_of_one_is_that_partition(method: str) -> None:
    """Also where domains overlap and a spot lies nearer to another centre."""
    from napari_stmask.analysis.domains import _kmeans, _leiden

    x, _ = blobs(4, 400, spread=1.0)
    found = cluster(x, 4, method=method)
    codes = _kmeans(x, 4, 0)[0] if method == "kmeans" else drain(_leiden(x, 4, 0))[0]
    assert adjusted_rand_score(codes, found.codes) == 1


def test_leiden_gives_the_nearest_number_it_can_reach() -> None:
    """Two groups with no neighbour in common cannot be one community."""
    x, labels = blobs(2, 240, spread=1000)
    found = cluster(x, 1, method="leiden")
    assert found.n_domains == 2
    assert adjusted_rand_score(labels, found.codes) == 1


def test_partners_share_spots() -> None:
    """More domains than the reference: what is left over has no partner, not a foreign one."""
    reference = np.array([0, 0, 0, 1, 1, 1, -1])
    codes = np.array([0, 0, 1, 2, 2, 2, 3])
    assert partners(codes, reference) == {0: 0, 2: 1}
    # Numbers of the reference that no code overlaps are not given away.
    assert partners(np.array([5, 5, 5]), np.array([2, 2, 2])) == {5: 2}
    assert partners(np.array([-1, 0]), np.array([0, -1])) == {}
