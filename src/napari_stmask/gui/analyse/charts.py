"""Small charts of analyses, in the colours of the domains and of napari's theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF
from qtpy.QtGui import QColor, QPalette, QPolygonF
from qtpy.QtWidgets import QGraphicsPolygonItem, QWidget
from scipy.stats import gaussian_kde

from ...viz.palette import readable_text
from ...viz.plots import MIN_LINK
from ..parts import plain_label, plain_tip

__all__ = ["BarChart", "Chart", "GraphChart", "HeatChart", "ViolinChart", "titled"]

_MAX_KDE = 2000
_FLAT, _TALL = 120, 240
"""Height of a graph in pixels."""
_LONGEST = 9
"""Letters of a domain's name on an axis."""


class Chart(pg.GraphicsLayoutWidget):
    """Axes and a field, from parts: a whole PlotItem brings menus without an owner."""

    def __init__(self, name: str, height: int, *, axes: bool = True) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setFixedHeight(height)
        self.setMinimumWidth(200)
        self.ci.layout.setContentsMargins(0, 4, 8, 8)
        self.box = pg.ViewBox(enableMenu=False, enableMouse=False)
        self.axes: list[pg.AxisItem] = []
        self.addItem(self.box, row=0, col=1)
        if axes:
            self.axes = [pg.AxisItem(side, linkView=self.box) for side in ("left", "bottom")]
            self.addItem(self.axes[0], row=0, col=0)
            self.addItem(self.axes[1], row=1, col=1)
        self._style()

    def ink(self) -> QColor:
        """Colour of lines and text."""
        return QColor(self.palette().color(QPalette.ColorRole.WindowText))

    def describe(self, text: str) -> None:
        """Say in words what is drawn, for those who cannot see it."""
        self.setAccessibleDescription(text)
        self.setToolTip(plain_tip(text))

    def redraw(self) -> None:
        """Draw again in the colours of the theme."""

    def _style(self) -> None:
        if not hasattr(self, "axes"):
            return
        self.setBackground(self.palette().color(QPalette.ColorRole.Window))
        for axis in self.axes:
            axis.setPen(self.ink())
            axis.setTextPen(self.ink())

    def changeEvent(self, event: QEvent) -> None:
        """Follow napari's theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._style()
            if hasattr(self, "axes"):
                self.redraw()

    # The page scrolls; a chart has nothing to zoom.
    def wheelEvent(self, event: Any) -> None:
        """Leave the wheel to the page."""
        event.ignore()

    def _name_axis(self, axis: int, names: Sequence[str]) -> None:
        self.axes[axis].setTicks([[(i, _short(name)) for i, name in enumerate(names)]])


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "\u2026"


def _label(text: str, color: QColor | str, x: float, y: float, size: int = 9) -> pg.TextItem:
    item = pg.TextItem(text, color=color, anchor=(0.5, 0.5))
    font = item.textItem.font()
    font.setPointSize(size)
    item.setFont(font)
    item.setPos(x, y)
    return item


class GraphChart(Chart):
    """Domains as discs of an area like their size, joined by lines as thick as their link."""

    def __init__(self, name: str) -> None:
        super().__init__(name, _TALL, axes=False)
        self.box.setAspectLocked(True)
        self._drawn: tuple[Any, ...] | None = None

    def show_graph(
        self,
        links: NDArray[np.floating[Any]],
        positions: NDArray[np.floating[Any]],
        names: Sequence[str],
        colors: Sequence[str],
        sizes: Sequence[int],
    ) -> None:
        """Draw the graph; links below 0.05 are left out."""
        self._drawn = (links, positions, names, colors, sizes)
        self.redraw()

    def redraw(self) -> None:
        """Draw again in the colours of the theme."""
        self.box.clear()
        if self._drawn is None:
            return
        links, positions, names, colors, sizes = self._drawn
        strong = [
            (i, j) for i in range(len(names)) for j in range(i) if links[i, j] >= MIN_LINK
        ]  # fmt: skip
        for i, j in strong:
            pen = pg.mkPen(QColor("#8c8c8c"), width=1 + 6 * float(links[i, j]))
            self.box.addItem(pg.PlotCurveItem(*positions[[i, j]].T, pen=pen, antialias=True))
        area = np.asarray(sizes) / max(np.max(sizes), 1)
        dots = pg.ScatterPlotItem(
            *np.asarray(positions).T,
            size=22 + 22 * np.sqrt(area),
            brush=[pg.mkBrush(c) for c in colors],
            pen=pg.mkPen(self.ink(), width=1),
        )
        self.box.addItem(dots)
        for (x, y), name, color in zip(positions, names, colors, strict=True):
            self.box.addItem(_label(_short(name), readable_text(color), x, y))
        low, high = np.min(positions, axis=0), np.max(positions, axis=0)
        margin = 0.18 * max(float((high - low).max()), 1e-3)
        # A chain of domains lies flat and needs less room.
        wide, tall = (high - low) + 2 * margin
        self.setFixedHeight(round(np.clip(340 * tall / wide, _FLAT, _TALL)))
        self.box.setRange(
            xRange=(low[0] - margin, high[0] + margin), yRange=(low[1] - margin, high[1] + margin),
            padding=0,
        )  # fmt: skip
        self.describe(
            "; ".join(f"{names[i]} to {names[j]}: {links[i, j]:.2f}" for i, j in strong)
            or "No domains are linked."
        )


class ViolinChart(Chart):
    """One violin a domain, with its quartiles."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 240)
        self._drawn: tuple[Any, ...] | None = None

    def show_violins(
        self,
        values: Mapping[str, NDArray[np.floating[Any]]],
        colors: Sequence[str],
        label: str,
        *,
        least: float = 0.0,
    ) -> None:
        """Draw one violin for each entry of ``values``; the axis spans ``least`` at least."""
        self._drawn = (values, colors, label, least)
        self.redraw()

    def redraw(self) -> None:
        """Draw again in the colours of the theme."""
        self.box.clear()
        if self._drawn is None:
            return
        values, colors, label, least = self._drawn
        said, ends = [], []
        for x, (name, color) in enumerate(zip(values, colors, strict=True)):
            y, width = _outline(values[name])
            ends += [y.min(), y.max()]
            body = QPolygonF(
                [QPointF(x + w, v) for w, v in zip(width, y, strict=True)]
                + [QPointF(x - w, v) for w, v in zip(width[::-1], y[::-1], strict=True)]
            )
            shape = QGraphicsPolygonItem(body)
            shape.setBrush(pg.mkBrush(color))
            shape.setPen(pg.mkPen(self.ink(), width=1))
            self.box.addItem(shape)
            low, middle, high = np.quantile(values[name], (0.25, 0.5, 0.75))
            ink = readable_text(color)
            for xs, ys, thick in (([x, x], [low, high], 3), ([x - 0.1, x + 0.1], [middle] * 2, 2)):
                self.box.addItem(pg.PlotCurveItem(xs, ys, pen=pg.mkPen(ink, width=thick)))
            said.append(f"{name}: median {middle:.2f}, quartiles {low:.2f} and {high:.2f}")
        self._name_axis(1, list(values))
        self.axes[0].setLabel(label)
        self.axes[1].setLabel("domain")
        spread = max(ends) - min(ends)
        margin = max(0.03 * max(spread, 1e-6), (least - spread) / 2)
        self.box.setRange(
            xRange=(-0.6, len(values) - 0.4), yRange=(min(ends) - margin, max(ends) + margin),
            padding=0,
        )  # fmt: skip
        self.describe("; ".join(said))


def _outline(values: NDArray[np.floating[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Heights and half widths of a violin; a line where there is no spread."""
    low, high = float(values.min()), float(values.max())
    if values.size < 3 or high - low <= 1e-9 * max(abs(low), abs(high), 1.0):
        return np.array([low, high]), np.array([0.35, 0.35])
    shown = values
    if values.size > _MAX_KDE:
        shown = np.random.default_rng(0).choice(values, _MAX_KDE, replace=False)
        low, high = float(shown.min()), float(shown.max())
    y = np.linspace(low, high, 64)
    density = gaussian_kde(shown)(y)
    return y, 0.42 * density / density.max()


class BarChart(Chart):
    """Stacked bars: one a row, one colour a domain."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 200)
        self.box.invertY(True)
        # Else 0 and 1, half of which hang over the ends of the axis, are left out.
        self.axes[1].setStyle(hideOverlappingLabels=False)
        self.ci.layout.setContentsMargins(0, 4, 14, 8)

    def show_shares(
        self,
        shares: NDArray[np.floating[Any]],
        rows: Sequence[str],
        names: Sequence[str],
        colors: Sequence[str],
        label: str,
    ) -> None:
        """Draw (n_rows, k) shares of domains ``names``, rows sum to 1; NaN counts as 0."""
        self.box.clear()
        shares = np.nan_to_num(shares)
        left = np.zeros(len(rows))
        for share, color in zip(shares.T, colors, strict=True):
            self.box.addItem(
                pg.BarGraphItem(
                    x0=left, y=np.arange(len(rows)), width=share, height=0.8, brush=color,
                    pen=pg.mkPen(None),
                )
            )  # fmt: skip
            left = left + share
        self._name_axis(0, rows)
        self.axes[1].setTicks([[(v, f"{v:g}") for v in (0, 0.25, 0.5, 0.75, 1)]])
        self.axes[1].setLabel(label)
        self.setFixedHeight(70 + 18 * max(len(rows), 2))
        self.box.setRange(xRange=(0, 1), yRange=(-0.5, len(rows) - 0.5), padding=0)
        self.describe(
            "; ".join(
                f"{name}: {_most(row, names)}" for name, row in zip(rows, shares, strict=True)
            )
        )


def _most(row: NDArray[np.floating[Any]], names: Sequence[str]) -> str:
    best = np.argsort(-row)[:2]
    return ", ".join(f"{row[i]:.0%} {names[i]}" for i in best if row[i] > 0)


class HeatChart(Chart):
    """A square table of domains as colours, with its numbers."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 240)
        self.box.invertY(True)
        self._map = pg.colormap.get("inferno")

    def show_square(self, values: NDArray[np.floating[Any]], names: Sequence[str]) -> None:
        """Draw (k, k) numbers; the row is the domain that is asked about."""
        self.box.clear()
        shown = np.nan_to_num(np.asarray(values, dtype=float))
        image = pg.ImageItem(shown, axisOrder="row-major")
        image.setColorMap(self._map)
        # Each domain touches itself most; the colours are for the others.
        others = shown[~np.eye(len(names), dtype=bool)]
        top = max(float(others.max(initial=0.0)), 1e-9)
        image.setLevels((0.0, top))
        image.setRect(-0.5, -0.5, len(names), len(names))
        self.box.addItem(image)
        if len(names) <= 10:
            for i, row in enumerate(np.asarray(values)):
                for j, value in enumerate(row):
                    back = self._map.map(min(shown[i, j] / top, 1.0), mode="qcolor")
                    text = (
                        "\u2013" if np.isnan(value) else f"{value:.2f}" if value >= 0.005 else "0"
                    )
                    self.box.addItem(_label(text, readable_text(back.name()), j, i, size=8))
        self._name_axis(0, names)
        self._name_axis(1, names)
        self.axes[0].setLabel("domain")
        self.axes[1].setLabel("its neighbours")
        self.setFixedHeight(int(np.clip(80 + 26 * len(names), 160, 420)))
        side = (-0.5, len(names) - 0.5)
        self.box.setRange(xRange=side, yRange=side, padding=0)
        self.describe(
            "; ".join(
                f"{name} touches {_most(row, names)}"
                for name, row in zip(names, shown, strict=True)
            )
        )


def titled(text: str) -> QWidget:
    """A small heading above a chart or table."""
    label = plain_label(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label
