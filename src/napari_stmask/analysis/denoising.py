"""Is a denoised matrix better than its neighbours' mean? A test that needs no truth.

Molecules are split in two at random (count splitting: Neufeld et al., Biostatistics, 2022; for
imputation: molecular cross-validation, Batson, Royer & Webber, bioRxiv 786269, 2019). A method
sees one part and is scored on the other. Given the rate, the parts of a Poisson count are
independent, so that a method cannot gain by repeating noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from ..core.memory import densify
from ..core.section import Section
from ..features.expression import log_normalise, pca_scores, select_genes
from ..features.graph import knn_graph
from .baselines import N_GENES, N_PCS
from .correlation import pearson_columns

__all__ = [
    "HeldOutScore",
    "held_out_score",
    "neighbour_mean_prediction",
    "pca_of_neighbour_mean",
    "thin_counts",
    "thin_section",
]

_BLOCK = 20_000_000
"""Entries of a block of genes that are dense at a time."""


@dataclass(frozen=True, eq=False)
class HeldOutScore:
    """Agreement of a prediction with molecules that it was not made from.

    Attributes
    ----------
    correlation
        (n_genes,) float64 Pearson correlation over spots; NaN for genes without held-out
        molecules.
    median, mean
        Over the genes with held-out molecules, a constant prediction counting as 0.
    genes
        How many of them there are.
    """

    correlation: NDArray[np.float64]
    median: float
    mean: float
    genes: int


def thin_counts(
    counts: sp.csr_matrix, share: float = 0.8, rng: np.random.Generator | None = None
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Deal every molecule to one of two matrices, to the first with probability ``share``.

    Parameters
    ----------
    counts
        (n_spots, n_genes) CSR of whole numbers; not changed.
    share
        Expected share of the first part, above 0 and below 1.
    rng
        Source of chance; None draws anew each time.

    Returns
    -------
    kept, held_out
        (n_spots, n_genes) CSR each, of the type of ``counts``, that add up to it.

    Raises
    ------
    ParameterError
        If ``share`` is not between 0 and 1.
    DataError
        If values are no counts.
    """
    if not 0 < share < 1:
        raise ParameterError(f"share is {share}", "use a number between 0 and 1")
    whole = counts.data.astype(np.int64)
    if not np.array_equal(whole, counts.data) or (whole < 0).any():
        raise DataError("only whole numbers from 0 can be split", "give raw counts")
    rng = rng or np.random.default_rng()
    first = rng.binomial(whole, share)
    parts = []
    for part in (first, whole - first):
        one = sp.csr_matrix(
            (part.astype(counts.dtype), counts.indices.copy(), counts.indptr.copy()),
            shape=counts.shape,
        )
        one.eliminate_zeros()
        parts.append(one)
    return parts[0], parts[1]


def thin_section(
    section: Section, share: float = 0.8, *, seed: int = 0
) -> tuple[Section, sp.csr_matrix]:
    """A section of a share of the molecules, and the counts of the others.

    Spots stay in place and in order; one that lost all its molecules stays too.

    Returns
    -------
    section
        Counts, positions and metadata only, for a run.
    held_out
        (n_spots, n_genes) CSR.

    Raises
    ------
    ParameterError
        If ``share`` is not between 0 and 1.
    """
    kept, held_out = thin_counts(section.counts(), share, np.random.default_rng(seed))
    thinned = section.bare()
    thinned.adata.X = kept
    return thinned, held_out


def held_out_score(
    denoised: NDArray[np.floating[Any]] | sp.csr_matrix,
    held_out: sp.csr_matrix,
    *,
    totals: NDArray[Any] | None = None,
) -> HeldOutScore:
    """Correlate a prediction with held-out molecules, gene by gene.

    The held-out counts become Pearson residuals of a constant rate, ``(x - t q) / sqrt(t)`` with
    ``t`` the held-out molecules of the spot and ``q`` the gene's share of them. Log-normalised
    counts would not do: their mean rises with depth even where the rate is the same everywhere,
    and depth alone would then predict them. Correlation over spots is blind to the scale and the
    offset of a gene; rates, log-normalised values and z-scores may all be given. It is bounded by
    the noise of the few molecules that are held out: compare methods on the same split, do not
    read the value as accuracy.

    Parameters
    ----------
    denoised
        (n_spots, n_genes), dense or sparse.
    held_out
        (n_spots, n_genes) CSR counts of the same spots and genes.
    totals
        (n_spots,) held-out molecules of each spot over all genes of the section; None takes the
        sums over the genes given, which is right only where these are all genes.

    Raises
    ------
    ParameterError
        If shapes differ.
    DataError
        If the prediction is not finite or nothing was held out.
    """
    if denoised.shape != held_out.shape:
        raise ParameterError(
            f"the prediction has shape {denoised.shape}, the held-out counts {held_out.shape}",
            "give the same spots and genes",
        )
    n, genes = held_out.shape
    if totals is None:
        totals = np.asarray(held_out.sum(axis=1)).ravel()
    depth = np.asarray(totals, dtype=np.float64)[:, None]
    molecules, noise = max(depth.sum(), 1), np.sqrt(np.maximum(depth, 1))
    target = sp.csc_matrix(held_out)
    prediction: Any = sp.csc_matrix(denoised) if sp.issparse(denoised) else denoised
    correlation = np.full(genes, np.nan)
    width = max(1, _BLOCK // max(n, 1))
    for left in range(0, genes, width):
        block = slice(left, left + width)
        a = densify(prediction[:, block], what="predicted genes").astype(np.float64)
        if not np.isfinite(a).all():
            raise DataError("the prediction holds values that are not finite", "predict again")
        b = densify(target[:, block], what="held-out genes").astype(np.float64)
        b -= depth * (b.sum(axis=0) / molecules)
        b /= noise
        correlation[block] = pearson_columns(a, b)
    found = correlation[np.isfinite(correlation)]
    if not found.size:
        raise DataError("no gene varies in the held-out molecules", "hold out a larger share")
    return HeldOutScore(correlation, float(np.median(found)), float(found.mean()), found.size)


def neighbour_mean_prediction(
    section: Section, genes: Sequence[str], *, n_neighbors: int | None = None
) -> NDArray[np.float32]:
    """The simplest denoiser: log-normalised counts, averaged over a spot and its neighbours.

    Parameters
    ----------
    section
        With the counts to denoise.
    genes
        Names of the genes wanted.
    n_neighbors
        Nearest spots that take part; None takes the first ring of the lattice.

    Returns
    -------
    numpy.ndarray
        (n_spots, n_wanted) float32 in log-normalised units.

    Raises
    ------
    ParameterError
        If a gene is not in the section.
    """
    columns = _columns(section, genes)
    return densify(_neighbour_mean(section, columns, n_neighbors), what="the neighbour mean")


def pca_of_neighbour_mean(
    section: Section,
    genes: Sequence[str],
    *,
    n_neighbors: int | None = None,
    n_pcs: int = N_PCS,
    n_genes: int = N_GENES,
    seed: int = 0,
) -> NDArray[np.float32]:
    """The bar for a trained denoiser: the neighbour mean, rebuilt from a few components.

    The components are those of the ``n_genes`` most variable genes and the genes wanted, without
    scaling.

    Parameters
    ----------
    section
        With the counts to denoise.
    genes
        Names of the genes wanted.
    n_neighbors
        As for `neighbour_mean_prediction`.
    n_pcs
        Components.
    n_genes
        Variable genes that take part beside those wanted.
    seed
        Of the solver.

    Returns
    -------
    numpy.ndarray
        (n_spots, n_wanted) float32 in log-normalised units; slightly negative where a gene is
        hardly seen.

    Raises
    ------
    ParameterError
        If a gene is not in the section or ``n_pcs`` is below 1.
    DataError
        If the section has too few genes that are seen.
    """
    if n_pcs < 1:
        raise ParameterError(f"n_pcs is {n_pcs}", "use at least 1")
    wanted = _columns(section, genes)
    variable = select_genes(
        section.counts(), n_top=n_genes, min_cells=1, min_counts=1, where=section.where
    )
    every = np.union1d(variable, wanted)
    scores, model = pca_scores(_neighbour_mean(section, every, n_neighbors), n_pcs, seed=seed)
    place = np.searchsorted(every, wanted)
    rebuilt = scores @ model.components_[:, place] + model.mean_[place]
    return np.asarray(rebuilt, dtype=np.float32)


def _columns(section: Section, genes: Sequence[str]) -> NDArray[np.intp]:
    place = section.adata.var_names.get_indexer(list(genes))
    if not len(place) or (place < 0).any():
        unknown = [g for g, p in zip(genes, place, strict=True) if p < 0]
        raise ParameterError(
            f"{section.where} has no gene '{unknown[0]}'" if unknown else "no gene was named",
            "name genes of the section",
        )
    return np.asarray(place, dtype=np.intp)


def _neighbour_mean(
    section: Section, columns: NDArray[np.intp], n_neighbors: int | None
) -> sp.csr_matrix:
    """Sparse mean over each spot and its neighbours of the chosen genes' log values."""
    counts = section.counts()
    values = log_normalise(counts[:, columns], np.asarray(counts.sum(axis=1)).ravel())
    n = section.n_spots
    k = section.lattice.ring if n_neighbors is None else n_neighbors
    graph = knn_graph(section.coords, min(k, max(n - 1, 1)))
    weights = graph + sp.identity(n, dtype=np.float32, format="csr")
    mean = sp.diags(1 / np.asarray(weights.sum(axis=1)).ravel()) @ weights
    return sp.csr_matrix(mean @ values, dtype=np.float32)
