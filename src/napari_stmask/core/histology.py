"""Histology as a lazy multi-scale RGB image in the frame of the section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

__all__ = ["Histology", "checked_affine", "inverse", "swap_axes"]


@dataclass(frozen=True, eq=False)
class Histology:
    """An RGB image and where it lies on the section.

    Attributes
    ----------
    levels
        Arrays (rows, columns, 3) uint8, numpy or dask, finest first, each a downsampled copy
        of the same field.
    scale
        Pixels of the finest level per full-resolution pixel of the section's coordinates
        (``tissue_hires_scalef`` for Visium; 1 for the full-resolution image). Follows from
        ``transform`` where that is given.
    name
        What it is: ``"hires"``, ``"lowres"``, ``"fullres"`` or a file name.
    source
        Path that it was read from, or None.
    transform
        (3, 3) float64 affine from the section's coordinates (x, y, 1) to pixels (column, row, 1)
        of the finest level, whose first pixel covers [0, 1). Without it, ``scale`` alone.
    um_per_px
        Micrometres per pixel of the finest level as the file states it, or None.
    """

    levels: Sequence[Any]
    scale: float = 1.0
    name: str = "image"
    source: str | None = None
    transform: NDArray[np.float64] | None = None
    um_per_px: float | None = None

    def __post_init__(self) -> None:
        self._check_levels()
        if self.transform is None:
            if not (np.isfinite(self.scale) and self.scale > 0):
                raise DataError(
                    f"The scale factor of the histology image {self.name} is {self.scale}",
                    "it must be a positive number; check scalefactors_json.json",
                )
            matrix = np.diag([self.scale, self.scale, 1.0])
        else:
            matrix = checked_affine(self.transform, f"the histology image {self.name}")
            area = abs(float(np.linalg.det(matrix[:2, :2])))
            object.__setattr__(self, "scale", area**0.5)
        object.__setattr__(self, "transform", matrix)

    def _check_levels(self) -> None:
        if not self.levels:
            raise DataError("The histology image has no pixels", "give another image file")
        for level in self.levels:
            if level.ndim != 3 or level.shape[2] != 3 or level.dtype != np.uint8:
                raise DataError(
                    f"The histology image {self.name} has shape {level.shape} and type "
                    f"{level.dtype}, expected rows x columns x 3 of uint8",
                    "convert it to 8-bit RGB",
                )

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) float64 from the section's coordinates to pixels of the finest level."""
        assert self.transform is not None
        return self.transform

    @property
    def upright(self) -> bool:
        """Whether coordinates and pixels differ by one scale factor only."""
        return bool(np.allclose(self.matrix, np.diag([self.scale, self.scale, 1.0]), rtol=1e-9))

    def placed(
        self, *, scale: float | None = None, transform: NDArray[np.float64] | None = None
    ) -> Histology:
        """The same image at another scale, or under another transform."""
        return replace(self, scale=1.0 if scale is None else scale, transform=transform)

    def to_pixels(self, coords: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(n, 2) pixels (column, row) of the finest level from (n, 2) coordinates (x, y)."""
        return np.asarray(coords @ self.matrix[:2, :2].T + self.matrix[:2, 2])

    def corners(self) -> NDArray[np.float64]:
        """(4, 2) coordinates (x, y) of the image's corners, clockwise from the first pixel."""
        rows, columns = self.shape
        pixels = np.array([[0, 0, 1], [columns, 0, 1], [columns, rows, 1], [0, rows, 1]])
        return np.asarray((pixels @ inverse(self.matrix).T)[:, :2])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the finest level."""
        return int(self.levels[0].shape[0]), int(self.levels[0].shape[1])

    @property
    def multiscale(self) -> bool:
        """Whether there is more than one level."""
        return len(self.levels) > 1

    def contains(self, coords: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """(n,) True for positions (x, y; full-resolution pixels) inside the image."""
        rows, cols = self.shape
        x, y = self.to_pixels(coords).T
        return np.asarray((x >= 0) & (y >= 0) & (x < cols) & (y < rows))

    def level_for(self, max_side: int) -> tuple[NDArray[np.uint8], float]:
        """The image at no more than ``max_side`` pixels a side, upright in the section's frame.

        The finest level that is small enough is taken; where even the coarsest is larger, it is
        thinned by a whole stride. A turned, sheared or shifted image is resampled, with white
        where it has no pixels; what lies at negative coordinates is left out.

        Returns
        -------
        image
            (rows, columns, 3) uint8; covers [0, columns / scale) x [0, rows / scale).
        scale
            Its pixels per full-resolution pixel.
        """
        image, ratio = self._small(max_side)
        if self.upright:
            return image, self.scale * ratio
        return self._resampled(image, ratio, max_side, np.zeros(2))

    def picture(self, max_side: int) -> tuple[NDArray[np.uint8], float, tuple[float, float]]:
        """`level_for` of the whole image, wherever it lies.

        Returns
        -------
        image
            (rows, columns, 3) uint8.
        scale
            Its pixels per coordinate unit.
        origin
            (x, y) of the outer corner of its first pixel.
        """
        if self.upright:
            return *self.level_for(max_side), (0.0, 0.0)
        low = self.corners().min(axis=0)
        pixels, scale = self._resampled(*self._small(max_side), max_side, low)
        return pixels, scale, (float(low[0]), float(low[1]))

    def _resampled(
        self, image: NDArray[np.uint8], ratio: float, max_side: int, low: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], float]:
        """``image`` (``ratio`` = its pixels per finest pixel) upright, from ``low``."""
        from scipy.ndimage import affine_transform

        width, height = self.corners().max(axis=0) - low
        if min(width, height) <= 0:
            raise DataError(
                f"The histology image {self.name} lies at negative coordinates only",
                "check its transform",
            )
        scale = min(self.scale * ratio, max_side / max(width, height))
        shape = (max(1, round(height * scale)), max(1, round(width * scale)))
        # From the centre of a pixel of the answer to the centre of one of the image.
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
        matrix = (
            np.linalg.inv(half)
            @ np.diag([ratio, ratio, 1.0])
            @ self.matrix
            @ np.array([[1 / scale, 0.0, low[0]], [0.0, 1 / scale, low[1]], [0.0, 0.0, 1.0]])
            @ half
        )
        turned = swap_axes(matrix)
        channels = [
            affine_transform(image[:, :, channel], turned, output_shape=shape, order=1, cval=255)
            for channel in range(3)
        ]
        return np.stack(channels, axis=2), scale

    def _small(self, max_side: int) -> tuple[NDArray[np.uint8], float]:
        """A level of at most ``max_side`` pixels and its pixels per pixel of the finest."""
        for level in self.levels:
            if max(level.shape[:2]) <= max_side:
                chosen, stride = level, 1
                break
        else:
            chosen = self.levels[-1]
            stride = -(-max(chosen.shape[:2]) // max_side)
        image = np.asarray(chosen[::stride, ::stride])
        return image, image.shape[1] / self.shape[1]


def checked_affine(matrix: Any, what: str) -> NDArray[np.float64]:
    """``matrix`` as a (3, 3) float64 affine that can be inverted.

    Raises
    ------
    DataError
        If it has another shape, is not finite, is a perspective or maps the plane to a line.
    """
    try:
        found = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (3, 3) or not np.isfinite(found).all():
        raise DataError(f"The transform of {what} is not 3 x 3 finite numbers", "give 3 rows of 3")
    if not np.allclose(found[2], [0, 0, 1]):
        raise DataError(
            f"The transform of {what} is a perspective (last row {found[2].tolist()})",
            "give an affine transform, whose last row is 0 0 1",
        )
    if abs(np.linalg.det(found[:2, :2])) < 1e-12:
        raise DataError(f"The transform of {what} cannot be inverted", "check its numbers")
    return found


def swap_axes(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """A (3, 3) affine of (x, y) as one of (row, column), or the other way round."""
    return np.asarray(matrix[[1, 0, 2]][:, [1, 0, 2]])


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (3, 3) affine that undoes ``matrix``."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
