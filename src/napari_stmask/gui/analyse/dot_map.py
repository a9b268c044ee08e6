"""A map of dots, genes or spots: alike ones near each other; pan, zoom, hover, click and lasso."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtWidgets import QToolTip

from ...core.errors import ParameterError
from ...features.regions import inside_polygons
from ..parts import plain_tip
from .charts import Chart

__all__ = ["DotMap"]

_HEIGHT = 300
_DOT, _RING = 6, 11
"""Diameters in pixels."""
_NEAR, _STILL = 8, 4
"""Pixels from the pointer to a dot that it means, and that a click may move."""


class DotMap(Chart):
    """``lassoed(rows)`` after a lasso, ``clicked(row)`` after a click on a dot."""

    lassoed = Signal(object)
    clicked = Signal(int)

    def __init__(self, name: str, noun: str) -> None:
        super().__init__(name, _HEIGHT, axes=False)
        self.noun = noun
        self.ci.layout.setContentsMargins(0, 0, 0, 0)
        self.box.setMouseEnabled(True, True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.lasso = False
        self.points = np.zeros((0, 2))
        self.names: Sequence[str] = ()
        self.chosen = np.zeros(0, dtype=np.intp)
        self._path: list[QPointF] | None = None
        self._pressed: QPointF | None = None
        self.dots = pg.ScatterPlotItem(size=_DOT, pen=None, pxMode=True)
        self.rings = pg.ScatterPlotItem(size=_RING, brush=None, pxMode=True)
        self.outline = pg.PlotCurveItem(antialias=True)
        for item in (self.dots, self.rings, self.outline):
            self.box.addItem(item)

    def show_points(self, points: NDArray[np.floating[Any]], names: Sequence[str]) -> None:
        """Draw (n, 2) places of what ``names`` tells."""
        self.points, self.names = np.asarray(points, dtype=float), names
        self.chosen = np.zeros(0, dtype=np.intp)
        self.dots.setData(*self.points.T)
        self.mark(self.chosen)
        self.whole()

    def clear_points(self) -> None:
        """Draw nothing."""
        self.show_points(np.zeros((0, 2)), ())

    def paint(self, codes: NDArray[np.intp], colors: Sequence[str]) -> None:
        """Colour the dots: one code a dot into a few colours."""
        if len(codes) != len(self.points):
            return
        brushes = np.array([pg.mkBrush(color) for color in colors], dtype=object)
        self.dots.setBrush(list(brushes[codes]))

    def mark(self, rows: NDArray[np.intp]) -> None:
        """Put rings around some dots."""
        self.chosen = np.asarray(rows, dtype=np.intp)
        self.rings.setData(*self.points[self.chosen].T, pen=pg.mkPen(self.ink(), width=2))
        self.describe(
            f"{len(self.points):,} {self.noun}s, {len(self.chosen):,} of them chosen. Drag to "
            f"move, click to zoom with the wheel, click a dot for its {self.noun}."
        )

    def whole(self) -> None:
        """Bring all dots into view."""
        if not len(self.points):
            return
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        wide = np.maximum(high - low, 1e-6)
        self.box.setRange(
            xRange=(low[0] - 0.05 * wide[0], high[0] + 0.05 * wide[0]),
            yRange=(low[1] - 0.05 * wide[1], high[1] + 0.05 * wide[1]),
            padding=0,
        )

    def redraw(self) -> None:
        """Draw again in the colours of the theme."""
        self.mark(self.chosen)

    def place_of(self, row: int) -> QPointF:
        """Where a dot is on the widget."""
        return QPointF(self.mapFromScene(self.box.mapViewToScene(QPointF(*self.points[row]))))

    def nearest(self, place: QPointF) -> int | None:
        """The dot at a place of the widget."""
        if not len(self.points):
            return None
        there = self._view(place)
        wide, high = self.box.viewPixelSize()
        away = np.hypot(*((self.points - there) / (max(wide, 1e-12), max(high, 1e-12))).T)
        row = int(away.argmin())
        return row if away[row] <= _NEAR else None

    def _view(self, place: QPointF) -> NDArray[np.float64]:
        found = self.box.mapSceneToView(self.mapToScene(place.toPoint()))
        return np.array([found.x(), found.y()])

    def mousePressEvent(self, event: Any) -> None:
        """Begin a lasso, or a move of the map."""
        left = event.button() == Qt.MouseButton.LeftButton
        self._pressed = event.position() if left else None
        if left and self.lasso:
            self._path = [event.position()]
            event.accept()
            return
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: Any) -> None:
        """Draw the lasso, move the map, or name the dot below the pointer."""
        if self._path is not None:
            self._path.append(event.position())
            drawn = np.array([self._view(place) for place in self._path])
            self.outline.setData(*drawn.T, pen=pg.mkPen(self.ink(), width=1))
            event.accept()
            return
        super().mouseMoveEvent(event)
        if not event.buttons():
            row = self.nearest(event.position())
            text = plain_tip(str(self.names[row])) if row is not None else ""
            QToolTip.showText(self.mapToGlobal(event.position().toPoint()), text, self)

    def mouseReleaseEvent(self, event: Any) -> None:
        """End the lasso, or take a click."""
        path, self._path = self._path, None
        pressed, self._pressed = self._pressed, None
        if path is None:
            super().mouseReleaseEvent(event)
        self.outline.setData([], [])
        if pressed is None:
            return
        moved = event.position() - pressed
        if max(abs(moved.x()), abs(moved.y())) <= _STILL and (path is None or len(path) < 4):
            row = self.nearest(event.position())
            if row is not None:
                self.clicked.emit(row)
        elif path is not None:
            self._take(path)

    def _take(self, path: list[QPointF]) -> None:
        polygon = np.array([self._view(place) for place in path])
        try:
            inside = inside_polygons(self.points, [polygon])
        except ParameterError:
            # A line around nothing.
            return
        self.lassoed.emit(np.flatnonzero(inside))

    def wheelEvent(self, event: Any) -> None:
        """Zoom once the map was clicked; before, the page scrolls."""
        if self.hasFocus():
            pg.GraphicsLayoutWidget.wheelEvent(self, event)
        else:
            event.ignore()
