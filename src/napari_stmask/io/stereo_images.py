"""Masks and registered images of a Stereo-seq section, and in which frame they lie.

A file's coordinates start at its own origin, which lies at an offset on the chip. Images that
belong to it start either there too, as the vendor's do, or at the origin of the chip.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, FileFormatError, MissingFileError, ResourceError
from .bins import MAX_CELL, Records
from .guard import PNG, TIFF, guarded, kind_of

__all__ = ["Mask", "find_image", "find_tissue", "open_mask", "stem"]

MAX_MASK_BYTES = 2_000_000_000
"""Most bytes of a mask: numbered cells of a field of 1 cm, or the tissue of one of 2 cm."""
_WHAT = "a mask (TIFF or PNG with one grey channel)"
_TISSUE = ("tissue_cut", "tissue_mask")
_CHIP = re.compile(r"[A-Z]{1,3}\d{5,}[A-Z0-9]*(?:_[A-Z]\d+)?")
"""Serial number of a chip, such as SS200000135TL_D1 or A02598A4."""
_STAINS = ("he", "ssdna", "dapi")


@dataclass
class Mask:
    """Cells or tissue on the grid of DNB.

    Attributes
    ----------
    path
        File that it was read from.
    values
        (rows, columns) integers or bool; 0 is outside.
    origin
        (x, y) of its first pixel in the frame of the file of records.
    """

    path: Path
    values: NDArray[Any]
    origin: tuple[int, int] = (0, 0)

    def at(self, r: Records, origin: tuple[int, int] | None = None) -> NDArray[Any]:
        """(n,) values under the records, 0 beyond the edges."""
        left, top = self.origin if origin is None else origin
        x, y = r.x.astype(np.int64) - left, r.y.astype(np.int64) - top
        rows, columns = self.values.shape
        inside = (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
        if inside.all():
            return np.asarray(self.values[y, x])
        found = np.zeros(x.size, dtype=self.values.dtype)
        found[inside] = self.values[y[inside], x[inside]]
        return found

    def tissue(self, r: Records) -> Records:
        """The records on pixels that are not 0."""
        return r.only(self.at(r) != 0)

    def cells(self, r: Records) -> Records:
        """The records inside cells, with the numbers of their cells."""
        cell = self.at(r)
        return Records(r.x, r.y, r.gene, r.count, cell).only(cell != 0)

    def regions(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Pixels of each label and the means of their x and y, in the frame of the records.

        Returns
        -------
        area
            (largest label + 1,) int64.
        centre
            (largest label + 1, 2) float64, x and y; the middle of a pixel is at a half.
        """
        n = int(self.values.max()) + 1
        area, sums = np.zeros(n, np.int64), np.zeros((n, 2))
        for top in range(0, len(self.values), 1024):
            part = self.values[top : top + 1024]
            y, x = np.nonzero(part)
            label = part[y, x]
            area += np.bincount(label, minlength=n)
            for axis, place in enumerate((x, y + top)):
                sums[:, axis] += np.bincount(label, place, n)
        return area, sums / np.maximum(area, 1)[:, None] + 0.5 + self.origin


def open_mask(path: Path, *, cells: bool) -> Mask:
    """Read a mask.

    Parameters
    ----------
    path
        TIFF or PNG with one channel.
    cells
        True for numbered cells: where the image has only one value beside 0, pixels that touch by
        an edge are one cell. False for the tissue.

    Raises
    ------
    MissingFileError, FileFormatError, DataError, ResourceError
        If there is no such file, it is no such image, it is empty, or it does not fit into memory.
    """
    if not path.is_file():
        raise MissingFileError(f"There is no mask {path}", "check the path")
    with guarded(path, _WHAT):
        values = np.squeeze(_pixels(path))
    if values.ndim != 2 or values.dtype.kind not in "biu":
        raise FileFormatError(
            f"{path} has shape {values.shape} and type {values.dtype}, expected {_WHAT}",
            "export it as one channel of whole numbers",
        )
    top = int(values.max(initial=0))
    if top == 0:
        raise DataError(f"{path} is empty: all pixels are 0", "give another mask")
    if not cells:
        return Mask(path, values != 0)
    if _is_binary(values, top):
        from skimage.measure import label

        from ..core.memory import available_bytes, human

        if values.size * 8 > available_bytes():
            raise ResourceError(
                f"Finding the cells of {path} takes {human(values.size * 8)}",
                "give a mask whose cells are numbered",
            )
        values = label(values != 0, connectivity=1)  # type: ignore[no-untyped-call]
        top = int(values.max())
    if top > MAX_CELL or int(values.min()) < 0:
        raise DataError(
            f"{path} numbers cells from {values.min()} to {top}, the limit is {MAX_CELL}",
            "number the cells from 1 on",
        )
    return Mask(path, values)


def _pixels(path: Path) -> NDArray[Any]:
    kind = kind_of(path)
    if kind == TIFF:
        import tifffile

        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            _check_size(path, page.shape, page.dtype.itemsize if page.dtype else 1)
            pieces = zip(page.dataoffsets, page.databytecounts, strict=False)
            if any(start + count > path.stat().st_size for start, count in pieces):
                raise FileFormatError(
                    f"{path} ends before the image data does", "copy or download the file again"
                )
            return np.asarray(page.asarray())
    if kind == PNG:
        from PIL import PngImagePlugin

        with PngImagePlugin.PngImageFile(path) as picture:
            _check_size(path, picture.size, 4)
            return np.asarray(picture)
    raise FileFormatError(f"{path} is not {_WHAT}", "convert it to TIFF")


def _check_size(path: Path, shape: tuple[int, ...], itemsize: int) -> None:
    from ..core.memory import human

    size = float(np.prod(shape, dtype=np.float64)) * itemsize
    if size > MAX_MASK_BYTES:
        raise FileFormatError(
            f"{path} has {human(size)} of pixels, the limit for a mask is {human(MAX_MASK_BYTES)}",
            "crop it to the tissue",
        )


def _is_binary(values: NDArray[Any], top: int) -> bool:
    """Whether no value but 0 and the largest occurs."""
    return all(
        bool(((part == 0) | (part == top)).all())
        for part in (values[i : i + 1024] for i in range(0, len(values), 1024))
    )


def find_tissue(path: Path, chip: str | None) -> Path | None:
    """The mask of the tissue that lies beside a file, named as the vendor does."""
    found = [p for p in _beside(path, chip) if any(word in p.name.lower() for word in _TISSUE)]
    return found[0] if len(found) == 1 else None


def find_image(path: Path, chip: str | None) -> Path | None:
    """The registered image that lies beside a file: H&E before ssDNA before DAPI."""
    found = [
        p
        for p in _beside(path, chip)
        if "regist" in p.name.lower() and not any(word in p.name.lower() for word in _TISSUE)
    ]

    def stain(p: Path) -> int:
        words = p.name.lower().replace("-", "_").split("_")
        return next((i for i, name in enumerate(_STAINS) if name in words), len(_STAINS))

    best = [p for p in found if stain(p) == min(map(stain, found))]
    return best[0] if len(best) == 1 else None


def stem(path: Path) -> str:
    """The name of a file without the suffixes of its format."""
    name = path.name
    for suffix in (".gz", ".txt", ".tsv", ".csv", ".gem", ".gef"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return name


def _beside(path: Path, chip: str | None) -> list[Path]:
    """TIFF beside a file; of its chip, where one is named after it, and never of another chip."""
    try:
        images = sorted(p for p in path.parent.iterdir() if p.suffix.lower() in (".tif", ".tiff"))
    except OSError:
        return []
    key = chip or stem(path)
    same = [p for p in images if key in p.name]
    if same or _CHIP.search(key) is None:
        return same or images
    return [p for p in images if _CHIP.search(p.name) is None]
