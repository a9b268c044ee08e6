"""Read the cells of a Stereo-seq cell-bin GEF, with their outlines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, FileFormatError
from .bins import MAX_COORDINATE
from .gef import attribute, dataset, root_facts, words
from .names import named_genes
from .options import CELL, ReadOptions
from .stereoseq import EXON_NOTE, NM, About, Spots, make_section
from .tally import MAX_GENES, MAX_SPOTS

if TYPE_CHECKING:
    import h5py
    import pandas as pd
    import scipy.sparse as sp

    from ..core.section import Section

__all__ = ["POLYGONS", "read_cells"]

POLYGONS = "cell_polygons"
"""Slot of ``obsm`` with the outlines: (n_cells, corners, 2) float32, padded with NaN."""
_PAD = 32767
"""Offset that stands for no corner, as does the largest one of a narrower type."""
_BLOCK = 1 << 22
_DAMAGED = "copy or download the file again"


def read_cells(path: Path, file: h5py.File, options: ReadOptions) -> Section:
    """The section of the group ``cellBin``.

    Raises
    ------
    FileFormatError
        If tables are missing or contradict each other.
    DataError
        If there are no cells.
    """
    cells = dataset(path, file, "cellBin/cell", ("x", "y", "offset", "geneCount", "expCount"))
    if not 0 < len(cells) <= MAX_SPOTS:
        raise DataError(
            f"{path} holds {len(cells)} cells, expected 1 to {MAX_SPOTS}", "give another file"
        )
    table: NDArray[Any] = cells[:]
    about = _about(path, file)
    genes = dataset(path, file, "cellBin/gene", ())
    var = _genes(path, genes, about)
    counts = _counts(path, file, table, len(var))
    _compare(counts, table, genes, about)
    centres = np.column_stack([table["x"], table["y"]]).astype(np.float64)
    if not (np.abs(centres) <= MAX_COORDINATE).all():
        raise DataError(f"{path}: a cell lies at {np.abs(centres).max():.0f} DNB", _DAMAGED)
    outlines = _outlines(path, file, centres)
    _settle_offset(about, outlines)
    shift = np.array(about.offset) + 0.5
    size = centres.max(axis=0).astype(int) + 1
    diameter = None
    obs = _obs(path, file, table)
    if "area" in obs and (obs["area"] > 0).any():
        diameter = float(2 * np.sqrt(np.median(obs["area"]) / np.pi)) or None
    spots = Spots(counts, obs, var, centres + 0.5, CELL, diameter, (int(size[0]), int(size[1])))
    section = make_section(about, spots, options)
    if outlines is not None:
        section.adata.obsm[POLYGONS] = (outlines + shift).astype(np.float32)
    return section


def _about(path: Path, file: h5py.File) -> About:
    chip, facts = root_facts(file)
    offset = (int(attribute(file.attrs, k, 0)) for k in ("offsetX", "offsetY"))
    about = About(
        path,
        chip=chip,
        offset=(next(offset), next(offset)),
        nm=attribute(file.attrs, "resolution", NM) or NM,
        has_cells=True,
        facts=facts,
    )
    if "cellBin/cellExon" in file:
        about.notes.append(EXON_NOTE)
    return about


def _settle_offset(about: About, outlines: NDArray[np.float64] | None) -> None:
    """Drop an offset that only repeats the smallest coordinate.

    Files made from a GEM state there where the cells begin in the file's own frame, to which their
    positions refer already.
    """
    if outlines is None or not any(about.offset):
        return
    smallest = np.nanmin(outlines, axis=(0, 1))
    if (smallest == np.array(about.offset)).all():
        about.notes.append(
            f"The offset of the file, {about.offset}, is only the smallest coordinate of its cells "
            "and was not added; positions start at the file's own origin."
        )
        about.offset = (0, 0)


def _genes(path: Path, table: Any, about: About) -> pd.DataFrame:
    fields = table.dtype.names or ()
    if "geneName" not in fields and "geneID" not in fields:
        raise FileFormatError(f"{path}: 'cellBin/gene' does not name its genes", _DAMAGED)
    if not 0 < len(table) <= MAX_GENES:
        raise FileFormatError(f"{path} has {len(table)} genes, expected 1 to {MAX_GENES}", _DAMAGED)
    symbols = words(table["geneName" if "geneName" in fields else "geneID"])
    ids = words(table["geneID"]) if "geneID" in fields else symbols
    if not any(symbols):
        about.notes.append("The file does not name its genes; they are numbered in its order.")
        symbols = ids = [f"gene_{i + 1}" for i in range(len(table))]
    return named_genes(symbols, ids, about.notes)


def _counts(path: Path, file: h5py.File, cells: NDArray[Any], n_genes: int) -> sp.csr_matrix:
    """(n_cells, n_genes) float32, from the list of genes of each cell."""
    import scipy.sparse as sp

    entries = dataset(path, file, "cellBin/cellExp", ("geneID", "count"))
    stops = np.cumsum(cells["geneCount"].astype(np.float64))
    starts = np.concatenate([[0], stops])
    if stops[-1] != len(entries) or (cells["offset"] != starts[:-1]).any():
        raise FileFormatError(
            f"{path}: the offsets of {len(cells)} cells do not divide {len(entries)} entries",
            _DAMAGED,
        )
    index = np.int32 if len(entries) < 2**31 else np.int64
    genes = np.empty(len(entries), dtype=index)
    values = np.empty(len(entries), dtype=np.float32)
    for start in range(0, len(entries), _BLOCK):
        part = entries[start : start + _BLOCK]
        if part["geneID"].max() >= n_genes or part["geneID"].min() < 0 or part["count"].min() < 0:
            raise FileFormatError(
                f"{path}: 'cellBin/cellExp' has a negative count or a gene beyond the {n_genes} "
                "of the file",
                _DAMAGED,
            )
        genes[start : start + _BLOCK] = part["geneID"]
        values[start : start + _BLOCK] = part["count"]
    counts = sp.csr_matrix((values, genes, starts.astype(index)), shape=(len(cells), n_genes))
    counts.sum_duplicates()
    counts.eliminate_zeros()
    return counts


def _compare(counts: sp.csr_matrix, cells: NDArray[Any], genes: Any, about: About) -> None:
    """Note where the sums that the file states are not those of its entries."""
    sums = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    wrong = int((sums != cells["expCount"]).sum())
    if wrong:
        about.notes.append(f"The counts of {wrong} cells do not add up to the sums of the file.")
    if "expCount" in genes.dtype.names:
        sums = np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel()
        wrong = int((sums != genes["expCount"]).sum())
        if wrong:
            about.notes.append(
                f"The counts of {wrong} genes do not add up to the sums of the file."
            )


def _outlines(
    path: Path, file: h5py.File, centres: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """(n_cells, corners, 2) in the frame of the file, NaN where a cell has fewer corners."""
    stored = file.get("cellBin/cellBorder")
    if stored is None:
        return None
    whole = stored.dtype.kind in "iu"
    if not whole or stored.ndim != 3 or (stored.shape[0], stored.shape[2]) != (len(centres), 2):
        raise FileFormatError(
            f"{path}: 'cellBin/cellBorder' has shape {stored.shape} and type {stored.dtype}, "
            f"expected whole numbers ({len(centres)}, corners, 2)",
            _DAMAGED,
        )
    raw = stored[:]
    outlines: NDArray[np.float64] = centres[:, None, :] + raw
    outlines[(raw == min(_PAD, np.iinfo(raw.dtype).max)).any(axis=2)] = np.nan
    return None if np.isnan(outlines).all() else outlines


def _obs(path: Path, file: h5py.File, cells: NDArray[Any]) -> pd.DataFrame:
    """Facts of the cells; named by their labels where these are stored, else by number."""
    import pandas as pd

    label = file.get("cellBin/label")
    fields = cells.dtype.names or ()
    names = cells["id"] if "id" in fields else np.arange(len(cells))
    if label is not None and label.shape == (len(cells),):
        names = label[:]
    index = pd.Index(np.asarray(names).astype(str).astype(object))
    if not index.is_unique:
        raise FileFormatError(
            f"{path}: cell '{index[index.duplicated()][0]}' occurs twice", _DAMAGED
        )
    obs = pd.DataFrame(index=index)
    for key in ("area", "dnbCount", "clusterID", "cellTypeID"):
        if key in fields and (key in ("area", "dnbCount") or cells[key].any()):
            obs[key] = cells[key].astype(np.int64)
    return obs
