"""The dock *Jobs*: every run and analysis that waits, goes on or has ended, with Cancel."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)

from .analyse.work import StepWorker, going_on
from .fields import make_button
from .guard import Failure, slot
from .parts import Page, copy_text, plain_label, plain_tip
from .runner import Job, Past
from .session import session_of

if TYPE_CHECKING:
    import napari

__all__ = ["JobsDock"]

_HEADS = ("What", "Section", "State", "Time")
_STATES = {
    "queued": "waiting",
    "running": "\u25b6 running",
    "done": "\u2714 finished",
    "cancelled": "\u25a0 cancelled",
    "failed": "\u2716 failed",
}
_BEAT = 500
"""Milliseconds between two looks at what goes on; none while the dock is hidden."""


@dataclass(frozen=True)
class _Row:
    what: str
    section: str
    state: str
    seconds: float
    cancel: Callable[[], None] | None = None
    past: Past | None = None


class JobsDock(Page):
    """A table of jobs of this window, newest last."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session = session_of(napari_viewer)
        self.rows: list[_Row] = []
        self.empty = plain_label("Nothing has been run in this window yet.")
        self.body.addWidget(self.empty)
        self.table = QTableWidget(0, len(_HEADS))
        self.table.setHorizontalHeaderLabels(list(_HEADS))
        self.table.setAccessibleName("Jobs")
        self.table.setToolTip("Double-click opens the dock that shows the result.")
        self.table.verticalHeader().hide()
        self.table.setShowGrid(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, width in ((1, 84), (2, 84), (3, 52)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        self.table.itemSelectionChanged.connect(self._enable)
        self.table.itemDoubleClicked.connect(self._on_open)
        self.body.addWidget(self.table, 1)
        self.about = plain_label()
        self.about.setAccessibleName("The selected job")
        self.body.addWidget(self.about)
        buttons = QHBoxLayout()
        self.cancel = make_button(
            "Cancel", "Stop the selected job, or take it out of the queue.", self._on_cancel
        )
        self.open = make_button("Open", "Show the result of the selected job.", self._on_open)
        self.details = make_button(
            "Copy details", "Put the report of the failure on the clipboard.", self._on_details
        )
        self.clear = make_button("Clear", "Forget the jobs that have ended.", self._on_clear)
        for button in (self.cancel, self.open, self.details, self.clear):
            button.setMinimumWidth(60)
            buttons.addWidget(button)
        self.body.addLayout(buttons)
        self.clock = QTimer(self)
        self.clock.setInterval(_BEAT)
        self.clock.timeout.connect(self.refresh)
        self.session.runner.queue_changed.connect(self.refresh)
        self.session.runner.ended.connect(self.refresh)
        self.refresh()

    def showEvent(self, event: QShowEvent) -> None:
        """Look at the jobs as long as somebody looks at the table."""
        super().showEvent(event)
        self.clock.start()
        self.refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        """Rest."""
        super().hideEvent(event)
        self.clock.stop()

    @slot
    def refresh(self) -> None:
        """Show how every job stands."""
        runner = self.session.runner
        rows = [
            _Row(f"{p.title}: {p.about}", p.label, p.state, p.seconds, past=p) for p in runner.past
        ]
        if runner.current is not None:
            rows.append(self._row(runner.current))
        rows += [self._row(job) for job in runner.waiting]
        rows += [self._of_worker(worker) for worker in going_on() if self._is_ours(worker)]
        self.rows = rows
        self.empty.setVisible(not rows)
        self.table.setRowCount(len(rows))
        for place, row in enumerate(rows):
            texts = (row.what, row.section, _STATES[row.state], _clock(row.seconds))
            for column, text in enumerate(texts):
                cell = self.table.item(place, column)
                if cell is None:
                    cell = QTableWidgetItem()
                    self.table.setItem(place, column, cell)
                if cell.text() != text:
                    cell.setText(text)
                    cell.setToolTip(plain_tip(text))
        self._enable()

    def _row(self, job: Job) -> _Row:
        runner = self.session.runner
        return _Row(
            f"{job.title}: {job.about}",
            job.label,
            job.state,
            job.seconds,
            lambda: runner.cancel(job),
        )

    def _of_worker(self, worker: StepWorker) -> _Row:
        selected = self.session.selected
        phase = f": {worker.last.phase}" if worker.last is not None else ""
        seconds = time.monotonic() - worker.started
        label = selected.label if selected is not None else ""
        return _Row(worker.title + phase, label, "running", seconds, worker.cancel)

    def _is_ours(self, worker: StepWorker) -> bool:
        """Whether a worker belongs to a dock of this window."""
        found = worker.parent()
        while found is not None and getattr(found, "session", None) is None:
            desk = getattr(found, "desk", None)
            if desk is not None and getattr(desk, "session", None) is self.session:
                return True
            found = found.parent()
        return found is not None and found.session is self.session

    def _chosen(self) -> _Row | None:
        place = self.table.currentRow()
        picked = self.table.selectionModel().hasSelection() and 0 <= place < len(self.rows)
        return self.rows[place] if picked else None

    @slot
    def _enable(self) -> None:
        row = self._chosen()
        past = row.past if row is not None else None
        self.cancel.setEnabled(row is not None and row.cancel is not None)
        self.open.setEnabled(past is not None and past.state == "done")
        self.details.setEnabled(past is not None and past.failure is not None)
        self.clear.setEnabled(bool(self.session.runner.past))
        self.about.setText(past.failure.text if past is not None and past.failure else "")
        self.about.setVisible(bool(self.about.text()))

    @slot
    def _on_cancel(self) -> None:
        row = self._chosen()
        if row is not None and row.cancel is not None:
            row.cancel()
            self.refresh()

    @slot
    def _on_open(self) -> None:
        from .commands import open_dock

        row = self._chosen()
        if row is None or row.past is None or row.past.state != "done":
            return
        item = self.session.items.get(row.past.section_id)
        if item is not None:
            self.session.select(item.id, row.past.key if row.past.key in item.domains else None)
        open_dock(self.viewer, row.past.opens)

    @slot
    def _on_details(self) -> None:
        row = self._chosen()
        if row is not None and row.past is not None and row.past.failure is not None:
            copy_text(f"{row.past.failure.text}\n\n{row.past.failure.details}")

    @slot
    def _on_clear(self) -> None:
        self.session.runner.past.clear()
        self.refresh()

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong."""
        self.about.setText(failure.text)
        self.about.show()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
