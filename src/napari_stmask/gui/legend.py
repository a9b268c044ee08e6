"""The dock *Domains*: legend that can be edited, scores beside baselines, export."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QComboBox, QFormLayout, QGridLayout

from ..core.section import Section
from ..recipes import command_of, python_of
from . import layers
from .divide_part import DividePart
from .domain_numbers import DomainNumbers, NumbersReader
from .export_button import ExportButton, ReportButton
from .fields import make_button
from .guard import Failure, slot
from .legend_model import AREA, COUNT, MARKERS, NAME, LegendModel
from .legend_table import LegendTable
from .parts import Fold, MessageStrip, Page, SectionCombo, copy_text, narrow_combo, plain_label
from .scores_table import ScoresTable
from .session import session_of
from .view_chooser import ViewChooser

if TYPE_CHECKING:
    import napari
    from napari.components import ViewerModel

    from .model import DomainSet, Item

__all__ = ["DomainsDock"]

_STYLES = ("Tiles", "Outlines", "Spots", "Tiles and spots")
_TOLD = 4
"""Selected domains that are described."""


class DomainsDock(Page):
    """Legend, scores and export of the selected result."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session = session_of(napari_viewer)
        self._shown: tuple[str | None, str | None] = (None, None)
        self._build()
        self.session.section_selected.connect(self.refresh)
        self.session.domains_selected.connect(self.refresh)
        self.session.domains_changed.connect(self.refresh)
        self.refresh()

    def _build(self) -> None:
        self.empty = plain_label("No domains yet. Run a method in the dock Find domains.")
        self.body.addWidget(self.empty)
        form = QFormLayout()
        form.setSpacing(6)
        self.combo = SectionCombo(self.session)
        self.results = narrow_combo(QComboBox())
        self.results.setAccessibleName("Result")
        self.results.setToolTip("Run whose domains are shown and edited.")
        self.results.activated.connect(self._on_result)
        self.drawn = narrow_combo(QComboBox())
        self.drawn.addItems(_STYLES)
        self.drawn.setAccessibleName("Shown as")
        self.drawn.setToolTip("How the domains are drawn over the tissue.")
        self.drawn.activated.connect(self._on_style)
        form.addRow("Section", self.combo)
        form.addRow("Result", self.results)
        self.views = ViewChooser(self.session)
        form.addRow("Shown", self.views)
        form.addRow("Shown as", self.drawn)
        self._form = form
        self.body.addLayout(form)
        self._build_table()
        self.notes = plain_label()
        self.notes.setAccessibleName("Notes of the run")
        self.body.addWidget(self.notes)
        self.strip = MessageStrip()
        self.body.addWidget(self.strip)
        self.scores = ScoresTable(self.session)
        self.body.addWidget(self.scores)
        grid = QGridLayout()
        grid.setSpacing(6)
        self.python = make_button("Copy as Python", "Script that repeats the run.", self._on_python)
        self.command = make_button("Copy as command", "Command that repeats it.", self._on_command)
        self.state = plain_label()
        self.save = ExportButton(self.session, self.state, self.strip)
        grid.addWidget(self.python, 0, 0)
        grid.addWidget(self.command, 0, 1)
        self.report = ReportButton(self.session, self.state, self.strip)
        grid.addWidget(self.save, 1, 0)
        grid.addWidget(self.report, 1, 1)
        self.body.addLayout(grid)
        self.body.addWidget(self.state)
        self.body.addStretch(1)

    def _build_table(self) -> None:
        self.model = LegendModel(self.session, self)
        self.model.failed.connect(self.show_failure)
        self.numbers = NumbersReader(self)
        self.numbers.found.connect(self._on_numbers)
        self.numbers.failed.connect(self.show_failure)
        self.table = LegendTable(self.model)
        self.table.color_wanted.connect(self._on_color_wanted)
        self.table.move_wanted.connect(self._move)
        self.table.selectionModel().selectionChanged.connect(self._enable)
        self.body.addWidget(self.table)
        self.details = plain_label()
        self.details.setAccessibleName("The selected domains")
        self.body.addWidget(self.details)
        grid = QGridLayout()
        grid.setSpacing(6)
        self.merge = make_button(
            "Merge", "Join the selected domains into the first.", self._on_merge
        )
        self.solo = make_button(
            "Solo", "Show only the selected domains; again shows all.", self._on_solo
        )
        self.undo = make_button("Undo", "Take the last edit back.", self._on_undo)
        self.redo = make_button("Redo", "Make the edit again.", self._on_redo)
        self.up = make_button("Up", "Move the selected domain up (Alt+Up).", self._on_up)
        self.down = make_button("Down", "Move the selected domain down (Alt+Down).", self._on_down)
        self.sort = make_button(
            "Sort", "Order the domains by size, the largest first.", self._on_sort
        )
        self.choose = make_button(
            "Spots", "Make the spots of the selected domains the chosen ones.", self._on_choose
        )
        buttons = (
            self.merge, self.solo, self.undo, self.redo, self.up, self.down, self.sort, self.choose,
        )  # fmt: skip
        for i, button in enumerate(buttons):
            button.setMinimumWidth(60)
            grid.addWidget(button, *divmod(i, 4))
        self.body.addLayout(grid)
        self.divide = DividePart(self.session, self.table.rows)
        self.divide.failed.connect(self.show_failure)
        self.divide_fold = Fold("Divide or find another number", self.divide)
        self.body.addWidget(self.divide_fold)

    @slot
    def refresh(self) -> None:
        """Show the selected result."""
        item, domains = self.session.selected, self.session.selected_domains
        known = domains is not None
        self.empty.setVisible(not known)
        self.results.clear()
        for key, one in item.domains.items() if item else ():
            self.results.addItem(f"{one.title} ({key})", key)
        self.results.setCurrentIndex(self.results.findData(self.session.selected_key))
        self._form.setRowVisible(self.views, self.views.refresh(domains))
        self._refresh_legend()
        self._show_notes(item, domains)
        self._show_style()
        self.table.fit()
        self.scores.refresh()
        for widget in (self.table, self.scores, self.drawn, self.results):
            widget.setEnabled(known)
        self._enable()

    def _refresh_legend(self) -> None:
        """Refill the table; an edit keeps the selection and the current cell."""
        rows, current = self.table.rows(), self.table.currentIndex()
        before = self.model.rowCount()
        place, shown = (current.row(), current.column()), self._shown
        self._shown = (self.session.selected_id, self.session.selected_key)
        self.model.show_facts(
            self.numbers.ask(self.session.selected, self.session.selected_domains)
        )
        if not self.model.refresh(keep=shown == self._shown) or shown != self._shown:
            return
        # Of joined domains the first is left.
        self.table.select(rows if self.model.rowCount() >= before else rows[:1], place)

    def _show_notes(self, item: Item | None, domains: DomainSet | None) -> None:
        """What the run had to say; notes on the section itself stand in *Open tissue*."""
        known = item.section.notes if item is not None else []
        said = domains.record.get("notes", ()) if domains is not None else ()
        notes = [str(note) for note in dict.fromkeys(said) if note not in known]
        self.notes.setText("\n".join(f"Note: {note}" for note in notes))
        self.notes.setVisible(bool(notes))

    def _about(self) -> tuple[Item | None, DomainSet | None, ViewerModel | None]:
        """What is selected, and the viewer itself: layers seen through napari's proxy, which
        plugins are given, are never identical.
        """
        session = self.session
        return session.selected, session.selected_domains, session.viewer

    def _show_style(self) -> None:
        """Set *Shown as* to how the result is drawn now."""
        item, domains, viewer = self._about()
        if item is None or domains is None or viewer is None:
            return
        tiles = layers.find_layer(viewer, item.id, "domains", domains.key)
        spots = layers.find_layer(viewer, item.id, "spots")
        tiled = tiles is not None and tiles.visible
        dotted = spots is not None and spots.visible
        style = "Tiles and spots" if dotted else "Tiles"
        if tiled and tiles.contour:
            style = "Outlines"
        elif not tiled:
            style = "Spots" if dotted else ""
        self.drawn.setCurrentIndex(self.drawn.findText(style))

    @slot
    def _on_numbers(self, numbers: DomainNumbers) -> None:
        self.model.show_facts(numbers)
        self._show_details()

    def _show_details(self) -> None:
        """What is known of the selected domains, in words; narrow docks have no room in rows."""
        rows, domains = self.table.rows(), self.session.selected_domains
        said = []
        for row in rows[:_TOLD] if domains is not None else ():
            cells = {c: self.model.index(row, c).data() for c in (NAME, COUNT, AREA, MARKERS)}
            facts = [f"{cells[COUNT]} spots"]
            facts += [f"{cells[AREA]} mm\u00b2"] if cells[AREA] else []
            facts += [str(cells[MARKERS])] if cells[MARKERS] else []
            said.append(f"{cells[NAME]}: " + ", ".join(facts))
        if len(rows) > _TOLD:
            said.append(f"and {len(rows) - _TOLD} more")
        self.details.setText("\n".join(said))
        self.details.setVisible(bool(said))

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong."""
        self.state.clear()
        self.strip.show_failure(failure)

    @slot
    def _enable(self) -> None:
        domains = self.session.selected_domains
        count = len(self.table.rows()) if domains else 0
        self.merge.setEnabled(count > 1)
        self.solo.setEnabled(count > 0)
        self.undo.setEnabled(domains is not None and domains.can_undo)
        self.redo.setEnabled(domains is not None and domains.can_redo)
        self.up.setEnabled(count == 1)
        self.down.setEnabled(count == 1)
        self.sort.setEnabled(domains is not None)
        self.choose.setEnabled(count > 0)
        self._show_details()
        self.divide.refresh()
        recorded = domains is not None and "params" in domains.record
        self.python.setEnabled(recorded)
        self.command.setEnabled(recorded)
        self.save.refresh()
        self.report.refresh()

    @slot
    def _on_result(self) -> None:
        item, _, viewer = self._about()
        if item is None or viewer is None or self.results.currentData() is None:
            return
        key, style = str(self.results.currentData()), self.drawn.currentText()
        self.session.select(item.id, key)
        layer = layers.show_domains(viewer, item, item.domains[key])
        for other in layers.layers_of(viewer, item.id, "domains"):
            other.visible = other is layer
        self.drawn.setCurrentText(style or _STYLES[0])
        self._on_style()

    @slot
    def _on_style(self) -> None:
        """Draw the result as tiles, outlines or spots; brings deleted layers back."""
        item, domains, viewer = self._about()
        if item is None or domains is None or viewer is None:
            return
        tiles = layers.show_domains(viewer, item, domains)
        spots = layers.find_layer(viewer, item.id, "spots")
        if spots is None:
            self.session.show(item)
            spots = layers.find_layer(viewer, item.id, "spots")
        style = self.drawn.currentText()
        if tiles is not None:
            tiles.visible = style != "Spots"
            tiles.contour = 1 if style == "Outlines" else 0
        if spots is not None:
            spots.visible = "pots" in style

    @slot
    def _on_color_wanted(self, row: int) -> None:
        domains = self.session.selected_domains
        if domains is None:
            return
        old = QColor(domains.state.colors[row])
        chosen = QColorDialog.getColor(old, self, "Colour of the domain")
        if chosen.isValid():
            self.recolour(row, chosen.name())

    def recolour(self, row: int, color: str) -> None:
        """Give a domain another colour."""
        domains = self.session.selected_domains
        if domains is not None:
            self.session.edit(domains.state.recoloured(row, color))

    @slot
    def _on_merge(self) -> None:
        domains = self.session.selected_domains
        if domains is not None:
            self.strip.clear()
            self.session.edit(domains.state.merged(self.table.rows()))

    @slot
    def _on_solo(self) -> None:
        domains, rows = self.session.selected_domains, self.table.rows()
        if domains is not None and rows:
            self.session.edit(domains.state.solo(rows))

    @slot
    def _on_undo(self) -> None:
        self.session.undo()

    @slot
    def _on_redo(self) -> None:
        self.session.redo()

    @slot
    def _on_up(self) -> None:
        self._move(-1)

    @slot
    def _on_down(self) -> None:
        self._move(1)

    @slot
    def _move(self, step: int) -> None:
        domains, rows = self.session.selected_domains, self.table.rows()
        if domains is None or len(rows) != 1:
            return
        to = rows[0] + step
        if 0 <= to < len(domains.state.names):
            self.session.edit(domains.state.moved(rows[0], to))
            self.table.clearSelection()
            self.table.select([to], (to, NAME))

    @slot
    def _on_sort(self) -> None:
        domains = self.session.selected_domains
        if domains is not None:
            order = np.argsort(-domains.state.counts, kind="stable").tolist()
            self.session.edit(domains.state.ordered(order))

    @slot
    def _on_choose(self) -> None:
        item, domains = self.session.selected, self.session.selected_domains
        if item is not None and domains is not None:
            inside = np.isin(domains.drawn.codes, self.table.rows())
            self.session.choose_spots(item.id, np.flatnonzero(inside))

    def _recipe(self, write: Callable[[Section, str], str]) -> str:
        item, domains = self.session.selected, self.session.selected_domains
        assert item is not None
        assert domains is not None
        return write(item.section, domains.key)

    @slot
    def _on_python(self) -> None:
        copy_text(self._recipe(python_of))
        self.state.setText("The script is on the clipboard.")

    @slot
    def _on_command(self) -> None:
        copy_text(self._recipe(command_of))
        self.state.setText("The command is on the clipboard.")
