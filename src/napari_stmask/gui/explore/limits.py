"""Ends of the colours of several kinds of values, linked or each for itself; no Qt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..limits import Limits, apart, default_limits

__all__ = ["followed", "together"]


def together(own: Sequence[Limits], units: Sequence[str]) -> list[Limits]:
    """Limits of each kind of values, widened to one range for all of the same unit."""
    found = []
    for unit in units:
        same = [limits for limits, other in zip(own, units, strict=True) if other == unit]
        found.append((min(low for low, _ in same), max(high for _, high in same)))
    return found


def followed(limits: Limits, known: NDArray[np.float64], other: NDArray[np.float64]) -> Limits:
    """Limits of values in another unit that cut off the same shares of the spots.

    Parameters
    ----------
    limits
        Of the values that lead.
    known, other
        Sorted values without zeros of those that lead, and of those that follow.

    Returns
    -------
    tuple
        The values of ``other`` at the same ranks; 0 stays 0, and what lies beyond the largest
        value stays as far beyond it.
    """
    if not known.size or not other.size:
        return default_limits(other)
    low, high = (_at(value, known, other) for value in limits)
    return apart(low, high)


def _at(value: float, known: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if value == 0:
        return 0.0
    if value > known[-1] > 0:
        return float(value / known[-1] * other[-1])
    if value < known[0]:
        # Between nothing and the smallest value.
        return float(min(other[0], 0.0) if known[0] <= 0 else value / known[0] * other[0])
    # The middle rank of equal values, as counts have many.
    left, right = (np.searchsorted(known, value, side=side) for side in ("left", "right"))
    share = (left + max(right - 1, left)) / 2 / max(known.size - 1, 1)
    return float(np.quantile(other, min(share, 1.0)))
