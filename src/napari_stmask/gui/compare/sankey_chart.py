"""Two labelings as bars, their common spots as ribbons between them."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QPointF, QRectF
from qtpy.QtGui import QColor, QFontMetricsF, QPainterPath, QPolygonF
from qtpy.QtWidgets import QGraphicsPathItem, QGraphicsRectItem

from ...viz.ribbons import Flow, Ribbon, bend, flow
from .pair_chart import Pair, PairChart, Shown

__all__ = ["SankeyChart"]

_BAR = 0.04
_LONGEST = 12
"""Letters of a name beside a bar."""


class SankeyChart(PairChart):
    """The first on the left, the second on the right."""

    def __init__(self) -> None:
        super().__init__("Flow of spots between domains", 240, axes=False)
        self.box.invertY(True)
        self.setAntialiasing(True)
        self._flow: Flow | None = None
        self._of: Shown | None = None
        self._paths: list[tuple[Ribbon, QPainterPath]] = []

    def redraw(self) -> None:
        """Draw again in the colours of the theme."""
        self.box.clear()
        if self.shown is None:
            self._flow, self._of, self._paths = None, None, []
            self.setFixedHeight(60)
            self.describe("Nothing is compared.")
            return
        shown = self.shown
        if self._of is None or self._of.found is not shown.found or self._flow is None:
            self._flow = flow(shown.counts, *shown.order)
            self._paths = [(r, _path(r)) for r in self._flow.ribbons]
        self._of = shown
        self.setFixedHeight(int(np.clip(50 + 24 * max(shown.counts.shape), 150, 440)))
        for ribbon, path in self._paths:
            item = QGraphicsPathItem(path)
            color = QColor(shown.colors[0][ribbon.first])
            color.setAlphaF(0.55)
            item.setBrush(pg.mkBrush(color))
            current = (ribbon.first, ribbon.second) == self.current
            item.setPen(pg.mkPen(self.ink(), width=2) if current else pg.mkPen(None))
            self.box.addItem(item)
        margin = self._bars(shown, self._flow)
        self.box.setRange(QRectF(-margin, -0.03, 1 + 2 * margin, 1.06), padding=0)
        most = self._flow.ribbons[:20]
        self.describe("; ".join(shown.tell((r.first, r.second)) for r in most))

    def _bars(self, shown: Shown, shape: Flow) -> float:
        """Bars with their names; returns the room that names need, in widths of the field."""
        metrics = QFontMetricsF(self.font())
        widest = 0.0
        line = metrics.height() / max(self.height(), 1)
        for side, ends in enumerate((shape.left, shape.right)):
            below = -1.0
            for code in shown.order[side]:
                top, bottom = ends[code]
                bar = QGraphicsRectItem(
                    QRectF(-_BAR if side == 0 else 1.0, top, _BAR, bottom - top)
                )
                bar.setBrush(pg.mkBrush(shown.colors[side][code]))
                bar.setPen(pg.mkPen(self.ink(), width=1))
                self.box.addItem(bar)
                middle = (top + bottom) / 2
                if middle - line / 2 < below:
                    # It would cover the name above.
                    continue
                below = middle + line / 2
                name = shown.found.names[side][code]
                short = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "\u2026"
                widest = max(widest, metrics.horizontalAdvance(short))
                text = pg.TextItem(short, color=self.ink(), anchor=(1 - side, 0.5))
                text.setPos(-_BAR if side == 0 else 1 + _BAR, middle)
                self.box.addItem(text)
        room = (widest + 14) / max(self.width() - 2 * (widest + 14), 80)
        return float(_BAR + room * (1 + 2 * _BAR))

    def pair_at(self, x: float, y: float) -> Pair | None:
        """The ribbon at a place of the axes; of several the thinnest, which others would hide."""
        found = [r for r, path in self._paths if path.contains(QPointF(x, y))]
        return (found[-1].first, found[-1].second) if found else None

    def place_of(self, pair: Pair) -> tuple[float, float]:
        """Just inside the left end of a ribbon; the middle of the field for a pair without."""
        for ribbon, _ in self._paths:
            if (ribbon.first, ribbon.second) == pair:
                return 0.01, (ribbon.left[0] + ribbon.left[1]) / 2
        return 0.5, 0.5

    def _next(self, down: int, across: int) -> Pair:
        """Ribbons from top to bottom at their left ends."""
        pairs = [
            (ribbon.first, ribbon.second)
            for ribbon, _ in sorted(self._paths, key=lambda made: made[0].left)
        ]
        if self.current not in pairs:
            return pairs[0]
        place = pairs.index(self.current) + down + across
        return pairs[min(max(place, 0), len(pairs) - 1)]

    def resizeEvent(self, event: object) -> None:
        """Names keep their room."""
        super().resizeEvent(event)
        if getattr(self, "_flow", None) is not None and self.shown is not None:
            self.redraw()


def _path(ribbon: Ribbon) -> QPainterPath:
    path = QPainterPath()
    path.addPolygon(QPolygonF([QPointF(*point) for point in bend(ribbon).tolist()]))
    path.closeSubpath()
    return path
