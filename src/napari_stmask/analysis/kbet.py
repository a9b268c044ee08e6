"""Whether the batches of each neighbourhood are those of the whole: kBET."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

__all__ = ["kbet_acceptance", "kbet_size"]

_LARGEST, _SMALLEST = 50, 10


def kbet_size(sizes: NDArray[np.integer[Any]]) -> int:
    """Spots of a neighbourhood: 50, at most a quarter of the smallest batch, at least 10."""
    return int(max(_SMALLEST, min(_LARGEST, sizes.min() // 4)))


def kbet_acceptance(
    index: NDArray[np.integer[Any]], batches: NDArray[np.integer[Any]], *, level: float = 0.05
) -> float:
    """Share of spots whose neighbourhood has the batches of the whole, by a chi-square test.

    Büttner et al., Nature Methods 2019; here at all spots instead of a random tenth, with one
    size of neighbourhood.

    Parameters
    ----------
    index
        (n_spots, k) rows of the nearest other spots; a neighbourhood is these and the spot.
    batches
        (n_spots,) codes 0, 1, ...; all occur.
    level
        Of the test. A perfectly mixed embedding scores about ``1 - level``.

    Returns
    -------
    float
        In [0, 1]. The test has power: batches that are somewhat uneven in one place are
        rejected, so that values near 0 are common where tissue differs between sections.
    """
    n, k = index.shape
    sizes = np.bincount(batches)
    around = np.column_stack([batches, batches[index]])
    expected = sizes / n * (k + 1)
    statistic = np.zeros(n)
    for code, awaited in enumerate(expected):
        statistic += ((around == code).sum(axis=1) - awaited) ** 2 / awaited
    return float((chi2.sf(statistic, len(sizes) - 1) >= level).mean())
