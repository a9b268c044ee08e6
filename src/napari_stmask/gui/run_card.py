"""The card of a run: phase, progress, loss curves, time left, log, Cancel, queue."""

from __future__ import annotations

import time
from itertools import cycle

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QKeySequence, QPalette
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QShortcut,
    QVBoxLayout,
    QWidget,
)

from ..viz.palette import PALETTE
from .guard import slot
from .parts import Fold, MessageStrip, color_key, plain_label
from .runner import Event, Job, Runner

__all__ = ["RunCard"]

_STATES = {
    "queued": "Waiting",
    "running": "Running",
    "done": "Finished",
    "cancelled": "Cancelled",
    "failed": "Failed",
}
_OUTCOMES = dict.fromkeys(("cancelled", "failed"), "; the data are as they were")
_UNSEEN = "; it is written, but showing the result failed"
_MAX_POINTS = 2000
_REDRAW = 1.0
"""Shortest time in seconds between two drawings of the curves."""


class RunCard(QFrame):
    """Follows the runner of a viewer; hidden until the first run."""

    def __init__(self, runner: Runner, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.runner = runner
        self.job: Job | None = None
        self._curves: dict[str, tuple[list[int], list[float], pg.PlotCurveItem]] = {}
        self._phase, self._phase_start = "", 0.0
        self._left: float | None = None
        self._pending: set[str] = set()
        self._drawn = 0.0
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._build()
        self.clock = QTimer(self)
        self.clock.setInterval(500)
        self.clock.timeout.connect(self._on_clock)
        runner.started.connect(self._on_started)
        runner.progressed.connect(self._on_progressed)
        runner.ended.connect(self._on_ended)
        runner.queue_changed.connect(self._on_queue)
        self.hide()
        if runner.current is not None:
            self._on_started(runner.current)
        self._on_queue()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(6)
        self.title = plain_label()
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop this run at once; the data stay as they were.")
        self.cancel.clicked.connect(self._on_cancel)
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(self.cancel, 0, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(top)
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress of the run")
        layout.addWidget(self.bar)
        self.status = plain_label()
        layout.addWidget(self.status)
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        layout.addWidget(self.legend)
        self._build_plot()
        layout.addWidget(self.plot)
        self.strip = MessageStrip()
        layout.addWidget(self.strip)
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setMaximumBlockCount(500)
        self.log.setFixedHeight(90)
        self.fold = Fold("Log", self.log)
        layout.addWidget(self.fold)
        self.queue = QListWidget()
        self.queue.setFixedHeight(60)
        self.queue.setAccessibleName("Runs that wait; Delete or double-click removes one")
        self.queue.setToolTip("Runs that wait; Delete or double-click removes one.")
        self.queue.itemDoubleClicked.connect(self._on_remove)
        delete = QShortcut(QKeySequence(Qt.Key.Key_Delete), self.queue)
        delete.setContext(Qt.ShortcutContext.WidgetShortcut)
        delete.activated.connect(self._on_remove)
        layout.addWidget(self.queue)

    def _build_plot(self) -> None:
        """Axes and an empty field, from parts: a whole PlotItem brings menus without an owner."""
        self.plot = pg.GraphicsLayoutWidget()
        self.plot.setFixedHeight(150)
        self.plot.setAccessibleName("Loss curves")
        # pyqtgraph lets a fifth of the lowest label hang over its axis.
        self.plot.ci.layout.setContentsMargins(0, 4, 4, 8)
        self.box = pg.ViewBox(enableMenu=False, enableMouse=False)
        self.axes = [pg.AxisItem(side, linkView=self.box) for side in ("left", "bottom")]
        self.axes[0].setLabel("loss / first")
        self.axes[1].setLabel("epoch")
        self.plot.addItem(self.axes[0], row=0, col=0)
        self.plot.addItem(self.box, row=0, col=1)
        self.plot.addItem(self.axes[1], row=1, col=1)
        self._style_plot()

    def tab_stops(self) -> list[QWidget]:
        """Widgets in the order in which Tab should reach them."""
        return [self.cancel, self.strip.copy, self.fold.toggleButton(), self.log, self.queue]

    @slot
    def _on_started(self, job: Job) -> None:
        self.job = job
        self._phase, self._phase_start, self._left = "", time.monotonic(), None
        self.box.clear()
        self.legend.clear()
        self._curves.clear()
        # A run that trains nothing has no curves.
        self.plot.hide()
        self._pending.clear()
        self._drawn = 0.0
        self._style_plot()
        self.log.clear()
        self.strip.clear()
        self.title.setText(f"{job.title} on {job.label}")
        self.status.setText("Starting")
        self.bar.setRange(0, 100)
        self.bar.setValue(0)
        self.cancel.setEnabled(True)
        self.cancel.show()
        self.show()
        self.clock.start()

    @slot
    def _on_progressed(self, job: Job, event: Event) -> None:
        if job is not self.job:
            return
        progress = event.progress
        if progress.phase != self._phase:
            self._phase, self._phase_start = progress.phase, time.monotonic()
            self.log.appendPlainText(f"{job.seconds:6.1f} s  {progress.phase}")
        for message in event.messages:
            self.log.appendPlainText(f"{job.seconds:6.1f} s  {message}")
        # Without a length the bar shows nothing rather than an animation, which costs redraws.
        self.bar.setRange(0, max(1, progress.total))
        self.bar.setValue(progress.step if progress.total else 0)
        self._left = self._time_left(progress.step, progress.total)
        self._add_points(event)
        self._on_clock()

    def _time_left(self, step: int, total: int) -> float | None:
        spent = time.monotonic() - self._phase_start
        if not total or not step or spent < 1.0:
            return None
        return spent / step * (total - step)

    def _add_points(self, event: Event) -> None:
        for step, losses in event.points:
            for name, value in losses.items():
                if np.isfinite(value):
                    xs, ys, _ = self._curve(name)
                    xs.append(step)
                    ys.append(value)
                    self._pending.add(name)
        if time.monotonic() - self._drawn >= _REDRAW:
            self._draw()

    def _draw(self) -> None:
        """Redraw the curves that have new points; costly, therefore not on every event."""
        if self._pending:
            self._drawn = time.monotonic()
        for name in self._pending:
            xs, ys, curve = self._curves[name]
            stride = -(-len(xs) // _MAX_POINTS)
            first = abs(ys[0]) or 1.0
            curve.setData(np.asarray(xs[::stride]), np.asarray(ys[::stride]) / first)
        self._pending.clear()

    def _curve(self, name: str) -> tuple[list[int], list[float], pg.PlotCurveItem]:
        if name not in self._curves:
            color = PALETTE[len(self._curves) % len(PALETTE)]
            item = pg.PlotCurveItem(pen=pg.mkPen(color, width=2), antialias=True)
            self.box.addItem(item)
            self._curves[name] = ([], [], item)
            self.legend.setText(color_key(self._curves, cycle(PALETTE)))
            self.plot.show()
        return self._curves[name]

    def _style_plot(self) -> None:
        """Axes in the theme's text colour."""
        if not hasattr(self, "axes"):
            return
        color = self.palette().color(QPalette.ColorRole.WindowText)
        self.plot.setBackground(self.palette().color(QPalette.ColorRole.Window))
        for axis in self.axes:
            axis.setPen(color)
            axis.setTextPen(color)

    def changeEvent(self, event: QEvent) -> None:
        """Follow napari's theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._style_plot()

    @slot
    def _on_ended(self, job: Job) -> None:
        if job is not self.job:
            return
        self.clock.stop()
        self._draw()
        self.cancel.setEnabled(False)
        self.cancel.hide()
        self.bar.setRange(0, 100)
        self.bar.setValue(100 if job.state == "done" else 0)
        unseen = job.state == "done" and job.failure is not None
        state, outcome = _STATES[job.state], _UNSEEN if unseen else _OUTCOMES.get(job.state, "")
        self.status.setText(f"{state} after {_time(job.seconds)}{outcome}")
        self.log.appendPlainText(f"{job.seconds:6.1f} s  {state}{outcome}.")
        if job.failure is not None:
            self.strip.show_failure(job.failure)

    @slot
    def _on_clock(self) -> None:
        job = self.job
        if job is None or job.state != "running":
            return
        parts = [self._phase.capitalize() or "Starting"]
        if self.bar.maximum() > 1:
            parts.append(f"{self.bar.value():,} of {self.bar.maximum():,}")
        parts.append(_time(job.seconds))
        if self._left is not None:
            parts.append(f"{_time(self._left)} left")
        self.status.setText("  ·  ".join(parts))

    @slot
    def _on_queue(self) -> None:
        self.queue.clear()
        for job in self.runner.waiting:
            after = " (waits for the cancelled run to stop)" if self.runner.stopping else ""
            self.queue.addItem(f"{job.title} on {job.label} · {job.about}{after}")
        self.queue.setVisible(bool(self.runner.waiting))
        if self.runner.waiting:
            self.show()

    @slot
    def _on_cancel(self) -> None:
        self.runner.cancel(self.job)

    @slot
    def _on_remove(self) -> None:
        row = self.queue.currentRow()
        if 0 <= row < len(self.runner.waiting):
            self.runner.cancel(self.runner.waiting[row])
            self.queue.setCurrentRow(min(row, self.queue.count() - 1))


def _time(seconds: float) -> str:
    """Seconds as a short text."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
