"""A table of an analysis: sorted by its heads, filtered, copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QFont, QKeyEvent, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QTableView

from ..guard import slot
from ..parts import copy_text, lay_out_rows, plain_tip

__all__ = ["Column", "FrameTable"]

_ROW = 24
_LOW, _HIGH = 1, 12
"""Fewest and most rows that are seen at once."""


@dataclass(frozen=True)
class Column:
    """How a column of a frame is shown.

    Attributes
    ----------
    name
        In the frame.
    title
        Head of the column.
    form
        Format of its numbers; empty for text.
    tip
        What it means.
    width
        In pixels; 0 takes the room that is left.
    best
        Whether the largest number is marked.
    """

    name: str
    title: str
    form: str = ""
    tip: str = ""
    width: int = 56
    best: bool = False


class _FrameModel(QAbstractTableModel):
    """Rows of a frame; sorting and filtering choose and order row numbers."""

    def __init__(self, columns: Sequence[Column], parent: Any) -> None:
        super().__init__(parent)
        self.columns = list(columns)
        self.frame = pd.DataFrame({c.name: [] for c in columns})
        self._source: pd.DataFrame | None = None
        self.rows = np.arange(0)
        self.colors: Mapping[str, str] = {}
        self._filters: dict[str, str] = {}
        self._order: tuple[int, bool] | None = None

    def set_frame(self, frame: pd.DataFrame, colors: Mapping[str, str] | None = None) -> None:
        if frame is self._source:
            # Shown again, perhaps in other colours: what is selected stays.
            self.colors = colors or {}
            last = self.index(self.rowCount() - 1, self.columnCount() - 1)
            self.dataChanged.emit(self.index(0, 0), last)
            return
        self.beginResetModel()
        self._source = frame
        self.frame, self.colors = frame.reset_index(drop=True), colors or {}
        self._choose()
        self.endResetModel()

    def set_filter(self, name: str, value: str, *, part: bool = False) -> None:
        """Keep rows whose text equals ``value``, or holds it; empty keeps all."""
        rule = ("~" if part else "=") + value if value else ""
        if rule == self._filters.get(name, ""):
            return
        self.beginResetModel()
        self._filters[name] = rule
        self._choose()
        self.endResetModel()

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        """Order the rows by a column; -1 restores the order of the frame."""
        self.layoutAboutToBeChanged.emit()
        self._order = (column, order == Qt.SortOrder.AscendingOrder) if column >= 0 else None
        self._choose()
        self.layoutChanged.emit()

    def _choose(self) -> None:
        keep = np.ones(len(self.frame), dtype=bool)
        for name, rule in self._filters.items():
            if not rule or name not in self.frame:
                continue
            text = self.frame[name].astype(str)
            if rule[0] == "=":
                keep &= (text == rule[1:]).to_numpy()
            else:
                keep &= text.str.contains(rule[1:], case=False, regex=False).to_numpy()
        rows = np.flatnonzero(keep)
        if self._order is not None and len(rows):
            name = self.columns[self._order[0]].name
            values = self.frame[name].iloc[rows].reset_index(drop=True)
            number = pd.to_numeric(values, errors="coerce")
            # Names such as 2 and 10 by size, other names after them by letter.
            table = pd.DataFrame({"number": number, "text": values.astype(str)})
            ordered = table.sort_values(
                ["number", "text"], ascending=self._order[1], kind="stable", na_position="last"
            )
            rows = rows[ordered.index.to_numpy()]
        self.rows = rows

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Rows that pass the filters."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Columns."""
        return 0 if parent is not None and parent.isValid() else len(self.columns)

    def headerData(self, place: int, direction: Any, role: int = 0) -> Any:
        """Titles and explanations."""
        if direction != Qt.Orientation.Horizontal or not 0 <= place < len(self.columns):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.columns[place].title
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.columns[place].tip or None
        return None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Text, alignment and the swatch of a domain."""
        if not index.isValid() or index.row() >= len(self.rows):
            return None
        column = self.columns[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column.form else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        value = self.frame[column.name].iat[int(self.rows[index.row()])]
        if role == Qt.ItemDataRole.DisplayRole:
            star = "\u2605 " if column.best and self._is_best(index) else ""
            return star + _text(value, column.form)
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(_text(value, column.form))
        if role == Qt.ItemDataRole.FontRole and column.best and self._is_best(index):
            font = QFont()
            font.setBold(True)
            return font
        if role == Qt.ItemDataRole.DecorationRole and column.name == "domain":
            color = self.colors.get(str(value))
            return QColor(color) if color else None
        return None

    def _is_best(self, index: QModelIndex) -> bool:
        values = self.frame[self.columns[index.column()].name].to_numpy(dtype=float)
        known = values[np.isfinite(values)]
        return bool(known.size and values[self.rows[index.row()]] == known.max())


def _text(value: Any, form: str) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "\u2013"
    return format(value, form) if form else str(value)


class FrameTable(QTableView):
    """Shows a frame; a click or Return on a row emits ``chosen`` with its text in ``chooses``."""

    chosen = Signal(str)

    def __init__(self, columns: Sequence[Column], name: str, chooses: str = "") -> None:
        super().__init__()
        self.frames = _FrameModel(columns, self)
        self._chooses = chooses
        self.setModel(self.frames)
        self.setAccessibleName(name)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        lay_out_rows(self, {i: column.width for i, column in enumerate(columns)}, _ROW)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self.clicked.connect(self._on_clicked)
        self._fit()

    def show_frame(self, frame: pd.DataFrame, colors: Mapping[str, str] | None = None) -> None:
        """Show another frame; filters and order stay."""
        self.frames.set_frame(frame, colors)
        self._fit()

    def filter(self, column: str, value: str, *, part: bool = False) -> None:
        """Keep rows whose ``column`` is ``value``, or holds it; empty keeps all."""
        self.frames.set_filter(column, value, part=part)
        self._fit()

    def _fit(self) -> None:
        rows = min(max(self.frames.rowCount(), _LOW), _HIGH)
        self.setFixedHeight(rows * _ROW + self.horizontalHeader().sizeHint().height() + 6)

    def current(self) -> str:
        """The text in ``chooses`` of the current row; empty without one."""
        row = self.currentIndex().row()
        if not self._chooses or not 0 <= row < len(self.frames.rows):
            return ""
        return str(self.frames.frame[self._chooses].iat[int(self.frames.rows[row])])

    def as_text(self) -> str:
        """The selected rows, or all, with heads, separated by tabs."""
        picked = sorted({i.row() for i in self.selectionModel().selectedRows()})
        rows = self.frames.rows[picked] if picked else self.frames.rows
        names = [c.name for c in self.frames.columns]
        return str(self.frames.frame[names].iloc[rows].to_csv(sep="\t", index=False))

    def copy(self) -> None:
        """Put the selected rows, or all, on the clipboard."""
        copy_text(self.as_text())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy, or choose the current row."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current():
            self.chosen.emit(self.current())
        else:
            super().keyPressEvent(event)
            return
        event.accept()

    @slot
    def _on_clicked(self) -> None:
        if self.current():
            self.chosen.emit(self.current())
