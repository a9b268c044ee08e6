"""The genes that a method predicts: chosen on the reference sections, or given by name."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ..core.errors import DataError, FileFormatError, ParameterError
from ..core.progress import Progress, Steps
from ..core.section import Section
from ..io.guard import guarded
from ..io.text import open_text
from .expression import log_normalise, min_cells_for, select_genes
from .graph import knn_graph, morans_i

__all__ = ["PanelKind", "choose_panel", "given_panel", "read_gene_list"]

PanelKind = Literal["svg", "hvg"]

_PHASE = "gene panel"
_BLOCK = 128
"""Genes between two reports."""
_NAMED = 5
"""Genes that a message names."""
_MAX_BYTES = 50_000_000
_HEADERS = frozenset({"", "gene", "genes", "gene_name", "gene_symbol", "name", "symbol"})


def choose_panel(
    sections: Sequence[Section],
    *,
    kind: PanelKind = "svg",
    n: int = 200,
    min_detected: float = 0.2,
) -> Steps[list[str]]:
    """The ``n`` best genes of those that all ``sections`` have, sorted by name.

    Looks at nothing but the given sections: with a held-out section among them, the panel would
    be chosen on what is to be predicted.

    ``"svg"`` ranks by Moran's I of log-normalised counts over the first ring of neighbours, the
    mean of all sections. A gene that fewer than ``min_detected`` of a section's spots show counts
    as 0 there. ``"hvg"`` ranks by variance (``seurat_v3``) within each section.

    Parameters
    ----------
    sections
        References with raw counts.
    kind
        ``"svg"`` or ``"hvg"``.
    n
        Genes wanted; where fewer pass the filter all of these are taken.
    min_detected
        Share of a section's spots, in [0, 1]; for ``"svg"`` only.

    Raises
    ------
    ParameterError
        If kind, n or min_detected are impossible.
    DataError
        If the sections share no gene, or none passes the filter.
    """
    if kind not in get_args(PanelKind):
        raise ParameterError(f"the kind of panel is '{kind}'", "use 'svg' or 'hvg'")
    if n < 1:
        raise ParameterError(f"the panel has {n} genes", "ask for at least 1")
    if not 0 <= min_detected <= 1:
        raise ParameterError(f"min_detected is {min_detected}", "use a share from 0 to 1")
    shared = _shared_genes(sections)
    if kind == "hvg":
        yield Progress(0, 1, _PHASE)
        return _by_variance(sections, shared, n)
    score = np.zeros(len(shared))
    passed = np.zeros(len(shared), dtype=bool)
    for number, section in enumerate(sections):
        own, seen = yield from _spatial(section, shared, min_detected, (number, len(sections)))
        score += own / len(sections)
        passed |= seen
    if not passed.any():
        raise DataError(
            f"No gene is seen in {min_detected:.0%} of the spots of a reference section",
            "lower min_detected, give larger spots or bins, or name the genes",
        )
    # By name where scores are equal, as the shared genes are sorted.
    order = np.argsort(-np.where(passed, score, -np.inf), kind="stable")
    return sorted(shared[order[: min(n, int(passed.sum()))]])


def given_panel(sections: Sequence[Section], genes: Sequence[str]) -> list[str]:
    """``genes`` sorted by name, if every section has each of them.

    Raises
    ------
    ParameterError
        If there are none, or one is named twice.
    DataError
        If a section lacks some.
    """
    if not genes:
        raise ParameterError("The list of genes is empty", "name at least one gene")
    names = pd.Index(list(genes))
    twice = names[names.duplicated()].unique()
    if len(twice):
        raise ParameterError(
            f"The list of genes names {_some(list(twice))} more than once", "name each gene once"
        )
    for section in sections:
        absent = [gene for gene in genes if gene not in section.adata.var_names]
        if absent:
            raise DataError(
                f"{section.where} lacks {len(absent)} of {len(genes)} genes of the list: "
                f"{_some(absent)}",
                "leave them out, or check that the list holds the names of var_names",
            )
    return sorted(genes)


def read_gene_list(path: str | Path) -> list[str]:
    """Genes from the first column of a text file, in its order.

    One gene a line; what follows a comma, semicolon or tab is left out, and so are lines that
    begin with ``#`` and a first line that is a heading such as ``gene`` or ``symbol``.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FileFormatError
        If it is no text, too large or empty.
    """
    path = Path(path)
    with guarded(path, "a list of genes", "give a text file with one gene a line"):
        with open_text(path) as stream:
            raw = stream.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise FileFormatError(
                f"{path} is larger than {_MAX_BYTES // 1_000_000} MB", "give one gene a line"
            )
        lines = raw.decode("utf-8-sig").splitlines()
        cells = [line.replace(";", ",").replace("\t", ",") for line in lines if line[:1] != "#"]
        genes = [row[0].strip() for row in csv.reader(cells) if row]
    if genes and genes[0].lower() in _HEADERS:
        genes = genes[1:]
    genes = [gene for gene in genes if gene]
    if not genes:
        raise FileFormatError(f"{path} holds no genes", "give a text file with one gene a line")
    return genes


def _shared_genes(sections: Sequence[Section]) -> NDArray[np.object_]:
    """Names that all sections have, sorted."""
    if not sections:
        raise ParameterError("There is no reference section", "give at least one")
    shared = set(sections[0].adata.var_names)
    for section in sections[1:]:
        shared &= set(section.adata.var_names)
    if not shared:
        raise DataError(
            f"The {len(sections)} reference sections have no gene in common",
            "check that all name their genes alike, by symbol or by identifier",
        )
    return np.array(sorted(map(str, shared)), dtype=object)


def _spatial(
    section: Section, shared: NDArray[np.object_], min_detected: float, at: tuple[int, int]
) -> Steps[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Moran's I of the shared genes, 0 where too few spots show them, and which are shown."""
    yield Progress(1000 * at[0], 1000 * at[1], _PHASE)
    counts = section.counts()
    totals = np.asarray(counts.sum(axis=1)).ravel()
    columns = section.adata.var_names.get_indexer(shared)
    chosen = counts[:, columns]
    seen = chosen.getnnz(axis=0) >= max(1.0, min_detected * section.n_spots)
    values = log_normalise(chosen[:, seen], totals).tocsc()
    graph = knn_graph(section.coords, section.lattice.ring)
    score, kept = np.zeros(len(shared)), np.flatnonzero(seen)
    for start in range(0, len(kept), _BLOCK):
        step = 1000 * (at[0] + start / len(kept))
        yield Progress(round(step), 1000 * at[1], _PHASE)
        part = slice(start, start + _BLOCK)
        score[kept[part]] = morans_i(graph, values[:, part])
    return score, seen


def _by_variance(sections: Sequence[Section], shared: NDArray[np.object_], n: int) -> list[str]:
    stacked = sp.vstack(
        [s.counts()[:, s.adata.var_names.get_indexer(shared)] for s in sections], format="csr"
    )
    batches = np.repeat(np.arange(len(sections)), [s.n_spots for s in sections])
    where = f"{len(sections)} reference sections"
    least = min_cells_for(len(batches))
    found = select_genes(stacked, n_top=n, min_cells=least, where=where, batches=batches)
    return sorted(shared[found])


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(str, names[:_NAMED])) + more
