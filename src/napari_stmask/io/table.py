"""Read plain tables: a matrix with coordinates, records of gene and place, or matrix and spots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, FileFormatError, ParameterError
from .guard import guarded
from .options import ReadOptions
from .positions import MIN_MATCH
from .records import read_records
from .roles import (
    NUMBER,
    genes_of,
    guess_roles,
    is_usable,
    resolve_roles,
    table_columns,
    table_dialect,
)
from .symbols import gene_table
from .text import MAX_ROWS, is_text_table, stem_of
from .wide import Wide, read_wide, stack

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse as sp

    from ..core.section import Section

__all__ = ["OPTIONS", "TITLE", "guess_roles", "load", "matches", "table_columns"]

TITLE = "a table (csv, tsv or parquet) with x, y and one column per gene, or gene, x, y and count"
OPTIONS = frozenset({"columns", "spots", "symbols"})
_MAX_BATCH_ROWS, _BATCH_VALUES = 1 << 16, 1 << 22
_PARQUET_MAGIC = b"PAR1"

Columns = Sequence[tuple[str, str]]


def matches(path: Path) -> bool:
    """Whether the header of ``path`` has coordinates, and genes or gene and count."""
    if not path.is_file():
        return False
    if path.suffix.lower() == ".parquet":
        with path.open("rb") as stream:
            if stream.read(4) != _PARQUET_MAGIC:
                return False
    elif not is_text_table(path):
        return False
    try:
        return is_usable(table_columns(path))
    except FileFormatError:
        return False


def load(path: Path, options: ReadOptions) -> Section:
    """Read a table as a section.

    Values need not be counts: what needs counts refuses them later.

    Parameters
    ----------
    path
        Table with a header.
    options
        ``name`` (the file's by default); ``columns``, from the roles ``id``, ``x``, ``y``,
        ``gene`` and ``count`` to names of columns, where these do not tell by themselves;
        ``spots``, a table with the coordinates, joined by ``id`` (``columns`` then speaks of that
        table); ``symbols``.

    Raises
    ------
    ParameterError
        If it cannot be told which columns hold the coordinates; lists the columns.
    FileFormatError, MissingFileError, DataError
        Each with a sentence that names the file.
    """
    from ..core.section import Section

    columns = table_columns(path)
    notes: list[str] = []
    if options.spots is not None:
        adata = _with_spots(path, columns, options, notes)
    else:
        roles = resolve_roles(path, columns, options.columns, need=("x", "y"))
        long = {"gene", "count"} <= set(roles)
        need = ("x", "y", "gene", "count") if long else ("x", "y")
        resolve_roles(path, columns, options.columns, need=need)
        adata = (_long if long else _matrix)(path, columns, roles, options, notes)
    notes.append("The unit of the coordinates is not known, so there is no scale in µm.")
    section = Section(
        adata, name=options.name or stem_of(path).removesuffix(".parquet"), source=str(path),
        notes=notes,
    )  # fmt: skip
    irregular = section.n_spots > 6 and section.lattice.kind == "irregular"
    return replace(section, platform="imaging") if irregular else section


def _long(
    path: Path, columns: Columns, roles: dict[str, str], options: ReadOptions, notes: list[str]
) -> Any:
    """One row per gene and position."""
    import pandas as pd
    from anndata import AnnData

    names = [name for name, _ in columns]
    found = read_records(path, [names.index(roles[r]) for r in ("gene", "x", "y", "count")])
    obs = pd.DataFrame(index=[f"{x:g}_{y:g}" for x, y in found.places])
    if not obs.index.is_unique:
        obs.index = [f"spot{i + 1}" for i in range(len(obs))]
    notes.append(f"{found.n_records} records make {len(obs)} spots, one for each position.")
    adata = AnnData(found.matrix, obs, gene_table(found.genes, options.symbols, notes))
    adata.obsm["spatial"] = found.places
    return adata


def _matrix(
    path: Path, columns: Columns, roles: dict[str, str], options: ReadOptions, notes: list[str]
) -> Any:
    """One row per spot, with its coordinates."""
    from anndata import AnnData

    genes = genes_of(columns, roles)
    if not genes:
        raise ParameterError(
            f"{path}: no column is left for genes beside {', '.join(roles.values())}",
            "give a table with one column of numbers per gene, or name gene and count",
        )
    wide = _values(path, columns, genes)
    names = [name for name, _ in columns]
    kept = {name: wide.text[i] for i, name in enumerate(names) if i in wide.text}
    place = np.column_stack([_floats(kept.pop(roles[r]), roles[r], path) for r in ("x", "y")])
    ids = kept.pop(roles["id"], None) if "id" in roles else None
    if ids is None:
        ids = np.array([f"spot{i + 1}" for i in range(len(place))], dtype=object)
    obs = _obs(kept, ids)
    adata = AnnData(wide.matrix, obs, gene_table(wide.columns, options.symbols, notes))
    adata.obsm["spatial"] = place
    if kept:
        notes.append(f"Columns taken for facts of spots, not for genes: {', '.join(kept)}.")
    return adata


def _values(path: Path, columns: Columns, genes: list[str]) -> Wide:
    """The genes as a matrix, and every other column as text."""
    chosen = set(genes)
    other = [i for i, (name, _) in enumerate(columns) if name not in chosen]
    if path.suffix.lower() == ".parquet":
        return _parquet(path, columns, other)
    dialect = table_dialect(path)
    assert dialect is not None, "table_columns has read its header"
    return read_wide(path, dialect, other)


def _parquet(path: Path, columns: Columns, other: list[int]) -> Wide:
    """Batches of rows of a parquet file, so that the dense table never exists."""
    import scipy.sparse as sp

    parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
    words: dict[int, list[NDArray[Any]]] = {i: [] for i in other}
    genes = [i for i in range(len(columns)) if i not in words]
    with guarded(path, "a parquet table"):
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > MAX_ROWS:
                raise FileFormatError(f"{path} has more than {MAX_ROWS} rows", "split the table")
            size = max(1, min(_MAX_BATCH_ROWS, _BATCH_VALUES // len(columns)))
            for batch in file.iter_batches(batch_size=size):
                block = np.column_stack(
                    [np.asarray(batch.column(i), dtype=np.float32) for i in genes]
                )
                if not np.isfinite(block).all():
                    bad = columns[genes[int(np.argwhere(~np.isfinite(block))[0][1])]][0]
                    raise FileFormatError(
                        f"{path}: column '{bad}' holds values that are missing or not finite",
                        "correct the table, or say which columns are no genes",
                    )
                rows = sp.csr_matrix(block)
                parts.append((np.diff(rows.indptr), rows.indices, rows.data))
                for i, found in words.items():
                    column = batch.column(i).to_pandas()
                    text = column.astype(str).where(column.notna(), "")
                    found.append(text.to_numpy(dtype=object))
    return Wide(
        stack(parts, len(genes)),
        np.array([columns[i][0] for i in genes], dtype=object),
        {i: np.concatenate([*found, np.zeros(0, object)]) for i, found in words.items()},
    )


def _floats(text: NDArray[np.object_], name: str, path: Path) -> NDArray[np.float64]:
    import pandas as pd

    values = pd.to_numeric(pd.Series(text), errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise FileFormatError(
            f"{path}: row {bad[0] + 1} has '{text[bad[0]]}' in column '{name}', expected a number",
            "correct this line, or name another column",
        )
    return values


def _obs(kept: dict[str, NDArray[np.object_]], ids: NDArray[np.object_]) -> pd.DataFrame:
    import pandas as pd

    found: dict[str, Any] = {}
    for name, text in kept.items():
        series = pd.Series(text).mask(pd.Series(text) == "")
        values = pd.to_numeric(series, errors="coerce")
        number = values.notna().any() and (values.notna() | series.isna()).all()
        found[name or "unnamed"] = values.to_numpy() if number else pd.Categorical(series)
    return pd.DataFrame(found, index=ids)


def _with_spots(path: Path, columns: Columns, options: ReadOptions, notes: list[str]) -> Any:
    """A matrix with names along both sides, and a table of coordinates by these names."""
    import pandas as pd
    from anndata import AnnData

    assert options.spots is not None
    spots = table_columns(options.spots)
    roles = resolve_roles(options.spots, spots, options.columns, need=("id", "x", "y"))
    sheet = _values(options.spots, spots, [])
    by_name = {name: sheet.text[i] for i, (name, _) in enumerate(spots)}
    place = np.column_stack(
        [_floats(by_name.pop(roles[r]), roles[r], options.spots) for r in ("x", "y")]
    )
    index = pd.Index(by_name.pop(roles["id"]).astype(str), dtype=object)
    if not index.is_unique:
        raise FileFormatError(
            f"{options.spots} holds '{index[index.duplicated()][0]}' twice in '{roles['id']}'",
            "give the table of one section",
        )
    genes = [name for name, kind in columns[1:] if kind == NUMBER]
    matrix, ids, names = _oriented(_values(path, columns, genes), index)
    found = index.get_indexer(pd.Index(ids, dtype=object))
    rows = np.flatnonzero(found >= 0)
    if not rows.size or rows.size < MIN_MATCH * len(ids):
        raise DataError(
            f"Only {rows.size} of {len(ids)} spots of {path} are in {options.spots}",
            "take matrix and coordinates from the same section, or name the column of ids",
        )
    if rows.size < len(ids):
        notes.append(f"{len(ids) - rows.size} of {len(ids)} spots have no position.")
    kept = {name: text[found[rows]] for name, text in by_name.items()}
    adata = AnnData(matrix[rows], _obs(kept, ids[rows]), gene_table(names, options.symbols, notes))
    adata.obsm["spatial"] = place[found[rows]]
    return adata


def _oriented(
    wide: Wide, index: pd.Index
) -> tuple[sp.csr_matrix, NDArray[np.object_], NDArray[np.object_]]:
    """Matrix with spots in rows, their names and those of the genes."""
    first = wide.text[min(wide.text)].astype(str).astype(object)
    if np.isin(wide.columns, index).sum() > np.isin(first, index).sum():
        return wide.matrix.T.tocsr(), wide.columns, first
    return wide.matrix, first, wide.columns
