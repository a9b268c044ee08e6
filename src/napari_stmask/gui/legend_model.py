"""The legend as a table model: swatch, name, spots, area, certainty, visible, top markers."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QModelIndex, QObject, Qt

from .domain_numbers import DomainNumbers
from .guard import Failure
from .model import DomainState
from .parts import plain_tip
from .session import Session
from .swatch_table import COLOR, NAME, SwatchModel

__all__ = [
    "AREA",
    "COLOR",
    "CONFIDENCE",
    "COUNT",
    "MARKERS",
    "NAME",
    "SHARE",
    "SHOWN",
    "LegendModel",
]

COUNT, SHARE, AREA, CONFIDENCE, SHOWN, MARKERS = range(NAME + 1, NAME + 7)
_TIPS = (
    "Double-click to change the colour.",
    "Double-click to rename.",
    "Number of spots.",
    "Share of the spots.",
    "Area in mm\u00b2: spots times the lattice cell of one; unknown without a scale.",
    "Mean certainty of the assignment, 0 to 1, where the run stored it.",
    "Untick to hide the domain on the tissue.",
    "Genes whose mean log-normalised value stands out most; a test is in Analyse.",
)
_NOWHERE = QModelIndex()
Role = Qt.ItemDataRole


class LegendModel(SwatchModel):
    """Rows are the domains of the session's selected result; edits go through the session."""

    HEADERS = ("", "Domain", "Spots", "%", "mm\u00b2", "Conf.", "Show", "Top markers")
    TIPS = _TIPS
    NUMBERS = (COUNT, SHARE, AREA, CONFIDENCE)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._state: DomainState | None = None
        self._counts: list[int] = []
        self.facts: DomainNumbers | None = None

    def refresh(self, *, keep: bool = False) -> bool:
        """Take the selected result's present state; returns whether the rows were reset.

        With ``keep`` the views keep selection and current cell where the number of rows allows.
        """
        domains = self._session.selected_domains
        state = domains.state if domains else None
        # Edits are about the domains, numbers of spots about what is drawn.
        counts = domains.drawn.counts.tolist() if domains else []
        if keep and state is not None and len(counts) == self.rowCount():
            self._state, self._counts = state, counts
            self.all_changed()
            return False
        self.beginResetModel()
        self._state, self._counts = state, counts
        self.endResetModel()
        return True

    def show_facts(self, facts: DomainNumbers | None) -> None:
        """Show area, certainty and markers, or nothing while they are not known."""
        self.facts = facts
        self.all_changed()

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:
        """Number of domains."""
        return 0 if parent.isValid() or self._state is None else len(self._state.names)

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Names can be edited, visibility can be ticked."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.column() == NAME:
            flags |= Qt.ItemFlag.ItemIsEditable
        if index.column() == SHOWN:
            flags |= Qt.ItemFlag.ItemIsUserCheckable
        return flags

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """Content of a cell."""
        state, row, column = self._state, index.row(), index.column()
        if state is None or not 0 <= row < len(state.names):
            return None
        if role in (Role.DisplayRole, Role.EditRole):
            return self._text(state, row, column)
        if role == Role.ToolTipRole:
            # Long names are cut short in the cell.
            long = {NAME: state.names[row], MARKERS: self._fact(row, column) or ""}.get(column)
            return plain_tip(f"{long}\n{_TIPS[column]}" if long else _TIPS[column])
        if column == SHOWN and role == Role.CheckStateRole:
            return Qt.CheckState.Checked if state.shown[row] else Qt.CheckState.Unchecked
        return self.looks(column, role, state.colors[row])

    def _text(self, state: DomainState, row: int, column: int) -> str | None:
        if column == NAME:
            return state.names[row]
        if column == COUNT:
            return f"{self._counts[row]:,}"
        if column == SHARE:
            return f"{100 * self._counts[row] / max(1, sum(self._counts)):.1f}"
        if column == COLOR:
            # The number tells domains apart where colours do not.
            return str(row + 1)
        return self._fact(row, column)

    def _fact(self, row: int, column: int) -> str | None:
        facts = self.facts
        if facts is None or row >= len(facts.markers):
            return None
        if column == MARKERS:
            return ", ".join(facts.markers[row])
        number = {AREA: facts.area, CONFIDENCE: facts.confidence}.get(column)
        if number is None or not np.isfinite(number[row]):
            return None
        return f"{number[row]:.3g}" if column == AREA else f"{number[row]:.2f}"

    def setData(self, index: QModelIndex, value: Any, role: int = Role.EditRole) -> bool:
        """Rename, or show and hide."""
        state, row = self._state, index.row()
        if state is None:
            return False
        try:
            if index.column() == NAME and role == Role.EditRole:
                if str(value).strip() == state.names[row]:
                    return False
                self._session.edit(state.renamed(row, str(value)))
                return True
            if index.column() == SHOWN and role == Role.CheckStateRole:
                checked = Qt.CheckState(value) == Qt.CheckState.Checked
                self._session.edit(state.with_shown(row, checked))
                return True
        except Exception as error:  # noqa: BLE001 - Qt calls this; nothing may leave it
            self.failed.emit(Failure(error))
        return False
