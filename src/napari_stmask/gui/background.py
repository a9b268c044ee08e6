"""Short jobs off the main thread: the answer, or the failure, comes back as a signal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from .guard import Failure, carried

__all__ = ["Background"]


class Background(QObject):
    """Runs one function at a time in a worker; a newer request makes older answers void.

    ``done(answer)`` or ``failed(Failure)`` is emitted on the main thread, as long as this
    object lives.
    """

    done = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._latest = 0
        self._running = 0

    @property
    def busy(self) -> bool:
        """Whether an answer is awaited."""
        return self._running > 0

    def start(self, function: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Call ``function`` in a worker thread."""
        from napari.qt.threading import create_worker

        self._latest += 1
        self._running = self._latest
        # napari keeps a worker's arguments for ever; the box is empty once the work has begun.
        box = [(function, args, options)]
        worker = create_worker(_attempt, self._latest, box, _start_thread=False)
        worker.returned.connect(self._on_returned)
        worker.start()

    def forget(self) -> None:
        """Ignore the answer that is still awaited."""
        self._latest += 1
        self._running = 0

    def _on_returned(self, answer: tuple[int, Any]) -> None:
        number, value = answer
        if number != self._latest:
            return
        self._running = 0
        if isinstance(value, Failure):
            self.failed.emit(value)
        else:
            self.done.emit(value)


_Work = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def _attempt(number: int, box: list[_Work]) -> tuple[int, Any]:
    function, args, options = box.pop()
    try:
        return number, function(*args, **options)
    except Exception as error:  # noqa: BLE001 - carried to the main thread
        return number, carried(error)
