"""Spots as touching tiles: one index map per section, painted with codes or values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError, cKDTree

from ..core.lattice import Lattice

__all__ = ["SpotRaster", "rasterise"]

MAX_PIXELS = 4096**2
_CHUNK = 1 << 20
_SLACK = 1.001
"""Corners of cells are exactly one reach away; without slack rounding leaves pinholes."""
_MAX_UNEVEN = 20_000
"""Spots up to which the cells of a square lattice are measured; larger ones are made of bins."""
_CELL, _WIDEST = 1.75, 0.95
"""In pitches: longest side of a triangle inside a cell (a missing spot leaves 2), and the reach
that leaves the hole of a missing spot (1) open."""


@dataclass(frozen=True, eq=False)
class SpotRaster:
    """Which spot covers each pixel of a map of the section.

    Pixels are areas: pixel (row, column) covers ``origin + step * [column, column + 1)`` along
    x and the same with the row along y, so its centre lies half a step further.

    Attributes
    ----------
    index
        (rows, columns) int32, number of the spot, -1 outside.
    origin
        (x, y) of the outer corner of pixel (0, 0), in coordinate units of the section.
    step
        Side of a pixel, in coordinate units.
    reach
        Farthest a pixel is from its spot, in coordinate units.
    """

    index: NDArray[np.int32]
    origin: tuple[float, float]
    step: float
    reach: float

    def centre(self, row: float, column: float) -> tuple[float, float]:
        """(x, y) of the centre of a pixel, in coordinate units."""
        return (
            self.origin[0] + (column + 0.5) * self.step,
            self.origin[1] + (row + 0.5) * self.step,
        )

    def pixels(self, coords: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
        """(n, 2) rows and columns of the pixels in which positions (x, y) lie."""
        found = np.floor((np.asarray(coords) - np.asarray(self.origin)) / self.step)
        return np.asarray(found.astype(np.intp)[:, ::-1])

    def labels(self, codes: NDArray[np.integer[Any]]) -> NDArray[np.unsignedinteger[Any]]:
        """(rows, columns) map of ``codes + 1``; 0 outside and where the code is negative."""
        top = int(codes.max(initial=-1)) + 1
        kind: type[np.unsignedinteger[Any]] = (
            np.uint8 if top <= np.iinfo(np.uint8).max else np.uint16
        )
        # The last entry of the table is hit by the index -1.
        table = np.zeros(len(codes) + 1, dtype=kind)
        table[:-1] = np.maximum(codes, -1) + 1
        return table[self.index]

    def values(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """(rows, columns) float32 map of one number per spot; NaN outside."""
        table = np.full(len(values) + 1, np.nan, dtype=np.float32)
        table[:-1] = values
        return table[self.index]

    def rgba(
        self, codes: NDArray[np.integer[Any]], colors: NDArray[np.floating[Any]]
    ) -> NDArray[np.uint8]:
        """(rows, columns, 4) uint8 picture; ``colors`` is (n_codes, 3 or 4) in [0, 1]."""
        table = np.zeros((len(colors) + 1, 4), dtype=np.uint8)
        table[1:, 3] = 255
        table[1:, : colors.shape[1]] = np.rint(np.asarray(colors) * 255)
        return np.asarray(table[self.labels(codes)])


def rasterise(
    coords: NDArray[np.floating[Any]], lattice: Lattice, *, max_pixels: int = MAX_PIXELS
) -> SpotRaster:
    """The map of the nearest spot within ``lattice.reach``; more where a square lattice is uneven.

    Parameters
    ----------
    coords
        (n_spots, 2) x and y.
    lattice
        Layout and pitch of these spots.
    max_pixels
        Largest map; the pixels grow where 8 (many spots: 6 or 3) per pitch would exceed it.

    Returns
    -------
    SpotRaster
    """
    coords = np.asarray(coords, dtype=np.float64)
    reach = _reach(coords, lattice) * _SLACK
    low, high = coords.min(axis=0) - reach, coords.max(axis=0) + reach
    field = np.maximum(high - low, 1e-9)
    per_pitch = 8 if len(coords) <= 20_000 else 6 if len(coords) <= 200_000 else 3
    step = max(lattice.pitch / per_pitch, float(np.sqrt(field.prod() / max_pixels)))
    columns, rows = (int(n) for n in np.maximum(1, np.ceil(field / step)))
    # Centred, so that the rounding to whole pixels is shared by both sides.
    reach = max(reach, step)
    origin = low - (np.array([columns, rows]) * step - field) / 2
    tree = cKDTree(coords)
    index = np.empty((rows, columns), dtype=np.int32)
    x = origin[0] + (np.arange(columns) + 0.5) * step
    block = max(1, _CHUNK // columns)
    for start in range(0, rows, block):
        y = origin[1] + (np.arange(start, min(start + block, rows)) + 0.5) * step
        grid = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1)
        nearest = tree.query(grid, distance_upper_bound=reach)[1]
        index[start : start + len(y)] = np.where(nearest == len(coords), -1, nearest)
    return SpotRaster(index, (float(origin[0]), float(origin[1])), step, reach)


def _reach(coords: NDArray[np.floating[Any]], lattice: Lattice) -> float:
    """``lattice.reach``, or what the widest cell between neighbouring spots takes.

    Legacy ST spots lie on a square lattice only roughly: between four that are farther apart than
    the pitch says, a pixel would be out of reach of all of them.
    """
    least = lattice.reach
    if lattice.kind != "square" or not 4 <= len(coords) <= _MAX_UNEVEN:
        return least
    try:
        corners = coords[Delaunay(coords).simplices]
    except QhullError:
        # All on one line.
        return least
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    sides = sides[sides.max(axis=1) < _CELL * lattice.pitch]
    half = sides.sum(axis=1) / 2
    area = np.sqrt(np.maximum(half * (half[:, None] - sides).prod(axis=1), 1e-300))
    widest = float((sides.prod(axis=1) / (4 * area)).max(initial=0.0))
    # Regular lattices keep their reach to the last bit.
    return least if widest <= least * _SLACK else min(widest, _WIDEST * lattice.pitch)
