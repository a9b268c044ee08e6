"""The genes that are most alike to one."""

from __future__ import annotations

import pandas as pd
from qtpy.QtWidgets import QFormLayout, QSpinBox

from ...core.errors import ParameterError
from ..analyse.gene_field import GeneField
from ..analyse.table import Column
from ..fields import make_button
from ..guard import slot
from .gene_table import GeneTable
from .part import GenePart
from .recipe import Recipe
from .values import Loaded

__all__ = ["PartnersPart"]

_COLUMNS = (
    Column("gene", "Gene", width=0),
    Column("module", "Mod.", tip="Module of the gene.", width=46),
    Column("similarity", "Alike", ".3f", "Correlation of the two vectors, at most 1.", 56),
)


class PartnersPart(GenePart):
    """Follows the gene that is chosen in the dock; answers at once."""

    TITLE = "Partners"

    def build(self) -> None:
        """Gene, number, table."""
        self.found: pd.DataFrame | None = None
        self._offered: Loaded | None = None
        self.gene = GeneField("Gene whose partners are wanted", "Any gene that was learned from.")
        self.gene.chosen.connect(self._on_run)
        self.k = QSpinBox()
        self.k.setRange(1, 500)
        self.k.setValue(10)
        self.k.setAccessibleName("Number of partners")
        self.k.setToolTip("How many partners are listed.")
        self.k.valueChanged.connect(self._on_k)
        self.run = make_button("Find partners", "List the genes most alike to it.", self._on_run)
        form = QFormLayout()
        form.addRow("Gene", self.gene)
        form.addRow("Partners", self.k)
        self.body.addLayout(form)
        self.add_action(self.run)
        self.table = GeneTable(_COLUMNS, "Partners; the selected ones are shown")
        self.table.picked.connect(self._on_picked)
        self.body.addWidget(self.table)
        self.export = self.add_export()

    def forget(self) -> None:
        """Another run has other vectors."""
        self.found = None
        self.gene.clear()

    def refresh(self) -> None:
        """Offer the genes; show the answer."""
        loaded = self.loaded
        self.run.setEnabled(loaded is not None)
        if loaded is not None and loaded is not self._offered:
            self._offered = loaded
            self.gene.offer(pd.Index(loaded.names))
        for widget in (self.table, self.export):
            widget.setVisible(self.found is not None)
        if self.found is None or self.known is None:
            self.export.offer(None, None)
            return
        table = self.found
        self.table.show_frame(table)
        name = f"{self.known.section.name}_{self.gene.value()}_partners"
        self.export.offer((lambda: table,), self.known.section, name)

    def follow(self, genes: tuple[str, ...], origin: object) -> None:
        """Take the one gene that was chosen elsewhere."""
        if len(genes) == 1 and origin is not self.table:
            self.gene.setText(genes[0])
            if self.found is not None:
                self._ask()

    def recipe(self) -> Recipe:
        """The partners of the gene in the field."""
        gene, k = self._gene(), self.k.value()
        return Recipe(
            "partners", [f"print(genes.partners({gene!r}, k={k}))"], [("gene", gene), ("k", k)]
        )

    def _gene(self) -> str:
        if not self.gene.text().strip():
            raise ParameterError("No gene is named", "type one, or click one in a table")
        return self.gene.value() or self.gene.text().strip()

    def _ask(self) -> None:
        if self.known is None or self.loaded is None:
            return
        self.found = self.known.atlas.partners(self._gene(), k=self.k.value())
        self.refresh()

    @slot
    def _on_run(self) -> None:
        self.desk.clear_failure()
        self._ask()

    @slot
    def _on_k(self) -> None:
        if self.found is not None:
            self._ask()

    @slot
    def _on_picked(self, genes: tuple[str, ...]) -> None:
        self.desk.choose(genes, origin=self.table)
