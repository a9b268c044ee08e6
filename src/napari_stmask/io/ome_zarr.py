"""OME-Zarr images (NGFF 0.4 and 0.5) as a lazy pyramid of 8-bit RGB."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import FileFormatError
from .colour import to_rgb8, white_level
from .guard import guarded
from .lazy import Window, as_dask, pyramid, some_pixels
from .pixel_size import plausible, unit_um

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["MAX_CHUNK", "inside", "rgb_levels", "zarr_levels"]

MAX_CHUNK = 256 * 1024**2
"""Most bytes of one chunk, which is decoded as a whole."""
MAX_SIDE = 1_000_000
_WHAT = "an OME-Zarr image"


def zarr_levels(path: Path) -> tuple[list[da.Array], float | None]:
    """Levels of the first image of an OME-Zarr folder, read on demand, and its pixel size.

    Of time points and planes the first is taken. Specification: NGFF 0.4 and 0.5,
    https://ngff.openmicroscopy.org.

    Parameters
    ----------
    path
        Folder with the image, or with images in numbered folders (bioformats2raw).

    Returns
    -------
    levels
        (rows, columns, 3) uint8 each, finest first.
    um_per_px
        Micrometres per pixel of the finest level, or None where the image does not say.

    Raises
    ------
    FileFormatError
        If there is no multi-scale image, a level lies outside the folder, or sizes cannot be.
    """
    with guarded(path, _WHAT):
        import zarr

        group: Any = zarr.open_group(path, mode="r", use_consolidated=False)
        image = _multiscale(group)
        if image is None and "0" in group:
            group = group["0"]
            image = _multiscale(group)
        if image is None:
            raise FileFormatError(
                f"{path} holds no OME-Zarr image (no 'multiscales' in its attributes)",
                "give the folder of the image",
            )
        axes = [axis["name"] if isinstance(axis, Mapping) else axis for axis in image["axes"]]
        datasets = image["datasets"]
        arrays = [group[inside(str(entry["path"]), path)] for entry in datasets]
        for array in arrays:
            _check(array, axes, path)
        sources = [_source(array, axes, path) for array in arrays]
        levels = rgb_levels(sources)
        size = _um_per_px(image, axes, datasets[0])
    return (pyramid(levels[0]) if len(levels) == 1 else levels), size


def inside(name: str, store: Path) -> str:
    """``name`` if it stays inside the folder of a store.

    Raises
    ------
    FileFormatError
        For absolute names and those that climb up.
    """
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in name:
        raise FileFormatError(
            f"{store} points outside its own folder ('{name}')", "do not trust this file"
        )
    return name


def _multiscale(group: Any) -> Mapping[str, Any] | None:
    attributes = dict(group.attrs)
    known = attributes.get("ome", attributes)
    images = known.get("multiscales") if isinstance(known, Mapping) else None
    return images[0] if images else None


def _check(array: Any, axes: list[str], path: Path) -> None:
    """Refuse what is no plane of colours and sizes that would exhaust the memory."""
    shape = array.shape
    if len(shape) != len(axes) or not {"y", "x"} <= set(axes) or min(shape) < 1:
        raise FileFormatError(
            f"{path} has axes {axes} for an array of shape {shape}", "give an image with y and x"
        )
    if max(shape) > MAX_SIDE:
        raise FileFormatError(
            f"{path} has a side of {max(shape)} pixels, the limit is {MAX_SIDE}",
            "give a smaller image",
        )
    if int(np.prod(array.chunks, dtype=np.float64)) * array.dtype.itemsize > MAX_CHUNK:
        raise FileFormatError(
            f"{path} has chunks {array.chunks}, more than {MAX_CHUNK >> 20} MB each",
            "write it with smaller chunks",
        )
    if array.dtype.kind not in "uifb":
        raise FileFormatError(f"{path} holds {array.dtype}, not pixels", "give an image")
    if "c" in axes and shape[axes.index("c")] not in (1, 3, 4):
        raise FileFormatError(
            f"{path} has {shape[axes.index('c')]} channels, expected grey, RGB or RGBA",
            "export the histology as RGB; fluorescence stacks are not supported",
        )


def _source(array: Any, axes: list[str], path: Path) -> da.Array:
    """(y, x) or (y, x, c) of the first time point and plane, lazily."""

    def read(index: Any) -> NDArray[Any]:
        with guarded(path, _WHAT):
            return np.asarray(array[index])

    lazy = as_dask(Window(tuple(array.shape), array.dtype, read), tuple(array.chunks))
    kept = [axis for axis in axes if axis in "yxc"]
    plane = lazy[tuple(slice(None) if axis in "yxc" else 0 for axis in axes)]
    order = [kept.index(axis) for axis in "yxc" if axis in kept]
    ordered: da.Array = plane.transpose(order)
    return ordered


def rgb_levels(sources: list[Any]) -> list[da.Array]:
    """Levels of any pixels as 8-bit RGB, with the same value of white for all.

    Parameters
    ----------
    sources
        (y, x) or (y, x, channels) Dask arrays, finest first.
    """
    white = white_level(some_pixels(sources[-1]))
    levels = []
    for source in sources:
        level = source.rechunk({2: -1}) if source.ndim == 3 else source
        levels.append(
            level.map_blocks(
                to_rgb8,
                white,
                dtype=np.uint8,
                new_axis=None if level.ndim == 3 else 2,
                chunks=(*level.chunks[:2], (3,)),
            )
        )
    return levels


def _um_per_px(
    image: Mapping[str, Any], axes: list[str], dataset: Mapping[str, Any]
) -> float | None:
    """From the scale transforms of the level and of the whole image, in the axes' unit."""
    sides = []
    for name in ("x", "y"):
        place = axes.index(name)
        axis = image["axes"][place]
        side = unit_um(axis.get("unit")) if isinstance(axis, Mapping) else None
        for holder in (dataset, image):
            for step in holder.get("coordinateTransformations") or ():
                if step.get("type") == "scale" and side is not None:
                    side *= float(step["scale"][place])
        sides.append(plausible(side))
    x, y = sides
    return x if x and y and abs(x - y) <= 0.01 * x else None
