"""An integration in the queue of runs."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.joining import split_joined
from ...core.joint import JointParams
from ...core.params import DomainParams
from ...core.progress import Progress, Steps
from ...core.section import Section
from ...features.alignment import Alignment
from ...integration import iter_integrate
from ...viz.raster import SpotRaster, rasterise
from ..export import snapshot
from ..model import Item
from ..runner import Job
from .known import Known, remember

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["IntegrateJob", "named"]


@dataclass(eq=False)
class IntegrateJob(Job):
    """Runs a method over several sections; nothing of theirs changes before the end.

    Attributes
    ----------
    ids, labels, sections
        Of the sections, in their order.
    joint, alignments, gaps, accept_poor
        As `iter_integrate` takes them.
    lost
        Labels of sections that were closed or read again before the answer came.
    """

    OPENS: ClassVar[str] = "Integrate sections"
    ids: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    joint: JointParams = field(default_factory=JointParams)
    alignments: list[Alignment] | None = None
    gaps: list[float] | None = None
    accept_poor: bool = False
    lost: tuple[str, ...] = ()
    known: Known | None = None

    @property
    def about(self) -> str:
        """What tells it from other runs of its method."""
        return f"{len(self.ids)} sections, {super().about}"

    def touches(self, section_id: str) -> bool:
        """Whether the run is on that section."""
        return section_id in self.ids

    def steps(self) -> Steps[Any]:
        """Align, join, train, score; in a worker thread, on copies."""
        copies = [named(snapshot(s), n) for s, n in zip(self.sections, self.labels, strict=True)]
        assert isinstance(self.params, DomainParams)
        found = yield from iter_integrate(
            self.method,
            copies,
            joint=self.joint,
            transforms=self.alignments,
            gaps_um=self.gaps,
            accept_poor=self.accept_poor,
            params=self.params,
            key_added=self.key,
        )
        yield Progress(0, 0, "drawing the spots")
        rasters = [rasterise(one.coords, one.lattice) for one in copies]
        return found, Known.of(found, self.ids, self.sections), copies, rasters

    def accept(self, session: Session, answer: Any) -> None:
        """Write the domains onto the sections that are open, and show them."""
        found, known, copies, rasters = answer
        before = session.selected_id
        self.watched = before is None or before in self.ids
        live: list[Item | None] = [session.items.get(key) for key in self.ids]
        # A section that has gone takes its part of the answer with it.
        live = [
            item if item is not None and item.section is section else None
            for item, section in zip(live, self.sections, strict=True)
        ]
        split_joined(
            found.joined,
            [
                named(item.section, label) if item is not None else one
                for item, label, one in zip(live, self.labels, copies, strict=True)
            ],
        )
        self.known = known
        remember(session, known)
        self.lost = tuple(n for n, item in zip(self.labels, live, strict=True) if item is None)
        shown = [(item, r) for item, r in zip(live, rasters, strict=True) if item is not None]
        for item, raster in shown:
            _show(session, item, raster, self.key)
        back = before if before in session.items else None
        if back is not None:
            session.select(back, self.key if back in self.ids else session.items[back].key)
        # The run is over; its sections may be closed.
        self.sections = ()

    def written(self, session: Session, answer: Any) -> bool:
        """Whether the sections carry the answer."""
        del session, answer
        return self.known is not None


def _show(session: Session, item: Item, raster: SpotRaster, key: str) -> None:
    """Bring a section up to date with what was written onto it."""
    item.use_raster(raster)
    if key in item.domains:
        # Written again: no stamp tells an edited result from the one of this run.
        item.domains[key].stamp = None
    session.add(item.section)


def named(section: Section, name: str) -> Section:
    """The same section, over the same table, under the name that the window shows."""
    other = copy.copy(section)
    other.name = name
    return other
