"""The graph of domains: PAGA (Wolf et al., Genome Biology 20, 59, 2019)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path

from ..core.memory import densify
from .inputs import one_hot

__all__ = ["paga_connectivities", "paga_layout"]


def paga_connectivities(
    distances: sp.csr_matrix, codes: NDArray[np.intp], k: int
) -> NDArray[np.float64]:
    """Links between domains over those expected, at most 1 (Wolf et al., model 1.2).

    With ``e_i`` links that begin in domain i, ``n_i`` spots in it and ``n`` in all, expected
    are ``(e_i n_j + e_j n_i) / (n - 1)`` links between i and j.

    Parameters
    ----------
    distances
        (n, n) sparse, a stored entry for each directed link.
    codes
        (n,) int, 0 .. k - 1; links of spots with -1 are not counted.
    k
        Number of domains.

    Returns
    -------
    numpy.ndarray
        (k, k) float64, symmetric, diagonal 0.
    """
    links = sp.csr_matrix(distances, dtype=np.float64, copy=True)
    links.data[:] = 1.0
    member = one_hot(codes, k)
    count = densify(member.T @ links @ member, what="links").astype(np.float64)
    size = np.asarray(member.sum(axis=0)).ravel()
    begun = count.sum(axis=1)
    expected = (np.outer(begun, size) + np.outer(size, begun)) / max(size.sum() - 1, 1)
    both = count + count.T
    out = np.divide(both, expected, out=np.where(both > 0, 1.0, 0.0), where=expected > 0)
    np.fill_diagonal(out, 0.0)
    return np.asarray(np.minimum(out, 1.0))


def paga_layout(connectivities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, 2) positions by classical scaling of the shortest paths over ``1 / connectivity``.

    Groups of domains without any link lie beside one another.
    """
    k = len(connectivities)
    if k < 2:
        return np.zeros((k, 2))
    lengths = np.divide(
        1.0, connectivities, out=np.zeros_like(connectivities), where=connectivities > 1e-3
    )
    # Roots of the lengths: one weak link must not push everything else together.
    path = shortest_path(np.sqrt(lengths), directed=False)
    finite = path[np.isfinite(path)]
    path = np.where(np.isfinite(path), path, 1.5 * max(finite.max(), 1.0))
    centring = np.eye(k) - 1 / k
    value, vector = np.linalg.eigh(-0.5 * centring @ path**2 @ centring)
    top = vector[:, [-1, -2]] * np.sqrt(np.maximum(value[[-1, -2]], 0))
    # The sign of an eigenvector is arbitrary; this one is the same everywhere.
    return np.asarray(top * np.where(top[np.abs(top).argmax(axis=0), [0, 1]] < 0, -1, 1))
