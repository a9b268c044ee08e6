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

    from ..core.section import Section

__all__ = ["MAX_PIXELS", "open_histology", "place_image"]

EAGER_PIXELS = 50_000_000
"""PNG and JPEG up to this size are read at once; larger ones when they are looked at."""
MAX_PIXELS = 1_000_000_000
"""Largest PNG or JPEG that is opened: it has to be decoded as a whole."""
_CONVERT = "convert it to a pyramidal TIFF"


def open_histology(path: str | Path, scale: float = 1.0, name: str | None = None) -> Histology:
    """Open a PNG, JPEG, TIFF, BigTIFF (``.btf``) or OME-TIFF.

    Parameters
    ----------
    path
        Image file; recognised by content, not by suffix.
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
    if not path.is_file():
        raise MissingFileError(f"There is no image file {path}", "check the path")
    kind = kind_of(path)
    label = name or path.name
    if kind == TIFF:
        from .tiff import tiff_levels

        return Histology(tiff_levels(path), scale, label, str(path))
    if kind in (PNG, JPEG):
        return Histology(_picture_levels(path, kind), scale, label, str(path))
    raise FileFormatError(
        f"{path} is not a PNG, JPEG or TIFF image",
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


def place_image(section: Section, path: str | Path) -> None:
    """Open a separately given image and put it on ``section`` at the scale that fits.

    The image is taken for the full-resolution one, unless its size is that of the section's
    high- or low-resolution image, or only at their scale the spots lie inside.

    Parameters
    ----------
    section
        Receives the image, and a note where the fit is doubtful.
    path
        Image file.

    Raises
    ------
    FileFormatError, MissingFileError
        See `open_histology`.
    """
    histology = open_histology(path)
    entry = (section.adata.uns.get("spatial") or {}).get(section.name) or {}
    factors = {
        key: float(entry["scalefactors"][f"tissue_{key}_scalef"])
        for key in ("hires", "lowres")
        if f"tissue_{key}_scalef" in entry.get("scalefactors", {})
    }
    scale = _scale_by_size(histology.shape, entry.get("images", {}), factors)
    if scale is None:
        scale = 1.0
        inside = float(histology.contains(section.coords).mean())
        for key, factor in factors.items():
            scaled = Histology(histology.levels, factor, histology.name, histology.source)
            if inside < 0.5 and scaled.contains(section.coords).mean() > 0.99:
                section.notes.append(f"{path} was placed at the scale of the {key} image.")
                scale = factor
                break
    section.image = Histology(histology.levels, scale, histology.name, histology.source)
    inside = float(section.image.contains(section.coords).mean())
    if inside < 0.9:
        section.notes.append(
            f"Only {inside:.0%} of the spots lie inside {path}: it may be another section's image "
            "or have another scale."
        )


def _scale_by_size(shape: tuple[int, int], images: Any, factors: dict[str, float]) -> float | None:
    """The factor of the known image, or of its other resolution, that has this size."""
    for known, pixels in images.items():
        if known not in factors:
            continue
        full = np.asarray(np.shape(pixels)[:2]) / factors[known]
        for factor in factors.values():
            expected = full * factor
            if np.all(np.abs(expected - shape) <= 2 + 0.01 * expected):
                return factor
    return None
