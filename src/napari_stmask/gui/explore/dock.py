"""The dock *Explore genes*: search a gene, see it from every source, blend, pin and score."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...core.section import Section
from ..analyse.charts import titled
from ..background import Background
from ..fields import make_button
from ..guard import Failure, slot
from ..model import Item
from ..parts import Fold, MessageStrip, Page, SectionCombo, copy_text, plain_label
from ..session import session_of
from .beside import Beside
from .blend_part import BlendPart
from .contrast_part import ContrastPart, Shown
from .gene_index import GeneIndex
from .hover import Position, on_move, values_under
from .pins_part import PinsPart
from .reading import Choice, Prepared, Reading, prepare, read
from .recipe import gene_script
from .search_field import GeneSearch
from .sets_part import SetsPart
from .source_layers import hide_others, show_reading
from .ticks import SourceTicks

if TYPE_CHECKING:
    import napari
    from napari.components import ViewerModel

__all__ = ["ExploreDock"]

_POINT = "Point at the tissue to read the values of a spot."


class ExploreDock(Page):
    """One gene of the selected section, from one or several sources."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.session = session_of(napari_viewer)
        self._indices: weakref.WeakKeyDictionary[Section, GeneIndex] = weakref.WeakKeyDictionary()
        self._item: Item | None = None
        self._gene = ""
        self.beside = Beside(self.session, self._give_way)
        self._preparing, self._reading = Background(self), Background(self)
        self._preparing.done.connect(self._on_prepared)
        self._reading.done.connect(self._on_read)
        for work in (self._preparing, self._reading):
            work.failed.connect(self.show_failure)
        self._build()
        self.session.section_selected.connect(self.refresh)
        self.session.section_added.connect(self.refresh)
        self.session.section_changed.connect(self.refresh)
        self.session.domains_changed.connect(self.refresh)
        self.session.gene_selected.connect(self._on_gene)
        viewer = self.session.viewer
        assert viewer is not None
        viewer.mouse_move_callbacks.append(on_move(self._on_pointer))
        self.refresh()

    def _build(self) -> None:
        self.combo = SectionCombo(self.session)
        self.body.addWidget(self.combo)
        self.empty = plain_label("No section is open. Open one in the dock Open tissue.")
        self.body.addWidget(self.empty)
        self.search = GeneSearch()
        self.search.chosen.connect(self._on_chosen)
        self.body.addWidget(self.search)
        self.body.addWidget(titled("Shown side by side"))
        self.ticks = SourceTicks()
        self.ticks.changed.connect(self.show_gene)
        self.body.addWidget(self.ticks)
        self.strip = MessageStrip()
        self.body.addWidget(self.strip)
        self.readout = plain_label(_POINT)
        self.readout.setAccessibleName("Values under the pointer")
        self.body.addWidget(self.readout)
        self.contrast = ContrastPart()
        self.body.addWidget(self.contrast)
        self.pins = PinsPart(self.session)
        self.pins.asked.connect(self._on_pin)
        self.pins.recalled.connect(self._on_recalled)
        self.body.addWidget(self.pins)
        self.python = make_button(
            "Copy as Python", "Script that reads what is shown.", self._on_python
        )
        self.body.addWidget(self.python)
        self.blend = BlendPart(self.session)
        self.blend.shown.connect(self._on_blend)
        self.sets = SetsPart(self.session)
        self.sets.scored.connect(self._on_scored)
        for part in (self.blend, self.sets):
            part.failed.connect(self.show_failure)
        self.blend_fold = Fold("Blend of genes", self.blend)
        self.sets_fold = Fold("Gene sets", self.sets)
        self.body.addWidget(self.blend_fold)
        self.body.addWidget(self.sets_fold)
        self.body.addStretch(1)

    @property
    def busy(self) -> bool:
        """Whether something is being read or computed."""
        works = (self._preparing, self._reading, self.blend, self.sets)
        return any(work.busy for work in works)

    @property
    def viewer(self) -> ViewerModel | None:
        """The viewer, or None after it was closed."""
        return self.session.viewer

    def show_failure(self, failure: Failure) -> None:
        """Say what went wrong."""
        self.strip.show_failure(failure)

    @slot
    def refresh(self) -> None:
        """Follow the selected section, its runs, and what was predicted from it."""
        item = self.session.selected
        changed = item is not self._item
        if changed:
            self._leave()
            self._item, self._gene = item, ""
            self.strip.clear()
            self.search.offer(None)
            self.ticks.offer([])
            self.blend.follow(None, "")
        self.sets.follow(item)
        self.empty.setVisible(item is None)
        self.search.setEnabled(item is not None)
        self._enable()
        if item is None:
            self._preparing.forget()
            return
        known = self._indices.get(item.section)
        if known is not None:
            self.search.offer(known)
        self._preparing.start(prepare, item, known, list(self.session.items.values()))

    @slot
    def _on_prepared(self, found: Prepared) -> None:
        if found.item is not self._item or found.section is not found.item.section:
            return
        self._indices[found.section] = found.index
        self.search.offer(found.index)
        before = [choice.name for choice in self.ticks.choices]
        if before != [choice.name for choice in found.choices]:
            self.ticks.offer(found.choices)
        gene = found.item.gene
        self._follow_blend()
        if gene and gene != self._gene:
            self._take(gene)

    @slot
    def _on_chosen(self, gene: str) -> None:
        if self._item is not None:
            self.session.choose_gene(self._item.id, gene)

    @slot
    def _on_gene(self, section_id: str, gene: str) -> None:
        if self._item is None or section_id != self._item.id:
            return
        if gene:
            self._take(gene)
        else:
            self._gene = ""
            self._leave()
            self._enable()

    def _take(self, gene: str) -> None:
        self._gene = gene
        self.search.show_gene(gene)
        if self.ticks.choices:
            self.show_gene()
        self._enable()

    @slot
    def show_gene(self) -> None:
        """Read the gene from what is ticked, and show it."""
        chosen = self.ticks.ticked()
        self._follow_blend()
        if not self._gene:
            return
        if not chosen:
            self._reading.forget()
            self._leave()
            self._enable()
            return
        self._reading.start(read, chosen, self._gene)

    @slot
    def _on_read(self, answer: tuple[str, list[Reading], list[Choice]]) -> None:
        gene, readings, without = answer
        if self._item is None or gene != self._gene:
            return
        self.strip.clear()
        if without:
            names = ", ".join(choice.title for choice in without)
            self.strip.show_warning(f"No values of {gene} in: {names}.")
        self.show_readings(readings)

    def show_readings(self, readings: Sequence[Reading]) -> None:
        """Show values on the tissue, beside each other where there are several."""
        viewer, item = self.viewer, self._item
        if viewer is None or item is None:
            return
        items = {r.choice.item.id: r.choice.item for r in readings} | {item.id: item}
        if any(key not in self.session.items for key in items):
            return
        self.blend.off()
        self.beside.take_turn()
        limits = self.contrast.start_limits(readings)
        shown = []
        for reading, ends in zip(readings, limits, strict=True):
            layer = show_reading(viewer, reading, ends, self.contrast.map_name)
            shown.append(Shown(reading, layer, ends))
        titles = [one.reading.title for one in shown]
        self.beside.show(item, [(one.reading.choice.item, one.layer) for one in shown], titles)
        for one in shown:
            one.layer.visible = True
        before = {one.reading.choice.item.id for one in self.contrast.shown}
        gone = [self.session.items[key] for key in before if key in self.session.items]
        hide_others(viewer, [*items.values(), *gone], [one.layer for one in shown])
        self.contrast.show_readings(shown)
        self.readout.setText(_POINT)
        self._enable()

    def _leave(self) -> None:
        """Nothing is shown any more, and everything else is as it was before."""
        viewer, shown = self.viewer, self.contrast.shown
        self.beside.leave()
        if viewer is not None:
            for one in shown:
                if one.layer is not None and one.layer in viewer.layers:
                    one.layer.visible = False
        self.contrast.show_readings([])
        self.readout.setText(_POINT)

    def _give_way(self) -> None:
        """Another dock lays something side by side."""
        self._reading.forget()
        self._leave()
        self._enable()

    def _follow_blend(self) -> None:
        ticked = [choice for choice in self.ticks.ticked() if choice.own]
        offered = [choice for choice in self.ticks.choices if choice.own]
        plain = [choice for choice in offered if choice.name == "normalised"]
        first = [*(c for c in ticked if c.name != "counts"), *plain, *offered]
        self.blend.follow(first[0] if first else None, self._gene)

    def _enable(self) -> None:
        shown = bool(self.contrast.shown)
        self.pins.allow(pinning=shown)
        self.python.setEnabled(bool(self._gene) and bool(self.ticks.ticked()))

    @slot
    def _on_pin(self) -> None:
        self.pins.keep(self.contrast.shown, self.contrast.map_name)

    @slot
    def _on_recalled(self) -> None:
        self.blend.off()
        self._leave()
        self._enable()

    @slot
    def _on_blend(self, on: bool) -> None:
        if on:
            self._reading.forget()
            self._leave()
            self._enable()
        elif self._gene:
            self.show_gene()

    @slot
    def _on_scored(self, reading: Reading) -> None:
        if reading.choice.item is self._item:
            self.strip.clear()
            self._reading.forget()
            self.show_readings([reading])

    @slot
    def _on_python(self) -> None:
        copy_text(gene_script(self._gene, self.ticks.ticked()))

    @slot
    def _on_pointer(self, place: Position) -> None:
        viewer: Any = self.viewer
        if viewer is None or not self.contrast.shown:
            return
        text = values_under(self.contrast.shown, place)
        if self.readout.text() != (text or _POINT):
            self.readout.setText(text or _POINT)
            # napari itself writes the place and the active layer at the left of the status bar.
            viewer.help = text
