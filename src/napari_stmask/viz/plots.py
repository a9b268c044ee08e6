"""Plots of analyses for files: violins, graphs of domains, composition bars, marker dots.

Arrays and tables in, matplotlib figures out; no window system is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, OutputError
from ..io.atomic import atomic_path, check_target
from .figure import FIGURE_SUFFIXES
from .palette import readable_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "MIN_LINK",
    "blank",
    "check_figure",
    "composition_figure",
    "contrast_figure",
    "graph_figure",
    "marker_figure",
    "placement_figure",
    "quality_figure",
    "save_figure",
    "violin_figure",
]

_MAX_POINTS = 5000
"""Values of a domain that its violin is estimated from; the estimate is quadratic in them."""
MIN_LINK = 0.05
"""Links below this are not drawn: chance alone gives weak ones."""


def check_figure(path: str | Path) -> Path:
    """Refuse a path that `save_figure` could not write, before any work.

    Raises
    ------
    OutputError
        If the suffix is not that of a figure or the folder cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in FIGURE_SUFFIXES:
        raise OutputError(
            f"{path} has the suffix '{path.suffix}', which is not one of a figure",
            f"use one of: {', '.join(FIGURE_SUFFIXES)}",
        )
    return check_target(path)


def save_figure(figure: Figure, path: str | Path, *, dpi: int = 200) -> Path:
    """Write ``figure`` to ``path``, complete or not at all; the suffix picks the format."""
    path = check_figure(path)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format=path.suffix.lower().lstrip("."))
    return path


def blank(width: float, height: float, *, framed: bool = False) -> tuple[Figure, Axes]:
    """A figure of ``width`` x ``height`` inches with empty axes.

    They are open at the top and right, unless ``framed``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(framed)
    return figure, axes


def violin_figure(
    values: Mapping[str, NDArray[np.floating[Any]]], colors: Sequence[str], *, label: str
) -> Figure:
    """One violin a domain, with its quartiles.

    Parameters
    ----------
    values
        Domain -> finite values; a domain with one value or no variation is drawn as a line.
    colors
        One ``#RRGGBB`` for each.
    label
        Of the axis, with the unit.
    """
    figure, axes = blank(1.5 + 0.6 * len(values), 4.0)
    rng = np.random.default_rng(0)
    for x, (part, color) in enumerate(zip(values.values(), colors, strict=True)):
        shown = part if part.size <= _MAX_POINTS else rng.choice(part, _MAX_POINTS, replace=False)
        if np.ptp(shown) > 0:
            drawn: Any = axes.violinplot([shown], [x], widths=0.85, showextrema=False)
            drawn["bodies"][0].set(facecolor=color, edgecolor="black", linewidth=0.6, alpha=0.9)
        low, middle, high = np.quantile(part, (0.25, 0.5, 0.75))
        axes.vlines(x, low, high, color="black", linewidth=2.5)
        axes.hlines(middle, x - 0.14, x + 0.14, color="black", linewidth=1.5)
    axes.set_xticks(range(len(values)), list(values))
    axes.set(xlabel="Domain", ylabel=label)
    return figure


def graph_figure(
    connectivities: NDArray[np.floating[Any]],
    positions: NDArray[np.floating[Any]],
    names: Sequence[str],
    colors: Sequence[str],
    sizes: Sequence[int] | NDArray[np.integer[Any]],
) -> Figure:
    """Domains as discs of an area like their size, joined by lines as thick as their link.

    Parameters
    ----------
    connectivities
        (k, k) symmetric, 0 to 1; links below 0.05 are not drawn.
    positions
        (k, 2).
    names, colors, sizes
        Of the k domains; sizes in spots.
    """
    figure, axes = blank(5.5, 5.0)
    for i in range(len(names)):
        for j in range(i):
            weight = float(connectivities[i, j])
            if weight >= MIN_LINK:
                axes.plot(
                    *positions[[i, j]].T, color="#555555", linewidth=6 * weight, zorder=1,
                    solid_capstyle="round",
                )  # fmt: skip
    area = 200 + 1400 * np.asarray(sizes) / max(np.max(sizes), 1)
    axes.scatter(
        positions[:, 0],
        positions[:, 1],
        s=area,
        c=list(colors),
        edgecolors="black",
        linewidths=0.8,
        zorder=2,
    )
    for (x, y), name, color in zip(positions, names, colors, strict=True):
        axes.text(x, y, name, ha="center", va="center", color=readable_text(color), zorder=3)
    axes.margins(0.18)
    axes.axis("off")
    return figure


def composition_figure(
    shares: NDArray[np.floating[Any]],
    rows: Sequence[str],
    names: Sequence[str],
    colors: Sequence[str],
    *,
    label: str = "Share of the neighbours",
    rows_label: str = "Domain",
) -> Figure:
    """Stacked bars: one a row, one colour a domain.

    Parameters
    ----------
    shares
        (n_rows, k), rows sum to 1; NaN counts as 0.
    rows
        Names of the rows.
    names, colors
        Of the k domains.
    label, rows_label
        Of the axes.
    """
    figure, axes = blank(5.5, 1.4 + 0.35 * len(rows))
    left = np.zeros(len(rows))
    for share, name, color in zip(np.nan_to_num(shares).T, names, colors, strict=True):
        axes.barh(range(len(rows)), share, left=left, color=color, label=name, height=0.8)
        left = left + share
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel=label, ylabel=rows_label)
    axes.legend(
        title="Domain", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8
    )
    return figure


def contrast_figure(table: pd.DataFrame, colors: Sequence[str]) -> Figure:
    """Contrast of genes before and after they were enhanced, one point a gene and domain.

    Parameters
    ----------
    table
        Columns ``domain``, ``raw`` and ``enhanced``, areas under the ROC curve.
    colors
        Of the domains, in the order in which they occur.
    """
    figure, axes = blank(5.5, 4.2)
    axes.plot([0, 1], [0, 1], color="#8c8c8c", linewidth=0.8, zorder=1)
    parts = table.groupby("domain", sort=False, observed=True)
    for (name, part), color in zip(parts, colors, strict=True):
        axes.scatter(part["raw"], part["enhanced"], s=5, color=color, label=str(name), linewidths=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="Area of the raw counts")
    axes.set_ylabel("Area of the enhanced values")
    axes.legend(
        title="Domain", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8,
        markerscale=3,
    )  # fmt: skip
    return figure


def marker_figure(table: pd.DataFrame, *, fold: str, n_genes: int = 5) -> Figure:
    """Genes of each domain as dots: area is the share of its spots, colour the fold change.

    Parameters
    ----------
    table
        Columns ``domain``, ``gene``, ``share_in`` and ``fold``, best first within a domain.
    fold
        Name of the column that is shown as colour.
    n_genes
        Genes shown for each domain.

    Raises
    ------
    DataError
        If the table is empty.
    """
    top = table.groupby("domain", sort=False, observed=True).head(n_genes)
    if top.empty:
        raise DataError("there is no gene to draw", "loosen the filters")
    domains, genes = (list(dict.fromkeys(top[c])) for c in ("domain", "gene"))
    figure, axes = blank(1.8 + 0.55 * len(domains), 1.3 + 0.2 * len(genes))
    dots = axes.scatter(
        [domains.index(d) for d in top["domain"]],
        [genes.index(g) for g in top["gene"]],
        s=90 * top["share_in"].to_numpy(dtype=float),
        c=top[fold].to_numpy(dtype=float),
        cmap="viridis",
        edgecolors="black",
        linewidths=0.4,
    )
    axes.set_xticks(range(len(domains)), domains)
    axes.set_yticks(range(len(genes)), genes, fontsize=7)
    axes.invert_yaxis()
    axes.margins(x=0.5 / len(domains))
    axes.set(xlabel="Domain")
    figure.colorbar(dots, label=fold.replace("_", " "), shrink=0.5)
    return figure


def quality_figure(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """One bar chart an index, one bar an embedding.

    Parameters
    ----------
    table
        Column ``embedding`` with names, and one column of numbers an index; None and NaN are
        left out.
    titles
        Column -> title of its chart, which says which side is the better one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.2 * len(titles), 2.8), layout="constrained")
    FigureCanvasAgg(figure)
    names = [str(name) for name in table["embedding"]]
    for axes, (column, title) in zip(figure.subplots(1, len(titles)), titles.items(), strict=True):
        heights = table[column].to_numpy(dtype=float)
        axes.bar(range(len(names)), np.nan_to_num(heights), color="#0072B2", width=0.6)
        axes.set_xticks(range(len(names)), names, fontsize=8)
        axes.set_xlim(-0.8, len(names) - 0.2)
        axes.set_title(title, fontsize=9)
        axes.axhline(0, color="black", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def placement_figure(
    coords: NDArray[np.floating[Any]],
    codes: NDArray[np.integer[Any]],
    names: Sequence[str],
    colors: Sequence[str],
    *,
    unit: str,
) -> Figure:
    """Where the spots of several sections lie in one frame.

    Parameters
    ----------
    coords
        (n_spots, 2) x and y; y runs down.
    codes
        (n_spots,) index into ``names``.
    names, colors
        Of the sections.
    unit
        Of the coordinates.
    """
    figure, axes = blank(7.0, 4.0)
    for i, (name, color) in enumerate(zip(names, colors, strict=True)):
        mine = coords[codes == i]
        axes.scatter(mine[:, 0], mine[:, 1], s=3, color=color, label=name, linewidths=0)
    axes.set(aspect="equal", xlabel=f"x ({unit})", ylabel=f"y ({unit})")
    axes.invert_yaxis()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, markerscale=3)
    return figure
