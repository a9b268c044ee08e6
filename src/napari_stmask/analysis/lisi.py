"""How mixed the neighbourhood of each spot is: the local inverse Simpson's index.

Korsunsky et al., Harmony, Nature Methods 2019. The index is the number of groups that would
give the same mixing if all were equally frequent: 1 where all neighbours are of one group, the
number of groups where all are as frequent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from ..core.errors import DataError, ParameterError
from ..core.progress import Progress, Steps, drain

__all__ = [
    "NEIGHBOURS",
    "PERPLEXITY",
    "calibrated_weights",
    "f1_lisi",
    "inverse_simpson",
    "lisi",
    "nearest_rows_steps",
]

NEIGHBOURS, PERPLEXITY = 90, 30.0
_TREE_UP_TO = 8
"""Width up to which a tree finds neighbours sooner than looking at every pair does."""
_PAIRS = 20_000_000
"""Pairs that are looked at between two events: about a tenth of a second."""
_TOLERANCE, _HALVINGS = 1e-5, 50

Values = NDArray[np.floating[Any]]
Codes = NDArray[np.integer[Any]]
Exact = NDArray[np.float64]
Index = NDArray[np.intp]


def lisi(
    values: Values, codes: Codes, *, k: int = NEIGHBOURS, perplexity: float = PERPLEXITY
) -> Exact:
    """Local inverse Simpson's index of each spot, as harmonypy's ``compute_lisi`` has it.

    Each of the ``k`` nearest spots, itself excluded, weighs exp(-b d) with d its distance and b
    found by bisection so that the weights have the ``perplexity``. With p the share of a group
    in the weights, the index is 1 / sum of p squared.

    Parameters
    ----------
    values
        (n_spots, width) embedding.
    codes
        (n_spots,) group of each spot. Spots with a negative code are nobody's neighbours.
    k
        Neighbours, at most the other spots that have a group.
    perplexity
        Effective number of neighbours; a third of their number where there are fewer than three
        times as many.

    Returns
    -------
    numpy.ndarray
        (n_spots,) float64 between 1 and the number of groups; NaN for negative codes.

    Raises
    ------
    ParameterError
        If ``k`` or ``perplexity`` is out of range.
    DataError
        If fewer than two spots have a group, or values are not finite.

    Notes
    -----
    O(n² width) time above 8 dimensions (2 CPU-seconds at 20,000 spots and 30 dimensions),
    O(n k) memory.
    """
    if k < 1 or not 1 <= perplexity <= k:
        raise ParameterError(
            f"LISI was asked for with {k} neighbours and a perplexity of {perplexity:g}",
            "use a perplexity of at least 1 and at least as many neighbours",
        )
    out = np.full(len(values), np.nan)
    known = np.flatnonzero(np.asarray(codes) >= 0)
    distances, index = drain(nearest_rows_steps(np.asarray(values)[known], k))
    weights = calibrated_weights(distances, perplexity=perplexity)
    out[known] = inverse_simpson(weights, np.asarray(codes)[known][index])
    return out


def nearest_rows_steps(values: Values, k: int) -> Steps[tuple[Exact, Index]]:
    """Distances and rows of the ``k`` nearest other rows of each row, nearest first.

    Parameters
    ----------
    values
        (n_spots, width).
    k
        Neighbours; at most ``n_spots - 1``.

    Returns
    -------
    distances, index
        (n_spots, k) each, float64 and intp.

    Raises
    ------
    DataError
        If there are fewer than two spots or values are not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    if n < 2:
        raise DataError(f"{n} spots have no neighbours", "use at least two spots")
    if not np.isfinite(values).all():
        raise DataError(
            "the embedding has values that are not finite", "leave the spots concerned out"
        )
    # Distances of pairs come from products, which lose digits far from the origin.
    values = values - values.mean(axis=0)
    k = min(k, n - 1)
    kind = "kd_tree" if values.shape[1] <= _TREE_UP_TO else "brute"
    model = NearestNeighbors(n_neighbors=k + 1, algorithm=kind).fit(values)
    distances, index = np.empty((n, k)), np.empty((n, k), dtype=np.intp)
    step = max(1, _PAIRS // n)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        far, near = model.kneighbors(values[rows])
        own = near == np.arange(n)[rows, None]
        # A spot with more than k twins need not be among its own nearest.
        own[~own.any(axis=1), -1] = True
        distances[rows] = far[~own].reshape(-1, k)
        index[rows] = near[~own].reshape(-1, k)
        yield Progress(rows.stop, n, "finding neighbours")
    return distances, index


def calibrated_weights(distances: Exact, *, perplexity: float = PERPLEXITY) -> Exact:
    """Weights exp(-b d) of the neighbours of each spot, b set so that they have one perplexity.

    Parameters
    ----------
    distances
        (n_spots, k), any unit.
    perplexity
        exp of the entropy of the weights (nats); at most a third of ``k``.

    Returns
    -------
    numpy.ndarray
        (n_spots, k) float64, rows sum to 1. Equal where no b reaches the perplexity, as for
        spots whose neighbours are all equally far.
    """
    n, k = distances.shape
    target = np.log(max(1.0, min(perplexity, k / 3)))
    # The nearest gets distance 0, so that far spots cannot underflow to no weight at all.
    excess = distances - distances.min(axis=1, keepdims=True)
    weights = np.empty((n, k))
    beta, low, high = np.ones(n), np.zeros(n), np.full(n, np.inf)
    open_rows = np.arange(n)
    for _ in range(_HALVINGS):
        part = excess[open_rows]
        one = np.exp(-beta[open_rows, None] * part)
        total = one.sum(axis=1)
        entropy = np.log(total) + beta[open_rows] * (part * one).sum(axis=1) / total
        weights[open_rows] = one / total[:, None]
        wide = entropy > target
        low[open_rows[wide]] = beta[open_rows[wide]]
        high[open_rows[~wide]] = beta[open_rows[~wide]]
        open_rows = open_rows[np.abs(entropy - target) >= _TOLERANCE]
        if not open_rows.size:
            break
        top, bottom = high[open_rows], low[open_rows]
        beta[open_rows] = np.where(
            np.isinf(top), 2 * beta[open_rows], (bottom + np.where(np.isinf(top), 0, top)) / 2
        )
    return weights


def inverse_simpson(weights: Exact, groups: Codes) -> Exact:
    """Effective number of groups among weighted neighbours.

    Parameters
    ----------
    weights
        (n_spots, k), rows sum to 1.
    groups
        (n_spots, k) codes of the neighbours, none negative.

    Returns
    -------
    numpy.ndarray
        (n_spots,) float64.
    """
    total = np.zeros(len(weights))
    for code in np.unique(groups):
        total += np.where(groups == code, weights, 0.0).sum(axis=1) ** 2
    return 1 / total


def f1_lisi(batch: Exact, domain: Exact, *, n_batches: int, n_domains: int) -> Exact:
    """Harmonic mean of the mixing of batches and the separation of domains, per spot.

    With nb = (batch - 1) / (n_batches - 1) and nd = (domain - 1) / (n_domains - 1):
    2 (1 - nd) nb / (1 - nd + nb), as STG3Net's analysis defines it.

    Parameters
    ----------
    batch, domain
        (n_spots,) LISI by batch and by domain.
    n_batches, n_domains
        How many occur. A single domain counts as separated.

    Returns
    -------
    numpy.ndarray
        (n_spots,) float64 in [0, 1]; 0 where batches are apart.
    """
    mixed = np.clip((batch - 1) / (n_batches - 1), 0, 1)
    apart = 1 - np.clip((domain - 1) / max(1, n_domains - 1), 0, 1)
    both = mixed + apart
    return np.where(both > 0, 2 * mixed * apart / np.where(both > 0, both, 1), 0.0)
