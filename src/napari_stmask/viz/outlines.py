"""The tiles of spots as polygons, and the outlines of what they make up together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.lattice import Lattice

__all__ = ["domain_outlines", "tile_polygons"]

_ROUND = 32
"""Corners of the tile of a lone cell, which has no lattice to take its shape from."""
_SLIT = 1e-4
"""Of a cell's side: gaps narrower than this are none."""
_NEARLY = 1.02
"""Slack against rounding: whole cells of a lattice stay as they are."""


def tile_polygons(coords: NDArray[np.floating[Any]], lattice: Lattice) -> NDArray[np.object_]:
    """What each spot covers: the points nearest to it, no farther away than a lattice cell.

    Inside the tissue these are the hexagons or squares of the lattice, or Voronoi cells where
    positions are irregular; at the border the cell that a complete lattice would give.

    Parameters
    ----------
    coords
        (n_spots, 2) x and y.
    lattice
        Layout and pitch of these spots.

    Returns
    -------
    (n_spots,) shapely polygons
        Empty for all but the first of several spots in one place.
    """
    import shapely

    coords = np.asarray(coords, dtype=np.float64)
    # In pitches from the first spot: one grid for all, whatever the unit and the origin.
    places, first = np.unique((coords - coords[0]) / lattice.pitch, axis=0, return_index=True)
    reach = lattice.reach / lattice.pitch
    # Around, so that every spot has neighbours on all sides and each cell is bounded.
    box = shapely.box(*(places.min(axis=0) - 4), *(places.max(axis=0) + 4))
    cells = _cells(places, box)
    shape = _shape(places, lattice.kind, reach)
    far = _farthest(cells, places) > reach * _NEARLY
    clips = shapely.polygons(places[far][:, None] + shape[None])
    cells[far] = shapely.intersection(cells[far], clips)
    tiles = np.full(len(coords), shapely.Polygon(), dtype=object)
    tiles[first] = shapely.transform(cells, lambda xy: xy * lattice.pitch + coords[0])
    return tiles


def domain_outlines(tiles: NDArray[np.object_], codes: NDArray[np.integer[Any]]) -> dict[int, Any]:
    """The union of the tiles of every domain.

    Parameters
    ----------
    tiles
        (n_spots,) polygons of `tile_polygons`.
    codes
        (n_spots,) domain of each spot; negative for none.

    Returns
    -------
    dict
        Code -> shapely Polygon or MultiPolygon, valid, with holes where other domains lie.
    """
    import shapely

    outlines = {}
    slit = float(np.sqrt(np.median(shapely.area(tiles)))) * _SLIT
    for code in np.unique(codes[codes >= 0]):
        whole = shapely.union_all(tiles[codes == code])
        # Common corners of neighbours differ in the last bits; out and in again closes the slits.
        for step in (slit, -slit):
            whole = shapely.buffer(whole, step, join_style="mitre")
        if not whole.is_empty:
            outlines[int(code)] = whole
    return outlines


def _cells(places: NDArray[np.float64], box: Any) -> NDArray[np.object_]:
    """Voronoi cells in the order of ``places``, inside ``box``."""
    import shapely

    if len(places) == 1:
        return np.array([box], dtype=object)
    regions = shapely.voronoi_polygons(shapely.multipoints(places), extend_to=box, ordered=True)
    # Where four cells meet, corners come out twice in no order; cells are convex, so their hull
    # is the cell.
    hulls = shapely.convex_hull(np.asarray(shapely.get_parts(regions)))
    return np.asarray(shapely.intersection(hulls, box))


def _farthest(cells: NDArray[np.object_], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) distance of the farthest corner of each cell from its spot."""
    import shapely

    corners, owner = shapely.get_coordinates(cells, return_index=True)
    distance = np.linalg.norm(corners - places[owner], axis=1)
    farthest = np.zeros(len(places))
    np.maximum.at(farthest, owner, distance)
    return farthest


def _shape(places: NDArray[np.float64], kind: str, reach: float) -> NDArray[np.float64]:
    """(corners, 2) of a whole cell around the origin, turned as the lattice is."""
    if kind == "irregular":
        corners, turn = _ROUND, 0.0
        # Outside the polygon's corners, so that it holds the whole disc.
        radius = reach / math.cos(math.pi / _ROUND)
    else:
        corners = 6 if kind == "hexagonal" else 4
        # Cells point half a step away from the neighbours.
        turn = _direction(places, corners) + math.pi / corners
        radius = reach
    angles = turn + 2 * math.pi * np.arange(corners) / corners
    return radius * np.column_stack([np.cos(angles), np.sin(angles)])


def _direction(places: NDArray[np.float64], fold: int) -> float:
    """Angle of the links between neighbours one pitch apart, up to the lattice's own symmetry."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(places).query_pairs(1.2, output_type="ndarray")
    if not len(pairs):
        return 0.0
    step = places[pairs[:, 1]] - places[pairs[:, 0]]
    turned = np.exp(1j * fold * np.arctan2(step[:, 1], step[:, 0])).mean()
    return float(np.angle(turned)) / fold
