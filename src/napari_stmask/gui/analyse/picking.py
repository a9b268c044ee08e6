"""The next click on the canvas, or every one, as an answer; Escape takes the question back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QApplication, QPushButton

from ..canvas import Mark, nearest_spot, on_click
from ..guard import slot
from ..model import Item
from ..parts import plain_label
from ..session import Session

__all__ = ["PickButton", "SpotMark", "SpotPicker"]

_COLOR = "#FF2BD6"
_SIDE, _SMALL = 2.4, 1.1
"""Width of the mark around a spot, and around one of several, in distances between spots."""


class SpotPicker(QObject):
    """Waits for a click: ``picked(spot)``, ``missed()`` beside the tissue, ``ended()`` last."""

    picked = Signal(int)
    missed = Signal()
    ended = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._item: Item | None = None
        self._stays = False
        self._callback: Callable[..., Any] | None = None

    @property
    def active(self) -> bool:
        """Whether a click is awaited."""
        return self._item is not None

    def start(self, item: Item, *, stays: bool = False) -> None:
        """Wait for a click on the section of ``item``; one that ``stays`` waits for the next."""
        self.stop()
        self._stays = stays
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
        if not self._stays:
            self.stop()
        self.picked.emit(spot)


class SpotMark(Mark):
    """A ring around the spot that an analysis is about."""

    def __init__(self, session: Session, role: str, *, color: str = _COLOR) -> None:
        super().__init__(session, role, shape="ellipse", color=color)

    def ring(self, item: Item, spot: int) -> None:
        """Draw it around a spot of ``item``."""
        self.draw(item, spot, _SIDE * item.section.lattice.pitch)

    def rings(self, spots: Sequence[tuple[Item, int]]) -> None:
        """Draw smaller ones around spots of several sections, which may lie side by side."""
        self.draw_several(
            [(item, spot, _SMALL * item.section.lattice.pitch) for item, spot in spots]
        )


class PickButton(QPushButton):
    """Asks for clicks on the selected section; ``said`` is the line that tells how it stands.

    Parameters
    ----------
    session
        Whose selected section is clicked on.
    text, tip
        Of the button.
    how
        What to do now, with ``{section}`` for the name of the section.
    stays
        Whether it waits for the next click after one.
    item
        Gives the section that is clicked on, if that is not the selected one.
    """

    began = Signal()
    picked = Signal(int)

    def __init__(
        self,
        session: Session,
        text: str,
        tip: str,
        how: str,
        *,
        stays: bool = False,
        item: Callable[[], Item | None] | None = None,
    ) -> None:
        super().__init__(text)
        self._how, self._stays = how, stays
        self._item = item or (lambda: session.selected)
        self.setCheckable(True)
        self.setToolTip(tip)
        self.toggled.connect(self._on_toggled)
        self.said = plain_label()
        self.said.setAccessibleName("The spot")
        self.said.hide()
        self.picker = SpotPicker(session, self)
        self.picker.picked.connect(self._on_picked)
        self.picker.missed.connect(self._on_missed)
        self.picker.ended.connect(self._on_ended)

    def say(self, text: str) -> None:
        """Tell how it stands; nothing for an empty text."""
        self.said.setText(text)
        self.said.setVisible(bool(text))

    def _ask(self, before: str = "") -> None:
        item = self._item()
        self.say(before + self._how.format(section=item.label if item is not None else ""))

    @slot
    def _on_toggled(self, on: bool) -> None:
        item = self._item()
        if on and item is not None:
            self.picker.start(item, stays=self._stays)
            self._ask()
            self.began.emit()
        elif not on and self.picker.active:
            self.picker.stop()

    @slot
    def _on_picked(self, spot: int) -> None:
        if self._stays:
            self._ask()
        self.picked.emit(spot)

    @slot
    def _on_missed(self) -> None:
        self._ask("No spot is there. ")

    @slot
    def _on_ended(self) -> None:
        self.setChecked(False)
        self.say("")
