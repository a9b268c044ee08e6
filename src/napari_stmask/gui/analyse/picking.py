"""The next click on the canvas as an answer; Escape takes the question back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QApplication

from ..canvas import nearest_spot, on_click
from ..guard import slot
from ..model import Item
from ..session import Session

__all__ = ["SpotPicker"]


class SpotPicker(QObject):
    """Waits for one click: ``picked(spot)``, ``missed()`` beside the tissue, ``ended()`` last."""

    picked = Signal(int)
    missed = Signal()
    ended = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._item: Item | None = None
        self._callback: Callable[..., Any] | None = None

    @property
    def active(self) -> bool:
        """Whether a click is awaited."""
        return self._item is not None

    def start(self, item: Item) -> None:
        """Wait for a click on the section of ``item``."""
        self.stop()
        viewer = self._session.viewer
        if viewer is None:
            return
        self._item = item
        self._callback = on_click(self._on_click)
        viewer.mouse_drag_callbacks.append(self._callback)
        # The canvas has the keyboard then, not the dock.
        QApplication.instance().installEventFilter(self)

    def stop(self) -> None:
        """Wait no longer."""
        if self._item is None:
            return
        self._item = None
        QApplication.instance().removeEventFilter(self)
        viewer = self._session.viewer
        if viewer is not None and self._callback in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._callback)
        self._callback = None
        self.ended.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Escape, wherever the keyboard is."""
        kinds = (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride)
        if event.type() in kinds and event.key() == Qt.Key.Key_Escape and self.active:
            self.stop()
            event.accept()
            return True
        return super().eventFilter(watched, event)

    @slot
    def _on_click(self, row: float, column: float) -> None:
        if self._item is None:
            return
        spot = nearest_spot(self._item, (row, column))
        if spot is None:
            self.missed.emit()
            return
        self.stop()
        self.picked.emit(spot)
