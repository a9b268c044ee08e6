"""Spatial neighbour graphs as CSR matrices (float32 data, int32 indices)."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..core.errors import ParameterError

__all__ = [
    "coherence",
    "from_pairs",
    "gaussian_graph",
    "knn_graph",
    "morans_i",
    "nearest",
    "neighbour_mean",
    "normalised_adjacency",
    "radius_graph",
    "random_walk",
    "shared_weight",
    "within_groups",
]

Coords = NDArray[np.floating[Any]]
_BLOCK = 1024
_ENTRIES = 4_000_000
"""Values that are looked at at once."""


def from_pairs(i: NDArray[np.integer[Any]], j: NDArray[np.integer[Any]], n: int) -> sp.csr_matrix:
    """Symmetric union of directed pairs without self-loops, weights 1."""
    keep = i != j
    i, j = i[keep], j[keep]
    graph = sp.csr_matrix(
        (np.ones(2 * i.size, np.float32), (np.r_[i, j], np.r_[j, i])), shape=(n, n)
    )
    graph.sum_duplicates()
    graph.data[:] = 1.0
    graph.sort_indices()
    return graph


def knn_graph(coords: Coords, k: int) -> sp.csr_matrix:
    """Link each spot to its ``k`` nearest spots and symmetrise by union.

    Spots that share a position are ordinary neighbours of one another, and ties at the k-th
    distance are all kept, so that rotating or mirroring a lattice changes no edge.

    Parameters
    ----------
    coords
        (n_spots, 2 or 3) float, any unit.
    k
        Number of neighbours, self excluded; at most ``n_spots - 1``.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n_spots, n_spots) float32, entries 1, zero diagonal, symmetric.

    Raises
    ------
    ParameterError
        If ``k`` is below 1.
    """
    n = len(coords)
    if n < 2:
        return sp.csr_matrix((n, n), dtype=np.float32)
    pairs = nearest(coords, k)
    return from_pairs(pairs.row, pairs.col, n)


def radius_graph(coords: Coords, radius: float) -> sp.csr_matrix:
    """Link all spots within ``radius`` of each other.

    Parameters
    ----------
    coords
        (n_spots, 2 or 3) float.
    radius
        Reach in the unit of ``coords``; a spot with nobody in reach stays alone.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n_spots, n_spots) float32, entries 1, zero diagonal, symmetric.

    Raises
    ------
    ParameterError
        If ``radius`` is not positive.
    """
    if not radius > 0:
        raise ParameterError(f"radius is {radius}", "use a positive number")
    # A hair more, so that the ring of a lattice at exactly this distance is in it.
    pairs = cKDTree(coords).query_pairs(radius * (1 + 1e-6), output_type="ndarray")
    return from_pairs(pairs[:, 0], pairs[:, 1], len(coords))


def nearest(coords: Coords, k: int) -> sp.coo_matrix:
    """The ``k`` nearest other spots of each spot and all that are as near as the k-th.

    Returns
    -------
    scipy.sparse.coo_matrix
        (n_spots, n_spots) distances; directed, no spot is its own neighbour.

    Raises
    ------
    ParameterError
        If ``k`` is below 1.
    """
    if k < 1:
        raise ParameterError(f"neighbours is {k}", "use a whole number of at least 1")
    n = len(coords)
    k = min(k, n - 1)
    # A dozen extra candidates are enough to see every tie of a square or hexagonal lattice.
    width = min(n, k + 1 + 12)
    distance, index = cKDTree(coords).query(coords, k=width)
    reach = distance[:, k] * (1 + 1e-6)  # column 0 is the spot itself (or its double)
    row = np.repeat(np.arange(n), width).reshape(n, width)
    near = (distance <= reach[:, None]) & (index != row)
    return sp.coo_matrix((distance[near], (row[near], index[near])), shape=(n, n))


def normalised_adjacency(graph: sp.csr_matrix) -> sp.csr_matrix:
    """Symmetric normalisation with self-loops, ``D^-1/2 (A + I) D^-1/2``.

    Kipf & Welling, 2017, equation 2. An isolated spot keeps weight 1 on itself.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n_spots, n_spots) float32, symmetric, sorted indices.
    """
    a = (graph + sp.identity(graph.shape[0], dtype=np.float32, format="csr")).tocsr()
    scale = 1.0 / np.sqrt(np.asarray(a.sum(axis=1)).ravel())
    d = sp.diags(scale.astype(np.float32))
    out = (d @ a @ d).tocsr().astype(np.float32)
    out.sort_indices()
    return out


def gaussian_graph(coords: Coords, width: float, *, cut: float = 3.0) -> sp.csr_matrix:
    """Links that weaken with distance, ``W_ij = exp(-d_ij^2 / (2 width^2))``.

    The neighbourhood of MMSRL and stMMR, which keep all pairs; here pairs farther apart than
    ``cut * width`` are left out, 1.1 % of the kernel's mass at 3 and 0.03 % at 4.

    Parameters
    ----------
    coords
        (n_spots, 2 or 3) float.
    width
        Standard deviation in the unit of ``coords``.
    cut
        Reach in widths.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n_spots, n_spots) float32, symmetric, zero diagonal.

    Raises
    ------
    ParameterError
        If ``width`` or ``cut`` is not positive.
    """
    if not cut > 0:
        raise ParameterError(f"cut is {cut}", "use a positive number")
    graph = radius_graph(coords, cut * width)
    row = np.repeat(np.arange(len(coords)), np.diff(graph.indptr))
    square = ((np.asarray(coords)[row] - np.asarray(coords)[graph.indices]) ** 2).sum(axis=1)
    graph.data = np.exp(-square / (2 * width**2)).astype(np.float32)
    return graph


def random_walk(graph: sp.csr_matrix) -> sp.csr_matrix:
    """Average over a spot and its neighbours, ``A = D^-1 (W + 2 I)``; rows sum to 1.

    A spot counts twice, once as its own neighbour at distance 0 and once as the self-loop that
    the released MMSRL adds to a kernel whose diagonal is 1 already.

    Parameters
    ----------
    graph
        (n_spots, n_spots) weights with a zero diagonal.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n_spots, n_spots) float32, not symmetric, sorted indices.
    """
    a = (graph + 2 * sp.identity(graph.shape[0], dtype=np.float32, format="csr")).tocsr()
    out = (sp.diags(1.0 / np.asarray(a.sum(axis=1)).ravel()) @ a).tocsr().astype(np.float32)
    out.sort_indices()
    return out


def shared_weight(walk: sp.csr_matrix) -> float:
    """``mean_i sum_j (A^2)_ij^2``: the inverse of how many spots two steps of ``walk`` average.

    Averaged spots are no independent observations: a statistic of them counts for this share.
    """
    n = walk.shape[0]
    # Wide kernels reach a large part of the section in two steps: never all rows at once.
    blocks = (walk[start : start + _BLOCK] @ walk for start in range(0, n, _BLOCK))
    return float(sum(np.square(block.data, dtype=np.float64).sum() for block in blocks) / n)


def neighbour_mean(graph: sp.csr_matrix, z: NDArray[Any]) -> NDArray[Any]:
    """(n_spots, d) mean of ``z`` over each spot's links; a spot without any keeps its own."""
    count = np.asarray(graph.sum(axis=1))
    return np.where(count > 0, (graph @ z) / np.maximum(count, 1), z)


def coherence(graph: sp.csr_matrix, x: NDArray[np.floating[Any]]) -> float:
    """Part of the variance of ``x`` that neighbours share: Moran's I of all columns together.

    The columns' Moran's I (Biometrika 37, 17, 1950), negative ones as 0, weighted by their
    variances. scanpy computes the single ones too, but compiles for seconds before the first.

    Parameters
    ----------
    graph
        (n_spots, n_spots) symmetric links without self-loops.
    x
        (n_spots, d) features.

    Returns
    -------
    float
        About 0 for noise, towards 1 where neighbours are equal; 0 without links or variance.
    """
    centred = x - x.mean(axis=0)
    total = float((centred**2).sum())
    if not graph.nnz or not total:
        return 0.0
    shared = _along_links(graph, centred) * (len(x) / graph.sum())
    return float(np.maximum(shared, 0).sum() / total)


def morans_i(graph: sp.csr_matrix, x: Any) -> NDArray[np.float64]:
    """Moran's I of each column (Biometrika 37, 17, 1950).

    ``I = (n / sum_ij W_ij) sum_ij W_ij z_i z_j / sum_i z_i^2`` with ``z`` the centred column.
    A sparse ``x`` is centred implicitly, so that it stays sparse.

    Parameters
    ----------
    graph
        (n_spots, n_spots) weights; need not be symmetric.
    x
        (n_spots, n_genes) sparse or dense.

    Returns
    -------
    numpy.ndarray
        (n_genes,) float64; 0 for a constant column, and everywhere for a graph without links.
    """
    n, columns = x.shape
    out = np.zeros(columns)
    whole = float(graph.sum())
    if not whole:
        return out
    # The mean over neighbours is far denser than x: never of all genes at once.
    width = max(1, _ENTRIES // n)
    x = x.tocsc() if sp.issparse(x) else x
    for start in range(0, columns, width):
        part = slice(start, start + width)
        block = x[:, part].astype(np.float64)
        shared, total, size = _moments(graph, block)
        varies = total > 1e-12 * size
        np.divide(shared * (n / whole), total, out=out[part], where=varies)
    return out


def _moments(graph: sp.csr_matrix, block: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Of each column: ``z W z``, ``z z`` of the centred values, and ``x x``."""
    n = block.shape[0]
    mean = np.asarray(block.mean(axis=0)).ravel()
    if not sp.issparse(block):
        centred = block - mean
        return _along_links(graph, centred), (centred**2).sum(axis=0), (block**2).sum(axis=0)
    square = np.asarray(block.multiply(block).sum(axis=0)).ravel()
    ends = np.asarray(graph.sum(axis=0)).ravel() + np.asarray(graph.sum(axis=1)).ravel()
    crossed = np.asarray(block.multiply(graph @ block).sum(axis=0)).ravel()
    shared = crossed - mean * (block.T @ ends) + mean**2 * float(graph.sum())
    return shared, square - n * mean**2, square


def _along_links(graph: sp.csr_matrix, centred: NDArray[Any]) -> NDArray[Any]:
    return np.asarray((centred * (graph @ centred)).sum(axis=0))


def within_groups(graph: sp.csr_matrix, groups: NDArray[Any]) -> sp.csr_matrix:
    """``graph`` without the links between spots of different ``groups``, (n_spots,) codes."""
    pairs = graph.tocoo()
    keep = groups[pairs.row] == groups[pairs.col]
    return sp.csr_matrix((pairs.data[keep], (pairs.row[keep], pairs.col[keep])), graph.shape)
