"""The classes of regions as a table: swatch, name, spots, area; the last row takes out."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QModelIndex, QObject, Qt, Signal
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QAbstractItemView

from ..guard import Failure
from ..parts import plain_tip
from ..swatch_table import COLOR, NAME, SwatchModel, SwatchTable
from .regions import Regions

__all__ = ["AREA", "COLOR", "COUNT", "NAME", "ClassModel", "ClassTable"]

COUNT, AREA = range(NAME + 1, NAME + 3)
_TIPS = (
    "Double-click to change the colour.",
    "Double-click to rename; the selected class is given to what you draw.",
    "Number of spots.",
    "Area in mm\u00b2: spots times the lattice cell of one; unknown without a scale.",
)
_NONE = "no class"
_NONE_TIP = "While this row is selected, what you draw takes spots out of their class."
_NOWHERE = QModelIndex()
Role = Qt.ItemDataRole


class ClassModel(SwatchModel):
    """Rows are the classes and, last, those spots that have none.

    ``renamed(row, name)`` when a name was typed; whether it is taken is for the dock to say.
    """

    HEADERS = ("", "Class", "Spots", "mm\u00b2")
    TIPS = _TIPS
    NUMBERS = (COUNT, AREA)
    renamed = Signal(int, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._state: Regions | None = None
        self._counts: list[int] = []
        self._cell: float | None = None

    def show_state(self, state: Regions | None, cell: float | None) -> None:
        """Show classes; ``cell`` is the area of a spot in mm\u00b2, None where it is unknown."""
        counts: list[int] = []
        if state is not None:
            codes = state.codes
            counts = [*state.counts.tolist(), int(np.count_nonzero(codes < 0))]
        same = len(counts) == len(self._counts)
        if not same:
            self.beginResetModel()
        self._state, self._counts, self._cell = state, counts, cell
        if not same:
            self.endResetModel()
        else:
            self.all_changed()

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:
        """Classes and one row more."""
        return 0 if parent.isValid() else len(self._counts)

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Names of classes can be edited."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.column() == NAME and index.row() < self.rowCount() - 1:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """Content of a cell."""
        state, row, column = self._state, index.row(), index.column()
        if state is None or not 0 <= row < len(self._counts):
            return None
        none = row == len(state.names)
        if role in (Role.DisplayRole, Role.EditRole):
            return self._text(state, row, column, none=none)
        if role == Role.ToolTipRole:
            long = state.names[row] if column == NAME and not none else ""
            tip = _NONE_TIP if none else _TIPS[column]
            return plain_tip(f"{long}\n{tip}" if long else tip)
        if role == Role.FontRole and none:
            font = QFont()
            font.setItalic(True)
            return font
        return self.looks(column, role, None if none else state.colors[row])

    def _text(self, state: Regions, row: int, column: int, *, none: bool) -> str | None:
        if column == NAME:
            return _NONE if none else state.names[row]
        if column == COUNT:
            return f"{self._counts[row]:,}"
        if column == AREA:
            return None if self._cell is None else f"{self._counts[row] * self._cell:.3g}"
        # The number tells classes apart where colours do not.
        return "\u2013" if none else str(row + 1)

    def setData(self, index: QModelIndex, value: Any, role: int = Role.EditRole) -> bool:
        """Ask for another name."""
        try:
            if index.column() == NAME and role == Role.EditRole:
                self.renamed.emit(index.row(), str(value))
                return True
        except Exception as error:  # noqa: BLE001 - Qt calls this; nothing may leave it
            self.failed.emit(Failure(error))
        return False


class ClassTable(SwatchTable):
    """One row is selected: the class that is given."""

    MOST = 10

    def __init__(self, model: ClassModel) -> None:
        super().__init__(model, "Classes of regions", {COLOR: 36, COUNT: 70, AREA: 60})
        self.setToolTip("The selected class is given to what you draw.")
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)

    @property
    def row(self) -> int:
        """The selected row, -1 for none."""
        rows = self.selectionModel().selectedRows()
        return rows[0].row() if rows else -1

    def choose(self, row: int) -> None:
        """Select a row."""
        if row != self.row:
            self.selectRow(row)
