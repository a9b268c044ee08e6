"""How a record names the loss curves of runs that train several networks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curves", "by_term", "of_network"]

Curves = dict[str, list[float]]
"""Term of the loss -> one number an epoch."""
_NETWORK = re.compile(r" \(\d+\)$")


def of_network(curves: Curves, i: int) -> Curves:
    """The curves of network ``i``, counted from 0, under names of their own.

    Those of the first keep theirs; the others end in `` (2)``, `` (3)`` and so on.
    """
    return {(term if i == 0 else f"{term} ({i + 1})"): curve for term, curve in curves.items()}


def by_term(losses: Mapping[str, Sequence[float]]) -> dict[str, list[NDArray[np.float64]]]:
    """Curves of all networks of a run under the name of their term.

    Parameters
    ----------
    losses
        As records keep them, with names by `of_network`. Empty curves are left out.
    """
    terms: dict[str, list[NDArray[np.float64]]] = {}
    for name, values in losses.items():
        if len(values):
            curve = np.asarray(values, dtype=float)
            terms.setdefault(_NETWORK.sub("", name), []).append(curve)
    return terms
