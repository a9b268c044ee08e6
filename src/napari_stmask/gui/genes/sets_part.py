"""Gene sets of a file in the modules."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ...analysis.signatures import read_gene_sets
from ...core.errors import ParameterError
from ..analyse.table import Column, FrameTable
from ..fields import ask_file, make_button
from ..formats import GENE_SETS
from ..guard import slot
from ..parts import plain_label
from .part import GenePart
from .recipe import Recipe

__all__ = ["SetsPart"]

_COLUMNS = (
    Column("module", "Mod.", width=42),
    Column("set", "Gene set", width=0),
    Column("overlap", "Genes", ",d", "Genes of the module in the set.", 48),
    Column("fold", "Fold", ".1f", "Overlap over what chance would give.", 44),
    Column("p", "p", ".0e", "Chance of this overlap or a larger one.", 50),
    Column("q", "q", ".0e", "Adjusted over modules and sets (Benjamini and Hochberg).", 50),
)


class SetsPart(GenePart):
    """Over-representation among the genes that were learned from; a click shows the genes."""

    TITLE = "Gene sets"

    def build(self) -> None:
        """File, test, table."""
        self.path = ""
        self._sets: dict[str, tuple[str, ...]] = {}
        self.found: pd.DataFrame | None = None
        self.load = make_button(
            "Load gene sets\u2026", "Sets from a .gmt, .csv or .txt file.", self._on_load
        )
        self.facts = plain_label("No gene sets are loaded.")
        self.run = make_button("Test the sets", "", self._on_run)
        self.table = FrameTable(
            _COLUMNS, "Gene sets, the least likely by chance first; Return shows one",
            chooses="genes",
        )  # fmt: skip
        self.table.chosen.connect(self._on_set)
        self.body.addWidget(self.load)
        self.body.addWidget(self.facts)
        self.add_action(self.run)
        self.body.addWidget(self.table)
        self.export = self.add_export()

    def forget(self) -> None:
        """Another run; the sets stay."""
        self.found = None
        self._tell_sets()

    def refresh(self) -> None:
        """Enable the test, or say why not; show the answer."""
        ready = bool(self._sets) and self.loaded is not None and not self.worker.busy
        self.run.setEnabled(ready)
        self.run.setToolTip(
            "Compare with the genes that were learned from, not with the genome."
            if ready
            else "Load gene sets first."
        )
        for widget in (self.table, self.export):
            widget.setVisible(self.found is not None)
        self.copies.setVisible(bool(self._sets))
        if self.found is None or self.known is None:
            self.export.offer(None, None)
            return
        table = self.found
        self.table.show_frame(table)
        name = f"{self.known.section.name}_{self.known.key}_sets"
        self.export.offer((lambda: table,), self.known.section, name)

    def load_file(self, path: str) -> None:
        """Take the gene sets of a file.

        Raises
        ------
        StmaskError
            If it cannot be read.
        """
        self.desk.clear_failure()
        self._sets, self.path = read_gene_sets(path), path
        # What is being tested, or was, is about other sets.
        self.worker.cancel()
        self.forget()
        self.refresh()

    def _tell_sets(self, more: str = "") -> None:
        if self.path:
            self.facts.setText(f"{len(self._sets):,} gene sets of {Path(self.path).name}.{more}")

    def recipe(self) -> Recipe:
        """The test of the loaded file."""
        if not self.path:
            raise ParameterError("No gene sets are loaded", "load a file first")
        lines = [
            f"sets = read_gene_sets({self.path!r})",
            "found = drain(genes.enrichment_steps(sets))",
            "print(found)",
        ]
        return Recipe(
            "enrichment", lines, [("gene_sets", self.path)],
            imports=["from napari_stmask.analysis.signatures import read_gene_sets"],
        )  # fmt: skip

    def answered(self, found: Any) -> None:
        """Show the table."""
        self.found = found.assign(genes=found["genes"].map(_joined))
        left = found.attrs.get("left_out", 0)
        few = f" {left:,} of them have too few of the genes." if left else ""
        low = int((found["q"] < 0.05).sum())
        self._tell_sets(f"{few} Pairs of module and set with q below 0.05: {low:,}.")

    @slot
    def _on_load(self) -> None:
        path = ask_file(self, "Load gene sets", GENE_SETS)
        if path is not None:
            self.load_file(path)

    @slot
    def _on_run(self) -> None:
        if self.known is not None:
            self.launch(partial(self.known.atlas.enrichment_steps, self._sets))

    @slot
    def _on_set(self, genes: str) -> None:
        names = [gene for gene in genes.split(", ") if gene]
        if names:
            self.desk.choose(names, origin=self)


def _joined(genes: Any) -> str:
    return genes if isinstance(genes, str) else ", ".join(map(str, genes))
