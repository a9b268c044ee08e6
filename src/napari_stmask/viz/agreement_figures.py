"""Two labelings of the same spots, for print: a table of colours, and ribbons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .palette import readable_text, to_rgb, unused_colors
from .plots import blank
from .ribbons import bend, flow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["confusion_figure", "matched_colors", "sankey_figure", "shaded"]

_MOST_NUMBERS = 24
"""Domains of a side up to which cells carry numbers."""


def matched_colors(colors: Sequence[str], partner: Mapping[int, int], count: int) -> list[str]:
    """Colours of ``count`` domains: those of their partners, unused ones for the others.

    Parameters
    ----------
    colors
        Of the labeling whose colours are taken.
    partner
        Code of a domain -> code in that labeling.
    count
        Number of domains.
    """
    fresh = iter(unused_colors(colors, count))
    return [colors[partner[code]] if code in partner else next(fresh) for code in range(count)]


def shaded(share: NDArray[np.floating], color: str, paper: str = "#ffffff") -> NDArray[np.float64]:
    """(..., 3) colours from ``paper`` at 0 to ``color`` at 1; small shares stay visible."""
    back, front = to_rgb([paper])[0], to_rgb([color])[0]
    weight = np.sqrt(np.clip(share, 0, 1))[..., None]
    return np.asarray(back + (front - back) * weight)


def confusion_figure(
    counts: NDArray[np.integer],
    names: tuple[Sequence[str], Sequence[str]],
    colors: Sequence[str],
    order: tuple[list[int], list[int]],
    *,
    titles: tuple[str, str],
) -> Figure:
    """Spots of each pair of domains and their share of the row; partners are framed.

    Parameters
    ----------
    counts
        (k, m) spots of both.
    names
        Of the rows and of the columns.
    colors
        Of the k rows; a cell is the deeper, the larger its share of the row.
    order
        Codes of rows and of columns as they are drawn.
    titles
        Of the two labelings.
    """
    from matplotlib.patches import Rectangle

    rows, columns = order
    shown = counts[np.ix_(rows, columns)]
    total = shown.sum(axis=1, keepdims=True)
    share = np.divide(shown, total, out=np.zeros(shown.shape), where=total > 0)
    size = 2.0 + 0.62 * len(columns), 1.5 + 0.46 * len(rows)
    figure, axes = blank(*size, framed=True)
    image = np.stack([shaded(share[i], colors[row]) for i, row in enumerate(rows)])
    axes.imshow(image, aspect="auto", interpolation="nearest")
    if max(shown.shape) <= _MOST_NUMBERS:
        for i, j in np.argwhere(shown > 0):
            back = "#" + "".join(f"{round(255 * c):02x}" for c in image[i, j])
            axes.text(
                j, i, f"{shown[i, j]:,}\n{_percent(share[i, j])}", ha="center", va="center",
                fontsize=7, color=readable_text(back),
            )  # fmt: skip
    for i in range(min(shown.shape)):
        # What is left over on both sides shares no spot, so this is a pair.
        if shown[i, i]:
            place = (i - 0.5, i - 0.5)
            axes.add_patch(Rectangle(place, 1, 1, fill=False, edgecolor="black", linewidth=1.5))
    axes.set_xticks(range(len(columns)), [names[1][c] for c in columns])
    axes.set_yticks(range(len(rows)), [names[0][r] for r in rows])
    if max((len(names[1][c]) for c in columns), default=0) > 5:
        axes.tick_params(axis="x", rotation=45)
    axes.set(xlabel=titles[1], ylabel=titles[0])
    return figure


def sankey_figure(
    counts: NDArray[np.integer],
    names: tuple[Sequence[str], Sequence[str]],
    colors: tuple[Sequence[str], Sequence[str]],
    order: tuple[list[int], list[int]],
    *,
    titles: tuple[str, str],
) -> Figure:
    """Domains of two labelings as bars, their common spots as ribbons between them.

    Parameters
    ----------
    counts, names, order, titles
        As for `confusion_figure`.
    colors
        Of the k rows and of the m columns; ribbons have the colour of the row.
    """
    from matplotlib.patches import Polygon, Rectangle

    shape = flow(counts, *order)
    figure, axes = blank(6.0, float(np.clip(1.2 + 0.36 * max(counts.shape), 3.0, 12.0)))
    for ribbon in shape.ribbons:
        axes.add_patch(
            Polygon(bend(ribbon), facecolor=colors[0][ribbon.first], alpha=0.5, linewidth=0)
        )
    sizes = counts.sum(axis=1), counts.sum(axis=0)
    for side, (ends, x, ha) in enumerate(((shape.left, 0.0, "right"), (shape.right, 1.0, "left"))):
        for code in order[side]:
            top, bottom = ends[code]
            start = x - 0.03 if side == 0 else x
            axes.add_patch(
                Rectangle(
                    (start, top), 0.03, bottom - top, facecolor=colors[side][code],
                    edgecolor="black", linewidth=0.5,
                )
            )  # fmt: skip
            axes.text(
                x - 0.05 if side == 0 else x + 0.05, (top + bottom) / 2,
                f"{names[side][code]}  ({sizes[side][code]:,})", ha=ha, va="center", fontsize=8,
            )  # fmt: skip
        axes.text(x, -0.04, titles[side], ha="center", va="bottom", fontsize=9, fontweight="bold")
    axes.set(xlim=(-0.4, 1.4), ylim=(1.02, -0.1))
    axes.axis("off")
    return figure


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"
