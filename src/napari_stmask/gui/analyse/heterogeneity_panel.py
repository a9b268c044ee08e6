"""How mixed the tissue is around each spot, and which domains touch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QSpinBox

from ...analysis.heterogeneity import Heterogeneity, heterogeneity_steps
from ...core.progress import Steps
from ..fields import make_button
from ..guard import slot
from ..model import DomainSet, Item
from ..parts import narrow_combo
from .charts import BarChart, HeatChart, titled
from .panel import Panel
from .subject import Answer, Subject
from .table import Column, FrameTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["HeterogeneityPanel"]

_COLUMNS = (
    Column("domain", "Domain", width=0),
    Column("spots", "Spots", ",d"),
    Column("area_mm2", "mm\u00b2", ".2f", "Area of the domain, from the lattice of spots.", 50),
    Column("mean_entropy", "Entropy", ".2f", "Mean mixture around its spots, 0 to 1.", 60),
    Column("mean_boundary", "Border", ".2f", "Mean share of neighbours in other domains.", 56),
)
_RING, _NEAREST, _RADIUS = "First ring of spots", "Nearest spots", "Radius"


class HeterogeneityPanel(Panel):
    """Entropy, composition and contacts."""

    TITLE = "Heterogeneity"
    ABOUT = (
        "How mixed the domains are around each spot (entropy: 0 inside a domain, 1 where all are "
        "equally frequent), and which domains touch."
    )
    RUN = "Measure the mixture"
    NEEDS_DOMAINS = 1

    def build(self) -> None:
        """Surroundings; summary, bars and matrix."""
        self.around = narrow_combo(QComboBox())
        self.around.addItems([_RING, _NEAREST, _RADIUS])
        self.around.setAccessibleName("Surroundings")
        self.around.setToolTip("Which spots count as the surroundings of a spot.")
        self.around.currentIndexChanged.connect(self._on_around)
        self.nearest = QSpinBox()
        self.nearest.setRange(1, 500)
        self.nearest.setValue(18)
        self.nearest.setAccessibleName("Nearest spots")
        self.nearest.setToolTip("Number of nearest spots; default 18.")
        self.radius = QDoubleSpinBox()
        self.radius.setRange(1.0, 100_000.0)
        self.radius.setDecimals(0)
        self.radius.setValue(300.0)
        self.radius.setSuffix(" \u00b5m")
        self.radius.setAccessibleName("Radius")
        self.radius.setToolTip("All spots within this distance; default 300 \u00b5m.")
        self.fields.addRow("Surroundings", self.around)
        self.fields.addRow("Number", self.nearest)
        self.fields.addRow("Radius", self.radius)
        self._on_around()
        self.summary = FrameTable(_COLUMNS, "Mixture of the domains")
        self.results.addWidget(self.summary)
        self.results.addWidget(titled("What surrounds each domain"))
        self.bars = BarChart("Composition of the surroundings")
        self.results.addWidget(self.bars)
        self.results.addWidget(titled("Neighbours of each domain, by row"))
        self.heat = HeatChart("Which domains touch")
        self.results.addWidget(self.heat)
        row = QHBoxLayout()
        self.entropy = make_button("Show entropy", "Entropy over the tissue.", self._on_entropy)
        self.border = make_button(
            "Show borders", "Share of neighbours in other domains.", self._on_border
        )
        row.addWidget(self.entropy)
        row.addWidget(self.border)
        self.results.addLayout(row)

    def obstacle(self, item: Item, domains: DomainSet | None) -> str:
        """A radius needs a scale."""
        del domains
        if self.around.currentText() == _RADIUS and item.section.um_per_px is None:
            return "The scale of the section is unknown: choose nearest spots instead."
        return ""

    def make(self, subject: Subject) -> Callable[[], Steps[Any]]:
        """Look around each spot."""
        kind = self.around.currentText()
        return partial(
            heterogeneity_steps,
            subject.section,
            subject.labels,
            n_neighbors=self.nearest.value() if kind == _NEAREST else None,
            radius_um=self.radius.value() if kind == _RADIUS else None,
            n_permutations=0,
        )

    def values(self, kind: str, found: Any) -> dict[str, NDArray[np.floating[Any]]]:
        """Entropy and border."""
        del kind
        return {"entropy": found.entropy, "boundary": found.boundary}

    def arrived(self, kind: str, found: Any, subject: Subject) -> None:
        """Show the entropy."""
        del kind
        self._show_entropy(subject.item, subject.domains.key, found)

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """Summary, bars and matrix."""
        main: Heterogeneity = found["main"]
        colors = self.colors(answer, main.domains)
        table = main.summary.assign(area_mm2=main.summary["area_um2"] / 1e6)
        self.summary.show_frame(table, dict(zip(main.domains, colors, strict=True)))
        self.bars.show_shares(
            _composition(main, answer), main.domains, main.domains, colors,
            "share of the surroundings",
        )  # fmt: skip
        self.heat.show_square(main.contacts.to_numpy(), main.domains)

    def table(self, answer: Answer) -> pd.DataFrame:
        """Summary and contacts, one row a domain."""
        main: Heterogeneity = answer.found["main"]
        return main.summary.join(main.contacts.add_prefix("contact_").reset_index(drop=True))

    def figure(self, answer: Answer) -> Figure:
        """Bars of the composition."""
        from ...viz.plots import composition_figure

        main: Heterogeneity = answer.found["main"]
        return composition_figure(
            _composition(main, answer), main.domains, main.domains,
            self.colors(answer, main.domains), label="Share of the surroundings",
        )  # fmt: skip

    @slot
    def _on_around(self) -> None:
        kind = self.around.currentText()
        for field, name in ((self.nearest, _NEAREST), (self.radius, _RADIUS)):
            field.setVisible(kind == name)
            self.fields.labelForField(field).setVisible(kind == name)
        if self.built:
            self.desk.check()

    @slot
    def _on_entropy(self) -> None:
        self.show_again(self._show_entropy)

    @slot
    def _on_border(self) -> None:
        self.show_again(self._show_border)

    def _show_entropy(self, item: Item, key: str, found: Heterogeneity) -> None:
        self.desk.show_values(item, "entropy", "entropy", found.entropy, key=key)

    def _show_border(self, item: Item, key: str, found: Heterogeneity) -> None:
        self.desk.show_values(item, "boundary", "borders", found.boundary, key=key)


def _composition(found: Heterogeneity, answer: Answer) -> NDArray[np.float64]:
    """(k, k) mean composition of the surroundings, one row a domain."""
    assert answer.state is not None
    place = {name: i for i, name in enumerate(answer.state.names)}
    rows = []
    for name in found.domains:
        mine = found.composition[answer.state.codes == place[name]]
        mine = mine[np.isfinite(mine).all(axis=1)]
        rows.append(mine.mean(axis=0) if len(mine) else np.zeros(len(found.domains)))
    return np.asarray(rows, dtype=np.float64)
