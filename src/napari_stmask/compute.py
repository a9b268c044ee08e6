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
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlsplit

from . import models
from .core.errors import CancelledError, ParameterError, ResourceError
from .core.progress import Progress, Steps
from .core.result import Result
from .pipeline import Data, as_section, iter_run
from .settings import check_number, settings

__all__ = ["submit"]

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


def _on_dask(address: str, method: str, data: Any, options: dict[str, Any]) -> Steps[Result]:
    try:
        from distributed import Client, Event
    except ImportError:
        raise ResourceError(
            "The package 'distributed' is not installed", "pip install 'napari-stmask[distributed]'"
        ) from None
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
        future = client.submit(_remote, topic, method, bare, options, pure=False)
        try:
            while not future.done():
                with contextlib.suppress(queue.Empty):
                    yield events.get(timeout=_LOOK_SECONDS)
            result: Result = future.result()
        finally:
            # Reached on cancel too: the worker sees the flag at its next event.
            stop.set()
            if not future.done():
                future.cancel()
        client.unsubscribe_topic(topic)
    finally:
        client.close()
    yield Progress(1, 1, "writing")
    result.apply(sections[0].adata)
    return result


def _remote(topic: str, method: str, sections: list[Any], options: dict[str, Any]) -> Result:
    """The run on a worker: reports through the scheduler's events, stops when the flag is set."""
    from distributed import Event, get_worker

    worker, stop = get_worker(), Event(topic)
    steps = iter_run(method, sections, **options)
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
