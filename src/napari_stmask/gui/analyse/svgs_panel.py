"""Genes that set one domain apart from its surroundings, and a meta-gene made of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout

from ...analysis.domain_svgs import DomainSVGs, domain_svgs_steps
from ...analysis.meta_genes import MetaGene, meta_gene_steps
from ...core.errors import ParameterError
from ...core.progress import Steps
from ..fields import make_button
from ..guard import slot
from ..model import DomainSet, Item
from ..parts import narrow_combo, plain_label
from .panel import Panel
from .subject import Answer, Subject, labels_of
from .table import Column, FrameTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SvgsPanel"]

_COLUMNS = (
    Column("gene", "Gene", width=0),
    Column("fold_change", "Fold", ".2f", "Fold change against the neighbouring domains."),
    Column("p_adjusted", "p adj.", ".0e", "p-value, adjusted over all genes."),
    Column("share_in", "In", ".2f", "Share of the domain's spots that show the gene.", 44),
    Column("share_out", "Out", ".2f", "Share of the neighbours' spots that show it.", 44),
)


class SvgsPanel(Panel):
    """One domain against the domains that it touches."""

    TITLE = "Domain SVGs"
    ABOUT = (
        "Spatially variable genes: those that set a domain apart from the domains that it touches "
        "(SpaGCN's procedure). A meta-gene is a sum and difference of genes that marks it better."
    )
    RUN = "Find genes of the domain"

    def build(self) -> None:
        """Domain and filters; table, and the meta-gene."""
        self.domain = narrow_combo(QComboBox())
        self.domain.setAccessibleName("Domain")
        self.domain.setToolTip("Domain whose genes are looked for.")
        self.fields.addRow("Domain", self.domain)
        self.share = _number(0.0, 0.99, 0.8, 0.05, "Seen in more than")
        self.share.setToolTip("Share of the domain's spots that must show a gene; default 0.8.")
        self.fold = _number(1.0, 10.0, 1.5, 0.1, "Fold change above")
        self.fold.setToolTip("Fold change that a gene must exceed; default 1.5.")
        self.contact = _number(0.01, 5.0, 0.5, 0.05, "Contact above")
        self.contact.setToolTip(
            "How much of a domain must be met nearby to count as neighbour; lower it for a "
            "domain with a short border; default 0.5."
        )
        self.fields.addRow("Seen in more than", self.share)
        self.fields.addRow("Fold change above", self.fold)
        self.fields.addRow("Contact above", self.contact)
        self.facts = plain_label()
        self.results.addWidget(self.facts)
        self.genes = FrameTable(_COLUMNS, "Genes of the domain", chooses="gene")
        self.genes.chosen.connect(self._on_chosen)
        self.results.addWidget(self.genes)
        self.meta = make_button("Meta-gene from selected", "", self._on_meta)
        self.copy = make_button(
            "Copy table", "Put the selected rows, or all, on the clipboard.", self._on_copy
        )
        row = QHBoxLayout()
        row.addWidget(self.meta)
        row.addWidget(self.copy)
        self.results.addLayout(row)
        self.formula = plain_label()
        self.formula.setAccessibleName("Formula of the meta-gene")
        self.results.addWidget(self.formula)
        self.show_layer = make_button(
            "Show meta-gene on the tissue", "Bring its layer to the front.", self._on_layer
        )
        self.results.addWidget(self.show_layer)
        self.genes.selectionModel().currentChanged.connect(self._enable)

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """List the domains."""
        kept = self.domain.currentText()
        self.domain.clear()
        if item is not None and domains is not None:
            state = domains.state
            self.domain.addItems([n for n, c in zip(state.names, state.counts, strict=True) if c])
        self.domain.setCurrentIndex(max(self.domain.findText(kept), 0))

    def make(self, subject: Subject) -> Callable[[], Steps[Any]]:
        """Compare the chosen domain with its neighbours."""
        return partial(
            _of_one,
            subject,
            self.domain.currentText(),
            min_share=self.share.value(),
            min_fold=self.fold.value(),
            contact=self.contact.value(),
        )

    def values(self, kind: str, found: Any) -> dict[str, NDArray[np.floating[Any]]]:
        """The meta-gene."""
        return {"metagene": found.values} if kind == "meta" else {}

    def arrived(self, kind: str, found: Any, subject: Subject) -> None:
        """Show the meta-gene."""
        if kind == "meta":
            self._show(subject.item, subject.domains.key, found)

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """Fill table and formula."""
        del answer
        main: DomainSVGs = found["main"]
        unit = self._unit()
        against = ", ".join(main.neighbours) or "none"
        self.facts.setText(
            f"Domain {main.domain} against: {against}. {main.mean_neighbours:.0f} spots within "
            f"{main.radius * unit[0]:.0f} {unit[1]}. Genes that pass: {len(main.table)}. "
            + " ".join(main.notes)
        )
        self.genes.show_frame(main.table)
        meta: MetaGene | None = found.get("meta")
        self.formula.setVisible(meta is not None)
        self.show_layer.setVisible(meta is not None)
        if meta is not None:
            self.formula.setText(
                f"Meta-gene of domain {meta.domain}: {' '.join(meta.formula)}\n"
                f"Gap between inside and outside: {meta.gaps[0]:.2f} for the first gene, "
                f"{meta.gaps[-1]:.2f} now; false spots {meta.false_spots[0]}, now "
                f"{meta.false_spots[-1]}. {meta.stopped} It was chosen to fit this section."
            )
        self._enable()

    def table(self, answer: Answer) -> pd.DataFrame:
        """The genes, with the domain."""
        main: DomainSVGs = answer.found["main"]
        found = main.table.copy()
        found.insert(0, "domain", main.domain)
        return found

    def figure(self, answer: Answer) -> Figure:
        """Violins of the meta-gene where there is one, else dots of the genes."""
        from ...analysis.signatures import by_domain
        from ...viz.plots import marker_figure, violin_figure

        meta: MetaGene | None = answer.found.get("meta")
        if meta is None or answer.state is None:
            return marker_figure(self.table(answer), fold="fold_change", n_genes=25)
        values = by_domain(meta.values, labels_of(answer.state)).values
        return violin_figure(
            values, self.colors(answer, list(values)), label="Meta-gene (log-normalised)"
        )

    def _unit(self) -> tuple[float, str]:
        item = self.desk.session.selected
        scale = item.section.um_per_px if item is not None else None
        return (scale, "\u00b5m") if scale else (1.0, "units")

    @slot
    def _enable(self) -> None:
        ready = bool(self.genes.current())
        self.meta.setEnabled(ready and not self.desk.busy)
        self.meta.setToolTip(
            "Start from the selected gene; add and subtract genes as long as the domain gets "
            "clearer."
            if ready
            else "Select a gene of the table to start from."
        )

    @slot
    def _on_chosen(self, gene: str) -> None:
        self._enable()
        self.desk.show_gene(gene)

    @slot
    def _on_meta(self) -> None:
        session = self.desk.session
        item, domains = session.selected, session.selected_domains
        answer = self.known(domains)
        if item is None or domains is None or answer is None or self.desk.busy:
            return
        if not answer.fits(domains):
            raise ParameterError("The domains were edited after this answer", "run it again first")
        subject = Subject.of(item, domains)
        target = answer.found["main"].domain
        make = partial(
            meta_gene_steps, subject.section, subject.labels, target, start=self.genes.current()
        )
        self.desk.launch("meta", make, subject)

    @slot
    def _on_copy(self) -> None:
        self.genes.copy()
        self.desk.say("The table is on the clipboard.")

    @slot
    def _on_layer(self) -> None:
        self.show_again(self._show, "meta")

    def _show(self, item: Item, key: str, meta: MetaGene) -> None:
        title = f"meta-gene of {meta.domain}"
        self.desk.show_values(item, "metagene", title, meta.values, key=key)


def _number(low: float, high: float, value: float, step: float, name: str) -> QDoubleSpinBox:
    field = QDoubleSpinBox()
    field.setRange(low, high)
    field.setSingleStep(step)
    field.setValue(value)
    field.setAccessibleName(name)
    return field


def _of_one(subject: Subject, target: str, **options: Any) -> Steps[DomainSVGs]:
    found = yield from domain_svgs_steps(subject.section, subject.labels, [target], **options)
    return found[0]
