"""The one state object of a viewer: its sections, their results, what is selected."""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from ..core.errors import ParameterError
from ..core.provenance import records
from ..core.result import Result
from ..core.section import Section
from ..viz.raster import SpotRaster
from . import layers
from .layer_tuples import META, our_meta
from .model import DomainSet, DomainState, Item
from .parked import claim
from .placing import free_place, shift
from .returning import take_state
from .selection import show_selection
from .shortcuts import bind_keys

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from .runner import Runner

__all__ = ["Session", "open_item", "session_of"]

_SESSIONS: dict[int, Session] = {}


def open_item(section: Section) -> tuple[ViewerModel | None, Item] | None:
    """Where a section is open: its viewer and what is known of it there."""
    every = [(session.viewer, i) for session in _SESSIONS.values() for i in session.items.values()]
    return next((found for found in every if found[1].section is section), None)


def session_of(viewer: ViewerModel) -> Session:
    """The session of a viewer (or of the proxy that plugins get), made when first asked for."""
    inner = getattr(viewer, "__wrapped__", viewer)
    session = _SESSIONS.get(id(inner))
    if session is None or session.viewer is not inner:
        session = _SESSIONS[id(inner)] = Session(inner)
        weakref.finalize(inner, _forget, id(inner), weakref.ref(session))
    return session


def _forget(key: int, session: weakref.ref[Session]) -> None:
    found = session()
    if found is None:
        return
    found.close()
    # The number may already belong to a new viewer.
    if _SESSIONS.get(key) is found:
        del _SESSIONS[key]


class Session:
    """Sections by id, results, selection and runs of one viewer.

    Signals carry ids, never objects: ``section_added(id)``, ``section_selected(id)``,
    ``section_changed(id)``, ``domains_changed(id, key)``, ``domains_selected(id, key)``,
    ``spots_selected(id)``, ``gene_selected(id, gene)`` and ``obs_changed(id)``.
    """

    section_added = Signal(str)
    section_selected = Signal(str)
    section_changed = Signal(str)
    domains_changed = Signal(str, str)
    domains_selected = Signal(str, str)
    spots_selected = Signal(str)
    gene_selected = Signal(str, str)
    obs_changed = Signal(str)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)
        self.items: dict[str, Item] = {}
        self.selected_id: str | None = None
        self.selected_key: str | None = None
        self._runner: Runner | None = None
        self._kept: str | None = None
        self._dropped: weakref.WeakValueDictionary[str, Item] = weakref.WeakValueDictionary()
        bind_keys(viewer)
        viewer.layers.events.inserted.connect(self._on_layer_inserted)
        viewer.layers.events.removed.connect(self._on_layer_removed)
        self.adopt()

    @property
    def viewer(self) -> ViewerModel | None:
        """The viewer, or None after it was closed."""
        return self._viewer()

    @property
    def runner(self) -> Runner:
        """What runs methods in the background; needs Qt."""
        if self._runner is None:
            from .runner import Runner

            self._runner = Runner(self)
        return self._runner

    @property
    def selected(self) -> Item | None:
        """The section that the docks are about."""
        return self.items.get(self.selected_id or "")

    @property
    def selected_domains(self) -> DomainSet | None:
        """The result that the legend shows."""
        item = self.selected
        return item.domains.get(self.selected_key or "") if item else None

    def add(
        self,
        section: Section,
        *,
        raster: SpotRaster | None = None,
        section_id: str | None = None,
        show: bool = True,
        offset: tuple[float, float] | None = None,
    ) -> Item:
        """Take a section in, with its results, and show it, at ``offset`` or at a free place.

        A section that is known is brought up to date: runs made elsewhere since then appear.
        """
        for item in self.items.values():
            if item.section is section:
                changed = item.load_stored()
                if show:
                    self.show(item)
                for key in changed:
                    self._show_reloaded(item, key)
                self.select(item.id)
                return item
        item = Item(section_id or uuid.uuid4().hex, self._label(section.name), section)
        item.offset = free_place(self.items.values(), section) if offset is None else offset
        if raster is not None:
            item.use_raster(raster)
        self.items[item.id] = item
        item.load_stored()
        take_state(item)
        # Else a reader has put up the desk already.
        item.returned = not show
        if show:
            self.show(item)
        self.section_added.emit(item.id)
        self.select(item.id)
        return item

    def show(self, item: Item) -> None:
        """Bring back every layer of a section that is missing."""
        self._revive(item)
        if self.viewer is not None:
            layers.show_section(self.viewer, item)

    def replace(self, section_id: str, section: Section, raster: SpotRaster | None = None) -> Item:
        """Put another reading in the place of a section, whose results leave with it.

        Raises
        ------
        ParameterError
            If a run on the section waits or goes on.
        """
        item = self.items[section_id]
        if self.is_running(section_id):
            raise ParameterError(
                f"A run on '{item.label}' waits or goes on", "wait for it, or cancel it first"
            )
        item.section, item.key, item.by_hand = section, None, False
        item.choose(())
        item.domains.clear()
        item.use_raster(raster)
        item.load_stored()
        self.rebuild(item)
        return item

    def rebuild(self, item: Item) -> None:
        """Make all layers of a section anew, and tell every dock that it is another one."""
        if self.viewer is not None:
            with self._keeping(item):
                for layer in layers.layers_of(self.viewer, item.id):
                    self.viewer.layers.remove(layer)
            self.show(item)
        self.section_changed.emit(item.id)
        self.section_selected.emit(self.selected_id or "")
        self.select(item.id)

    def select(self, section_id: str, key: str | None = None) -> None:
        """Make a section, and one of its results, the one that the docks are about.

        Without a key it is the result that was selected last; one that is named is also shown.
        """
        item = self.items[section_id]
        if section_id != self.selected_id:
            self.selected_id = section_id
            self.section_selected.emit(section_id)
        if key is None:
            key = item.key if item.key in item.domains else next(reversed(item.domains), None)
        elif self.viewer is not None:
            layers.prefer(self.viewer, item, key)
        self.selected_key = item.key = key
        self.domains_selected.emit(section_id, key or "")

    def choose_spots(self, section_id: str, rows: Any) -> None:
        """Make some spots, none for an empty array, the ones that questions are about."""
        item = self.items[section_id]
        item.choose(rows)
        if self.viewer is not None:
            with self._keeping(item):
                show_selection(self.viewer, item)
        self.spots_selected.emit(section_id)

    def choose_gene(self, section_id: str, gene: str) -> None:
        """Make a gene the one that the docks show; empty for none."""
        self.items[section_id].gene = gene
        self.gene_selected.emit(section_id, gene)

    def obs_written(self, section_id: str) -> None:
        """Tell every dock that columns of spots were written or removed."""
        self.obs_changed.emit(section_id)

    def add_result(self, section_id: str, result: Result, title: str) -> DomainSet:
        """Write a finished run onto its section and show it; select it on the selected section.

        Colours and given names carry over from the result it replaces, or from the last one.
        """
        item = self.items.get(section_id) or self._dropped[section_id]
        self._revive(item)
        previous = item.domains.get(result.key) or next(reversed(item.domains.values()), None)
        domains = DomainSet.of_result(result, title)
        # Parts are named after what they are parts of.
        parts = result.record.get("derived", {}).get("call") == "subcluster"
        if previous is not None and not parts:
            domains.state = domains.state.inheriting(previous.state)
        smooth = f"{result.key}_refined"
        if result.refined is None and smooth in item.section.adata.obs:
            # Left by an earlier run of this name, which the new one replaces.
            del item.section.adata.obs[smooth]
        result.apply(item.section.adata)
        domains.write(item.section)
        domains.stamp = records(item.section.adata).get(result.key)
        item.domains.pop(result.key, None)
        item.domains[result.key] = domains
        item.key = result.key
        if self.viewer is not None:
            with self._keeping(item):
                layers.drop_values(self.viewer, item, result.key)
            layers.show_domains(self.viewer, item, domains)
            layers.prefer(self.viewer, item, result.key)
        self.domains_changed.emit(section_id, result.key)
        # The user may be busy with another section by now.
        if self.selected is None or section_id == self.selected_id:
            self.select(section_id, result.key)
        return domains

    def edit(self, state: DomainState) -> None:
        """Replace the shown state of the selected result; `undo` takes it back."""
        domains = self.selected_domains
        if domains is not None:
            domains.edit(state)
            self._edited(domains)

    def undo(self) -> None:
        """Take the last edit of the selected result back."""
        self._step(DomainSet.undo)

    def redo(self) -> None:
        """Make the edit again that was taken back last."""
        self._step(DomainSet.redo)

    def _step(self, step: Callable[[DomainSet], None]) -> None:
        domains = self.selected_domains
        before = domains.state if domains is not None else None
        if domains is not None:
            step(domains)
            if domains.state is not before:
                self._edited(domains)

    def _edited(self, domains: DomainSet) -> None:
        item = self.selected
        assert item is not None
        if item.reload(domains.key):
            self._show_reloaded(item, domains.key)
            self.select(item.id, domains.key)
            _tell(
                f"Another run has replaced the result '{domains.key}'. The legend now shows that "
                "run; the edit was not made."
            )
            return
        domains.write(item.section)
        if self.viewer is not None:
            layers.show_domains(self.viewer, item, domains, create=False)
        self.domains_changed.emit(item.id, domains.key)

    def adopt(self) -> None:
        """Take in sections whose layers a reader has put into the viewer."""
        viewer = self.viewer
        for layer in list(viewer.layers) if viewer is not None else []:
            self._adopt_layer(layer)

    def close(self) -> None:
        """Cancel what runs."""
        if self._runner is not None:
            self._runner.shutdown()

    def _on_layer_inserted(self, event: Any) -> None:
        self._adopt_layer(event.value, inserted=True)

    def _adopt_layer(self, layer: Any, *, inserted: bool = False) -> None:
        viewer, meta = self.viewer, our_meta(layer)
        section_id = meta.get("section_id")
        if viewer is None or section_id is None:
            return
        layers.align_units(viewer)
        item = self.items.get(section_id)
        if item is None:
            section = claim(section_id)
            if section is None:
                return
            item = self.add(section, section_id=section_id, show=False)
            viewer.canvas.overlays.scale_bar.visible = True
        if not meta.pop("parked", False):
            return
        # A reader knows nothing of the sections that are already there.
        shift(layer, item.offset)
        layers.adopt(viewer, item, layer)
        if meta.pop("lent", False):
            del meta["section_id"]
        if meta.pop("foreign", False):
            del layer.metadata[META]
        if (inserted or any(item.offset)) and not layers.in_view(viewer, layer):
            viewer.reset_view()

    def _on_layer_removed(self, event: Any) -> None:
        section_id = our_meta(event.value).get("section_id")
        viewer = self.viewer
        if viewer is None or section_id not in self.items or section_id == self._kept:
            return
        if self.is_running(section_id) or layers.layers_of(viewer, section_id):
            return
        self._dropped[section_id] = self.items.pop(section_id)
        if section_id != self.selected_id:
            # Said again, so that the lists of sections are made anew.
            self.section_selected.emit(self.selected_id or "")
        elif self.items:
            self.select(next(reversed(self.items)))
        else:
            self.selected_id = self.selected_key = None
            self.section_selected.emit("")
            self.domains_selected.emit("", "")

    def is_running(self, section_id: str) -> bool:
        """Whether a run of that section waits or goes on."""
        if self._runner is None:
            return False
        jobs = [*self._runner.waiting, *([self._runner.current] if self._runner.current else [])]
        return any(job.touches(section_id) for job in jobs)

    def _revive(self, item: Item) -> None:
        """Take a section in again that was dropped with its last layer."""
        if self._dropped.pop(item.id, None) is None:
            return
        self.items[item.id] = item
        self.section_added.emit(item.id)
        self.select(item.id)

    def _show_reloaded(self, item: Item, key: str) -> None:
        if self.viewer is not None:
            with self._keeping(item):
                layers.drop_values(self.viewer, item, key)
            layers.show_domains(self.viewer, item, item.domains[key], create=False)
            layers.prefer(self.viewer, item, key)
        self.domains_changed.emit(item.id, key)

    @contextmanager
    def _keeping(self, item: Item) -> Iterator[None]:
        """Layers may be removed, and the section does not leave with the last of them."""
        self._kept = item.id
        try:
            yield
        finally:
            self._kept = None

    def _label(self, name: str) -> str:
        taken = {item.label for item in self.items.values()}
        label, number = name, 2
        while label in taken:
            label, number = f"{name} ({number})", number + 1
        return label


def _tell(text: str) -> None:
    from napari.utils.notifications import show_warning

    show_warning(text)
