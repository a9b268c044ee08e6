"""Open a histology image of any usual kind as a lazy pyramid of 8-bit RGB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import FileFormatError, MissingFileError
from ..core.histology import Histology
from .colour import to_rgb8
from .guard import JPEG, PNG, TIFF, guarded, kind_of
from .lazy import Once, as_dask, pyramid

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

__all__ = ["MAX_PIXELS", "open_histology"]

EAGER_PIXELS = 50_000_000
"""PNG and JPEG up to this size are read at once; larger ones when they are looked at."""
MAX_PIXELS = 1_000_000_000
"""Largest PNG or JPEG that is opened: it has to be decoded as a whole."""
_CONVERT = "convert it to a pyramidal TIFF"


def open_histology(path: str | Path, scale: float = 1.0, name: str | None = None) -> Histology:
    """Open a PNG, JPEG, TIFF, BigTIFF, OME-TIFF, TIFF-based slide (SVS, NDPI) or OME-Zarr.

    Parameters
    ----------
    path
        Image file, or OME-Zarr folder; recognised by content, not by suffix.
    scale
        Its pixels per full-resolution pixel.
    name
        What it is; the file name by default.

    Returns
    -------
    Histology
        Levels are numpy arrays for small PNG and JPEG, else Dask arrays that read on demand.
        Grey, RGBA (over white), 16-bit, fractional, CMYK, palette and planar images become RGB.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FileFormatError
        If it is none of these kinds, damaged, truncated or too large.
    """
    path = Path(path)
    label = name or path.name
    if path.is_dir():
        from .ome_zarr import zarr_levels

        levels, size = zarr_levels(path)
        return Histology(levels, scale, label, str(path), um_per_px=size)
    if not path.is_file():
        raise MissingFileError(f"There is no image file {path}", "check the path")
    kind = kind_of(path)
    if kind == TIFF:
        from .tiff import tiff_levels

        levels, size = tiff_levels(path)
        return Histology(levels, scale, label, str(path), um_per_px=size)
    if kind in (PNG, JPEG):
        return Histology(_picture_levels(path, kind), scale, label, str(path))
    raise FileFormatError(
        f"{path} is not a PNG, JPEG, TIFF or OME-Zarr image",
        "give the microscope image in one of these forms",
    )


def _open_picture(path: Path, kind: str) -> ImageFile:
    """The decoder of one file. ``PIL.Image.open`` would apply its own process-wide size limit."""
    from PIL import JpegImagePlugin, PngImagePlugin

    if kind == PNG:
        return PngImagePlugin.PngImageFile(path)
    return JpegImagePlugin.JpegImageFile(path)


def _picture_levels(path: Path, kind: str) -> list[Any]:
    what = f"a {kind} image"
    with guarded(path, what), _open_picture(path, kind) as picture:
        columns, rows = picture.size
        if rows * columns > MAX_PIXELS:
            raise FileFormatError(
                f"{path} has {columns} x {rows} pixels, the limit for {kind} is {MAX_PIXELS:.0e}",
                _CONVERT,
            )
        if rows * columns <= EAGER_PIXELS:
            return [_decode(path, kind)]
        _check_complete(path, kind, picture)
    # Not kept open: a handle would bar the file from being moved on Windows.
    finest = Once((rows, columns, 3), np.uint8, lambda: _decode(path, kind))
    return list(pyramid(as_dask(finest)))


def _decode(path: Path, kind: str) -> NDArray[np.uint8]:
    with guarded(path, f"a {kind} image"), _open_picture(path, kind) as picture:
        picture.load()
        if picture.mode in ("P", "PA"):
            return to_rgb8(np.asarray(picture.convert("RGBA")))
        if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            return to_rgb8(np.asarray(picture.convert("RGB")))
        return to_rgb8(np.asarray(picture))


def _check_complete(path: Path, kind: str, picture: ImageFile) -> None:
    """Find a truncated file without decoding it."""
    if kind == PNG:
        picture.verify()
        return
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - (1 << 16)))
        if b"\xff\xd9" not in stream.read():
            raise FileFormatError(f"{path} ends too early", "copy or download the file again")
