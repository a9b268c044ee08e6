"""Runs of methods in a worker thread: a queue, throttled progress, cancel at once."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from ..core.params import DomainParams
from ..core.progress import Progress
from ..core.result import Result
from ..core.section import Section
from ..viz.raster import SpotRaster, rasterise
from .guard import Failure, carried, slot
from .layer_tuples import warm_up

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Event", "Job", "Runner"]

INTERVAL = 0.1
"""Shortest time in seconds between two events that reach the window."""


@dataclass(eq=False)
class Job:
    """One run that was asked for.

    Attributes
    ----------
    state
        ``"queued"``, ``"running"``, ``"done"``, ``"cancelled"`` or ``"failed"``.
    watched
        Whether its section was the selected one when it ended.
    failure
        What went wrong; in the state ``"done"`` the data are written but could not be shown.
    cancel
        Set to stop the run; looked at on every event of the method.
    """

    section_id: str
    label: str
    section: Section
    method: str
    title: str
    params: DomainParams
    key: str
    need_raster: bool = True
    watched: bool = True
    state: str = "queued"
    started: float = 0.0
    ended: float = 0.0
    failure: Failure | None = None
    cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def seconds(self) -> float:
        """Time since the start, or that the run took."""
        if not self.started:
            return 0.0
        return (self.ended or time.monotonic()) - self.started


@dataclass(frozen=True)
class Event:
    """What has happened since the last event: where the run stands, and points of its curves."""

    progress: Progress
    points: tuple[tuple[int, dict[str, float]], ...] = ()
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Outcome:
    job: Job
    result: Result | None = None
    raster: SpotRaster | None = None
    failure: Failure | None = None


class Runner(QObject):
    """Runs jobs one after the other; signals reach the main thread.

    ``started(job)``, ``progressed(job, event)``, ``ended(job)``, ``queue_changed()``.
    """

    started = Signal(object)
    progressed = Signal(object, object)
    ended = Signal(object)
    queue_changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = weakref.ref(session)
        self.waiting: deque[Job] = deque()
        self.current: Job | None = None
        self._worker: Any = None
        self._closed = False

    def submit(self, job: Job) -> None:
        """Run ``job`` now or after those that wait."""
        self.waiting.append(job)
        self.queue_changed.emit()
        self._next()

    def cancel(self, job: Job | None = None) -> None:
        """Stop the current run, or take one out of the queue; returns at once.

        The thread ends within one step of the method; what it still returns is ignored.
        """
        job = job or self.current
        if job is None or job.state not in ("queued", "running"):
            return
        job.cancel.set()
        job.state, job.ended = "cancelled", time.monotonic()
        if job in self.waiting:
            self.waiting.remove(job)
        if job is self.current:
            self.current = None
        self.ended.emit(job)
        self.queue_changed.emit()

    def shutdown(self, *_: object) -> None:
        """Cancel everything without telling anybody: the window is going away."""
        self._closed = True
        for job in [*self.waiting, *([self.current] if self.current else [])]:
            job.cancel.set()
            job.state = "cancelled"
        self.waiting.clear()
        self.current = None

    @property
    def stopping(self) -> bool:
        """Whether a cancelled run has not ended yet, so that the next one waits for it."""
        return self._worker is not None and self.current is None

    def _next(self) -> None:
        if self._worker is not None or self._closed or not self.waiting:
            return
        from napari.qt.threading import create_worker

        job = self.waiting.popleft()
        job.state, job.started = "running", time.monotonic()
        self.current = job
        worker = create_worker(_work, job, _start_thread=False)
        worker.yielded.connect(self._on_yielded)
        worker.returned.connect(self._on_returned)
        worker.finished.connect(self._on_finished)
        self._worker = worker
        self.started.emit(job)
        self.queue_changed.emit()
        worker.start()

    @slot
    def _on_yielded(self, pair: tuple[Job, Event]) -> None:
        job, event = pair
        if job is self.current:
            self.progressed.emit(job, event)

    @slot
    def _on_returned(self, outcome: _Outcome) -> None:
        job = outcome.job
        if job is not self.current:
            return
        self.current = None
        job.ended = time.monotonic()
        job.state, job.failure = "done", outcome.failure
        if job.failure is None:
            try:
                self._accept(job, outcome)
            except Exception as error:  # noqa: BLE001 - shown on the run's card
                job.failure = Failure(error)
        if job.failure is not None and not self._written(job, outcome):
            job.state = "failed"
        self.ended.emit(job)

    def _written(self, job: Job, outcome: _Outcome) -> bool:
        """Whether the section carries the answer of the run."""
        session = self._session()
        item = session.items.get(job.section_id) if session is not None else None
        domains = item.domains.get(job.key) if item is not None else None
        return domains is not None and domains.result is outcome.result is not None

    def _accept(self, job: Job, outcome: _Outcome) -> None:
        session = self._session()
        if session is None or outcome.result is None:
            return
        item = session.items.get(job.section_id)
        if outcome.raster is not None and item is not None:
            item.use_raster(outcome.raster)
        job.watched = session.selected_id in (None, job.section_id)
        try:
            session.add_result(job.section_id, outcome.result, job.title)
        except Exception:
            if job.watched and self._written(job, outcome):
                # Shown on the tissue or not, the docks are about what the data hold.
                session.select(job.section_id, job.key)
            raise

    @slot
    def _on_finished(self) -> None:
        self._worker = None
        if self.current is not None:
            # The window's own shutdown stopped the worker without an answer.
            job, self.current = self.current, None
            job.state, job.ended = "cancelled", time.monotonic()
            self.ended.emit(job)
        self._next()
        self.queue_changed.emit()


def _work(job: Job) -> Generator[tuple[Job, Event], None, _Outcome]:
    """The run in the worker thread. Every failure is returned: napari would swallow or print it."""
    steps = None
    try:
        from .. import models
        from ..pipeline import iter_run

        warm_up()
        raster = rasterise(job.section.coords, job.section.lattice) if job.need_raster else None
        # On a bare copy: nothing of the user's changes until the main thread accepts the result.
        extras = models.get(job.method).extras(job.section, job.params)
        bare = job.section.bare(obsm=extras)
        steps = iter_run(job.method, bare, params=job.params, key_added=job.key)
        result = yield from _throttled(job, steps)
        return _Outcome(job, result, raster)
    except Exception as error:  # noqa: BLE001 - carried to the main thread
        return _Outcome(job, failure=carried(error))
    finally:
        if steps is not None:
            steps.close()


def _throttled(job: Job, steps: Any) -> Generator[tuple[Job, Event], None, Result | None]:
    """Events at most every `INTERVAL`, except for new phases and messages."""
    last, phase = 0.0, None
    points: list[tuple[int, dict[str, float]]] = []
    messages: list[str] = []
    while not job.cancel.is_set():
        try:
            progress = next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if progress.losses:
            points.append((progress.step, dict(progress.losses)))
        if progress.message:
            messages.append(progress.message)
        now = time.monotonic()
        if progress.phase != phase or now - last >= INTERVAL:
            last, phase = now, progress.phase
            yield job, Event(progress, tuple(points), tuple(messages))
            points.clear()
            messages.clear()
    return None
