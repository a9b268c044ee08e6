"""Names and colours of domains, from one section of an integration to the others; no Qt."""

from __future__ import annotations

from dataclasses import replace

from ..model import Item
from ..session import Session
from .known import Known, Look

__all__ = ["behind", "carry", "source_of"]


def source_of(session: Session, known: Known) -> Item | None:
    """The section that the legend shows, where it is one of the integration."""
    item = session.selected
    shown = item is not None and session.selected_key == known.key and known.key in item.domains
    return item if shown and item in known.open_items(session) else None


def behind(session: Session, known: Known) -> list[Item]:
    """Sections whose domains look otherwise than those of `source_of`; none without one.

    Domains that were merged in another way are other domains, and stay as they are.
    """
    source = source_of(session, known)
    if source is None:
        return []
    first = source.domains[known.key].state
    found = []
    for item in known.open_items(session):
        domains = item.domains.get(known.key)
        state = domains.state if domains is not None else first
        if state.table == first.table and Look.of(state) != Look.of(first):
            found.append(item)
    return found


def carry(session: Session, known: Known) -> None:
    """Give the other sections the names and colours of `source_of`; each can be undone there."""
    source = source_of(session, known)
    if source is None:
        return
    look = Look.of(source.domains[known.key].state)
    try:
        for item in behind(session, known):
            session.select(item.id, known.key)
            state = item.domains[known.key].state
            session.edit(replace(state, names=look.names, colors=look.colors))
    finally:
        session.select(source.id, known.key)
