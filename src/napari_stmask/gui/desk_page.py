"""What the pages of several docks have in common: strip, state, fields, tabs, and the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QLabel, QTabBar, QWidget

from .fields import NoWheel
from .guard import Failure, slot
from .parts import MessageStrip, Page, plain_label
from .session import session_of

if TYPE_CHECKING:
    import napari

__all__ = ["DeskPage", "tab_bar"]


class DeskPage(Page):
    """Page of a dock that follows the session of its viewer.

    The dock places ``strip`` and ``state`` where they belong in it, and sets ``_built`` once all
    its parts are there.

    Parameters
    ----------
    napari_viewer
        Viewer whose session is followed.
    strip, state
        Those of a part that has its own; made anew by default.
    """

    _built = False

    def __init__(
        self,
        napari_viewer: napari.viewer.Viewer,
        *,
        strip: MessageStrip | None = None,
        state: QLabel | None = None,
    ) -> None:
        super().__init__()
        self.session = session_of(napari_viewer)
        self.strip = strip or MessageStrip()
        self.state = state or _state()
        self._still = NoWheel(self)
        self._wanted_in_sight: QWidget | None = None

    @slot
    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong."""
        self.say("")
        self.strip.show_failure(failure)

    def clear_failure(self) -> None:
        """Nothing is wrong any more."""
        self.strip.clear()

    @slot
    def say(self, text: str) -> None:
        """Tell how far things are."""
        self.state.setText(text)
        self.state.setVisible(bool(text))

    def follow(self, receiver: Callable[[], Any], *, domains: bool = False) -> None:
        """Call ``receiver`` when a section came, changed or was selected.

        With ``domains`` also when results did.
        """
        session = self.session
        signals = [session.section_added, session.section_selected, session.section_changed]
        if domains:
            signals += [session.domains_selected, session.domains_changed]
        for signal in signals:
            signal.connect(receiver)

    def leave_wheel(self, *parts: QWidget) -> None:
        """Let the page scroll over fields of ``parts`` that were not clicked."""
        for part in parts:
            for field in (*part.findChildren(QComboBox), *part.findChildren(QAbstractSpinBox)):
                field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                field.installEventFilter(self._still)

    def bring(self, widget: QWidget) -> None:
        """Scroll to ``widget`` as soon as the page has its new heights."""
        self._wanted_in_sight = widget
        QTimer.singleShot(0, self._on_bring)

    @slot
    def _on_bring(self) -> None:
        if self._wanted_in_sight is not None:
            self.scroller.ensureWidgetVisible(self._wanted_in_sight)

    def event(self, event: QEvent) -> bool:
        """Notice when napari takes the dock away; whoever holds this page keeps it alive."""
        gone = event.type() == QEvent.Type.ParentChange and self.parentWidget() is None
        if gone and self._built:
            self.left()
        return bool(super().event(event))

    def left(self) -> None:
        """Cancel what goes on: napari took the dock away."""


def _state() -> QLabel:
    label = plain_label()
    label.setAccessibleName("State of the dock")
    return label


def tab_bar(name: str) -> QTabBar:
    """Tabs over the pages of a dock, as wide as their titles; ``name`` is the accessible one."""
    tabs = QTabBar()
    tabs.setExpanding(False)
    tabs.setDrawBase(False)
    tabs.setUsesScrollButtons(False)
    tabs.setElideMode(Qt.TextElideMode.ElideNone)
    tabs.setAccessibleName(name)
    return tabs
