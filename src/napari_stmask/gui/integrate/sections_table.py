"""The sections of a run: ticked, in their order, with the gaps between them."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QAbstractItemView, QTableWidgetItem

from ..guard import slot
from ..model import Item
from ..parts import plain_tip
from ..tick_table import TickTable

__all__ = ["SectionsTable"]

_HEADS = ("Section", "Spots", "Genes", "µm / unit", "Gap µm")
_TIPS = (
    "Ticked sections are integrated, from top to bottom; Space ticks one.",
    "Number of spots.",
    "Number of genes.",
    "Micrometres of one unit of the coordinates; unknown where no file says it.",
    "Distance to the next ticked section; double-click to change it, empty it for the usual one.",
)
_WIDTHS = (0, 50, 56, 62, 58)
_GAP = len(_HEADS) - 1
_MOST = 10
"""Most rows that are seen at once."""


class SectionsTable(TickTable):
    """One row an open section.

    Order, ticks and gaps belong to a section as long as it is open.
    """

    def __init__(self) -> None:
        super().__init__(_HEADS, _WIDTHS, "Sections to integrate; Space ticks one", most=_MOST)
        self._order: list[str] = []
        self._gaps: dict[str, float] = {}
        self._spacing = 10.0
        self._serial = False
        for column, tip in enumerate(_TIPS):
            self.horizontalHeaderItem(column).setToolTip(tip)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.itemChanged.connect(self._on_item)

    def show_items(self, items: Iterable[Item]) -> None:
        """List the open sections; those that are new come last and are ticked."""
        known = {item.id: item for item in items}
        self._order = [key for key in self._order if key in known]
        self._order += [key for key in known if key not in self._order]
        current = self.current_id()
        with QSignalBlocker(self):
            self.setRowCount(len(self._order))
            for row, key in enumerate(self._order):
                self._fill(row, known[key])
            self._show_gaps()
        self.select_id(current)
        self.fit()

    def show_gaps(self, *, serial: bool, spacing: float) -> None:
        """Whether sections have gaps, and how wide those are that nobody has set."""
        self._serial, self._spacing = serial, spacing
        with QSignalBlocker(self):
            self._show_gaps()

    def ticked(self) -> list[str]:
        """Ids of the ticked sections, in their order."""
        return [key for key in self._order if key not in self._off]

    def gaps(self) -> list[float] | None:
        """Gaps between the ticked sections in µm; None where all are the usual one."""
        keys = self.ticked()[:-1]
        if not self._serial or not any(key in self._gaps for key in keys):
            return None
        return [self._gaps.get(key, self._spacing) for key in keys]

    def current_id(self) -> str:
        """Id of the current row; empty without one."""
        row = self.currentRow()
        return self._order[row] if 0 <= row < min(len(self._order), self.rowCount()) else ""

    def select_id(self, key: str) -> None:
        """Make the row of a section the current one."""
        if key in self._order:
            with QSignalBlocker(self):
                self.setCurrentCell(self._order.index(key), 0)

    def move_row(self, step: int) -> bool:
        """Move the current section by ``step`` rows; whether there was room."""
        row = self.currentRow()
        target = row + step
        if not (0 <= row < len(self._order) and 0 <= target < len(self._order)):
            return False
        self._order.insert(target, self._order.pop(row))
        return True

    def _fill(self, row: int, item: Item) -> None:
        scale = item.section.um_per_px
        values = (
            item.label,
            f"{item.section.n_spots:,}",
            f"{item.section.n_genes:,}",
            f"{scale:.4g}" if scale is not None else "unknown",
            "",
        )
        for column, text in enumerate(values):
            cell = QTableWidgetItem(text)
            cell.setToolTip(plain_tip(text))
            flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
            if column == 0:
                self.offer_tick(cell, item.id)
                flags |= Qt.ItemFlag.ItemIsUserCheckable
            else:
                cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            cell.setFlags(flags)
            self.setItem(row, column, cell)

    def _show_gaps(self) -> None:
        """Every ticked section but the last has a gap below it."""
        with_gap = set(self.ticked()[:-1]) if self._serial else set()
        plain = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        for row, key in enumerate(self._order):
            cell = self.item(row, _GAP)
            if cell is None:
                continue
            has = key in with_gap
            cell.setText(f"{self._gaps.get(key, self._spacing):g}" if has else "")
            cell.setFlags(plain | Qt.ItemFlag.ItemIsEditable if has else plain)

    @slot
    def _on_item(self, cell: QTableWidgetItem) -> None:
        key = self._order[cell.row()]
        if cell.column() == 0:
            self.keep_tick(cell, key)
        elif cell.column() == _GAP:
            self._take_gap(key, cell.text())
        with QSignalBlocker(self):
            self._show_gaps()
        self.changed.emit()

    def _take_gap(self, key: str, text: str) -> None:
        """A number from 0 is a gap; anything else restores the usual one."""
        try:
            value = float(text.replace(",", "."))
        except ValueError:
            value = -1.0
        if 0 <= value < 1e6:
            self._gaps[key] = value
        else:
            self._gaps.pop(key, None)
