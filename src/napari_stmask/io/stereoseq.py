"""Build a section of bins or cells from the records of a Stereo-seq file."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from ..core.histology import Histology
from . import bins
from .options import CELL, ReadOptions
from .stereo_images import Mask, find_image, find_tissue, image_origin, open_mask, stem

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse as sp

    from ..core.section import Section

__all__ = [
    "DEFAULT_BIN",
    "EXON_NOTE",
    "NM",
    "About",
    "Source",
    "Spots",
    "chosen_bin",
    "gene_table",
    "make_section",
    "section_of",
]

DEFAULT_BIN = 50
"""Side of a bin in DNB where none is asked for: 25 µm."""


NM = 500.0
"""Distance of DNB in nanometres, where a file does not state it."""
EXON_NOTE = "Counts of exons were left out; X holds all molecules."


@dataclass
class About:
    """What a file says of itself.

    Attributes
    ----------
    path
        The file.
    chip
        Serial number of the chip, or None.
    offset
        (x, y) on the chip of the origin of the file's frame, in DNB.
    side
        DNB that a coordinate stands for: 1 unless the file was binned before.
    nm
        Distance of DNB in nanometres.
    has_cells
        Whether records name their cells.
    facts
        What else is worth keeping in ``uns``.
    notes
        What had to be assumed or left out; grows while the file is read.
    """

    path: Path
    chip: str | None = None
    offset: tuple[int, int] = (0, 0)
    side: int = 1
    nm: float = NM
    has_cells: bool = False
    facts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Source(Protocol):
    """The records of a file, in blocks that can be read more than once."""

    about: About

    def blocks(self, pool: Executor) -> Iterator[bins.Records]:
        """All records in the order of the file, genes numbered as they appear."""

    def places(self, pool: Executor) -> Iterator[bins.Records]:
        """Only where the records lie: each as one molecule of gene 0."""

    def genes(self) -> tuple[list[str], list[str]]:
        """Identifiers and symbols, once all blocks were read."""


@dataclass
class Spots:
    """Spots of a section before they become an AnnData.

    Attributes
    ----------
    counts
        (n_spots, n_genes) float32 CSR.
    obs, var
        Tables of spots and genes.
    coords
        (n_spots, 2) float64, DNB in the frame of the file.
    kind
        Side of a bin in DNB, or ``"cell"``.
    diameter
        Side of a bin, or the median diameter of cells, in DNB.
    size
        Columns and rows that the records span.
    """

    counts: sp.csr_matrix
    obs: pd.DataFrame
    var: pd.DataFrame
    coords: NDArray[np.float64]
    kind: int | str
    diameter: float | None
    size: tuple[int, int]


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
    key = (bins.by_bin(side), bins.GENE_BITS)
    select = None if mask is None else mask.tissue
    found = bins.stream(source.blocks, str(about.path), [key], select)
    _require(about, found, mask)
    if mask is not None:
        share = f"{found.n_kept} of {found.n_records}"
        about.notes.append(f"{share} records lie on the tissue in {mask.path.name}.")
    var = gene_table(*source.genes(), about.notes)
    keys, counts = bins.matrix_of(found.tallies[0], len(var))
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
    keys = [(bins.by_cell, bins.GENE_BITS), (bins.by_cell_and_place, 2 * bins.AXIS_BITS)]
    select = _in_cells if mask is None else mask.cells
    found = bins.stream(source.blocks, str(about.path), keys, select)
    _require(about, found, mask)
    outside = found.n_records - found.n_kept
    if outside:
        about.notes.append(f"{outside} of {found.n_records} records lie outside of cells.")
    var = gene_table(*source.genes(), about.notes)
    numbers, counts = bins.matrix_of(found.tallies[0], len(var))
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


def _means(tally: bins.Tally, n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
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
    """A mask in the frame where more records lie on it; takes a pass over the records."""
    about = source.about
    if about.side > 1:
        raise ParameterError(
            f"{about.path} holds bins of {about.side} DNB, on which a mask has no meaning",
            "give the file with single DNB, or leave mask= out",
        )
    mask = open_mask(path, cells=cells)
    if not any(about.offset):
        return mask
    origins = ((0, 0), (-about.offset[0], -about.offset[1]))
    hits, lock = np.zeros(2, dtype=np.int64), Lock()

    def count(r: bins.Records) -> bins.Records:
        found = [np.count_nonzero(mask.at(r, origin)) for origin in origins]
        with lock:
            hits[:] += found
        return r

    bins.stream(source.places, str(about.path), select=count)
    on_chip = bool(hits[1] > hits[0])
    mask.origin = origins[on_chip]
    frame = "of the chip" if on_chip else "of the file"
    about.notes.append(f"{path.name} was taken to lie in the frame {frame}.")
    return mask


def gene_table(ids: list[str], symbols: list[str], notes: list[str]) -> pd.DataFrame:
    """Genes by unique symbol, with their identifiers."""
    import pandas as pd
    from anndata.utils import make_index_unique

    names = pd.Index(symbols, dtype=object)
    repeated = int(names.duplicated().sum())
    if repeated:
        notes.append(f"{repeated} repeated gene symbols were made unique by a number ('-1').")
        names = make_index_unique(names)
    return pd.DataFrame({"gene_ids": ids}, index=names)


def make_section(about: About, spots: Spots, options: ReadOptions) -> Section:
    """The section around spots, in the frame of the chip, with the image beside the file."""
    from anndata import AnnData

    from ..core.section import Section

    adata = AnnData(spots.counts, spots.obs, spots.var)
    adata.obsm["spatial"] = spots.coords + np.array(about.offset, dtype=np.float64)
    adata.uns["stereoseq"] = {
        "bin": str(spots.kind),
        "chip": about.chip or "",
        "resolution_nm": about.nm,
        "offset": np.array(about.offset),
        **about.facts,
    }
    image = _image(about, spots.size)
    return Section(
        adata,
        name=options.name or about.chip or stem(about.path),
        image=image,
        um_per_px=about.nm / 1000,
        platform="stereoseq",
        source=str(about.path),
        spot_diameter=spots.diameter,
        notes=list(about.notes),
    )


def _image(about: About, size: tuple[int, int]) -> Histology | None:
    """The registered image beside the file, in the frame of the chip."""
    from .images import open_histology

    path = find_image(about.path, about.chip)
    if path is None:
        return None
    histology = open_histology(path)
    origin = image_origin(histology.shape, size, about.offset)
    if origin is None:
        rows, columns = histology.shape
        about.notes.append(
            f"{path.name} was left out: it has {columns} x {rows} pixels, the records span "
            f"{size[0]} x {size[1]}."
        )
        return None
    to_pixels = np.eye(3)
    to_pixels[:2, 2] = -(np.array(origin) + np.array(about.offset))
    return histology.placed(transform=to_pixels)
