"""The dialog that asks what the columns of a plain table mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qtpy.QtCore import QStringListModel, Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ..core.errors import StmaskError
from ..io.roles import NUMBER, ROLES, genes_of, guess_roles
from .fields import PathField
from .formats import TABLES
from .guard import Failure, slot
from .opening import PREVIEW_COLUMNS, Table, look_at
from .parts import MessageStrip, narrow_combo, plain_label

__all__ = ["ColumnsDialog", "problem_with"]

_NONE = "\u2013"
_TITLES = {
    "id": ("Spot or cell name", "Column with a name for each spot; without one they are numbered."),
    "x": ("x", "Column of numbers, to the right."),
    "y": ("y", "Column of numbers, downwards."),
    "gene": ("Gene", "Column of gene names, for tables with one row per gene and position."),
    "count": ("Count", "Column of counts, for tables with one row per gene and position."),
}
_SPOTS_TIP = (
    "Table with name, x and y of each spot, where the counts have none. The columns above are "
    "then those of that table."
)


def problem_with(table: Table, roles: Mapping[str, str], *, spots: bool) -> str:
    """Why roles are not enough to read a section; empty where they are.

    Parameters
    ----------
    table
        Whose columns are named: the counts, or the table of spots.
    roles
        From roles to names of columns.
    spots
        Whether ``table`` is a separate table of spots.
    """
    needed = ("id", "x", "y") if spots else ("x", "y")
    missing = [_TITLES[role][0].lower() for role in needed if role not in roles]
    if missing:
        return f"Choose a column for {' and '.join(missing)}."
    if len(set(roles.values())) < len(roles):
        return "Each column can mean one thing only."
    if spots:
        return ""
    if ("gene" in roles) != ("count" in roles):
        return "Gene and count belong together: choose both or none."
    if "gene" not in roles and not genes_of(table.columns, roles):
        return "No column of numbers is left for the genes: choose gene and count."
    return ""


class ColumnsDialog(QDialog):
    """Columns with their kinds and first rows, and one choice for each role.

    Parameters
    ----------
    table
        The table of counts.
    given, spots
        What was said before.
    parent
        A docked widget, whose looks the dialog takes.
    """

    def __init__(
        self,
        table: Table,
        parent: QWidget,
        given: Mapping[str, str] | None = None,
        spots: str | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("What the columns mean")
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(640, 520)
        self.table = self._counts = table
        self._said = dict(given or {})
        layout = QVBoxLayout(self)
        self.about = plain_label()
        layout.addWidget(self.about)
        self.preview = QTableWidget()
        self.preview.setAccessibleName("First rows of the table")
        self.preview.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.preview.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.preview.verticalHeader().hide()
        layout.addWidget(self.preview, 1)
        layout.addLayout(self._build_form())
        self.strip = MessageStrip()
        layout.addWidget(self.strip)
        self.reason = plain_label()
        layout.addWidget(self.reason)
        buttons = QDialogButtonBox.StandardButton
        self.box = QDialogButtonBox(buttons.Ok | buttons.Cancel)
        self.box.accepted.connect(self.accept)
        self.box.rejected.connect(self.reject)
        self.ok = self.box.button(buttons.Ok)
        self.ok.setText("Read the table")
        for button in self.box.buttons():
            button.setIcon(QIcon())
        layout.addWidget(self.box)
        self.spots.set_value(spots)
        self._on_spots()

    def _build_form(self) -> QFormLayout:
        form = QFormLayout()
        form.setSpacing(6)
        self.combos: dict[str, QComboBox] = {}
        self._labels: dict[str, QLabel] = {}
        # One list for all: tables may have tens of thousands of columns.
        self._names, self._numbers = QStringListModel(self), QStringListModel(self)
        for role in ROLES:
            title, tip = _TITLES[role]
            combo = narrow_combo(QComboBox())
            combo.setModel(self._numbers if role in ("x", "y", "count") else self._names)
            combo.setAccessibleName(title)
            combo.setToolTip(tip)
            combo.currentIndexChanged.connect(self._on_choice)
            self.combos[role], self._labels[role] = combo, QLabel(title)
            self._labels[role].setToolTip(tip)
            self._labels[role].setBuddy(combo)
            form.addRow(self._labels[role], combo)
        self.spots = PathField("Spots table", TABLES, _SPOTS_TIP)
        self.spots.changed.connect(self._on_spots)
        form.addRow("Spots table", self.spots)
        return form

    @property
    def roles(self) -> dict[str, str]:
        """Chosen columns by role."""
        return {
            role: combo.currentText()
            for role, combo in self.combos.items()
            if combo.isEnabled() and combo.currentIndex() >= 0 and combo.currentText() != _NONE
        }

    @slot
    def _on_spots(self) -> None:
        """Show the table that the roles are about."""
        self.strip.clear()
        self.table, path = self._counts, self.spots.value()
        if path is not None:
            try:
                self.table = look_at(path)
            except StmaskError as error:
                self.strip.show_failure(Failure(error))
        self._fill()

    def _fill(self) -> None:
        columns, known = self.table.columns, guess_roles(self.table.columns)
        names = {name for name, _ in columns}
        known |= {role: name for role, name in self._said.items() if name in names}
        apart = self.table is not self._counts
        for combo in self.combos.values():
            combo.blockSignals(True)
        self._names.setStringList([_NONE, *(name for name, _ in columns)])
        self._numbers.setStringList([_NONE, *(n for n, kind in columns if kind == NUMBER)])
        for role, combo in self.combos.items():
            combo.setCurrentIndex(max(0, combo.findText(known.get(role, _NONE))))
            usable = not (apart and role in ("gene", "count"))
            combo.setEnabled(usable)
            self._labels[role].setEnabled(usable)
            combo.setToolTip(_TITLES[role][1] if usable else "The spots table has no counts.")
            combo.blockSignals(False)
        count = len(columns)
        shown = f", the first {PREVIEW_COLUMNS} are shown" if count > PREVIEW_COLUMNS else ""
        self.about.setText(f"{Path(self.table.path).name} has {count:,} columns{shown}.")
        self._on_choice()

    @slot
    def _on_choice(self) -> None:
        wrong_path = self.spots.value() is not None and self.table is self._counts
        problem = problem_with(self.table, self.roles, spots=self.table is not self._counts)
        for role, name in guess_roles(self.table.columns).items():
            # The reader would take it for what it is called.
            if not problem and self.combos[role].isEnabled() and role not in self.roles:
                problem = f"'{name}' tells by its name what it is: choose a column as {role}."
        if wrong_path:
            problem = "The spots table cannot be read: choose another, or none."
        self.reason.setText(f"\u26a0 {problem}" if problem else self._summary())
        self.ok.setEnabled(not problem)
        self.ok.setToolTip(problem)
        self._show_rows()

    def _summary(self) -> str:
        if self.table is not self._counts:
            return "Counts and spots are joined by the names of the spots."
        if "gene" in self.roles:
            return "One row per gene and position."
        count = len(genes_of(self.table.columns, self.roles))
        return f"One row per spot; {count:,} columns are taken for genes."

    def _show_rows(self) -> None:
        meanings = {name: _TITLES[role][0] for role, name in self.roles.items()}
        columns = self.table.columns[:PREVIEW_COLUMNS]
        self.preview.setColumnCount(len(columns))
        self.preview.setRowCount(len(self.table.rows))
        for place, (name, kind) in enumerate(columns):
            meaning = meanings.get(name)
            head = QTableWidgetItem(f"{name}\n{kind}" + (f" \u2192 {meaning}" if meaning else ""))
            font = head.font()
            font.setBold(meaning is not None)
            head.setFont(font)
            self.preview.setHorizontalHeaderItem(place, head)
            for line, row in enumerate(self.table.rows):
                cell = QTableWidgetItem(row[place] if place < len(row) else "")
                self.preview.setItem(line, place, cell)
        self.preview.resizeColumnsToContents()

    def chosen(self) -> tuple[dict[str, str], str | None]:
        """Columns by role, and the table of spots if there is one."""
        return self.roles, self.spots.value()
