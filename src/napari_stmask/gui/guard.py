"""No exception leaves a slot: PyQt would end the process."""

from __future__ import annotations

import functools
import inspect
import logging
import traceback
from collections.abc import Callable
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject

from ..core.errors import StmaskError

__all__ = ["Failure", "carried", "explain", "slot"]

_log = logging.getLogger(__name__)


class Failure:
    """An exception, as a sentence for the user and as details for a report."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.text = explain(error)
        self.details = "".join(traceback.format_exception(error))


def carried(error: BaseException) -> Failure:
    """The failure of a worker, for the main thread; the report is text by then.

    The frames of the error, and of those it came from, would keep what they worked on alive.
    """
    failure = Failure(error)
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        found.__traceback__ = None
        found = found.__cause__ or found.__context__
    return failure


def explain(error: BaseException) -> str:
    """The sentence that a user sees."""
    if isinstance(error, StmaskError):
        return str(error)
    if isinstance(error, MemoryError):
        return "The memory did not suffice; close other programs or take fewer spots."
    return f"Something went wrong inside napari-stmask ({type(error).__name__}: {error})."


def slot(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a method of a widget that a signal calls: failures are shown, never raised.

    The widget's ``show_failure(failure)`` is called if it has one, else napari notifies.
    Surplus arguments of the signal are dropped.
    """
    count = len(inspect.signature(method).parameters) - 1

    @functools.wraps(method)
    def safe(self: Any, *args: Any) -> Any:
        try:
            return method(self, *args[:count])
        except Exception as error:  # noqa: BLE001 - a slot is the outermost frame
            if isinstance(self, QObject) and not isalive(self):
                # A late signal for a widget that Qt has deleted.
                return None
            _report(self, error)
            return None

    return safe


def _report(receiver: Any, error: Exception) -> None:
    if not isinstance(error, StmaskError):
        _log.error("Error in a slot of %s", type(receiver).__name__, exc_info=error)
    failure = Failure(error)
    if hasattr(receiver, "show_failure"):
        receiver.show_failure(failure)
        return
    from napari.utils.notifications import show_warning

    show_warning(failure.text)
