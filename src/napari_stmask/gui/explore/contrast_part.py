"""Limits and colours of what is shown: histogram with two lines, fields, link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QVBoxLayout,
    QWidget,
)

from ..fields import NoWheel, make_button
from ..guard import slot
from ..limits import Limits, default_limits
from ..parts import narrow_combo, plain_label
from ..remember import recall, remember
from .histogram import Histogram
from .limits import followed, together
from .reading import Reading

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["COLORMAPS", "ContrastPart", "Shown"]

COLORMAPS = ("viridis", "magma", "inferno", "plasma", "cividis", "gray")
"""Perceptually even ones; cividis looks the same to people with red-green blindness."""
_WAIT = 30
"""Milliseconds between two recolourings while a line is dragged."""


@dataclass(eq=False)
class Shown:
    """A reading and its layer, with the limits that it has now."""

    reading: Reading
    layer: Layer | None
    limits: Limits


class ContrastPart(QWidget):
    """Recolours the layers itself; ``front_changed`` when the histogram is of another source."""

    front_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._shown: list[Shown] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_WAIT)
        self._timer.timeout.connect(self._on_recolour)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self.front = narrow_combo(QComboBox())
        self.front.setAccessibleName("Histogram of")
        self.front.setToolTip("Which of the shown values the histogram and the limits are of.")
        self.front.activated.connect(self._on_front)
        self.chart = Histogram("Values of the spots")
        self.chart.dragged.connect(self._on_dragged)
        self._wheel = NoWheel(self)
        self.low, self.high = (self._field(name) for name in ("Lower limit", "Upper limit"))
        self.reset = make_button(
            "1\u201399 %", "Limits at the 1st and 99th percentile of the spots above zero.",
            self._on_reset,
        )  # fmt: skip
        self.colormap = narrow_combo(QComboBox())
        self.colormap.setAccessibleName("Colours")
        self.colormap.setToolTip("Colours of the values, from low to high; all are evenly spaced.")
        self.colormap.addItems(COLORMAPS)
        self.colormap.setCurrentIndex(
            max(0, self.colormap.findText(recall("explore/colormap", "")))
        )
        self.colormap.activated.connect(self._on_colormap)
        self.linked = QCheckBox("Linked")
        self.linked.setChecked(recall("explore/linked", True))
        self.linked.setToolTip(
            "One colour scale: values in the same unit share their limits, those in another unit, "
            "such as raw counts, are cut at the same share of the spots."
        )
        self.linked.toggled.connect(self._on_linked)
        self.ends = plain_label()
        self.ends.setAccessibleName("Limits of each source")
        layout.addWidget(self.front)
        layout.addWidget(self.chart)
        grid = QGridLayout()
        grid.setSpacing(6)
        for i, widget in enumerate((self.low, self.high, self.reset)):
            grid.addWidget(widget, 0, i)
        grid.addWidget(self.colormap, 1, 0, 1, 2)
        grid.addWidget(self.linked, 1, 2)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        layout.addLayout(grid)
        layout.addWidget(self.ends)
        self.show_readings([])

    def _field(self, name: str) -> QDoubleSpinBox:
        field = QDoubleSpinBox()
        field.setAccessibleName(name)
        field.setToolTip(f"{name} of the colours, in the unit of the histogram.")
        field.setDecimals(3)
        field.setRange(-1e9, 1e9)
        field.setSingleStep(0.1)
        field.setKeyboardTracking(False)
        field.setMinimumWidth(70)
        field.installEventFilter(self._wheel)
        field.valueChanged.connect(self._on_typed)
        return field

    @property
    def shown(self) -> list[Shown]:
        """What is recoloured."""
        return self._shown

    @property
    def map_name(self) -> str:
        """The chosen colours."""
        return str(self.colormap.currentText())

    def start_limits(self, readings: Sequence[Reading]) -> list[Limits]:
        """Limits that fresh values begin with."""
        own = [default_limits(reading.known) for reading in readings]
        if not self.linked.isChecked():
            return own
        return together(own, [reading.choice.source.unit for reading in readings])

    def show_readings(self, shown: Sequence[Shown]) -> None:
        """Take over what is shown; its layers have its limits already."""
        self._timer.stop()
        before = self.front.currentText()
        self._shown = list(shown)
        self.front.clear()
        self.front.addItems([one.reading.choice.title for one in self._shown])
        self.front.setCurrentIndex(max(self.front.findText(before), 0) if self._shown else -1)
        self.front.setVisible(len(self._shown) > 1)
        self.linked.setVisible(len(self._shown) > 1)
        for widget in (self.low, self.high, self.reset):
            widget.setEnabled(bool(self._shown))
        self._draw()

    def _lead(self) -> Shown | None:
        row = self.front.currentIndex()
        return self._shown[row] if 0 <= row < len(self._shown) else None

    def _draw(self) -> None:
        lead = self._lead()
        values = lead.reading.values if lead is not None else None
        self.chart.show_values(values, lead.reading.choice.source.unit if lead is not None else "")
        self._say()

    def _say(self) -> None:
        """Fields, lines and the limits of the others."""
        lead = self._lead()
        if lead is None:
            self.ends.hide()
            return
        step = max((lead.limits[1] - lead.limits[0]) / 50, 1e-3)
        for field, value in zip((self.low, self.high), lead.limits, strict=True):
            with QSignalBlocker(field):
                field.setSingleStep(step)
                field.setValue(value)
        self.chart.show_limits(lead.limits)
        said = [
            f"{one.reading.choice.title}: {one.limits[0]:.3g} to {one.limits[1]:.3g} "
            f"{one.reading.choice.source.unit}"
            for one in self._shown
        ]
        self.ends.setText("\n".join(said))
        self.ends.setVisible(len(said) > 1)

    def set_limits(self, low: float, high: float) -> None:
        """Limits of the values in front; the others follow where they are linked."""
        lead = self._lead()
        if lead is None:
            return
        low, high = sorted((float(low), float(high)))
        lead.limits = (low, max(high, low + 1e-6))
        if self.linked.isChecked():
            unit = lead.reading.choice.source.unit
            for one in self._shown:
                if one is not lead:
                    same = one.reading.choice.source.unit == unit
                    one.limits = lead.limits if same else followed(
                        lead.limits, lead.reading.known, one.reading.known
                    )  # fmt: skip
        self._say()
        if not self._timer.isActive():
            self._timer.start()

    @slot
    def _on_recolour(self) -> None:
        for one in self._shown:
            if one.layer is not None and tuple(one.layer.contrast_limits) != one.limits:
                one.layer.contrast_limits = one.limits

    @slot
    def _on_dragged(self, low: float, high: float) -> None:
        self.set_limits(low, high)

    @slot
    def _on_typed(self) -> None:
        self.set_limits(self.low.value(), self.high.value())

    @slot
    def _on_reset(self) -> None:
        found = self.start_limits([one.reading for one in self._shown])
        for one, limits in zip(self._shown, found, strict=True):
            one.limits = limits
        self._say()
        self._on_recolour()

    @slot
    def _on_linked(self) -> None:
        remember("explore/linked", self.linked.isChecked())
        self._on_reset()

    @slot
    def _on_front(self) -> None:
        self._draw()
        self.front_changed.emit()

    @slot
    def _on_colormap(self) -> None:
        remember("explore/colormap", self.map_name)
        for one in self._shown:
            if one.layer is not None:
                one.layer.colormap = self.map_name
