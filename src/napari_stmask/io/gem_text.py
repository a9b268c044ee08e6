"""The text of a GEM file: its header, its columns and its lines in blocks."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import FileFormatError
from .guard import brief

__all__ = ["WHAT", "GemHeader", "parse", "read_header", "text_blocks"]

WHAT = "a Stereo-seq GEM table"
BLOCK_BYTES = 16 * 1024**2
"""Text that is parsed at a time; a single line must be shorter."""
MAX_HEADER_BYTES = 64 * 1024
"""Longest header, with the line of column names."""
MAX_RATIO = 100
"""Most bytes of text that one byte of a compressed file may stand for; real files reach 10."""
_RATIO_FLOOR = 512 * 1024**2
_GZIP, _BOM = b"\x1f\x8b", b"\xef\xbb\xbf"
_ROLES = {
    "gene": ("geneid", "gene", "genes"),
    "name": ("genename",),
    "x": ("x",),
    "y": ("y",),
    "count": ("midcount", "midcounts", "umicount", "umicounts"),
    "exon": ("exoncount", "exoncounts"),
    "cell": ("cellid", "cell", "label"),
}
_PLAIN_COUNTS = ("count", "counts", "value", "values")
"""Names of the count column where the file's name says that it is a GEM."""
_NEEDED = ("x", "y", "count")
_BAD_VALUE = re.compile(r"CSV column #(\d+).*?: invalid value '(.*)'", re.DOTALL)
_BAD_WIDTH = re.compile(r"Expected (\d+) columns, got (\d+)(?:: (.*))?", re.DOTALL)


@dataclass(frozen=True)
class GemHeader:
    """What stands above the records.

    Attributes
    ----------
    facts
        Lines ``#key=value``.
    columns
        Names of the columns, as in the file.
    roles
        Index of the column that means ``gene``, ``name``, ``x``, ``y``, ``count``, ``exon`` or
        ``cell``.
    delimiter
        Between columns.
    length
        Bytes before the first record.
    quoted
        Whether names stand in quotes.
    """

    facts: dict[str, str]
    columns: list[str]
    roles: dict[str, int]
    delimiter: str
    length: int
    quoted: bool = False

    def number(self, key: str, default: int) -> int:
        """A whole number of the header."""
        try:
            return int(float(self.facts.get(key, default)))
        except (ValueError, OverflowError):
            return default


def read_header(path: Path) -> GemHeader | None:
    """The header of a GEM file, plain or gzipped; None for any other file."""
    with path.open("rb") as stream:
        head = stream.read(MAX_HEADER_BYTES)
    if head.startswith(_GZIP):
        head = _unpacked(head)
    # Notepad puts a mark in front, R puts names into quotes.
    mark = len(_BOM) if head.startswith(_BOM) else 0
    head = head[mark:]
    facts: dict[str, str] = {}
    length = mark
    for raw in head.splitlines(keepends=True):
        length += len(raw)
        line = raw.decode("utf-8", errors="replace").strip("\r\n")
        if line.startswith("#"):
            key, _, value = line[1:].partition("=")
            facts[key.strip()] = value.strip()
            continue
        columns, roles, delimiter = _roles(line, named=".gem" in path.name.lower())
        known = all(role in roles for role in _NEEDED) and ("gene" in roles or "name" in roles)
        return GemHeader(facts, columns, roles, delimiter, length, '"' in line) if known else None
    return None


def _unpacked(head: bytes) -> bytes:
    """The first bytes of a gzip file, which may be several packed files in a row."""
    found = b""
    while head.startswith(_GZIP) and len(found) < MAX_HEADER_BYTES:
        member = zlib.decompressobj(31)
        try:
            found += member.decompress(head, MAX_HEADER_BYTES - len(found))
        except zlib.error:
            break
        head = member.unused_data
    return found


def _roles(line: str, *, named: bool) -> tuple[list[str], dict[str, int], str]:
    """Names of the columns, what they mean, and what stands between them."""
    delimiter = "\t" if "\t" in line else ","
    columns = [name.strip().strip('"') for name in line.split(delimiter)]
    roles: dict[str, int] = {}
    for place, name in enumerate(columns):
        plain = name.lower().replace("_", "")
        for role, names in _ROLES.items():
            if plain in names:
                roles.setdefault(role, place)
    if named and "count" not in roles:
        found = (i for i, name in enumerate(columns) if name.lower() in _PLAIN_COUNTS)
        roles |= dict(zip(("count",), found, strict=False))
    return columns, roles, delimiter


def text_blocks(path: Path, header: GemHeader) -> Iterator[Any]:
    """The records as text, in buffers that end with a line.

    Raises
    ------
    FileFormatError
        If a line has no end, or a compressed file expands beyond belief.
    """
    import pyarrow as pa

    from ..core.memory import human

    with path.open("rb") as start:
        packed = start.read(2) == _GZIP
    size = path.stat().st_size
    with pa.input_stream(str(path), compression="gzip" if packed else None) as text:
        total = header.length
        text.read(header.length)
        rest = b""
        while part := text.read(BLOCK_BYTES):
            total += len(part)
            if packed and total > max(_RATIO_FLOOR, MAX_RATIO * size):
                raise FileFormatError(
                    f"{path} has {human(size)} and expands to more than {human(total)}",
                    "the file is damaged; copy or download it again",
                )
            end = part.rfind(b"\n") + 1
            if not end and len(part) == BLOCK_BYTES:
                raise FileFormatError(
                    f"{path} has a line of more than {human(BLOCK_BYTES)}",
                    f"give {WHAT}, with one record per line",
                )
            if not end:
                rest += part
                continue
            yield pa.py_buffer(rest + part[:end])
            rest = part[end:]
        if rest:
            yield pa.py_buffer(rest)


def parse(path: Path, header: GemHeader, roles: tuple[str, ...], text: Any) -> dict[str, Any]:
    """Columns of a block of text, by role.

    Parameters
    ----------
    path
        File, for messages.
    header
        Of the file.
    roles
        Columns that are wanted.
    text
        A buffer of `text_blocks`.

    Returns
    -------
    dict
        int32 arrays, and Arrow dictionary arrays for ``gene`` and ``name``.

    Raises
    ------
    FileFormatError
        If a value is no whole number, is missing, or a line has another number of columns.
    """
    import pyarrow as pa
    from pyarrow import csv

    # Columns are named by their place: two of a file may have the same name.
    places = {role: str(header.roles[role]) for role in roles}
    words = pa.dictionary(pa.int32(), pa.string())
    types = {
        place: words if role in ("gene", "name") else pa.int32() for role, place in places.items()
    }
    try:
        table = csv.read_csv(
            pa.BufferReader(text),
            csv.ReadOptions(
                use_threads=False,
                block_size=text.size + 1,
                column_names=[str(i) for i in range(len(header.columns))],
            ),
            csv.ParseOptions(
                delimiter=header.delimiter, quote_char='"' if header.quoted else False
            ),
            csv.ConvertOptions(column_types=types, include_columns=list(places.values())),
        )
    except pa.ArrowInvalid as error:
        raise _explained(path, header, error) from error
    found: dict[str, Any] = {}
    for role, place in places.items():
        column = table[place].combine_chunks()
        if role in ("gene", "name"):
            column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
            found[role] = column
            continue
        if role == "cell":
            column = column.fill_null(0)
        if column.null_count:
            raise FileFormatError(
                f"{path}: column {header.columns[int(place)]} has an empty place",
                "correct this line or copy the file again",
            )
        found[role] = column.to_numpy()
    return found


def _explained(path: Path, header: GemHeader, error: Exception) -> FileFormatError:
    """Arrow's complaint in the words of the file."""
    remedy = "correct this line or copy the file again"
    value = _BAD_VALUE.search(str(error))
    if value:
        place = int(value[1])
        name = header.columns[place] if place < len(header.columns) else f"number {place + 1}"
        return FileFormatError(
            f"{path}: column {name} holds '{value[2][:40]}', expected whole numbers below 2^31",
            remedy,
        )
    width = _BAD_WIDTH.search(str(error))
    if width:
        line = (width[3] or "").strip()[:40]
        return FileFormatError(
            f"{path} has a line of {width[2]} columns, expected {width[1]} ('{line}')", remedy
        )
    return FileFormatError(f"{path} cannot be read as {WHAT} ({brief(error)})", remedy)
