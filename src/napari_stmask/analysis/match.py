"""Matching of two labelings of the same spots."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix

__all__ = ["match_codes", "partners"]


def match_codes(
    codes: NDArray[np.integer[Any]], reference: NDArray[np.integer[Any]]
) -> NDArray[np.intp]:
    """Renumber ``codes`` so that each domain carries the number of the reference it overlaps most.

    The assignment is one-to-one and maximises the total overlap (Hungarian algorithm); domains
    without a partner get the smallest free numbers.

    Parameters
    ----------
    codes, reference
        (n_spots,) int, non-negative.

    Returns
    -------
    numpy.ndarray
        (n_spots,) int.
    """
    names, inverse = np.unique(codes, return_inverse=True)
    targets = np.unique(reference)
    overlap = contingency_matrix(inverse, reference)
    row, col = linear_sum_assignment(-overlap)
    new = np.full(names.size, -1, dtype=np.intp)
    for r, c in zip(row, col, strict=True):
        if overlap[r, c]:
            new[r] = targets[c]
    free = iter(np.setdiff1d(np.arange(names.size + int(targets.max()) + 1), new))
    for r in np.flatnonzero(new < 0):
        new[r] = next(free)
    return new[inverse]


def partners(codes: NDArray[np.integer], reference: NDArray[np.integer]) -> dict[int, int]:
    """Code -> code of ``reference`` that it matches; only those that have a partner there.

    Spots whose code is negative in either are left out.
    """
    both = (codes >= 0) & (reference >= 0)
    if not both.any():
        return {}
    matched = match_codes(codes[both], reference[both])
    found = dict(zip(codes[both].tolist(), matched.tolist(), strict=True))
    top = int(reference.max())
    return {code: match for code, match in found.items() if match <= top}
