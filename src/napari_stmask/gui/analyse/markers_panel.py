"""Marker genes of every domain, as a table that shows a gene when it is clicked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from qtpy.QtWidgets import QComboBox, QSpinBox

from ...analysis.markers import marker_steps
from ...core.progress import Steps
from ..fields import make_button
from ..guard import slot
from ..parts import narrow_combo, plain_label
from .panel import Panel
from .subject import Answer, Subject
from .table import Column, FrameTable
from .table_filter import TableFilter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MarkersPanel"]

_COLUMNS = (
    Column("domain", "Dom.", tip="Domain.", width=46),
    Column("gene", "Gene", width=0),
    Column(
        "log2_fold_change", "log2 FC", ".2f", "Mean log value inside minus outside, base 2.", 54
    ),
    Column("p_adjusted", "p adj.", ".0e", "p-value, adjusted over the genes of the domain.", 50),
    Column("share_in", "In", ".2f", "Share of the domain's spots that show the gene.", 40),
    Column("share_out", "Out", ".2f", "Share of the other spots that show the gene.", 40),
)


class MarkersPanel(Panel):
    """Each domain against all other spots."""

    TITLE = "Marker genes"
    ABOUT = (
        "Genes that are higher in a domain than in all other spots. The domains were found with "
        "the same genes: small p-values are no evidence that they exist."
    )
    RUN = "Find marker genes"

    def build(self) -> None:
        """Test and number of genes; filters, table and what can be done with it."""
        self.test = narrow_combo(QComboBox())
        self.test.setAccessibleName("Test")
        self.test.setToolTip("How a gene is compared; both do well in published comparisons.")
        self.test.addItem("Wilcoxon rank sum", "wilcoxon")
        self.test.addItem("Welch's t", "t-test")
        self.count = QSpinBox()
        self.count.setRange(1, 5000)
        self.count.setValue(50)
        self.count.setAccessibleName("Genes a domain")
        self.count.setToolTip("Genes that are kept for each domain, the best first; default 50.")
        self.fields.addRow("Test", self.test)
        self.fields.addRow("Genes a domain", self.count)
        self.genes = FrameTable(_COLUMNS, "Marker genes", chooses="gene")
        self.genes.chosen.connect(self._on_chosen)
        self.filter = TableFilter(self.genes)
        self.domain, self.search = self.filter.domain, self.filter.search
        self.results.addWidget(self.filter)
        self.results.addWidget(self.genes)
        self.notes = plain_label()
        self.results.addWidget(self.notes)
        self.copy = make_button(
            "Copy table", "Put the selected rows, or all, on the clipboard.", self._on_copy
        )
        self.results.addWidget(self.copy)

    def make(self, subject: Subject) -> Callable[[], Steps[Any]]:
        """Compare each domain with the rest."""
        return partial(
            marker_steps,
            subject.section,
            subject.labels,
            n_genes=self.count.value(),
            test=self.test.currentData(),
        )

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """Fill the table; the filter stays where its domain is still there."""
        table = found["main"]
        names = list(dict.fromkeys(map(str, table["domain"])))
        colors = dict(zip(names, self.colors(answer, names), strict=True))
        self.genes.show_frame(table, colors)
        self.filter.offer(names)
        hint = "Click a gene, or press Return on it, to see it on the tissue."
        self.notes.setText(" ".join([*table.attrs.get("notes", []), hint]))

    def table(self, answer: Answer) -> pd.DataFrame:
        """All markers."""
        found: pd.DataFrame = answer.found["main"]
        return found

    def figure(self, answer: Answer) -> Figure:
        """Dots of the first genes of each domain."""
        from ...viz.plots import marker_figure

        return marker_figure(answer.found["main"], fold="log2_fold_change")

    @slot
    def _on_chosen(self, gene: str) -> None:
        self.desk.show_gene(gene)

    @slot
    def _on_copy(self) -> None:
        self.genes.copy()
        self.desk.say("The table is on the clipboard.")
