"""A share of the spots in which every group keeps its part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["stratified_sample"]


def stratified_sample(
    groups: NDArray[np.integer[Any]], most: int, *, seed: int
) -> NDArray[np.intp]:
    """Rows of at most ``most`` spots, drawn without replacement from each group alike.

    Parameters
    ----------
    groups
        (n_spots,) codes.
    most
        Spots that are wanted; all are kept where there are not more.
    seed
        Of the draw.

    Returns
    -------
    numpy.ndarray
        Sorted rows. Each group has its share of the spots, rounded down, and at least one spot,
        so that there may be as many more than ``most`` as there are tiny groups.
    """
    n = len(groups)
    if n <= most:
        return np.arange(n)
    rng = np.random.default_rng(seed)
    drawn = [
        rng.choice(rows, max(1, len(rows) * most // n), replace=False)
        for rows in (np.flatnonzero(groups == code) for code in np.unique(groups))
    ]
    return np.sort(np.concatenate(drawn))
