"""Squares of the histology around each spot, read piece by piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..core.errors import DataError, ParameterError
from ..core.histology import Histology
from ..core.section import Section
from .pieces import CACHE_BYTES, Pieces
from .stain import OVERVIEW, Pixels, Stain, normaliser, tissue_mask

__all__ = ["CACHE_BYTES", "NATIVE_PIXELS", "Patches", "patch_side", "tissue_fraction"]

NATIVE_PIXELS = (16, 224)
"""Smallest and largest side of a patch whose size nobody asked for."""
MAX_WINDOW = 4096
"""Largest side, in pixels of the level that is read, of what one patch covers."""
_DIAMETER = {"visium": 0.55, "st": 0.5}
"""Spot diameter over pitch of the arrays whose spots do not touch (55/100 and 100/200 um)."""


def patch_side(section: Section, size: float, unit: Literal["spots", "um"] = "spots") -> float:
    """Side of a square patch in units of the section's coordinates.

    Parameters
    ----------
    section
        Gives the diameter of a spot, or the scale.
    size
        Side in spot diameters or in micrometres; positive.
    unit
        ``"spots"``: the section's spot diameter; where it is unknown, 0.55 of the pitch on a
        hexagonal lattice or for Visium, 0.5 for legacy ST, and the pitch itself for bins and
        cells, which touch. ``"um"``: micrometres.

    Raises
    ------
    ParameterError
        If size or unit is impossible.
    DataError
        If micrometres are asked for and the scale is unknown.
    """
    if not (np.isfinite(size) and size > 0):
        raise ParameterError(f"patch_size is {size}", "give a positive number")
    if unit == "um":
        if section.um_per_px is None:
            raise DataError(
                f"{section.where}: micrometres per coordinate unit are unknown",
                "set um_per_px of the section, or give the patch size in spot diameters",
            )
        return size / section.um_per_px
    if unit != "spots":
        raise ParameterError(f"the unit of the patch size is '{unit}'", "use 'spots' or 'um'")
    if section.spot_diameter is not None:
        return size * section.spot_diameter
    lattice = section.lattice
    touching = 0.55 if lattice.kind == "hexagonal" else 1.0
    return size * lattice.pitch * _DIAMETER.get(section.platform, touching)


def tissue_fraction(
    image: Histology, coords: NDArray[np.floating[Any]], side: float
) -> NDArray[np.float64]:
    """Share of each patch that shows tissue, from a coarse copy of the whole image.

    Parameters
    ----------
    image
        Histology of the section.
    coords
        (n, 2) positions (x, y) in coordinate units.
    side
        Side of a patch in coordinate units.

    Returns
    -------
    numpy.ndarray
        (n,) float64 in [0, 1]; what lies outside the image counts as no tissue.
    """
    pixels, scale, origin = image.picture(OVERVIEW)
    total = np.pad(tissue_mask(pixels).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    low = np.rint((np.asarray(coords) - origin - side / 2) * scale).astype(np.int64)
    wide = max(1, round(side * scale))
    (left, top), (right, bottom) = (
        np.clip(corner.T, 0, np.array([[total.shape[1] - 1], [total.shape[0] - 1]]))
        for corner in (low, low + wide)
    )
    inside = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    return np.asarray(inside / wide**2)


class Patches:
    """Square patches centred on spots, upright in the frame of the section.

    Nothing is read before it is asked for. The coarsest level of the image that has at least
    the wanted resolution is taken; the rest is averaged away. At the border the image is
    mirrored. Rows of a patch follow y, columns follow x, for turned and sheared images too.

    Parameters
    ----------
    image
        Histology of the section.
    coords
        (n, 2) positions (x, y) in coordinate units.
    side
        Side of a patch in coordinate units.
    pixels
        Side of a patch in pixels; None for what the image has, within `NATIVE_PIXELS`.
    stain
        Normalisation of colours, see `stain.normaliser`.

    Attributes
    ----------
    pixels
        Side of each patch in pixels.
    level
        Which level of the image is read; 0 is the finest.
    outside
        (n,) True for spots whose centre lies outside the image.

    Raises
    ------
    ParameterError
        If side, pixels or stain is impossible.
    DataError
        If there are positions that are not finite.
    """

    def __init__(
        self,
        image: Histology,
        coords: NDArray[np.floating[Any]],
        *,
        side: float,
        pixels: int | None = None,
        stain: Stain = "none",
    ) -> None:
        coords = np.asarray(coords, dtype=np.float64)
        if coords.ndim != 2 or coords.shape[1] != 2 or not np.isfinite(coords).all():
            raise DataError("Positions of patches are not n x 2 finite numbers", "check them")
        if not (np.isfinite(side) and side > 0):
            raise ParameterError(f"the side of a patch is {side}", "give a positive number")
        if pixels is not None and not 1 <= pixels <= MAX_WINDOW:
            raise ParameterError(f"a patch of {pixels} pixels", f"use 1 to {MAX_WINDOW}")
        self.image, self.side, self.stain = image, float(side), stain
        native = side * image.scale
        self.pixels = pixels or int(np.clip(round(native), *NATIVE_PIXELS))
        self.level = self._choose_level(native)
        level = image.levels[self.level]
        ratio = np.array([level.shape[1], level.shape[0]]) / image.shape[::-1]
        # Pixels (column, row) of the level for each pixel (column, row) of a patch.
        self._step = ratio[:, None] * image.matrix[:2, :2] * (side / self.pixels)
        self._centres = image.to_pixels(coords) * ratio
        # What one pixel of the answer is averaged from reaches beyond the square.
        reach = np.abs(self._step).sum(axis=1)
        self._half = reach * (self.pixels / 2) + np.ceil(reach) + 1
        if 2 * self._half.max() > MAX_WINDOW + 64:
            raise ParameterError(
                f"a patch would cover {2 * self._half.max():.0f} pixels of the histology image "
                f"{image.name}, the limit is {MAX_WINDOW}",
                "choose a smaller patch or give an image with several resolutions",
            )
        self.outside = ~image.contains(coords)
        self._pieces = Pieces(level)

    def _choose_level(self, native: float) -> int:
        """The coarsest level with the wanted resolution, by one percent; else the finest."""
        columns = self.image.shape[1]
        enough = [
            i
            for i, level in enumerate(self.image.levels)
            if native * level.shape[1] / columns >= 0.99 * self.pixels
        ]
        return enough[-1] if enough else 0

    def __len__(self) -> int:
        return len(self._centres)

    @cached_property
    def _normalise(self) -> Callable[[Pixels], Pixels] | None:
        return normaliser(self.image, self.stain)

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """(n,) order of the spots in which each piece of the image is read about once.

        Bands of pieces from top to bottom, as wide as two rows of pieces fit the memory.
        """
        corner = np.maximum(self._centres - self._half, 0)
        column, row = (corner // self._pieces.size[::-1]).astype(np.int64).T
        return np.lexsort((column, row, column // self._pieces.band))

    def one(self, index: int) -> Pixels:
        """Patch of one spot, (pixels, pixels, 3) uint8."""
        patch = self._cut(index)
        return patch if self._normalise is None else self._normalise(patch)

    def blocks(self, rows: int) -> Iterator[tuple[NDArray[np.intp], Pixels]]:
        """All patches, ``rows`` at a time, in the order of the image.

        Yields
        ------
        index
            (m,) spots of this block: ``answer[index] = f(patches)`` puts things in place.
        patches
            (m, pixels, pixels, 3) uint8.
        """
        for start in range(0, len(self), max(1, rows)):
            index = self.order[start : start + max(1, rows)]
            block = np.empty((len(index), self.pixels, self.pixels, 3), dtype=np.uint8)
            for place, i in enumerate(index):
                block[place] = self._cut(i)
            yield index, block if self._normalise is None else self._normalise(block)

    def _cut(self, index: int) -> Pixels:
        centre = self._centres[index]
        low = np.floor(centre - self._half).astype(np.int64)
        high = np.ceil(centre + self._half).astype(np.int64)
        window = self._pieces.window(low[1], high[1], low[0], high[0])
        step = self._step
        if step[0, 1] == step[1, 0] == 0 and step[0, 0] > 0 and step[1, 1] > 0:
            # By far the usual case, and Pillow's triangle filter is the quickest that averages.
            half = np.diag(step) * self.pixels / 2
            box = (*(centre - low - half), *(centre - low + half))
            picture = Image.fromarray(window)
            size = (self.pixels, self.pixels)
            return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box))
        return self._turned(window, centre - low)

    def _turned(self, window: Pixels, centre: NDArray[np.float64]) -> Pixels:
        """Any affine: several samples for each pixel of the answer, then their mean."""
        from scipy.ndimage import affine_transform

        side = self.pixels
        fine = max(1, math.ceil(np.linalg.norm(self._step, 2)))
        matrix = self._step[::-1, ::-1] / fine
        # The middle of the answer is the spot; arrays count from the centre of a pixel.
        offset = centre[::-1] - 0.5 - matrix @ np.full(2, (side * fine - 1) / 2)
        patch = np.empty((side, side, 3), dtype=np.uint8)
        for channel in range(3):
            found = affine_transform(
                window[..., channel], matrix, offset, (side * fine,) * 2, np.float32, order=1,
                mode="nearest",
            )  # fmt: skip
            mean = found.reshape(side, fine, side, fine).mean(axis=(1, 3))
            patch[..., channel] = np.rint(mean)
        return patch
