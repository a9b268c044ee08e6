"""Where a run computes: in this process, or on a Dask scheduler elsewhere.

Both ways give the same stream of `Progress` and the same `Result`, and closing the stream
cancels both. What travels is counts, positions, parameters, and what the method reads besides them:
the image, finished features, the sections of a joined one. Labels stay here, and so are the
answers written here.
"""

from __future__ import annotations

import contextlib
import queue
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from . import models
from .core.errors import CancelledError, ParameterError, ResourceError
from .core.progress import Progress, Steps
from .core.result import Result
from .pipeline import Data, as_section, iter_run
from .settings import check_number, settings

__all__ = ["fan_out", "submit"]

T = TypeVar("T")

_CONNECT_SECONDS = 10
_LOOK_SECONDS = 0.3


def submit(
    method: str, data: Data | Sequence[Data], *, on: str | None = None, **options: Any
) -> Steps[Result]:
    """A run as a stream of `Progress`, here or on the scheduler ``on``.

    Parameters
    ----------
    method, data, **options
        As for `napari_stmask.iter_run`.
    on
        None for this process, or ``"dask://HOST:PORT"``.

    Raises
    ------
    ParameterError
        If ``on`` is not such an address.
    ResourceError
        If ``distributed`` is not installed or the scheduler does not answer.
    """
    if on is None:
        return iter_run(method, data, **options)
    return _on_dask(_scheduler_address(on), method, data, options)


def _scheduler_address(on: str) -> str:
    parts = urlsplit(on)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme != "dask" or not host or not port:
        raise ParameterError(f"'{on}' is not a scheduler's address", "write dask://HOST:PORT")
    return f"tcp://{host}:{port}"


def fan_out(
    function: Callable[..., Steps[T]],
    jobs: Sequence[tuple[Any, ...]],
    *,
    labels: Sequence[str],
    on: str | None = None,
) -> Steps[list[T]]:
    """Independent computations, one by one here or side by side on a scheduler.

    Parameters
    ----------
    function
        Makes a stream from the arguments of one job; defined at the top of a module.
    jobs
        Arguments of each.
    labels
        What messages call each.
    on
        None for this process, or ``"dask://HOST:PORT"``.

    Returns
    -------
    list
        What the streams return, in the order of the jobs.

    Raises
    ------
    StmaskError
        What a job raises; the others are cancelled.
    """
    if on is not None:
        return (yield from _fan_out_on_dask(_scheduler_address(on), function, jobs, labels))
    out = []
    for i, (job, label) in enumerate(zip(jobs, labels, strict=True)):
        if len(jobs) > 1:
            yield Progress(0, 0, "starting", message=f"{label} ({i + 1} of {len(jobs)})")
        found = yield from function(*job)
        out.append(found)
    return out


def _on_dask(address: str, method: str, data: Any, options: dict[str, Any]) -> Steps[Result]:
    given = list(data) if isinstance(data, Sequence) and not isinstance(data, str) else [data]
    sections = [as_section(one) for one in given]
    chosen = models.get(method)
    check_number(chosen, sections)
    names = ("params", "preset", "key_added", "model", "baselines")
    values = {name: value for name, value in options.items() if name not in names}
    params = settings(
        chosen,
        sections[0],
        options.get("params"),
        options.get("preset", "recommended"),
        values,
        model=options.get("model"),
    )
    # What the run reads besides counts and positions is here, not where it computes.
    bare = [s.bare(obsm=chosen.extras(s, params, options.get("model"))) for s in sections]
    found = yield from _fan_out_on_dask(address, _run_steps, [(method, bare, options)], [method])
    yield Progress(1, 1, "writing")
    found[0].apply(sections[0].adata)
    return found[0]


def _run_steps(method: str, sections: list[Any], options: dict[str, Any]) -> Steps[Result]:
    return iter_run(method, sections, **options)


def _fan_out_on_dask(
    address: str,
    function: Callable[..., Steps[T]],
    jobs: Sequence[tuple[Any, ...]],
    labels: Sequence[str],
) -> Steps[list[T]]:
    try:
        from distributed import Client, Event
    except ImportError:
        raise ResourceError(
            "The package 'distributed' is not installed", "pip install 'napari-stmask[distributed]'"
        ) from None
    try:
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except OSError:
        raise ResourceError(
            f"The scheduler {address} does not answer", "check the address, or start it"
        ) from None
    topic = f"stmask-{uuid.uuid4().hex}"
    events: queue.SimpleQueue[Progress] = queue.SimpleQueue()

    def received(event: tuple[float, dict[str, Any]]) -> None:
        events.put(Progress(**event[1]["progress"]))

    try:
        client.subscribe_topic(topic, received)
        stop = Event(topic, client=client)
        futures = [client.submit(_remote, topic, function, job, pure=False) for job in jobs]
        said: set[int] = set()
        try:
            while not all(future.done() for future in futures):
                with contextlib.suppress(queue.Empty):
                    yield events.get(timeout=_LOOK_SECONDS)
                for i, future in enumerate(futures):
                    if future.done() and i not in said:
                        said.add(i)
                        future.result()  # What one raises ends all.
                        if len(futures) > 1:
                            message = f"{labels[i]}: done ({len(said)} of {len(futures)})"
                            yield Progress(len(said), len(futures), "folds", message=message)
            found: list[T] = [future.result() for future in futures]
        finally:
            # Reached on cancel too: the workers see the flag at their next event.
            stop.set()
            for future in futures:
                if not future.done():
                    future.cancel()
        client.unsubscribe_topic(topic)
    finally:
        client.close()
    return found


def _remote(topic: str, function: Callable[..., Steps[T]], job: tuple[Any, ...]) -> T:
    """A job on a worker: reports through the scheduler's events, stops when the flag is set."""
    from distributed import Event, get_worker

    worker, stop = get_worker(), Event(topic)
    steps = function(*job)
    said = 0.0
    try:
        while True:
            event = next(steps)
            if time.monotonic() - said > _LOOK_SECONDS or event.message:
                said = time.monotonic()
                if stop.is_set():
                    raise CancelledError
                worker.log_event(
                    topic,
                    {"progress": asdict(replace(event, losses=dict(event.losses)))},
                )
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        steps.close()
