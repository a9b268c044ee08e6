"""Read the flat files of CosMx: cells, counts and positions in pixels of the slide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.errors import FileFormatError
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
    import pandas as pd

    from ..core.section import Section

__all__ = ["OPTIONS", "TITLE", "load", "matches"]

TITLE = "a CosMx output (folder with *_exprMat_file.csv and *_metadata_file.csv)"
OPTIONS: frozenset[str] = frozenset()

_COUNTS, _CELLS, _FIELDS = "exprMat_file", "metadata_file", "fov_positions_file"
_PLACE = ("CenterX_global_px", "CenterY_global_px")
UM_PER_PX, FOV_PX = 0.12028, 4256
"""Pixel of the released instrument (the maker's note on its flat files), and the side of its
fields of view, 0.51 mm."""
EARLY_UM_PER_PX = 0.18
"""Pixel of the first prototypes, of which the lung sections of 2022 come; their fields were
5472 x 3648 pixels."""
_PLAUSIBLE = (0.05, 0.5)
_CONTROLS = {
    "negprb": "NegPrb",
    "negative": "Negative",
    "systemcontrol": "SystemControl",
    "falsecode": "FalseCode",
}


def matches(path: Path) -> bool:
    """Whether ``path`` is a folder with both tables, or one of them beside the other."""
    return either_of(path, (_COUNTS, _CELLS))


def load(path: Path, options: ReadOptions) -> Section:
    """Read one CosMx section.

    Control probes are left out, and what lies in no cell (``cell_ID`` 0). The size of a pixel
    comes from the table of fields of view, where it has positions in pixels and in millimetres,
    and else is told from the size of these fields.

    Parameters
    ----------
    path
        Anything that `matches` accepts.
    options
        ``name`` (from the file names by default).

    Raises
    ------
    FileFormatError, MissingFileError, DataError
        Each with a sentence that names the file.
    """
    folder = path.parent if path.is_file() else path
    notes: list[str] = []
    counts_path = require(find_one(folder, _COUNTS), folder, f"*_{_COUNTS}.csv")
    cells_path = require(find_one(folder, _CELLS), folder, f"*_{_CELLS}.csv")
    dialect = require_dialect(counts_path, "a table of cells x genes")
    names = [name.strip() for name in dialect.first]
    fov, cell = (_column(names, name, counts_path) for name in ("fov", "cell_ID"))
    extra = [i for i, name in enumerate(names) if name in ("cell", "cell_id", "slide_ID", "")]
    extra += control_columns(names, _CONTROLS, notes)
    wide = read_wide(counts_path, dialect, [fov, cell], extra)
    ids = _ids(wide.text[fov], wide.text[cell])
    cells = _cells(cells_path)
    inside = np.array([str(text).strip() not in ("0", "0.0") for text in wide.text[cell]])
    counts = wide.matrix[np.flatnonzero(inside)] if not inside.all() else wide.matrix
    if not inside.all():
        notes.append(f"{int((~inside).sum())} rows of background (cell_ID 0) were left out.")
    section = cell_section(
        counts,
        ids[inside],
        gene_table(wide.columns, None, notes),
        cells,
        _PLACE,
        path,
        notes,
        name=options.name or counts_path.name.split(_COUNTS)[0].strip("_- .") or folder.name,
        um_per_px=_stated(folder) or _assumed(cells, notes),
    )
    if _upside_down(cells):
        notes.append(
            "Positions on the slide count y against the rows of the fields of view, so the section "
            "is shown upside down, compared with the images of the instrument."
        )
    section.counts()
    return section


def _upside_down(cells: pd.DataFrame) -> bool:
    """Whether y on the slide falls where y in the field of view rises."""
    import pandas as pd

    names = ["CenterY_local_px", _PLACE[1]]
    if not set(names) <= set(cells.columns):
        return False
    y = cells[names].apply(pd.to_numeric, errors="coerce")
    y = y - y.groupby(cells["fov"].to_numpy()).transform("mean")
    return bool(y.prod(axis=1, skipna=False).sum() < 0)


def _column(names: list[str], wanted: str, path: Path) -> int:
    if wanted not in names:
        raise FileFormatError(
            f"{path} has no column '{wanted}', found: {', '.join(names[:8])}",
            "give the file as CosMx exports it",
        )
    return names.index(wanted)


def _ids(fov: NDArray[np.object_], cell: NDArray[np.object_]) -> NDArray[np.object_]:
    return np.array([f"{f}_{c}" for f, c in zip(fov, cell, strict=True)], dtype=object)


def _cells(path: Path) -> pd.DataFrame:
    """The table of cells, by field of view and number."""
    table = read_cells(path, "the table of cells of CosMx")
    if not {"fov", "cell_ID"} <= set(table.columns):
        name = next((n for n in ("cell", "cell_id") if n in table.columns), None)
        if name is None:
            raise FileFormatError(
                f"{path} has no columns fov and cell_ID, found: "
                f"{', '.join(map(str, table.columns[:12]))}",
                "give the file as CosMx exports it",
            )
        # Such as c_1_12_345: slide, field of view, cell.
        parts = table[name].fillna("").str.extract(r"(\d+)_(\d+)$")
        if parts.isna().any(axis=None):
            raise FileFormatError(
                f"{path}: column '{name}' does not name field of view and cell, such as c_1_2_3",
                "give the file as CosMx exports it",
            )
        table["fov"], table["cell_ID"] = parts[0], parts[1]
    text = [table[name].fillna("").str.strip().to_numpy() for name in ("fov", "cell_ID")]
    table.index = _ids(text[0], text[1])
    return table


def _stated(folder: Path) -> float | None:
    """Micrometres per pixel, from fields whose positions are given in both units, or None."""
    import pandas as pd

    path = find_one(folder, _FIELDS)
    if path is None:
        return None
    table = read_cells(path, "the table of fields of view of CosMx")
    table.columns = table.columns.str.lower()
    for axis in "xy":
        columns = [f"{axis}_global_px", f"{axis}_global_mm"]
        if set(columns) <= set(table.columns):
            both = table[columns].apply(pd.to_numeric, errors="coerce").dropna().to_numpy()
            spread = np.ptp(both, axis=0) if len(both) > 1 else np.zeros(2)
            if (spread > 0).all():
                scale = float(spread[1] / spread[0] * 1000)
                return scale if _PLAUSIBLE[0] < scale < _PLAUSIBLE[1] else None
    return None


def _assumed(cells: pd.DataFrame, notes: list[str]) -> float:
    """By the size of the fields of view, in which prototypes and released instruments differ."""
    import pandas as pd

    local = [name for name in ("CenterX_local_px", "CenterY_local_px") if name in cells.columns]
    largest = max((pd.to_numeric(cells[n], errors="coerce").max() for n in local), default=0)
    early = bool(largest > FOV_PX)
    scale = EARLY_UM_PER_PX if early else UM_PER_PX
    why = f"cells lie up to {largest:.0f} px from the corner of their field" if early else ""
    why = why or f"the pixel of instruments with fields of {FOV_PX} px"
    notes.append(f"The files state no pixel size; {scale} µm were assumed ({why}).")
    return scale
