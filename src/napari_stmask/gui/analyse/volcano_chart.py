"""The volcano of a domain: fold change of every gene against how certain it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QFontMetricsF

from ...viz.label_places import place_labels
from ...viz.marker_figures import CAP, HIGHER, LOWER, NEITHER, heights
from .charts import _label
from .point_chart import PointChart

__all__ = ["VolcanoChart"]

_LABELS = 12
"""Most names that are written."""


class VolcanoChart(PointChart):
    """Genes as points; those that pass are coloured and, where there is room, named."""

    def __init__(self) -> None:
        super().__init__("Volcano of the domain", 280)
        self._drawn: tuple[pd.DataFrame, NDArray[np.bool_], float, float] | None = None
        self._texts: list[pg.TextItem] = []
        self._order = np.zeros(0, dtype=np.intp)
        self._p = np.zeros(0)
        self._marked = ""
        self._ring: pg.ScatterPlotItem | None = None

    def show_genes(
        self, table: pd.DataFrame, passes: NDArray[np.bool_], *, max_p: float, min_fold: float
    ) -> None:
        """Draw the genes of one domain, see `viz.marker_figures.volcano_figure`."""
        self._drawn = (table, passes, max_p, min_fold)
        self.redraw()

    def mark(self, gene: str) -> None:
        """Ring a gene; empty for none."""
        self._marked = gene
        if self._ring is not None:
            self.box.removeItem(self._ring)
            self._ring = None
        if gene in self._names:
            x, y = self._places[self._names.index(gene)]
            self._ring = pg.ScatterPlotItem(
                [x], [y], size=14, brush=None, pen=pg.mkPen(self.ink(), width=2)
            )
            self.box.addItem(self._ring)

    def redraw(self) -> None:
        """Draw again in the colours of the theme."""
        self.box.clear()
        self._texts, self._ring = [], None
        self._hold(np.zeros((0, 2)), [])
        if self._drawn is None:
            return
        table, passes, max_p, min_fold = self._drawn
        y, capped = heights(table["p_adjusted"].to_numpy(dtype=float))
        usable = np.isfinite(y)
        table, passes, y, capped = table[usable], passes[usable], y[usable], capped[usable]
        fold = table["log2_fold_change"].to_numpy(dtype=float)
        if not len(fold):
            self.describe("No gene has a p-value.")
            return
        higher, lower = passes & (fold > 0), passes & (fold <= 0)
        for rows, color in ((~passes, NEITHER), (lower, LOWER), (higher, HIGHER)):
            for shape, part in (("o", rows & ~capped), ("t1", rows & capped)):
                self.box.addItem(
                    pg.ScatterPlotItem(
                        fold[part], y[part], symbol=shape, size=5 if shape == "o" else 8,
                        brush=pg.mkBrush(color), pen=None,
                    )
                )  # fmt: skip
        wide = max(float(np.abs(fold).max()) * 1.08, min_fold * 1.2, 0.1)
        high = max(float(y.max()) * 1.1, 1.0)
        dashes = pg.mkPen(QColor("#8c8c8c"), style=Qt.PenStyle.DashLine)
        if max_p < 1:
            level = min(-np.log10(max(max_p, 1e-300)), CAP)
            self.box.addItem(pg.PlotCurveItem([-wide, wide], [level, level], pen=dashes))
        for x in (-min_fold, min_fold) if min_fold else ():
            self.box.addItem(pg.PlotCurveItem([x, x], [0, high], pen=dashes))
        self.axes[0].setLabel("\u2212log10 adjusted p")
        self.axes[1].setLabel("log2 fold change")
        self.box.setRange(xRange=(-wide, wide), yRange=(-0.03 * high, high), padding=0)
        names = table["gene"].astype(str).tolist()
        self._p = table["p_adjusted"].to_numpy(dtype=float)
        self._hold(np.column_stack([fold, y]), names)
        self._order = np.flatnonzero(passes)
        strength = np.abs(fold[self._order]) * y[self._order]
        self._order = self._order[np.argsort(-strength, kind="stable")][: 4 * _LABELS]
        self._placed()
        self.mark(self._marked)
        best = ", ".join(names[i] for i in self._order[:5]) or "none"
        self.describe(
            f"{len(names)} genes; {int(higher.sum())} pass and are higher in the domain, "
            f"{int(lower.sum())} lower; strongest: {best}."
        )

    def hint(self, point: int) -> str:
        """Gene, fold change and p-value."""
        p = self._p[point]
        said = "< 1e-300" if p < 10.0**-CAP else format(p, ".1e")
        fold = self._places[point, 0]
        return f"{self._names[point]}: log2 fold change {fold:.2f}, adjusted p {said}"

    def _placed(self) -> None:
        """Write names where they cover neither one another nor a named point."""
        for text in self._texts:
            self.box.removeItem(text)
        self._texts = []
        if not self._order.size or self._order.max() >= len(self._places):
            return
        field = self.box.sceneBoundingRect()
        corner = (field.left(), field.top())
        items = [_label(self._names[i], self.ink(), 0, 0, size=8) for i in self._order]
        metrics = QFontMetricsF(items[0].textItem.font())
        sizes = np.array([(metrics.horizontalAdvance(self._names[i]) + 4, metrics.height())
                          for i in self._order])  # fmt: skip
        points = self.pixels(self._places[self._order]) - corner
        found = place_labels(points, sizes, (field.width(), field.height()))
        view = self.box.viewRect()
        for item, place, size in zip(items, found, sizes, strict=True):
            if place is None or len(self._texts) == _LABELS:
                continue
            x, y = np.add(place, size / 2) / (field.width(), field.height())
            item.setPos(view.left() + x * view.width(), view.top() + (1 - y) * view.height())
            self.box.addItem(item, ignoreBounds=True)
            self._texts.append(item)

    @property
    def labels(self) -> list[str]:
        """Names that are written."""
        return [text.textItem.toPlainText() for text in self._texts]
