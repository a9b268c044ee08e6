"""Where names beside points go, so that none covers another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["place_labels"]


def place_labels(
    points: NDArray[np.floating],
    sizes: NDArray[np.floating],
    field: tuple[float, float],
    *,
    gap: float = 4.0,
) -> list[tuple[float, float] | None]:
    """Put each label beside its point, the first ones first.

    Parameters
    ----------
    points
        (n, 2) positions in pixels.
    sizes
        (n, 2) width and height of the labels in pixels.
    field
        Width and height of the picture; labels stay within.
    gap
        Distance between a point and its label in pixels.

    Returns
    -------
    list
        Corner of each label with the smallest coordinates; None for one that finds no place to
        the right, to the left, above or below without covering a label or a labelled point.
    """
    taken: list[tuple[float, float, float, float]] = []
    out: list[tuple[float, float] | None] = []
    for (x, y), (w, h) in zip(points, sizes, strict=True):
        found = None
        for left, low in (
            (x + gap, y - h / 2), (x - gap - w, y - h / 2),
            (x - w / 2, y + gap), (x - w / 2, y - gap - h),
        ):  # fmt: skip
            box = (left, low, left + w, low + h)
            inside = left >= 0 and low >= 0 and box[2] <= field[0] and box[3] <= field[1]
            if inside and not any(_overlap(box, other) for other in taken):
                found = (float(left), float(low))
                taken += [box, (x - 2, y - 2, x + 2, y + 2)]
                break
        out.append(found)
    return out


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
