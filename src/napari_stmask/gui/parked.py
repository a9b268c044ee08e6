"""Sections between a reader, which hands napari layers only, and the session that takes them."""

from __future__ import annotations

import uuid

from ..core.section import Section

__all__ = ["claim", "park"]

_PARKED: dict[str, Section] = {}


def park(section: Section) -> str:
    """Keep a section, whose layers a reader hands to napari, until a session claims it."""
    name = uuid.uuid4().hex
    _PARKED[name] = section
    return name


def claim(section_id: str) -> Section | None:
    """The parked section of that id, which then belongs to the caller; None if there is none."""
    return _PARKED.pop(section_id, None)
