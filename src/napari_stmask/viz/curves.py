"""Loss curves of a run, for files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .palette import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curves_figure"]


def curves_figure(losses: Mapping[str, Sequence[float]]) -> Figure:
    """Terms of the loss over the epochs, each in its own field: their units differ.

    Parameters
    ----------
    losses
        Term -> one number an epoch, as records keep them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = {name: np.asarray(v, dtype=float) for name, v in losses.items() if len(v)}
    columns = min(3, max(1, len(shown)))
    rows = -(-len(shown) // columns)
    size = (2.7 * columns, 1.9 * max(rows, 1))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, values) in enumerate(shown.items()):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.plot(np.arange(1, len(values) + 1), values, color=PALETTE[4], linewidth=1.2)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("epoch", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
