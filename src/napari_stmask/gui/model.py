"""What the docks edit: sections that are open, their partitions, and the history of edits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.provenance import read_record, records
from ..core.result import VIEWS, Result
from ..core.section import Section
from ..viz.palette import stored_colors
from ..viz.raster import SpotRaster, rasterise
from .domain_state import DomainState

__all__ = ["TITLES", "VIEW_TITLES", "DomainSet", "DomainState", "Item", "stored_keys"]

TITLES = {
    "spamask": "SpaMask",
    "vimst": "ViMST",
    "mmsrl": "MMSRL",
    "spahgc": "SpaHGC",
    "spacex": "SpaCEX",
}
"""Display names of methods, known without importing them."""
VIEW_TITLES = {"": "Joint", "gene": "Expression", "image": "Image"}
"""What of a run can be drawn: its domains, and what a part of the input says alone."""


@dataclass(eq=False)
class DomainSet:
    """One run's partition on one section, with the edits made since.

    Attributes
    ----------
    key
        Prefix under which the run wrote.
    column
        Column of ``obs`` that is shown and edited: the key, or its smoothed variant.
    title
        Method and number of domains, for layer names and menus.
    raw
        Codes of the run before smoothing, where the shown ones are smoothed.
    stamp
        The record as it is stored; another one there tells that another run wrote since.
    views
        Codes of what parts of the input say alone, numbered like the run's domains.
    view
        The view that is drawn; empty for the domains themselves, which edits are about.
    """

    key: str
    column: str
    title: str
    state: DomainState
    record: Mapping[str, Any] = field(default_factory=dict)
    baselines: Mapping[str, NDArray[np.intp]] = field(default_factory=dict)
    result: Result | None = None
    raw: NDArray[np.intp] | None = None
    stamp: str | None = None
    views: Mapping[str, NDArray[np.intp]] = field(default_factory=dict)
    view: str = ""
    _drawn: tuple[str, tuple[int, ...], NDArray[np.intp]] | None = None
    _past: list[DomainState] = field(default_factory=list)
    _future: list[DomainState] = field(default_factory=list)

    @classmethod
    def of_result(cls, result: Result, title: str) -> DomainSet:
        """What a run has just returned."""
        smooth = result.refined is not None
        codes = result.refined if result.refined is not None else result.domains.codes
        return cls(
            result.key,
            f"{result.key}_refined" if smooth else result.key,
            f"{title} k{result.domains.n_domains}",
            DomainState.of(codes, result.names, result.colors),
            result.record,
            result.baselines,
            result,
            raw=result.domains.codes if smooth else None,
            views=result.views,
        )

    @classmethod
    def stored(cls, section: Section, key: str) -> DomainSet | None:
        """What an earlier run left on the section, or None if the column is gone."""
        obs, uns = section.adata.obs, section.adata.uns
        smooth = f"{key}_refined"
        column = smooth if smooth in obs else key
        if column not in obs:
            return None
        values = obs[column].astype("category").cat
        names = [str(name) for name in values.categories]
        colors = stored_colors(uns.get(f"{column}_colors", uns.get(f"{key}_colors")), names)
        try:
            record = read_record(section.adata, key)
        except (KeyError, TypeError, ValueError):
            record = {}
        method = str(record.get("method", key))
        title = TITLES.get(method, method)
        state = DomainState.of(values.codes.to_numpy(), names, colors)
        raw = _aligned(obs[key], names) if column == smooth and key in obs else None
        stamp = records(section.adata).get(key)
        views = _stored_views(section, key, record, names)
        title = f"{title} k{len(names)}"
        return cls(key, column, title, state, record, raw=raw, stamp=stamp, views=views)

    @property
    def scores(self) -> Mapping[str, Mapping[str, float]]:
        """Label-free scores of the method and of the baselines."""
        found = self.record.get("scores", {})
        return found if isinstance(found, Mapping) else {}

    @property
    def drawn(self) -> DomainState:
        """What the tissue shows: the domains, or a view in their names and colours."""
        if self.view not in self.views:
            return self.state
        if self._drawn is None or self._drawn[:2] != (self.view, self.state.table):
            # Made once, because layers are redrawn for other codes.
            self._drawn = (self.view, self.state.table, self.state.joined(self.views[self.view]))
        return replace(self.state, codes=self._drawn[2])

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether an edit was taken back."""
        return bool(self._future)

    def write(self, section: Section) -> None:
        """Store the shown state; names and colours also beside the labels before smoothing."""
        self.state.write(section, self.column)
        if self.raw is not None:
            replace(self.state, codes=self.state.joined(self.raw)).write(section, self.key)
        for view, codes in self.views.items():
            alone = replace(self.state, codes=self.state.joined(codes))
            alone.write(section, f"{self.key}_{view}")

    def edit(self, state: DomainState) -> None:
        """Make ``state`` current; `undo` brings the present one back."""
        self._past.append(self.state)
        self._future.clear()
        self.state = state

    def undo(self) -> None:
        """Take the last edit back."""
        if self._past:
            self._future.append(self.state)
            self.state = self._past.pop()

    def redo(self) -> None:
        """Make the edit again that was taken back last."""
        if self._future:
            self._past.append(self.state)
            self.state = self._future.pop()


def _aligned(column: Any, names: list[str]) -> NDArray[np.intp] | None:
    """Codes of ``column`` as indices into ``names``; None where the two do not belong together."""
    values = column.astype("category").cat
    own = [str(name) for name in values.categories]
    codes = np.asarray(values.codes, dtype=np.intp)
    if set(own) <= set(names):
        # The last entry is hit by the code -1.
        table = np.array([*(names.index(name) for name in own), -1], dtype=np.intp)
        return np.asarray(table[codes])
    return codes if len(own) == len(names) else None


def _stored_views(
    section: Section, key: str, record: Mapping[str, Any], names: list[str]
) -> dict[str, NDArray[np.intp]]:
    """Views that a run wrote beside its domains, where their columns are still there."""
    obs = section.adata.obs
    slots = record.get("slots")
    written = [list(slot) for slot in slots] if isinstance(slots, list) else []
    found = {}
    for view in VIEWS:
        column = f"{key}_{view}"
        # A column of that name may be the user's own.
        if column in obs and ["obs", column] in written:
            codes = _aligned(obs[column], names)
            if codes is not None:
                found[view] = codes
    return found


def stored_keys(section: Section) -> list[str]:
    """Keys of the runs whose answers the section carries."""
    return list(records(section.adata))


@dataclass(eq=False)
class Item:
    """A section that is open in a viewer.

    Attributes
    ----------
    id
        Identity in layer metadata.
    label
        Unique short name, first part of every layer name.
    offset
        (row, column) shift in world units, so that several sections lie side by side.
    key
        Result that was selected last.
    by_hand
        Whether the image was put where it lies in the viewer, which no file says.
    chosen
        Rows of the spots that questions are about, sorted; empty for none.
    gene
        Gene that was chosen last; empty for none.
    returned
        Whether the desk that the file kept was put up.
    """

    id: str
    label: str
    section: Section
    offset: tuple[float, float] = (0.0, 0.0)
    domains: dict[str, DomainSet] = field(default_factory=dict)
    key: str | None = None
    by_hand: bool = False
    chosen: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    gene: str = ""
    returned: bool = False
    _raster: SpotRaster | None = None

    @property
    def raster(self) -> SpotRaster:
        """The section's index map, made when first asked for."""
        if self._raster is None:
            self._raster = rasterise(self.section.coords, self.section.lattice)
        return self._raster

    def load_stored(self) -> list[str]:
        """Take in what the section carries; the keys that are new or were replaced."""
        changed = [key for key in stored_keys(self.section) if self.reload(key)]
        if changed:
            self.key = changed[-1]
        return changed

    def reload(self, key: str) -> bool:
        """Take in the stored result of a key unless it is the known one; whether that was so."""
        known, stamp = self.domains.get(key), records(self.section.adata).get(key)
        if known is not None and stamp in (None, known.stamp):
            return False
        found = DomainSet.stored(self.section, key)
        if found is None:
            return False
        self.domains.pop(key, None)
        self.domains[key] = found
        return True

    def choose(self, rows: Any) -> None:
        """Keep rows of spots, each once and in order."""
        self.chosen = np.unique(np.asarray(rows, dtype=np.intp))

    def use_raster(self, raster: SpotRaster | None) -> None:
        """Take a map that a worker has made; None makes one when it is asked for."""
        self._raster = raster
