"""One analysis at a time in a worker thread: progress, answer or failure come as signals."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Generator
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject, Signal

from ...core.progress import Progress, Steps
from ..guard import Failure, carried, slot

__all__ = ["StepWorker", "going_on"]

INTERVAL = 0.1
"""Shortest time in seconds between two events that reach the window."""
Make = Callable[[], Steps[Any]]
_RUNNING: weakref.WeakSet[StepWorker] = weakref.WeakSet()


def going_on() -> list[StepWorker]:
    """Workers of every window that have something to do, in the order in which they began."""
    return sorted((w for w in _RUNNING if isalive(w) and w.busy), key=lambda w: w.started)


class _Flags:
    """The flag of the running worker; outlives the object that set it."""

    def __init__(self) -> None:
        self.flag: threading.Event | None = None

    def stop(self, *_: object) -> None:
        """Let the worker end at its next event."""
        if self.flag is not None:
            self.flag.set()


class StepWorker(QObject):
    """Drives a stream of progress; closing it, or the object's end, cancels.

    ``progressed(Progress)``, then one of ``done(answer)`` and ``failed(Failure)``; neither after
    `cancel`. ``ended()`` comes last in every case. ``title`` is what the list of jobs calls it.
    """

    progressed = Signal(object)
    done = Signal(object)
    failed = Signal(object)
    ended = Signal()

    def __init__(self, parent: QObject | None = None, title: str = "Analysis") -> None:
        super().__init__(parent)
        self.title, self.started = title, 0.0
        self.last: Progress | None = None
        self._number = 0
        self._running = False
        self._flags = _Flags()
        # Qt may delete this object while Python keeps it, and the other way round. The registry
        # of `finalize` keeps the flags: a slot of what is being collected would crash.
        weakref.finalize(self, self._flags.stop)
        self.destroyed.connect(self._flags.stop)

    @property
    def busy(self) -> bool:
        """Whether an answer is awaited."""
        return self._running

    def start(self, make: Make) -> None:
        """Run the stream that ``make`` gives, which is called in the worker thread."""
        from napari.qt.threading import create_worker

        self.cancel()
        self._number += 1
        self._running = True
        self.started, self.last = time.monotonic(), None
        _RUNNING.add(self)
        flag = self._flags.flag = threading.Event()
        # napari keeps a worker's arguments for ever; the box is empty once the work has begun.
        worker = create_worker(_work, self._number, flag, [make], _start_thread=False)
        worker.yielded.connect(self._on_yielded)
        worker.returned.connect(self._on_returned)
        worker.start()

    def cancel(self) -> None:
        """Stop; the thread ends at its next event, and what it still returns is ignored."""
        self._flags.stop()
        if self._running:
            self._running = False
            self._number += 1
            self.ended.emit()

    @slot
    def _on_yielded(self, event: tuple[int, Progress]) -> None:
        if event[0] == self._number:
            self.last = event[1]
            self.progressed.emit(event[1])

    @slot
    def _on_returned(self, answer: tuple[int, Any]) -> None:
        number, value = answer
        if number != self._number or not self._running:
            return
        self._running = False
        if isinstance(value, Failure):
            self.failed.emit(value)
        else:
            self.done.emit(value)
        self.ended.emit()


def _work(
    number: int, cancel: threading.Event, box: list[Make]
) -> Generator[tuple[int, Progress], None, tuple[int, Any]]:
    """Every failure is returned: napari would swallow or print it."""
    steps = None
    try:
        steps = box.pop()()
        last, phase = 0.0, None
        while not cancel.is_set():
            try:
                progress = next(steps)
            except StopIteration as stop:
                return number, stop.value
            now = time.monotonic()
            if progress.phase != phase or now - last >= INTERVAL:
                last, phase = now, progress.phase
                yield number, progress
    except Exception as error:  # noqa: BLE001 - carried to the main thread
        return number, carried(error)
    finally:
        if steps is not None:
            steps.close()
    return number, None
