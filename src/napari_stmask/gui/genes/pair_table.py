"""Pairs of genes: their table, and the rate of false ones that decides which are listed."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox

from ..analyse.table import Column, FrameTable
from ..guard import slot

__all__ = ["PairTable", "q_field"]


class PairTable(FrameTable):
    """A table with columns ``gene_a`` and ``gene_b``; ``paired(genes)`` on a click or Return."""

    paired = Signal(object)

    def __init__(self, columns: Sequence[Column], name: str) -> None:
        first = (Column("gene_a", "Gene", width=0), Column("gene_b", "and gene", width=0))
        super().__init__((*first, *columns), name, chooses="gene_a")
        self.chosen.connect(self._on_chosen)

    @slot
    def _on_chosen(self) -> None:
        row = self.currentIndex().row()
        if 0 <= row < len(self.frames.rows):
            pair = self.frames.frame.iloc[int(self.frames.rows[row])]
            self.paired.emit((str(pair["gene_a"]), str(pair["gene_b"])))


def q_field(tip: str) -> QDoubleSpinBox:
    """False discovery rate below which a pair counts."""
    field = QDoubleSpinBox()
    field.setDecimals(3)
    field.setRange(0.001, 1.0)
    field.setSingleStep(0.01)
    field.setValue(0.05)
    field.setAccessibleName("q below")
    field.setToolTip(tip)
    return field
