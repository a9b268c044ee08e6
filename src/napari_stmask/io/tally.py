"""Sums by key over a stream of runs, in memory bounded by the number of distinct keys.

A key holds the spot in its upper and the gene in its lower bits, so that a finished tally is a
matrix in rows without another sort.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, ResourceError

if TYPE_CHECKING:
    import scipy.sparse as sp

__all__ = [
    "GENE_BITS",
    "MAX_COUNT",
    "MAX_GENES",
    "MAX_SPOTS",
    "Run",
    "Tally",
    "condense",
    "matrix_of",
]

GENE_BITS = 18
MAX_GENES = 2**GENE_BITS
"""Most genes of one file."""
MAX_COUNT = 2**24
"""Largest sum of one gene in one spot; up to it float32 is exact."""
MAX_SPOTS = 10_000_000
"""Most bins or cells of one section."""
_MAX_BUCKET = 1 << 21
_MIN_PENDING = 1 << 17


class Run(NamedTuple):
    """Distinct keys in ascending order ((n,) uint64) and their sums ((n,) uint32)."""

    keys: NDArray[np.uint64]
    sums: NDArray[np.uint32]


def condense(keys: NDArray[np.uint64], counts: NDArray[Any], where: str) -> Run:
    """Add up the counts of equal keys.

    Parameters
    ----------
    keys
        (n,) uint64, in any order.
    counts
        (n,) integers from 0 to `MAX_COUNT`.
    where
        What is read, for the message.

    Raises
    ------
    DataError
        If a sum is above `MAX_COUNT`.
    """
    if not keys.size:
        return Run(np.empty(0, np.uint64), np.empty(0, np.uint32))
    width = int(counts.max()).bit_length()
    if int(keys.max()).bit_length() + width <= 64:
        # Key and count in one number: a plain sort is several times faster than an indirect one.
        shift = np.uint64(width)
        packed = (keys << shift) | counts.astype(np.uint64)
        packed.sort()
        keys = packed >> shift
        counts = packed & np.uint64((1 << width) - 1)
    else:
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], counts[order].astype(np.uint64)
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sums = np.add.reduceat(counts, first)
    largest = int(sums.max())
    if largest > MAX_COUNT:
        raise DataError(
            f"{where}: one gene has {largest} molecules in one spot, the limit is {MAX_COUNT}",
            "check the counts, or give a smaller bin",
        )
    return Run(keys[first], sums.astype(np.uint32))


class Tally:
    """Sums by key over any number of runs.

    The keys are divided into ranges of at most about two million entries. A range is condensed
    when half as many entries wait there as it has, so that each entry is sorted a bounded number
    of times on average. A distinct key takes 12 bytes, and what waits at most half as much again:
    18 bytes per non-zero value of the result.

    Parameters
    ----------
    where
        What is read, for messages.
    spot_bits
        Lower bits of a key that do not belong to the spot.
    """

    def __init__(self, where: str, spot_bits: int = GENE_BITS) -> None:
        self._where = where
        self._shift = np.uint64(spot_bits)
        self._starts = np.zeros(1, dtype=np.uint64)
        self._merged = [condense(np.empty(0, np.uint64), np.empty(0, np.uint32), where)]
        self._waiting: list[list[Run]] = [[]]
        self._spots = [0]

    def add(self, run: Run) -> None:
        """Merge a run.

        Raises
        ------
        ResourceError
            If there are more than `MAX_SPOTS` spots.
        """
        cuts = np.concatenate([np.searchsorted(run.keys, self._starts), [run.keys.size]])
        # From the back, because a range that is split moves those behind it.
        for place, (a, b) in reversed(list(enumerate(pairwise(cuts)))):
            if a < b:
                # A copy, or each piece would keep its whole block.
                self._waiting[place].append(Run(run.keys[a:b].copy(), run.sums[a:b].copy()))
                waiting = sum(piece.keys.size for piece in self._waiting[place])
                if waiting > max(_MIN_PENDING, self._merged[place].keys.size // 2):
                    self._condense(place)
                    self._split(place)

    def drain(self) -> Iterator[Run]:
        """All sums in ascending order of keys, in parts; the tally is empty afterwards."""
        while self._merged:
            self._condense(0)
            self._waiting.pop(0)
            run = self._merged.pop(0)
            if run.keys.size:
                yield run

    def settle(self) -> int:
        """Merge what waits; returns the number of distinct keys."""
        for place in range(len(self._merged)):
            self._condense(place)
        return sum(run.keys.size for run in self._merged)

    def _condense(self, place: int) -> None:
        if not self._waiting[place]:
            return
        pieces = [self._merged[place], *self._waiting[place]]
        keys = np.concatenate([piece.keys for piece in pieces])
        counts = np.concatenate([piece.sums for piece in pieces])
        self._waiting[place] = []
        run = condense(keys, counts, self._where)
        self._merged[place] = run
        spots = run.keys >> self._shift
        self._spots[place] = int(np.count_nonzero(spots[1:] != spots[:-1])) + 1
        if sum(self._spots) > MAX_SPOTS:
            raise ResourceError(
                f"{self._where} has more than {MAX_SPOTS} spots at this bin size",
                "give a larger bin",
            )

    def _split(self, place: int) -> None:
        run = self._merged[place]
        parts = -(-2 * run.keys.size // _MAX_BUCKET) if run.keys.size > _MAX_BUCKET else 1
        if parts == 1:
            return
        cuts = np.linspace(0, run.keys.size, parts + 1).astype(np.int64)
        pieces = [Run(run.keys[a:b].copy(), run.sums[a:b].copy()) for a, b in pairwise(cuts)]
        inner = [piece.keys[0] for piece in pieces[1:]]
        self._starts = np.insert(self._starts, place + 1, inner)
        self._merged[place : place + 1] = pieces
        self._waiting[place : place + 1] = [[] for _ in pieces]
        share = [self._spots[place] // parts] * parts
        self._spots[place : place + 1] = share


def matrix_of(tally: Tally, n_genes: int) -> tuple[NDArray[np.uint64], sp.csr_matrix]:
    """The spots of a tally and their counts; empties the tally.

    Returns
    -------
    spots
        (n_spots,) uint64, upper bits of the keys, ascending.
    counts
        (n_spots, n_genes) float32 CSR, canonical.
    """
    import scipy.sparse as sp

    entries = tally.settle()
    index = np.int32 if max(entries, n_genes) < 2**31 else np.int64
    genes = np.empty(entries, dtype=index)
    values = np.empty(entries, dtype=np.float32)
    found, starts, done, last = [], [], 0, None
    for run in tally.drain():
        stop = done + run.keys.size
        genes[done:stop] = run.keys & np.uint64(MAX_GENES - 1)
        values[done:stop] = run.sums
        spots = run.keys >> np.uint64(GENE_BITS)
        new = np.concatenate([[last is None or spots[0] != last], spots[1:] != spots[:-1]])
        first = np.flatnonzero(new)
        found.append(spots[first])
        starts.append(first + done)
        done, last = stop, spots[-1]
    rows = np.concatenate([*starts, [entries]]).astype(index)
    spots = np.concatenate(found) if found else np.empty(0, np.uint64)
    return spots, sp.csr_matrix((values, genes, rows), shape=(len(spots), n_genes))
