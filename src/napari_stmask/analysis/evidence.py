"""How well one Gaussian explains a group of points, and whether two do better.

Mean and covariance are integrated out under a normal-inverse-Wishart prior, so that their number
needs no penalty of its own; the closed form is that of Murphy, 2007, section 9. Two clusters are
held against one by the Hastings ratio of Chang & Fisher, 2013, with concentration 1.

Spots of a smoothed section repeat one another, and a plain ratio speaks for two wherever there
are many. All sufficient statistics, and the counts, can therefore be multiplied by a weight: the
number of independent observations that one spot is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, multigammaln

from ..core.errors import ParameterError
from .tempered import checked_weight

__all__ = [
    "Moments",
    "NormalInverseWishart",
    "log_marginal",
    "log_merge_ratio",
    "log_split_ratio",
    "split_ratio",
]

Points = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class NormalInverseWishart:
    """Prior of a Gaussian's mean and covariance in ``d`` dimensions.

    Attributes
    ----------
    mean
        (d,) float64, expected mean.
    kappa
        Observations that the prior mean is worth, above 0.
    dof
        Degrees of freedom, above ``d - 1``; below, the prior has no density.
    scale
        (d, d) float64 scatter matrix, symmetric and positive definite.

    Raises
    ------
    ParameterError
        If one of these conditions is broken.
    """

    mean: NDArray[np.float64]
    kappa: float
    dof: float
    scale: NDArray[np.float64]

    def __post_init__(self) -> None:
        d = len(self.mean)
        if not self.dof > d - 1:
            raise ParameterError(
                f"a prior in {d} dimensions has {self.dof:g} degrees of freedom",
                f"use more than {d - 1}",
            )
        if not self.kappa > 0:
            raise ParameterError(
                f"the prior mean is worth {self.kappa:g} observations", "use more than 0"
            )
        scale = np.asarray(self.scale)
        if scale.shape != (d, d) or not np.linalg.eigvalsh(scale).min() > 0:
            raise ParameterError(
                "the scale of the prior is no covariance matrix",
                f"use a positive definite matrix of {d} x {d}",
            )

    @classmethod
    def of(cls, points: Points) -> NormalInverseWishart:
        """A weak prior from the data themselves.

        Their mean, worth 0.01 observations; ``d + 2`` degrees of freedom; and a round scale of a
        tenth of the mean variance of a column (1 where nothing varies).

        Parameters
        ----------
        points
            (n, d) float.
        """
        d = points.shape[1]
        spread = float(points.var(axis=0, dtype=np.float64).mean()) or 1.0
        mean = points.mean(axis=0, dtype=np.float64)
        return cls(mean, 0.01, d + 2.0, 0.1 * spread * np.eye(d))


@dataclass(frozen=True, eq=False)
class Moments:
    """Additive statistics of groups of points, about the mean of the prior.

    ``count`` (...,), ``total`` (..., d) and ``second`` (..., d, d), already weighted.
    """

    count: NDArray[np.float64]
    total: NDArray[np.float64]
    second: NDArray[np.float64]

    @classmethod
    def of(cls, points: Points, prior: NormalInverseWishart, weight: float) -> Moments:
        """Of one group."""
        x = np.asarray(points, dtype=np.float64) - prior.mean
        return cls(np.array(weight * len(x)), weight * x.sum(axis=0), weight * (x.T @ x))

    @classmethod
    def stack(cls, parts: list[Moments]) -> Moments:
        """Several single groups along a first axis."""
        return cls(
            np.stack([p.count for p in parts]),
            np.stack([p.total for p in parts]),
            np.stack([p.second for p in parts]),
        )

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.count + other.count, self.total + other.total, self.second + other.second
        )

    def __getitem__(self, index: Any) -> Moments:
        return Moments(self.count[index], self.total[index], self.second[index])


def _evidence(m: Moments, prior: NormalInverseWishart) -> NDArray[np.float64]:
    """(...,) log marginal likelihood of each group.

    With statistics about the prior mean, scatter and shift of the mean become one term:
    S + kappa0 n / kappa_n * (mean - m0)(mean - m0)^T = second - total total^T / kappa_n.
    """
    d = len(prior.mean)
    kappa = prior.kappa + m.count
    dof = prior.dof + m.count
    outer = m.total[..., :, None] * m.total[..., None, :]
    scale = prior.scale + m.second - outer / kappa[..., None, None]
    return np.asarray(
        -0.5 * d * m.count * np.log(np.pi)
        + multigammaln(0.5 * dof, d)
        - multigammaln(0.5 * prior.dof, d)
        + 0.5 * prior.dof * np.linalg.slogdet(prior.scale)[1]
        - 0.5 * dof * np.linalg.slogdet(scale)[1]
        + 0.5 * d * (np.log(prior.kappa) - np.log(kappa))
    )


def split_ratio(a: Moments, b: Moments, prior: NormalInverseWishart) -> NDArray[np.float64]:
    """`log_split_ratio` from the statistics of the two clusters, (...,) float64."""
    parts = gammaln(a.count) + _evidence(a, prior) + gammaln(b.count) + _evidence(b, prior)
    both = a + b
    return np.asarray(parts - gammaln(both.count) - _evidence(both, prior))


def log_marginal(points: Points, prior: NormalInverseWishart, *, weight: float = 1.0) -> float:
    """Log marginal likelihood of one Gaussian cluster, mean and covariance integrated out.

    Parameters
    ----------
    points
        (n, d) float.
    prior
        In d dimensions.
    weight
        In (0, 1]: number, sum and scatter of the points are multiplied by it.

    Raises
    ------
    ParameterError
        If the weight is not in (0, 1].
    """
    return float(_evidence(Moments.of(points, prior, checked_weight(weight)), prior))


def log_split_ratio(
    first: Points, second: Points, prior: NormalInverseWishart, *, weight: float = 1.0
) -> float:
    """Log Hastings ratio of two clusters to their union; above 0 speaks for two.

    ``lgamma(n1) + L1 + lgamma(n2) + L2 - lgamma(n1 + n2) - L12`` with L of `log_marginal` and
    all counts multiplied by ``weight``.

    Parameters
    ----------
    first, second
        (n1, d) and (n2, d) float, at least one point each.
    prior, weight
        As in `log_marginal`.

    Raises
    ------
    ParameterError
        If the weight is not in (0, 1].
    """
    weight = checked_weight(weight)
    one, other = (Moments.of(x, prior, weight) for x in (first, second))
    return float(split_ratio(one, other, prior))


def log_merge_ratio(
    first: Points, second: Points, prior: NormalInverseWishart, *, weight: float = 1.0
) -> float:
    """Log Hastings ratio of the union to two clusters: minus `log_split_ratio`."""
    return -log_split_ratio(first, second, prior, weight=weight)
