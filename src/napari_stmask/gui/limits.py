"""Ends of the colours of one number a spot; no Qt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Limits", "apart", "default_limits", "ordered"]

Limits = tuple[float, float]
_ENDS = (0.01, 0.99)
_LEAST = 1e-6
_HIGH = 0.5
"""Share of the upper end above which the lower one is not put to 0: a gene that is high in every
spot would have one colour."""


def ordered(values: NDArray[Any]) -> NDArray[np.float64]:
    """Values that are finite and not zero, sorted."""
    known = np.asarray(values, dtype=np.float64)
    return np.sort(known[np.isfinite(known) & (known != 0)])


def default_limits(known: NDArray[np.float64]) -> Limits:
    """1st and 99th percentile of sorted values without zeros.

    From 0 where none is negative, unless even the 1st percentile is more than half of the 99th.
    """
    if not known.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.quantile(known, _ENDS))
    low = 0.0 if known[0] >= 0 and low <= _HIGH * high else low
    return apart(low, high)


def apart(low: float, high: float) -> Limits:
    """The two ends, the upper one above the lower."""
    return low, max(high, low + _LEAST)
