"""Arrays that are read when they are first looked at, and pyramids made of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Once", "Window", "as_dask", "pyramid", "some_pixels"]

_CHUNK = 2048
_SMALLEST = 1024
_KEEP_SIDE = 4096
_SAMPLE_PIXELS = 4_000_000


class Window:
    """An array-like whose pieces are read by a function when they are asked for.

    Parameters
    ----------
    shape, dtype
        Of the whole array.
    read
        Maps an index (a tuple of slices) to the piece.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: DTypeLike, read: Callable[[Any], NDArray[Any]]
    ) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.ndim = len(shape)
        self._read = read

    def __getitem__(self, index: Any) -> NDArray[Any]:
        return self._read(index)


class Once(Window):
    """An array-like that is made in full at the first look and then kept.

    Parameters
    ----------
    shape, dtype
        Of the whole array.
    make
        Makes the array; called once, under a lock.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: DTypeLike, make: Callable[[], NDArray[Any]]
    ) -> None:
        super().__init__(shape, dtype, self._piece)
        self._make = make
        self._kept: NDArray[Any] | None = None
        self._lock = threading.Lock()

    def _piece(self, index: Any) -> NDArray[Any]:
        with self._lock:
            if self._kept is None:
                self._kept = self._make()
        return np.asarray(self._kept[index])


def as_dask(source: Window, chunks: tuple[int, ...] | None = None) -> da.Array:
    """A Dask array over ``source``; pieces of 2048 x 2048 pixels unless ``chunks`` says else."""
    import dask.array as da

    if chunks is None:
        chunks = (_CHUNK, _CHUNK, *source.shape[2:])
    meta = np.empty((0,) * source.ndim, dtype=source.dtype)
    # A name of its own: hashing the source would read it.
    make: Any = da.from_array
    lazy: da.Array = make(source, chunks=chunks, name=False, meta=meta)
    return lazy


def pyramid(finest: da.Array) -> list[da.Array]:
    """``finest`` and copies of half, a quarter ... of its size, down to 1024 pixels.

    Parameters
    ----------
    finest
        (rows, columns, 3) uint8.

    Returns
    -------
    list of dask.array.Array
        Finest first. Levels of at most 4096 pixels a side are kept in memory once computed,
        because every view of the whole image asks for them again.
    """
    levels = [finest]
    while max(levels[-1].shape[:2]) > _SMALLEST and min(levels[-1].shape[:2]) > 1:
        half = _halved(levels[-1])
        if max(half.shape[:2]) <= _KEEP_SIDE:
            half = as_dask(Once(half.shape, half.dtype, half.compute))
        levels.append(half)
    return levels


def _halved(level: da.Array) -> da.Array:
    """Mean of 2 x 2 pixels; an odd last row or column is left out."""
    rows, columns = (n // 2 * 2 for n in level.shape[:2])
    even: Any = level[:rows, :columns].rechunk((_CHUNK, _CHUNK, 3))
    chunks = tuple(tuple(n // 2 for n in sizes) for sizes in even.chunks[:2])
    half: da.Array = even.map_blocks(_mean_of_four, dtype=np.uint8, chunks=(*chunks, (3,)))
    return half


def _mean_of_four(block: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # Weighted sums in uint16 take a fifth of the memory of a float mean.
    total = block[0::2, 0::2].astype(np.uint16)
    total += block[1::2, 0::2]
    total += block[0::2, 1::2]
    total += block[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)


def some_pixels(level: da.Array) -> NDArray[Any]:
    """Some pixels of a level, from which the value of white is guessed.

    All of a small level, the middle of a large one; none of 8-bit ones, whose white is known.
    """
    if level.dtype == np.uint8 or level.dtype == bool:
        return np.empty(0, dtype=level.dtype)
    if level.shape[0] * level.shape[1] <= _SAMPLE_PIXELS:
        return np.asarray(level)
    half = int(_SAMPLE_PIXELS**0.5) // 2
    middle = tuple(slice(max(0, n // 2 - half), n // 2 + half) for n in level.shape[:2])
    return np.asarray(level[middle])
