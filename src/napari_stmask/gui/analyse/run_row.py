"""Run, Cancel, progress, and what there is to say."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from ...core.progress import Progress
from ..parts import MessageStrip, plain_label

__all__ = ["RunRow"]

_BUSY = "An analysis goes on: wait for it, or cancel it."
_READY = "Compute it in the background; the window stays usable."


class RunRow(QWidget):
    """The part of the dock that all analyses share, between form and answer."""

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        row = QHBoxLayout()
        self.run = QPushButton("Run")
        self.run.setObjectName("stmask_analyse")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop this analysis; nothing is written.")
        row.addWidget(self.run, 1)
        row.addWidget(self.cancel)
        layout.addLayout(row)
        self.why = plain_label()
        self.why.setAccessibleName("Why it cannot run")
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress of the analysis")
        self.state = plain_label()
        self.state.setAccessibleName("State of the analysis")
        self.strip = MessageStrip()
        for widget in (self.why, self.bar, self.state, self.strip):
            layout.addWidget(widget)

    def say(self, text: str) -> None:
        """Tell how far things are; nothing for an empty text."""
        self.state.setText(text)
        self.state.setVisible(bool(text))

    def begin(self) -> None:
        """An analysis has been started."""
        self.strip.clear()
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.say("Starting")

    def progress(self, title: str, progress: Progress) -> None:
        """Show where it stands."""
        # Without a length the bar shows nothing rather than an animation, which costs redraws.
        self.bar.setRange(0, max(1, progress.total))
        self.bar.setValue(progress.step if progress.total else 0)
        self.say(f"{title}: {progress.phase}")

    def allow(self, text: str, reason: str, *, busy: bool) -> None:
        """Enable Run, or say why not.

        Parameters
        ----------
        text
            Of the button; empty where the analysis answers by itself.
        reason
            Why it cannot run; empty where it can.
        busy
            Whether an analysis goes on.
        """
        reason = _BUSY if busy else reason
        self.run.setText(text)
        self.run.setVisible(bool(text))
        self.run.setEnabled(not reason)
        self.run.setToolTip(reason or _READY)
        self.why.setText(f"\u26a0 {reason}")
        self.why.setVisible(bool(reason) and not busy)
        for widget in (self.cancel, self.bar):
            widget.setVisible(busy)
