"""A chart whose points have names: pointing shows one, a click chooses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QToolTip

from .charts import Chart

__all__ = ["PointChart"]

_NEAR = 9.0
"""Farthest a click may be from a point, in pixels."""


class PointChart(Chart):
    """``chosen(name)`` on a click at a point; the table beside it does the same by keyboard."""

    chosen = Signal(str)

    def __init__(self, name: str, height: int) -> None:
        super().__init__(name, height)
        self._places = np.zeros((0, 2))
        self._names: list[str] = []
        self.setMouseTracking(True)
        self.viewport().setMouseTracking(True)

    def _hold(self, places: NDArray[np.float64], names: Sequence[str]) -> None:
        """The points that can be chosen, and what a click says."""
        self._places, self._names = places, list(names)

    def hint(self, point: int) -> str:
        """What pointing at a point shows."""
        return self._names[point]

    def pixels(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) pixels of the widget at (n, 2) positions of the axes."""
        if not len(places):
            return np.zeros((0, 2))
        view, field = self.box.viewRect(), self.box.sceneBoundingRect()
        x = field.left() + (places[:, 0] - view.left()) / view.width() * field.width()
        across = (places[:, 1] - view.top()) / view.height()
        down = across if self.box.yInverted() else 1 - across
        return np.column_stack([x, field.top() + down * field.height()])

    def point_at(self, x: float, y: float) -> int:
        """Number of the point at a pixel of the widget; -1 where there is none."""
        if not len(self._places):
            return -1
        distance = np.hypot(*(self.pixels(self._places) - (x, y)).T)
        distance[~np.isfinite(distance)] = np.inf
        best = int(np.argmin(distance))
        return best if distance[best] <= _NEAR else -1

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Name the point under the pointer."""
        place = event.position()
        found = self.point_at(place.x(), place.y())
        if found < 0:
            QToolTip.hideText()
            self.unsetCursor()
        else:
            QToolTip.showText(event.globalPosition().toPoint(), self.hint(found), self)
            self.setCursor(Qt.CursorShape.PointingHandCursor)
        super().mouseMoveEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Choose the point under the pointer."""
        super().mouseReleaseEvent(event)
        if event.button() != Qt.MouseButton.LeftButton:
            return
        place = event.position()
        found = self.point_at(place.x(), place.y())
        if found >= 0:
            self.chosen.emit(self._names[found])

    def describe(self, text: str) -> None:
        """Say in words what is drawn; the tooltip belongs to the points."""
        self.setAccessibleDescription(text)

    def _placed(self) -> None:
        """The field has another size: labels that depend on pixels move."""

    def resizeEvent(self, event: Any) -> None:
        """Place again what lies in pixels."""
        super().resizeEvent(event)
        if hasattr(self, "_places"):
            self._placed()
