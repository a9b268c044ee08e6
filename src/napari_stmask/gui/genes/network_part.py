"""Pairs of genes that are alike beyond chance, and the hubs of the modules."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from qtpy.QtWidgets import QFormLayout, QSpinBox

from ..analyse.charts import titled
from ..analyse.table import Column, FrameTable
from ..fields import make_button
from ..guard import slot
from ..parts import plain_label
from .pair_table import PairTable, q_field
from .part import GenePart
from .recipe import Recipe

if TYPE_CHECKING:
    from ...analysis.gene_network import Network

__all__ = ["NetworkPart"]

_EDGES = (
    Column("similarity", "Alike", ".3f", "Correlation of the two vectors.", 56),
    Column("q", "q", ".0e", "False discovery rate over all pairs.", 56),
)
_HUBS = (
    Column("module", "Mod.", width=46),
    Column("gene", "Hub", width=0),
    Column("strength", "Strength", ".1f", "Sum of the likeness to the other members.", 66),
    Column("degree", "Edges", ",d", "Edges of the gene.", 50),
)


class NetworkPart(GenePart):
    """A click on an edge shows both genes, one on a hub shows the gene."""

    TITLE = "Network"

    def build(self) -> None:
        """Numbers, both tables."""
        self.found: Network | None = None
        self.hubs: pd.DataFrame | None = None
        self.k = _whole(1, 200, 10, "k", "Both genes are among each other's k most alike.")
        self.draws = _whole(3, 200, 10, "Random pictures", "Random pictures of each gene.")
        self.q = q_field("False discovery rate below which a pair counts.")
        form = QFormLayout()
        form.addRow("Nearest", self.k)
        form.addRow("q below", self.q)
        form.addRow("Null pictures", self.draws)
        self.body.addLayout(form)
        self.run = make_button(
            "Find the network", "Compare all pairs of genes in the background.", self._on_run
        )
        self.add_action(self.run)
        self.facts = plain_label()
        self.edges = PairTable(_EDGES, "Edges; Return shows both genes")
        self.edges.paired.connect(self._on_edge)
        self.title = titled("Hubs of the modules")
        self.body.addWidget(self.facts)
        self.body.addWidget(self.edges)
        self.export = self.add_export()
        self.export.table.setText("Export edges\u2026")
        self.hub_table = FrameTable(_HUBS, "Hubs; Return shows one", chooses="gene")
        self.hub_table.chosen.connect(self._on_hub)
        self.body.addWidget(self.title)
        self.body.addWidget(self.hub_table)
        self.export_hubs = self.add_export()
        self.export_hubs.table.setText("Export hubs\u2026")

    def forget(self) -> None:
        """Another run has other vectors."""
        self.found = self.hubs = None

    def refresh(self) -> None:
        """Enable the button; show the answer."""
        self.run.setEnabled(self.loaded is not None and not self.worker.busy)
        answer = (self.facts, self.edges, self.export, self.title, self.hub_table, self.export_hubs)
        for widget in answer:
            widget.setVisible(self.found is not None)
        if self.found is None or self.known is None or self.hubs is None:
            for row in (self.export, self.export_hubs):
                row.offer(None, None)
            return
        edges, hubs = self.found.edges, self.hubs
        self.edges.show_frame(edges)
        self.hub_table.show_frame(hubs)
        start = f"{self.known.section.name}_{self.known.key}"
        self.export.offer((lambda: edges,), self.known.section, f"{start}_edges")
        self.export_hubs.offer((lambda: hubs,), self.known.section, f"{start}_hubs")

    def recipe(self) -> Recipe:
        """The network as it stands in the form."""
        k, q, draws = self.k.value(), self.q.value(), self.draws.value()
        lines = [
            f"network = drain(genes.network_steps(k={k}, q={q:g}, draws={draws}))",
            "print(network.edges)",
            "print(network.hubs(genes.codes))",
        ]
        return Recipe("network", lines, [("k", k), ("q", f"{q:g}"), ("draws", draws)])

    def answered(self, found: Any) -> None:
        """Show edges and hubs."""
        assert self.known is not None
        atlas = self.known.atlas
        hubs = found.hubs(atlas.codes)
        self.hubs = hubs.assign(module=[atlas.modules[code] for code in hubs["module"]])
        self.found = found
        linked = int((found.degree > 0).sum())
        self.facts.setText(
            f"{len(found.edges):,} edges between {linked:,} of {len(found.genes):,} genes."
        )

    @slot
    def _on_run(self) -> None:
        if self.known is not None:
            steps = self.known.atlas.network_steps
            self.launch(
                partial(steps, k=self.k.value(), q=self.q.value(), draws=self.draws.value())
            )

    @slot
    def _on_edge(self, genes: tuple[str, str]) -> None:
        self.desk.choose(genes, origin=self)

    @slot
    def _on_hub(self, gene: str) -> None:
        self.desk.choose([gene], origin=self)


def _whole(low: int, high: int, value: int, name: str, tip: str) -> QSpinBox:
    field = QSpinBox()
    field.setRange(low, high)
    field.setValue(value)
    field.setAccessibleName(name)
    field.setToolTip(tip)
    return field
