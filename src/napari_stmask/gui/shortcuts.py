"""Keys of the viewer that open our docks; runs without Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["KEYS", "bind_keys"]

KEYS = {
    "Shift-Alt-F": "Find domains",
    "Shift-Alt-D": "Domains",
    "Shift-Alt-G": "Explore genes",
    "Shift-Alt-A": "Analyse",
    "Shift-Alt-C": "Compare",
    "Shift-Alt-R": "Annotate",
    "Shift-Alt-P": "Plots",
    "Shift-Alt-J": "Jobs",
}
"""Key -> dock. napari's layers have the single letters, menus have Alt with one, and Control with
Alt types characters on many keyboards."""
UNDO, REDO = "Shift-Alt-Z", "Shift-Alt-Y"


def bind_keys(viewer: ViewerModel) -> None:
    """Bind the keys that the user has not given another meaning."""
    from .session import session_of

    actions: dict[str, Callable[[ViewerModel], None]] = {
        key: _opening(name) for key, name in KEYS.items()
    }
    actions[UNDO] = lambda v: session_of(v).undo()
    actions[REDO] = lambda v: session_of(v).redo()
    for key, action in actions.items():
        try:
            viewer.bind_key(key, action, overwrite=False)
        except ValueError:
            # Taken, by the user or by another plugin: theirs stays.
            continue


def _opening(name: str) -> Callable[[ViewerModel], None]:
    """A function, because napari asks what is bound to a key for its name."""

    def open_it(viewer: ViewerModel) -> None:
        from .commands import open_dock

        if getattr(viewer, "window", None) is not None:
            open_dock(viewer, name)

    return open_it
