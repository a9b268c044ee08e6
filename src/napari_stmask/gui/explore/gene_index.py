"""A search over the genes of a section by symbol and by id; no Qt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ...core.section import Section

__all__ = ["GeneIndex", "Hits", "index_of"]

TOP = 200
"""Genes that a search lists."""
_END = ord("\n")
_ID = re.compile(r"^(ENS[A-Z]*G\d{6,}|FBgn\d+|WBGene\d+|\d{3,})(\.\d+)?$")
_SYMBOLS = (
    *("gene_symbol", "gene_symbols", "symbol", "symbols", "gene_name", "gene_names"),
    *("feature_name", "gene_short_name", "real_gene_name"),
)
_SAMPLE = 200


@dataclass(frozen=True, eq=False)
class Hits:
    """What a search found.

    Attributes
    ----------
    rows
        (at most 200,) places of the best genes in ``var``, the best first.
    count
        How many genes match.
    """

    rows: NDArray[np.intp]
    count: int


@dataclass(frozen=True, eq=False)
class _Text:
    """Names of all genes as bytes: one line a name, with the case folded."""

    buffer: NDArray[np.uint8]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, names: list[str]) -> _Text:
        lines = [" ".join(name.casefold().split()).encode() for name in names]
        lengths = np.array([len(line) + 1 for line in lines], dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]
        return cls(np.frombuffer(b"\n".join([*lines, b""]), dtype=np.uint8), starts)

    def find(self, query: bytes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Genes with the text in their name, and 0 for the whole name, 1 its start, 2 elsewhere."""
        wanted, width = np.frombuffer(query, dtype=np.uint8), len(query)
        places = np.flatnonzero(self.buffer[: max(self.buffer.size - width, 0)] == wanted[0])
        for i in range(1, width):
            places = places[self.buffer[places + i] == wanted[i]]
        rows = np.searchsorted(self.starts, places, side="right") - 1
        first = places == self.starts[rows]
        level = np.where(first, np.where(self.buffer[places + width] == _END, 0, 1), 2)
        return rows.astype(np.intp), level.astype(np.intp)


@dataclass(frozen=True, eq=False)
class GeneIndex:
    """Names and ids of the genes of one section.

    Attributes
    ----------
    names
        (n_genes,) names of ``var``, by which a gene is asked for.
    symbols, ids
        (n_genes,) what a person calls them, and their ids; ids are empty where there are none.
    mean
        (n_genes,) float64 mean over the spots.
    """

    names: NDArray[Any]
    symbols: NDArray[Any]
    ids: NDArray[Any]
    mean: NDArray[np.float64]
    _texts: tuple[_Text, ...]
    _strength: NDArray[np.float64]
    """(n_genes,) 0 for the strongest gene to just below 1 for the weakest."""

    def search(self, text: str) -> Hits:
        """The best genes for what was typed, the whole list by strength for nothing.

        Whole names come before those that begin with the text, and these before those that hold
        it; symbols before ids; strong genes before weak ones. Case does not matter.
        """
        n = len(self.names)
        query = " ".join(text.casefold().split()).encode()
        if not query:
            return Hits(np.argsort(self._strength)[:TOP].astype(np.intp), n)
        best = np.full(n, np.inf)
        for kind, known in enumerate(self._texts):
            rows, level = known.find(query)
            np.minimum.at(best, rows, 2.0 * level + kind)
        rows = np.flatnonzero(np.isfinite(best))
        order = best[rows] + self._strength[rows]
        if rows.size > TOP:
            kept = np.argpartition(order, TOP)[:TOP]
            top, order = rows[kept], order[kept]
        else:
            top = rows
        return Hits(top[np.argsort(order, kind="stable")], int(rows.size))

    def label(self, row: int) -> str:
        """Symbol of a gene, and its id behind it."""
        symbol, known = str(self.symbols[row]), str(self.ids[row]) if len(self.ids) else ""
        return f"{symbol}  \u00b7  {known}" if known and known != symbol else symbol


def index_of(section: Section) -> GeneIndex:
    """The search over a section: reads names and the mean of each gene once.

    Names of ``var`` are taken for ids where they look like ids and a column holds symbols;
    otherwise ids come from the first column of ``var`` with one id a gene.
    """
    var = section.adata.var
    names = var.index.to_numpy().astype(str).astype(object)
    symbols, ids = names, np.zeros(0, dtype=object)
    texts = {str(column): _texts_of(var[column]) for column in var.columns}
    columns = {column: values for column, values in texts.items() if values is not None}
    if _look_like_ids(names):
        named = [c for c in columns if c.casefold() in _SYMBOLS]
        named += [c for c in columns if not _look_like_ids(columns[c]) and _single(columns[c])]
        if named:
            own = columns[named[0]]
            symbols, ids = np.where(own == "", names, own), names
    else:
        listed = [c for c in columns if c.casefold() not in _SYMBOLS and _look_like_ids(columns[c])]
        if listed:
            ids = columns[listed[0]]
    mean = _means(section)
    strength = np.empty(len(names))
    strength[np.argsort(-mean, kind="stable")] = np.arange(len(names)) / len(names)
    kinds = tuple(_Text.of(list(kind)) for kind in (symbols, ids) if len(kind))
    return GeneIndex(names, symbols, ids, mean, kinds, strength)


def _texts_of(column: pd.Series) -> NDArray[Any] | None:
    """A column as texts; None where it holds something else."""
    if not (
        isinstance(column.dtype, pd.CategoricalDtype)
        or pd.api.types.is_object_dtype(column)
        or pd.api.types.is_string_dtype(column)
    ):
        return None
    values = column.astype(object).where(column.notna(), "").to_numpy()
    return np.array([str(value) for value in values], dtype=object)


def _look_like_ids(values: NDArray[Any]) -> bool:
    some = values[:: max(len(values) // _SAMPLE, 1)]
    return sum(bool(_ID.match(str(v))) for v in some) > len(some) / 2


def _single(values: NDArray[Any]) -> bool:
    return len(set(values)) > 0.9 * len(values)


def _means(section: Section) -> NDArray[np.float64]:
    matrix: Any = section.adata.X
    if section.counts_layer is not None:
        matrix = section.adata.layers[section.counts_layer]
    if matrix is None:
        return np.zeros(section.n_genes)
    total = matrix.sum(axis=0) if sp.issparse(matrix) else np.asarray(matrix).sum(axis=0)
    mean = np.asarray(total, dtype=np.float64).ravel() / section.n_spots
    return np.asarray(np.nan_to_num(mean, nan=0.0, posinf=0.0, neginf=0.0))
