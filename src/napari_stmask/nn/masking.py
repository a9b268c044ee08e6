"""Random masks over spots and links, and links that do not exist.

All draws come from a `numpy.random.Generator` that the caller owns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["EdgeMasker", "sample_nodes"]

Index = NDArray[np.int64]


def sample_nodes(n: int, rate: float, rng: np.random.Generator) -> Index:
    """A uniformly random set of ``floor(rate * n)`` of ``n`` spots, sorted, (m,) int64."""
    return np.sort(rng.permutation(n)[: int(rate * n)])


class EdgeMasker:
    """Hides links of a symmetric graph in both directions and samples non-links.

    Self-loops are never hidden or scored.

    Parameters
    ----------
    graph
        (n, n) symmetric CSR of weights without self-loops, whose own weight is 1.
    """

    def __init__(self, graph: sp.csr_matrix) -> None:
        n = graph.shape[0]
        self.n = n
        upper = sp.triu(graph, k=1).tocoo()
        self.edges: Index = np.column_stack([upper.row, upper.col]).astype(np.int64)
        # Those of the links, then that of a self-loop.
        self._weights = np.append(upper.data, np.float32(1)).astype(np.float32)
        # Entry e + 1 of edge e in both directions, and 0 never occurs off the diagonal, so that
        # adding an identity of -1 keeps the diagonal distinguishable and the pattern complete.
        ids = np.arange(1, len(self.edges) + 1, dtype=np.int64)
        i, j = self.edges.T
        pattern = sp.csr_matrix((np.r_[ids, ids], (np.r_[i, j], np.r_[j, i])), shape=(n, n))
        pattern = (pattern - sp.identity(n, dtype=np.int64, format="csr")).tocsr()
        pattern.sort_indices()
        self._edge_of_entry = pattern.data - 1  # -2 on the diagonal
        self._row = np.repeat(np.arange(n), np.diff(pattern.indptr))
        self._col = pattern.indices
        self._keys = np.sort(i * n + j)

    def mask(self, rate: float, rng: np.random.Generator) -> NDArray[np.bool_]:
        """(n_edges,) True for each undirected link that is hidden, each with ``rate``."""
        return rng.random(len(self.edges)) < rate

    def drop(
        self, rate: float, rng: np.random.Generator, *, released: bool = False
    ) -> tuple[sp.csr_matrix, Index]:
        """Hide links at random.

        Parameters
        ----------
        rate
            Share that is hidden.
        released
            Drop each direction, and each self-loop, on its own; a link stays in the graph while
            one of its directions does, and self-loops are put back (as in ViMST's program).

        Returns
        -------
        kept
            (n, n) normalised adjacency of what is left, as of `adjacency_without`.
        dropped
            (m, 2) int64 pairs that were dropped: undirected links, or with ``released``
            directed ones and self-loops.
        """
        if not released:
            hidden = self.mask(rate, rng)
            return self.adjacency_without(hidden), self.edges[hidden]
        gone = rng.random((2, len(self.edges))) < rate
        own = np.flatnonzero(rng.random(self.n) < rate)
        dropped = [self.edges[gone[0]], self.edges[gone[1]][:, ::-1], np.column_stack([own, own])]
        both: NDArray[np.bool_] = np.logical_and(gone[0], gone[1])
        return self.adjacency_without(both), np.concatenate(dropped)

    def adjacency_without(self, hidden: NDArray[np.bool_]) -> sp.csr_matrix:
        """Normalised adjacency (with self-loops) of the links that are not ``hidden``.

        Returns
        -------
        scipy.sparse.csr_matrix
            (n, n) float32, ``D^-1/2 (A_kept + I) D^-1/2`` with the degrees of the kept graph.
        """
        keep = np.append(~hidden, [True, True])[self._edge_of_entry]  # -2, -1 address the tail
        row, col = self._row[keep], self._col[keep]
        weight = self._weights[np.maximum(self._edge_of_entry[keep], -1)]  # -1 of a self-loop
        degree = np.bincount(row, weights=weight, minlength=self.n)
        scale = (1.0 / np.sqrt(degree)).astype(np.float32)
        indptr = np.r_[0, np.cumsum(np.bincount(row, minlength=self.n))]
        values = weight * scale[row] * scale[col]
        return sp.csr_matrix((values, col, indptr), shape=(self.n, self.n))

    def non_edges(
        self, count: int, rng: np.random.Generator, *, n_first: int | None = None
    ) -> Index:
        """Ordered pairs of distinct spots that no link joins.

        With ``n_first`` the first of each pair is one of the first ``n_first`` spots.

        Returns
        -------
        numpy.ndarray
            (m, 2) int64 with m = ``count``, or fewer where the graph is almost complete.
        """
        found: list[Index] = []
        missing = count
        for _ in range(20):
            pair: NDArray[Any] = rng.integers(self.n, size=(missing + missing // 8 + 8, 2))
            if n_first is not None:
                pair[:, 0] = pair[:, 0] * n_first // self.n
            key = pair.min(axis=1) * self.n + pair.max(axis=1)
            at = np.searchsorted(self._keys, key)
            known = self._keys[np.minimum(at, len(self._keys) - 1)] == key if len(self._keys) else 0
            good = pair[(pair[:, 0] != pair[:, 1]) & ~np.asarray(known, dtype=bool)][:missing]
            found.append(good)
            missing -= len(good)
            if missing <= 0:
                break
        return np.concatenate(found)
