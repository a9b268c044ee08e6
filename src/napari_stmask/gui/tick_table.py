"""A table of sections that are ticked, where tick and row belong to a section."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QTableWidget, QTableWidgetItem

from .parts import lay_out_rows

__all__ = ["ID", "TickTable"]

ID = Qt.ItemDataRole.UserRole
"""Role of the first cell of a row under which the id of its section is."""
_ROW = 24
_FEWEST = 2
"""Fewest rows that are given room."""


class TickTable(QTableWidget):
    """One row a section, ticked in the first column; ``changed`` on every edit.

    Ticks belong to a section as long as it is open.

    Parameters
    ----------
    heads, widths
        Title and width in pixels of each column; the one of width 0 takes what is left.
    name
        For screen readers.
    most
        Most rows that are seen at once.
    """

    changed = Signal()

    def __init__(
        self, heads: Sequence[str], widths: Sequence[int], name: str, *, most: int
    ) -> None:
        super().__init__(0, len(heads))
        self._most = most
        self._off: set[str] = set()
        self.setHorizontalHeaderLabels(list(heads))
        self.setAccessibleName(name)
        self.setTabKeyNavigation(False)
        # napari's theme draws ticks without a frame.
        self.setStyleSheet("QTableWidget::indicator:unchecked { border: 1px solid #808080; }")
        self.horizontalHeader().setHighlightSections(False)
        lay_out_rows(self, dict(enumerate(widths)), _ROW)

    def fit(self) -> None:
        """Be as high as the rows need, within bounds."""
        rows = min(max(self.rowCount(), _FEWEST), self._most)
        self.setFixedHeight(rows * _ROW + self.horizontalHeader().sizeHint().height() + 6)

    def offer_tick(self, cell: QTableWidgetItem, key: str, *, able: bool = True) -> None:
        """Make ``cell`` the one that ticks the section ``key``; its flags are the caller's."""
        cell.setData(ID, key)
        on = able and key not in self._off
        cell.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def keep_tick(self, cell: QTableWidgetItem, key: str) -> None:
        """Remember the tick of ``cell`` for the section ``key``."""
        on = cell.checkState() == Qt.CheckState.Checked
        (self._off.discard if on else self._off.add)(key)
