"""Loss curves of a run, for files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .palette import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["by_term", "curves_figure"]

_NETWORK = re.compile(r" \(\d+\)$")


def by_term(losses: Mapping[str, Sequence[float]]) -> dict[str, list[NDArray[np.float64]]]:
    """Curves of all networks of a run under the name of their term.

    Parameters
    ----------
    losses
        Term -> one number an epoch, as records keep them; those of the second network and
        further ones end in `` (2)`` and so on. Empty ones are left out.
    """
    terms: dict[str, list[NDArray[np.float64]]] = {}
    for name, values in losses.items():
        if len(values):
            curve = np.asarray(values, dtype=float)
            terms.setdefault(_NETWORK.sub("", name), []).append(curve)
    return terms


def curves_figure(losses: Mapping[str, Sequence[float]]) -> Figure:
    """Terms of the loss over the epochs, each in its own field: their units differ.

    A field has one curve for each network of the run.

    Parameters
    ----------
    losses
        As records keep them; see `by_term`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = by_term(losses)
    columns = min(3, max(1, len(shown)))
    rows = -(-len(shown) // columns)
    size = (2.7 * columns, 1.9 * max(rows, 1))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, networks) in enumerate(shown.items()):
        axes = figure.add_subplot(rows, columns, place + 1)
        alone = len(networks) == 1
        for values in networks:
            axes.plot(
                np.arange(1, len(values) + 1), values,
                color=PALETTE[4], linewidth=1.2 if alone else 0.7, alpha=1 if alone else 0.5,
            )  # fmt: skip
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("epoch", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
