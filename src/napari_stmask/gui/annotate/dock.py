"""The dock *Annotate*: draw, import and keep regions as columns of the spots."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QFormLayout, QGridLayout, QLabel

from ...annotations import COLUMN, Annotation, annotation_columns
from ...core.errors import ParameterError
from ..fields import make_button
from ..guard import Failure, slot
from ..parts import MessageStrip, Page, SectionCombo, narrow_combo, plain_label
from ..predict.drawn_region import outlines
from ..session import session_of
from . import shapes_layer
from .class_part import ClassPart
from .draw_part import DrawPart
from .editor import Editor
from .files_part import FilesPart
from .pieces import shapes_of
from .regions import NO_CLASS, UNCOVERED, Shape

if TYPE_CHECKING:
    import napari
    from napari.layers import Shapes

__all__ = ["AnnotateDock"]


class AnnotateDock(Page):
    """Regions of the selected section in one column of ``obs``."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.session = session_of(napari_viewer)
        self._columns: dict[str, str] = {}
        self.editor = Editor(self.session, self)
        self._build()
        self.editor.changed.connect(self.refresh)
        self.editor.tool_changed.connect(self._on_tool_changed)
        self.editor.failed.connect(self.show_failure)
        self.session.section_selected.connect(self._on_section)
        self.session.section_changed.connect(self._on_section_changed)
        self.session.spots_selected.connect(self._enable)
        self._on_section()

    def _build(self) -> None:
        self.empty = plain_label("No section yet. Open one in the dock Open tissue.")
        self.body.addWidget(self.empty)
        form = QFormLayout()
        form.setSpacing(6)
        self.combo = SectionCombo(self.session)
        self.column = narrow_combo(QComboBox())
        self.column.setEditable(True)
        self.column.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.column.setAccessibleName("Column")
        self.column.setToolTip("Column of obs that the regions are kept in; type a new name.")
        self.column.activated.connect(self._on_column)
        self.column.lineEdit().editingFinished.connect(self._on_column)
        form.addRow("Section", self.combo)
        form.addRow("Column", self.column)
        self.body.addLayout(form)
        self.strip = MessageStrip()
        self.body.addWidget(self.strip)
        self.classes = ClassPart(self.editor)
        self.classes.failed.connect(self.show_failure)
        self.body.addWidget(self.classes)
        self.body.addWidget(QLabel("Draw as the selected class"))
        self.draw = DrawPart()
        self.draw.wanted.connect(self._on_tool)
        self.body.addWidget(self.draw)
        grid = QGridLayout()
        grid.setSpacing(6)
        self.spots = make_button(
            "Chosen spots", "Give the chosen spots the selected class.", self._on_spots
        )
        self.shapes = make_button(
            "Selected shapes", "Give the selected shapes the selected class.", self._on_shapes
        )
        grid.addWidget(self.spots, 0, 0)
        grid.addWidget(self.shapes, 0, 1)
        self.body.addLayout(grid)
        self.files = FilesPart(self.editor)
        self.files.read.connect(self._on_read)
        self.files.taken.connect(self._on_taken)
        self.files.said.connect(self._say)
        self.files.failed.connect(self.show_failure)
        self.body.addWidget(self.files)
        self.state, self.said = plain_label(), plain_label()
        self.state.setAccessibleName("What is annotated")
        self.said.setAccessibleName("What was done")
        self.body.addWidget(self.state)
        self.body.addWidget(self.said)
        self.body.addStretch(1)

    @slot
    def _on_section(self) -> None:
        self.editor.settled()
        item = self.session.selected
        self._open(self._columns.get(item.id, "") if item is not None else "")

    @slot
    def _on_section_changed(self, section_id: str) -> None:
        """Layers were made anew: put the shapes back, unless it is another section now."""
        self.editor.forget(section_id)
        item = self.session.selected
        if item is not None and item.id == section_id:
            self._open(self._columns.get(item.id, ""))
            self.editor.show()

    @slot
    def _on_column(self) -> None:
        item, name = self.session.selected, self.column.currentText().strip()
        if item is not None and name and name != self._columns.get(item.id):
            self.editor.settled()
            self._open(name)

    def _open(self, column: str) -> None:
        """Take up the regions of the selected section in a column; the first one by default."""
        self.strip.clear()
        self.said.clear()
        item, viewer = self.session.selected, self.session.viewer
        if item is not None and viewer is not None:
            drawn, kept = shapes_layer.columns_of(viewer, item), item.section.adata
            known = list(dict.fromkeys([*drawn, *annotation_columns(kept)]))
            self._columns[item.id] = column = column or (known[0] if known else COLUMN)
            with QSignalBlocker(self.column):
                self.column.clear()
                self.column.addItems(list(dict.fromkeys([*known, column])))
                self.column.setCurrentText(column)
        self.editor.open(item, column)

    @slot
    def refresh(self) -> None:
        """Show the regions as they are."""
        board = self.editor.board
        self.classes.refresh()
        self.state.clear()
        if board is not None:
            count, total = int(board.state.counts.sum()), board.section.n_spots
            self.state.setText(f"{count:,} of {total:,} spots annotated in obs['{board.column}']")
        self._enable()

    @slot
    def _enable(self) -> None:
        board, item = self.editor.board, self.session.selected
        self.empty.setVisible(item is None)
        self.column.setEnabled(item is not None)
        self.draw.setEnabled(board is not None)
        self.spots.setEnabled(board is not None and item is not None and item.chosen.size > 0)
        self.shapes.setEnabled(board is not None and bool(board.state.shapes))
        self.files.refresh(self.session.viewer)

    @slot
    def _say(self, text: str) -> None:
        self.strip.clear()
        self.said.setText(text)

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong."""
        self.said.clear()
        self.strip.show_failure(failure)

    @slot
    def _on_tool_changed(self) -> None:
        self.draw.show_mode(self.editor.layer)
        self._enable()

    @slot
    def _on_tool(self, mode: str) -> None:
        board, viewer = self.editor.settled(), self.session.viewer
        if board is None or viewer is None:
            return
        self.strip.clear()
        self.editor.give()
        self.editor.show(needed=True)
        layer = self.editor.layer
        assert layer is not None
        layer.visible = True
        viewer.layers.selection.active = layer
        layer.mode = mode

    @slot
    def _on_spots(self) -> None:
        board = self.editor.settled()
        if board is not None and board.item.chosen.size:
            self.strip.clear()
            name = self.editor.give()
            code = board.state.names.index(name) if name != NO_CLASS else -1
            self.editor.change(board.state.given(board.item.chosen, code))

    @slot
    def _on_shapes(self) -> None:
        board, layer = self.editor.settled(), self.editor.layer
        if board is None or layer is None:
            return
        chosen = set(layer.selected_data)
        if not chosen:
            raise ParameterError("No shape is selected", "select shapes of the layer first")
        self.strip.clear()
        name = self.editor.give()
        shapes = [
            replace(shape, name=name) if i in chosen else shape
            for i, shape in enumerate(board.state.shapes)
        ]
        self.editor.change(board.state.with_shapes(shapes, board.coords))

    @slot
    def _on_taken(self, layer: Shapes) -> None:
        board = self.editor.settled()
        if board is None:
            return
        found = outlines(layer, board.item)
        if not found:
            raise ParameterError(
                f"The layer '{layer.name}' has no closed shape", "draw polygons there first"
            )
        self.strip.clear()
        name = self.editor.give()
        shapes = [*board.state.shapes, *(Shape(outline, "polygon", name) for outline in found)]
        self.editor.change(board.state.with_shapes(shapes, board.coords))
        self.said.setText(f"{len(found)} shapes taken of '{layer.name}'.")

    @slot
    def _on_read(self, found: Annotation, path: str) -> None:
        board = self.editor.settled()
        if board is None:
            return
        before = state = board.state
        for name, color in zip(found.names, found.colors, strict=True):
            if name not in state.names:
                # Of two classes of one colour nobody could tell which is which.
                taken = color.upper() in {c.upper() for c in before.colors}
                state = state.with_class(name, None if taken else color)
        shapes = shapes_of(found.regions) if found.regions else None
        if shapes is not None:
            state = state.with_shapes([*before.shapes, *shapes], board.coords)
            what = f"{len(found.regions):,} regions as {len(shapes):,} shapes"
        else:
            table = np.array([*(state.names.index(name) for name in found.names), UNCOVERED])
            state = state.listed(table[found.codes])
            what = f"{len(found.names):,} classes, without shapes"
        self.strip.clear()
        # Onto nothing, the file says all that there is.
        bare = not before.names and not before.shapes
        self.editor.change(state, path if bare else None)
        self.said.setText(f"Read: {what}; {found.matched:,} spots.")
