"""How many spots show how much, with two lines that limit the colours."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor

from ..analyse.charts import Chart
from ..guard import slot
from ..limits import Limits, ordered

__all__ = ["Histogram"]

_BINS = 48
_APART = 3
"""Distance of the bar of zeros from the others, in widths of a bar."""
_BAR, _ZERO = "#5B8DB8", "#9E9E9E"
_LINE = {"low": "#D55E00", "high": "#009E73"}


class Histogram(Chart):
    """``dragged(low, high)`` while a line is moved."""

    dragged = Signal(float, float)

    def __init__(self, name: str) -> None:
        super().__init__(name, 150)
        self._values: NDArray[np.floating] | None = None
        self._unit = ""
        self._limits: Limits = (0.0, 1.0)
        self._bars: list[pg.BarGraphItem] = []
        # Both axes get their labels with the first gene, after their room was given.
        self.axes[0].setWidth(52)
        self.axes[1].setHeight(40)
        self.lines = []
        for which, place in (("low", 0.92), ("high", 0.78)):
            line = pg.InfiniteLine(
                angle=90,
                movable=True,
                pen=pg.mkPen(_LINE[which], width=3),
                hoverPen=pg.mkPen(_LINE[which], width=6),
                label=which,
                labelOpts={"position": place, "color": _LINE[which], "movable": False},
            )
            line.setCursor(Qt.CursorShape.SizeHorCursor)
            line.sigDragged.connect(self._on_dragged)
            line.hide()
            self.lines.append(line)
            self.box.addItem(line)

    def show_values(self, values: NDArray[np.floating] | None, unit: str) -> None:
        """Draw other values; None draws nothing."""
        self._values, self._unit = values, unit
        self.redraw()

    def show_limits(self, limits: Limits) -> None:
        """Put the lines where the colours end; says nothing."""
        self._limits = limits
        for line, value in zip(self.lines, limits, strict=True):
            line.blockSignals(True)
            line.setValue(value)
            line.blockSignals(False)
        self._range()

    def redraw(self) -> None:
        """Draw again in the colours of the theme."""
        for bar in self._bars:
            self.box.removeItem(bar)
        self._bars = []
        for line in self.lines:
            line.setVisible(self._values is not None)
        if self._values is None:
            self.describe("No gene is shown.")
            return
        known = ordered(self._values)
        zeros = int((np.asarray(self._values) == 0).sum())
        low, high = (float(known[0]), float(known[-1])) if known.size else (0.0, 1.0)
        low, high = min(low, 0.0), max(high, low + 1e-6)
        counts, edges = np.histogram(known, bins=_BINS, range=(low, high))
        wide = (high - low) / _BINS
        top = max(int(counts.max(initial=0)), 1)
        ink = pg.mkPen(QColor(self.ink()), width=0.5)
        drawn = [((edges[:-1] + edges[1:]) / 2, counts, _BAR)]
        if zeros:
            # Most spots show nothing of most genes: their bar is cut, its number is written.
            drawn.append((np.array([low - _APART * wide]), np.array([min(zeros, top)]), _ZERO))
        for x, height, color in drawn:
            bar = pg.BarGraphItem(x=x, height=height, width=wide, brush=color, pen=ink)
            self._bars.append(bar)
            self.box.addItem(bar)
        self._span = (low - (_APART + 2) * wide if zeros else low - wide, high + wide, 1.15 * top)
        self._range()
        self.axes[0].setLabel("spots")
        self.axes[1].setLabel(self._unit)
        self.describe(
            f"{known.size:,} spots with values from {low:.3g} to {high:.3g} {self._unit}, and "
            f"{zeros:,} with 0 in the bar at the left. Drag the lines to limit the colours."
        )

    def _range(self) -> None:
        if self._values is None:
            return
        low, high, top = self._span
        near, far = self._limits
        edge = 0.02 * (high - low)
        self.box.setRange(
            xRange=(min(low, near - edge), max(high, far + edge)), yRange=(0, top), padding=0
        )

    @slot
    def _on_dragged(self) -> None:
        low, high = sorted(line.value() for line in self.lines)
        self._limits = (low, high)
        self.dragged.emit(low, high)
