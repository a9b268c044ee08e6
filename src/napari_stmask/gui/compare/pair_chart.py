"""A chart whose areas are pairs of domains: pointing tells numbers, a click chooses spots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPoint, QPointF, Qt, Signal
from qtpy.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPalette
from qtpy.QtWidgets import QToolTip

from ...analysis.agreement import Agreement
from ..analyse.charts import Chart

__all__ = ["Pair", "PairChart", "Shown"]

Pair = tuple[int, int]
"""Codes of a domain of the first and of the second labeling."""
_STEPS = {
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
}


@dataclass(frozen=True, eq=False)
class Shown:
    """A comparison in colours.

    Attributes
    ----------
    found
        What is drawn.
    colors
        One ``#RRGGBB`` for each domain of the first, and of the second.
    counts
        (k, m) spots of both.
    order
        Codes of the first from top to bottom, and of the second.
    """

    found: Agreement
    colors: tuple[Sequence[str], Sequence[str]]
    counts: NDArray[np.intp] = field(init=False)
    order: tuple[list[int], list[int]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", self.found.counts.to_numpy())
        object.__setattr__(self, "order", self.found.order)

    def tell(self, pair: Pair) -> str:
        """Both domains, their spots, and what share of each these are."""
        (i, j), found = pair, self.found
        spots = int(self.counts[i, j])
        of_first, of_second = int(self.counts[i].sum()), int(self.counts[:, j].sum())
        partners = ", partners" if found.partner.get(j) == i else ""
        return (
            f"{found.titles[0]} {found.names[0][i]} and {found.titles[1]} {found.names[1][j]}"
            f"{partners}: {spots:,} spots, {spots / max(of_first, 1):.0%} of the first, "
            f"{spots / max(of_second, 1):.0%} of the second"
        )


class PairChart(Chart):
    """``chosen(first, second)`` on a click, or on Return after the arrow keys."""

    chosen = Signal(int, int)

    def __init__(self, name: str, height: int, *, axes: bool) -> None:
        super().__init__(name, height, axes=axes)
        self.shown: Shown | None = None
        self.current: Pair | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.viewport().setMouseTracking(True)

    def show_pairs(self, shown: Shown | None) -> None:
        """Draw a comparison; None draws nothing."""
        same = shown is not None and self.shown is not None and shown.found is self.shown.found
        self.shown = shown
        if not same:
            self.current = None
        self.redraw()

    def pair_at(self, x: float, y: float) -> Pair | None:
        """The pair at a place of the axes, None where there is none."""
        raise NotImplementedError

    def place_of(self, pair: Pair) -> tuple[float, float]:
        """A place of the axes inside the area of a pair."""
        raise NotImplementedError

    def pixel_of(self, pair: Pair) -> QPoint:
        """The pixel of the widget at that place."""
        point = self.mapFromScene(self.box.mapViewToScene(QPointF(*self.place_of(pair))))
        return QPoint(point.x(), point.y())

    def describe(self, text: str) -> None:
        """Say in words what is drawn; the tooltip belongs to the pairs."""
        self.setAccessibleDescription(text)

    def paper(self) -> str:
        """Colour of the background."""
        return str(self.palette().color(QPalette.ColorRole.Window).name())

    def _under(self, event: QMouseEvent) -> Pair | None:
        if self.shown is None:
            return None
        place = self.box.mapSceneToView(self.mapToScene(event.position().toPoint()))
        return self.pair_at(place.x(), place.y())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell the numbers of the pair under the pointer."""
        pair = self._under(event)
        if pair is None or self.shown is None:
            QToolTip.hideText()
            self.unsetCursor()
        else:
            QToolTip.showText(event.globalPosition().toPoint(), self.shown.tell(pair), self)
            self.setCursor(Qt.CursorShape.PointingHandCursor)
        super().mouseMoveEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Choose the spots of the pair under the pointer."""
        super().mouseReleaseEvent(event)
        if event.button() == Qt.MouseButton.LeftButton:
            pair = self._under(event)
            if pair is not None:
                self._choose(pair)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrow keys go to another pair, Return chooses it."""
        key = Qt.Key(event.key())
        if self.shown is None or key not in (*_STEPS, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            super().keyPressEvent(event)
            return
        if key not in _STEPS:
            if self.current is not None:
                self._choose(self.current)
        else:
            self.current = self._next(*_STEPS[key])
            self.redraw()
            place = self.mapToGlobal(self.pixel_of(self.current))
            QToolTip.showText(place, self.shown.tell(self.current), self)
        event.accept()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """The text of the current pair goes with the focus."""
        QToolTip.hideText()
        super().focusOutEvent(event)

    def _next(self, down: int, across: int) -> Pair:
        """The pair a step away in the order that is drawn; the first one to begin with."""
        assert self.shown is not None
        rows, columns = self.shown.order
        if self.current is None:
            return rows[0], columns[0]
        i = rows.index(self.current[0]) + down
        j = columns.index(self.current[1]) + across
        last = len(rows) - 1, len(columns) - 1
        return rows[min(max(i, 0), last[0])], columns[min(max(j, 0), last[1])]

    def _choose(self, pair: Pair) -> None:
        self.current = pair
        self.redraw()
        self.chosen.emit(*pair)
