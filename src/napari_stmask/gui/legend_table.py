"""The legend's table: what its columns need, keys of its own, selection that edits keep."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QItemSelectionModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QKeyEvent, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from .legend_model import AREA, COLOR, CONFIDENCE, COUNT, MARKERS, NAME, SHARE, SHOWN, LegendModel

__all__ = ["LegendTable"]

_ROW = 26
_WIDTHS = {COLOR: 34, COUNT: 52, SHARE: 46, AREA: 50, CONFIDENCE: 46, SHOWN: 44}
_SHARES, _WIDE, _MARKERS = 390, 520, 150
"""Widths from which shares and markers have a column, and how wide that of the markers is."""


class LegendTable(QTableView):
    """Return and F2 on a swatch ask for another colour, Alt with an arrow moves a domain."""

    color_wanted = Signal(QModelIndex)
    move_wanted = Signal(int)

    def __init__(self, model: LegendModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setAccessibleName("Legend of the domains")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(30)
        for column, width in (*_WIDTHS.items(), (MARKERS, _MARKERS)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.setColumnHidden(MARKERS, True)

    def rows(self) -> list[int]:
        """Rows that are selected."""
        return sorted({index.row() for index in self.selectionModel().selectedRows()})

    def select(self, rows: Iterable[int], current: tuple[int, int] | None = None) -> None:
        """Add rows to the selection; ``current`` is the cell that has the keyboard."""
        chooser, flag = self.selectionModel(), QItemSelectionModel.SelectionFlag
        model = self.model()
        last = model.rowCount() - 1
        if current is not None and current[0] >= 0 and last >= 0:
            cell = model.index(min(current[0], last), current[1])
            chooser.setCurrentIndex(cell, flag.NoUpdate)
        for row in rows:
            if row <= last:
                chooser.select(model.index(row, 0), flag.Select | flag.Rows)

    def fit(self) -> None:
        """Be as high as the rows ask for, three at least and twelve at most."""
        rows = min(max(self.model().rowCount(), 3), 12)
        self.setFixedHeight(rows * _ROW + self.horizontalHeader().height() + 6)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show the markers where there is room for them."""
        super().resizeEvent(event)
        width = self.viewport().width()
        self.setColumnHidden(MARKERS, width < _WIDE)
        self.setColumnHidden(SHARE, width < _SHARES)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ask for a colour or another place, else what tables do."""
        index = self.currentIndex()
        keys = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_F2)
        if index.isValid() and index.column() == COLOR and event.key() in keys:
            event.accept()
            self.color_wanted.emit(index)
            return
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        if step is not None and event.modifiers() & Qt.KeyboardModifier.AltModifier:
            event.accept()
            self.move_wanted.emit(step)
            return
        super().keyPressEvent(event)
