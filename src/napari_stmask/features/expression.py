"""From raw counts to the matrix a model eats, sparse until the last product.

Every step keeps the counts sparse: genes are filtered and selected first, normalised and
log-transformed in place on the selection, and z-scored implicitly inside the PCA.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.utils.sparsefuncs import mean_variance_axis

from ..core.errors import DataError

__all__ = [
    "Expression",
    "log_normalise",
    "min_cells_for",
    "pca_scores",
    "peak_signs",
    "scaled",
    "select_genes",
    "standardise",
]

Float = NDArray[np.float32]
_SPANS = (0.3, 0.5, 0.7, 1.0)
"""Shares of the genes that the curve of variance over mean is fitted to, scanpy's own first."""


@dataclass(frozen=True)
class Expression:
    """Normalised values of the selected genes, and how to get back to them.

    Attributes
    ----------
    matrix
        (n_spots, n_selected) float32 CSR, non-negative, not centred.
    genes
        (n_selected,) positions of the genes in the section's ``var``.
    sd, ceiling
        (n_selected,) float32 divisor and largest value after division (infinite without
        clipping) that ``standardise`` used; None before it.
    """

    matrix: sp.csr_matrix
    genes: NDArray[np.intp]
    sd: Float | None = None
    ceiling: Float | None = None


def min_cells_for(n_spots: int) -> int:
    """Spots in which a gene must be seen: 1 % of the section, at least 3, at most 50."""
    return int(min(50, max(3, round(0.01 * n_spots))))


def log_normalise(
    counts: sp.csr_matrix,
    totals: NDArray[Any],
    *,
    target: float = 1e4,
    log: bool = True,
) -> sp.csr_matrix:
    """Scale each spot to ``target`` molecules and take ``log(1 + x)``.

    Parameters
    ----------
    counts
        (n_spots, n_genes) CSR counts; not modified.
    totals
        (n_spots,) library sizes to divide by; spots with 0 stay 0.
    target
        Molecules per spot after scaling.
    log
        Take the natural ``log1p`` afterwards.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n_spots, n_genes) float32.
    """
    totals = np.asarray(totals, dtype=np.float64)
    factor = np.divide(target, totals, out=np.zeros_like(totals), where=totals > 0)
    out = sp.csr_matrix(counts, dtype=np.float32, copy=True)
    out.data *= np.repeat(factor.astype(np.float32), np.diff(out.indptr))
    if log:
        np.log1p(out.data, out=out.data)
    return out


def select_genes(
    counts: sp.csr_matrix,
    *,
    n_top: int,
    min_cells: int,
    min_counts: int = 10,
    where: str = "the section",
    batches: NDArray[np.intp] | None = None,
) -> NDArray[np.intp]:
    """Positions of the ``n_top`` most variable genes among those seen often enough.

    Ranks raw counts with `scanpy.pp.highly_variable_genes` (``seurat_v3``); where no more
    than ``n_top`` genes pass the filter (targeted panels) all of them are taken. Its curve of
    variance over mean is fitted to a wider share of the genes where many have the same mean, as
    those of small bins do. ``where`` names the section in messages. With ``batches``, (n_spots,)
    codes, genes are ranked within each batch and the ranks are combined.

    Raises
    ------
    DataError
        If fewer than two genes pass the filter, or no curve fits.
    """
    seen = np.asarray(counts.getnnz(axis=0)).ravel()
    total = np.asarray(counts.sum(axis=0)).ravel()
    kept = np.flatnonzero((seen >= min_cells) & (total >= min_counts))
    if kept.size < 2:
        raise DataError(
            f"{where}: only {kept.size} of {counts.shape[1]} genes are seen in {min_cells} spots",
            "check that the matrix holds raw counts and that the section is not empty",
        )
    if kept.size <= n_top:
        return kept
    import scanpy as sc

    table = AnnData(counts[:, kept])
    key = None
    if batches is not None and np.unique(batches).size > 1:
        key, table.obs["batch"] = "batch", pd.Categorical(batches)
    options = {"flavor": "seurat_v3", "n_top_genes": n_top, "batch_key": key}
    for span in _SPANS:
        try:
            sc.pp.highly_variable_genes(table, span=span, **options)
        except ValueError:
            continue
        return np.asarray(kept[table.var["highly_variable"].to_numpy()])
    raise DataError(
        f"{where}: the variance of its {kept.size} genes does not follow from their mean, as too "
        "many of them are counted equally often",
        "give more spots, larger bins or fewer genes",
    )


def standardise(
    expression: Expression, *, clip: float | None = 10.0, scale: bool = True
) -> Expression:
    """Divide each gene by its standard deviation; the mean is kept for implicit centring.

    ``(x - mean) / sd`` is clipped above at ``clip`` standard deviations. The lower side needs
    no clipping: values are non-negative, so it is bounded by ``-mean / sd``.

    Returns
    -------
    Expression
        ``matrix`` holds ``min(x / sd, clip + mean / sd)``, still sparse and not centred.
    """
    x = expression.matrix
    n = x.shape[0]
    mean, variance = (m.astype(np.float64) for m in mean_variance_axis(x, axis=0))
    sd = np.sqrt(variance * n / max(n - 1, 1))
    sd[sd < 1e-8] = 1.0
    divisor = sd if scale else np.ones_like(sd)
    ceiling = np.full_like(sd, np.inf) if clip is None else (clip * sd + mean) / divisor
    moments = divisor.astype(np.float32), ceiling.astype(np.float32)
    return Expression(scaled(x, *moments), expression.genes, *moments)


def scaled(matrix: sp.csr_matrix, sd: Float, ceiling: Float) -> sp.csr_matrix:
    """``min(x / sd, ceiling)`` gene by gene, on a copy."""
    out = sp.csr_matrix(matrix, dtype=np.float32, copy=True)
    out.data /= sd[out.indices]
    np.minimum(out.data, ceiling[out.indices], out=out.data)
    return out


def pca_scores(matrix: sp.csr_matrix, n_comps: int, *, seed: int) -> tuple[Float, PCA]:
    """Principal component scores with implicit centring; nothing is densified.

    Parameters
    ----------
    matrix
        (n_spots, n_genes) sparse.
    n_comps
        Components wanted; lowered to ``min(n_spots, n_genes) - 1`` where the data allow fewer.
    seed
        Start vector of the iterative solver.

    Returns
    -------
    scores
        (n_spots, n_comps) float32; the largest loading of each component is positive.
    model
        The fitted `sklearn.decomposition.PCA`.
    """
    n_comps = max(1, min(n_comps, min(matrix.shape) - 1))
    model = PCA(n_comps, svd_solver="arpack", random_state=seed)
    scores = model.fit_transform(matrix)
    sign = peak_signs(model.components_)
    model.components_ *= sign[:, None]
    return (scores * sign).astype(np.float32), model


def peak_signs(components: NDArray[Any]) -> NDArray[Any]:
    """(n_comps,) the sign of each row's largest loading; that of a component is arbitrary."""
    largest = np.abs(components).argmax(axis=1)
    return np.asarray(np.sign(components[np.arange(len(components)), largest]))
