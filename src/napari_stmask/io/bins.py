"""Add up molecules by bin or cell, from records that come in blocks.

Each block is condensed to sorted, distinct keys with their sums in a thread of its own, and a
`napari_stmask.io.tally.Tally` merges these runs.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from .tally import GENE_BITS, MAX_COUNT, Run, Tally, condense

__all__ = [
    "AXIS_BITS",
    "MAX_CELL",
    "MAX_COORDINATE",
    "Key",
    "Records",
    "Streamed",
    "by_bin",
    "by_cell",
    "by_cell_and_place",
    "ordered",
    "stream",
    "workers",
]

AXIS_BITS, CELL_BITS = 19, 24
MAX_COORDINATE = 2**AXIS_BITS - 1
"""Largest x or y in DNB: 26 cm, twice the largest chip."""
MAX_CELL = 2**CELL_BITS - 1
"""Largest number of a cell."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True, eq=False)
class Records:
    """Molecules of a block, one entry per record.

    Attributes
    ----------
    x, y
        (n,) integers, DNB in the frame of the file.
    gene
        (n,) integers, number of the gene.
    count
        (n,) integers, molecules.
    cell
        (n,) integers, number of the cell, 0 outside; None where the file has no cells.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    gene: NDArray[Any]
    count: NDArray[Any]
    cell: NDArray[Any] | None = None

    def only(self, rows: NDArray[np.bool_]) -> Records:
        """The records where ``rows`` is True."""
        cell = None if self.cell is None else self.cell[rows]
        return Records(self.x[rows], self.y[rows], self.gene[rows], self.count[rows], cell)

    def checked(self, where: str) -> Records:
        """Without counts of 0; refuses values that cannot be true.

        Raises
        ------
        DataError
            If a coordinate, a count or the number of a cell is negative or too large.
        """
        limits = {"x": MAX_COORDINATE, "y": MAX_COORDINATE, "count": MAX_COUNT, "cell": MAX_CELL}
        for name, limit in limits.items():
            values = getattr(self, name)
            if values is None or not values.size:
                continue
            low, high = int(values.min()), int(values.max())
            if low < 0 or high > limit:
                raise DataError(
                    f"{where}: {name} holds {low if low < 0 else high}, expected whole numbers "
                    f"from 0 to {limit}",
                    "correct this record or copy the file again",
                )
        return self if self.count.all() else self.only(self.count != 0)


Key = Callable[[Records], NDArray[np.uint64]]
"""From records to the keys by which they are added up."""


def by_bin(size: int) -> Key:
    """Key of (row of bins, column of bins, gene) for square bins of ``size`` DNB."""

    def key(r: Records) -> NDArray[np.uint64]:
        row = (r.y // size).astype(np.uint64) << np.uint64(AXIS_BITS + GENE_BITS)
        column = (r.x // size).astype(np.uint64) << np.uint64(GENE_BITS)
        return np.asarray(row | column | r.gene.astype(np.uint64))

    return key


def by_cell(r: Records) -> NDArray[np.uint64]:
    """Key of (cell, gene)."""
    assert r.cell is not None
    return (r.cell.astype(np.uint64) << np.uint64(GENE_BITS)) | r.gene.astype(np.uint64)


def by_cell_and_place(r: Records) -> NDArray[np.uint64]:
    """Key of (cell, y, x): each DNB of a cell once."""
    assert r.cell is not None
    cell = r.cell.astype(np.uint64) << np.uint64(2 * AXIS_BITS)
    return np.asarray(
        cell | (r.y.astype(np.uint64) << np.uint64(AXIS_BITS)) | r.x.astype(np.uint64)
    )


def workers() -> int:
    """Threads that read one file: the cores of this process, at most four."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(4, count or 1))


def ordered(
    pool: Executor, function: Callable[[_In], _Out], items: Iterable[_In], ahead: int
) -> Iterator[_Out]:
    """``function`` of each item, in order, with at most ``ahead`` calls under way."""
    pending: deque[Future[_Out]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


@dataclass
class Streamed:
    """What a pass over all records found.

    Attributes
    ----------
    tallies
        One per key that was asked for.
    n_records, n_kept
        Records in the file, and those that were selected.
    low
        Smallest x and y.
    size
        Columns and rows from the origin to the last record: largest x and y, plus one.
    """

    tallies: list[Tally]
    n_records: int = 0
    n_kept: int = 0
    low: tuple[int, int] = (MAX_COORDINATE, MAX_COORDINATE)
    size: tuple[int, int] = (0, 0)

    def reach(self, x: NDArray[Any], y: NDArray[Any]) -> None:
        """Take these places into ``low`` and ``size``."""
        if x.size:
            self.low = (min(self.low[0], int(x.min())), min(self.low[1], int(y.min())))
            self.size = (max(self.size[0], int(x.max()) + 1), max(self.size[1], int(y.max()) + 1))


def stream(
    blocks: Callable[[Executor], Iterator[Records]],
    where: str,
    keys: Sequence[tuple[Key, int]] = (),
    select: Callable[[Records], Records] | None = None,
) -> Streamed:
    """Read all blocks once and add them up.

    Parameters
    ----------
    blocks
        Makes the stream of records; may use the pool that it is given.
    where
        What is read, for messages.
    keys
        Keys to add up by, each with the bits below its spot; none only measures the size.
    select
        Chooses records, or gives them cells; keeps all by default.

    Raises
    ------
    DataError, ResourceError
        See `Records.checked`, `condense` and `Tally.add`.
    """
    found = Streamed([Tally(where, bits) for _, bits in keys])

    def digest(block: Records) -> tuple[Streamed, list[Run]]:
        block = block.checked(where)
        kept = block if select is None else select(block)
        runs = [condense(key(kept), kept.count, where) for key, _ in keys]
        part = Streamed([], block.x.size, kept.x.size)
        part.reach(block.x, block.y)
        return part, runs

    with ThreadPoolExecutor(workers(), "stmask-read") as pool:
        for part, runs in ordered(pool, digest, blocks(pool), workers() + 1):
            found.n_records += part.n_records
            found.n_kept += part.n_kept
            found.low = (min(found.low[0], part.low[0]), min(found.low[1], part.low[1]))
            found.size = (max(found.size[0], part.size[0]), max(found.size[1], part.size[1]))
            for tally, run in zip(found.tallies, runs, strict=True):
                tally.add(run)
    return found
