"""Diffusion map and pseudotime of a neighbour graph (Haghverdi et al., Nature Methods 13, 2016)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from ..core.errors import DataError

__all__ = ["diffusion_map", "diffusion_pseudotime"]


def diffusion_map(
    weights: sp.csr_matrix, n_components: int, *, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvectors of the random walk on a connected graph, without the stationary one.

    The density of the spots is divided out first: ``K = Q^-1 W Q^-1`` with the degrees ``Q`` of
    ``W``, then ``T = Z^-1/2 K Z^-1/2`` with the degrees ``Z`` of ``K`` (Coifman et al., 2005, as
    in scanpy).

    Parameters
    ----------
    weights
        (n, n) symmetric, connected, non-negative.
    n_components
        Eigenvectors wanted; fewer on tiny graphs.
    seed
        Start vector of the solver.

    Returns
    -------
    values
        (m,) eigenvalues below 1, largest first.
    vectors
        (n, m) eigenvectors of unit length; the entry of largest magnitude is positive.

    Raises
    ------
    DataError
        If the solver does not converge.
    """
    w = sp.csr_matrix(weights, dtype=np.float64)
    n = w.shape[0]
    m = min(n_components, n - 2)
    if m < 1:
        return np.zeros(0), np.zeros((n, 0))
    q = sp.diags(1 / np.asarray(w.sum(axis=1)).ravel())
    kernel = q @ w @ q
    degree = np.asarray(kernel.sum(axis=1)).ravel()
    z = sp.diags(1 / np.sqrt(degree))
    begin = np.random.default_rng(seed).random(n)
    width = min(n, max(4 * (m + 1), 40))
    try:
        value, vector = eigsh((z @ kernel @ z).tocsr(), k=m + 1, which="LA", v0=begin, ncv=width)
    except ArpackNoConvergence:
        raise DataError(
            "the diffusion components of the embedding cannot be computed",
            "link more neighbours (n_neighbors)",
        ) from None
    # Ascending; the last is the stationary one, known to be the root of the degrees.
    value, vector = value[:-1][::-1], vector[:, :-1][:, ::-1]
    return value, vector * np.sign(vector[np.abs(vector).argmax(axis=0), np.arange(m)])


def diffusion_pseudotime(
    values: NDArray[np.float64], vectors: NDArray[np.float64], root: int
) -> NDArray[np.float64]:
    """(n,) distance from ``root`` over random walks of all lengths, scaled to [0, 1].

    Haghverdi et al., 2016: components are weighted by ``l / (1 - l)``.
    """
    weight = values / np.maximum(1 - values, 1e-12)
    distance = np.linalg.norm((vectors - vectors[root]) * weight, axis=1)
    longest = distance.max()
    return np.asarray(distance / longest if longest > 0 else distance)
