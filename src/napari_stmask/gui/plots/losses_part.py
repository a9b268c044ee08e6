"""How the losses of a run fell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyqtgraph as pg
from qtpy.QtWidgets import QComboBox, QFormLayout

from ...viz.curves import curves_figure
from ...viz.palette import PALETTE
from ..analyse.charts import Chart
from ..guard import slot
from ..model import DomainSet, Item
from ..parts import narrow_combo
from .part import PlotPart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CurveChart", "LossesPart"]

_ALL = ""
_POINTS = 2000


class CurveChart(Chart):
    """Curves over the epochs."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 260)
        self.curves: dict[str, list[float]] = {}
        self._label = ""

    def show_curves(self, curves: dict[str, list[float]], label: str) -> None:
        """Draw one curve a term, in the order given."""
        self.curves, self._label = curves, label
        self.redraw()

    def redraw(self) -> None:
        """Draw again in the colours of the theme."""
        self.box.clear()
        if not getattr(self, "curves", None):
            return
        for place, values in enumerate(self.curves.values()):
            stride = max(1, len(values) // _POINTS)
            x = np.arange(1, len(values) + 1)[::stride]
            pen = pg.mkPen(PALETTE[place % len(PALETTE)], width=2)
            self.box.addItem(pg.PlotCurveItem(x, np.asarray(values)[::stride], pen=pen))
        self.axes[0].setLabel(self._label)
        self.axes[1].setLabel("epoch")
        self.box.autoRange(padding=0.04)
        self.describe(
            "; ".join(f"{n}: from {v[0]:.4g} to {v[-1]:.4g}" for n, v in self.curves.items())
        )


class LossesPart(PlotPart):
    """Loss curves that the record of the run keeps."""

    TITLE = "Losses"

    def build(self) -> None:
        """Which term, and the chart."""
        form = QFormLayout()
        self.term = narrow_combo(QComboBox())
        self.term.setAccessibleName("Term of the loss")
        self.term.setToolTip("One term in its own unit, or all, each divided by its first value.")
        self.term.activated.connect(self._show)
        form.addRow("Term", self.term)
        self.body.addLayout(form)
        self.chart = CurveChart("Loss curves")
        self.body.addWidget(self.chart)

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """Show the curves of the selected result."""
        self.item, self.domains = item, domains
        losses = self._losses()
        self.explain("" if losses else "This result has no loss curves: nothing was trained.")
        for widget in (self.term, self.chart):
            widget.setVisible(bool(losses))
        wanted = self.term.currentData()
        self.term.clear()
        self.term.addItem("All, scaled to their start", _ALL)
        for name in losses:
            self.term.addItem(name, name)
        self.term.setCurrentIndex(max(0, self.term.findData(wanted)))
        self._show()

    def _losses(self) -> dict[str, list[float]]:
        record = self.domains.record if self.domains is not None else {}
        found = record.get("losses")
        return {str(k): list(v) for k, v in found.items() if len(v)} if found else {}

    @slot
    def _show(self) -> None:
        losses, term = self._losses(), self.term.currentData() or _ALL
        self.offer(losses or None)
        if term == _ALL:
            scaled = {n: [x / (abs(v[0]) or 1.0) for x in v] for n, v in losses.items()}
            self.chart.show_curves(scaled, "share of the first value")
        elif term in losses:
            self.chart.show_curves({term: losses[term]}, term)

    def table(self, taken: dict[str, list[float]]) -> pd.DataFrame:
        """One row an epoch, one column a term."""
        frame = pd.DataFrame({name: pd.Series(values) for name, values in taken.items()})
        frame.insert(0, "epoch", np.arange(1, len(frame) + 1))
        return frame

    def figure(self, taken: dict[str, list[float]]) -> Figure:
        """Every term in its own field."""
        return curves_figure(taken)
