"""The next click on the canvas as an answer; Escape takes the question back."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QApplication
from scipy.spatial import cKDTree

from ..model import Item
from ..session import Session

__all__ = ["SpotPicker", "nearest_spot"]

_REACH = 1.0
"""How far from the nearest spot a click may be, in pitches."""


def nearest_spot(item: Item, world: Any) -> int | None:
    """Number of the spot under a position (row, column) of the viewer; None off the tissue."""
    section = item.section
    row, column = (np.asarray(world, dtype=float)[-2:] - item.offset) / (section.um_per_px or 1.0)
    distance, place = cKDTree(section.coords).query((column, row))
    return int(place) if distance <= _REACH * section.lattice.pitch else None


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
        self._callback = self._on_press
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

    def _on_press(self, _viewer: Any, event: Any) -> Generator[None, None, None]:
        """A press without a drag: a drag moves the view."""
        position = np.asarray(event.position, dtype=float)
        yield
        while event.type == "mouse_move":
            start = np.asarray(event.position, dtype=float)
            if self._item is None or np.abs(start - position).max() > self._slack():
                return
            yield
        if self._item is None:
            return
        spot = nearest_spot(self._item, position)
        if spot is None:
            self.missed.emit()
            return
        self.stop()
        self.picked.emit(spot)

    def _slack(self) -> float:
        """World units that a hand may move between press and release: four pixels."""
        viewer = self._session.viewer
        return 4.0 / viewer.scene.camera.zoom if viewer is not None else 0.0
