"""What the extension of a gene panel starts from: genes that both sections know, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.model_selection import KFold
from sklearn.utils.sparsefuncs import mean_variance_axis

from ..core.errors import DataError, ParameterError
from ..core.memory import densify
from ..core.progress import Steps

__all__ = ["Engine", "Maps", "Panel", "best_supported", "check_numbers", "directions", "panel_of"]

Rows = NDArray[np.intp]
Float = NDArray[np.float32]
Exact = NDArray[np.float64]
FEWEST = 10
"""Shared genes that a translator can be learnt and checked on."""


class Maps(Protocol):
    """Predicted values of any gene of the reference in the target."""

    def values(self, rows: Rows) -> Float:
        """(n_cells, k) values >= 0 of the reference's genes ``rows``."""

    def moments(self, rows: Rows) -> Exact:
        """(k, 2) mean and standard deviation of these values over the cells."""


class Engine(Protocol):
    """A way to learn `Maps` from some shared genes."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was chosen, by name."""

    def choose(self, parts: Sequence[tuple[Rows, Rows]]) -> Steps[None]:
        """Set what is left open by predicting the second genes of each part from the first."""

    def fit(self, train: Rows) -> Steps[Maps]:
        """Learn from the shared genes ``train``."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Genes that are measured in the target and have a vector, in the order of their names.

    Attributes
    ----------
    names
        (n_shared,) names, sorted.
    rows
        (n_shared,) their rows among the reference's vectors.
    columns
        (n_shared,) their columns among the target's genes.
    matrix
        (n_cells, n_shared) float32 CSC, as measured.
    mean, sd
        (n_shared,) float64 over the cells.
    vectors
        (n_genes, width) float64, every gene of the reference; mean 0 over the shared genes,
        whose mean squared length is 1.
    genes
        (n_genes,) names of the reference's genes.
    levels
        (n_genes, 2) mean and standard deviation in the reference, or None.
    """

    names: NDArray[np.str_]
    rows: Rows
    columns: Rows
    matrix: sp.csc_matrix
    mean: Exact
    sd: Exact
    vectors: Exact
    genes: NDArray[np.str_]
    levels: Exact | None = None

    @property
    def n_cells(self) -> int:
        """Cells or spots of the target."""
        return int(self.matrix.shape[0])

    def scaled(self, shared: Rows) -> sp.csr_matrix:
        """(n_cells, k) values of shared genes divided by their ``sd``, not centred."""
        return sp.csr_matrix(self.matrix[:, shared] @ sp.diags(1 / self.sd[shared]))

    def measured(self, shared: Rows) -> Float:
        """(n_cells, k) dense values of shared genes."""
        return densify(self.matrix[:, shared], what="the measured genes")

    def parts(self, folds: int, seed: int) -> list[tuple[Rows, Rows]]:
        """Shared genes to learn from and genes to predict, each gene predicted once."""
        cut = KFold(min(folds, len(self.names)), shuffle=True, random_state=seed)
        return [(train, test) for train, test in cut.split(self.names)]


def panel_of(
    vectors: NDArray[Any],
    genes: Sequence[str],
    target_values: Any,
    panel_genes: Sequence[str],
    *,
    levels: NDArray[Any] | None = None,
) -> Panel:
    """Match the target's genes to the reference's vectors by name.

    Parameters
    ----------
    vectors
        (n_genes, width) gene vectors that were learnt on the reference.
    genes
        (n_genes,) their names.
    target_values
        (n_cells, n_panel) log-normalised values of the target, sparse or dense, >= 0.
    panel_genes
        (n_panel,) names of its columns.
    levels
        (n_genes, 2) mean and standard deviation of each gene in the reference, or None.

    Returns
    -------
    Panel
        Shared genes that vary in the target. The order of either table does not matter.

    Raises
    ------
    DataError
        If names occur twice, values are negative or not finite, fewer than ten genes are
        shared, or the shared genes have all the same vector.
    ParameterError
        If shapes and names do not fit.
    """
    own, theirs = _names(genes, "reference"), _names(panel_genes, "target")
    z = np.asarray(vectors, dtype=np.float64)
    values = sp.csc_matrix(target_values, dtype=np.float32)
    _check(z, own, values, theirs, levels)
    names, rows, columns = np.intersect1d(own, theirs, return_indices=True)
    matrix = values[:, columns]
    mean, variance = (m.astype(np.float64) for m in mean_variance_axis(matrix, axis=0))
    kept = np.flatnonzero(variance > 1e-12 * np.maximum(mean**2, 1e-12))
    if kept.size < FEWEST:
        raise DataError(
            f"only {kept.size} genes are in the reference and vary in the target, "
            f"{FEWEST} are the fewest that can be learnt from",
            "give sections of the same species, with gene names of one kind",
        )
    z = z - z[rows[kept]].mean(axis=0)
    size = float((z[rows[kept]] ** 2).sum(axis=1).mean())
    if not size > 0:
        raise DataError("the shared genes have all the same vector", "learn the vectors again")
    return Panel(
        names[kept], rows[kept], columns[kept], matrix[:, kept].tocsc(), mean[kept],
        np.sqrt(variance[kept]), z / np.sqrt(size), own,
        None if levels is None else np.asarray(levels, dtype=np.float64),
    )  # fmt: skip


def check_numbers(**numbers: int) -> None:
    """Refuse a number below 1, by its name."""
    for name, value in numbers.items():
        if value < 1:
            raise ParameterError(f"{name} is {value}", "use a whole number of at least 1")


def directions(vectors: Exact) -> Exact:
    """(n, width) vectors without their own mean and of length 1: products are correlations."""
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12))


def best_supported(vectors: Exact, rows: Rows, n: int) -> Rows:
    """The ``n`` genes outside ``rows`` whose vector is most correlated with one of theirs."""
    pointing = directions(vectors)
    left = np.setdiff1d(np.arange(len(vectors)), rows)
    width = max(1, 8_000_000 // len(rows))
    best = [
        (pointing[left[start : start + width]] @ pointing[rows].T).max(axis=1)
        for start in range(0, left.size, width)
    ]
    if not best:
        return left
    order = np.argsort(-np.concatenate(best), kind="stable")
    return np.asarray(left[order[:n]])


def _names(names: Sequence[str], what: str) -> NDArray[np.str_]:
    out = np.asarray(list(map(str, names)), dtype=np.str_)
    unique, count = np.unique(out, return_counts=True)
    if (count > 1).any():
        raise DataError(
            f"the gene '{unique[count > 1][0]}' occurs twice in the {what}",
            "make gene names unique",
        )
    return out


def _check(
    z: Exact, own: NDArray[Any], values: sp.csc_matrix, theirs: NDArray[Any], levels: Any
) -> None:
    if z.ndim != 2 or len(z) != len(own):
        raise ParameterError(
            f"vectors have shape {z.shape} for {len(own)} genes", "give one row for each gene"
        )
    if values.shape[1] != len(theirs):
        raise ParameterError(
            f"the target has {values.shape[1]} columns and {len(theirs)} gene names",
            "give one name for each column",
        )
    if values.shape[0] < 3:
        raise DataError(f"the target has {values.shape[0]} cells", "give a larger section")
    if levels is not None and np.shape(levels) != (len(own), 2):
        raise ParameterError(
            f"levels have shape {np.shape(levels)}",
            f"give mean and standard deviation of all {len(own)} genes",
        )
    finite = [z, values.data] + ([] if levels is None else [np.asarray(levels)])
    if not all(np.isfinite(x).all() for x in finite) or (values.data < 0).any():
        raise DataError(
            "vectors, values or levels are not finite, or values are negative",
            "give log-normalised values and vectors of genes that are expressed",
        )
