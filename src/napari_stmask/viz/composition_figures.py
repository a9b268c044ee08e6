"""What domains are made of, for print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .plots import composition_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["shares_figure"]


def shares_figure(
    shares: NDArray[np.floating],
    domains: Sequence[str],
    categories: Sequence[str],
    colors: Sequence[str],
    *,
    column: str,
    by_category: bool = False,
) -> Figure:
    """Stacked bars of domains by category, or of categories by domain.

    Parameters
    ----------
    shares
        (n_domains, n_categories); rows sum to 1, or columns with ``by_category``.
    domains, categories
        Names.
    colors
        Of the categories, or of the domains with ``by_category``.
    column
        What the categories are of.
    by_category
        Whether a bar is a category.
    """
    if by_category:
        return composition_figure(
            shares.T, categories, domains, colors, label=f"Share of the spots of each {column}",
            rows_label=column,
        )  # fmt: skip
    figure = composition_figure(shares, domains, categories, colors, label="Share of the domain")
    legend = figure.axes[0].get_legend()
    if legend is not None:
        legend.set_title(column)
    return figure
