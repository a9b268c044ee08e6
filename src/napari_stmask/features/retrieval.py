"""The most similar rows of a pool for each of many queries, by looking at every pair."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from ..core.errors import DataError, ParameterError
from ..core.progress import Progress, Steps

__all__ = ["Metric", "Retrieved", "retrieve"]

Metric = Literal["cosine", "l1", "l2"]
Float = NDArray[np.float32]
Index = NDArray[np.intp]

_PHASE = "retrieval"
_LARGEST = 1e15
"""Squares of larger values do not fit float32."""
_SIDE = (16, 2048)
"""Range of the rows of a block, on either side."""
_WORK = {"cosine": 8e9, "l2": 8e9, "l1": 2e8}
"""Multiplications, or differences, of one block: less than half a second of one thread."""
_PAIRS = 1_000_000
"""Numbers of the pairs whose similarity is found exactly at once."""


@dataclass(frozen=True, eq=False)
class Retrieved:
    """What each query was given.

    Attributes
    ----------
    index
        (n, k) intp rows of the pool, best first.
    similarity
        (n, k) float32: the cosine, or minus the distance for ``"l1"`` and ``"l2"``.
    """

    index: Index
    similarity: Float


def retrieve(
    queries: Float,
    pool: Float,
    k: int,
    *,
    metric: Metric = "cosine",
    query_groups: NDArray[np.integer[Any]] | None = None,
    pool_groups: NDArray[np.integer[Any]] | None = None,
    quota: int | None = None,
    chunk: int | None = None,
) -> Steps[Retrieved]:
    """The ``k`` most similar rows of ``pool`` for each row of ``queries``.

    The cross-slice links of SpaHGC, which the paper draws by cosine and the release by L1.
    Rows are ordered by the similarity that is returned; equal ones by their place in the pool.
    A vector of zeros has cosine 0 with every other.

    Every pair is looked at, block by block. A block's matrix product in float32 depends on the
    block's shape in its last bits. So it only rules pairs out, within a bound of its rounding;
    the similarity of the rest is found pair by pair in float64. The answer is that of brute
    force for every size of block.

    20,000 x 60,000 rows of 118 take 5 CPU seconds by cosine, far less than it takes to describe
    as many patches. An index of pynndescent was no quicker, and missed a fifth of the nearest
    rows where they lie in clusters, as patches of several tissues do.

    Parameters
    ----------
    queries, pool
        (n, d) and (m, d) float32, finite.
    k
        Rows for each query.
    metric
        ``"cosine"``, ``"l1"`` or ``"l2"``.
    query_groups, pool_groups
        (n,) and (m,) codes, for example of sections. Where both are given, a query is given no
        row of its own group.
    quota
        Most rows of one group among the ``k`` of a query; needs ``pool_groups``.
    chunk
        Rows of a block on either side; None chooses by ``d``, for at most about 100 MB.

    Raises
    ------
    ParameterError
        If k, metric, quota, chunk or the groups are impossible, or a query cannot be given k rows.
    DataError
        If the shapes do not fit, or values are not finite.
    """
    _check(queries, pool, metric, chunk)
    parts, own = _parts(len(queries), len(pool), query_groups, pool_groups, quota)
    _check_supply(k, quota, parts, own)
    limit = k if quota is None else min(k, quota)
    job = _Job(queries, pool, metric, limit, chunk, _Best(len(queries), k))
    for number, (code, rows) in enumerate(parts):
        asking = np.arange(len(queries)) if own is None else np.flatnonzero(own != code)
        if not asking.size:
            continue
        for at in _search(job, asking, rows):
            step = round(1000 * (number + at.fraction))
            yield Progress(step, 1000 * len(parts), _PHASE)
    return Retrieved(job.best.index, job.best.similarity)


def _check(queries: Float, pool: Float, metric: str, chunk: int | None) -> None:
    if metric not in get_args(Metric):
        raise ParameterError(
            f"similarity is '{metric}'", f"use one of {', '.join(map(repr, get_args(Metric)))}"
        )
    if chunk is not None and chunk < 1:
        raise ParameterError(f"chunk is {chunk}", "use a whole number of at least 1")
    if queries.ndim != 2 or pool.ndim != 2 or queries.shape[1] != pool.shape[1]:
        raise DataError(
            f"Features of the queries are {queries.shape} and those of the pool {pool.shape}",
            "give two tables with the same number of columns",
        )
    for values, what in ((queries, "queries"), (pool, "pool")):
        # Not a number fails every comparison.
        if values.size and not max(values.max(), -values.min()) < _LARGEST:
            raise DataError(
                f"Features of the {what} are not finite, or larger than {_LARGEST:g}",
                "check the encoder or the file they come from",
            )


def _parts(
    n: int,
    m: int,
    query_groups: NDArray[np.integer[Any]] | None,
    pool_groups: NDArray[np.integer[Any]] | None,
    quota: int | None,
) -> tuple[list[tuple[int, Index]], NDArray[np.integer[Any]] | None]:
    """Parts of the pool that are searched apart, (code, rows), and the queries' own codes."""
    for groups, size, what in ((query_groups, n, "query"), (pool_groups, m, "pool")):
        if groups is not None and np.shape(groups) != (size,):
            raise ParameterError(
                f"{what}_groups has shape {np.shape(groups)}, expected ({size},)",
                "give one code for each row",
            )
    if pool_groups is None:
        if query_groups is not None or quota is not None:
            raise ParameterError(
                "query_groups and quota mean nothing without pool_groups", "give pool_groups"
            )
        return [(-1, np.arange(m))], None
    if query_groups is None and quota is None:
        return [(-1, np.arange(m))], None
    codes = np.unique(pool_groups).tolist()
    return [(code, np.flatnonzero(pool_groups == code)) for code in codes], query_groups


def _check_supply(
    k: int,
    quota: int | None,
    parts: list[tuple[int, Index]],
    own: NDArray[np.integer[Any]] | None,
) -> None:
    """Refuse where a query cannot be given ``k`` rows."""
    for value, what in ((k, "k"), (1 if quota is None else quota, "quota")):
        if value < 1:
            raise ParameterError(f"{what} is {value}", "use a whole number of at least 1")
    supply = {code: len(rows) if quota is None else min(quota, len(rows)) for code, rows in parts}
    lost = [0] if own is None else [supply.get(code, 0) for code in np.unique(own).tolist()]
    most = sum(supply.values()) - max(lost, default=0)
    if most < k:
        limits = "" if quota is None else f" with at most {quota} of one section"
        limits += "" if own is None else " without its own section"
        raise ParameterError(
            f"{k} reference spots are asked for, and a spot can be given {most}{limits}",
            "ask for fewer, give more reference sections"
            + ("" if quota is None else " or raise the quota"),
        )


class _Best:
    """The best rows so far, (n, k), -1 and minus infinity where there are none yet."""

    def __init__(self, n: int, k: int) -> None:
        self.index = np.full((n, k), -1, dtype=np.intp)
        self.similarity = np.full((n, k), -np.inf, dtype=np.float32)

    def put(self, query: Index, row: Index, similarity: Float) -> None:
        """Merge pairs in; a query may occur any number of times."""
        if not query.size:
            return
        k = self.index.shape[1]
        touched, query = np.unique(query, return_inverse=True)
        query = np.r_[np.repeat(np.arange(len(touched)), k), query]
        row = np.r_[self.index[touched].ravel(), row]
        similarity = np.r_[self.similarity[touched].ravel(), similarity]
        order = np.lexsort((row, -similarity, query))
        query, row, similarity = query[order], row[order], similarity[order]
        start = np.searchsorted(query, np.arange(len(touched)))
        place = np.arange(len(query)) - start[query]
        kept = place < k
        self.index[touched] = row[kept].reshape(-1, k)
        self.similarity[touched] = similarity[kept].reshape(-1, k)


@dataclass(frozen=True, eq=False)
class _Job:
    """What all parts of the pool share; at most ``limit`` rows come from one of them."""

    queries: Float
    pool: Float
    metric: Metric
    limit: int
    chunk: int | None
    best: _Best

    def side(self) -> int:
        """Rows of a block."""
        wide = max(1, self.queries.shape[1])
        return self.chunk or int(np.clip(math.sqrt(_WORK[self.metric] / wide), *_SIDE))


def _search(job: _Job, asking: Index, rows: Index) -> Steps[None]:
    """Merge the best of ``rows`` for each query of ``asking`` into the answer."""
    side, limit, best = job.side(), min(job.limit, len(rows)), job.best
    starts, blocks = range(0, len(asking), side), range(0, len(rows), side)
    for done, a in enumerate(starts):
        some = asking[a : a + side]
        q = _Side(job.queries[some], job.metric)
        here = _Best(len(some), limit)
        for number, b in enumerate(blocks):
            yield Progress(done * len(blocks) + number, len(starts) * len(blocks), _PHASE)
            p = _Side(job.pool[rows[b : b + side]], job.metric)
            # What is no better than the last one of either list is in neither.
            least = np.maximum(here.similarity[:, -1], best.similarity[some, -1])
            for i, j in _candidates(q, p, least, limit, job.metric):
                here.put(i, rows[b + j], _similarity(q.rows[i], p.rows[j], job.metric))
        found = here.index >= 0
        best.put(some[np.nonzero(found)[0]], here.index[found], here.similarity[found])


class _Side:
    """Rows of one side of a block as they are multiplied, and the squares of their lengths."""

    def __init__(self, rows: Float, metric: Metric) -> None:
        self.rows = self.factor = rows
        if metric == "l1":
            return
        self.square = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
        if metric == "cosine":
            length = np.sqrt(self.square)
            inverse = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
            self.factor = np.asarray(rows * inverse[:, None], dtype=np.float32)


def _candidates(
    q: _Side, p: _Side, least: Float, limit: int, metric: Metric
) -> Iterator[tuple[Index, Index]]:
    """Pairs of a block that may be among the ``limit`` best and reach ``least``.

    No pair that belongs to the answer is missing: a scalar product of ``d`` terms in float32 is
    off by at most ``d`` roundings of the product of the two lengths.
    """
    slack = 1.2e-7 * (q.rows.shape[1] + 8)
    bound = least.astype(np.float64)
    if metric == "l1":
        score = -cdist(q.rows, p.rows, "cityblock")
        bound -= 1e-6 * np.where(np.isfinite(bound), -bound, 0)
    elif metric == "cosine":
        score = q.factor @ p.factor.T
        bound -= slack
    else:
        # d^2 = |a|^2 + |b|^2 - 2ab, rearranged so that a query's own part is in its bound.
        score = 2 * (q.rows @ p.rows.T)
        score -= ((1 - 2 * slack) * p.square).astype(np.float32)
        bound = (1 - 2 * slack) * q.square - bound**2 * (1 + 1e-6)
    if score.shape[1] > limit and not np.isfinite(bound).all():
        bound = np.maximum(bound, _reached(q, p, score, limit, slack, metric))
    some = max(1, _PAIRS // max(1, q.rows.shape[1]))
    flat = np.flatnonzero(score >= bound[:, None].astype(score.dtype))
    for start in range(0, len(flat), some):
        yield np.divmod(flat[start : start + some], score.shape[1])


def _reached(
    q: _Side, p: _Side, score: NDArray[Any], limit: int, slack: float, metric: Metric
) -> NDArray[np.float64]:
    """(n,) bound from the block alone: at least ``limit`` of its pairs are as good."""
    place = score.shape[1] - limit
    last = np.asarray(np.partition(score, place, axis=1)[:, place], dtype=np.float64)
    if metric == "l1":
        return last * (1 + 1e-6)
    if metric == "cosine":
        return last - 2 * slack
    return np.asarray(last - 4 * slack * (q.square + p.square.max()))


def _similarity(a: Float, b: Float, metric: Metric) -> Float:
    """(pairs,) similarity of rows at the same place, by the same sums for every block."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    if metric == "l1":
        return np.asarray(-np.abs(a - b).sum(axis=1), dtype=np.float32)
    if metric == "l2":
        return np.asarray(-np.sqrt(np.square(a - b).sum(axis=1)), dtype=np.float32)
    product, one, other = (np.einsum("ij,ij->i", x, y) for x, y in ((a, b), (a, a), (b, b)))
    length = np.sqrt(one) * np.sqrt(other)
    cosine = np.divide(product, length, out=np.zeros_like(product), where=length > 0)
    return np.asarray(cosine, dtype=np.float32)
