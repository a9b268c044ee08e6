"""Two small maps of the tissue, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray

from ...viz.raster import SpotRaster
from .charts import Chart

__all__ = ["MapPair"]

_SIDE = 220
"""Most pixels of a map along a side."""
_TALLEST = 260


class MapPair(Chart):
    """The same spots twice, each with its own numbers and its own limit."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 200, axes=False)
        self._map = pg.colormap.get("viridis")
        self.ci.layout.setContentsMargins(0, 0, 0, 0)
        self.ci.layout.setHorizontalSpacing(6)
        self.other = pg.ViewBox(enableMenu=False, enableMouse=False)
        self.addItem(self.other, row=0, col=2)
        for box in (self.box, self.other):
            box.invertY(True)
            box.setAspectLocked(True)

    def show_maps(
        self,
        raster: SpotRaster,
        values: Sequence[NDArray[np.floating]],
        tops: Sequence[float],
        said: str,
        *,
        lows: Sequence[float] = (0.0, 0.0),
    ) -> None:
        """Draw both; colours run from ``lows`` to ``tops``, and ``said`` tells what is seen."""
        step = max(1, int(np.ceil(max(raster.index.shape) / _SIDE)))
        index = raster.index[::step, ::step]
        boxes = (self.box, self.other)
        for box, own, low, top in zip(boxes, values, lows, tops, strict=True):
            box.clear()
            share = np.clip((np.append(own, np.nan)[index] - low) / (top - low), 0, 1)
            colors = self._map.map(np.nan_to_num(share), mode="byte")
            colors[np.isnan(share)] = 0
            box.addItem(pg.ImageItem(colors, axisOrder="row-major"))
            box.autoRange(padding=0.02)
        tall = index.shape[0] / max(index.shape[1], 1)
        self.setFixedHeight(int(np.clip(165 * tall, 80, _TALLEST)))
        self.describe(said)

    def clear_maps(self) -> None:
        """Draw nothing."""
        for box in (self.box, self.other):
            box.clear()
