"""What the readers of imaging platforms share: cells with counts, joined with their positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, FileFormatError, MissingFileError
from .folders import first_entries
from .positions import MIN_MATCH
from .text import MAX_ROWS, Dialect, read_frame, sniff

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse as sp

    from ..core.section import Section

_IDS = frozenset({"", "cell", "cell_id", "fov", "entityid"})
"""Columns that name cells: kept as text, as their numbers may be too long for a float."""
_MAX_VALUES = 200_000_000

__all__ = [
    "cell_section",
    "control_columns",
    "either_of",
    "find_one",
    "read_cells",
    "require",
    "require_dialect",
]


def either_of(path: Path, parts: tuple[str, str]) -> bool:
    """Whether ``path`` is a folder with a text table of both names, or one of these tables."""
    if path.is_file():
        if not any(part in path.name for part in parts):
            return False
        path = path.parent
    if not path.is_dir():
        return False
    names = [entry.name for entry in first_entries(path, lambda name: ".csv" in name)]
    return all(any(part in name for name in names) for part in parts)


def find_one(folder: Path, part: str) -> Path | None:
    """The text table in ``folder`` whose name contains ``part``, or None.

    Raises
    ------
    FileFormatError
        If there are several.
    """
    found = [p for p in first_entries(folder, lambda name: part in name) if p.is_file()]
    found = [p for p in found if p.name.lower().endswith((".csv", ".csv.gz"))]
    # A file that was unpacked beside its packed form is one file.
    found = [p for p in found if p.suffix != ".gz" or p.with_suffix("") not in found]
    if len(found) > 1:
        raise FileFormatError(
            f"{folder} holds several files {part}: {', '.join(p.name for p in found[:4])}",
            "keep the files of one section in the folder",
        )
    return found[0] if found else None


def require_dialect(path: Path, what: str) -> Dialect:
    """How the table is written.

    Raises
    ------
    FileFormatError
        If it is no table with a header and a row.
    """
    dialect = sniff(path)
    if dialect is None or not dialect.headed or not dialect.sample:
        raise FileFormatError(f"{path} is not {what}", "copy or download the file again")
    return dialect


def read_cells(path: Path, what: str) -> pd.DataFrame:
    """A table of cells, as text or with the types of a parquet file.

    Raises
    ------
    FileFormatError
        If it is damaged, or has too many rows.
    """
    if path.suffix == ".parquet":
        return _read_parquet(path, what)
    dialect = require_dialect(path, what)
    names = [name.strip() for name in dialect.first]
    ids = [i for i, name in enumerate(names) if i == 0 or name.lower() in _IDS]
    table = read_frame(path, dialect, text=ids)
    table.columns = names
    return table.loc[:, ~table.columns.duplicated()]


def _read_parquet(path: Path, what: str) -> pd.DataFrame:
    from .guard import guarded

    with guarded(path, what):
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            rows, columns = file.metadata.num_rows, file.metadata.num_columns
            if rows > MAX_ROWS or rows * columns > _MAX_VALUES:
                raise FileFormatError(
                    f"{path} claims {rows} rows and {columns} columns", "give a table of cells"
                )
            table: pd.DataFrame = file.read().to_pandas()
    return table


def cell_section(
    counts: sp.csr_matrix,
    ids: Sequence[str] | NDArray[np.object_],
    var: pd.DataFrame,
    cells: pd.DataFrame,
    place: tuple[str, str],
    source: Path,
    notes: list[str],
    **facts: Any,
) -> Section:
    """A section of the cells that have both counts and a position.

    Parameters
    ----------
    counts
        (n_cells, n_genes).
    ids
        (n_cells,) names of the rows.
    var
        The table of genes.
    cells
        Indexed by the same names; columns that hold numbers go to ``obs``.
    place
        Its columns with x and y.
    source
        Path that the user gave.
    notes
        Receives how many cells were left out.
    **facts
        Of `Section`: name, um_per_px, spot_diameter.

    Raises
    ------
    FileFormatError
        If a name occurs twice or a position is missing.
    DataError
        If there are no genes, or fewer than half of the cells have a position.
    """
    import pandas as pd
    from anndata import AnnData

    from ..core.section import Section

    if not counts.shape[1]:
        raise DataError(f"{source} has no genes", "give the matrix of counts of the run")
    index = pd.Index(ids, dtype=object)
    for names, what in ((index, "counts"), (cells.index, "cells")):
        if not names.is_unique:
            raise FileFormatError(
                f"{source}: the table of {what} holds '{names[names.duplicated()][0]}' twice",
                "give the files of one section",
            )
    found = cells.index.get_indexer(index)
    rows = np.flatnonzero(found >= 0)
    if not rows.size or rows.size < MIN_MATCH * len(index):
        raise DataError(
            f"{source}: only {rows.size} of {len(index)} cells with counts are in the table of "
            f"cells (such as '{index[0] if len(index) else ''}')",
            "take both files from the same run",
        )
    if rows.size < len(index):
        notes.append(f"{len(index) - rows.size} of {len(index)} cells have no position.")
        counts, index = counts[rows], index[rows]
    table = cells.iloc[found[rows]]
    position = np.column_stack([_numbers(table, name, source) for name in place])
    adata = AnnData(counts, _obs(table, place, index), var)
    adata.obsm["spatial"] = position
    return Section(adata, platform="imaging", source=str(source), notes=notes, **facts)


def _numbers(table: pd.DataFrame, name: str, source: Path) -> NDArray[np.float64]:
    import pandas as pd

    if name not in table:
        raise FileFormatError(
            f"{source}: the table of cells has no column '{name}', found: "
            f"{', '.join(map(str, table.columns[:12]))}",
            "give the files as the platform writes them",
        )
    values = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise FileFormatError(
            f"{source}: cell '{table.index[bad[0]]}' has no number in column '{name}'",
            "correct this line or copy the file again",
        )
    return values


def _obs(table: pd.DataFrame, place: tuple[str, str], index: pd.Index) -> pd.DataFrame:
    """Columns that hold numbers throughout, except the position."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name in table.columns:
        if name in place or not str(name).strip():
            continue
        values = pd.to_numeric(table[name], errors="coerce")
        if values.notna().any() and (values.notna() | table[name].isna()).all():
            columns[str(name)] = values.to_numpy()
    return pd.DataFrame(columns, index=index)


def control_columns(
    names: Sequence[str], prefixes: Mapping[str, str], notes: list[str]
) -> list[int]:
    """Places of the columns that are control probes.

    Parameters
    ----------
    names
        Of all columns.
    prefixes
        By lower-case beginning of a name: what it is.
    notes
        Receives how many are left out.
    """
    kinds = [
        next(
            (kind for start, kind in prefixes.items() if name.strip().lower().startswith(start)), ""
        )
        for name in names
    ]
    found = [i for i, kind in enumerate(kinds) if kind]
    if found:
        listed = ", ".join(sorted({kinds[i] for i in found}))
        notes.append(f"{len(found)} columns of controls were left out: {listed}.")
    return found


def require(path: Path | None, folder: Path, name: str) -> Path:
    """``path``, or a sentence that says which file is missing."""
    if path is None:
        raise MissingFileError(
            f"{folder} has no {name}", "copy the whole output of the run into the folder"
        )
    return path
