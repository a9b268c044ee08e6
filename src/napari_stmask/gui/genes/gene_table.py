"""A table whose selected rows are the chosen genes, by name, however it is sorted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from qtpy.QtCore import QItemSelection, QItemSelectionModel, QTimer, Signal

from ..analyse.table import Column, FrameTable
from ..guard import slot

__all__ = ["GENE_COLUMNS", "SVG_COLUMNS", "GeneTable"]

GENE_COLUMNS = (
    Column("gene", "Gene", width=0),
    Column("module", "Mod.", tip="Module of the gene.", width=40),
    Column("probability", "Prob.", ".2f", "Probability of the module.", 42),
)
SVG_COLUMNS = (
    Column("svg_effect", "Effect", ".1f", "How spatial: distance to random pictures of the gene "
           "in units of their spread; about 1 without a pattern.", 52),
    Column("svg_p", "p", ".0e", "Chance that a random picture is as far.", 44),
    Column("svg_q", "q", ".0e", "Adjusted over all genes (Benjamini and Hochberg).", 44),
    Column("svg_rank", "Rank", ".0f", "1 is the most spatial gene.", 40),
)  # fmt: skip


_NARROW = 360
"""Width in pixels below which spare columns leave room for the names of the genes."""


class GeneTable(FrameTable):
    """``picked(genes)`` when a user has selected other rows.

    Parameters
    ----------
    columns, name
        As for `FrameTable`.
    spare
        Columns that are hidden where the table is narrow.
    """

    picked = Signal(object)

    def __init__(self, columns: Sequence[Column], name: str, *, spare: Sequence[str] = ()) -> None:
        super().__init__(columns, name, chooses="gene")
        self._spare, self._without = frozenset(spare), frozenset[str]()
        self._names: frozenset[str] = frozenset()
        self._still = False
        # A shift-click and its likes say so several times.
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(30)
        self._later.timeout.connect(self._tell)
        self.selectionModel().selectionChanged.connect(self._on_selected)
        # Rows move and leave; the genes that are chosen stay.
        self.frames.modelReset.connect(self._again)
        self.frames.layoutChanged.connect(self._again)

    def leave_out(self, names: Collection[str]) -> None:
        """Hide some columns, for which there are no numbers."""
        self._without = frozenset(names)
        self._fit_columns()

    def resizeEvent(self, event: Any) -> None:
        """Hide what does not fit."""
        super().resizeEvent(event)
        self._fit_columns()

    def _fit_columns(self) -> None:
        gone = self._without | (self._spare if self.width() < _NARROW else frozenset())
        for place, column in enumerate(self.frames.columns):
            if self.isColumnHidden(place) != (column.name in gone):
                self.setColumnHidden(place, column.name in gone)

    def selected(self) -> tuple[str, ...]:
        """The genes of the selected rows, from above."""
        rows = sorted(index.row() for index in self.selectionModel().selectedRows())
        return tuple(str(self.frames.frame["gene"].iat[int(self.frames.rows[r])]) for r in rows)

    def select(self, genes: Collection[str]) -> None:
        """Select the rows of some genes, and bring the first one into view; says nothing."""
        self._names = frozenset(genes)
        self._later.stop()
        self._again()

    @slot
    def _again(self) -> None:
        names = self.frames.frame["gene"].to_numpy()[self.frames.rows]
        rows = [row for row, name in enumerate(names) if name in self._names]
        chosen = QItemSelection()
        last = self.frames.columnCount() - 1
        for row in rows:
            chosen.select(self.frames.index(row, 0), self.frames.index(row, last))
        self._still = True
        try:
            mode = QItemSelectionModel.SelectionFlag
            self.selectionModel().select(chosen, mode.ClearAndSelect)
            if rows:
                current = self.frames.index(rows[0], 0)
                self.selectionModel().setCurrentIndex(current, mode.NoUpdate)
                self.scrollTo(current)
        finally:
            self._still = False

    @slot
    def _on_selected(self) -> None:
        if not self._still:
            self._later.start()

    @slot
    def _tell(self) -> None:
        found = self.selected()
        if found and frozenset(found) != self._names:
            self._names = frozenset(found)
            self.picked.emit(found)
