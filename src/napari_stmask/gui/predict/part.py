"""What the parts of an answer have in common."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from ...core.progress import Progress
from ..analyse.work import Make, StepWorker
from ..guard import Failure, slot
from ..session import Session
from .known import Known

__all__ = ["Desk", "Part"]


class Desk(Protocol):
    """What the parts need of the dock."""

    session: Session

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong."""

    def clear_failure(self) -> None:
        """Nothing is wrong any more."""

    def say(self, text: str) -> None:
        """Tell how far things are."""


class Part(QWidget):
    """One question about a prediction; what takes long runs in a worker.

    Attributes
    ----------
    known
        The prediction that is shown.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.known: Known | None = None
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(6)
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress of the analysis")
        self.bar.hide()
        self.worker = StepWorker(self, "Predicted genes")
        self.worker.progressed.connect(self._on_progress)
        self.worker.failed.connect(self.show_failure)
        self.worker.ended.connect(self._on_ended)
        self.build()
        self.body.addWidget(self.bar)
        self.refresh()

    def build(self) -> None:
        """Fill ``body``."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Show what can be done with ``known``."""
        raise NotImplementedError

    def show_known(self, known: Known | None) -> None:
        """Another prediction, or the same one again after sections have come or gone."""
        if known is not self.known:
            self.worker.cancel()
            self.known = known
            self.forget()
        self.refresh()

    def forget(self) -> None:
        """Another prediction: earlier answers are not about it."""

    def launch(self, make: Make) -> None:
        """Run a stream in the background; `StepWorker.done` brings its answer."""
        self.desk.clear_failure()
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.bar.show()
        self.worker.start(partial(make))
        self.refresh()

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong in the strip of the dock."""
        self.desk.show_failure(failure)

    @slot
    def _on_progress(self, progress: Progress) -> None:
        self.bar.setRange(0, max(1, progress.total))
        self.bar.setValue(progress.step if progress.total else 0)

    @slot
    def _on_ended(self) -> None:
        self.bar.hide()
        self.refresh()
