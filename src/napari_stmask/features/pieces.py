"""A level of an image, read piece by piece, with the last pieces at hand."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CACHE_BYTES", "Pieces"]

CACHE_BYTES = 256 * 1024**2
"""Most memory for pieces of a lazily loaded image that are kept for the next patches."""
_PIECE = (1024, 4096)
"""Range of the side of a piece of a lazily loaded image, in pixels."""


class Pieces:
    """One level of an image, and the pieces of it that were read last.

    Parameters
    ----------
    level
        (rows, columns, 3) uint8, numpy or lazy. One in memory is sliced as it is.

    Attributes
    ----------
    size
        Rows and columns of a piece: whole chunks of a lazy array.
    band
        Pieces side by side of which two rows fit into `CACHE_BYTES`.
    """

    def __init__(self, level: Any) -> None:
        self.level = level
        self.shape = (int(level.shape[0]), int(level.shape[1]))
        self.lazy = not isinstance(level, np.ndarray)
        chunks = getattr(level, "chunks", None)
        sizes = [_size(axis) for axis in chunks[:2]] if chunks else [_PIECE[0]] * 2
        self.size = np.array(sizes)
        room = CACHE_BYTES // (3 * int(np.prod(self.size)))
        self.room = max(4, room)
        self.band = max(1, self.room // 2 - 1)
        self._kept: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()

    def window(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.uint8]:
        """Pixels [top, bottom) x [left, right), mirrored beyond the border."""
        if top >= 0 and left >= 0 and bottom <= self.shape[0] and right <= self.shape[1]:
            return self._read(top, bottom, left, right)
        rows, columns = (
            _mirrored(np.arange(a, b), n)
            for a, b, n in ((top, bottom, self.shape[0]), (left, right, self.shape[1]))
        )
        inner = self._read(rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
        return inner[np.ix_(rows - rows.min(), columns - columns.min())]

    def _read(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.uint8]:
        if not self.lazy:
            return np.asarray(self.level[top:bottom, left:right])
        high, wide = self.size
        found = np.empty((bottom - top, right - left, 3), dtype=np.uint8)
        for i in range(top // high, (bottom - 1) // high + 1):
            for j in range(left // wide, (right - 1) // wide + 1):
                y, x = i * high, j * wide
                y0, y1, x0, x1 = (
                    max(top, y),
                    min(bottom, y + high),
                    max(left, x),
                    min(right, x + wide),
                )
                piece = self._piece(i, j)[y0 - y : y1 - y, x0 - x : x1 - x]
                found[y0 - top : y1 - top, x0 - left : x1 - left] = piece
        return found

    def _piece(self, i: int, j: int) -> NDArray[np.uint8]:
        kept = self._kept.pop((i, j), None)
        if kept is None:
            high, wide = self.size
            kept = np.asarray(
                self.level[i * high : (i + 1) * high, j * wide : (j + 1) * wide], dtype=np.uint8
            )
            while len(self._kept) >= self.room:
                self._kept.popitem(last=False)
        self._kept[i, j] = kept
        return kept


def _size(chunks: tuple[int, ...]) -> int:
    """Side of a piece: whole chunks where they are small."""
    chunk = max(1, max(chunks))
    return min(_PIECE[1], chunk * max(1, _PIECE[0] // chunk))


def _mirrored(index: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Indices mirrored at 0 and ``n``; the last pixel, where even that is not enough."""
    index = np.where(index < 0, -1 - index, index)
    index = np.where(index >= n, 2 * n - 1 - index, index)
    return np.clip(index, 0, n - 1)
