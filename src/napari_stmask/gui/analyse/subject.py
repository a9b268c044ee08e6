"""What an analysis is about, and its answer; no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...analysis.storing import store_values
from ...core.provenance import records
from ...core.section import Section
from ...viz.palette import UNASSIGNED_COLOUR
from ..export import snapshot
from ..model import DomainSet, DomainState, Item

if TYPE_CHECKING:
    from ..session import Session

__all__ = [
    "About",
    "Answer",
    "Subject",
    "Whole",
    "colors_of",
    "count_domains",
    "labels_of",
    "store",
]


class About(Protocol):
    """What an analysis is about, and whether it still is."""

    def gone(self, session: Session) -> str:
        """What has happened to it since the analysis began; empty where it is still there."""

    def selected(self, session: Session) -> bool:
        """Whether the docks are about it now."""


@dataclass(frozen=True, eq=False)
class Whole:
    """A section as it was when an analysis began.

    Attributes
    ----------
    item, origin
        Whose it is, and which reading.
    section
        Over the same arrays as ``origin``; later edits do not reach it.
    """

    item: Item
    origin: Section
    section: Section

    def gone(self, session: Session) -> str:
        """Whether the section was closed, or read again."""
        if session.items.get(self.item.id) is not self.item:
            return f"The section '{self.item.label}' was closed"
        if self.item.section is not self.origin:
            return f"The section '{self.item.label}' was read again"
        return ""

    def selected(self, session: Session) -> bool:
        """Whether the docks are about the section."""
        return session.selected is self.item


@dataclass(frozen=True, eq=False)
class Subject(Whole):
    """A result as it was when an analysis began.

    Attributes
    ----------
    domains, state
        Whose it is, and the partition.
    """

    domains: DomainSet
    state: DomainState

    @classmethod
    def of(cls, item: Item, domains: DomainSet) -> Subject:
        """The result as it is now."""
        return cls(item, item.section, snapshot(item.section), domains, domains.state)

    def gone(self, session: Session) -> str:
        """Whether the section was closed, or another run took the result's place."""
        replaced = self.item.domains.get(self.domains.key) is not self.domains
        if replaced and self.item.id in session.items:
            return f"The result '{self.domains.key}' of '{self.item.label}' was replaced"
        return super().gone(session)

    def selected(self, session: Session) -> bool:
        """Whether the docks are about the result."""
        return super().selected(session) and session.selected_domains is self.domains

    @property
    def labels(self) -> pd.Series:
        """(n_spots,) domains, missing where unassigned, by name of the spot."""
        return labels_of(self.state).set_axis(self.section.adata.obs_names)


@dataclass(frozen=True, eq=False)
class Answer:
    """What an analysis found.

    Attributes
    ----------
    found
        Kind of question -> what the analysis returned; ``"main"`` is the panel's own.
    state
        The domains that it is about; None where it is about none.
    spots
        Names of the spots of the section that it is about.
    """

    found: dict[str, Any]
    state: DomainState | None = None
    spots: pd.Index | None = None

    def fits(self, domains: DomainSet | None) -> bool:
        """Whether the domains are still those that it is about."""
        if self.state is None or domains is None:
            return True
        now = domains.state
        return now.codes is self.state.codes and now.names == self.state.names


def labels_of(state: DomainState) -> pd.Series:
    """(n_spots,) domains, missing where unassigned, by position."""
    return pd.Series(pd.Categorical.from_codes(state.codes, pd.Index(state.names)), name="domain")


def count_domains(state: DomainState) -> int:
    """Domains that have spots."""
    return int((state.counts > 0).sum())


def colors_of(state: DomainState, names: list[str] | tuple[str, ...]) -> list[str]:
    """The colour of each domain in ``names``."""
    known = dict(zip(state.names, state.colors, strict=True))
    return [known.get(name, UNASSIGNED_COLOUR) for name in names]


def store(item: Item, domains: DomainSet, values: dict[str, NDArray[np.floating[Any]]]) -> None:
    """Write one number a spot beside the result, so that a saved file holds it.

    Raises
    ------
    ParameterError
        If a column of that name holds something else.
    """
    if not values:
        return
    store_values(item.section.adata, domains.key, values)
    # The record lists the columns now; it is still the same run.
    domains.stamp = records(item.section.adata).get(domains.key)
