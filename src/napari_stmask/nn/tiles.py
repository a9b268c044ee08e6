"""Compact groups of spots with a halo, so that large sections train in pieces.

A network of L propagation steps needs the L-hop neighbourhood of a spot and nothing else:
with a halo of L hops the outputs of a tile's own spots equal those of the whole graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["Tile", "split_into_tiles"]


@dataclass(frozen=True)
class Tile:
    """Spots that are trained together.

    Attributes
    ----------
    index
        (m,) int64 spots of the section, the tile's own first, then the halo.
    n_core
        How many of them are the tile's own.
    """

    index: NDArray[np.int64]
    n_core: int


def _bisect(points: NDArray[Any], index: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    if len(index) <= size:
        return [index]
    axis = int(np.ptp(points[index], axis=0).argmax())
    order = index[np.argsort(points[index, axis], kind="stable")]
    half = len(order) // 2
    return _bisect(points, order[:half], size) + _bisect(points, order[half:], size)


def split_into_tiles(
    coords: NDArray[np.floating[Any]], graph: sp.csr_matrix, *, size: int, hops: int
) -> list[Tile]:
    """Cut the section into compact tiles of at most ``size`` own spots.

    Halves the longer side until the pieces are small enough, then adds ``hops`` rings of
    neighbours to each.

    Parameters
    ----------
    coords
        (n_spots, 2 or 3) float.
    graph
        (n_spots, n_spots) symmetric CSR.
    size
        Largest number of own spots; one tile of everything where ``n_spots <= size``.
    hops
        Rings of neighbours in the halo.

    Returns
    -------
    list of Tile
        Own spots partition the section.
    """
    n = len(coords)
    if n <= size:
        return [Tile(np.arange(n, dtype=np.int64), n)]
    tiles = []
    for core in _bisect(np.asarray(coords), np.arange(n, dtype=np.int64), size):
        core = np.sort(core)
        reached = np.zeros(n, dtype=bool)
        reached[core] = True
        for _ in range(hops):
            reached[graph[np.flatnonzero(reached)].indices] = True
        reached[core] = False
        tiles.append(Tile(np.r_[core, np.flatnonzero(reached)], len(core)))
    return tiles
