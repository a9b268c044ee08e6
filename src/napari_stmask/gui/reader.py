"""napari's reader: a folder or file becomes image, spots and domains."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.section import Section
from .layer_tuples import META, LayerTuple, section_layers
from .model import DomainSet, Item, stored_keys
from .parked import park
from .returning import restored, take_state
from .session import session_of

__all__ = ["get_reader", "section_to_layers"]


def get_reader(path: str | list[str]) -> Callable[[Any], list[LayerTuple]] | None:
    """The reader of ``path``, or None for what is none of ours; looks at first bytes only."""
    from ..io.read import recognise

    first = path[0] if isinstance(path, list) else path
    return _read if recognise(first) is not None else None


def _read(path: str | list[str]) -> list[LayerTuple]:
    from ..io.read import read_sections

    made: list[LayerTuple] = []
    for one in path if isinstance(path, list) else [path]:
        for section in read_sections(Path(one)):
            made += section_to_layers(section)
    return made


def section_to_layers(section: Section) -> list[LayerTuple]:
    """Layers of a section, which a session adopts as soon as they are in a viewer."""
    _attend()
    item = Item(park(section), section.name, section)
    for key in stored_keys(section):
        domains = DomainSet.stored(section, key)
        if domains is not None:
            item.domains[key] = domains
    take_state(item)
    made = restored(item, section_layers(item))
    for _, options, _ in made:
        meta = options.setdefault("metadata", {}).setdefault(META, {"foreign": True})
        # What was drawn over it is nobody's, once it lies where the section lies.
        meta["lent"] = "section_id" not in meta
        meta |= {"section_id": item.id, "parked": True}
    return made


def _attend() -> None:
    """Give the window in front a session, which puts what was read beside what is there.

    A reader is not told for which viewer it reads; where it is another one, its session adopts
    the layers when the first dock opens.
    """
    module = sys.modules.get("napari._qt.qt_main_window")
    viewer = module._QtMainWindow.current_viewer() if module is not None else None
    if viewer is not None:
        session_of(viewer)
