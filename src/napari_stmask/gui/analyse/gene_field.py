"""A gene, typed with completion."""

from __future__ import annotations

import pandas as pd
from qtpy.QtCore import QStringListModel, Qt, Signal
from qtpy.QtWidgets import QCompleter, QLineEdit, QToolButton

from ..guard import slot

__all__ = ["GeneField"]

_SHOWN = 12
"""Names in the list below the field."""


class GeneField(QLineEdit):
    """Any case, any part of a name; ``chosen(gene)`` on Return and on a click in the list."""

    chosen = Signal(str)

    def __init__(self, name: str, tip: str) -> None:
        super().__init__()
        self._genes = pd.Index([])
        self._names = QStringListModel(self)
        self.setAccessibleName(name)
        self.setToolTip(tip)
        self.setPlaceholderText("Type a gene")
        self.setClearButtonEnabled(True)
        for button in self.findChildren(QToolButton):
            button.setAccessibleName("Clear")
        completer = QCompleter(self._names, self)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setMaxVisibleItems(_SHOWN)
        completer.activated.connect(self._on_listed)
        self.setCompleter(completer)
        self.returnPressed.connect(self._on_return)

    def offer(self, genes: pd.Index) -> None:
        """The genes that can be chosen; what was typed stays."""
        if genes is not self._genes:
            self._genes = genes
            self._names.setStringList([str(gene) for gene in genes])

    def value(self) -> str:
        """The gene as it is spelt in the section; empty where none is meant."""
        text = self.text().strip()
        if text in self._genes:
            return text
        alike = self._genes[self._genes.astype(str).str.casefold() == text.casefold()]
        return str(alike[0]) if len(alike) else ""

    @slot
    def _on_return(self) -> None:
        if self.text().strip():
            self.chosen.emit(self.value() or self.text().strip())

    @slot
    def _on_listed(self, text: str) -> None:
        self.setText(text)
        self.chosen.emit(text)
