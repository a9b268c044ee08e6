"""What the tables of domains and of classes share: a colour first, then a name, then numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import (
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
)

from ..viz.palette import readable_text
from .parts import lay_out_rows

__all__ = ["COLOR", "NAME", "SwatchModel", "SwatchTable"]

COLOR, NAME = range(2)
_NOWHERE = QModelIndex()
_ROW = 26
Role = Qt.ItemDataRole


class SwatchModel(QAbstractTableModel):
    """Titles of the columns and looks of the cells; what stands in them is the child's."""

    HEADERS: ClassVar[tuple[str, ...]]
    TIPS: ClassVar[tuple[str, ...]]
    NUMBERS: ClassVar[tuple[int, ...]]
    """Columns whose texts are aligned to the right."""

    failed = Signal(object)

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:
        """Number of columns."""
        return 0 if parent.isValid() else len(self.HEADERS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole
    ) -> Any:
        """Titles of the columns."""
        if orientation == Qt.Orientation.Horizontal:
            if role == Role.DisplayRole:
                return self.HEADERS[section]
            if role == Role.ToolTipRole:
                return self.TIPS[section]
        return None

    def all_changed(self) -> None:
        """Have every cell drawn again."""
        if self.rowCount():
            last = self.index(self.rowCount() - 1, self.columnCount() - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def looks(self, column: int, role: int, color: str | None) -> Any:
        """Alignment of a cell, and the colour of its row in the first one."""
        if role == Role.TextAlignmentRole and column in self.NUMBERS:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Role.TextAlignmentRole and column == COLOR:
            return Qt.AlignmentFlag.AlignCenter
        if column == COLOR and color is not None:
            if role == Role.BackgroundRole:
                return QColor(color)
            if role == Role.ForegroundRole:
                return QColor(readable_text(color))
        return None


class _Swatch(QStyledItemDelegate):
    """Shows its colour also where the row is selected."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Draw as if it were not selected."""
        super().initStyleOption(option, index)
        if index.data(Role.BackgroundRole) is not None:
            option.state &= ~QStyle.StateFlag.State_Selected


class SwatchTable(QTableView):
    """Whole rows are selected; a double click, Return or F2 on a swatch asks for a colour."""

    color_wanted = Signal(int)
    MOST: ClassVar[int]
    """Rows that are shown without scrolling."""

    def __init__(self, model: SwatchModel, name: str, widths: Mapping[int, int]) -> None:
        super().__init__()
        self.setModel(model)
        self.setAccessibleName(name)
        self.setWordWrap(False)
        lay_out_rows(self, {NAME: 0, **widths}, _ROW)
        self.setItemDelegateForColumn(COLOR, _Swatch(self))
        self.doubleClicked.connect(self._on_double_click)

    def fit(self) -> None:
        """Be as high as the rows ask for, three at least."""
        rows = min(max(self.model().rowCount(), 3), self.MOST)
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
