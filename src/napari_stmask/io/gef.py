"""Read Stereo-seq GEF files (HDF5): square bins here, cells in `napari_stmask.io.cellbin`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import FileFormatError, ParameterError
from .bins import Records
from .guard import HDF5, kind_of
from .hdf5 import open_hdf5, root_keys
from .options import CELL, ReadOptions
from .stereo_spots import DEFAULT_BIN, section_of
from .stereoseq import EXON_NOTE, NM, About
from .tally import MAX_GENES

if TYPE_CHECKING:
    import h5py

    from ..core.section import Section

__all__ = [
    "OPTIONS",
    "TITLE",
    "GefSource",
    "attribute",
    "dataset",
    "load",
    "matches",
    "root_facts",
    "words",
]

TITLE = "a Stereo-seq GEF file (.gef)"
OPTIONS = frozenset({"bin", "mask", "filtered"})
_WHAT = "a Stereo-seq GEF file"
_BINS, _CELLS = "geneExp", "cellBin"
_BLOCK = 1 << 20
_DAMAGED = "copy or download the file again"


def matches(path: Path) -> bool:
    """Whether ``path`` is an HDF5 file with bins or cells of Stereo-seq."""
    if not path.is_file() or kind_of(path) != HDF5:
        return False
    keys = root_keys(path)
    return bool({_BINS, _CELLS} & keys) or (not keys and path.suffix.lower() == ".gef")


def load(path: Path, options: ReadOptions) -> Section:
    """Read a GEF as bins or as cells.

    Parameters
    ----------
    path
        The file.
    options
        ``bin``: side of a bin in DNB, or ``"cell"``; by default bins of 50 where the file has bins,
        else its cells. A side that is not stored is made from the largest stored one that divides
        it. ``mask``: cells for ``bin="cell"``, else the tissue. ``filtered``: use a mask of the
        tissue that lies beside the file. ``name``: the chip or the file name by default.

    Raises
    ------
    FileFormatError
        If the file is damaged.
    ParameterError
        If it does not hold what is asked for.
    DataError, ResourceError
        If nothing is left, or there would be too many bins.
    """
    with open_hdf5(path, _WHAT) as file:
        if not {_BINS, _CELLS} & set(file):
            raise FileFormatError(f"{path} has neither '{_BINS}' nor '{_CELLS}'", _DAMAGED)
        stored_cells = options.mask is None and _CELLS in file
        if stored_cells and (options.bin == CELL or (options.bin is None and _BINS not in file)):
            from .cellbin import read_cells

            return read_cells(path, file, options)
        if _BINS not in file:
            raise ParameterError(
                f"{path} holds cells only, no bins", "leave bin= and mask= out to read its cells"
            )
        source = GefSource(path, file, options)
        if _CELLS in file and options.bin is None:
            source.about.notes.append("The file also holds cells: read them with bin='cell'.")
        return section_of(source, options)


class GefSource:
    """The records of one bin size, as a `napari_stmask.io.stereoseq.Source`.

    Parameters
    ----------
    path, file
        The file and its open handle, which must outlive the source.
    options
        Decide which of the stored bin sizes is read; see `load`.
    """

    def __init__(self, path: Path, file: h5py.File, options: ReadOptions) -> None:
        stored = _stored_bins(path, file)
        fine = options.mask is not None or options.bin == CELL
        wanted = 1 if fine else options.bin or DEFAULT_BIN
        fitting = [side for side in stored if int(wanted) % side == 0]
        if fine and not fitting:
            raise ParameterError(
                f"{path} has no single DNB (bins of {', '.join(map(str, stored))}), which a mask "
                "needs",
                "give the file with bin1",
            )
        # Without a divisor the caller refuses what was asked for, or takes this size itself.
        side = max(fitting) if fitting else min(stored)
        self._use(path, file, side)

    @classmethod
    def at(cls, path: Path, file: h5py.File, side: int) -> GefSource:
        """The records of the bin size ``side``, whatever else is stored."""
        source = cls.__new__(cls)
        source._use(path, file, side)
        return source

    def _use(self, path: Path, file: h5py.File, side: int) -> None:
        group = f"{_BINS}/bin{side}"
        self._records = dataset(path, file, f"{group}/expression", ("x", "y", "count"))
        table = dataset(path, file, f"{group}/gene", ("offset", "count"))
        self._table = _genes(path, table, len(self._records))
        attrs = self._records.attrs
        offset = (attribute(attrs, "minX", 0), attribute(attrs, "minY", 0))
        chip, facts = root_facts(file)
        self.about = About(
            path,
            chip=chip,
            offset=(int(offset[0]), int(offset[1])),
            nm=attribute(attrs, "resolution", NM) or NM,
            facts=facts,
        )
        self._scale = side
        self.about.side = side
        if f"{group}/exon" in file:
            self.about.notes.append(EXON_NOTE)

    def blocks(self, pool: Executor) -> Iterator[Records]:  # noqa: ARG002 reads in one thread
        """All records, in the order of the genes."""
        counts = self._table["count"].astype(np.int64)
        ends = np.cumsum(counts)
        for start in range(0, len(self._records), _BLOCK):
            part = self._records[start : start + _BLOCK]
            gene = np.searchsorted(ends, np.arange(start, start + len(part)), side="right")
            yield Records(part["x"], part["y"], gene, part["count"])

    def places(self, pool: Executor) -> Iterator[Records]:
        """Only where the records lie."""
        for r in self.blocks(pool):
            yield Records(r.x, r.y, np.zeros_like(r.gene), np.ones_like(r.gene))

    def genes(self) -> tuple[list[str], list[str]]:
        """Identifiers and symbols."""
        fields = self._table.dtype.names or ()
        ids = words(self._table["geneID" if "geneID" in fields else "gene"])
        return ids, words(self._table["geneName"]) if "geneName" in fields else ids


def _stored_bins(path: Path, file: h5py.File) -> list[int]:
    names = [str(name) for name in file[_BINS]]
    found = sorted(int(name[3:]) for name in names if name.startswith("bin") and name[3:].isdigit())
    if not found or found[0] < 1:
        raise FileFormatError(f"{path} holds no bin size under '{_BINS}'", _DAMAGED)
    return found


def _genes(path: Path, table: Any, n_records: int) -> NDArray[Any]:
    """The gene table, if it divides the records."""
    fields = table.dtype.names
    if not ("gene" in fields or "geneID" in fields):
        raise FileFormatError(f"{path}: '{table.name}' does not name its genes", _DAMAGED)
    if not 0 < len(table) <= MAX_GENES:
        raise FileFormatError(
            f"{path}: '{table.name}' has {len(table)} genes, expected 1 to {MAX_GENES}", _DAMAGED
        )
    genes: NDArray[Any] = table[:]
    stops = np.cumsum(genes["count"].astype(np.float64))
    starts = np.concatenate([[0], stops[:-1]])
    if stops[-1] != n_records or (genes["offset"] != starts).any():
        raise FileFormatError(
            f"{path}: the offsets in '{table.name}' do not divide {n_records} records", _DAMAGED
        )
    return genes


def dataset(path: Path, file: h5py.File, name: str, fields: tuple[str, ...]) -> Any:
    """A table of an HDF5 file, if it has these fields with whole numbers.

    Raises
    ------
    FileFormatError
        If it is missing or has another form.
    """
    import h5py

    found = file.get(name)
    if not isinstance(found, h5py.Dataset) or found.ndim != 1:
        raise FileFormatError(f"{path} has no table '{name}'", _DAMAGED)
    for key in fields:
        if key not in (found.dtype.names or ()) or found.dtype[key].kind not in "iu":
            raise FileFormatError(
                f"{path}: table '{name}' has no column '{key}' of whole numbers", _DAMAGED
            )
    return found


def attribute(attrs: Any, key: str, default: float) -> float:
    """A finite number among attributes, stored alone or as a list of one."""
    try:
        value = float(np.asarray(attrs[key]).reshape(-1)[0])
    except (KeyError, IndexError, ValueError, TypeError):
        return default
    return value if np.isfinite(value) else default


def root_facts(file: h5py.File) -> tuple[str | None, dict[str, str]]:
    """The chip, if it is named, and what else the root says."""
    found = {}
    for key, word in (("sn", "chip"), ("omics", "omics"), ("version", "format")):
        if key in file.attrs:
            value = np.asarray(file.attrs[key]).reshape(-1)
            if value.size:
                found[word] = words(value[:1])[0]
    return found.pop("chip", None) or None, found


def words(values: NDArray[Any]) -> list[str]:
    """Fixed-length bytes, or anything else, as text."""
    return [
        v.decode("utf-8", errors="replace") if isinstance(v, bytes) else str(v)
        for v in values.tolist()
    ]
