"""Markers for print: the volcano of a domain, and dots of genes in domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from .label_places import place_labels
from .plots import blank

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CAP", "HIGHER", "LOWER", "NEITHER", "dot_figure", "heights", "volcano_figure"]

CAP = 300.0
"""Largest -log10 of a p-value that is drawn; doubles end at about 308."""
HIGHER, LOWER, NEITHER = "#D55E00", "#0072B2", "#9E9E9E"
"""Genes that pass and are higher or lower in the domain, and all others."""


def heights(p: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """-log10 of p-values, and which of them end at the cap because they cannot be told apart.

    p-values below 1e-300, 0 among them, have the height `CAP`; those that are missing have NaN.
    """
    p = np.asarray(p, dtype=np.float64)
    capped = p < 10.0**-CAP
    with np.errstate(divide="ignore"):
        y = -np.log10(np.where(capped, 1.0, p))
    # Not -0 for p = 1.
    return np.where(capped, CAP, y + 0.0), capped


def volcano_figure(
    table: pd.DataFrame,
    passes: NDArray[np.bool_],
    *,
    domain: str,
    against: str = "all other spots",
    max_p: float = 0.05,
    min_fold: float = 0.0,
    n_labels: int = 15,
) -> Figure:
    """Fold change against certainty of all genes of one domain.

    Parameters
    ----------
    table
        Columns ``gene``, ``log2_fold_change`` and ``p_adjusted``, best first.
    passes
        (n_rows,) True for genes that are coloured and may be named.
    domain, against
        What was compared with what, for the title.
    max_p, min_fold
        Thresholds, drawn as dashed lines.
    n_labels
        Most names.

    Raises
    ------
    DataError
        If no gene has a p-value.
    """
    fold = table["log2_fold_change"].to_numpy(dtype=float)
    y, capped = heights(table["p_adjusted"].to_numpy(dtype=float))
    if not np.isfinite(y).any():
        raise DataError("no gene has a p-value", "choose a test that gives one")
    figure, axes = blank(5.5, 4.8)
    kinds = (
        (~passes, NEITHER, "not passing"),
        (passes & (fold > 0), HIGHER, "higher in the domain"),
        (passes & (fold <= 0), LOWER, "lower in the domain"),
    )
    for rows, color, label in kinds:
        if not rows.any():
            continue
        for mark, part in (("o", rows & ~capped), ("^", rows & capped)):
            axes.scatter(
                fold[part], y[part], s=9 if mark == "o" else 22, color=color, marker=mark,
                linewidths=0, label=f"{label} ({int(rows.sum()):,})" if mark == "o" else None,
                rasterized=bool(part.sum() > 3000),
            )  # fmt: skip
    if max_p < 1:
        axes.axhline(min(-np.log10(max(max_p, 1e-300)), CAP), color="#555555", lw=0.8, ls="--")
    for x in (-min_fold, min_fold) if min_fold else ():
        axes.axvline(x, color="#555555", linewidth=0.8, linestyle="--")
    axes.set(
        xlabel="log2 fold change", ylabel="\u2212log10 adjusted p",
        title=f"Domain {domain} against {against}",
    )  # fmt: skip
    axes.margins(0.06)
    if capped.any():
        axes.text(
            0.99, 0.99, f"\u25b2 p < 1e-300: {int(capped.sum())} genes, height not known",
            transform=axes.transAxes, ha="right", va="bottom", fontsize=7,
        )  # fmt: skip
    axes.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncol=3)
    named = np.flatnonzero(passes & np.isfinite(y))
    strong = np.argsort(-(np.abs(fold[named]) * y[named]), kind="stable")[: 3 * n_labels]
    _name(axes, table["gene"].astype(str).iloc[named[strong]].tolist(),
          np.column_stack([fold, y])[named[strong]], n_labels)  # fmt: skip
    return figure


def dot_figure(
    shares: pd.DataFrame,
    means: pd.DataFrame,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    label: str = "Mean log expression",
) -> Figure:
    """Genes in domains: area is the share of spots, colour the mean.

    Parameters
    ----------
    shares, means
        Domains x genes, see `DomainExpression.of`.
    groups
        Domain -> the genes that were chosen for it, set apart by lines.
    label
        Of the colours.

    Raises
    ------
    DataError
        If there is no gene.
    """
    if shares.empty:
        raise DataError("there is no gene to draw", "loosen the thresholds")
    k, n = shares.shape
    figure, axes = blank(2.2 + 0.28 * n, 1.7 + 0.3 * k)
    x, y = np.meshgrid(np.arange(n), np.arange(k))
    dots = axes.scatter(
        x.ravel(), y.ravel(), s=150 * shares.to_numpy().ravel(), c=means.to_numpy().ravel(),
        cmap="viridis", edgecolors="black", linewidths=0.4,
    )  # fmt: skip
    axes.set_xticks(range(n), list(shares.columns), rotation=90, fontsize=8)
    axes.set_yticks(range(k), [str(name) for name in shares.index], fontsize=8)
    axes.set(xlim=(-0.7, n - 0.3), ylim=(k - 0.4, -0.6), ylabel="Domain")
    end = -0.5
    for genes in list((groups or {}).values())[:-1]:
        end += len(genes)
        if genes and end < n - 1:
            axes.axvline(end, color="#bbbbbb", linewidth=0.6, zorder=0)
    figure.colorbar(dots, label=label, shrink=0.8, pad=0.01)
    steps = [
        axes.scatter([], [], s=150 * v, color="#8c8c8c", edgecolors="black", linewidths=0.4)
        for v in (0.2, 0.6, 1.0)
    ]
    figure.legend(
        steps, ["20 %", "60 %", "100 %"], title="Spots above 0", frameon=False, fontsize=7,
        title_fontsize=7, loc="outside lower center", ncol=3,
    )  # fmt: skip
    return figure


def _name(axes: Axes, names: Sequence[str], places: NDArray[np.float64], most: int) -> None:
    """Names beside their points where they cover none."""
    figure = axes.get_figure(root=True)
    if not names or figure is None:
        return
    # Places in pixels are known once the layout is.
    figure.draw_without_rendering()
    corner, box = axes.transAxes.transform((0, 0)), axes.get_window_extent()
    pixels = axes.transData.transform(places) - corner
    scale = figure.dpi / 72
    sizes = np.array([(4.3 * scale * len(name) + 2, 8.5 * scale) for name in names])
    shown = 0
    for name, place, size in zip(
        names, place_labels(pixels, sizes, (box.width, box.height)), sizes, strict=True
    ):
        if place is None or shown == most:
            continue
        shown += 1
        middle = axes.transData.inverted().transform(np.add(place, size / 2) + corner)
        axes.text(float(middle[0]), float(middle[1]), name, fontsize=7, ha="center", va="center")
