"""Genes that stay: each in a layer of its own, in a list."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from ..fields import make_button
from ..guard import slot
from ..session import Session
from .contrast_part import Shown
from .source_layers import hide_others, pin_layer

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["PinsPart"]

_HEIGHT = 92


class _Pin:
    """A pinned gene: what it shows, and its layer, which the user may delete."""

    def __init__(self, number: int, shown: Shown, colormap: str, layer: Layer) -> None:
        self.number, self.shown, self.colormap = number, shown, colormap
        self.layer = weakref.ref(layer)


class PinsPart(QWidget):
    """``asked`` for what is shown now; ``recalled`` when a pin was brought back."""

    asked = Signal()
    recalled = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._pins: list[_Pin] = []
        self._count = 0
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        row = QHBoxLayout()
        self.pin = make_button(
            "Pin", "Keep what is shown as layers of its own, which no other gene replaces.",
            self._on_pin,
        )  # fmt: skip
        self.remove = make_button(
            "Remove pin", "Remove the chosen pin and its layer.", self._on_remove
        )
        row.addWidget(self.pin)
        row.addWidget(self.remove)
        layout.addLayout(row)
        self.list = QListWidget()
        self.list.setAccessibleName("Pinned genes")
        self.list.setToolTip("A click, or Return, shows a pinned gene again, alone.")
        self.list.setFixedHeight(_HEIGHT)
        self.list.itemClicked.connect(self._on_listed)
        self.list.itemActivated.connect(self._on_listed)
        self.list.currentRowChanged.connect(self._enable)
        layout.addWidget(self.list)
        self._enable()

    def keep(self, shown: list[Shown], colormap: str) -> None:
        """Pin everything that is shown."""
        viewer = self._session.viewer
        if viewer is None:
            return
        for one in shown:
            self._count += 1
            layer = pin_layer(viewer, one.reading, self._count, one.limits, colormap)
            kept = Shown(one.reading, None, one.limits)
            self._pins.append(_Pin(self._count, kept, colormap, layer))
            item = one.reading.choice.item
            entry = QListWidgetItem(f"{self._count}. {one.reading.title} \u00b7 {item.label}")
            entry.setToolTip(entry.text())
            self.list.addItem(entry)
        self._enable()

    def allow(self, *, pinning: bool) -> None:
        """Whether there is something to pin."""
        self.pin.setEnabled(pinning)

    @slot
    def _enable(self) -> None:
        self.list.setVisible(bool(self._pins))
        self.remove.setEnabled(0 <= self.list.currentRow() < len(self._pins))

    @slot
    def _on_pin(self) -> None:
        self.asked.emit()

    @slot
    def _on_listed(self, entry: QListWidgetItem) -> None:
        viewer, pin = self._session.viewer, self._pins[self.list.row(entry)]
        item = pin.shown.reading.choice.item
        if viewer is None or item.id not in self._session.items:
            return
        # Before the layer is shown: what was hidden for several sources comes back here.
        self.recalled.emit()
        layer = pin.layer()
        if layer is None or layer not in viewer.layers:
            layer = pin_layer(viewer, pin.shown.reading, pin.number, pin.shown.limits, pin.colormap)
            pin.layer = weakref.ref(layer)
        layer.visible = True
        hide_others(viewer, [item], [layer])

    @slot
    def _on_remove(self) -> None:
        row = self.list.currentRow()
        if not 0 <= row < len(self._pins):
            return
        pin, viewer = self._pins.pop(row), self._session.viewer
        self.list.takeItem(row)
        layer = pin.layer()
        if viewer is not None and layer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)
        self._enable()
