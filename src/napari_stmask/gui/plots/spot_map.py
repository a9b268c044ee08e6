"""A map of the spots: those that are chosen keep their colour, the others fade."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtGui import QColor

from ..analyse.dot_map import DotMap

__all__ = ["SpotMap"]

_FADED = 38
"""Alpha of the spots that are not chosen, of 255."""
_SMALL, _MANY = 3, 3000
"""Diameter in pixels above so many spots."""


class SpotMap(DotMap):
    """Rings around thousands of spots would hide them; colours tell instead."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "spot")
        self._codes: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self._colors: tuple[str, ...] = ()

    def show_points(self, points: NDArray[np.floating[Any]], names: Sequence[str]) -> None:
        """Draw (n, 2) places of the spots ``names``."""
        self._codes = np.zeros(0, dtype=np.intp)
        self.dots.setSize(_SMALL if len(points) > _MANY else 6)
        super().show_points(points, names)

    def paint(self, codes: NDArray[np.intp], colors: Sequence[str]) -> None:
        """Colour the dots: one code a dot into a few colours."""
        if len(codes) != len(self.points):
            return
        self._codes, self._colors = codes, tuple(colors)
        full = [pg.mkBrush(color) for color in colors]
        faded = []
        for color in colors:
            pale = QColor(color)
            pale.setAlpha(_FADED)
            faded.append(pg.mkBrush(pale))
        brushes = np.array([*full, *faded], dtype=object)
        shift = np.zeros(len(codes), dtype=np.intp)
        if self.chosen.size:
            shift[:] = len(full)
            shift[self.chosen] = 0
        self.dots.setBrush(list(brushes[codes + shift]))

    def mark(self, rows: NDArray[np.intp]) -> None:
        """Keep the colour of some spots and fade the others; none chosen keeps all."""
        super().mark(np.zeros(0, dtype=np.intp))
        self.chosen = np.asarray(rows, dtype=np.intp)
        self.paint(self._codes, self._colors)
        self.describe(
            f"{len(self.points):,} spots, {len(self.chosen):,} of them chosen. Drag to move, "
            "click and turn the wheel to zoom, draw a lasso to choose spots on the tissue."
        )
