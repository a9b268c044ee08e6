"""From gene identifiers to the names that people use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.errors import FileFormatError, MissingFileError
from .names import unique_names
from .text import read_frame, sniff

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["gene_table", "read_symbols", "strip_version"]

_MAX_GENES = 2_000_000
_VERSIONED = re.compile(r"(ENS[A-Z]*\d{6,})\.\d+")
# fmt: off
_SYMBOL_NAMES = frozenset((
    "symbol", "gene_symbol", "gene symbol", "gene_name", "gene name", "genename", "name",
    "mgi symbol", "hgnc symbol", "external_gene_name",
))
# fmt: on


def strip_version(identifier: str) -> str:
    """An Ensembl identifier without its version; anything else as it is."""
    found = _VERSIONED.fullmatch(identifier)
    return found.group(1) if found else identifier


def read_symbols(path: Path, identifiers: Sequence[str]) -> dict[str, str]:
    """Which symbol each identifier has.

    Parameters
    ----------
    path
        Table with two or more columns, with a header or without. The column of the identifiers
        is the one that shares most with ``identifiers``; that of the symbols is found by its
        name, or is the one after it.
    identifiers
        Those of the matrix, without versions.

    Raises
    ------
    MissingFileError, FileFormatError
        If there is no such table, or no column holds any of the identifiers.
    """
    if not path.is_file():
        raise MissingFileError(f"There is no file {path}", "check the path of the symbols")
    dialect = sniff(path)
    if dialect is None:
        raise FileFormatError(
            f"{path} is not a table of gene symbols",
            "give a tsv or csv file with an identifier and a symbol on each line",
        )
    table = read_frame(path, dialect, header=False, max_rows=_MAX_GENES).fillna("")
    wanted = set(identifiers)
    bare = [table[i].map(lambda text: strip_version(str(text).strip())) for i in table]
    hits = [int(column.isin(wanted).sum()) for column in bare]
    key = int(np.argmax(hits))
    if not hits[key]:
        raise FileFormatError(
            f"{path} holds none of the {len(wanted)} gene identifiers of the matrix "
            f"(such as '{identifiers[0]}')",
            "give the table of this species, with the identifiers of the matrix in one column",
        )
    named = [i for i, name in enumerate(dialect.names()) if name in _SYMBOL_NAMES and i != key]
    symbol = named[0] if named else (key + 1 if key + 1 < len(bare) else 0)
    pairs = zip(bare[key], table[symbol].str.strip(), strict=True)
    found: dict[str, str] = {}
    for identifier, name in pairs:
        if name and identifier in wanted:
            found.setdefault(identifier, name)
    return found


def gene_table(names: NDArray[np.object_], symbols: Path | None, notes: list[str]) -> pd.DataFrame:
    """The table of genes: unique names as index, the file's own identifiers in ``gene_ids``.

    Parameters
    ----------
    names
        (n_genes,) text, as the matrix names them.
    symbols
        Table from identifiers to symbols, or None.
    notes
        Receives what was changed.
    """
    import pandas as pd

    bare = [strip_version(str(name)) for name in names]
    if symbols is not None:
        known = read_symbols(symbols, bare)
        unmapped = sum(name not in known for name in bare)
        if unmapped:
            notes.append(
                f"{unmapped} of {len(bare)} genes have no symbol and keep their identifier."
            )
        bare = [known.get(name, name) for name in bare]
    index = unique_names(bare, notes, "gene names")
    return pd.DataFrame({"gene_ids": names}, index=index)
