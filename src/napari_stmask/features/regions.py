"""Parts of one section: what a user drew, and compact pieces with a gap between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..core.errors import DataError, ParameterError

__all__ = ["covering", "enclosed", "inside_box", "inside_polygons", "spatial_pieces", "with_guard"]

Coords = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

_HAIR = 1e-9
"""Rounding that a gap of whole pitches of a lattice may have."""


def inside_polygons(coords: Coords, polygons: Sequence[Coords]) -> Mask:
    """Which positions lie in one of some polygons or on its outline.

    Parameters
    ----------
    coords
        (n_spots, 2) positions (x, y).
    polygons
        Vertices (m, 2) of each in the same unit; the last one is joined to the first. A polygon
        that crosses itself is all that its outline goes around.

    Returns
    -------
    numpy.ndarray
        (n_spots,) bool.

    Raises
    ------
    ParameterError
        If there is none, or one has no area.
    """
    import shapely

    if not len(polygons):
        raise ParameterError("No region is drawn", "draw a polygon around some spots")
    inside = np.zeros(len(coords), dtype=bool)
    x, y = np.asarray(coords, dtype=np.float64).T
    for number, outline in enumerate(polygons, start=1):
        corners = np.asarray(outline, dtype=np.float64)
        if corners.ndim != 2 or corners.shape[1] != 2 or not np.isfinite(corners).all():
            raise ParameterError(
                f"The corners of region {number} are not m x 2 finite numbers", "draw it again"
            )
        area = enclosed(corners) if len(corners) > 2 else shapely.Polygon()
        if not area.area > 0:
            raise ParameterError(f"Region {number} has no area", "draw a polygon of 3 corners")
        shapely.prepare(area)
        inside |= shapely.intersects_xy(area, x, y)
    return inside


def enclosed(corners: NDArray[np.float64]) -> Any:
    """All that an outline goes around, however often: drawn by hand, it may cross itself."""
    import shapely

    lines = shapely.node(shapely.LinearRing(corners))
    return shapely.union_all(shapely.get_parts(shapely.polygonize(shapely.get_parts(lines))))


def covering(coords: Coords, areas: Sequence[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which of many areas cover which positions, outlines included.

    Parameters
    ----------
    coords
        (n_spots, 2) positions (x, y).
    areas
        Shapely geometries in the same unit; empty ones cover nothing.

    Returns
    -------
    area, spot
        (m,) places in ``areas`` and ``coords`` of each pair, sorted by area, then spot.
    """
    import shapely

    points = shapely.points(np.asarray(coords, dtype=np.float64))
    tree = shapely.STRtree(points)
    pairs = tree.query(np.asarray(areas, dtype=object), predicate="intersects")
    order = np.lexsort(pairs[::-1])
    return pairs[0][order].astype(np.intp), pairs[1][order].astype(np.intp)


def inside_box(coords: Coords, box: tuple[float, float, float, float]) -> Mask:
    """Which positions lie in an upright box or on its border, (n_spots,) bool.

    Parameters
    ----------
    coords
        (n_spots, 2) positions (x, y).
    box
        x and y of two opposite corners, in the same unit.

    Raises
    ------
    ParameterError
        If it has no area.
    """
    corners = np.asarray(box, dtype=np.float64)
    if corners.shape != (4,) or not np.isfinite(corners).all():
        raise ParameterError(f"The box {box} is not four finite numbers", "give x0, y0, x1, y1")
    low, high = np.sort(corners.reshape(2, 2), axis=0)
    if not (high > low).all():
        raise ParameterError(f"The box {box} has no area", "give two opposite corners")
    return np.asarray(((coords >= low) & (coords <= high)).all(axis=1))


def with_guard(coords: Coords, inside: Mask, gap: float) -> tuple[Mask, Mask]:
    """Spots to learn from and spots to predict, with a gap between them.

    Neighbouring spots are alike: without a gap, a prediction beside what was learnt looks
    better than it is.

    Parameters
    ----------
    coords
        (n_spots, 2) positions.
    inside
        (n_spots,) True for spots to learn from.
    gap
        Every spot to predict is farther than this from every spot to learn from, in the unit of
        ``coords``.

    Returns
    -------
    learn, predict
        (n_spots,) bool; spots in the gap are in neither.

    Raises
    ------
    ParameterError
        If the gap is negative.
    DataError
        If no spots are left on one side.
    """
    _check_gap(gap)
    learn = np.asarray(inside, dtype=bool)
    if not learn.any():
        raise DataError("No spot lies in the region to learn from", "draw it around some spots")
    distance = cKDTree(coords[learn]).query(coords)[0]
    predict = ~learn & (distance > gap * (1 + _HAIR))
    if not predict.any():
        raise DataError(
            f"No spot is farther than {gap:g} from the region to learn from",
            "draw a smaller region or use a narrower gap",
        )
    return learn, predict


def spatial_pieces(coords: Coords, n: int, gap: float) -> NDArray[np.intp]:
    """Cut a section into ``n`` compact pieces of about equally many spots.

    Each cut is across the longer side of what is cut, so that spots to the left and the right
    of it are in proportion to the pieces that still have to come from either side. Spots nearer
    to a cut than half of ``gap`` are left out.

    Parameters
    ----------
    coords
        (n_spots, 2) positions.
    n
        Number of pieces.
    gap
        No spot of one piece is nearer than this to a spot of another, in the unit of ``coords``.

    Returns
    -------
    numpy.ndarray
        (n_spots,) piece of each spot from 0 on, -1 in the gaps. The same positions always give
        the same pieces.

    Raises
    ------
    ParameterError
        If n or gap are impossible, or a piece would be empty.
    """
    _check_gap(gap)
    if n < 1:
        raise ParameterError(f"the number of pieces is {n}", "use a whole number of at least 1")
    points = np.asarray(coords, dtype=np.float64)
    codes = np.full(len(points), -1, dtype=np.intp)
    # Places of the spots of a part, its first code, and how many pieces it becomes.
    parts = [(np.arange(len(points)), 0, n)]
    while parts:
        spots, first, count = parts.pop()
        if not spots.size:
            raise ParameterError(
                f"{len(points)} spots cannot be cut into {n} pieces with gaps of {gap:g}",
                "use fewer pieces or a narrower gap",
            )
        if count == 1:
            codes[spots] = first
            continue
        few = count // 2
        low, high = _cut(points[spots], few / count, gap)
        parts += [(spots[low], first, few), (spots[high], first + few, count - few)]
    return codes


def _cut(points: NDArray[np.float64], share: float, gap: float) -> tuple[Mask, Mask]:
    """The two sides of a cut that leaves about ``share`` of the points on the lower one."""
    x = points[:, np.argmax(np.ptp(points, axis=0))]
    values, number = np.unique(x, return_counts=True)
    if len(values) == 1:
        return np.ones(len(x), dtype=bool), np.zeros(len(x), dtype=bool)
    # Between two columns of a lattice, never through one.
    below = np.cumsum(number)[:-1]
    at = int(np.argmin(np.abs(below - share * len(x))))
    middle = (values[at] + values[at + 1]) / 2
    half = gap / 2 * (1 - _HAIR)
    return x <= middle - half, x >= middle + half


def _check_gap(gap: float) -> None:
    if not (np.isfinite(gap) and gap >= 0):
        raise ParameterError(f"the gap is {gap}", "give 0 or a positive number")
