"""Which spots inform a spot over long distances, from what a run of MMSRL stored."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["attention_of"]


def attention_of(features: NDArray[np.floating[Any]], spot: int) -> NDArray[np.float64]:
    """How much ``spot`` attends to every spot, (n_spots,) float64 that sums to 1.

    Parameters
    ----------
    features
        (n_spots, d) unit vectors times the root of the attention's scale, as a run stores them;
        rows that are not finite get 0.
    spot
        Position of the spot that looks.
    """
    own = np.asarray(features, dtype=np.float64)
    there = np.isfinite(own).all(axis=1)
    logits = own[there] @ own[spot]
    weights = np.exp(logits - logits.max())
    out = np.zeros(len(own))
    out[there] = weights / weights.sum()
    return out
