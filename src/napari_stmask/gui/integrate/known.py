"""What the last integration of a viewer found, as far as the dock shows it."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...core.provenance import records
from ...core.result import VIEWS
from ...core.section import Section
from ...features.alignment import Alignment
from ...integration import Integration
from ...placement import ALIGNED
from ...viz.palette import UNASSIGNED_COLOUR, to_rgb
from ..model import DomainState, Item

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["Known", "Look", "known_of", "remember"]

_MOST_CLASSES = 50
"""Classes of a column beyond which it is no annotation."""


class Look(NamedTuple):
    """Names and colours of domains."""

    names: tuple[str, ...]
    colors: tuple[str, ...]

    @classmethod
    def of(cls, state: DomainState) -> Look:
        """Those that a legend shows."""
        return cls(state.names, state.colors)


@dataclass(frozen=True, eq=False)
class Known:
    """An integration without its counts.

    Attributes
    ----------
    ids, sections
        Sections in their order: id in the session, and the section that was integrated, held
        weakly: it may be closed or read again.
    labels
        Their names in the window.
    key, method
        Of the run.
    codes
        (n_spots,) section of each spot.
    domains
        (n_spots,) index into ``names``, -1 for none.
    names, colors
        Of the domains.
    before, after
        (n_spots, ...) expression as measured and embedding, rows NaN where there is none.
    positions
        (n_spots, 3) x, y and depth; None where sections have no common frame.
    size
        Distance of neighbouring spots, in the unit of ``positions``.
    composition, table
        Of `Integration`.
    truths
        Column of an annotation -> ARI and NMI by section.
    alignments
        Of `Integration`.
    """

    ids: tuple[str, ...]
    sections: tuple[weakref.ref[Section], ...]
    labels: tuple[str, ...]
    key: str
    method: str
    codes: NDArray[np.int64]
    domains: NDArray[np.intp]
    names: tuple[str, ...]
    colors: tuple[str, ...]
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    positions: NDArray[np.float64] | None
    size: float
    composition: pd.DataFrame
    table: pd.DataFrame
    truths: Mapping[str, pd.DataFrame]
    alignments: tuple[Alignment, ...]

    @classmethod
    def of(cls, found: Integration, ids: tuple[str, ...], live: tuple[Section, ...]) -> Known:
        """What is kept of an integration whose sections are ``live`` in the window."""
        adata, result, joint = found.joined.adata, found.result, found.joined.joint
        assert joint is not None
        refined = result.refined
        # Only serial sections have a depth.
        positions = adata.obsm.get(ALIGNED)
        return cls(
            ids=ids,
            sections=tuple(weakref.ref(one) for one in live),
            labels=tuple(map(str, adata.obs["section"].cat.categories)),
            key=result.key,
            method=str(result.record.get("method", result.key)),
            codes=joint.codes,
            domains=result.domains.codes if refined is None else refined,
            names=tuple(str(i + 1) for i in range(len(result.colors))),
            colors=tuple(result.colors),
            before=found.before,
            after=np.asarray(result.fit.embedding),
            positions=None if positions is None else np.asarray(positions, dtype=np.float64),
            size=found.joined.lattice.pitch,
            composition=found.composition,
            table=found.table,
            truths={name: found.scores(name) for name in _annotations(found)},
            alignments=tuple(found.alignments),
        )

    def open_items(self, session: Session) -> list[Item]:
        """The sections that are still open as they were, in their order."""
        found = []
        for key, section in zip(self.ids, self.sections, strict=True):
            item = session.items.get(key)
            if item is not None and item.section is section():
                found.append(item)
        return found

    def look(self, session: Session) -> Look:
        """Of the domains, as the first open section shows them that has all of them still."""
        for item in self.open_items(session):
            domains = item.domains.get(self.key)
            if domains is not None and len(domains.state.names) == len(self.names):
                return Look.of(domains.state)
        return Look(self.names, self.colors)

    @property
    def any_section(self) -> Section | None:
        """The first section that is still there; exports are named after it."""
        return next((s for s in (known() for known in self.sections) if s is not None), None)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(n_spots,) spots that both tables of numbers have."""
        finite = np.isfinite(self.before).all(axis=1) & np.isfinite(self.after).all(axis=1)
        return np.asarray(finite)

    def spot_colors(self, session: Session) -> NDArray[np.float32]:
        """(n_spots, 4) colours as the legends of the open sections show them."""
        out = np.ones((len(self.codes), 4), dtype=np.float32)
        table = np.vstack([to_rgb(self.colors), to_rgb([UNASSIGNED_COLOUR])])
        out[:, :3] = table[self.domains]
        for item in self.open_items(session):
            rows = self.codes == self.ids.index(item.id)
            domains = item.domains.get(self.key)
            if domains is not None and len(domains.state.codes) == rows.sum():
                state = domains.state
                own = np.vstack([to_rgb(state.colors), to_rgb([UNASSIGNED_COLOUR])])
                out[rows, :3] = own[state.codes]
        return out


def _annotations(found: Integration) -> list[str]:
    """Columns of the joined spots that hold classes and that no run wrote."""
    obs = found.joined.adata.obs
    ours = {"section"}
    for key in records(found.joined.adata):
        ours |= {key, f"{key}_refined", *(f"{key}_{view}" for view in VIEWS)}
    columns = []
    for name in obs.columns:
        values = obs[name]
        text = isinstance(values.dtype, pd.CategoricalDtype) or values.dtype == object
        own = str(name) in ours or any(str(name).startswith(f"{key}_") for key in ours)
        if text and not own and 1 < values.nunique() <= _MOST_CLASSES:
            columns.append(str(name))
    return columns


_KNOWN: weakref.WeakKeyDictionary[Session, Known] = weakref.WeakKeyDictionary()


def remember(session: Session, known: Known) -> None:
    """Keep what a run has found until the next one."""
    _KNOWN[session] = known


def known_of(session: Session) -> Known | None:
    """The last integration of a viewer."""
    return _KNOWN.get(session)
