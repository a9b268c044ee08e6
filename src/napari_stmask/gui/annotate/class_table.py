"""The classes of regions as a table: swatch, name, spots, area; the last row takes out."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, Signal
from qtpy.QtGui import QColor, QFont, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
)

from ...viz.palette import readable_text
from ..guard import Failure
from ..parts import plain_tip
from .regions import Regions

__all__ = ["AREA", "COLOR", "COUNT", "NAME", "ClassModel", "ClassTable"]

COLOR, NAME, COUNT, AREA = range(4)
_HEADERS = ("", "Class", "Spots", "mm\u00b2")
_TIPS = (
    "Double-click to change the colour.",
    "Double-click to rename; the selected class is given to what you draw.",
    "Number of spots.",
    "Area in mm\u00b2: spots times the lattice cell of one; unknown without a scale.",
)
_NONE = "no class"
_NONE_TIP = "While this row is selected, what you draw takes spots out of their class."
_NOWHERE = QModelIndex()
_ROW = 26
Role = Qt.ItemDataRole


class ClassModel(QAbstractTableModel):
    """Rows are the classes and, last, those spots that have none.

    ``renamed(row, name)`` when a name was typed; whether it is taken is for the dock to say.
    """

    renamed = Signal(int, str)
    failed = Signal(object)

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
        elif counts:
            self.dataChanged.emit(self.index(0, 0), self.index(len(counts) - 1, AREA))

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:
        """Classes and one row more."""
        return 0 if parent.isValid() else len(self._counts)

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:
        """Number of columns."""
        return 0 if parent.isValid() else len(_HEADERS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole
    ) -> Any:
        """Titles of the columns."""
        if orientation == Qt.Orientation.Horizontal:
            if role == Role.DisplayRole:
                return _HEADERS[section]
            if role == Role.ToolTipRole:
                return _TIPS[section]
        return None

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
        if role == Role.TextAlignmentRole and column in (COUNT, AREA):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Role.TextAlignmentRole and column == COLOR:
            return Qt.AlignmentFlag.AlignCenter
        if role == Role.FontRole and none:
            font = QFont()
            font.setItalic(True)
            return font
        if column == COLOR and not none and role == Role.BackgroundRole:
            return QColor(state.colors[row])
        if column == COLOR and not none and role == Role.ForegroundRole:
            return QColor(readable_text(state.colors[row]))
        return None

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


class _Swatch(QStyledItemDelegate):
    """Shows its colour also where the row is selected."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Draw as if it were not selected."""
        super().initStyleOption(option, index)
        if index.data(Role.BackgroundRole) is not None:
            option.state &= ~QStyle.StateFlag.State_Selected


class ClassTable(QTableView):
    """One row is selected: the class that is given. Return on a swatch asks for a colour."""

    color_wanted = Signal(int)

    def __init__(self, model: ClassModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setAccessibleName("Classes of regions")
        self.setToolTip("The selected class is given to what you draw.")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(30)
        for column, width in ((COLOR, 36), (COUNT, 70), (AREA, 60)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.setItemDelegateForColumn(COLOR, _Swatch(self))
        self.doubleClicked.connect(self._on_double_click)

    @property
    def row(self) -> int:
        """The selected row, -1 for none."""
        rows = self.selectionModel().selectedRows()
        return rows[0].row() if rows else -1

    def choose(self, row: int) -> None:
        """Select a row."""
        if row != self.row:
            self.selectRow(row)

    def fit(self) -> None:
        """Be as high as the rows ask for, three at least and ten at most."""
        rows = min(max(self.model().rowCount(), 3), 10)
        self.setFixedHeight(rows * _ROW + self.horizontalHeader().height() + 6)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ask for a colour, else what tables do."""
        index = self.currentIndex()
        keys = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_F2)
        if index.isValid() and index.column() == COLOR and event.key() in keys:
            event.accept()
            self.color_wanted.emit(index.row())
            return
        super().keyPressEvent(event)

    def _on_double_click(self, index: QModelIndex) -> None:
        if index.column() == COLOR:
            self.color_wanted.emit(index.row())
