"""Genes in domains as dots: how many spots show a gene, and how much of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyqtgraph as pg
from qtpy.QtCore import QRectF
from qtpy.QtGui import QFontMetricsF

from .point_chart import PointChart

__all__ = ["DotChart"]

_LARGEST = 17
"""Diameter in pixels of a dot for all spots."""
_ROW = 18


class DotChart(PointChart):
    """One row a gene and one column a domain; a click chooses the gene."""

    def __init__(self) -> None:
        super().__init__("Markers in all domains", 240)
        self.box.invertY(True)
        self._map = pg.colormap.get("viridis")
        self._drawn: tuple[pd.DataFrame, pd.DataFrame] | None = None

    def show_dots(self, shares: pd.DataFrame, means: pd.DataFrame) -> None:
        """Draw two tables, domains x genes, see `DomainExpression.of`."""
        self._drawn = (shares, means)
        self.redraw()

    def redraw(self) -> None:
        """Draw again in the colours of the theme."""
        self.box.clear()
        self._hold(np.zeros((0, 2)), [])
        if self._drawn is None or self._drawn[0].empty:
            self.setFixedHeight(60)
            self._name_axis(0, [])
            self._name_axis(1, [])
            self.describe("No gene passes.")
            return
        shares, means = self._drawn
        genes, domains = [str(g) for g in shares.columns], [str(d) for d in shares.index]
        self.setFixedHeight(60 + _ROW * len(genes))
        y, x = (grid.ravel() for grid in np.mgrid[: len(genes), : len(domains)])
        share, mean = shares.to_numpy().T.ravel(), means.to_numpy().T.ravel()
        low, high = float(mean.min()), float(mean.max())
        level = (mean - low) / (high - low) if high > low else np.zeros_like(mean)
        colors = self._map.map(level, mode="qcolor")
        # Area says the share; the smallest dots stay visible.
        size = np.maximum(_LARGEST * np.sqrt(share), np.where(share > 0, 2.0, 0.0))
        self.box.addItem(
            pg.ScatterPlotItem(
                x.astype(float), y.astype(float), size=size,
                brush=[pg.mkBrush(c) for c in colors], pen=pg.mkPen(self.ink(), width=0.5),
            )
        )  # fmt: skip
        self.axes[0].setTicks([list(enumerate(genes))])
        self._name_axis(1, domains)
        # The axis leaves out names that are wider than itself.
        metrics = QFontMetricsF(self.font())
        self.axes[0].setWidth(18 + max(metrics.horizontalAdvance(name) for name in genes))
        self.axes[1].setLabel("domain")
        self.box.setRange(QRectF(-0.6, -0.6, len(domains) + 0.2, len(genes) + 0.2), padding=0)
        self._hold(np.column_stack([x, y]).astype(float), [genes[i] for i in y])
        top = shares.to_numpy().argmax(axis=0)
        self.describe(
            "; ".join(f"{g}: most spots in {domains[t]}" for g, t in zip(genes, top, strict=True))
        )

    def hint(self, point: int) -> str:
        """Gene, domain and both numbers."""
        assert self._drawn is not None
        shares, means = self._drawn
        i, j = divmod(point, len(shares))
        share, mean = float(shares.to_numpy()[j, i]), float(means.to_numpy()[j, i])
        gene, domain = str(shares.columns[i]), str(shares.index[j])
        return f"{gene} in domain {domain}: {share:.0%} of the spots, mean {mean:.2f}"
