"""What the parts of the dock have in common: a run, a worker with Cancel, copies as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from ...core.progress import Progress
from ..analyse.exporting import ExportRow
from ..analyse.work import Make, StepWorker
from ..fields import make_button
from ..guard import Failure, slot
from ..model import Item
from ..parts import copy_text
from ..session import Session
from .known import GeneRun, gene_runs
from .recipe import Recipe, as_command, as_python
from .values import Loaded

__all__ = ["Desk", "GenePart"]


class Desk(Protocol):
    """What the parts need of the dock."""

    session: Session

    def choose(self, genes: Sequence[str], *, origin: object = None, show: bool = True) -> None:
        """Choose genes everywhere, and show them on the tissue."""

    def show_values(
        self,
        item: Item,
        key: str,
        name: str,
        values: NDArray[np.floating[Any]],
        *,
        limits: tuple[float, float],
        as_image: bool = False,
        of: str = "",
    ) -> None:
        """Show one number a spot over the tissue."""

    def reload(self) -> None:
        """Read the tables of the run again."""

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong."""

    def clear_failure(self) -> None:
        """Nothing is wrong any more."""

    def say(self, text: str) -> None:
        """Tell how far things are."""


class GenePart(QWidget):
    """One question about the genes of a run; what takes long runs in a worker.

    Attributes
    ----------
    known
        The run that is shown, or None.
    loaded
        Its tables, None until a worker has read them.
    """

    TITLE = ""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.known: GeneRun | None = None
        self.loaded: Loaded | None = None
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(6)
        self.worker = StepWorker(self, self.TITLE or "Gene modules")
        self.worker.progressed.connect(self._on_progress)
        self.worker.done.connect(self._on_answer)
        self.worker.failed.connect(self.show_failure)
        self.worker.ended.connect(self._on_ended)
        self._build_progress()
        self._build_copies()
        self.build()
        self.refresh()

    def _build_progress(self) -> None:
        self.progress = QWidget()
        row = QHBoxLayout(self.progress)
        row.setContentsMargins(0, 0, 0, 0)
        self.bar = QProgressBar()
        self.bar.setAccessibleName(f"Progress: {self.TITLE}")
        self.cancel = make_button("Cancel", "Stop; nothing is written.", self._on_cancel)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel)
        self.progress.hide()

    def _build_copies(self) -> None:
        self.copies = QWidget()
        row = QHBoxLayout(self.copies)
        row.setContentsMargins(0, 0, 0, 0)
        self.python = make_button(
            "Copy as Python", "Put a script that asks this on the clipboard.", self._on_python
        )
        self.command = make_button(
            "Copy as command", "Put the command line that asks this on the clipboard.",
            self._on_command,
        )  # fmt: skip
        row.addWidget(self.python)
        row.addWidget(self.command)

    def add_action(self, run: QPushButton) -> None:
        """Place a button with progress and copies below it."""
        for widget in (run, self.progress, self.copies):
            self.body.addWidget(widget)

    def add_export(self) -> ExportRow:
        """Place a button that writes a table."""
        row = ExportRow(figures=False)
        row.failed.connect(self.show_failure)
        row.written.connect(self._on_written)
        self.body.addWidget(row)
        return row

    def build(self) -> None:
        """Fill ``body``."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Show what can be done with ``known``."""
        raise NotImplementedError

    def forget(self) -> None:
        """Another run: earlier answers are not about it."""

    def left(self) -> None:
        """The dock goes away: nobody waits for an answer."""
        self.worker.cancel()

    def follow(self, genes: tuple[str, ...], origin: object) -> None:
        """Other genes are chosen somewhere in the dock."""

    def answered(self, found: Any) -> None:
        """The worker has finished."""
        raise NotImplementedError

    def recipe(self) -> Recipe:
        """The question as it stands in the form.

        Raises
        ------
        StmaskError
            If it cannot be asked.
        """
        raise NotImplementedError

    def show_run(self, run: GeneRun | None, loaded: Loaded | None) -> None:
        """Another run, other tables of it, or the same after sections have come or gone."""
        if run is not self.known:
            self.worker.cancel()
            self.known, self.loaded = run, None
            self.forget()
        self.loaded = loaded
        self.refresh()

    @property
    def item(self) -> Item | None:
        """The section of the run, as long as it is open."""
        return self.known.item(self.desk.session) if self.known is not None else None

    def launch(self, make: Make) -> None:
        """Run a stream in the background; its answer goes to `answered`."""
        self.desk.clear_failure()
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.progress.show()
        self.worker.start(make)
        self.refresh()

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong in the strip of the dock."""
        self.desk.show_failure(failure)

    @slot
    def _on_answer(self, found: Any) -> None:
        if self.known is not None:
            self.desk.say(f"{self.TITLE}: finished.")
            self.answered(found)

    @slot
    def _on_progress(self, progress: Progress) -> None:
        self.bar.setRange(0, max(1, progress.total))
        self.bar.setValue(progress.step if progress.total else 0)
        self.desk.say(f"{self.TITLE}: {progress.phase}")

    @slot
    def _on_ended(self) -> None:
        self.progress.hide()
        self.refresh()

    @slot
    def _on_cancel(self) -> None:
        self.worker.cancel()
        self.desk.say("Cancelled; nothing was written.")

    @slot
    def _on_written(self, path: object) -> None:
        self.desk.say(f"Written: {path}")

    @slot
    def _on_python(self) -> None:
        if self.known is not None:
            copy_text(as_python(self.known, self.recipe(), unsaved=self._unsaved()))
            self.desk.say("The script is on the clipboard.")

    @slot
    def _on_command(self) -> None:
        if self.known is not None:
            copy_text(as_command(self.known, self.recipe(), unsaved=self._unsaved()))
            self.desk.say("The command is on the clipboard.")

    def _unsaved(self) -> list[GeneRun]:
        session = self.desk.session
        return [run for run in gene_runs(session) if run.unsaved(session)]
