"""Tick boxes of the sources of a section."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from ..guard import slot
from .reading import Choice

__all__ = ["SourceTicks"]

_FIRST = ("normalised", "predicted", "imputed", "values", "counts")
"""Ticked where nothing was ticked before, the first that there is."""


class SourceTicks(QWidget):
    """``changed`` when other sources are ticked; ticks go from section to section by name."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self._choices: list[Choice] = []
        self.boxes: list[QCheckBox] = []
        self._wanted: set[str] = set()

    def offer(self, choices: Sequence[Choice]) -> None:
        """Other sources; those that were ticked, and are there, stay ticked."""
        for box in self.boxes:
            self._layout.removeWidget(box)
            box.hide()
            box.deleteLater()
        self._choices, self.boxes = list(choices), []
        names = [choice.name for choice in choices]
        if not self._wanted & set(names):
            self._wanted |= {next((name for name in _FIRST if name in names), "")}
        for choice in choices:
            box = QCheckBox(f"{choice.title}  [{choice.source.unit}]")
            box.setToolTip(f"Show {choice.title}, beside the others that are ticked.")
            box.setAccessibleName(f"Show {choice.title}")
            with QSignalBlocker(box):
                box.setChecked(choice.name in self._wanted)
            box.toggled.connect(self._on_toggled)
            self.boxes.append(box)
            self._layout.addWidget(box)

    def ticked(self) -> list[Choice]:
        """What is ticked, in the order of the boxes."""
        both = zip(self._choices, self.boxes, strict=True)
        return [choice for choice, box in both if box.isChecked()]

    @property
    def choices(self) -> list[Choice]:
        """Everything that can be ticked."""
        return self._choices

    @slot
    def _on_toggled(self) -> None:
        here = {choice.name for choice in self._choices}
        self._wanted = (self._wanted - here) | {choice.name for choice in self.ticked()}
        self.changed.emit()
