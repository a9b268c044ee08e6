"""From the records of a Stereo-seq file to bins or cells."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from . import bins
from .names import named_genes
from .options import CELL, ReadOptions
from .stereo_images import Mask, find_tissue, open_mask
from .stereoseq import About, Source, Spots, make_section
from .tally import GENE_BITS, Tally, matrix_of

if TYPE_CHECKING:
    from ..core.section import Section

__all__ = ["DEFAULT_BIN", "chosen_bin", "section_of"]

DEFAULT_BIN = 50
"""Side of a bin in DNB where none is asked for: 25 µm."""


def section_of(source: Source, options: ReadOptions) -> Section:
    """The section that the options ask for; see `napari_stmask.io.gem.load`."""
    about, asked = source.about, options.bin
    if asked == CELL or (asked is None and about.has_cells and options.mask is None):
        spots = _cells(source, options)
    else:
        spots = _binned(source, chosen_bin(about, asked), options)
    return make_section(source.about, spots, options)


def chosen_bin(about: About, asked: int | str | None) -> int:
    """The side of a bin, in DNB.

    Raises
    ------
    ParameterError
        If the file was binned before, to a side that does not divide this one.
    """
    side = about.side
    if asked is None:
        return DEFAULT_BIN if DEFAULT_BIN % side == 0 else side
    assert isinstance(asked, int)
    if asked % side:
        raise ParameterError(
            f"{about.path} holds bins of {side} DNB, so bins of {asked} cannot be made",
            f"give a multiple of {side}",
        )
    return asked


def _binned(source: Source, side: int, options: ReadOptions) -> Spots:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    about = source.about
    path = options.mask
    if path is None and options.filtered:
        path = find_tissue(about.path, about.chip)
    mask = None if path is None else _placed_mask(source, path, cells=False)
    key = (bins.by_bin(side), GENE_BITS)
    select = None if mask is None else mask.tissue
    found = bins.stream(source.blocks, str(about.path), [key], select)
    _require(about, found, mask)
    if mask is not None:
        share = f"{found.n_kept} of {found.n_records}"
        about.notes.append(f"{share} records lie on the tissue in {mask.path.name}.")
    ids, symbols = source.genes()
    var = named_genes(symbols, ids, about.notes)
    keys, counts = matrix_of(found.tallies[0], len(var))
    row = (keys >> np.uint64(bins.AXIS_BITS)).astype(np.int64)
    column = (keys & np.uint64(bins.MAX_COORDINATE)).astype(np.int64)
    corner = [
        pa.array(place * side + start).cast(pa.string())
        for place, start in zip((column, row), about.offset, strict=True)
    ]
    names = pc.binary_join_element_wise(*corner, "_").to_numpy(zero_copy_only=False)
    obs = pd.DataFrame({"array_row": row, "array_col": column}, index=names)
    coords = np.column_stack([column, row]).astype(np.float64) * side + side / 2
    return Spots(counts, obs, var, coords, side, float(side), found.size)


def _cells(source: Source, options: ReadOptions) -> Spots:
    """Cells by a mask, else by the column of the file."""
    import pandas as pd

    about = source.about
    if options.mask is None and not about.has_cells:
        raise ParameterError(
            f"{about.path} does not say which cell a record belongs to",
            "give mask= with an image of the cells, or a cell-bin file, or bin=50",
        )
    mask = None if options.mask is None else _placed_mask(source, options.mask, cells=True)
    keys = [(bins.by_cell, GENE_BITS), (bins.by_cell_and_place, 2 * bins.AXIS_BITS)]
    select = _in_cells if mask is None else mask.cells
    found = bins.stream(source.blocks, str(about.path), keys, select)
    _require(about, found, mask)
    outside = found.n_records - found.n_kept
    if outside:
        about.notes.append(f"{outside} of {found.n_records} records lie outside of cells.")
    ids, symbols = source.genes()
    var = named_genes(symbols, ids, about.notes)
    numbers, counts = matrix_of(found.tallies[0], len(var))
    dnb, coords = _means(found.tallies[1], len(numbers))
    obs = pd.DataFrame({"dnb_count": dnb}, index=numbers.astype(str).astype(object))
    area: NDArray[Any] = dnb
    if mask is not None:
        areas, centres = mask.regions()
        area, coords = areas[numbers], centres[numbers]
        obs["area"] = area
    diameter = float(2 * np.sqrt(np.median(area) / np.pi))
    return Spots(counts, obs, var, coords, CELL, diameter, found.size)


def _in_cells(r: bins.Records) -> bins.Records:
    assert r.cell is not None
    return r.only(r.cell != 0)


def _means(tally: Tally, n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """DNB of each cell and the mean of their centres, from a tally of (cell, y, x)."""
    tally.settle()
    dnb, sums = np.zeros(n, np.int64), np.zeros((n, 2))
    done, last = -1, None
    axis = np.uint64(bins.MAX_COORDINATE)
    for run in tally.drain():
        cell = run.keys >> np.uint64(2 * bins.AXIS_BITS)
        new = np.concatenate([[last is None or cell[0] != last], cell[1:] != cell[:-1]])
        place = done + np.cumsum(new)
        x, y = run.keys & axis, (run.keys >> np.uint64(bins.AXIS_BITS)) & axis
        dnb += np.bincount(place, minlength=n)
        sums += np.column_stack([np.bincount(place, v, n) for v in (x, y)])
        done, last = int(place[-1]), cell[-1]
    return dnb, sums / dnb[:, None] + 0.5


def _require(about: About, found: bins.Streamed, mask: Mask | None) -> None:
    if not found.n_records:
        raise DataError(f"{about.path} has no records", "give a file with counts")
    if found.n_kept:
        return
    what = "in a cell" if mask is None else f"on {mask.path}"
    raise DataError(
        f"None of {found.n_records} records of {about.path} lies {what}",
        "give the mask of this section, or another bin",
    )


def _placed_mask(source: Source, path: Path, *, cells: bool) -> Mask:
    """A mask where it belongs; takes a pass over the records.

    It begins at the smallest record if it has exactly their size, else at the origin of the file or
    of the chip, wherever more records lie on it.
    """
    about = source.about
    if about.side > 1:
        raise ParameterError(
            f"{about.path} holds bins of {about.side} DNB, on which a mask has no meaning",
            "give the file with single DNB, or leave mask= out",
        )
    mask = open_mask(path, cells=cells)
    origins = ((0, 0), (-about.offset[0], -about.offset[1]))
    hits, lock = np.zeros(2, dtype=np.int64), Lock()

    def count(r: bins.Records) -> bins.Records:
        found = [np.count_nonzero(mask.at(r, origin)) for origin in origins]
        with lock:
            hits[:] += found
        return r

    found = bins.stream(source.places, str(about.path), select=count)
    rows, columns = mask.values.shape
    if any(found.low) and (columns + found.low[0], rows + found.low[1]) == found.size:
        mask.origin = found.low
        frame = "to begin at the smallest x and y, because its size is that of the records"
    elif hits[1] > hits[0]:
        mask.origin = origins[1]
        frame = "to lie in the frame of the chip"
    else:
        frame = "to lie in the frame of the file"
    about.notes.append(f"{path.name} was taken {frame}.")
    return mask
