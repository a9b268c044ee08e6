"""A picture of a gene cut into square tiles, the tokens of its transformer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ParameterError

__all__ = ["Tiles", "automatic_side", "cut_tiles"]

_TOKENS = 80
"""Tiles of a whole canvas, about."""


@dataclass(frozen=True, eq=False)
class Tiles:
    """Where each occupied element of a canvas lies in the tiles.

    The canvas is padded up to whole tiles; tiles without any tissue are left out.

    Attributes
    ----------
    side
        Elements along a tile.
    grid
        Rows and columns of tiles over the whole canvas.
    slot
        (n_occupied,) int64 ``token * side**2 + place in the tile``.
    row, column
        (n_tokens,) int64 place of each token in the grid.
    filled
        (n_tokens,) int64 number of occupied elements of each token, at least 1.
    """

    side: int
    grid: tuple[int, int]
    slot: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    filled: NDArray[np.int64]

    @property
    def n_tokens(self) -> int:
        """Number of tiles with tissue."""
        return len(self.row)

    @property
    def token(self) -> NDArray[np.int64]:
        """(n_occupied,) int64 token of each occupied element."""
        return self.slot // self.side**2


def automatic_side(height: int, width: int) -> int:
    """Side of a tile for a canvas of that size: about 80 tiles, from 2 elements up.

    Fewer and larger tiles than the 4 x 4 of the release: a step takes a fifth of the time, and
    vectors are as good (see the documentation of the method).
    """
    return max(2, math.ceil(math.sqrt(height * width / _TOKENS)))


def cut_tiles(
    height: int, width: int, occupied: NDArray[np.int64], side: int | None = None
) -> Tiles:
    """Cut a canvas into tiles of ``side`` elements; None takes `automatic_side`.

    Parameters
    ----------
    height, width
        Of the canvas.
    occupied
        (n_occupied,) elements with tissue, ``row * width + column``, ascending.
    side
        Elements along a tile.

    Raises
    ------
    ParameterError
        If ``side`` is below 1.
    """
    side = automatic_side(height, width) if side is None else side
    if side < 1:
        raise ParameterError(f"the side of a tile is {side}", "use at least 1")
    row, column = np.divmod(occupied, width)
    grid = (-(-height // side), -(-width // side))
    tile = (row // side) * grid[1] + column // side
    kept, token, filled = np.unique(tile, return_inverse=True, return_counts=True)
    slot = token * side**2 + (row % side) * side + column % side
    kept_row, kept_column = np.divmod(kept, grid[1])
    return Tiles(side, grid, slot.astype(np.int64), kept_row, kept_column, filled)
