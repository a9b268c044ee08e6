"""TIFF, BigTIFF and OME-TIFF as a lazy pyramid of 8-bit RGB."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import FileFormatError
from .colour import cmyk_to_rgb, to_rgb8, white_level
from .guard import guarded
from .lazy import Window, as_dask, pyramid, some_pixels
from .pixel_size import tiff_um_per_px

if TYPE_CHECKING:
    import dask.array as da
    import tifffile

__all__ = ["tiff_levels"]

MAX_SIDE = 200_000
"""Largest width or height."""
MAX_PIECE = 1_000_000_000
"""Most pixels of one strip or tile, which has to be decoded as a whole."""
_WHAT = "a TIFF image"
_GREY_INVERTED, _GREY, _RGB, _PALETTE, _INKS, _YCBCR = 0, 1, 2, 3, 5, 6
_JPEG_CODECS = (6, 7, 33007)


@dataclass(frozen=True)
class _Pixels:
    """How stored samples become colours.

    Attributes
    ----------
    order
        Axes to transpose to (y, x) or (y, x, channel), after dropping the others.
    drop
        Index into the stored axes: a slice to keep, 0 to take the first plane.
    photometric
        TIFF's code for what the samples mean.
    channels
        Channels to keep.
    palette
        (n, 3) uint8 for palette images, or None.
    white
        Value that stands for white.
    """

    order: tuple[int, ...]
    drop: tuple[Any, ...]
    photometric: int
    channels: int
    palette: NDArray[np.uint8] | None
    white: float = 255.0

    def convert(self, stored: NDArray[Any]) -> NDArray[np.uint8]:
        """(rows, columns, 3) from samples in (y, x[, channel]) order."""
        if self.palette is not None:
            return np.asarray(self.palette[np.minimum(stored, len(self.palette) - 1)])
        if stored.ndim == 3:
            stored = stored[:, :, : self.channels]
        if self.photometric == _INKS and stored.ndim == 3 and stored.shape[2] == 4:
            eight = (stored.astype(np.float32) * (255.0 / self.white)).clip(0, 255)
            return cmyk_to_rgb(np.rint(eight).astype(np.uint8))
        eight = to_rgb8(stored, self.white)
        return 255 - eight if self.photometric == _GREY_INVERTED else eight


def tiff_levels(path: Path) -> tuple[list[da.Array], float | None]:
    """Levels of the largest image of a file, finest first, read on demand, and its pixel size.

    Stored pyramids are used; without one, lazy levels of half the size are added down to 1024
    pixels. The file stays open for as long as the levels live.

    Returns
    -------
    levels
        (rows, columns, 3) uint8 each.
    um_per_px
        Micrometres per pixel of the finest level, or None where the file does not say.

    Raises
    ------
    FileFormatError
        If the file is damaged, truncated, too large or of an unusual kind.
    """
    with guarded(path, _WHAT):
        import tifffile

        file = tifffile.TiffFile(path)
        try:
            stored = _stored_levels(file, path)
            for level in stored:
                _check_pages(level, path)
            pixels = _describe(stored[0], path)
            sources = [_source(level, path, pixels) for level in stored]
            white = white_level(some_pixels(sources[-1]))
            pixels = _Pixels(**{**vars(pixels), "white": white})
            levels = [_rgb(source, pixels) for source in sources]
            size = tiff_um_per_px(file, stored[0])
            return (pyramid(levels[0]) if len(levels) == 1 else levels), size
        except BaseException:
            file.close()
            raise


def _stored_levels(file: tifffile.TiffFile, path: Path) -> list[Any]:
    """The largest series and its smaller copies, whether nested or stored side by side."""
    series = [s for s in file.series if "Y" in s.axes and "X" in s.axes]
    if not series:
        raise FileFormatError(f"{path} holds no image", "give another image file")
    first = max(series, key=lambda s: _size(s)[0] * _size(s)[1])
    levels = list(first.levels)
    if len(levels) == 1:
        rows, columns = _size(first)
        for other in sorted(series, key=lambda s: -_size(s)[0]):
            factor = rows / _size(other)[0]
            fits = abs(columns / _size(other)[1] - factor) <= 0.02 * factor
            if factor > 1.5 and fits and (other.axes, other.dtype) == (first.axes, first.dtype):
                levels.append(other)
    return levels


def _size(level: Any) -> tuple[int, int]:
    """Rows and columns of a series."""
    return level.shape[level.axes.index("Y")], level.shape[level.axes.index("X")]


def _check_pages(level: Any, path: Path) -> None:
    """Refuse sizes that cannot be true and pages whose data end after the file."""
    rows, columns = _size(level)
    if max(rows, columns) > MAX_SIDE or min(rows, columns) < 1:
        raise FileFormatError(
            f"{path} has {columns} x {rows} pixels, the limit is {MAX_SIDE} a side",
            "give a smaller image",
        )
    length = path.stat().st_size
    for page in level.pages:
        if page is None:
            continue
        page = page.aspage()
        pieces = zip(page.dataoffsets, page.databytecounts, strict=False)
        if any(start + count > length for start, count in pieces):
            raise FileFormatError(
                f"{path} ends before the image data does", "copy or download the file again"
            )
        if int(np.prod(page.chunks[:2])) > MAX_PIECE:
            raise FileFormatError(
                f"{path} is stored in one piece of more than {MAX_PIECE:.0e} pixels",
                "convert it to a tiled TIFF",
            )


def _describe(level: Any, path: Path) -> _Pixels:
    """Which stored axes are rows, columns and colours, and what the samples mean."""
    page = level.keyframe
    photometric, axes, shape = int(page.photometric), level.axes, level.shape
    if photometric not in (_GREY_INVERTED, _GREY, _RGB, _PALETTE, _INKS, _YCBCR) or (
        photometric == _YCBCR and int(page.compression) not in _JPEG_CODECS
    ):
        raise FileFormatError(
            f"{path} has the unusual colour model {page.photometric!s}", "convert it to 8-bit RGB"
        )
    colour = next((i for i, axis in enumerate(axes) if axis == "S"), None)
    if colour is None:
        colour = next((i for i, axis in enumerate(axes) if axis == "C" and shape[i] > 1), None)
    if colour is None:
        # tifffile calls axes Q that the file does not name; three of them are colours.
        colour = next((i for i, a in enumerate(axes) if a == "Q" and shape[i] in (3, 4)), None)
    count = 1 if colour is None else shape[colour]
    plain = count in (1, 3, 4) or (count == 2 and _is_alpha(page))
    if not plain and photometric not in (_RGB, _INKS):
        raise FileFormatError(
            f"{path} has {count} channels, expected grey, RGB or RGBA",
            "export the histology as RGB; fluorescence stacks are not supported",
        )
    extra = 4 if photometric == _INKS else (3 + bool(_is_alpha(page)))
    wanted = [axes.index("Y"), axes.index("X"), *([] if colour is None else [colour])]
    drop = tuple(slice(None) if i in wanted else 0 for i in range(len(axes)))
    kept = sorted(wanted)
    order = tuple(kept.index(i) for i in wanted)
    palette = None
    if photometric == _PALETTE and page.colormap is not None:
        palette = (np.asarray(page.colormap).T >> 8).astype(np.uint8)
    return _Pixels(order, drop, photometric, count if count < 3 else extra, palette)


def _is_alpha(page: Any) -> bool:
    """Whether the fourth sample is transparency (TIFF's ExtraSamples 1 or 2)."""
    extra: Any = page.extrasamples or ()
    return bool(extra) and int(extra[0]) in (1, 2)


def _source(level: Any, path: Path, pixels: _Pixels) -> da.Array:
    """Stored samples as a lazy (y, x[, channel]) array; failures name the file."""
    import zarr

    stored = zarr.open(level.aszarr(level=0), mode="r")
    if not isinstance(stored, zarr.Array):
        raise FileFormatError(f"{path} has an unusual structure", "convert it to a plain TIFF")
    array: Any = stored

    def read(index: Any) -> NDArray[Any]:
        with guarded(path, _WHAT):
            return np.asarray(array[index])

    chunks = tuple(
        min(n, _multiple(c, n)) if axis in "YX" else n
        for axis, c, n in zip(level.axes, array.chunks, array.shape, strict=True)
    )
    lazy = as_dask(Window(tuple(array.shape), array.dtype, read), chunks)
    ordered: da.Array = lazy[pixels.drop].transpose(pixels.order)
    return ordered


def _multiple(chunk: int, length: int) -> int:
    """At least about 1024 pixels, in whole stored strips or tiles."""
    return min(length, chunk * max(1, -(-1024 // chunk)))


def _rgb(level: Any, pixels: _Pixels) -> da.Array:
    if level.ndim == 3:
        level = level.rechunk({2: -1})
    new_axis = None if level.ndim == 3 else 2
    chunks = (*level.chunks[:2], (3,))
    colours: da.Array = level.map_blocks(
        pixels.convert, dtype=np.uint8, new_axis=new_axis, chunks=chunks
    )
    return colours
