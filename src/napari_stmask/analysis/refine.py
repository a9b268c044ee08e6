"""Smoothing of labels over the tissue."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["smooth_labels"]


def smooth_labels(
    codes: NDArray[np.integer[Any]], graph: sp.csr_matrix, *, max_rounds: int = 10
) -> NDArray[np.intp]:
    """Give a spot its neighbours' label where more than half of them agree on another one.

    Repeats until nothing changes, so that a second call is a no-op unless labels oscillate.
    A domain is never removed altogether.

    Parameters
    ----------
    codes
        (n_spots,) int, 0 .. k - 1.
    graph
        (n_spots, n_spots) symmetric CSR without self-loops, weights 1.
    max_rounds
        Bound for oscillating patterns.

    Returns
    -------
    numpy.ndarray
        (n_spots,) int.
    """
    now = np.asarray(codes, dtype=np.intp).copy()
    k = int(now.max()) + 1
    degree = np.diff(graph.indptr)
    rows = np.arange(len(now))
    for _ in range(max_rounds):
        one_hot = sp.csr_matrix((np.ones(len(now)), (rows, now)), shape=(len(now), k))
        votes = (graph @ one_hot).tocsr()
        winner = np.asarray(votes.argmax(axis=1)).ravel()
        strength = np.asarray(votes[rows, winner]).ravel()
        new = np.where((winner != now) & (2 * strength > degree), winner, now)
        for lost in np.setdiff1d(now, new):
            new[now == lost] = lost
        if np.array_equal(new, now):
            break
        now = new
    return now
