"""Domains from the spatial genes of every gene module: what goes into SpaGCN in SpaCEX (ISC).

Li et al., Genome Biology 26, 287 (2025); Hu et al., SpaGCN, Nature Methods 18, 1342 (2021). Genes
are chosen by name, and the kernel over the tissue is sparse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.spatial import cKDTree

from ..core.errors import DataError, ParameterError
from ..core.progress import Progress, Steps
from ..core.section import Section
from ..features.expression import pca_scores
from ..features.graph import gaussian_graph
from .inputs import expression_of

__all__ = [
    "domain_features_steps",
    "kernel_width",
    "select_genes",
    "spatial_kernel",
    "surrounded",
]

_CUT = 4.0
"""Reach of the kernel in widths; what is beyond has weights below 0.0004."""
_MAX_PAIRS = 50_000_000
_PHASE = "domain features"
Coords = NDArray[np.floating[Any]]


def select_genes(
    genes: Sequence[str],
    codes: NDArray[np.integer[Any]],
    scores: NDArray[np.floating[Any]],
    *,
    fraction: float = 0.5,
) -> list[str]:
    """The most spatial genes of every module, at least one of each.

    Parameters
    ----------
    genes
        (n_genes,) names.
    codes
        (n_genes,) module of each gene; negative for a gene without one, which is left out.
    scores
        (n_genes,) how spatial it is, higher is more; NaN counts as lowest. Equal ones are taken
        by name, so that the order of the table does not matter.
    fraction
        Share of each module, rounded up.

    Returns
    -------
    list of str
        ``ceil(fraction * size)`` names of each module, modules in order, best first.

    Raises
    ------
    ParameterError
        If ``fraction`` is not in (0, 1] or the tables differ in length.
    DataError
        If no gene has a module, or a name occurs twice.
    """
    if not 0 < fraction <= 1:
        raise ParameterError(f"fraction is {fraction}", "use a number above 0, at most 1")
    if not len(genes) == len(codes) == len(scores):
        raise ParameterError(
            f"there are {len(genes)} genes, {len(codes)} modules and {len(scores)} scores",
            "give one of each for every gene",
        )
    table = pd.DataFrame({"gene": list(map(str, genes)), "module": codes, "score": scores})
    if table["gene"].duplicated().any():
        twice = table["gene"][table["gene"].duplicated()].iloc[0]
        raise DataError(f"the gene '{twice}' occurs twice", "make gene names unique")
    table = table[table["module"] >= 0]
    if table.empty:
        raise DataError("no gene belongs to a module", "find modules first")
    table = table.sort_values(["module", "score", "gene"], ascending=[True, False, True])
    # A hair less, so that 0.1 x 30 is three genes and not four.
    size = table.groupby("module")["gene"].transform("size")
    wanted = np.maximum(np.ceil(fraction * size - 1e-9), 1)
    return [str(g) for g in table["gene"][table.groupby("module").cumcount() < wanted]]


def kernel_width(coords: Coords, p: float = 0.5) -> float:
    """The width ``l`` at which all other spots together weigh ``p`` on average.

    Solves ``mean_i sum_{j != i} exp(-d_ij^2 / (2 l^2)) = p``, as SpaGCN does by bisection.

    Parameters
    ----------
    coords
        (n_spots, 2) float; in units of the lattice's pitch the answer is about 0.48 for a
        square lattice and ``p`` 0.5.
    p
        Weight of the others, beside 1 of the spot itself.

    Returns
    -------
    float
        In the unit of ``coords``.

    Raises
    ------
    ParameterError
        If ``p`` cannot be reached, or only by a kernel over most of the section.
    """
    n = len(coords)
    if not 0 < p < n - 1:
        raise ParameterError(f"p is {p} for {n} spots", f"use a number between 0 and {n - 1}")
    tree = cKDTree(coords)
    places = np.unique(coords, axis=0)
    if len(places) < 2:
        raise ParameterError("every spot lies upon another", "give positions of their own")
    high = float(np.median(cKDTree(places).query(places, k=2)[0][:, 1])) / 4
    while True:
        if tree.count_neighbors(tree, _CUT * high) > _MAX_PAIRS:
            raise ParameterError(f"p is {p}: the kernel would reach too far", "use a smaller p")
        pairs = tree.query_pairs(_CUT * high, output_type="ndarray")
        square = ((coords[pairs[:, 0]] - coords[pairs[:, 1]]) ** 2).sum(axis=1)

        def excess(width: float, square: NDArray[Any] = square) -> float:
            return float(2 * np.exp(-square / (2 * width**2)).sum() / n - p)

        if excess(high) >= 0:
            break
        high *= 1.5
    low = 1e-3 * high
    if excess(low) >= 0:
        raise ParameterError(
            f"p is {p}, but spots that share a position weigh more than that",
            "use a larger p, or join these spots",
        )
    return float(brentq(excess, low, high, xtol=1e-9 * high))


def spatial_kernel(coords: Coords, width: float) -> sp.csr_matrix:
    """``exp(-d^2 / (2 width^2))`` up to four widths, with 1 on the diagonal.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n_spots, n_spots) float32, symmetric.

    Raises
    ------
    ParameterError
        If ``width`` is not positive.
    """
    graph = gaussian_graph(coords, width, cut=_CUT)
    return (graph + sp.identity(len(coords), dtype=np.float32, format="csr")).tocsr()


def domain_features_steps(
    section: Section, genes: Sequence[str], *, n_pcs: int = 50, p: float = 0.5, seed: int = 0
) -> Steps[NDArray[np.float32]]:
    """Principal components of the chosen genes, each spot with its surroundings.

    Parameters
    ----------
    section
        Counts and positions. Distances are taken in units of its lattice's pitch.
    genes
        Names of the genes, as `select_genes` gives them.
    n_pcs
        Components; fewer where there are fewer genes or spots.
    p
        Weight of the surroundings; see `kernel_width`.
    seed
        Of the decomposition.

    Returns
    -------
    numpy.ndarray
        (n_spots, n_pcs) float32.

    Raises
    ------
    ParameterError
        If ``n_pcs`` is below 1 or ``p`` cannot be reached.
    DataError
        If the section lacks a gene, or fewer than two are named.
    """
    if n_pcs < 1:
        raise ParameterError(f"n_pcs is {n_pcs}", "use a whole number of at least 1")
    names = list(dict.fromkeys(map(str, genes)))
    found = section.adata.var_names.get_indexer(names)
    if len(names) < 2:
        raise DataError(f"{section.where}: {len(names)} genes are too few", "choose more genes")
    if (found < 0).any():
        raise DataError(
            f"{section.where}: there is no gene '{names[int(np.argmin(found))]}'",
            "choose genes among those that it measured",
        )
    yield Progress(0, 2, _PHASE)
    scores, _ = pca_scores(expression_of(section)[:, found], n_pcs, seed=seed)
    yield Progress(1, 2, _PHASE)
    return surrounded(section, scores, p)


def surrounded(section: Section, features: NDArray[np.float32], p: float) -> NDArray[np.float32]:
    """``K @ features``: each spot with its surroundings.

    Parameters
    ----------
    section
        Positions; distances are taken in units of its lattice's pitch.
    features
        (n_spots, d).
    p
        Weight of all others; see `kernel_width`.

    Returns
    -------
    numpy.ndarray
        (n_spots, d) float32.

    Raises
    ------
    ParameterError
        If ``p`` cannot be reached.
    """
    coords = section.coords / section.lattice.pitch
    kernel = spatial_kernel(coords, kernel_width(coords, p))
    return np.asarray(kernel @ features, dtype=np.float32)
