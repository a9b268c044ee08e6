"""Enhanced genes of a result: maps beside the counts, and how well genes tell domains apart."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton

from ...analysis.enhancement import contrast_steps, enhanced_genes, enhanced_layer, gene_values
from ...core.errors import ParameterError
from ...core.progress import Steps
from ...core.section import Section
from ..background import Background
from ..guard import slot
from ..model import DomainSet, Item
from ..parts import plain_label
from .gene_field import GeneField
from .maps import MapPair
from .panel import Panel
from .subject import Answer, Subject
from .table import Column, FrameTable
from .table_filter import TableFilter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EnhancedPanel"]

_COLUMNS = (
    Column("domain", "Dom.", tip="Domain.", width=46),
    Column("gene", "Gene", width=0),
    Column(
        "raw",
        "Raw",
        ".2f",
        "Probability that a spot of the domain shows more than one outside: log-normalised counts.",
        50,
    ),
    Column("enhanced", "Enhanced", ".2f", "The same probability for the enhanced values.", 66),
    Column("gain", "Gain", "+.2f", "Enhanced minus raw.", 50),
)
_KINDS = {"raw": "Raw", "enhanced": "Enhanced"}
_UNITS = {
    "log1p": "log1p of 10,000 a spot",
    "counts": "expected counts",
    "row_max": "share of the spot's maximum",
}


class EnhancedPanel(Panel):
    """Two maps of one gene, and the contrast of all genes before and after."""

    TITLE = "Enhanced genes"
    ABOUT = (
        "What a method made of the counts, beside them. That enhanced values fit the domains "
        "better is no evidence: both come from one network. Whether they are true is what the "
        "Denoising check asks."
    )
    RUN = "Compare all genes, raw and enhanced"

    def build(self) -> None:
        """Gene and its maps; table."""
        self._of: weakref.ref[DomainSet] | None = None
        self._maps: tuple[str, dict[str, NDArray[np.float32]]] | None = None
        self.gene = GeneField("Gene", "An enhanced gene; Return shows it.")
        self.gene.chosen.connect(self._on_gene)
        self.fields.addRow("Gene", self.gene)
        self.maps = MapPair("The gene, raw and enhanced")
        self.fields.addRow(self.maps)
        row = QHBoxLayout()
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        for kind, title in _KINDS.items():
            button = QPushButton(title)
            button.setCheckable(True)
            button.setAccessibleName(f"On the tissue: {title}")
            button.setToolTip(f"Show the {title.lower()} values on the tissue.")
            self._group.addButton(button)
            self.buttons[kind] = button
            row.addWidget(button)
        self.buttons["enhanced"].setChecked(True)
        self._group.buttonClicked.connect(self._on_kind)
        self.fields.addRow(row)
        self.legend = plain_label()
        self.legend.setAccessibleName("What the maps show")
        self.fields.addRow(self.legend)
        self._reader = Background(self)
        self._reader.done.connect(self._on_read)
        self._reader.failed.connect(self._on_unread)
        self.genes = FrameTable(_COLUMNS, "Contrast of the domains", chooses="gene")
        self.genes.chosen.connect(self._on_gene)
        self.filter = TableFilter(self.genes)
        self.results.addWidget(self.filter)
        self.results.addWidget(self.genes)
        self.facts = plain_label()
        self.results.addWidget(self.facts)
        self._show_maps()

    def obstacle(self, item: Item, domains: DomainSet | None) -> str:
        """A result with enhanced genes."""
        if domains is None or f"{domains.key}_denoised" in item.section.adata.layers:
            return ""
        return (
            f"The result '{domains.key}' has no enhanced genes: run the method again with "
            "Denoise genes."
        )

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """Offer the genes of another result."""
        before = self._of() if self._of is not None else None
        usable = item is not None and domains is not None and not self.obstacle(item, domains)
        self.gene.setEnabled(usable)
        if domains is before and domains is not None:
            return
        self._of = None if domains is None else weakref.ref(domains)
        self._reader.forget()
        self._maps = None
        names = pd.Index([])
        if usable and item is not None and domains is not None:
            names = item.section.adata.var_names[enhanced_genes(item.section, domains.key)]
        self.gene.offer(names)
        self._show_maps()

    def left(self) -> None:
        """A gene that is still being read would cover what another analysis shows."""
        self._reader.forget()

    def make(self, subject: Subject) -> Callable[[], Steps[Any]]:
        """Contrast of every gene and domain."""
        return partial(contrast_steps, subject.section, subject.labels, key=subject.domains.key)

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """Fill the table."""
        table: pd.DataFrame = found["main"]
        names = list(dict.fromkeys(table["domain"]))
        first = not self.filter.domain.count()
        self.genes.show_frame(table, dict(zip(names, self.colors(answer, names), strict=True)))
        self.filter.offer(names)
        if first and names:
            self.filter.domain.setCurrentIndex(1)
        self.facts.setText(
            "0.5: the gene does not tell the domain from the rest; 1: every spot of the domain "
            "shows more. Click a gene to see it."
        )

    def table(self, answer: Answer) -> pd.DataFrame:
        """All genes and domains."""
        found: pd.DataFrame = answer.found["main"]
        return found

    def figure(self, answer: Answer) -> Figure:
        """Raw against enhanced contrast, one point a gene and domain."""
        from ...viz.plots import contrast_figure

        table = answer.found["main"]
        names = list(dict.fromkeys(table["domain"]))
        return contrast_figure(table, self.colors(answer, names))

    @slot
    def _on_gene(self, gene: str) -> None:
        item, domains = self.desk.session.selected, self.desk.session.selected_domains
        if item is None or domains is None:
            return
        self.gene.setText(gene)
        self.desk.clear_failure()
        self.desk.say(f"Reading {gene}")
        self._reader.start(_both, item.section, domains.key, gene)

    @slot
    def _on_read(self, found: tuple[str, dict[str, NDArray[np.float32]]]) -> None:
        self._maps = found
        self.desk.say("")
        self._show_maps()
        self._show()

    @slot
    def _on_unread(self, failure: Any) -> None:
        self.desk.show_failure(failure)

    @slot
    def _on_kind(self) -> None:
        self._show()

    def _show_maps(self) -> None:
        item, domains = self.desk.session.selected, self.desk.session.selected_domains
        there = self._maps is not None and item is not None and domains is not None
        for widget in (self.maps, self.legend, *self.buttons.values()):
            widget.setVisible(there)
        if self._maps is None or item is None or domains is None:
            self.maps.clear_maps()
            return
        gene, values = self._maps
        tops = {kind: _top(own) for kind, own in values.items()}
        unit = _unit(domains.record.get("params", {}))
        said = (
            f"{gene}: left raw ({_UNITS['log1p']}), colours 0 to {tops['raw']:.2g}; right "
            f"enhanced ({unit}), 0 to {tops['enhanced']:.2g}. Limits are the 99th percentile of "
            "each."
        )
        self.maps.show_maps(item.raster, list(values.values()), list(tops.values()), said)
        self.legend.setText(said)

    def _show(self) -> None:
        """The chosen one of the two over the tissue, in the one layer of both."""
        item, key = self.desk.session.selected, self.desk.session.selected_key
        if item is None or key is None or self._maps is None:
            return
        kind = next(k for k, button in self.buttons.items() if button.isChecked())
        gene, values = self._maps
        self.desk.show_values(
            item,
            "enhanced",
            f"{gene} ({_KINDS[kind].lower()})",
            values[kind],
            key=key,
            limits=(0.0, _top(values[kind])),
            colormap="viridis",
        )


def _unit(params: Mapping[str, Any]) -> str:
    """Of the layer that a run with these parameters wrote."""
    if params.get("mode") == "reference" and params.get("enhanced_as") == "log1p":
        return "log1p at the median depth"
    return _UNITS.get(str(params.get("enhanced_as")), "its own unit")


def _both(section: Section, key: str, gene: str) -> tuple[str, dict[str, NDArray[np.float32]]]:
    """A gene as it was counted and as it was enhanced."""
    layer, raw = enhanced_layer(section, key), gene_values(section, gene)
    if not enhanced_genes(section, key)[int(section.adata.var_names.get_loc(gene))]:
        raise ParameterError(f"gene '{gene}' was not enhanced", "choose one of the list")
    return gene, {"raw": raw, "enhanced": gene_values(section, gene, layer)}


def _top(values: NDArray[np.float32]) -> float:
    """The 99th percentile, or the largest where fewer spots show the gene."""
    known = values[np.isfinite(values)]
    top = float(np.percentile(known, 99)) if known.size else 0.0
    return top or float(known.max(initial=0.0)) or 1.0
