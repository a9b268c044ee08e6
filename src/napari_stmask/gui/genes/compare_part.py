"""Relations of genes that differ from those on another section."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QFormLayout

from ...core.errors import ParameterError
from ...core.progress import Progress
from ..analyse.charts import titled
from ..analyse.table import Column, FrameTable
from ..fields import make_button
from ..guard import slot
from ..parts import narrow_combo, plain_label
from .known import GeneRun, gene_runs
from .pair_table import PairTable, q_field
from .part import GenePart
from .recipe import Recipe

if TYPE_CHECKING:
    from ...analysis.gene_rewiring import Rewiring

__all__ = ["ComparePart"]

_PAIRS = (
    Column("before", "Here", ".2f", "Likeness on this section.", 46),
    Column("after", "There", ".2f", "Likeness on the other section.", 46),
    Column("q", "q", ".0e", "Adjusted over all pairs (Benjamini and Hochberg).", 50),
)
_GENES = (
    Column("rank", "Rank", ",d", width=46),
    Column("gene", "Gene", width=0),
    Column("rewiring", "Change", ".2f", "Mean change of its relations beyond the usual one.", 60),
    Column("changed", "Pairs", ",d", "Changed pairs of the gene.", 50),
)


class ComparePart(GenePart):
    """Another run of this viewer; vectors of two runs differ, relations can be compared."""

    TITLE = "Comparison"

    def build(self) -> None:
        """The other run, both tables."""
        self.found: Rewiring | None = None
        self.against: GeneRun | None = None
        self.other = narrow_combo(QComboBox())
        self.other.setAccessibleName("Run to compare with")
        self.other.setToolTip("Another run with gene modules that is open in this viewer.")
        self.q = q_field("False discovery rate below which a pair counts as changed.")
        form = QFormLayout()
        form.addRow("With", self.other)
        form.addRow("q below", self.q)
        self.body.addLayout(form)
        self.run = make_button("Compare", "", self._on_run)
        self.add_action(self.run)
        self.facts = plain_label()
        self.pairs = PairTable(_PAIRS, "Changed pairs; Return shows both genes")
        self.pairs.paired.connect(self._on_pair)
        self.title = titled("Rewired genes")
        self.body.addWidget(self.facts)
        self.body.addWidget(self.pairs)
        self.export = self.add_export()
        self.export.table.setText("Export pairs\u2026")
        self.genes = FrameTable(_GENES, "Rewired genes; Return shows one", chooses="gene")
        self.genes.chosen.connect(self._on_gene)
        self.body.addWidget(self.title)
        self.body.addWidget(self.genes)
        self.export_genes = self.add_export()
        self.export_genes.table.setText("Export genes\u2026")

    def forget(self) -> None:
        """Another run is compared anew."""
        self.found = self.against = None

    def refresh(self) -> None:
        """List the other runs; show the answer."""
        kept = self.other.currentData()
        others = [run for run in gene_runs(self.desk.session) if run is not self.known]
        with QSignalBlocker(self.other):
            self.other.clear()
            for run in others:
                self.other.addItem(run.title, run)
            row = next((i for i, run in enumerate(others) if run is kept), 0)
            self.other.setCurrentIndex(row if others else -1)
        self.other.setEnabled(bool(others))
        ready = self.loaded is not None and bool(others) and not self.worker.busy
        self.run.setEnabled(ready)
        self.run.setToolTip(
            "Compare the relations of the common genes."
            if others
            else "Find gene modules of a second section first."
        )
        self.copies.setVisible(bool(others))
        self._show()

    def _show(self) -> None:
        found, known = self.found, self.known
        answer = (self.facts, self.pairs, self.export, self.title, self.genes, self.export_genes)
        for widget in answer:
            widget.setVisible(found is not None)
        if found is None or known is None:
            for row in (self.export, self.export_genes):
                row.offer(None, None)
            return
        self.pairs.show_frame(found.pairs)
        self.genes.show_frame(found.genes)
        start = f"{known.section.name}_{known.key}"
        self.export.offer((lambda: found.pairs,), known.section, f"{start}_pairs")
        self.export_genes.offer((lambda: found.genes,), known.section, f"{start}_rewired")

    def recipe(self) -> Recipe:
        """The comparison as it stands in the form."""
        other = self.other.currentData()
        if other is None:
            raise ParameterError("There is no other run", "find gene modules of a second section")
        q = f"{self.q.value():g}"
        lines = [
            f"found = drain(genes.compare_steps(others, q={q}))",
            "print(found.pairs)",
            "print(found.genes)",
        ]
        return Recipe("compare", lines, [("q", q)], ("other", other.section, other), "--other")

    def answered(self, found: Any) -> None:
        """Show what changed."""
        self.found = found
        name = self.against.title if self.against is not None else "the other run"
        self.facts.setText(
            f"{found.n_changed:,} of {found.n_pairs:,} pairs of genes are related otherwise on "
            f"{name}; {len(found.genes):,} genes are common."
        )

    @slot
    def _on_run(self) -> None:
        other = self.other.currentData()
        if self.known is not None and other is not None:
            self.against = other
            self.launch(partial(_compare, self.known, other, self.q.value()))

    @slot
    def _on_pair(self, genes: tuple[str, str]) -> None:
        self.desk.choose(genes, origin=self)

    @slot
    def _on_gene(self, gene: str) -> None:
        self.desk.choose([gene], origin=self)


def _compare(run: GeneRun, other: GeneRun, q: float) -> Generator[Progress, None, Rewiring]:
    # The other run's genes may not have been read yet.
    yield Progress(0, 0, "reading")
    return (yield from run.atlas.compare_steps(other.atlas, q=q))
