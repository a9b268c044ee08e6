"""One try to read a path with the user's wishes; runs in workers, keeps what went wrong."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import FileFormatError, MissingFileError, ParameterError, StmaskError
from ..io.guard import guarded
from ..io.read import recognise
from ..io.roles import table_columns, table_dialect
from ..io.text import is_text_table
from . import loading
from .guard import Failure

__all__ = ["Attempt", "Source", "Table", "look_at", "source_of", "try_to_read"]

PREVIEW_COLUMNS, _PREVIEW_ROWS = 40, 8
_ALWAYS = frozenset({"image", "alignment"})
"""Followed for every format: the histology is put on the section after it was read."""


@dataclass(frozen=True)
class Source:
    """A path and what its format lets a user choose.

    Attributes
    ----------
    format
        Name of the reader, or None where nothing recognises the path.
    title
        What the format is, for people.
    follows
        Names of the options that the reader follows.
    """

    path: str
    format: str | None
    title: str = ""
    follows: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Table:
    """The columns of a plain table and its first rows, as text."""

    path: str
    columns: list[tuple[str, str]]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Attempt:
    """What a try gave: sections, or a failure and, where that may help, the table's columns."""

    source: Source
    wishes: Mapping[str, Any]
    left_out: tuple[str, ...] = ()
    loaded: loading.Loaded = field(default_factory=list)
    failure: Failure | None = None
    table: Table | None = None


def source_of(path: str | Path, *, table: bool = False) -> Source:
    """The format of a path; looks at names and first bytes only.

    Parameters
    ----------
    path
        File or folder.
    table
        Take a file that nothing recognises for a table, because its columns were explained.
    """
    name = recognise(path)
    if name is None and _may_be_table(path):
        # Its columns are not known yet, and can be said.
        follows = importlib.import_module("napari_stmask.io.table").OPTIONS
        return Source(str(path), "table" if table else None, "a table", follows)
    if name is None:
        return Source(str(path), None)
    module = importlib.import_module(f"napari_stmask.io.{name}")
    return Source(str(path), name, module.TITLE, module.OPTIONS)


def _may_be_table(path: str | Path) -> bool:
    path = Path(path)
    try:
        return path.is_file() and (is_text_table(path) or path.suffix.lower() == ".parquet")
    except (OSError, ValueError):
        return False


def try_to_read(path: str, wishes: Mapping[str, Any]) -> Attempt:
    """Read ``path`` with those of the wishes that its format follows."""
    source = source_of(path, table=bool(wishes.get("columns") or wishes.get("spots")))
    sent = {k: v for k, v in wishes.items() if k in source.follows | _ALWAYS}
    left_out = tuple(sorted(set(wishes) - set(sent)))
    try:
        return Attempt(source, sent, left_out, loading.load_path(path, sent))
    except Exception as error:  # noqa: BLE001 - shown by the dock
        failure = Failure(error)
        # The report is text already; the frames would keep what they worked on alive.
        error.__traceback__ = None
        table = _columns_may_help(source, error)
        return Attempt(source, sent, left_out, failure=failure, table=table)


def _columns_may_help(source: Source, error: Exception) -> Table | None:
    """The table, where saying what its columns mean could be what is missing."""
    unexplained = source.format is None and isinstance(error, FileFormatError)
    unclear = source.format == "table" and isinstance(error, ParameterError)
    if not (unexplained or unclear) or not _may_be_table(source.path):
        return None
    try:
        return look_at(source.path)
    except StmaskError:
        return None


def look_at(path: str | Path) -> Table:
    """Columns and first rows of a table.

    Raises
    ------
    FileFormatError, MissingFileError
        If it is no table with a header.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path} does not exist", "check the path")
    columns = table_columns(path)
    if path.suffix.lower() == ".parquet":
        return Table(str(path), columns, _parquet_rows(path, len(columns)))
    dialect = table_dialect(path)
    rows = dialect.sample if dialect is not None else ()
    return Table(str(path), columns, [row[:PREVIEW_COLUMNS] for row in rows[:_PREVIEW_ROWS]])


def _parquet_rows(path: Path, count: int) -> list[tuple[str, ...]]:
    with guarded(path, "a parquet table"):
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names[: min(count, PREVIEW_COLUMNS)]
            for batch in file.iter_batches(batch_size=_PREVIEW_ROWS, columns=names):
                found = [batch.column(name).to_pylist() for name in names]
                return [tuple(map(str, row)) for row in zip(*found, strict=True)]
    return []
