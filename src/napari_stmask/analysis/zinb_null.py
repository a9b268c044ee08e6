"""Genes without spatial pattern: zero-inflated negative binomial counts with a gene's moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.sparsefuncs import mean_variance_axis

from ..core.errors import DataError, ParameterError

__all__ = ["MAX_OMEGA", "POISSON_SIZE", "ZINB", "column_moments", "simulate", "zinb_moments"]

MAX_OMEGA = 0.999
"""Largest share of added zeros; above it the mean of the others would be anything."""
POISSON_SIZE = 1e6
"""Size at which the negative binomial is a Poisson in all but name."""
_HALVINGS = 60
_ENTRIES = 4_000_000
"""Values that are drawn at once."""
Exact = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ZINB:
    """Zero-inflated negative binomial laws, one a gene.

    A count is 0 with probability ``omega`` and else negative binomial with mean ``m`` and
    variance ``m + m^2 / s``.

    Attributes
    ----------
    m
        (n_genes,) mean of the negative binomial, in the units of the moments.
    s
        (n_genes,) its size, at most 1e6.
    omega
        (n_genes,) share of added zeros, in [0, 0.999].
    """

    m: Exact
    s: Exact
    omega: Exact

    @property
    def mean(self) -> Exact:
        """(n_genes,) ``(1 - omega) m``."""
        return (1 - self.omega) * self.m

    @property
    def variance(self) -> Exact:
        """(n_genes,) ``(1 - omega) (m + m^2 / s + omega m^2)``."""
        return (1 - self.omega) * (self.m + self.m**2 * (1 / self.s + self.omega))

    @property
    def zero_share(self) -> Exact:
        """(n_genes,) ``omega + (1 - omega) (s / (m + s))^s``."""
        return self.omega + (1 - self.omega) * _no_count(self.m, self.s)


def column_moments(matrix: sp.spmatrix) -> tuple[Exact, Exact, Exact]:
    """Mean, variance and share of zeros of each column, without a dense copy.

    Parameters
    ----------
    matrix
        (n_spots, n_genes) sparse, finite, not negative.

    Returns
    -------
    mean, variance, zero_share
        (n_genes,) float64 each; the variance divides by ``n_spots``.

    Raises
    ------
    DataError
        If there are no spots, or values are negative or not finite.
    """
    values = sp.csc_matrix(matrix, dtype=np.float64, copy=True)
    if not values.shape[0]:
        raise DataError("the matrix has no spots", "give at least one")
    if not np.isfinite(values.data).all() or (values.data < 0).any():
        raise DataError("the matrix holds values that are negative or not finite", "give counts")
    values.eliminate_zeros()
    mean, variance = mean_variance_axis(values, axis=0)
    return mean, variance, 1 - np.diff(values.indptr) / values.shape[0]


def zinb_moments(
    mean: NDArray[np.floating[Any]],
    variance: NDArray[np.floating[Any]],
    zero_share: NDArray[np.floating[Any]],
) -> ZINB:
    """The laws that have these means, variances and shares of zeros.

    For a given ``omega`` the first two moments fix the rest: ``m = mean / (1 - omega)`` and
    ``m + m^2 / s = variance / (1 - omega) - omega m^2``; the share of zeros then is
    ``omega + (1 - omega) (s / (m + s))^s``. It rises with ``omega``, so that there is one answer
    and halving the interval finds it. SIGEL (Genome Biology 26, 287, 2025) iterates the same
    equations without bounds and leaves them with negative shares.

    - Fewer zeros than without any added ones: ``omega`` is 0, the share of zeros is not met.
    - Variance not above the mean: Poisson (``s`` is 1e6), the variance is not met.
    - More zeros than 0.999 added ones explain: ``omega`` is 0.999.

    Parameters
    ----------
    mean, variance, zero_share
        (n_genes,) moments, the variance with divisor ``n_spots``.

    Raises
    ------
    ParameterError
        If shapes differ, or a value is not finite or out of range.
    """
    mean, variance, zero_share = (
        np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (mean, variance, zero_share)
    )
    if not mean.shape == variance.shape == zero_share.shape or mean.ndim != 1:
        raise ParameterError(
            f"moments have shapes {mean.shape}, {variance.shape} and {zero_share.shape}",
            "give one mean, variance and share of zeros for each gene",
        )
    # A comparison with NaN is False.
    if not ((mean >= 0) & (variance >= 0) & (mean + variance < np.inf)).all():
        raise ParameterError("a mean or variance is negative or not finite", "give finite ones")
    if not ((zero_share >= 0) & (zero_share <= 1)).all():
        raise ParameterError("a share of zeros is outside 0 to 1", "give shares")
    low, high = np.zeros_like(mean), np.minimum(zero_share, MAX_OMEGA)
    enough = _given(low, mean, variance).zero_share >= zero_share
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = _given(middle, mean, variance).zero_share < zero_share
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    # ``high`` stays at its bound where the bound itself has too few zeros.
    return _given(np.where(enough, 0.0, high), mean, variance)


def _given(omega: Exact, mean: Exact, variance: Exact) -> ZINB:
    """The law of the first two moments for known shares of added zeros."""
    m = mean / (1 - omega)
    # (V - m) / m^2, the inverse of the size, without the loss of digits of V - m.
    excess = (variance - mean) * (1 - omega) - omega * mean**2
    square = mean**2
    dispersion = np.divide(excess, square, out=np.zeros_like(mean), where=square > 0)
    return ZINB(m, 1 / np.maximum(dispersion, 1 / POISSON_SIZE), omega)


def _no_count(m: Exact, s: Exact) -> Exact:
    return np.asarray(np.exp(-s * np.log1p(m / s)))


def simulate(zinb: ZINB, n: int, rng: np.random.Generator) -> sp.csc_matrix:
    """Independent counts of ``n`` spots: gamma rates, Poisson counts, added zeros.

    Parameters
    ----------
    zinb
        Laws of the genes.
    n
        Spots.
    rng
        Source of randomness.

    Returns
    -------
    scipy.sparse.csc_matrix
        (n, n_genes) float32 whole numbers.

    Raises
    ------
    ParameterError
        If ``n`` is below 1.
    """
    if n < 1:
        raise ParameterError(f"n is {n}", "simulate at least one spot")
    width = max(1, _ENTRIES // n)
    blocks = []
    for start in range(0, zinb.m.size, width):
        part = slice(start, start + width)
        m, s, omega = zinb.m[part], zinb.s[part], zinb.omega[part]
        drawn = rng.poisson(rng.gamma(s, m / s, size=(n, m.size)))
        drawn[rng.random(drawn.shape) < omega] = 0
        blocks.append(sp.csc_matrix(drawn, dtype=np.float32))
    return sp.hstack(blocks, format="csc") if blocks else sp.csc_matrix((n, 0), dtype=np.float32)
