"""Loss curves of a run, for files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.loss_curves import by_term
from .palette import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curves_figure"]


def curves_figure(losses: Mapping[str, Sequence[float]]) -> Figure:
    """Terms of the loss over the epochs, each in its own field: their units differ.

    A field has one curve for each network of the run.

    Parameters
    ----------
    losses
        As records keep them; see `core.loss_curves`.
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
