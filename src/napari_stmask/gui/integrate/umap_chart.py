"""Two layouts of the same spots, before and after, by section and by domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray

from ..analyse.charts import Chart

__all__ = ["UmapChart"]

_HEIGHT = 420
_HEADS = (
    ("Before, by section", "Before, by domain"),
    ("After, by section", "After, by domain"),
)


class UmapChart(Chart):
    """Four fields of dots: rows before and after, columns by section and by domain."""

    def __init__(self, name: str) -> None:
        super().__init__(name, _HEIGHT, axes=False)
        self.ci.layout.setContentsMargins(0, 0, 0, 0)
        self.removeItem(self.box)
        self._heads: list[pg.LabelItem] = []
        self.boxes: list[list[pg.ViewBox]] = []
        self.dots: list[list[pg.ScatterPlotItem]] = []
        for row, heads in enumerate(_HEADS):
            boxes, dots = [], []
            for column, head in enumerate(heads):
                label = pg.LabelItem(head, size="8pt")
                self.addItem(label, row=2 * row, col=column)
                box = pg.ViewBox(enableMenu=False, enableMouse=False)
                self.addItem(box, row=2 * row + 1, col=column)
                dot = pg.ScatterPlotItem(size=2.5, pen=None, pxMode=True)
                box.addItem(dot)
                self._heads.append(label)
                boxes.append(box)
                dots.append(dot)
            self.boxes.append(boxes)
            self.dots.append(dots)
        self.redraw()

    def show_layouts(
        self,
        layouts: Sequence[NDArray[np.float32]],
        kinds: Sequence[tuple[NDArray[Any], Sequence[str]]],
        said: str,
    ) -> None:
        """Draw the (n, 2) layouts before and after in two kinds of colours.

        Parameters
        ----------
        layouts
            Before and after; rows that are NaN are left out.
        kinds
            Sections and domains: (n,) codes and the colours that they index.
        said
            What is seen, in words.
        """
        for points, dots, boxes in zip(layouts, self.dots, self.boxes, strict=True):
            rows = np.flatnonzero(np.isfinite(points).all(axis=1))
            # In a mixed order, so that no section covers the others.
            rows = np.random.default_rng(0).permutation(rows)
            for (codes, colors), dot, box in zip(kinds, dots, boxes, strict=True):
                brushes = np.array([pg.mkBrush(color) for color in colors], dtype=object)
                dot.setData(*points[rows].T, brush=list(brushes[codes[rows]]))
                box.autoRange(padding=0.05)
        self.describe(said)

    def clear_layouts(self) -> None:
        """Draw nothing."""
        for dots in self.dots:
            for dot in dots:
                dot.clear()

    def redraw(self) -> None:
        """Heads in the colour of the theme."""
        for label in getattr(self, "_heads", ()):
            label.setText(label.text, color=self.ink())
