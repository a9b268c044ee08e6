"""Runs of methods in a worker thread: a queue, throttled progress, cancel at once."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QObject, Signal

from ..core.params import DomainParams, Params
from ..core.progress import Progress, Steps
from ..core.section import Section
from ..viz.raster import rasterise
from .guard import Failure, carried, slot
from .layer_tuples import warm_up

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Event", "Job", "Past", "Runner"]

INTERVAL = 0.1
"""Shortest time in seconds between two events that reach the window."""
_KEPT = 50
"""Runs that have ended and are still listed."""


@dataclass(eq=False)
class Job:
    """One run that was asked for: here a method that finds domains.

    Attributes
    ----------
    OPENS
        The dock that shows what it found.
    state
        ``"queued"``, ``"running"``, ``"done"``, ``"cancelled"`` or ``"failed"``.
    watched
        Whether its section was the selected one when it ended.
    failure
        What went wrong; in the state ``"done"`` the data are written but could not be shown.
    cancel
        Set to stop the run; looked at on every event of the method.
    """

    OPENS: ClassVar[str] = "Domains"
    section_id: str
    label: str
    section: Section
    method: str
    title: str
    params: Params
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

    @property
    def about(self) -> str:
        """What tells it from other runs of its method."""
        if getattr(self.params, "auto_domains", False):
            return f"{self.key}, number chosen automatically"
        count = getattr(self.params, "n_domains", 1)
        return f"{self.key}, " + (f"{count} domains" if count != 1 else "1 domain")

    def touches(self, section_id: str) -> bool:
        """Whether the run is on that section."""
        return section_id == self.section_id

    def steps(self) -> Steps[Any]:
        """The run itself, for a worker thread; what it returns goes to `accept`."""
        from .. import models
        from ..pipeline import iter_run

        assert isinstance(self.params, DomainParams)
        raster = None
        if self.need_raster:
            yield Progress(0, 0, "drawing the spots")
            raster = rasterise(self.section.coords, self.section.lattice)
        # On a bare copy: nothing of the user's changes until the main thread accepts the result.
        extras = models.get(self.method).extras(self.section, self.params)
        bare = self.section.bare(obsm=extras)
        result = yield from iter_run(
            self.method, bare, params=self.params, key_added=self.key
        )  # fmt: skip
        return result, raster

    def accept(self, session: Session, answer: Any) -> None:
        """Write and show the answer, in the main thread."""
        result, raster = answer
        item = session.items.get(self.section_id)
        if raster is not None and item is not None:
            item.use_raster(raster)
        self.watched = session.selected_id in (None, self.section_id)
        try:
            session.add_result(self.section_id, result, self.title)
        except Exception:
            if self.watched and self.written(session, answer):
                # Shown on the tissue or not, the docks are about what the data hold.
                session.select(self.section_id, self.key)
            raise

    def written(self, session: Session, answer: Any) -> bool:
        """Whether the session carries the answer."""
        item = session.items.get(self.section_id)
        domains = item.domains.get(self.key) if item is not None else None
        return domains is not None and answer is not None and domains.result is answer[0]


@dataclass(frozen=True)
class Past:
    """What is remembered of a run that has ended; its section is not kept alive by it."""

    title: str
    label: str
    about: str
    state: str
    seconds: float
    section_id: str
    key: str
    opens: str
    failure: Failure | None

    @classmethod
    def of(cls, job: Job) -> Past:
        """Of a run that has just ended."""
        return cls(
            job.title, job.label, job.about, job.state, job.seconds, job.section_id, job.key,
            job.OPENS, job.failure,
        )  # fmt: skip


@dataclass(frozen=True)
class Event:
    """What has happened since the last event: where the run stands, and points of its curves."""

    progress: Progress
    points: tuple[tuple[int, dict[str, float]], ...] = ()
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Outcome:
    job: Job
    answer: Any = None
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
        self.past: deque[Past] = deque(maxlen=_KEPT)
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
        self._end(job)
        self.queue_changed.emit()

    def _end(self, job: Job) -> None:
        self.past.append(Past.of(job))
        self.ended.emit(job)

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
        session = self._session()
        if session is not None and job.failure is None and outcome.answer is not None:
            try:
                job.accept(session, outcome.answer)
            except Exception as error:  # noqa: BLE001 - shown on the run's card
                job.failure = Failure(error)
        written = session is not None and job.written(session, outcome.answer)
        if job.failure is not None and not written:
            job.state = "failed"
        self._end(job)

    @slot
    def _on_finished(self) -> None:
        self._worker = None
        if self.current is not None:
            # The window's own shutdown stopped the worker without an answer.
            job, self.current = self.current, None
            job.state, job.ended = "cancelled", time.monotonic()
            self._end(job)
        self._next()
        self.queue_changed.emit()


def _work(job: Job) -> Generator[tuple[Job, Event], None, _Outcome]:
    """The run in the worker thread. Every failure is returned: napari would swallow or print it."""
    steps = None
    try:
        warm_up()
        steps = job.steps()
        return _Outcome(job, (yield from _throttled(job, steps)))
    except Exception as error:  # noqa: BLE001 - carried to the main thread
        return _Outcome(job, failure=carried(error))
    finally:
        if steps is not None:
            steps.close()


def _throttled(job: Job, steps: Steps[Any]) -> Generator[tuple[Job, Event], None, Any]:
    """Events at most every `INTERVAL`, except for new phases and messages."""
    last, phase = 0.0, None
    points: list[tuple[int, dict[str, float]]] = []
    messages: list[str] = []
    while not job.cancel.is_set():
        try:
            progress = next(steps)
        except StopIteration as stop:
            return stop.value
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
