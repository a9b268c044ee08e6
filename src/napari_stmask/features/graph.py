"""Spatial neighbour graphs as CSR matrices (float32 data, int32 indices)."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..core.errors import ParameterError

__all__ = ["knn_graph", "nearest", "normalised_adjacency", "radius_graph"]

Coords = NDArray[np.floating[Any]]


def _from_pairs(i: NDArray[np.integer[Any]], j: NDArray[np.integer[Any]], n: int) -> sp.csr_matrix:
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
    return _from_pairs(pairs.row, pairs.col, n)


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
    return _from_pairs(pairs[:, 0], pairs[:, 1], len(coords))


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
