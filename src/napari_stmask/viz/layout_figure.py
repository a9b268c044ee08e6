"""Layouts of the same spots side by side, in the colours of their sections and domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .palette import PALETTE, UNASSIGNED_COLOUR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["layouts_figure", "section_colors", "values_figure"]

_TOL = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377")
"""Paul Tol's bright colours: those of domains mean something else."""
_SIDE = 3.2
"""Inches of a panel."""


def section_colors(n: int) -> list[str]:
    """Colours for ``n`` sections, other ones than the first domains have."""
    many = (*_TOL, *PALETTE[::-1])
    return [many[i % len(many)] for i in range(n)]


def layouts_figure(
    layouts: Mapping[str, NDArray[np.floating[Any]]],
    kinds: Mapping[str, tuple[NDArray[np.integer[Any]], Sequence[str], Sequence[str]]],
) -> Figure:
    """One row of panels a layout, one column a kind of colours.

    Parameters
    ----------
    layouts
        Title -> (n_spots, 2); rows that are NaN are left out.
    kinds
        What spots are coloured by -> (n_spots,) codes, -1 for none, and names and colours that
        they index.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(_SIDE * len(kinds) + 1.5, _SIDE * len(layouts)), layout="constrained"
    )  # fmt: skip
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(layouts), len(kinds), squeeze=False)
    for row, (title, points) in enumerate(layouts.items()):
        shown = np.flatnonzero(np.isfinite(points).all(axis=1))
        # In a mixed order, so that no section covers the others.
        shown = np.random.default_rng(0).permutation(shown)
        for column, (kind, (codes, names, colors)) in enumerate(kinds.items()):
            axes = panels[row, column]
            of = np.array([*colors, UNASSIGNED_COLOUR])[codes[shown]]
            axes.scatter(*points[shown].T, s=2, c=of, linewidths=0)
            axes.set(title=f"{title}, by {kind}", xticks=[], yticks=[])
            if row == 0:
                for name, color in zip(names, colors, strict=True):
                    axes.scatter([], [], s=20, color=color, label=name)
    for column, kind in enumerate(kinds):
        handles, labels = panels[0, column].get_legend_handles_labels()
        figure.legend(
            handles, labels, title=kind.capitalize(), fontsize=7, frameon=False,
            loc="outside right upper" if column == 0 else "outside right lower",
        )  # fmt: skip
    return figure


def values_figure(
    points: NDArray[np.floating[Any]],
    values: NDArray[np.floating[Any]],
    label: str,
    *,
    limits: tuple[float, float],
) -> Figure:
    """One layout in shades of one number a spot, with a colour bar.

    Parameters
    ----------
    points
        (n_spots, 2); rows that are NaN are left out.
    values
        (n_spots,); spots without a value are grey.
    label
        Of the colour bar.
    limits
        Numbers of the first and the last shade.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_SIDE + 1.5, _SIDE), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    placed = np.isfinite(points).all(axis=1)
    unknown = placed & ~np.isfinite(values)
    x, y = points.T
    axes.scatter(x[unknown], y[unknown], s=2, c=UNASSIGNED_COLOUR, linewidths=0)
    # High values on top: they are what is looked for.
    shown = np.flatnonzero(placed & np.isfinite(values))
    shown = shown[np.argsort(values[shown], kind="stable")]
    drawn = axes.scatter(
        x[shown], y[shown], s=2, c=values[shown], vmin=limits[0], vmax=limits[1], linewidths=0
    )
    axes.set(xticks=[], yticks=[])
    figure.colorbar(drawn, ax=axes, label=label, shrink=0.7)
    return figure
