"""The sections to learn from: ticked, with their patients."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QTableWidgetItem

from ...prediction_checks import patients_of
from ..guard import slot
from ..model import Item
from ..parts import plain_tip
from ..tick_table import ID, TickTable
from .request import unfit

__all__ = ["ReferenceTable"]

_HEADS = ("Section", "Spots", "Genes", "Image", "Patient")
_WIDTHS = (0, 50, 58, 48, 72)
_PATIENT = len(_HEADS) - 1
_MOST = 7
"""Most rows that are seen at once."""


class ReferenceTable(TickTable):
    """One row a section, ticked where it is learnt from.

    Ticks and patients belong to a section as long as it is open, whatever the target is.
    """

    def __init__(self) -> None:
        super().__init__(_HEADS, _WIDTHS, "Reference sections; Space ticks one", most=_MOST)
        self._patients: dict[str, str] = {}
        self.setToolTip(
            "Measured sections to learn from. Where several patients are known, each reference "
            "learns from other patients, as the target will."
        )
        self.itemChanged.connect(self._on_item)
        self.fit()

    def offer(self, items: list[Item], *, needs_image: bool) -> None:
        """List sections; those that cannot be learnt from say why and cannot be ticked."""
        with QSignalBlocker(self):
            self.setRowCount(len(items))
            for row, item in enumerate(items):
                self._fill(row, item, unfit(item.section, needs_image=needs_image))
        self.fit()

    def ticked(self) -> list[str]:
        """Ids of the sections to learn from, from top to bottom."""
        rows = [self.item(row, 0) for row in range(self.rowCount())]
        return [str(r.data(ID)) for r in rows if r.checkState() == Qt.CheckState.Checked]

    def patients(self) -> dict[str, str]:
        """Id of each ticked section -> its patient, empty where unknown."""
        return {key: self._patients.get(key, "") for key in self.ticked()}

    def tick(self, wanted: Mapping[str, bool]) -> None:
        """Tick sections, or leave them out, by id."""
        for row in range(self.rowCount()):
            item = self.item(row, 0)
            key = str(item.data(ID))
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
                self.offer_tick(cell, item.id, able=not reason)
                flags |= Qt.ItemFlag.ItemIsUserCheckable
                if reason:
                    cell.setText(f"{text} ({reason})")
            cell.setFlags(flags)
            self.setItem(row, column, cell)

    @slot
    def _on_item(self, cell: QTableWidgetItem) -> None:
        key = str(self.item(cell.row(), 0).data(ID))
        if cell.column() == _PATIENT:
            self._patients[key] = cell.text().strip()
        elif cell.column() == 0:
            self.keep_tick(cell, key)
        self.changed.emit()
