"""Histology as a lazy multi-scale RGB image in the frame of the section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

__all__ = ["Histology"]


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
        (``tissue_hires_scalef`` for Visium; 1 for the full-resolution image).
    name
        What it is: ``"hires"``, ``"lowres"``, ``"fullres"`` or a file name.
    source
        Path that it was read from, or None.
    """

    levels: Sequence[Any]
    scale: float = 1.0
    name: str = "image"
    source: str | None = field(default=None)

    def __post_init__(self) -> None:
        if not self.levels:
            raise DataError("The histology image has no pixels", "give another image file")
        for level in self.levels:
            if level.ndim != 3 or level.shape[2] != 3 or level.dtype != np.uint8:
                raise DataError(
                    f"The histology image {self.name} has shape {level.shape} and type "
                    f"{level.dtype}, expected rows x columns x 3 of uint8",
                    "convert it to 8-bit RGB",
                )
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise DataError(
                f"The scale factor of the histology image {self.name} is {self.scale}",
                "it must be a positive number; check scalefactors_json.json",
            )

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
        x, y = coords[:, 0] * self.scale, coords[:, 1] * self.scale
        return np.asarray((x >= 0) & (y >= 0) & (x < cols) & (y < rows))

    def level_for(self, max_side: int) -> tuple[NDArray[np.uint8], float]:
        """The finest level whose longer side is at most ``max_side`` pixels, in memory.

        Where even the coarsest level is larger, that level is thinned by a whole stride.

        Returns
        -------
        image
            (rows, columns, 3) uint8.
        scale
            Its pixels per full-resolution pixel.
        """
        for level in self.levels:
            if max(level.shape[:2]) <= max_side:
                chosen, stride = level, 1
                break
        else:
            chosen = self.levels[-1]
            stride = -(-max(chosen.shape[:2]) // max_side)
        image = np.asarray(chosen[::stride, ::stride])
        return image, self.scale * image.shape[1] / self.shape[1]
