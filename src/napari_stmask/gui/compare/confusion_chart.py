"""Two labelings as a table of colours, partners on the diagonal."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QPointF, QRectF
from qtpy.QtGui import QColor, QFontMetricsF
from qtpy.QtWidgets import QGraphicsRectItem

from ...viz.agreement_figures import shaded
from ...viz.palette import readable_text
from .pair_chart import Pair, PairChart

__all__ = ["ConfusionChart"]

_NUMBERS = 9
"""Columns up to which cells carry numbers."""
_LONGEST = 10
"""Letters of a name on an axis."""
_LETTERS = 26
"""Of all names below the chart together."""
_STRIP = 0.42
"""Height of the colours of the domains beside the cells, in cells."""


class ConfusionChart(PairChart):
    """One row a domain of the first, one column a domain of the second."""

    def __init__(self) -> None:
        super().__init__("Spots of each pair of domains", 240, axes=True)
        self.box.invertY(True)

    def redraw(self) -> None:
        """Draw again in the colours of the theme."""
        self.box.clear()
        if self.shown is None:
            self.setFixedHeight(60)
            for axis in self.axes:
                axis.setTicks([[]])
                axis.setLabel("")
            self.describe("Nothing is compared.")
            return
        shown, (rows, columns) = self.shown, self.shown.order
        counts = shown.counts[np.ix_(rows, columns)]
        total = counts.sum(axis=1, keepdims=True)
        share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
        paper = self.paper()
        cells = np.stack([shaded(share[i], shown.colors[0][r], paper) for i, r in enumerate(rows)])
        image = pg.ImageItem((cells * 255).round().astype(np.uint8), axisOrder="row-major")
        image.setRect(-0.5, -0.5, len(columns), len(rows))
        self.box.addItem(image)
        self._edges(rows, columns)
        if len(columns) <= _NUMBERS:
            for i, j in np.argwhere(counts > 0):
                back = QColor(*(cells[i, j] * 255).round().astype(int).tolist()).name()
                text = pg.TextItem(str(counts[i, j]), color=readable_text(back), anchor=(0.5, 0.5))
                font = text.textItem.font()
                font.setPointSize(8)
                text.setFont(font)
                text.setPos(float(j), float(i))
                self.box.addItem(text)
        self._label(rows, columns)
        self.setFixedHeight(int(np.clip(78 + 24 * len(rows), 150, 440)))
        self.box.setRange(
            QRectF(-0.5 - _STRIP, -0.5 - _STRIP, len(columns) + _STRIP, len(rows) + _STRIP),
            padding=0,
        )
        pairs = [(found, second) for second, found in shown.found.partner.items()]
        self.describe("; ".join(shown.tell(pair) for pair in sorted(pairs)[:20]))

    def _edges(self, rows: list[int], columns: list[int]) -> None:
        """Colours of the domains, frames of partners, and the frame of the current pair."""
        assert self.shown is not None
        for side, order in enumerate((rows, columns)):
            for place, code in enumerate(order):
                start = (-0.5 - _STRIP, place - 0.5) if side == 0 else (place - 0.5, -0.5 - _STRIP)
                size = (_STRIP * 0.8, 1.0) if side == 0 else (1.0, _STRIP * 0.8)
                strip = QGraphicsRectItem(QRectF(*start, *size))
                strip.setBrush(pg.mkBrush(self.shown.colors[side][code]))
                strip.setPen(pg.mkPen(self.paper(), width=1))
                self.box.addItem(strip)
        framed = [(i, j, 1.5) for j, i in self.shown.found.partner.items()]
        if self.current is not None:
            framed.append((*self.current, 3.5))
        for i, j, width in framed:
            cell = QRectF(columns.index(j) - 0.5, rows.index(i) - 0.5, 1, 1)
            frame = QGraphicsRectItem(cell)
            frame.setPen(pg.mkPen(self.ink(), width=width))
            self.box.addItem(frame)

    def _label(self, rows: list[int], columns: list[int]) -> None:
        assert self.shown is not None
        names, titles = self.shown.found.names, self.shown.found.titles
        # Names below stand side by side and have the width of a column each.
        most = max(2, min(_LONGEST, _LETTERS // max(len(columns), 1)))
        left = [_short(names[0][r]) for r in rows]
        bottom = [_short(names[1][c], most) for c in columns]
        for axis, texts in zip(self.axes, (left, bottom), strict=True):
            axis.setTicks([list(enumerate(texts))])
        metrics = QFontMetricsF(self.font())
        widest = max(metrics.horizontalAdvance(name) for name in left)
        self.axes[0].setLabel(titles[0])
        self.axes[0].setWidth(40 + widest)
        self.axes[1].setLabel(titles[1])

    def pair_at(self, x: float, y: float) -> Pair | None:
        """The cell at a place of the axes."""
        if self.shown is None:
            return None
        (rows, columns), i, j = self.shown.order, int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
        inside = 0 <= i < len(rows) and 0 <= j < len(columns)
        return (rows[i], columns[j]) if inside else None

    def place_of(self, pair: Pair) -> tuple[float, float]:
        """The middle of a cell."""
        assert self.shown is not None
        rows, columns = self.shown.order
        middle = QPointF(columns.index(pair[1]), rows.index(pair[0]))
        return middle.x(), middle.y()


def _short(name: str, most: int = _LONGEST) -> str:
    return name if len(name) <= most else name[: most - 1] + "\u2026"
