"""Where each spot lies on the picture of a gene: the raster of SpaCEX.

One picture element per spot wherever the spots form a lattice, as SpaCEX does for Visium by
halving the array columns (Genome Biology 26, 287, 2025); a square grid everywhere else. Whether
columns have to be halved is read off the positions, so that a square array is never squeezed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..core.errors import ParameterError
from ..core.lattice import Lattice
from ..core.section import Section
from .graph import gaussian_graph

__all__ = ["Canvas", "gene_canvas"]

Rule = Literal["hexagonal", "square", "grid"]
_OFF = 0.3
"""Farthest, in pitches, that a spot may lie from its place in the lattice."""
_CUT = 3.0
"""Reach of the blur in standard deviations."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """The grid that pictures of genes are drawn on.

    Attributes
    ----------
    height, width
        Rows and columns of the picture.
    pixel
        (n_spots,) int64, ``row * width + column`` of each spot.
    rule
        ``"hexagonal"``: rows of the lattice, every second shifted by half a column;
        ``"square"``: rows and columns of the lattice; ``"grid"``: a square grid over the tissue.
    pitch
        Side of a picture element in coordinate units.
    centres
        (n_occupied, 2) float64 mean position of the spots of each occupied element, in
        picture elements.
    """

    height: int
    width: int
    pixel: NDArray[np.int64]
    rule: Rule
    pitch: float
    centres: NDArray[np.float64]

    @cached_property
    def occupied(self) -> NDArray[np.int64]:
        """(n_occupied,) elements that hold a spot, ascending."""
        return np.unique(self.pixel)

    @cached_property
    def place(self) -> NDArray[np.intp]:
        """(n_spots,) position of each spot's element in `occupied`."""
        return np.asarray(np.searchsorted(self.occupied, self.pixel))

    @cached_property
    def spots_per_pixel(self) -> NDArray[np.int64]:
        """(n_occupied,) number of spots of each occupied element."""
        return np.bincount(self.place, minlength=len(self.occupied)).astype(np.int64)

    @cached_property
    def pooling(self) -> sp.csr_matrix:
        """(n_occupied, n_spots) float32: mean over the spots of an element."""
        n = len(self.pixel)
        share = (1.0 / self.spots_per_pixel[self.place]).astype(np.float32)
        return sp.csr_matrix((share, (self.place, np.arange(n))), (len(self.occupied), n))

    def blur(self, sigma: float) -> sp.csr_matrix | None:
        """Gaussian mean over occupied elements only, by distance on the tissue.

        Distances are those of the spots themselves, so that the shifted rows of a hexagonal
        lattice and the border of the tissue distort nothing.

        Parameters
        ----------
        sigma
            Standard deviation in picture elements; 0 gives None.

        Returns
        -------
        scipy.sparse.csr_matrix or None
            (n_occupied, n_occupied) float32, rows sum to 1.
        """
        if sigma == 0:
            return None
        graph = gaussian_graph(self.centres, sigma, cut=_CUT)
        graph = graph + sp.identity(graph.shape[0], dtype=np.float32, format="csr")
        total = np.asarray(graph.sum(axis=1)).ravel()
        return (sp.diags(1.0 / total) @ graph).tocsr().astype(np.float32)

    def image(self, values: NDArray[np.floating], fill: float = np.nan) -> NDArray[np.float32]:
        """(..., height, width) pictures of (..., n_occupied) values."""
        flat = np.full((*values.shape[:-1], self.height * self.width), fill, dtype=np.float32)
        flat[..., self.occupied] = values
        return flat.reshape(*values.shape[:-1], self.height, self.width)


def gene_canvas(section: Section, *, max_side: int = 96, pixel_size: float | None = None) -> Canvas:
    """Choose the grid for the pictures of a section's genes.

    Parameters
    ----------
    section
        With positions.
    max_side
        Most rows or columns; larger sections get larger elements, each the mean of its spots.
    pixel_size
        Side of an element in coordinate units, on a square grid; None follows the lattice.

    Raises
    ------
    ParameterError
        If a size is not positive, or ``pixel_size`` gives more than ``max_side`` elements.
    """
    if max_side < 2:
        raise ParameterError(f"max_side is {max_side}", "use at least 2")
    coords, lattice = section.coords, section.lattice
    if pixel_size is not None:
        return _given_size(section, pixel_size, max_side)
    found = None if lattice.kind == "irregular" else _rows_and_columns(coords, lattice)
    if found is not None and lattice.kind == "hexagonal":
        row, twice = found[:, 1], 2 * found[:, 0] + found[:, 1]
        column = (twice - twice.min() + 1) // 2
        return _canvas(coords, row - row.min(), column, "hexagonal", lattice.pitch, max_side)
    if found is not None:
        row, column = found[:, 1] - found[:, 1].min(), found[:, 0] - found[:, 0].min()
        return _canvas(coords, row, column, "square", lattice.pitch, max_side)
    side = lattice.pitch
    extent = float(np.ptp(coords, axis=0).max())
    return _grid(coords, max(side, extent / (max_side - 1)), max_side)


def _given_size(section: Section, size: float, max_side: int) -> Canvas:
    if not (np.isfinite(size) and size > 0):
        raise ParameterError(f"pixel_size is {size}", "use a positive number of coordinate units")
    side = int(np.ptp(section.coords, axis=0).max() / size) + 1
    if side > max_side:
        least = np.ptp(section.coords, axis=0).max() / (max_side - 1)
        raise ParameterError(
            f"{section.where}: pixel_size {size:g} gives pictures of {side} elements a side, "
            f"the limit is {max_side}",
            f"use at least {1.005 * least:.3g}, or a larger max_side",
        )
    return _grid(section.coords, size, max_side)


def _grid(coords: NDArray[np.float64], side: float, max_side: int) -> Canvas:
    steps = np.floor((coords - coords.min(axis=0)) / side * (1 + 1e-9)).astype(np.int64)
    return _canvas(coords, steps[:, 1], steps[:, 0], "grid", side, max_side)


def _canvas(
    coords: NDArray[np.float64],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    rule: Rule,
    pitch: float,
    max_side: int,
) -> Canvas:
    """The canvas of given rows and columns, pooled where it would be too large."""
    longest = int(max(row.max(), column.max())) + 1
    factor = -(-longest // max_side)
    row, column = row // factor, column // factor
    height, width = int(row.max()) + 1, int(column.max()) + 1
    pixel = row * width + column
    occupied, place, count = np.unique(pixel, return_inverse=True, return_counts=True)
    size = pitch * factor
    sums = [np.bincount(place, coords[:, axis], len(occupied)) for axis in (0, 1)]
    centres = np.stack(sums, axis=1) / count[:, None] / size
    return Canvas(height, width, pixel, rule, size, centres)


def _rows_and_columns(coords: NDArray[np.float64], lattice: Lattice) -> NDArray[np.int64] | None:
    """(n_spots, 2) steps along the two directions of the lattice; None where spots do not fit.

    The first direction is the one nearest to x. A coarse guess from the links between
    neighbours is refined by least squares over the whole section, as small errors of pitch and
    angle add up over a hundred columns.
    """
    fold, turn = (6, np.pi / 3) if lattice.kind == "hexagonal" else (4, np.pi / 2)
    pairs = cKDTree(coords).query_pairs(1.2 * lattice.pitch, output_type="ndarray")
    delta = coords[pairs[:, 1]] - coords[pairs[:, 0]]
    angle = np.angle(np.exp(1j * fold * np.arctan2(delta[:, 1], delta[:, 0])).mean()) / fold
    directions = np.array([angle, angle + turn])
    basis = lattice.pitch * np.stack([np.cos(directions), np.sin(directions)])
    middle = coords[np.argmin(((coords - np.median(coords, axis=0)) ** 2).sum(axis=1))]
    design = np.ones((len(coords), 3))
    steps = np.linalg.solve(basis, (coords - middle).T).T
    for _ in range(3):
        design[:, :2] = np.round(steps)
        if np.linalg.matrix_rank(design) < 3:
            break
        affine = np.linalg.lstsq(design, coords, rcond=None)[0]
        steps = np.linalg.solve(affine[:2].T, (coords - affine[2]).T).T
    off = np.abs(steps - np.round(steps)).max(axis=1)
    if np.quantile(off, 0.99) > _OFF:
        return None
    return np.asarray(np.round(steps), dtype=np.int64)
