"""Tables as text: opened with limits, their dialect sniffed, read whole where they are small."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import FileFormatError
from .guard import guarded

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MAX_ROWS",
    "Dialect",
    "is_number",
    "is_text_table",
    "open_text",
    "read_frame",
    "sniff",
    "stem_of",
]

MAX_TEXT_BYTES = 64 * 1024**3
"""Largest table, unpacked."""
MAX_RATIO = 400
"""Most bytes that one byte of a gzip file may stand for; tables of zeros reach about 100."""
RATIO_FLOOR = 64 * 1024**2
"""Tables up to this size may be packed better."""
MAX_LINE = 64 * 1024**2
MAX_HEAD = 16 * 1024**2
"""Most bytes that are looked at to tell how a table is written."""
MAX_COLUMNS = 300_000
MAX_ROWS = 20_000_000
_SAMPLE_LINES = 12
_MIN_SHARE = 0.6
"""Share of the first lines that must have the same number of fields."""
_MAX_COMMENTS = 1000
_GLANCE = 1 << 12
"""So many bytes of a table hold a mark between columns."""
_SUFFIXES = (".tsv", ".csv", ".txt", ".tab")
_DELIMITERS = "\t,; "
_GZIP = b"\x1f\x8b"
_DAMAGE = (OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class Dialect:
    """How a text table is written, from its first lines.

    Attributes
    ----------
    delimiter
        One character.
    skip
        Comment and empty lines before the first row.
    first
        Fields of the first row: usually the names of the columns. A header that leaves out the
        corner, as R writes it, has got an empty name in front.
    sample
        Fields of the rows after it, a dozen at most.
    """

    delimiter: str
    skip: int
    first: tuple[str, ...]
    sample: tuple[tuple[str, ...], ...]

    @property
    def headed(self) -> bool:
        """Whether the first row holds names rather than numbers."""
        filled = [field for field in self.first if field]
        return not filled or not all(is_number(field) for field in filled)

    def names(self) -> list[str]:
        """Names of the columns in lower case, without blanks around them."""
        return [field.strip().lower() for field in self.first]


def is_number(text: str) -> bool:
    """Whether ``text`` is a number, NaN and infinity included; ``10_13`` is an identifier."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def is_text_table(path: Path | str) -> bool:
    """Whether the name is that of a text table: tsv, csv, txt or tab, gzipped or not."""
    return str(path).lower().removesuffix(".gz").endswith(_SUFFIXES)


def stem_of(path: Path) -> str:
    """File name without ``.gz`` and without the suffix of a text table."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return name[:-4] if name.lower().endswith(_SUFFIXES) else name


class _Limited(io.RawIOBase):
    """A stream that refuses to unpack more than a table can hold."""

    def __init__(self, source: Any, path: Path, packed: int | None) -> None:
        self._source, self._path = source, path
        self._limit = MAX_TEXT_BYTES
        if packed is not None:
            self._limit = min(self._limit, max(RATIO_FLOOR, packed * MAX_RATIO))
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # One step at a time: a damaged file still gives the lines before the damage.
        data = self._source.read1(len(buffer))
        buffer[: len(data)] = data
        self._seen += len(data)
        if self._seen > self._limit:
            raise FileFormatError(
                f"{self._path} unpacks to more than {self._limit / 1e9:.1f} GB",
                "give the table as the platform wrote it",
            )
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()


def open_text(path: Path) -> io.BufferedReader:
    """The bytes of a table, unpacked where it is gzipped by its first bytes.

    Raises
    ------
    FileFormatError
        While reading, if a gzip file unpacks to a size that no table has.
    """
    source: Any = path.open("rb")
    packed = source.peek(2)[:2] == _GZIP
    if packed:
        source.close()
        source = gzip.GzipFile(path)
    limited = _Limited(source, path, path.stat().st_size if packed else None)
    return io.BufferedReader(limited, 1 << 17)


def sniff(path: Path) -> Dialect | None:
    """How the table in ``path`` is written; None where it is no text table.

    Looks at the first lines only, and never raises for odd content.
    """
    try:
        lines, skip = _head(path)
        return _dialect(lines, skip)
    except (*_DAMAGE, csv.Error, FileFormatError):
        return None


def _head(path: Path) -> tuple[list[str], int]:
    """The first lines after comments, decoded, and how many were skipped."""
    lines: list[str] = []
    skip = 0
    room = MAX_HEAD
    with open_text(path) as stream:
        if not _may_be_table(stream):
            return [], 0
        while len(lines) <= _SAMPLE_LINES:
            try:
                raw = stream.readline(room)
            except _DAMAGE:
                # The reader says what is wrong; here the first lines are enough.
                break
            room -= len(raw)
            if not raw:
                break
            if room <= 0:
                # A sample may be shorter, but a header and one row must fit.
                return (lines, skip) if len(lines) > 1 else ([], 0)
            if b"\x00" in raw:
                return [], 0
            coding = "utf-8" if lines or skip else "utf-8-sig"
            line = raw.decode(coding, "replace").rstrip("\r\n")
            # An empty corner may be all that a line starts with, so only the line feed goes.
            if not lines and (line.startswith("#") or not line.strip()):
                skip += 1
                if skip > _MAX_COMMENTS:
                    return [], 0
                continue
            lines.append(line)
    return lines, skip


def _may_be_table(stream: io.BufferedReader) -> bool:
    """Whether the first bytes can be those of a table: spares reading for a line's end in vain."""
    try:
        head = stream.peek()
    except _DAMAGE:
        return True
    plain = len(head) < _GLANCE or any(ord(mark) in head for mark in _DELIMITERS)
    return plain and 0 not in head


def _dialect(lines: Sequence[str], skip: int) -> Dialect | None:
    lines = [line for line in lines if line.strip()]
    for delimiter in _DELIMITERS:
        if not any(delimiter in line for line in lines[:2]):
            # A line that is one field may be longer than the csv module allows.
            continue
        rows = [tuple(row) for row in csv.reader(lines, delimiter=delimiter)]
        # A damaged line among the first ones is named by the reader.
        width, count = Counter(map(len, rows[1:] or rows)).most_common(1)[0] if rows else (0, 0)
        if not 2 <= width <= MAX_COLUMNS or count < _MIN_SHARE * len(rows[1:]):
            continue
        first = ("", *rows[0]) if len(rows[0]) == width - 1 else rows[0]
        if len(first) == width:
            return Dialect(
                delimiter, skip, first, tuple(row for row in rows[1:] if len(row) == width)
            )
    return None


def read_frame(
    path: Path,
    dialect: Dialect,
    *,
    header: bool = True,
    text: Sequence[int] | None = None,
    max_rows: int = MAX_ROWS,
) -> pd.DataFrame:
    """Read a whole table.

    For tables of spots or cells; matrices are read by `wide.read_wide`.

    Parameters
    ----------
    path
        The file.
    dialect
        As `sniff` found it.
    header
        Whether the first row holds names.
    text
        Places of the columns to keep as text, where the others may become numbers; None keeps
        all as text.
    max_rows
        Most rows that such a table can have.

    Returns
    -------
    pandas.DataFrame
        Named by the place of each column; empty fields, ``NA`` and ``NaN`` are missing.

    Raises
    ------
    FileFormatError
        If the file is damaged or has too many rows.
    """
    import pandas as pd

    with guarded(path, "a table of text"), open_text(path) as stream:
        for _ in range(dialect.skip + (1 if header else 0)):
            stream.readline(MAX_LINE)
        table = pd.read_csv(
            stream,
            sep=dialect.delimiter,
            header=None,
            names=range(len(dialect.first)),
            index_col=False,
            dtype=str if text is None else dict.fromkeys(text, str),
            low_memory=False,
            nrows=max_rows + 1,
            encoding_errors="replace",
        )
        if len(table) > max_rows:
            raise FileFormatError(
                f"{path} has more than {max_rows} rows", "give a table of spots or cells"
            )
    return table
