"""The sections to learn from: ticked, with their patients."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from ...prediction_checks import patients_of
from ..guard import slot
from ..model import Item
from ..parts import plain_tip
from .request import unfit

__all__ = ["ReferenceTable"]

_HEADS = ("Section", "Spots", "Genes", "Image", "Patient")
_WIDTHS = (0, 50, 58, 48, 72)
_PATIENT = len(_HEADS) - 1
_ROW = 24
_LOW, _HIGH = 2, 7
"""Fewest and most rows that are seen at once."""
_ID = Qt.ItemDataRole.UserRole


class ReferenceTable(QTableWidget):
    """One row a section, ticked where it is learnt from; ``changed`` on every edit.

    Ticks and patients belong to a section as long as it is open, whatever the target is.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__(0, len(_HEADS))
        self._off: set[str] = set()
        self._patients: dict[str, str] = {}
        self.setHorizontalHeaderLabels(_HEADS)
        self.setAccessibleName("Reference sections; Space ticks one")
        self.setToolTip(
            "Measured sections to learn from. Where several patients are known, each reference "
            "learns from other patients, as the target will."
        )
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        # napari's theme draws ticks without a frame.
        self.setStyleSheet("QTableWidget::indicator:unchecked { border: 1px solid #808080; }")
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(30)
        for column, width in enumerate(_WIDTHS):
            how = QHeaderView.ResizeMode.Fixed if width else QHeaderView.ResizeMode.Stretch
            header.setSectionResizeMode(column, how)
            if width:
                header.resizeSection(column, width)
        self.itemChanged.connect(self._on_item)
        self._fit()

    def offer(self, items: list[Item], *, needs_image: bool) -> None:
        """List sections; those that cannot be learnt from say why and cannot be ticked."""
        with QSignalBlocker(self):
            self.setRowCount(len(items))
            for row, item in enumerate(items):
                self._fill(row, item, unfit(item.section, needs_image=needs_image))
        self._fit()

    def ticked(self) -> list[str]:
        """Ids of the sections to learn from, from top to bottom."""
        rows = [self.item(row, 0) for row in range(self.rowCount())]
        return [str(r.data(_ID)) for r in rows if r.checkState() == Qt.CheckState.Checked]

    def patients(self) -> dict[str, str]:
        """Id of each ticked section -> its patient, empty where unknown."""
        return {key: self._patients.get(key, "") for key in self.ticked()}

    def tick(self, wanted: Mapping[str, bool]) -> None:
        """Tick sections, or leave them out, by id."""
        for row in range(self.rowCount()):
            item = self.item(row, 0)
            key = str(item.data(_ID))
            if key in wanted and item.flags() & Qt.ItemFlag.ItemIsEnabled:
                item.setCheckState(
                    Qt.CheckState.Checked if wanted[key] else Qt.CheckState.Unchecked
                )

    def _fill(self, row: int, item: Item, reason: str) -> None:
        section = item.section
        patient = self._patients.setdefault(item.id, patients_of([section])[0])
        image = "yes" if section.image is not None else "no"
        texts = (item.label, f"{section.n_spots:,}", f"{section.n_genes:,}", image, patient)
        for column, text in enumerate(texts):
            cell = QTableWidgetItem(text)
            cell.setToolTip(plain_tip(f"{item.label}: {reason}" if reason else text))
            flags = Qt.ItemFlag.ItemIsSelectable
            if not reason:
                flags |= Qt.ItemFlag.ItemIsEnabled
            if column == _PATIENT and not reason:
                flags |= Qt.ItemFlag.ItemIsEditable
                cell.setToolTip("Double-click to type the patient.")
            if column in (1, 2):
                cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            if column == 0:
                cell.setData(_ID, item.id)
                flags |= Qt.ItemFlag.ItemIsUserCheckable
                on = not reason and item.id not in self._off
                cell.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
                if reason:
                    cell.setText(f"{text} ({reason})")
            cell.setFlags(flags)
            self.setItem(row, column, cell)

    def _fit(self) -> None:
        rows = min(max(self.rowCount(), _LOW), _HIGH)
        self.setFixedHeight(rows * _ROW + self.horizontalHeader().sizeHint().height() + 6)

    @slot
    def _on_item(self, cell: QTableWidgetItem) -> None:
        key = str(self.item(cell.row(), 0).data(_ID))
        if cell.column() == _PATIENT:
            self._patients[key] = cell.text().strip()
        elif cell.column() == 0:
            ticked = cell.checkState() == Qt.CheckState.Checked
            (self._off.discard if ticked else self._off.add)(key)
        self.changed.emit()
