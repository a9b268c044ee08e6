"""Retrieval is brute force, whatever the blocks; groups and quotas hold."""

from __future__ import annotations

import numpy as np
import pytest

from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain
from napari_stmask.features.retrieval import Retrieved, retrieve

METRICS = ("cosine", "l1", "l2")


def similarities(queries: np.ndarray, pool: np.ndarray, metric: str) -> np.ndarray:
    """(n, m) float64, one pair at a time."""
    a, b = queries[:, None].astype(float), pool[None].astype(float)
    if metric == "l1":
        return -np.abs(a - b).sum(axis=2)
    if metric == "l2":
        return -np.sqrt(((a - b) ** 2).sum(axis=2))
    length = np.linalg.norm(a, axis=2) * np.linalg.norm(b, axis=2)
    return np.divide((a * b).sum(axis=2), length, out=np.zeros(length.shape), where=length > 0)


def brute(queries, pool, k, metric, own=None, groups=None, quota=None) -> np.ndarray:
    """Go down the list of all rows and take what is allowed."""
    out = np.zeros((len(queries), k), dtype=int)
    for i, row in enumerate(similarities(queries, pool, metric).astype(np.float32)):
        taken: list[int] = []
        for j in np.lexsort((np.arange(len(pool)), -row)):
            if own is not None and own[i] == groups[j]:
                continue
            if quota is not None and sum(groups[t] == groups[j] for t in taken) == quota:
                continue
            taken.append(j)
            if len(taken) == k:
                break
        out[i] = taken
    return out


def blobs(n: int, d: int = 12, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(5, d))
    return (centres[rng.integers(0, 5, n)] + rng.normal(size=(n, d)) / 2).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("chunk", [1, 7, 64, None])
def test_every_size_of_block_is_brute_force(metric: str, chunk: int | None) -> None:
    queries, pool = blobs(60, seed=1), blobs(230, seed=2)
    found = drain(retrieve(queries, pool, 9, metric=metric, chunk=chunk))
    assert (found.index == brute(queries, pool, 9, metric)).all()
    expected = np.take_along_axis(similarities(queries, pool, metric), found.index, axis=1)
    np.testing.assert_allclose(found.similarity, expected, rtol=1e-6, atol=1e-6)
    assert found.similarity.dtype == np.float32
    assert found.index.dtype == np.intp


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("chunk", [1, 7, 33, None])
def test_ties_go_to_the_smaller_row(metric: str, chunk: int | None) -> None:
    """Many rows four times each and shuffled, far apart in the pool: only ties at the end."""
    rng = np.random.default_rng(3)
    pool = np.tile(blobs(40, d=118, seed=4), (4, 1))[rng.permutation(160)]
    queries = blobs(25, d=118, seed=5)
    queries[:3] = 0
    pool[[5, 50, 90]] = 0
    found = drain(retrieve(queries, pool, 10, metric=metric, chunk=chunk))
    assert (found.index == brute(queries, pool, 10, metric)).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("chunk", [1, 7, None])
@pytest.mark.parametrize(("own", "quota"), [(True, None), (False, 2), (True, 3)])
def test_groups_and_quota_are_brute_force(metric: str, chunk, own: bool, quota) -> None:
    rng = np.random.default_rng(6)
    queries, pool = blobs(40, seed=7), np.repeat(blobs(90, seed=8), 2, axis=0)
    of_query, of_pool = rng.integers(0, 6, 40), rng.integers(0, 5, 180)  # 5 is the target alone
    of_query = of_query if own else None
    steps = retrieve(
        queries, pool, 7, metric=metric, query_groups=of_query, pool_groups=of_pool,
        quota=quota, chunk=chunk,
    )  # fmt: skip
    found = drain(steps)
    assert (found.index == brute(queries, pool, 7, metric, of_query, of_pool, quota)).all()
    for i, rows in enumerate(found.index):
        assert not own or of_query[i] not in of_pool[rows]
        assert quota is None or np.bincount(of_pool[rows]).max() <= quota


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 5])
def test_a_tie_with_a_group_that_comes_later_goes_to_the_smaller_row(metric: str, k: int) -> None:
    rows, queries = blobs(200, seed=14), blobs(50, seed=15)
    pool, groups = np.r_[rows, rows], np.repeat([1, 0], 200)
    found = drain(retrieve(queries, pool, k, metric=metric, pool_groups=groups, quota=k)).index
    assert (found == brute(queries, pool, k, metric)).all()
    assert (found[:, 0] < 200).all()


def test_a_copy_of_a_section_finds_itself() -> None:
    pool = blobs(500, d=118, seed=9)
    for metric in METRICS:
        found = drain(retrieve(pool, pool, 1, metric=metric))
        assert (found.index[:, 0] == np.arange(500)).all()
        np.testing.assert_allclose(found.similarity, 1 if metric == "cosine" else 0, atol=1e-6)


def test_zero_has_cosine_zero_with_anything() -> None:
    pool = np.array([[-1.0, 0], [0, 0], [1, 0], [0, 0]], dtype=np.float32)
    found = drain(retrieve(np.array([[0, 0], [1, 0]], dtype=np.float32), pool, 4))
    assert found.index.tolist() == [[0, 1, 2, 3], [2, 1, 3, 0]]
    assert found.similarity.tolist() == [[0, 0, 0, 0], [1, 0, 0, -1]]


@pytest.mark.parametrize("metric", METRICS)
def test_far_from_the_origin_nothing_is_missed(metric: str) -> None:
    """A matrix product in float32 cannot tell these distances apart."""
    queries, pool = blobs(30, seed=10) + 3000, blobs(300, seed=11) + 3000
    found = drain(retrieve(queries, pool, 5, metric=metric))
    assert (found.index == brute(queries, pool, 5, metric)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_scaling_features_keeps_the_answer(metric: str) -> None:
    queries, pool = blobs(30, seed=12), blobs(200, seed=13)
    answers = [
        drain(retrieve(queries * f, pool * f, 5, metric=metric)).index
        for f in np.float32([2.0**-30, 1, 2.0**30])
    ]
    assert (answers[0] == answers[1]).all()
    assert (answers[2] == answers[1]).all()


def test_progress_rises_to_the_end_and_closing_stops() -> None:
    groups = np.arange(300) % 3
    steps = retrieve(blobs(50), blobs(300), 3, pool_groups=groups, quota=1, chunk=20)
    events = list(steps)
    steps_done = [event.step for event in events]
    assert len(events) == 3 * 3 * 5
    assert steps_done == sorted(steps_done)
    assert 0.9 < events[-1].fraction < 1
    running = retrieve(blobs(50), blobs(300), 3, chunk=20)
    next(running)
    running.close()
    with pytest.raises(StopIteration):
        next(running)


def test_memory_is_that_of_blocks() -> None:
    """1500 x 40,000 similarities are 240 MB as float32."""
    import tracemalloc

    queries, pool = blobs(1500, d=8), blobs(40_000, d=8, seed=1)
    tracemalloc.start()
    try:
        drain(retrieve(queries, pool, 3, chunk=500))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6


def ask(k: int = 3, n: int = 4, m: int = 10, **options: object) -> Retrieved:
    return drain(retrieve(blobs(n), blobs(m), k, **options))


def test_no_queries_get_nothing() -> None:
    assert ask(n=0).index.shape == (0, 3)


def test_refuses_more_than_the_pool_can_give() -> None:
    groups = np.repeat([0, 1], [4, 6])
    assert ask(10).index.shape == (4, 10)
    with pytest.raises(ParameterError, match=r"11 reference spots .* can be given 10;"):
        ask(11)
    with pytest.raises(ParameterError, match="can be given 4 without its own section"):
        ask(5, query_groups=np.array([0, 1, 0, 7]), pool_groups=groups)
    assert ask(6, query_groups=np.array([0, 0, 0, 7]), pool_groups=groups).index.shape == (4, 6)
    with pytest.raises(ParameterError, match=r"given 4 with at most 2 of one .*raise the quota"):
        ask(5, pool_groups=groups, quota=2)
    with pytest.raises(ParameterError, match="given 2 with at most 2 of one section without its"):
        ask(3, pool_groups=groups, quota=2, query_groups=np.zeros(4, int))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"metric": "dot"}, "similarity is 'dot'"),
        ({"chunk": 0}, "chunk is 0"),
        ({"quota": 0, "pool_groups": np.zeros(10, int)}, "quota is 0"),
        ({"quota": 2}, "without pool_groups"),
        ({"query_groups": np.zeros(4, int)}, "without pool_groups"),
        ({"pool_groups": np.zeros(9, int)}, r"pool_groups has shape \(9,\), expected \(10,\)"),
    ],
)
def test_refuses_impossible_settings(options: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        ask(**options)


def test_refuses_tables_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="same number of columns"):
        drain(retrieve(blobs(3, d=4), blobs(3, d=5), 1))
    for bad in (np.nan, np.inf, -np.inf, 1e20):
        pool = blobs(5)
        pool[3, 2] = bad
        with pytest.raises(DataError, match="of the pool are not finite"):
            drain(retrieve(blobs(5), pool, 1))
        with pytest.raises(DataError, match="of the queries are not finite"):
            drain(retrieve(pool, blobs(5), 1))
