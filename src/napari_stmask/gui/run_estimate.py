"""What a run would cost: looked up a little after the last edit, and told in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from ..core.memory import human
from .background import Background
from .estimate import duration
from .guard import Failure, slot
from .parts import plain_label

__all__ = ["RunEstimate"]

_PAUSE = 400
"""Milliseconds without an edit, before the estimate is worked out."""


class RunEstimate(QObject):
    """The line with time and memory, or with why a run cannot start.

    ``wanted`` when an estimate should be started, ``found`` with its answer before it is shown,
    ``hindered`` when the answer is that the run cannot start: ``obstacle`` says why.

    Parameters
    ----------
    parent
        Form that it belongs to.
    lower
        What the user can lower where the memory does not suffice.
    """

    wanted = Signal()
    found = Signal(object)
    hindered = Signal()

    def __init__(self, parent: QWidget, lower: str) -> None:
        super().__init__(parent)
        self._lower = lower
        self.obstacle = ""
        self.cost = plain_label()
        self.cost.setAccessibleName("Estimated time and memory")
        self._worker = Background(self)
        self._worker.done.connect(self._on_done)
        self._worker.failed.connect(self._on_failed)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_PAUSE)
        self._later.timeout.connect(self.wanted)

    @property
    def busy(self) -> bool:
        """Whether an estimate is being worked out."""
        return self._worker.busy

    @property
    def waiting(self) -> bool:
        """Whether one will be asked for in a moment."""
        return self._later.isActive()

    def start(self, function: Callable[..., dict[str, Any]], *args: Any) -> None:
        """Work it out: ``function(*args)`` gives seconds, peak_bytes and free_bytes."""
        self._worker.start(function, *args)

    def forget(self) -> None:
        """The values are others: an answer that is awaited, or was given, is not about them."""
        self.obstacle = ""
        self._worker.forget()

    def left(self) -> None:
        """The dock goes away."""
        self._later.stop()
        self._worker.forget()

    def show_reason(self, reason: str, *, seen: bool) -> None:
        """Tell why a run cannot start, unless that is ``seen`` elsewhere; else estimate."""
        if reason:
            self._later.stop()
            self.cost.setText("" if seen else f"\u26a0 {reason}")
            return
        if self.cost.text().startswith("\u26a0"):
            # The reason no longer holds; the estimate takes a moment.
            self.cost.clear()
        self._later.start()

    @slot
    def _on_done(self, found: dict[str, Any]) -> None:
        self.found.emit(found)
        need, free = human(found["peak_bytes"]), human(found["free_bytes"])
        if found["peak_bytes"] > found["free_bytes"]:
            self.obstacle = (
                f"The run would take about {need} of memory, {free} are free: lower {self._lower}, "
                "or close other programs."
            )
            self.hindered.emit()
            return
        self.cost.setText(
            f"Estimate: about {duration(found['seconds'])} on one core, {need} of memory on top "
            "of the data."
        )

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self.obstacle = failure.text
        self.hindered.emit()
