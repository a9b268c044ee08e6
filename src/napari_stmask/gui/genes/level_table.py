"""The wanted level of every drawn region."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QLabel, QWidget

from ..fields import NoWheel

__all__ = ["LevelTable", "level_field"]

USUAL = 5.0


def level_field(value: float, name: str) -> QDoubleSpinBox:
    """A level in percent: 5 is as high as the top 5 % of the genes there."""
    field = QDoubleSpinBox()
    field.setRange(0.1, 100.0)
    field.setDecimals(1)
    field.setPrefix("top ")
    field.setSuffix(" %")
    field.setValue(value)
    field.setAccessibleName(name)
    field.setToolTip("5 is as high as the top 5 % of the genes there, 95 nearly silent.")
    field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return field


class LevelTable(QWidget):
    """One row a region: its name, its spots, its level; levels stay when it is drawn on."""

    def __init__(self) -> None:
        super().__init__()
        self._still = NoWheel(self)
        self._levels: dict[str, float] = {}
        self.fields: dict[str, QDoubleSpinBox] = {}
        self.counts: dict[str, int] = {}
        self._spots: dict[str, QLabel] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(1, 1)

    def levels(self) -> dict[str, float]:
        """Region -> percent."""
        return {name: field.value() for name, field in self.fields.items()}

    def show_counts(self, counts: Mapping[str, int]) -> None:
        """Region -> number of its spots."""
        self.counts = dict(counts)
        if list(counts) != list(self.fields):
            self._rebuild(list(counts))
        for name, count in counts.items():
            self._spots[name].setText(f"{count:,} spot{'s' if count != 1 else ''}")

    def _rebuild(self, names: list[str]) -> None:
        self._levels |= self.levels()
        while self._grid.count():
            taken = self._grid.takeAt(0).widget()
            if taken is not None:
                taken.hide()
                taken.deleteLater()
        self.fields, self._spots = {}, {}
        for row, name in enumerate(names):
            field = level_field(self._levels.get(name, USUAL), f"Level of region {name}")
            field.installEventFilter(self._still)
            self.fields[name], self._spots[name] = field, QLabel()
            for column, widget in enumerate((QLabel(f"Region {name}"), self._spots[name], field)):
                self._grid.addWidget(widget, row, column)
