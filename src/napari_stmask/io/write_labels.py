"""Domains as a label image in the pixels of the histology (OME-TIFF)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .domains_of import Partition, domains_of

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

    from ..core.section import Section
    from ..viz.raster import SpotRaster

__all__ = ["write_labels"]

_TILE = 512
_SMALLEST = 1024


def write_labels(section: Section, path: Path, column: str | None = None) -> None:
    """Write a tiled, compressed pyramid of domain numbers: 1 to k, 0 outside.

    The pixels are those of the finest level of the section's histology; without histology those
    of the map that the viewer shows. Names of the domains are in the image's description, the
    pixel size in its metadata. Made tile by tile, so that the size of the slide does not matter.

    Parameters
    ----------
    section
        With domains.
    path
        File to write.
    column
        Column of ``obs``; what the latest run wrote by default.

    Raises
    ------
    ParameterError
        See `domains_of`.
    """
    import tifffile

    found = domains_of(section, column)
    field = _Field(section, found)
    levels = [1]
    while max(field.shape) // levels[-1] > _SMALLEST:
        levels.append(levels[-1] * 2)
    options: dict[str, Any] = {"tile": (_TILE, _TILE), "compression": "zlib", "dtype": field.dtype}
    metadata: dict[str, Any] = {
        "axes": "YX",
        "Name": found.column,
        "Description": "; ".join(f"{i}: {name}" for i, name in enumerate(found.names, start=1)),
    }
    if field.um_per_px is not None:
        for axis in "XY":
            metadata |= {f"PhysicalSize{axis}": field.um_per_px, f"PhysicalSize{axis}Unit": "µm"}
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
        for i, step in enumerate(levels):
            file.write(
                field.tiles(step),
                shape=field.level_shape(step),
                subifds=len(levels) - 1 if i == 0 else None,
                subfiletype=1 if i else 0,
                metadata=metadata if i == 0 else None,
                **options,
            )


class _Field:
    """Domain numbers of any pixel of the image, looked up when asked for.

    The map of the viewer answers for most pixels; only where its neighbours differ is the nearest
    spot searched for, so that borders are sharp at any magnification.
    """

    def __init__(self, section: Section, found: Partition) -> None:
        from scipy.spatial import cKDTree

        from ..core.histology import inverse
        from ..viz.raster import rasterise

        self.raster: SpotRaster = rasterise(section.coords, section.lattice)
        self.map = self.raster.labels(found.codes)
        self.dtype = self.map.dtype
        self.mixed = _borders(self.map)
        self.tree: cKDTree = cKDTree(section.coords)
        self.numbers = np.append(found.codes + 1, 0).astype(self.dtype)
        self.reach = self.raster.reach
        unit = section.um_per_px
        if section.image is None:
            self.shape = self.map.shape
            x, y = self.raster.origin
            step = self.raster.step
            self.to_coords = np.array([[step, 0.0, x], [0.0, step, y], [0.0, 0.0, 1.0]])
            scale = 1 / step
        else:
            self.shape = section.image.shape
            self.to_coords = inverse(section.image.matrix)
            scale = section.image.scale
        self.um_per_px = None if unit is None else unit / scale
        left, top = self.raster.origin
        cell = 1 / self.raster.step
        to_cells = np.array([[cell, 0.0, -left * cell], [0.0, cell, -top * cell], [0.0, 0.0, 1.0]])
        self.to_map = to_cells @ self.to_coords

    def level_shape(self, step: int) -> tuple[int, int]:
        return -(-self.shape[0] // step), -(-self.shape[1] // step)

    def tiles(self, step: int) -> Iterator[NDArray[Any]]:
        """The tiles of a level whose pixels are ``step`` of the finest, row by row."""
        rows, columns = self.level_shape(step)
        for top in range(0, rows, _TILE):
            for left in range(0, columns, _TILE):
                bottom, right = min(top + _TILE, rows), min(left + _TILE, columns)
                yield self._labels(np.arange(top, bottom), np.arange(left, right), step)

    def _labels(self, rows: NDArray[np.intp], columns: NDArray[np.intp], step: int) -> NDArray[Any]:
        x, y = (columns[None, :] + 0.5) * step, (rows[:, None] + 0.5) * step
        column, row = (np.floor(a * x + b * y + c).astype(np.intp) for a, b, c in self.to_map[:2])
        inside = (row >= 0) & (row < self.map.shape[0])
        inside &= (column >= 0) & (column < self.map.shape[1])
        row, column = row[inside], column[inside]
        labels = np.zeros(inside.shape, dtype=self.dtype)
        found = self.map[row, column]
        doubtful = np.flatnonzero(self.mixed[row, column])
        if doubtful.size:
            pixels = np.argwhere(inside)[doubtful]
            places = np.column_stack([x[0, pixels[:, 1]], y[pixels[:, 0], 0]])
            coords = places @ self.to_coords[:2, :2].T + self.to_coords[:2, 2]
            nearest = self.tree.query(coords, distance_upper_bound=self.reach)[1]
            found[doubtful] = self.numbers[nearest]
        labels[inside] = found
        return labels


def _borders(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """True for pixels of a map that have a neighbour of another label."""
    from scipy.ndimage import maximum_filter, minimum_filter

    return np.asarray(maximum_filter(labels, 3) != minimum_filter(labels, 3))
