"""The one state object of a viewer: its sections, their results, what is selected."""

from __future__ import annotations

import uuid
import weakref
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from ..core.result import Result
from ..core.section import Section
from ..viz.raster import SpotRaster
from . import layers
from .model import DomainSet, DomainState, Item, stored_keys

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from .runner import Runner

__all__ = ["Session", "claim", "park", "session_of"]

_PARKED: dict[str, Section] = {}
_SESSIONS: dict[int, Session] = {}


def park(section: Section) -> str:
    """Keep a section, whose layers a reader hands to napari, until a session claims it."""
    name = uuid.uuid4().hex
    _PARKED[name] = section
    return name


def claim(section_id: str) -> Section | None:
    """The parked section of that id, which then belongs to the caller; None if there is none."""
    return _PARKED.pop(section_id, None)


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
    ``section_changed(id)``, ``domains_changed(id, key)``, ``domains_selected(id, key)``.
    """

    section_added = Signal(str)
    section_selected = Signal(str)
    section_changed = Signal(str)
    domains_changed = Signal(str, str)
    domains_selected = Signal(str, str)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)
        self.items: dict[str, Item] = {}
        self.selected_id: str | None = None
        self.selected_key: str | None = None
        self._runner: Runner | None = None
        viewer.layers.events.inserted.connect(self._on_layer_inserted)
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
    ) -> Item:
        """Take a section in, with the results it carries, and show it."""
        for item in self.items.values():
            if item.section is section:
                self._load_stored(item)
                if show:
                    self.show(item)
                return item
        item = Item(section_id or uuid.uuid4().hex, self._label(section.name), section)
        item.offset = self._free_place()
        if raster is not None:
            item.use_raster(raster)
        self.items[item.id] = item
        self._load_stored(item)
        if show:
            self.show(item)
        self.section_added.emit(item.id)
        self.select(item.id)
        return item

    def show(self, item: Item) -> None:
        """Bring back every layer of a section that is missing."""
        if self.viewer is not None:
            layers.show_section(self.viewer, item)

    def select(self, section_id: str, key: str | None = None) -> None:
        """Make a section, and one of its results, the one that the docks are about."""
        item = self.items[section_id]
        if section_id != self.selected_id:
            self.selected_id = section_id
            self.section_selected.emit(section_id)
        if key is None:
            key = next(reversed(item.domains), None)
        self.selected_key = key
        self.domains_selected.emit(section_id, key or "")

    def add_result(self, section_id: str, result: Result, title: str) -> DomainSet:
        """Write a finished run onto its section, show it and select it.

        Colours and given names carry over from the result it replaces, or from the last one.
        """
        item = self.items[section_id]
        previous = item.domains.get(result.key) or next(reversed(item.domains.values()), None)
        domains = DomainSet.of_result(result, title)
        if previous is not None:
            domains.state = domains.state.inheriting(previous.state)
        smooth = f"{result.key}_refined"
        if result.refined is None and smooth in item.section.adata.obs:
            # Left by an earlier run of this name, which the new one replaces.
            del item.section.adata.obs[smooth]
        result.apply(item.section.adata)
        domains.state.write(item.section, domains.column)
        item.domains.pop(result.key, None)
        item.domains[result.key] = domains
        if self.viewer is not None:
            layers.show_domains(self.viewer, item, domains)
        self.domains_changed.emit(section_id, result.key)
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
        domains = self.selected_domains
        if domains is not None and domains.can_undo:
            domains.undo()
            self._edited(domains)

    def redo(self) -> None:
        """Make the edit again that was taken back last."""
        domains = self.selected_domains
        if domains is not None and domains.can_redo:
            domains.redo()
            self._edited(domains)

    def _edited(self, domains: DomainSet) -> None:
        item = self.selected
        assert item is not None
        domains.state.write(item.section, domains.column)
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
        self._adopt_layer(event.value)

    def _adopt_layer(self, layer: Any) -> None:
        section_id = layers.our_meta(layer).get("section_id")
        if section_id is None:
            return
        item = self.items.get(section_id)
        if item is None:
            section = claim(section_id)
            if section is None:
                return
            item = self.add(section, section_id=section_id, show=False)
        elif not layers.our_meta(layer).get("parked"):
            return
        # A reader knows nothing of the sections that are already there.
        if layers.our_meta(layer).pop("parked", False):
            layer.translate = [t + o for t, o in zip(layer.translate, item.offset, strict=True)]

    def _load_stored(self, item: Item) -> None:
        for key in stored_keys(item.section):
            found = DomainSet.stored(item.section, key)
            if found is not None and key not in item.domains:
                item.domains[key] = found

    def _label(self, name: str) -> str:
        taken = {item.label for item in self.items.values()}
        label, number = name, 2
        while label in taken:
            label, number = f"{name} ({number})", number + 1
        return label

    def _free_place(self) -> tuple[float, float]:
        """Right of the sections that are there, with a gap of a tenth."""
        right = 0.0
        for item in self.items.values():
            section, unit = item.section, item.section.um_per_px or 1.0
            width = float(section.coords[:, 0].max())
            if section.image is not None:
                width = max(width, section.image.shape[1] / section.image.scale)
            right = max(right, item.offset[1] + 1.1 * width * unit)
        return 0.0, right
