"""Graph of the domains and pseudotime, from a domain or from a spot that is clicked."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QComboBox, QSpinBox

from ...analysis.trajectory import Trajectory, trajectory_steps
from ...core.progress import Steps
from ...core.section import Section
from ..fields import make_button
from ..guard import slot
from ..model import DomainSet, Item
from ..parts import narrow_combo, plain_label
from .charts import GraphChart, titled
from .gene_field import GeneField
from .panel import Panel
from .picking import PickButton, SpotMark
from .subject import Answer, Subject, labels_of
from .table import Column, FrameTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TrajectoryPanel"]

_GENE = -1
"""What stands for a gene among the roots; spots count from 0."""

_COLUMNS = (
    Column("domain", "Domain", width=0),
    Column("spots", "Spots", ",d"),
    Column("median", "Median time", ".3f", "Median pseudotime of the domain's spots.", 90),
)


class TrajectoryPanel(Panel):
    """PAGA and diffusion pseudotime."""

    TITLE = "Trajectory"
    ABOUT = (
        "Which domains pass into one another (PAGA), and how far each spot is from a root "
        "(diffusion pseudotime). It is an order in expression, not a direction in time."
    )
    RUN = "Order the spots"
    NEEDS_EMBEDDING = True

    def build(self) -> None:
        """Root; graph and medians."""
        # A closed section must not stay in memory for its root.
        self._section: weakref.ref[Section] | None = None
        self._spot: int | None = None
        self._mark = SpotMark(self.desk.session, "root")
        self.root = narrow_combo(QComboBox())
        self.root.setAccessibleName("Root")
        self.root.setToolTip(
            "Where time begins: a domain, the spot that shows most of a gene, or one that was "
            "clicked."
        )
        self.root.currentIndexChanged.connect(self._on_root)
        self.fields.addRow("Root", self.root)
        self.pick = PickButton(
            self.desk.session,
            "Click a spot",
            "The next click on the tissue picks the root; Escape, or this button again, cancels.",
            "Click a spot of {section} on the canvas; Escape cancels.",
        )
        self.pick.picked.connect(self._on_picked)
        self.picker, self.said = self.pick.picker, self.pick.said
        self.fields.addRow("", self.pick)
        self.fields.addRow(self.said)
        self.gene = GeneField(
            "Gene of the root",
            "The root is where it is highest, averaged over neighbours in the embedding; "
            "enhanced values are taken where the result has them.",
        )
        self.gene.textChanged.connect(self._on_gene)
        self.fields.addRow("Gene", self.gene)
        self.invert = QCheckBox("Time ends at the root")
        self.invert.setToolTip("Show one minus the pseudotime; off by default.")
        self.fields.addRow("", self.invert)
        self.links = QSpinBox()
        self.links.setRange(2, 200)
        self.links.setValue(15)
        self.links.setAccessibleName("Neighbours in the embedding")
        self.links.setToolTip("Spots of the embedding that a spot is linked to; default 15.")
        self.fields.addRow("Neighbours", self.links)
        self.facts = plain_label()
        self.results.addWidget(self.facts)
        self.results.addWidget(titled("Links between the domains"))
        self.chart = GraphChart("Graph of the domains")
        self.results.addWidget(self.chart)
        self.medians = FrameTable(_COLUMNS, "Pseudotime of the domains")
        self.results.addWidget(self.medians)
        self.show_layer = make_button(
            "Show on the tissue", "Bring the pseudotime layer to the front.", self._on_layer
        )
        self.results.addWidget(self.show_layer)

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """List the domains; a spot of another section is forgotten."""
        section = item.section if item is not None else None
        if section is not (self._section() if self._section is not None else None):
            self.picker.stop()
            self._section = weakref.ref(section) if section is not None else None
            self._spot = None
            self.pick.say("")
        if section is not None:
            self.gene.offer(section.adata.var_names)
        with QSignalBlocker(self.root):
            self._list_roots(item, domains)
        self.pick.setEnabled(item is not None and domains is not None)
        self._on_root()

    def _list_roots(self, item: Item | None, domains: DomainSet | None) -> None:
        kept = self.root.currentData()
        self.root.clear()
        if item is None or domains is None:
            return
        for name, count in zip(domains.state.names, domains.state.counts, strict=True):
            if count:
                self.root.addItem(f"Domain {name}", name)
        self.root.addItem("Where a gene is highest", _GENE)
        if self._spot is not None:
            self.root.addItem(f"Spot {self._named(item, domains, self._spot)}", self._spot)
        self.root.setCurrentIndex(max(self.root.findData(kept), 0))

    @slot
    def _on_root(self) -> None:
        """Ask for the gene where it is one; mark the spot."""
        root = self.root.currentData()
        self.gene.setVisible(root == _GENE)
        self.fields.labelForField(self.gene).setVisible(root == _GENE)
        if self.built:
            self.desk.check()
        self._draw()

    def _draw(self) -> None:
        """Mark a spot that was clicked while it is the root, else the root of the answer."""
        item, domains = self.desk.session.selected, self.desk.session.selected_domains
        root, answer = self.root.currentData(), self.known(domains)
        spot = root if isinstance(root, int) and root != _GENE else None
        if spot is None and answer is not None:
            spot = answer.found["main"].root
        if item is not None and spot is not None and self.desk.present(self):
            self._mark.ring(item, spot)
        else:
            self._mark.remove()

    def obstacle(self, item: Item, domains: DomainSet | None) -> str:
        """A gene, where it makes the root."""
        del item, domains
        if self.root.currentData() != _GENE or self.gene.value():
            return ""
        typed = self.gene.text().strip()
        return f"The section has no gene '{typed}'." if typed else "Name the gene of the root."

    @slot
    def _on_gene(self) -> None:
        self.desk.check()

    def left(self) -> None:
        """Nobody sees any more that a click is awaited, or which spot is the root."""
        self.picker.stop()
        self._mark.remove()

    def make(self, subject: Subject) -> Callable[[], Steps[Any]]:
        """Order the spots from the root."""
        root = self.root.currentData()
        where: dict[str, Any]
        if root == _GENE:
            where = {"root_gene": self.gene.value()}
        else:
            where = {"root": root} if isinstance(root, int) else {"root_domain": root}
        return partial(
            trajectory_steps,
            subject.section,
            subject.labels,
            key=subject.domains.key,
            invert=self.invert.isChecked(),
            n_neighbors=self.links.value(),
            **where,
        )

    def values(self, kind: str, found: Any) -> dict[str, NDArray[np.floating[Any]]]:
        """Pseudotime."""
        del kind
        return {"pseudotime": found.pseudotime}

    def arrived(self, kind: str, found: Any, subject: Subject) -> None:
        """Show the pseudotime and its root."""
        del kind
        self._show(subject.item, subject.domains.key, found)
        self._draw()

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """Graph, medians, root and notes."""
        main: Trajectory = found["main"]
        assert answer.spots is not None
        assert answer.state is not None
        assert main.root is not None
        code = int(answer.state.codes[main.root])
        where = f" (domain {answer.state.names[code]})" if code >= 0 else ""
        how = "Time ends at" if main.inverted else "Ordered from"
        self.facts.setText(" ".join([f"{how} spot {answer.spots[main.root]}{where}.", *main.notes]))
        colors = self.colors(answer, main.domains)
        table = _medians(main, answer)
        self.chart.show_graph(
            main.connectivities, main.positions, main.domains, colors, table["spots"].tolist()
        )
        by_time = table.sort_values("median", kind="stable")
        self.medians.show_frame(by_time, dict(zip(main.domains, colors, strict=True)))

    def table(self, answer: Answer) -> pd.DataFrame:
        """One row a spot."""
        assert answer.state is not None
        main: Trajectory = answer.found["main"]
        domain = labels_of(answer.state)
        columns = {"spot": answer.spots, "domain": domain, "pseudotime": main.pseudotime}
        return pd.DataFrame(columns)

    def figure(self, answer: Answer) -> Figure:
        """The graph of the domains."""
        from ...viz.plots import graph_figure

        main: Trajectory = answer.found["main"]
        colors = self.colors(answer, main.domains)
        sizes = _medians(main, answer)["spots"].tolist()
        return graph_figure(main.connectivities, main.positions, main.domains, colors, sizes)

    @staticmethod
    def _named(item: Item, domains: DomainSet, spot: int) -> str:
        code = int(domains.state.codes[spot])
        domain = f"domain {domains.state.names[code]}" if code >= 0 else "no domain"
        return f"{item.section.adata.obs_names[spot]} ({domain})"

    @slot
    def _on_picked(self, spot: int) -> None:
        session = self.desk.session
        item, domains = session.selected, session.selected_domains
        if item is None or domains is None:
            return
        self._spot = spot
        self.follow(item, domains)
        self.root.setCurrentIndex(self.root.findData(spot))
        self.pick.say(f"Root: {self._named(item, domains, spot)}")

    @slot
    def _on_layer(self) -> None:
        self.show_again(self._show)

    def _show(self, item: Item, key: str, found: Trajectory) -> None:
        self.desk.show_values(
            item, "pseudotime", "pseudotime", found.pseudotime, key=key, limits=(0.0, 1.0)
        )


def _medians(found: Trajectory, answer: Answer) -> pd.DataFrame:
    """One row a domain, in the order of the graph."""
    assert answer.state is not None
    times = pd.Series(found.pseudotime).groupby(labels_of(answer.state), observed=False)
    names = list(found.domains)
    return pd.DataFrame(
        {
            "domain": names,
            "spots": times.size().reindex(names).to_numpy(),
            "median": times.median().reindex(names).to_numpy(),
        }
    )
