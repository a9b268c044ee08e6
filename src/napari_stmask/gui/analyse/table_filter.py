"""Which rows of a table of genes and domains are seen."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QWidget

from ..guard import slot
from ..parts import narrow_combo
from .table import FrameTable

__all__ = ["TableFilter"]


class TableFilter(QWidget):
    """One domain or all, and a part of a gene's name; the first column holds the domains.

    Parameters
    ----------
    table
        Whose rows are chosen.
    domains
        Whether it has domains; without, the name of the gene alone chooses.
    """

    def __init__(self, table: FrameTable, *, domains: bool = True) -> None:
        super().__init__()
        self._table, self._domains = table, domains
        self.domain = narrow_combo(QComboBox())
        self.domain.setAccessibleName("Domain in the table")
        self.domain.setToolTip("Show the genes of one domain only.")
        self.domain.currentIndexChanged.connect(self._on_filter)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Find a gene")
        self.search.setAccessibleName("Find a gene in the table")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._on_filter)
        self.domain.setVisible(domains)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.domain, 1)
        row.addWidget(self.search, 1)

    def offer(self, names: Sequence[str]) -> None:
        """List the domains; the filter stays where its domain is still there."""
        kept = self.domain.currentData()
        with QSignalBlocker(self.domain):
            self.domain.clear()
            self.domain.addItem("All domains", "")
            for name in names:
                self.domain.addItem(f"Domain {name}", name)
            self.domain.setCurrentIndex(max(self.domain.findData(kept), 0))
        self._on_filter()

    @slot
    def _on_filter(self) -> None:
        if self._domains:
            chosen = self.domain.currentData() or ""
            self._table.filter("domain", chosen)
            self._table.setColumnHidden(0, bool(chosen))
        self._table.filter("gene", self.search.text().strip(), part=True)
