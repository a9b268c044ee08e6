"""How a number of the spots spreads in each domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtWidgets import QComboBox, QFormLayout

from ...core.section import Section
from ...viz.plots import violin_figure
from ..analyse.charts import ViolinChart
from ..analyse.gene_field import GeneField
from ..background import Background
from ..guard import slot
from ..model import DomainSet, DomainState, Item
from ..parts import narrow_combo
from .colouring import GENE, Colouring, choices, colouring
from .part import PlotPart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ViolinPart"]


@dataclass(frozen=True, eq=False)
class _Taken:
    spots: NDArray[np.str_]
    state: DomainState
    values: NDArray[np.float64]
    title: str

    def by_domain(self) -> dict[str, NDArray[np.float64]]:
        """Finite values of each domain that has any."""
        known = np.isfinite(self.values)
        found = {
            name: self.values[known & (self.state.codes == code)]
            for code, name in enumerate(self.state.names)
        }
        return {name: values for name, values in found.items() if values.size}

    def colors(self) -> list[str]:
        """Of the domains that have values."""
        known = self.by_domain()
        return [
            c for n, c in zip(self.state.names, self.state.colors, strict=True) if n in known
        ]  # fmt: skip


class ViolinPart(PlotPart):
    """One violin a domain of a gene or of a column of numbers."""

    TITLE = "Violins"

    def build(self) -> None:
        """What is shown, and the chart."""
        self._reader = Background(self)
        self._reader.done.connect(self._on_values)
        self._reader.failed.connect(self.show_failure)
        form = QFormLayout()
        self.by = narrow_combo(QComboBox())
        self.by.setAccessibleName("Number")
        self.by.setToolTip("Gene, or column of obs, whose values are shown for each domain.")
        self.by.activated.connect(self._read)
        form.addRow("Number", self.by)
        self.gene = GeneField("Gene of the violins", "Gene whose log-normalised counts are shown.")
        self.gene.chosen.connect(self._on_gene)
        form.addRow("Gene", self.gene)
        self.body.addLayout(form)
        self.chart = ViolinChart("Spread in each domain")
        self.body.addWidget(self.chart)

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """Show the violins of the selected result."""
        self.item, self.domains = item, domains
        reason = "" if item is not None and domains is not None else "Find domains first."
        for widget in (self.by, self.gene, self.chart):
            widget.setVisible(not reason)
        self.explain(reason)
        if item is None or domains is None:
            self.offer(None)
            return
        self.gene.offer(item.section.adata.var_names)
        wanted = self.by.currentData()
        self.by.blockSignals(True)
        self.by.clear()
        if item.gene:
            self.by.addItem(f"Gene: {item.gene}", GENE)
        for name in choices(item.section)["numbers"]:
            self.by.addItem(name, name)
        self.by.setCurrentIndex(max(0, self.by.findData(wanted)))
        self.by.blockSignals(False)
        self._read()

    def left(self) -> None:
        """Stop what goes on."""
        self._reader.forget()

    @slot
    def _on_gene(self, gene: str) -> None:
        if self.item is not None and gene in self.item.section.adata.var_names:
            self.by.setCurrentIndex(-1)
            self.session.choose_gene(self.item.id, gene)
            self.by.setCurrentIndex(self.by.findData(GENE))
            self._read()

    @slot
    def _read(self) -> None:
        item, domains, by = self.item, self.domains, self.by.currentData()
        if item is None or domains is None or by is None:
            self.chart.setVisible(False)
            self.offer(None)
            return
        self._reader.start(_values, item.section, domains.drawn, str(by), item.gene)

    @slot
    def _on_values(self, found: tuple[DomainState, Colouring]) -> None:
        state, shown = found
        if self.item is None or shown.values is None or len(shown.values) != len(state.codes):
            return
        spots = self.item.section.adata.obs_names.to_numpy().astype(str)
        taken = _Taken(spots, state, shown.values, shown.title)
        known = taken.by_domain()
        self.chart.setVisible(bool(known))
        self.offer(taken if known else None)
        if known:
            self.chart.show_violins(known, taken.colors(), shown.title)

    def table(self, taken: _Taken) -> pd.DataFrame:
        """One row a spot."""
        names = np.array([*taken.state.names, ""], dtype=object)
        return pd.DataFrame(
            {"spot": taken.spots, "domain": names[taken.state.codes], taken.title: taken.values}
        )

    def figure(self, taken: _Taken) -> Figure:
        """The violins for print."""
        return violin_figure(taken.by_domain(), taken.colors(), label=taken.title)


def _values(
    section: Section, state: DomainState, by: str, gene: str
) -> tuple[DomainState, Colouring]:
    return state, colouring(section, state, by, gene)
