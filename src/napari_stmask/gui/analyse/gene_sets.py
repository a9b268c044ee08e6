"""A list of genes that can be typed, chosen and loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QPlainTextEdit, QVBoxLayout, QWidget

from ..guard import slot
from ..parts import narrow_combo, plain_label

__all__ = ["GeneList", "missing_genes"]

_OWN = "edited"


def missing_genes(known: Set[str], genes: tuple[str, ...]) -> list[str]:
    """Genes that are not among ``known``, which are in lower case (``str.casefold``)."""
    return [gene for gene in genes if gene.casefold() not in known]


class GeneList(QWidget):
    """Genes as text, one or several a line; ``changed`` when there are others."""

    changed = Signal()

    def __init__(self, name: str, tip: str) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self.sets = narrow_combo(QComboBox())
        self.sets.setAccessibleName(f"{name}: gene set")
        self.sets.setToolTip("Gene set that fills the list; edit it as you like.")
        self.sets.activated.connect(self._on_chosen)
        self.text = QPlainTextEdit()
        self.text.setAccessibleName(f"{name}: genes")
        self.text.setToolTip(tip)
        self.text.setTabChangesFocus(True)
        self.text.setFixedHeight(58)
        # napari's theme draws no frame, and a text that can be edited should look so.
        self.text.setStyleSheet(
            "QPlainTextEdit { border: 1px solid #808080; border-radius: 2px; padding: 1px; }"
        )
        self.text.textChanged.connect(self._on_text)
        self.lacking = plain_label()
        self.lacking.setAccessibleName(f"{name}: genes that are missing")
        for widget in (self.sets, self.text, self.lacking):
            layout.addWidget(widget)
        self._known: dict[str, tuple[str, ...]] = {}

    def genes(self) -> tuple[str, ...]:
        """The genes of the list, each once."""
        found = (gene for gene in re.split(r"[\s,;]+", self.text.toPlainText()) if gene)
        return tuple(dict.fromkeys(found))

    def offer(self, sets: Mapping[str, tuple[str, ...]], chosen: str | None) -> None:
        """Gene sets that can be chosen, and the one that fills the list now; None empties it."""
        self._known = dict(sets)
        self.sets.clear()
        for name, genes in sets.items():
            self.sets.addItem(f"{name} ({len(genes)} genes)", name)
        self.sets.addItem("(none)", "")
        self.sets.addItem(f"({_OWN})", _OWN)
        self._fill(chosen)

    def _fill(self, chosen: str | None) -> None:
        self.sets.setCurrentIndex(self.sets.findData(chosen or ""))
        self.text.blockSignals(True)
        self.text.setPlainText(", ".join(self._known.get(chosen or "", ())))
        self.text.blockSignals(False)
        self.changed.emit()

    def check(self, known: Set[str]) -> None:
        """Say which genes the section lacks, whose genes are ``known``; nothing without any."""
        genes = self.genes()
        gone = missing_genes(known, genes)
        text = f"{len(genes) - len(gone)} of {len(genes)} genes are in the section"
        if gone:
            text += f"; missing: {', '.join(gone[:12])}" + (" \u2026" if len(gone) > 12 else "")
        self.lacking.setText(f"{text}.")
        self.lacking.setVisible(bool(genes) and bool(known))

    @slot
    def _on_chosen(self) -> None:
        if self.sets.currentData() != _OWN:
            self._fill(self.sets.currentData())

    @slot
    def _on_text(self) -> None:
        self.sets.setCurrentIndex(self.sets.findData(_OWN))
        self.changed.emit()
