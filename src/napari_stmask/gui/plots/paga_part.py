"""The graph of the domains: which pass into one another (PAGA)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...analysis.trajectory import Trajectory, trajectory_steps
from ...core.progress import Progress
from ...viz.plots import graph_figure
from ..analyse.charts import GraphChart
from ..analyse.run_row import RunRow
from ..analyse.subject import count_domains
from ..analyse.work import StepWorker
from ..export import snapshot
from ..guard import Failure, slot
from ..model import DomainSet, DomainState, Item
from ..parts import plain_label
from .part import PlotPart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PagaPart"]


@dataclass(frozen=True, eq=False)
class _Taken:
    found: Trajectory
    state: DomainState

    def looks(self) -> tuple[list[str], list[int]]:
        """Colours and sizes of the domains that the graph has."""
        rows = [self.state.names.index(name) for name in self.found.domains]
        counts = self.state.counts
        return [self.state.colors[i] for i in rows], [int(counts[i]) for i in rows]


class PagaPart(PlotPart):
    """Discs as large as the domains, lines as thick as their links."""

    TITLE = "PAGA"

    def build(self) -> None:
        """Button and graph."""
        self._taken: _Taken | None = None
        self._about: tuple[Item, DomainSet, DomainState] | None = None
        self._worker = StepWorker(self, self.TITLE)
        self._worker.progressed.connect(self._on_progress)
        self._worker.done.connect(self._on_done)
        self._worker.failed.connect(self._on_failed)
        self._worker.ended.connect(self._on_ended)
        self.row = RunRow()
        self.run, self.cancel = self.row.run, self.row.cancel
        self.run.clicked.connect(self._on_run)
        self.cancel.clicked.connect(self._worker.cancel)
        self.body.addWidget(self.row)
        self.chart = GraphChart("Graph of the domains")
        self.body.addWidget(self.chart)
        self.note = plain_label("Order the spots in time with Analyse > Trajectory.")
        self.body.addWidget(self.note)

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """Show the graph of the shown domains if it is known."""
        self.item, self.domains = item, domains
        reason = self._obstacle()
        self.explain(reason)
        known = self._taken
        if known is not None and (domains is None or domains.state.codes is not known.state.codes):
            known = self._taken = None
        elif known is not None and domains is not None:
            # Other names and colours of the same partition.
            self._taken = known = _Taken(
                _renamed(known.found, known.state, domains.state), domains.state
            )
        self.row.setVisible(not reason and (known is None or self._worker.busy))
        self.row.allow("Link the domains", reason, busy=self._worker.busy)
        for widget in (self.chart, self.note):
            widget.setVisible(known is not None)
        self.offer(known)
        if known is not None:
            colors, sizes = known.looks()
            found = known.found
            self.chart.show_graph(
                found.connectivities, found.positions, found.domains, colors, sizes
            )

    def left(self) -> None:
        """Stop what goes on."""
        self._worker.cancel()

    def _obstacle(self) -> str:
        item, domains = self.item, self.domains
        if item is None or domains is None:
            return "Find domains first."
        if f"X_{domains.key}" not in item.section.adata.obsm:
            return "This result has no embedding: it was not found by a run."
        return "" if count_domains(domains.state) > 1 else "One domain has nothing to be linked to."

    @slot
    def _on_run(self) -> None:
        item, domains = self.item, self.domains
        if item is None or domains is None:
            return
        self._about = (item, domains, domains.state)
        self.row.begin()
        names = np.array([*domains.state.names, None], dtype=object)
        labels = pd.Series(
            pd.Categorical(names[domains.state.codes], categories=list(domains.state.names)),
            index=item.section.adata.obs_names,
        )
        section = snapshot(item.section)
        self._worker.start(partial(trajectory_steps, section, labels, key=domains.key))
        self.row.allow("Link the domains", "", busy=True)

    @slot
    def _on_progress(self, progress: Progress) -> None:
        self.row.progress(self.TITLE, progress)

    @slot
    def _on_done(self, found: Trajectory) -> None:
        about, self._about = self._about, None
        if about is not None:
            self._taken = _Taken(found, about[2])

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self._about = None
        self.row.say("")
        self.row.strip.show_failure(failure)

    @slot
    def _on_ended(self) -> None:
        if not self.row.strip.isVisibleTo(self.row):
            self.row.say("")
        self.follow(self.item, self.domains)

    def table(self, taken: _Taken) -> pd.DataFrame:
        """One row a pair of domains."""
        names, links = taken.found.domains, taken.found.connectivities
        pairs = [(names[i], names[j], links[i, j]) for i in range(len(names)) for j in range(i)]
        return pd.DataFrame(pairs, columns=["domain", "other", "connectivity"])

    def figure(self, taken: _Taken) -> Figure:
        """The graph for print."""
        colors, sizes = taken.looks()
        found = taken.found
        return graph_figure(found.connectivities, found.positions, found.domains, colors, sizes)


def _renamed(found: Trajectory, old: DomainState, new: DomainState) -> Trajectory:
    """The same graph under the names that the domains have now."""
    names = tuple(new.names[old.names.index(name)] for name in found.domains)
    return replace(found, domains=names)
