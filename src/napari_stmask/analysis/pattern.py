"""Artificial genes with a wanted level in painted regions, to ask for real genes like them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.sparsefuncs import mean_variance_axis

from ..core.errors import DataError, ParameterError

__all__ = [
    "fit_noise",
    "negative_binomial_size",
    "simulate_pattern",
    "template",
    "template_correlation",
]

MIN_TOTAL = 30
"""Counts over the section that a gene must exceed to take part."""
MIN_NOISE_GENES = 10
"""Genes that the curve of noise over mean is fitted to at least."""
_ROUNDS, _TOLERANCE = 200, 1e-10
Exact = NDArray[np.float64]


def simulate_pattern(
    counts: sp.csr_matrix,
    regions: NDArray[np.integer[Any]],
    levels: Mapping[int, float],
    *,
    rng: np.random.Generator,
    background: float = 95.0,
    n: int = 20,
) -> NDArray[np.int32]:
    """Counts of ``n`` artificial genes that have the wanted level in each region.

    "Top t %" in a region is the mean of the real gene at that place among the region's genes,
    the highest first. Counts are negative binomial with the noise that real genes of this mean
    have (`fit_noise`), and the larger ones go to the spots with more molecules, as with real
    genes (the designated pattern of SIGEL, Genome Biology 26, 287, 2025; there the rest of the
    section keeps a real gene, here it has a level of its own).

    Parameters
    ----------
    counts
        (n_spots, n_genes) CSR raw counts; not modified.
    regions
        (n_spots,) whole numbers, the region of each spot; -1 is unpainted.
    levels
        Region -> wanted level in percent, above 0 to 100: 5 is as high as the top 5 % of genes.
    rng
        Source of randomness.
    background
        Level of the unpainted spots.
    n
        Genes to make.

    Returns
    -------
    numpy.ndarray
        (n_spots, n) int32.

    Raises
    ------
    ParameterError
        If lengths differ, a level is out of range, a region has no level or no spots, or ``n``
        is below 1.
    DataError
        If too few genes have more than 30 counts.
    """
    wanted = list(_regions(regions, levels, background))
    if counts.shape[0] != np.size(regions):
        raise ParameterError(
            f"{np.size(regions)} regions were given for {counts.shape[0]} spots",
            "give one region for each spot",
        )
    if n < 1:
        raise ParameterError(f"n is {n}", "simulate at least one gene")
    counts = sp.csr_matrix(counts)
    library = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    used = counts[:, np.flatnonzero(np.asarray(counts.sum(axis=0)).ravel() > MIN_TOTAL)]
    if used.shape[1] < MIN_NOISE_GENES or used.shape[0] < 2:
        raise DataError(
            f"{used.shape[1]} genes have more than {MIN_TOTAL} counts in {used.shape[0]} spots",
            f"give a section with at least {MIN_NOISE_GENES} such genes",
        )
    noise = _noise_of(used)
    out = np.zeros((len(library), n), dtype=np.int32)
    for spots, percent in wanted:
        means = np.sort(np.asarray(used[spots].mean(axis=0, dtype=np.float64)).ravel())[::-1]
        mean = float(means[min(int(percent * means.size / 100), means.size - 1)])
        size = negative_binomial_size(mean, noise)
        for gene in range(n):
            rate = mean if np.isinf(size) else rng.gamma(size, mean / size, spots.size)
            drawn = np.sort(rng.poisson(rate, spots.size))
            # Spots with equally many molecules in any order: theirs in the file is a pattern too.
            place = np.lexsort((rng.random(spots.size), library[spots]))
            out[spots[place], gene] = drawn
    return out


def _noise_of(used: sp.csr_matrix) -> tuple[float, float]:
    mean, variance = mean_variance_axis(used.astype(np.float64), axis=0)
    n = used.shape[0]
    return fit_noise(mean, variance * (n / (n - 1)) / mean**2)


def fit_noise(
    mean: NDArray[np.floating[Any]], noise: NDArray[np.floating[Any]]
) -> tuple[float, float]:
    """The curve ``noise = a0 + a1 / mean``: gamma regression with identity link.

    Brennecke et al., Nature Methods 10, 1093 (2013). Iterated weighted least squares; the
    variance of a gamma variable is proportional to its mean squared, so that weights are the
    inverse squares of the curve.

    Parameters
    ----------
    mean
        (n_genes,) mean counts, positive.
    noise
        (n_genes,) squared coefficients of variation; genes where it is 0 are left out.

    Returns
    -------
    a0, a1
        A Poisson gene has 0 and 1; a negative binomial one of size ``s`` has ``1 / s`` and 1.

    Raises
    ------
    DataError
        If fewer than ten genes have any noise, or the regression does not settle.
    """
    mean, noise = np.asarray(mean, dtype=np.float64), np.asarray(noise, dtype=np.float64)
    kept = (mean > 0) & (noise > 0)
    if kept.sum() < MIN_NOISE_GENES:
        raise DataError(
            f"only {kept.sum()} genes vary between spots",
            f"give raw counts with at least {MIN_NOISE_GENES} such genes",
        )
    x = np.column_stack([np.ones(kept.sum()), 1 / mean[kept]])
    y = noise[kept]
    fitted = y.copy()
    found = np.zeros(2)
    for _ in range(_ROUNDS):
        before = found
        found = np.linalg.lstsq(x / fitted[:, None], y / fitted, rcond=None)[0]
        # The link does not keep the curve positive, the gamma law needs it.
        fitted = np.maximum(x @ found, 1e-3 * y)
        if np.abs(found - before).max() <= _TOLERANCE * np.abs(found).max():
            return float(found[0]), float(found[1])
    raise DataError(
        "the noise of the genes does not follow from their mean", "check that these are raw counts"
    )


def negative_binomial_size(mean: float, noise: tuple[float, float]) -> float:
    """Size ``1 / (a0 + a1 / mean - 1 / mean)`` at this mean; infinite (Poisson) where that is
    not positive.
    """
    if not mean > 0:
        return float("inf")
    excess = noise[0] + (noise[1] - 1) / mean
    # Below a millionth the two laws cannot be told apart.
    return 1 / excess if excess > 1e-6 else float("inf")


def template(
    regions: NDArray[np.integer[Any]], levels: Mapping[int, float], *, background: float = 95.0
) -> Exact:
    """The painted pattern itself, ``1 - level / 100`` of each spot, for plain correlation.

    Parameters
    ----------
    regions, levels, background
        As in `simulate_pattern`.

    Returns
    -------
    numpy.ndarray
        (n_spots,) float64 in [0, 1); higher where more expression is wanted.

    Raises
    ------
    ParameterError
        As in `simulate_pattern`.
    """
    out = np.empty(np.size(regions))
    for spots, percent in _regions(regions, levels, background):
        out[spots] = 1 - percent / 100
    return out


def template_correlation(values: sp.spmatrix, pattern: NDArray[np.floating[Any]]) -> Exact:
    """Pearson correlation of every gene with a pattern over the spots, sparse throughout.

    Parameters
    ----------
    values
        (n_spots, n_genes) sparse, for example log-normalised counts.
    pattern
        (n_spots,) such as `template`.

    Returns
    -------
    numpy.ndarray
        (n_genes,) float64 in [-1, 1]; 0 for constant genes.

    Raises
    ------
    ParameterError
        If lengths differ or the pattern is the same everywhere.
    """
    pattern = np.asarray(pattern, dtype=np.float64)
    if pattern.shape != values.shape[:1]:
        raise ParameterError(
            f"the pattern has shape {pattern.shape} for {values.shape[0]} spots",
            "give one value for each spot",
        )
    centred = pattern - pattern.mean()
    norm = float(np.linalg.norm(centred))
    if not norm > 1e-12 * max(float(np.linalg.norm(pattern)), 1e-300):
        raise ParameterError(
            "the pattern is the same everywhere", "paint a region with another level than the rest"
        )
    exact = sp.csc_matrix(values, dtype=np.float64)
    mean, variance = mean_variance_axis(exact, axis=0)
    usable = variance > 1e-12 * np.maximum(mean**2, 1e-12)
    shared = exact.T @ (centred / norm)
    out = np.zeros(len(mean))
    np.divide(shared, np.sqrt(variance * len(pattern)), out=out, where=usable)
    return np.clip(out, -1.0, 1.0)


def _regions(
    regions: NDArray[np.integer[Any]], levels: Mapping[int, float], background: float
) -> Iterator[tuple[NDArray[np.intp], float]]:
    """Spots and wanted percent of each region and of the background."""
    regions = np.asarray(regions)
    if regions.ndim != 1 or not regions.size or not np.issubdtype(regions.dtype, np.integer):
        raise ParameterError(
            f"regions have shape {regions.shape} and type {regions.dtype}",
            "give one whole number for each spot, -1 where nothing is painted",
        )
    if not levels or -1 in levels:
        raise ParameterError(
            "no region has a level" if not levels else "region -1 is the background",
            "give a level for each painted region",
        )
    painted = {int(code) for code in np.unique(regions)} - {-1}
    if painted != set(levels):
        odd = sorted(painted ^ set(levels))[0]
        problem = "no level" if odd in painted else "a level but no spots"
        raise ParameterError(f"region {odd} has {problem}", "give a level for each painted region")
    for code, percent in [*levels.items(), (-1, background)]:
        if not 0 < percent <= 100:
            name = "the background" if code == -1 else f"region {code}"
            raise ParameterError(
                f"the level of {name} is {percent}", "use a percentage above 0 and up to 100"
            )
        spots = np.flatnonzero(regions == code)
        if spots.size:
            yield spots, float(percent)
