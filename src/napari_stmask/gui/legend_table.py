"""The legend's table: what its columns need, keys of its own, selection that edits keep."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QItemSelectionModel, Qt, Signal
from qtpy.QtGui import QKeyEvent, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView

from .legend_model import AREA, COLOR, CONFIDENCE, COUNT, MARKERS, SHARE, SHOWN, LegendModel
from .swatch_table import SwatchTable

__all__ = ["LegendTable"]

_WIDTHS = {COLOR: 34, COUNT: 52, SHARE: 46, AREA: 50, CONFIDENCE: 46, SHOWN: 44}
_SHARES, _WIDE, _MARKERS = 390, 520, 150
"""Widths from which shares and markers have a column, and how wide that of the markers is."""


class LegendTable(SwatchTable):
    """Alt with an arrow moves a domain."""

    move_wanted = Signal(int)
    MOST = 12

    def __init__(self, model: LegendModel) -> None:
        super().__init__(model, "Legend of the domains", _WIDTHS | {MARKERS: _MARKERS})
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
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

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show the markers where there is room for them."""
        super().resizeEvent(event)
        width = self.viewport().width()
        self.setColumnHidden(MARKERS, width < _WIDE)
        self.setColumnHidden(SHARE, width < _SHARES)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ask for another place, else what the table of swatches does."""
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        if step is not None and event.modifiers() & Qt.KeyboardModifier.AltModifier:
            event.accept()
            self.move_wanted.emit(step)
            return
        super().keyPressEvent(event)
