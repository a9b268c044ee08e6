"""Turns, shifts and mirrorings of the plane as (3, 3) matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "APART",
    "Matrix",
    "Points",
    "Pose",
    "distinct",
    "is_mirrored",
    "moved",
    "rigid_about",
    "rigid_fit",
    "turned_start",
]

Matrix = NDArray[np.float64]
Points = NDArray[np.floating[Any]]

APART = 2.0
"""Pitches between two poses that are not the same."""


@dataclass(frozen=True, eq=False)
class Pose:
    """One way to put a section on another.

    Attributes
    ----------
    matrix
        (3, 3) float64, from (x, y, 1) of the moving section to the fixed one, in µm, or in units
        of the coordinates where no scale is known.
    residual
        Trimmed mean distance between the outlines, in the same unit; NaN where none was measured.
    agreement
        Correlation of what lies on one another, expression or histology, in [-1, 1]; None
        where neither was used.
    """

    matrix: Matrix
    residual: float
    agreement: float | None = None


def moved(matrix: Matrix, points: Points) -> NDArray[np.float64]:
    """(n, 2) points under a (3, 3) affine."""
    return np.asarray(points @ matrix[:2, :2].T + matrix[:2, 2], dtype=np.float64)


def is_mirrored(matrix: Matrix) -> bool:
    """Whether an affine turns left hands into right ones."""
    return bool(np.linalg.det(matrix[:2, :2]) < 0)


def rigid_about(centre: Points, angle: float, shift: Points) -> Matrix:
    """Turn by ``angle`` (radians, from x to y) about ``centre`` (2,), then move by ``shift``."""
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    matrix[:2, 2] = centre + np.asarray(shift) - matrix[:2, :2] @ centre
    return matrix


def rigid_fit(moving: Points, fixed: Points) -> Matrix:
    """Turn and shift of least squares, without mirroring or scaling (Kabsch, in the plane).

    Parameters
    ----------
    moving, fixed
        (n, 2) points that belong together.
    """
    a, b = moving.mean(axis=0), fixed.mean(axis=0)
    spread = (moving - a).T @ (fixed - b)
    angle = math.atan2(spread[0, 1] - spread[1, 0], spread[0, 0] + spread[1, 1])
    return rigid_about(a, angle, b - a)


def turned_start(moving: Points, fixed: Points, angle: float, *, mirror: bool) -> Matrix:
    """Centroid on centroid, turned by ``angle`` (radians), mirrored left to right before."""
    flip = np.diag([-1.0 if mirror else 1.0, 1.0, 1.0])
    centre = moved(flip, moving).mean(axis=0)
    return np.asarray(rigid_about(centre, angle, fixed.mean(axis=0) - centre) @ flip)


def distinct(poses: Sequence[Pose], points: Points, apart: float) -> list[Pose]:
    """``poses`` in their order without those like an earlier one.

    Parameters
    ----------
    poses
        Best first.
    points
        (n, 2) of the moving section.
    apart
        Mean distance of the points between two poses from which they are different ones.
    """
    kept: list[Pose] = []
    places: list[NDArray[np.float64]] = []
    for pose in poses:
        place = moved(pose.matrix, points)
        if all(np.linalg.norm(place - other, axis=1).mean() > apart for other in places):
            kept.append(pose)
            places.append(place)
    return kept
