"""Read the output folder of MERSCOPE: cells, counts and positions in micrometres."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .cells import (
    cell_section,
    control_columns,
    either_of,
    find_one,
    read_cells,
    require,
    require_dialect,
)
from .options import ReadOptions
from .symbols import gene_table
from .wide import read_wide

if TYPE_CHECKING:
    from ..core.section import Section

__all__ = ["OPTIONS", "TITLE", "load", "matches"]

TITLE = "a MERSCOPE output (folder with cell_by_gene.csv and cell_metadata.csv)"
OPTIONS: frozenset[str] = frozenset()

_COUNTS, _CELLS = "cell_by_gene", "cell_metadata"
_PLACE = ("center_x", "center_y")
_CONTROLS = {"blank-": "Blank", "blank_": "Blank", "blank ": "Blank"}


def matches(path: Path) -> bool:
    """Whether ``path`` is a folder with both tables, or one of them beside the other."""
    return either_of(path, (_COUNTS, _CELLS))


def load(path: Path, options: ReadOptions) -> Section:
    """Read one MERSCOPE section; blank barcodes are left out.

    Parameters
    ----------
    path
        Anything that `matches` accepts.
    options
        ``name`` (the folder's by default).

    Raises
    ------
    FileFormatError, MissingFileError, DataError
        Each with a sentence that names the file.
    """
    folder = path.parent if path.is_file() else path
    notes: list[str] = []
    counts_path = require(find_one(folder, _COUNTS), folder, f"{_COUNTS}.csv")
    cells_path = require(find_one(folder, _CELLS), folder, f"{_CELLS}.csv")
    dialect = require_dialect(counts_path, "a table of cells x genes")
    wide = read_wide(counts_path, dialect, [0], control_columns(dialect.first, _CONTROLS, notes))
    cells = read_cells(cells_path, "the table of cells of MERSCOPE")
    cells.index = cells[cells.columns[0]].astype(str).str.strip().to_numpy()
    cells = cells.drop(columns=cells.columns[0])
    section = cell_section(
        wide.matrix,
        wide.text[0],
        gene_table(wide.columns, None, notes),
        cells,
        _PLACE,
        path,
        notes,
        name=options.name or folder.resolve().name,
        um_per_px=1.0,
    )
    section.counts()
    return section
