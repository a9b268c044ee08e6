"""A number with a slider beside it."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

from ..guard import slot

__all__ = ["SliderField"]

_STEPS = 2000
"""Places of the slider; the field is finer."""


class SliderField(QWidget):
    """``changed(value)`` on every edit of either."""

    changed = Signal(float)

    def __init__(self, name: str, suffix: str, tip: str, *, decimals: int = 1) -> None:
        super().__init__()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _STEPS)
        self.slider.setAccessibleName(f"{name}, slider")
        self.box = QDoubleSpinBox()
        self.box.setDecimals(decimals)
        self.box.setSuffix(suffix)
        self.box.setAccessibleName(name)
        self.box.setFixedWidth(124)
        # Typing 120 is one edit, not three.
        self.box.setKeyboardTracking(False)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.slider, 1)
        row.addWidget(self.box)
        self.setToolTip(tip)
        self.setFocusProxy(self.box)
        self.slider.valueChanged.connect(self._on_slider)
        self.box.valueChanged.connect(self._on_box)

    def value(self) -> float:
        """The number."""
        return float(self.box.value())

    def show_value(self, value: float, low: float, high: float, *, step: float) -> None:
        """Show a number within bounds, which arrow keys change by ``step``; says nothing."""
        with QSignalBlocker(self.box):
            self.box.setRange(min(low, value), max(high, value))
            self.box.setSingleStep(step)
            self.box.setValue(value)
        self._follow()

    def _follow(self) -> None:
        low, high = self.box.minimum(), self.box.maximum()
        share = (self.box.value() - low) / (high - low) if high > low else 0.0
        with QSignalBlocker(self.slider):
            self.slider.setValue(round(share * _STEPS))

    @slot
    def _on_slider(self) -> None:
        low, high = self.box.minimum(), self.box.maximum()
        with QSignalBlocker(self.box):
            self.box.setValue(low + (high - low) * self.slider.value() / _STEPS)
        self.changed.emit(self.value())

    @slot
    def _on_box(self) -> None:
        self._follow()
        self.changed.emit(self.value())
