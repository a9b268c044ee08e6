"""Sections laid on one another by their outlines.

Iterative closest points (Besl & McKay, IEEE TPAMI 14, 239, 1992) on the spots of the outline, as
in SpaMask, but from many turns, with the worst matches left out (Chetverikov et al., ICPR 2002),
and with targets that are first blurred over several spots: on a lattice, nearest spots alone hold
a section back in the first position where rows fit rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..core.errors import DataError
from ..core.lattice import Lattice
from ..core.progress import Progress, Steps
from .rigid import APART, Matrix, Points, Pose, distinct, moved, rigid_fit, turned_start

__all__ = ["outline_poses", "outline_residual", "outline_spots"]

TRIM = 0.2
"""Share of the outline that need not fit: tears, and where the array ends."""
STEP_DEGREES = 15
_MOST = 1000
"""Spots of an outline that are fitted; more add time, not precision."""
_LEAST = 6
"""Spots of an outline below which a fit says nothing."""
_BLURS = (2.0, 1.0, 0.5, 0.25)
"""Widths, in pitches, over which targets are blurred in turn. Without them a copy of a real
section that is turned by 20 degrees ends 0.3 pitches off; with them exact."""
_PER_BLUR, _MOST_STEPS = 6, 60
_REACH = 16
"""Spots of the other outline that a blurred target is a mean of."""
_AROUND, _GAP = 16, np.radians(150)
"""Irregular positions: seen from the outline, the 16 nearest leave a gap as wide as this."""
_KEPT = 8
"""Poses that are looked at further."""


def outline_spots(points: Points, lattice: Lattice) -> NDArray[np.bool_]:
    """Which spots are on the outline; holes have one too.

    On a lattice: those that lack a neighbour of the first ring, but not two or more of them all
    (stray spots are no outline). Irregular positions: those whose nearest spots leave a sector of
    150 degrees empty.

    Parameters
    ----------
    points
        (n_spots, 2), in the unit of ``lattice.pitch``.
    lattice
        Layout of the spots.

    Returns
    -------
    numpy.ndarray
        (n_spots,) bool.
    """
    tree = cKDTree(points)
    if lattice.kind != "irregular":
        degree = tree.query_ball_point(points, 1.2 * lattice.pitch, return_length=True) - 1
        return np.asarray((degree >= 2) & (degree < lattice.ring))
    index = tree.query(points, k=min(_AROUND + 1, len(points)))[1][:, 1:]
    delta = points[index] - points[:, None]
    angle = np.sort(np.arctan2(delta[..., 1], delta[..., 0]), axis=1)
    gaps = np.diff(angle, axis=1, append=angle[:, :1] + 2 * np.pi)
    return np.asarray(gaps.max(axis=1) > _GAP)


def outline_residual(matrix: Matrix, moving: Points, fixed: Points) -> float:
    """Trimmed mean distance of the outlines, both ways, in their unit.

    The worst fifth of each outline is left out. Both ways, because a small piece of tissue lies
    well within a large one.
    """
    place = moved(matrix, moving)
    there = cKDTree(fixed).query(place)[0]
    back = cKDTree(place).query(fixed)[0]
    return float((_trimmed(there) + _trimmed(back)) / 2)


def outline_poses(
    moving: Points, fixed: Points, pitch: float, *, mirrors: bool
) -> Steps[list[Pose]]:
    """Ways in which two outlines fit, the best first.

    Parameters
    ----------
    moving, fixed
        (n, 2) spots of the outlines, in one unit.
    pitch
        Distance of neighbouring spots in that unit; the larger one where they differ.
    mirrors
        Try the moving section mirrored too.

    Returns
    -------
    list of Pose
        At least one, at most eight, more than two pitches apart from one another.

    Raises
    ------
    DataError
        If an outline has too few spots.
    """
    if min(len(moving), len(fixed)) < _LEAST:
        raise DataError(
            f"the outline of a section has {min(len(moving), len(fixed))} spots, a fit needs "
            f"{_LEAST}",
            "give landmarks, or no alignment",
        )
    tree = cKDTree(fixed)
    turns = np.radians(np.arange(0, 360, STEP_DEGREES))
    starts = [(turn, mirror) for mirror in (False, True)[: 1 + mirrors] for turn in turns]
    found, fitted = [], moving[:: -(-len(moving) // _MOST)]
    for i, (turn, mirror) in enumerate(starts):
        yield Progress(i, len(starts), "outlines")
        matrix = turned_start(fitted, fixed, turn, mirror=mirror)
        matrix = _blurred(matrix, fitted, fixed, tree, pitch)
        matrix = _closest(matrix, fitted, fixed, tree, 1e-6 * pitch)
        found.append(Pose(matrix, outline_residual(matrix, moving, fixed)))
    found.sort(key=lambda pose: pose.residual)
    return distinct(found, moving, APART * pitch)[:_KEPT]


def _trimmed(distance: NDArray[np.float64]) -> float:
    return float(np.sort(distance)[: _count(len(distance))].mean())


def _count(n: int) -> int:
    return max(3, round((1 - TRIM) * n))


def _blurred(matrix: Matrix, moving: Points, fixed: Points, tree: cKDTree, pitch: float) -> Matrix:
    """Fit to means of near spots, weighted ``exp(-d^2 / 2 width^2)``, of falling width."""
    near = min(_REACH, len(fixed))
    for width in _BLURS:
        for _ in range(_PER_BLUR):
            place = moved(matrix, moving)
            distance, index = tree.query(place, k=near)
            # Relative to the nearest, so that weights do not vanish far away.
            excess = distance**2 - distance[:, :1] ** 2
            weight = np.exp(-excess / (2 * (width * pitch) ** 2))
            weight /= weight.sum(axis=1, keepdims=True)
            target = np.einsum("nk,nkc->nc", weight, fixed[index])
            best = _best(np.linalg.norm(place - target, axis=1))
            matrix = rigid_fit(place[best], target[best]) @ matrix
    return matrix


def _closest(
    matrix: Matrix, moving: Points, fixed: Points, tree: cKDTree, tolerance: float
) -> Matrix:
    """Trimmed closest points until the mean distance changes by less than ``tolerance``."""
    last = np.inf
    for _ in range(_MOST_STEPS):
        place = moved(matrix, moving)
        distance, index = tree.query(place)
        best = _best(distance)
        mean = float(distance[best].mean())
        if abs(last - mean) < tolerance:
            break
        last = mean
        matrix = rigid_fit(place[best], fixed[index[best]]) @ matrix
    return matrix


def _best(distance: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.argsort(distance, kind="stable")[: _count(len(distance))]
