"""The classes with their buttons: add, delete, rename, colour, choose, undo."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QGridLayout, QVBoxLayout, QWidget

from ...analysis.heterogeneity import area_per_spot
from ..fields import make_button
from ..guard import Failure, slot
from .class_table import ClassModel, ClassTable
from .editor import Editor
from .regions import NO_CLASS

__all__ = ["ClassPart"]


class ClassPart(QWidget):
    """Table and buttons; the selected row is the class that the editor gives."""

    failed = Signal(object)

    def __init__(self, editor: Editor) -> None:
        super().__init__()
        self.editor = editor
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        self.model = ClassModel(self)
        self.model.renamed.connect(self._on_renamed)
        self.model.failed.connect(self.show_failure)
        self.table = ClassTable(self.model)
        self.table.color_wanted.connect(self._on_color_wanted)
        self.table.selectionModel().selectionChanged.connect(self._on_row)
        layout.addWidget(self.table)
        grid = QGridLayout()
        grid.setSpacing(6)
        self.add = make_button("Add", "Add a class.", self._on_add)
        self.delete = make_button(
            "Delete", "Delete the class with its shapes; Undo brings it back.", self._on_delete
        )
        self.colour = make_button("Colour", "Another colour for the class.", self._on_colour)
        self.choose = make_button(
            "Spots", "Make the spots of the class the chosen ones.", self._on_choose
        )
        self.undo = make_button("Undo", "Take the last change back.", self._on_undo)
        self.redo = make_button("Redo", "Make the change again.", self._on_redo)
        buttons = (self.add, self.delete, self.colour, self.choose, self.undo, self.redo)
        for place, button in enumerate(buttons):
            button.setMinimumWidth(60)
            grid.addWidget(button, *divmod(place, 3))
        layout.addLayout(grid)

    def show_failure(self, failure: Failure) -> None:
        """Hand on what went wrong."""
        self.failed.emit(failure)

    def refresh(self) -> None:
        """Show the editor's present regions."""
        board, cell = self.editor.board, None
        if board is not None:
            area = float(area_per_spot(board.section)) / 1e6
            cell = area if np.isfinite(area) else None
        row = self.table.row
        active = self.editor.active
        self.model.show_state(board.state if board is not None else None, cell)
        self.table.fit()
        names = board.state.names if board is not None else ()
        if active in names:
            self.table.choose(names.index(active))
        elif self.model.rowCount() and (row < 0 or self.table.row < 0 or active != NO_CLASS):
            self.table.choose(min(max(row, 0), max(len(names) - 1, 0)))
        self._on_row()

    @slot
    def _on_row(self) -> None:
        board, row = self.editor.board, self.table.row
        names = board.state.names if board is not None else ()
        named = 0 <= row < len(names)
        self.editor.choose(names[row] if named else NO_CLASS)
        for widget in (self.table, self.add):
            widget.setEnabled(board is not None)
        self.delete.setEnabled(named)
        self.colour.setEnabled(named)
        self.choose.setEnabled(board is not None and row >= 0)
        self.undo.setEnabled(board is not None and board.can_undo)
        self.redo.setEnabled(board is not None and board.can_redo)

    @slot
    def _on_add(self) -> None:
        board = self.editor.settled()
        if board is not None:
            state = board.state.with_class()
            self.editor.active = state.names[-1]
            self.editor.change(state)

    @slot
    def _on_delete(self) -> None:
        board, row = self.editor.settled(), self.table.row
        if board is not None and 0 <= row < len(board.state.names):
            self.editor.change(board.state.without_class(row, board.coords))

    @slot
    def _on_renamed(self, row: int, name: str) -> None:
        board = self.editor.settled()
        if board is not None and 0 <= row < len(board.state.names):
            state = board.state.renamed(row, name)
            if self.editor.active == board.state.names[row]:
                self.editor.active = state.names[row]
            self.editor.change(state)

    @slot
    def _on_colour(self) -> None:
        self._on_color_wanted(self.table.row)

    @slot
    def _on_color_wanted(self, row: int) -> None:
        board = self.editor.settled()
        if board is None or not 0 <= row < len(board.state.names):
            return
        old = QColor(board.state.colors[row])
        chosen = QColorDialog.getColor(old, self, f"Colour of {board.state.names[row]}")
        if chosen.isValid():
            self.editor.change(board.state.recoloured(row, chosen.name()))

    @slot
    def _on_choose(self) -> None:
        board, row = self.editor.settled(), self.table.row
        if board is not None and row >= 0:
            code = row if row < len(board.state.names) else -1
            rows = np.flatnonzero(board.state.codes == code)
            self.editor.session.choose_spots(board.item.id, rows)

    @slot
    def _on_undo(self) -> None:
        self.editor.undo()

    @slot
    def _on_redo(self) -> None:
        self.editor.redo()
