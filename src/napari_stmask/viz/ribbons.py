"""Geometry of two columns of domains joined by ribbons; draws nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Flow", "Ribbon", "bend", "flow"]

_GAP = 0.2
"""Share of the height that is left free between the domains of a column."""
_MOST = 300
"""Ribbons that are drawn at most; thinner ones cannot be told apart."""


@dataclass(frozen=True)
class Ribbon:
    """Spots of domain ``first`` on the left that are in domain ``second`` on the right.

    Attributes
    ----------
    first, second
        Rows and columns of the table.
    spots
        How many.
    left, right
        (upper, lower) ends on both sides, 0 on top and 1 at the bottom.
    """

    first: int
    second: int
    spots: int
    left: tuple[float, float]
    right: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Flow:
    """Where domains and ribbons lie.

    Attributes
    ----------
    left, right
        (k, 2) upper and lower end of each domain by its code, 0 on top and 1 at the bottom.
    ribbons
        The largest first.
    """

    left: NDArray[np.float64]
    right: NDArray[np.float64]
    ribbons: list[Ribbon]


def flow(
    counts: NDArray[np.integer], rows: list[int], columns: list[int], *, most: int = _MOST
) -> Flow:
    """Stack domains on both sides, each as high as it has spots, and join them.

    Parameters
    ----------
    counts
        (k, m) spots of both; one at least.
    rows, columns
        Codes in the order from top to bottom.
    most
        Ribbons to keep, the largest.
    """
    left, right = _stack(counts.sum(axis=1), rows), _stack(counts.sum(axis=0), columns)
    unit = (1 - _GAP) / counts.sum()
    used_left, used_right = left[:, 0].copy(), right[:, 0].copy()
    ribbons = []
    # By column within each row and by row within each column, so that ribbons cross least.
    for i in rows:
        for j in columns:
            spots = int(counts[i, j])
            if not spots:
                continue
            thick = spots * unit
            ends = (used_left[i], used_left[i] + thick), (used_right[j], used_right[j] + thick)
            used_left[i] += thick
            used_right[j] += thick
            ribbons.append(Ribbon(i, j, spots, *((float(a), float(b)) for a, b in ends)))
    ribbons.sort(key=lambda ribbon: -ribbon.spots)
    return Flow(left, right, ribbons[:most])


def bend(ribbon: Ribbon, steps: int = 24) -> NDArray[np.float64]:
    """(2 * steps, 2) outline (x, y) of a ribbon from x = 0 to x = 1, level at both ends."""
    x = np.linspace(0, 1, steps)
    ease = x * x * (3 - 2 * x)
    upper = ribbon.left[0] + (ribbon.right[0] - ribbon.left[0]) * ease
    lower = ribbon.left[1] + (ribbon.right[1] - ribbon.left[1]) * ease
    return np.vstack([np.column_stack([x, upper]), np.column_stack([x, lower])[::-1]])


def _stack(sizes: NDArray[np.integer], order: list[int]) -> NDArray[np.float64]:
    heights = sizes[order] * (1 - _GAP) / sizes.sum()
    gap = _GAP / max(len(order) - 1, 1)
    starts = np.concatenate([[0.0], np.cumsum(heights + gap)[:-1]])
    out = np.zeros((len(sizes), 2))
    out[order] = np.column_stack([starts, starts + heights])
    return out
