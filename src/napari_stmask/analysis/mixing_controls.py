"""How much sections mix by smoothing alone: controls of an integration.

A mean over neighbours that lie in other sections mixes sections by construction, whatever it
does to differences between them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..core.errors import DataError
from .baselines import mean_with_neighbours

__all__ = ["mixing_controls"]


def mixing_controls(
    x: NDArray[np.floating[Any]],
    batches: NDArray[Any],
    within: sp.csr_matrix,
    joint: sp.csr_matrix,
    *,
    steps: int = 2,
) -> dict[str, NDArray[np.float32]]:
    """What a method is fed, and its mean over neighbours without and with links across sections.

    Parameters
    ----------
    x
        (n_spots, width) input of the method's network.
    batches
        (n_spots,) section of each spot.
    within
        (n_spots, n_spots) graph without links between sections.
    joint
        (n_spots, n_spots) the method's graph.
    steps
        How often the mean is taken, as many as the network has layers.

    Returns
    -------
    dict
        ``"input"``, ``"neighbour mean within sections"``, ``"neighbour mean with links across"``:
        (n_spots, width) float32. The mixing of a method counts only above that of the last.

    Raises
    ------
    DataError
        If a graph has another number of spots, or ``within`` links sections.
    """
    n = len(x)
    if {within.shape, joint.shape} != {(n, n)} or len(batches) != n:
        raise DataError(
            f"the input has {n} spots, its sections {len(batches)}, its graphs "
            f"{within.shape[0]} and {joint.shape[0]}",
            "give all for the same spots",
        )
    links = within.tocoo()
    of = np.asarray(batches)
    across = int((of[links.row] != of[links.col]).sum())
    if across:
        raise DataError(
            f"the graph within sections has {across} links between sections",
            "build it for each section alone",
        )
    return {
        "input": np.asarray(x, dtype=np.float32),
        "neighbour mean within sections": mean_with_neighbours(x, within, steps),
        "neighbour mean with links across": mean_with_neighbours(x, joint, steps),
    }
