"""The dock Jobs, and a watchdog that nothing blocks the window while a method runs."""

from __future__ import annotations

import threading
import time
from functools import partial

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QTimer
from qtpy.QtGui import QGuiApplication

from napari_stmask.core.errors import DataError
from napari_stmask.core.progress import Progress
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.runner import Job
from napari_stmask.gui.session import session_of

from .helpers import click, fill


class _Waits(Job):
    """A run that goes on until it is told to end."""

    def steps(self):
        self.go = threading.Event()
        while not self.go.wait(0.02):
            yield Progress(1, 3, "training")
        if self.key == "bad":
            raise DataError("no counts", "give some")
        return None

    def accept(self, session, answer):
        pass


@pytest.fixture
def desk(make_napari_viewer, section, small_run):
    viewer = make_napari_viewer()
    item = session_of(viewer).add(section)
    dock = open_dock(viewer, "Jobs")
    make = partial(_Waits, item.id, item.label, section, "spamask", "SpaMask", small_run)
    return viewer, dock, session_of(viewer).runner, make


def states(dock):
    dock.refresh()
    return [dock.table.item(i, 2).text().split()[-1] for i in range(dock.table.rowCount())]


def test_runs_wait_run_and_end_in_the_table(desk, qtbot):
    _, dock, runner, make = desk
    assert dock.empty.isVisibleTo(dock)
    first, second, third = make("one"), make("bad"), make("three")
    for job in (first, second, third):
        runner.submit(job)
    qtbot.waitUntil(lambda: hasattr(first, "go"))
    assert states(dock) == ["running", "waiting", "waiting"]
    assert dock.table.item(0, 0).text() == "SpaMask: one, 3 domains"
    # One that waits is taken out of the queue.
    dock.table.selectRow(2)
    click(qtbot, dock.cancel)
    assert third.state == "cancelled"
    first.go.set()
    qtbot.waitUntil(lambda: hasattr(second, "go"))
    second.go.set()
    qtbot.waitUntil(lambda: second.state == "failed")
    assert states(dock) == ["cancelled", "finished", "failed"]
    dock.table.selectRow(2)
    assert "no counts" in dock.about.text()
    assert not dock.open.isEnabled()
    click(qtbot, dock.details)
    assert "DataError" in QGuiApplication.clipboard().text()
    dock.table.selectRow(1)
    click(qtbot, dock.open)
    assert "Domains (napari-stmask)" in dock.viewer.window.dock_widgets
    click(qtbot, dock.clear)
    assert dock.table.rowCount() == 0
    assert not runner.past


def test_cancel_stops_the_run(desk, qtbot):
    _, dock, runner, make = desk
    job = make("one")
    runner.submit(job)
    qtbot.waitUntil(lambda: hasattr(job, "go"))
    dock.refresh()
    dock.table.selectRow(0)
    click(qtbot, dock.cancel)
    assert job.state == "cancelled"
    assert runner.current is None
    qtbot.waitUntil(lambda: not runner.stopping)


def test_analyses_are_listed_in_their_own_window_only(
    make_napari_viewer, section, make_result, qtbot
):
    viewer, other = make_napari_viewer(), make_napari_viewer()
    fill(viewer, section, make_result(section))
    dock, elsewhere = open_dock(viewer, "Jobs"), open_dock(other, "Jobs")
    plots = open_dock(viewer, "Plots")
    flag = threading.Event()

    def waits():
        while not flag.is_set():
            time.sleep(0.01)
            yield Progress(0, 1, "laying out spots")

    worker = plots.umap._worker
    worker.start(waits)
    qtbot.waitUntil(lambda: worker.last is not None)
    assert states(dock) == ["running"]
    assert dock.table.item(0, 0).text() == "UMAP: laying out spots"
    assert states(elsewhere) == []
    dock.table.selectRow(0)
    click(qtbot, dock.cancel)
    flag.set()
    assert not worker.busy
    assert states(dock) == []


class _Watchdog:
    """CPU seconds of the main thread between two turns of its event loop.

    Without those that napari itself takes to put a new Labels layer on the canvas (about 0.1 s
    with software GL, whatever the layer shows): nobody but napari can make them less.
    """

    def __init__(self, monkeypatch):
        self.gaps, self.napari, self._last = [], 0.0, time.thread_time()
        add = ViewerModel.add_labels

        def timed(viewer, *args, **options):
            start = time.thread_time()
            layer = add(viewer, *args, **options)
            self.napari += time.thread_time() - start
            self._last += time.thread_time() - start
            return layer

        monkeypatch.setattr(ViewerModel, "add_labels", timed)
        self._timer = QTimer()
        self._timer.setInterval(2)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _beat(self):
        now = time.thread_time()
        self.gaps.append(now - self._last)
        self._last = now

    def stop(self):
        self._timer.stop()
        return np.array(self.gaps)


def test_a_run_never_blocks_the_window(
    make_napari_viewer, new_section, small_run, qtbot, monkeypatch
):
    """Training, its curves, its result: no turn of the event loop takes 200 ms."""
    viewer = make_napari_viewer(show=True)
    session = session_of(viewer)
    item = session.add(new_section(n=64))
    dock = open_dock(viewer, "Find domains")
    legend = open_dock(viewer, "Domains")
    # What napari draws for the first time is not the run's.
    qtbot.wait(300)
    job = Job(
        item.id, item.label, item.section, "spamask", "SpaMask",
        small_run.model_copy(update={"epochs": 60}), "spamask",
    )  # fmt: skip
    dog = _Watchdog(monkeypatch)
    session.runner.submit(job)
    qtbot.waitUntil(lambda: job.state in ("done", "failed"), timeout=120_000)
    qtbot.waitUntil(lambda: legend.model.facts is not None, timeout=20_000)
    gaps = dog.stop()
    assert job.state == "done", job.failure and job.failure.details
    assert dock is not None
    assert len(gaps) > 50
    assert dog.napari > 0
    assert gaps.max() < 0.2, f"blocked for {gaps.max():.3f} s of CPU"
