"""The dock *Domains*: legend that can be edited, scores beside baselines, export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QItemSelectionModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHeaderView,
    QTableView,
)

from ..core.errors import ParameterError
from ..core.provenance import as_command, as_python
from ..models import params_of
from . import layers
from .export_button import ExportButton
from .fields import make_button
from .guard import Failure, slot
from .legend_model import COLOR, COUNT, NAME, SHARE, SHOWN, LegendModel
from .parts import MessageStrip, Page, SectionCombo, copy_text, narrow_combo, plain_label
from .scores_table import ScoresTable
from .session import session_of
from .view_chooser import ViewChooser

if TYPE_CHECKING:
    import napari
    from napari.components import ViewerModel

    from .model import DomainSet, Item

__all__ = ["DomainsDock"]

_STYLES = ("Tiles", "Outlines", "Spots", "Tiles and spots")
_ROW = 26


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
        grid.addWidget(self.save, 1, 0, 1, 2)
        self.body.addLayout(grid)
        self.body.addWidget(self.state)
        self.body.addStretch(1)

    def _build_table(self) -> None:
        self.model = LegendModel(self.session, self)
        self.model.failed.connect(self.show_failure)
        self.table = _Table()
        self.table.setModel(self.model)
        self.table.setAccessibleName("Legend of the domains")
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setShowGrid(False)
        self.table.setWordWrap(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(_ROW)
        header = self.table.horizontalHeader()
        header.setMinimumSectionSize(30)
        for column, width in ((COLOR, 42), (COUNT, 62), (SHARE, 54), (SHOWN, 48)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.table.doubleClicked.connect(self._on_double_click)
        self.table.color_wanted.connect(self._on_double_click)
        self.table.selectionModel().selectionChanged.connect(self._enable)
        self.body.addWidget(self.table)
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
        for i, button in enumerate((self.merge, self.solo, self.undo, self.redo)):
            button.setMinimumWidth(60)
            grid.addWidget(button, 0, i)
        self.body.addLayout(grid)

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
        rows = min(max(self.model.rowCount(), 3), 12)
        self.table.setFixedHeight(rows * _ROW + self.table.horizontalHeader().height() + 6)
        self.scores.refresh()
        for widget in (self.table, self.scores, self.drawn, self.results):
            widget.setEnabled(known)
        self._enable()

    def _refresh_legend(self) -> None:
        """Refill the table; an edit keeps the selection and the current cell."""
        rows, current = self.selected_rows(), self.table.currentIndex()
        before = self.model.rowCount()
        place, shown = (current.row(), current.column()), self._shown
        self._shown = (self.session.selected_id, self.session.selected_key)
        if not self.model.refresh(keep=shown == self._shown) or shown != self._shown:
            return
        chooser, flag = self.table.selectionModel(), QItemSelectionModel.SelectionFlag
        last = self.model.rowCount() - 1
        if place[0] >= 0 and last >= 0:
            cell = self.model.index(min(place[0], last), place[1])
            chooser.setCurrentIndex(cell, flag.NoUpdate)
        # Of joined domains the first is left.
        for row in rows if last + 1 >= before else rows[:1]:
            if row <= last:
                chooser.select(self.model.index(row, 0), flag.Select | flag.Rows)

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

    def selected_rows(self) -> list[int]:
        """Rows that are selected in the legend."""
        return sorted({index.row() for index in self.table.selectionModel().selectedRows()})

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong."""
        self.state.clear()
        self.strip.show_failure(failure)

    @slot
    def _enable(self) -> None:
        domains = self.session.selected_domains
        count = len(self.selected_rows()) if domains else 0
        self.merge.setEnabled(count > 1)
        self.solo.setEnabled(count > 0)
        self.undo.setEnabled(domains is not None and domains.can_undo)
        self.redo.setEnabled(domains is not None and domains.can_redo)
        recorded = domains is not None and "params" in domains.record
        self.python.setEnabled(recorded)
        self.command.setEnabled(recorded)
        self.save.refresh()

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
    def _on_double_click(self, index: QModelIndex) -> None:
        domains = self.session.selected_domains
        if index.column() != COLOR or domains is None:
            return
        old = QColor(domains.state.colors[index.row()])
        chosen = QColorDialog.getColor(old, self, "Colour of the domain")
        if chosen.isValid():
            self.recolour(index.row(), chosen.name())

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
            self.session.edit(domains.state.merged(self.selected_rows()))

    @slot
    def _on_solo(self) -> None:
        domains, rows = self.session.selected_domains, self.selected_rows()
        if domains is not None and rows:
            self.session.edit(domains.state.solo(rows))

    @slot
    def _on_undo(self) -> None:
        self.session.undo()

    @slot
    def _on_redo(self) -> None:
        self.session.redo()

    def _recipe(self, write: Any) -> str:
        item, domains = self.session.selected, self.session.selected_domains
        assert item is not None
        assert domains is not None
        if "params" not in domains.record:
            raise ParameterError("This result has no record of its run", "run the method again")
        if "joint" in domains.record:
            raise ParameterError(
                "This result is of several sections", "copy it in Integrate sections, tab Run"
            )
        method = str(domains.record["method"])
        params = params_of(method).checked(**domains.record["params"])
        return str(
            write(
                method,
                item.section.source,
                params,
                key=domains.key,
                reading=item.section.reading,
            )
        )

    @slot
    def _on_python(self) -> None:
        copy_text(self._recipe(as_python))
        self.state.setText("The script is on the clipboard.")

    @slot
    def _on_command(self) -> None:
        copy_text(self._recipe(as_command))
        self.state.setText("The command is on the clipboard.")


class _Table(QTableView):
    """The legend's table: Return and F2 on a swatch ask for another colour."""

    color_wanted = Signal(QModelIndex)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ask for a colour, else what tables do."""
        index = self.currentIndex()
        keys = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_F2)
        if index.isValid() and index.column() == COLOR and event.key() in keys:
            event.accept()
            self.color_wanted.emit(index)
            return
        super().keyPressEvent(event)
