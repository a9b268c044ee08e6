"""Wide tables of counts, one row per spot or gene, parsed in blocks straight into CSR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import FileFormatError, ResourceError
from .guard import guarded
from .text import MAX_LINE, MAX_ROWS, Dialect, open_text

if TYPE_CHECKING:
    import scipy.sparse as sp

__all__ = ["Wide", "read_wide", "stack"]

_BLOCK = 4 * 1024**2
_MAX_FIELD = 64
_QUOTED = b"\x1f"
_NEWLINE, _ZERO, _UNDERSCORE = 10, 48, 95


@dataclass(frozen=True)
class Wide:
    """A matrix and the columns beside it.

    Attributes
    ----------
    matrix
        (n_rows, n_values) float32 CSR, canonical, without stored zeros.
    columns
        (n_values,) names of its columns.
    text
        By place in the table: (n_rows,) text of the columns that are no values.
    """

    matrix: sp.csr_matrix
    columns: NDArray[np.object_]
    text: dict[int, NDArray[np.object_]]


def read_wide(path: Path, dialect: Dialect, text: Sequence[int], drop: Sequence[int] = ()) -> Wide:
    """Read a table whose columns are numbers, except some.

    Only one block of text is held at a time, and only values other than 0 are parsed.

    Parameters
    ----------
    path
        The file, with a header.
    dialect
        As `text.sniff` found it.
    text
        Places of the columns to keep as text.
    drop
        Places of the columns to leave out.

    Raises
    ------
    FileFormatError
        If a row has another number of fields, or a value is no finite number.
    ResourceError
        If the counts do not fit into memory.
    """
    from ..core.memory import available_bytes

    width = len(dialect.first)
    away = np.zeros(width, dtype=bool)
    away[[*text, *drop]] = True
    values = np.flatnonzero(~away)
    parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
    words: dict[int, list[str]] = {place: [] for place in text}
    done = held = 0
    with guarded(path, "a table of counts"), open_text(path) as stream:
        for _ in range(dialect.skip + 1):
            stream.readline(MAX_LINE)
        for block in _blocks(stream, path, dialect.delimiter.encode()):
            lines = _Lines(block, dialect, path, done + dialect.skip + 2)
            for place, found in words.items():
                found.extend(lines.words(place))
            parts.append(lines.numbers(values))
            done += lines.n_rows
            held += parts[-1][1].nbytes + parts[-1][2].nbytes
            if done > MAX_ROWS:
                raise FileFormatError(f"{path} has more than {MAX_ROWS} rows", "split the table")
            if held > available_bytes():
                raise ResourceError(f"{path} does not fit into memory", "close other programs")
    return Wide(
        stack(parts, len(values)),
        np.array([dialect.first[i].strip() for i in values], dtype=object),
        {place: np.array(found, dtype=object) for place, found in words.items()},
    )


def stack(
    parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]], width: int
) -> sp.csr_matrix:
    """One CSR matrix of blocks of rows; empties ``parts``, so that little is held twice.

    Parameters
    ----------
    parts
        For each block: values per row, columns (ascending in each row), values.
    width
        Number of columns.
    """
    import scipy.sparse as sp

    lengths, columns, values = ([part[i] for part in parts] for i in range(3))
    parts.clear()
    per_row = np.concatenate([*lengths, np.zeros(0, np.int64)])
    total = int(per_row.sum())
    index = np.int32 if max(total, width) < 2**31 else np.int64
    indptr = np.zeros(per_row.size + 1, dtype=index)
    np.cumsum(per_row, out=indptr[1:])
    data = np.concatenate([*values, np.zeros(0, np.float32)])
    values.clear()
    indices = np.concatenate([*columns, np.zeros(0, np.int32)]).astype(index, copy=False)
    columns.clear()
    matrix = sp.csr_matrix((data, indices, indptr), shape=(per_row.size, width))
    matrix.has_canonical_format = True
    return matrix


def _blocks(stream: Any, path: Path, delimiter: bytes) -> Any:
    """Whole lines, some megabytes at a time, without quotes and carriage returns.

    Delimiters between quotes come as `_QUOTED`, so that all others separate fields.
    """
    rest = b""
    while True:
        chunk = stream.read(_BLOCK)
        data = rest + chunk
        cut = len(data) if not chunk else data.rfind(b"\n") + 1
        if not cut and len(data) > MAX_LINE:
            raise FileFormatError(f"{path} has a line longer than 64 MB", "give a table of counts")
        block, rest = data[:cut], data[cut:]
        if b'"' in block or b"\r" in block:
            pieces = block.split(b'"')
            pieces[1::2] = [piece.replace(delimiter, _QUOTED) for piece in pieces[1::2]]
            block = b"".join(pieces).replace(b"\r", b"")
        block = block.rstrip(b"\n") if not chunk else block
        if block:
            yield block if block.endswith(b"\n") else block + b"\n"
        if not chunk:
            return


class _Lines:
    """Where the fields of a block of lines begin and end."""

    def __init__(self, block: bytes, dialect: Dialect, path: Path, line: int) -> None:
        self._block, self._path, self._line = block, path, line
        self._raw = np.frombuffer(block, dtype=np.uint8)
        self._names, self._delimiter = dialect.first, dialect.delimiter.encode()
        width, delimiter = len(dialect.first), ord(dialect.delimiter)
        newline = self._raw == _NEWLINE
        ends = np.flatnonzero(newline | (self._raw == delimiter))
        self.n_rows = int(np.count_nonzero(newline))
        whole = ends.size == self.n_rows * width
        if not whole or not newline[ends[width - 1 :: width]].all():
            self._refuse_ragged(dialect.delimiter.encode(), width)
        starts = np.empty_like(ends)
        starts[0], starts[1:] = 0, ends[:-1] + 1
        self._starts, self._ends = starts.reshape(-1, width), ends.reshape(-1, width)

    def _refuse_ragged(self, delimiter: bytes, width: int) -> None:
        for i, line in enumerate(self._block.split(b"\n")):
            fields = line.count(delimiter) + 1
            if fields != width:
                raise FileFormatError(
                    f"{self._path}, line {self._line + i}: {fields} columns, expected {width}",
                    "the file is damaged; copy or download it again",
                )

    def words(self, place: int) -> list[str]:
        """The fields of one column."""
        spans = zip(self._starts[:, place], self._ends[:, place], strict=True)
        fields = (self._block[a:b].replace(_QUOTED, self._delimiter) for a, b in spans)
        return [field.decode("utf-8", "replace").strip() for field in fields]

    def numbers(self, places: NDArray[np.intp]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Values other than 0: how many in each row, their columns, the values as float32."""
        contiguous = places.size and places[-1] - places[0] + 1 == places.size
        which: Any = slice(places[0], places[-1] + 1) if contiguous else places
        starts, lengths = self._starts[:, which], self._ends[:, which] - self._starts[:, which]
        kept = (lengths != 1) | (self._raw[starts] != _ZERO)
        rows, columns = np.nonzero(kept)
        values = self._parse(starts[kept], lengths[kept])
        bad = ~np.isfinite(values)
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            self._refuse_value(int(rows[at]), int(places[columns[at]]))
        solid = values != 0
        if not solid.all():
            rows, columns, values = rows[solid], columns[solid], values[solid]
        per_row = np.bincount(rows, minlength=self.n_rows)
        with np.errstate(over="ignore"):
            return per_row, columns.astype(np.int32), values.astype(np.float32)

    def _parse(self, starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> NDArray[np.float64]:
        """Numbers at these places; NaN where there is none."""
        values = np.full(starts.size, np.nan)
        for length in np.unique(lengths):
            if not 0 < length <= _MAX_FIELD:
                continue
            at = np.flatnonzero(lengths == length)
            field = self._raw[starts[at][:, None] + np.arange(length)]
            digits = field - np.uint8(_ZERO)
            whole = np.asarray((digits <= 9).all(axis=1))
            if length > 15:
                whole[:] = False
            powers = 10.0 ** np.arange(length - 1, -1, -1)
            values[at[whole]] = digits[whole] @ powers
            other = np.ascontiguousarray(field[~whole])
            if len(other):
                numbers = _as_float(other.view(f"S{length}").ravel())
                # Python takes 10_13 for 1013; in tables it is an identifier.
                numbers[(other == _UNDERSCORE).any(axis=1)] = np.nan
                values[at[~whole]] = numbers
        return values

    def _refuse_value(self, row: int, place: int) -> None:
        text = self._block[self._starts[row, place] : self._ends[row, place]]
        raise FileFormatError(
            f"{self._path}, line {self._line + row}: column '{self._names[place]}' holds "
            f"'{text.decode('utf-8', 'replace'):.40}', expected a number",
            "correct this line, or say which columns are no genes",
        )


def _as_float(fields: NDArray[np.bytes_]) -> NDArray[np.float64]:
    try:
        return fields.astype(np.float64)
    except ValueError:
        return np.array([_number(field) for field in fields])


def _number(field: bytes) -> float:
    try:
        return float(field)
    except ValueError:
        return np.nan
