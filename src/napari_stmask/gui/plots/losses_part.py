"""How the losses of a run fell."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel

from ...core.loss_curves import by_term
from ...viz.curves import curves_figure
from ...viz.palette import PALETTE
from ..analyse.charts import Chart
from ..guard import slot
from ..model import DomainSet, Item
from ..parts import color_key, narrow_combo
from .part import PlotPart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CurveChart", "LossesPart"]

Terms = dict[str, list[NDArray[np.float64]]]
"""Term of the loss -> a curve for each network."""
_ALL = ""
_POINTS = 2000


class CurveChart(Chart):
    """Curves over the epochs."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 260)
        self.curves: Terms = {}
        self._label = ""

    def show_curves(self, curves: Terms, label: str) -> None:
        """Draw the curves of every term, those of one term in one colour."""
        self.curves, self._label = curves, label
        self.redraw()

    def redraw(self) -> None:
        """Draw again in the colours of the theme."""
        self.box.clear()
        if not getattr(self, "curves", None):
            return
        for place, networks in enumerate(self.curves.values()):
            pen = pg.mkPen(PALETTE[place % len(PALETTE)], width=2 if len(networks) == 1 else 1)
            for values in networks:
                stride = max(1, len(values) // _POINTS)
                x = np.arange(1, len(values) + 1)[::stride]
                self.box.addItem(pg.PlotCurveItem(x, values[::stride], pen=pen))
        self.axes[0].setLabel(self._label)
        self.axes[1].setLabel("epoch")
        self.box.autoRange(padding=0.04)
        self.describe("; ".join(map(_said, self.curves, self.curves.values())))


def _said(term: str, networks: list[NDArray[np.float64]]) -> str:
    first, last = (np.median([curve[end] for curve in networks]) for end in (0, -1))
    of = "" if len(networks) == 1 else f" of {len(networks)} networks (median)"
    return f"{term}{of}: from {first:.4g} to {last:.4g}"


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
        self.key = QLabel()
        self.key.setWordWrap(True)
        self.body.addWidget(self.key)
        self.chart = CurveChart("Loss curves")
        self.body.addWidget(self.chart)

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """Show the curves of the selected result."""
        self.item, self.domains = item, domains
        losses = self._losses()
        self.explain("" if losses else "This result has no loss curves: nothing was trained.")
        for widget in (self.term, self.key, self.chart):
            widget.setVisible(bool(losses))
        wanted = self.term.currentData()
        self.term.clear()
        self.term.addItem("All, scaled to their start", _ALL)
        for name in by_term(losses):
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
        terms = by_term(losses)
        if term == _ALL:
            scaled = {n: [v / (abs(v[0]) or 1.0) for v in all_] for n, all_ in terms.items()}
            self.chart.show_curves(scaled, "share of the first value")
        elif term in terms:
            self.chart.show_curves({term: terms[term]}, term)
        self.key.setText(color_key(self.chart.curves, cycle(PALETTE)))

    def table(self, taken: dict[str, list[float]]) -> pd.DataFrame:
        """One row an epoch, one column a term and network."""
        frame = pd.DataFrame({name: pd.Series(values) for name, values in taken.items()})
        frame.insert(0, "epoch", np.arange(1, len(frame) + 1))
        return frame

    def figure(self, taken: dict[str, list[float]]) -> Figure:
        """Every term in its own field."""
        return curves_figure(taken)
