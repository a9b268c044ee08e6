"""A line and a list below it: genes by name or id, with the keyboard alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractListModel, QEvent, QModelIndex, QObject, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QLineEdit, QListView, QToolButton, QVBoxLayout, QWidget

from ..guard import slot
from ..parts import plain_label
from .gene_index import GeneIndex, Hits

__all__ = ["GeneSearch"]

_HEIGHT = 132
_KEYS = {
    Qt.Key.Key_Down: 1,
    Qt.Key.Key_Up: -1,
    Qt.Key.Key_PageDown: 6,
    Qt.Key.Key_PageUp: -6,
}


class _Listed(QAbstractListModel):
    """The genes that a search found."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.index_of: GeneIndex | None = None
        self.rows = np.zeros(0, dtype=np.intp)

    def show_hits(self, index: GeneIndex | None, hits: Hits | None) -> None:
        """Other genes."""
        self.beginResetModel()
        self.index_of = index
        self.rows = hits.rows if hits is not None else self.rows[:0]
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Genes listed."""
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Symbol and id; the mean is in the tooltip."""
        if self.index_of is None or not index.isValid():
            return None
        row = int(self.rows[index.row()])
        if role == Qt.ItemDataRole.DisplayRole:
            return self.index_of.label(row)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"Mean over the spots: {self.index_of.mean[row]:.3g}."
        if role == Qt.ItemDataRole.UserRole:
            return str(self.index_of.names[row])
        return None


class GeneSearch(QWidget):
    """``chosen(gene)``, by its name in ``var``, on Return and on a click in the list."""

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self.line = QLineEdit()
        self.line.setAccessibleName("Search a gene")
        self.line.setPlaceholderText("Gene name or id")
        self.line.setToolTip("Part of a name or an id; arrows choose, Return shows the gene.")
        self.line.setClearButtonEnabled(True)
        for button in self.line.findChildren(QToolButton):
            button.setAccessibleName("Clear")
        self.line.installEventFilter(self)
        self.line.textChanged.connect(self._on_text)
        self.line.returnPressed.connect(self._on_return)
        self.list = QListView()
        self.list.setAccessibleName("Genes found")
        self.list.setToolTip("The best 200 genes; a click shows one on the tissue.")
        self.list.setUniformItemSizes(True)
        self.list.setFixedHeight(_HEIGHT)
        self.list.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.model = _Listed(self)
        self.list.setModel(self.model)
        self.list.clicked.connect(self._on_listed)
        self.list.activated.connect(self._on_listed)
        self.count = plain_label()
        self.count.setAccessibleName("Number of genes found")
        for widget in (self.line, self.list, self.count):
            layout.addWidget(widget)
        self._index: GeneIndex | None = None

    @property
    def index(self) -> GeneIndex | None:
        """What is searched."""
        return self._index

    def offer(self, index: GeneIndex | None) -> None:
        """Search other genes, None for none; what was typed stays."""
        if index is not self._index:
            self._index = index
            self._on_text()

    def show_gene(self, gene: str) -> None:
        """Write a gene into the line; says nothing."""
        row = np.flatnonzero(self._index.names == gene) if self._index is not None else ()
        self.line.setText(str(self._index.symbols[row[0]]) if len(row) and self._index else gene)
        self._mark(gene)

    def _mark(self, gene: str) -> None:
        if self._index is None:
            return
        for i in np.flatnonzero(self._index.names[self.model.rows] == gene)[:1]:
            self.list.setCurrentIndex(self.model.index(int(i), 0))

    @slot
    def _on_text(self) -> None:
        if self._index is None:
            self.model.show_hits(None, None)
            self.count.setText("")
            return
        hits = self._index.search(self.line.text())
        self.model.show_hits(self._index, hits)
        if len(hits.rows):
            self.list.setCurrentIndex(self.model.index(0, 0))
        more = f", the first {len(hits.rows)} are listed" if hits.count > len(hits.rows) else ""
        self.count.setText(f"{hits.count:,} of {len(self._index.names):,} genes{more}.")

    @slot
    def _on_return(self) -> None:
        self._on_listed(self.list.currentIndex())

    @slot
    def _on_listed(self, index: QModelIndex) -> None:
        gene = index.data(Qt.ItemDataRole.UserRole) if index.isValid() else None
        if gene:
            self.chosen.emit(gene)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let arrow keys in the line go through the list."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            step = _KEYS.get(Qt.Key(event.key()))
            if step is not None and self.model.rowCount():
                row = self.list.currentIndex().row() + step
                row = min(max(row, 0), self.model.rowCount() - 1)
                self.list.setCurrentIndex(self.model.index(row, 0))
                return True
        return super().eventFilter(watched, event)
