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
    partner = partners(codes, reference)
    names, inverse = np.unique(codes, return_inverse=True)
    new = np.array([partner.get(int(name), -1) for name in names], dtype=np.intp)
    free = iter(np.setdiff1d(np.arange(names.size + int(reference.max()) + 1), new))
    for r in np.flatnonzero(new < 0):
        new[r] = next(free)
    return new[inverse]


def partners(
    codes: NDArray[np.integer[Any]], reference: NDArray[np.integer[Any]]
) -> dict[int, int]:
    """Code -> code of ``reference`` that it matches, one to one with the largest total overlap.

    Codes that share no spot with any that is left have no entry; spots whose code is negative in
    either are left out.
    """
    both = (codes >= 0) & (reference >= 0)
    if not both.any():
        return {}
    names, targets = np.unique(codes[both]), np.unique(reference[both])
    overlap = contingency_matrix(codes[both], reference[both])
    pairs = zip(*linear_sum_assignment(-overlap), strict=True)
    return {int(names[r]): int(targets[c]) for r, c in pairs if overlap[r, c]}
