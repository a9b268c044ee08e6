"""Dynamic cluster discovery: clusters are split and merged by how well Gaussians explain them.

Moves of the kind that Ronen, Finder & Freifeld, 2022, make while a network learns: proposed by a
mixture of two inside a cluster, decided by a ratio of marginal likelihoods (`evidence`), which
here knows that smoothed spots are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import ParameterError
from ..core.progress import Progress, Steps, drain
from .evidence import Moments, NormalInverseWishart, split_ratio
from .mixture import fit_tied_mixture
from .tempered import checked_weight

__all__ = ["split_merge", "split_merge_steps"]

Points = NDArray[np.floating[Any]]
_STARTS = 3
"""Starts of the two-component mixture inside a cluster."""


def split_merge(
    points: Points, start_labels: ArrayLike, weight: float, **options: Any
) -> NDArray[np.intp]:
    """Split and merge clusters until neither is likelier; see `split_merge_steps`."""
    return drain(split_merge_steps(points, start_labels, weight, **options))


def split_merge_steps(
    points: Points,
    start_labels: ArrayLike,
    weight: float,
    *,
    at_least: int,
    at_most: int,
    min_size: int = 20,
    rounds: int = 3,
    seed: int = 0,
) -> Steps[NDArray[np.intp]]:
    """Clusters that a Gaussian each explains best, starting from given ones.

    In each round a mixture of two Gaussians is fitted inside each cluster of at least
    ``2 * min_size`` points, and the cluster is split where the ratio speaks for it, the clearest
    first. Then the pair of clusters that the ratio most wants to be one is merged, as long as
    there is one; halves of a split wait for the next round. Beyond the bounds moves are made
    even against the ratio. Clusters smaller than ``min_size`` are merged into the one that
    suits them best, as the ratio says nothing about a cluster worth less than an observation.

    Parameters
    ----------
    points
        (n, d) float, finite; principal components on one common scale.
    start_labels
        (n,) any values; equal values are a cluster.
    weight
        Observations that one point is worth, in (0, 1].
    at_least, at_most
        Bounds of the number of clusters. There are fewer than ``at_least`` only where no
        cluster can be split.
    min_size
        Points in the smallest cluster that a split may leave.
    rounds
        Largest number of rounds; it ends earlier once nothing moves.
    seed
        Of the starts inside the clusters.

    Returns
    -------
    labels
        (n,) codes 0 to k - 1, none empty.

    Raises
    ------
    ParameterError
        If the weight, the bounds or the labels are unusable, or a point is not finite.
    """
    x = np.asarray(points, dtype=np.float64)
    labels = _checked_start(x, start_labels, at_least, at_most, min_size)
    job = _Job(x, NormalInverseWishart.of(x), checked_weight(weight), at_least, at_most, min_size)
    tried: dict[bytes, _Proposal | None] = {}
    for turn in range(rounds):
        before = labels
        proposals: list[_Proposal | None] = []
        for j in range(int(labels.max()) + 1):
            members = np.flatnonzero(labels == j)
            key = members.tobytes()
            if key not in tried:  # a cluster that has not changed keeps its answer
                yield Progress(turn, rounds, "splitting and merging")
                tried[key] = job.propose(members, seed)
            proposals.append(tried[key])
        labels, fresh = job.split(labels, proposals)
        labels = job.merge(labels, fresh)
        if np.array_equal(before, labels):
            break
    return labels


def _checked_start(
    x: NDArray[np.float64], start: ArrayLike, at_least: int, at_most: int, min_size: int
) -> NDArray[np.intp]:
    """Start labels as codes, after everything that was given is found usable."""
    values = np.asarray(start)
    if len(x) == 0 or values.shape != (len(x),):
        raise ParameterError(
            f"{len(x)} points have start labels of shape {values.shape}", "give one for each point"
        )
    if not np.isfinite(x).all():
        raise ParameterError("some points are not finite", "leave these spots out")
    if not 1 <= at_least <= at_most:
        raise ParameterError(
            f"between {at_least} and {at_most} clusters were asked",
            "use bounds of at least 1, the smaller one first",
        )
    if min_size < 1:
        raise ParameterError(f"the smallest cluster has {min_size} points", "use at least 1")
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.intp)


@dataclass(frozen=True, eq=False)
class _Proposal:
    """A split: members of the second half, and the log ratio that speaks for it."""

    second: NDArray[np.intp]
    gain: float


@dataclass(frozen=True, eq=False)
class _Job:
    """What the moves of one call have in common."""

    x: NDArray[np.float64]
    prior: NormalInverseWishart
    weight: float
    at_least: int
    at_most: int
    min_size: int

    def moments(self, members: NDArray[Any]) -> Moments:
        return Moments.of(self.x[members], self.prior, self.weight)

    def propose(self, members: NDArray[np.intp], seed: int) -> _Proposal | None:
        """The best cut of a cluster in two; None where a half would be too small."""
        inside = self.x[members]
        if len(members) < max(2, 2 * self.min_size) or not np.ptp(inside, axis=0).any():
            return None
        upper = fit_tied_mixture(inside, 2, seed=seed, max_starts=_STARTS).labels == 1
        if min(upper.sum(), (~upper).sum()) < self.min_size:
            return None
        halves = self.moments(members[~upper]), self.moments(members[upper])
        return _Proposal(members[upper], float(split_ratio(*halves, self.prior)))

    def split(
        self, labels: NDArray[np.intp], proposals: list[_Proposal | None]
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """New labels, and which clusters are halves of a split."""
        labels, k = labels.copy(), len(proposals)
        fresh = np.zeros(2 * k, dtype=bool)
        order = sorted(
            ((p.gain, -j, p) for j, p in enumerate(proposals) if p is not None), reverse=True
        )
        for gain, minus_j, proposal in order:
            if k >= self.at_most or (gain <= 0 and k >= self.at_least):
                break
            labels[proposal.second] = k
            fresh[[-minus_j, k]] = True
            k += 1
        return labels, fresh[:k]

    def merge(self, labels: NDArray[np.intp], fresh: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Labels after the best merges, one pair at a time, codes without gaps."""
        code = np.arange(len(fresh))  # of the cluster that each cluster has become part of
        size = np.bincount(labels, minlength=len(fresh))
        one = [self.moments(labels == j) for j in code]
        alive = list(range(len(fresh)))
        while len(alive) > self.at_least:
            pair = self._best_pair(alive, one, size, fresh)
            if pair is None:
                break
            i, j = pair
            one[i], size[i] = one[i] + one[j], size[i] + size[j]
            code[code == j] = i
            alive.remove(j)
        return np.asarray(np.searchsorted(alive, code)[labels], dtype=np.intp)

    def _best_pair(
        self,
        alive: list[int],
        one: list[Moments],
        size: NDArray[np.intp],
        fresh: NDArray[np.bool_],
    ) -> tuple[int, int] | None:
        """The pair to merge next, smaller code first; None when the clusters shall stay.

        The statistics of a union are sums, so that all pairs cost less than a search for near
        ones would.
        """
        free = [j for j in alive if not fresh[j]]
        if len(free) < 2:
            return None
        groups = Moments.stack([one[j] for j in free])
        first, second = np.triu_indices(len(free), 1)
        gain = -split_ratio(groups[first], groups[second], self.prior)
        small = size[free] < self.min_size
        urgent = small[first] | small[second]
        best = int(np.lexsort((gain, urgent))[-1])
        if not (urgent[best] or gain[best] > 0 or len(alive) > self.at_most):
            return None
        return int(free[first[best]]), int(free[second[best]])
