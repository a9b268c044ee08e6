"""Gene sets among the genes of the predicted region, or among those predicted best."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSpinBox

from ...analysis.predicted_sets import Enriched, enriched_steps
from ...analysis.signatures import read_gene_sets
from ..analyse.exporting import ExportRow
from ..analyse.table import Column, FrameTable
from ..export import snapshot
from ..fields import ask_file, make_button
from ..formats import GENE_SETS
from ..guard import slot
from ..parts import narrow_combo, plain_label
from .part import Part

__all__ = ["EnrichmentPart"]

_REGION, _BEST = "region", "best"
_COLUMNS = (
    Column("set", "Gene set", width=0),
    Column("overlap", "Genes", ",d", "Chosen genes of the set.", 50),
    Column("fold", "Fold", ".1f", "Overlap over what chance would give.", 44),
    Column("p", "p", ".1e", "Chance of this overlap or a larger one.", 58),
    Column("q", "q", ".1e", "Adjusted for the number of sets (Benjamini and Hochberg).", 58),
)


class EnrichmentPart(Part):
    """Over-representation in the panel: the genes that could have been chosen."""

    def build(self) -> None:
        """Sets, genes, table."""
        self.inside: NDArray[np.bool_] | None = None
        self._sets: dict[str, tuple[str, ...]] = {}
        self._answer: Enriched | None = None
        self.load = make_button(
            "Load gene sets\u2026", "Sets from a .gmt, .csv or .txt file.", self._on_load
        )
        self.loaded = plain_label("No gene sets are loaded.")
        self.genes = narrow_combo(QComboBox())
        self.genes.setAccessibleName("Genes to look for in the sets")
        self.genes.setToolTip("Which genes of the panel are looked for in the sets.")
        self.genes.addItem("In the region", _REGION)
        self.genes.addItem("Predicted best", _BEST)
        self.genes.currentIndexChanged.connect(self._on_edit)
        self.most = QSpinBox()
        self.most.setRange(3, 1000)
        self.most.setValue(50)
        self.most.setAccessibleName("Most genes")
        self.most.setToolTip("At most so many genes are looked for.")
        row = QHBoxLayout()
        row.addWidget(self.genes, 1)
        row.addWidget(QLabel("at most"))
        row.addWidget(self.most)
        self.run = make_button("Test the sets", "", self._on_run)
        self.facts = plain_label()
        self.facts.setAccessibleName("Genes that were looked for")
        self.table = FrameTable(_COLUMNS, "Gene sets, the least likely by chance first")
        self.export = ExportRow(figures=False)
        self.export.failed.connect(self.show_failure)
        self.export.written.connect(self._on_written)
        self.body.addWidget(self.load)
        self.body.addWidget(self.loaded)
        self.body.addLayout(row)
        for widget in (self.run, self.facts, self.table, self.export):
            self.body.addWidget(widget)
        self.worker.done.connect(self._on_done)

    def forget(self) -> None:
        """Another prediction: no region, no answer; the sets stay."""
        self.inside = self._answer = None

    def use_region(self, inside: NDArray[np.bool_] | None) -> None:
        """A region was found: (n,) spots in it."""
        self.inside = inside
        self.refresh()

    def refresh(self) -> None:
        """Enable the test, or say why not; show the answer."""
        reason = ""
        if self.worker.busy:
            reason = "A test goes on."
        elif not self._sets:
            reason = "Load gene sets first."
        elif self.genes.currentData() == _REGION and self.inside is None:
            reason = "Find a region first, or take the genes that are predicted best."
        self.run.setEnabled(self.known is not None and not reason)
        self.run.setToolTip(reason or "Compare with the panel, not with the genome.")
        answer = self._answer
        for widget in (self.facts, self.table, self.export):
            widget.setVisible(answer is not None)
        if answer is None:
            self.export.offer(None, None)

    def load_file(self, path: str) -> None:
        """Take the gene sets of a file.

        Raises
        ------
        StmaskError
            If it cannot be read.
        """
        self.desk.clear_failure()
        self._sets = read_gene_sets(path)
        self.loaded.setText(f"{len(self._sets):,} gene sets of {Path(path).name}.")
        self.refresh()

    @slot
    def _on_edit(self) -> None:
        self.refresh()

    @slot
    def _on_load(self) -> None:
        path = ask_file(self, "Load gene sets", GENE_SETS)
        if path is not None:
            self.load_file(path)

    @slot
    def _on_run(self) -> None:
        known = self.known
        if known is None:
            return
        inside = self.inside if self.genes.currentData() == _REGION else None
        section = snapshot(known.section)
        self.launch(
            partial(enriched_steps, section, self._sets, inside=inside, most=self.most.value())
        )

    @slot
    def _on_done(self, answer: Enriched) -> None:
        known = self.known
        if known is None:
            return
        self._answer = answer
        listed = ", ".join(answer.chosen[:8]) + (" \u2026" if len(answer.chosen) > 8 else "")
        left = answer.table.attrs.get("left_out", 0)
        few = f" {left:,} sets have too few genes of the panel." if left else ""
        self.facts.setText(
            f"{len(answer.chosen)} of {len(known.genes):,} genes: {listed}. Background: the "
            f"panel.{few}"
        )
        self.table.show_frame(answer.table)
        self.export.offer((lambda: answer.table,), known.section, f"{known.section.name}_sets")
        self.refresh()

    @slot
    def _on_written(self, path: object) -> None:
        self.desk.say(f"Written: {path}")
