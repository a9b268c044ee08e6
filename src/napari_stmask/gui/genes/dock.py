"""The dock *Gene modules*: run SpaCEX, and ask its genes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QVBoxLayout,
    QWidget,
)

from .. import layers
from ..analyse.spot_values import ROLE, limits_of
from ..background import Background
from ..desk_page import DeskPage, tab_bar
from ..guard import Failure, slot
from ..model import Item
from ..parts import Fold, narrow_combo, plain_label
from ..predict.gene_maps import show_map
from ..run_card import RunCard
from ..runner import Job
from .compare_part import ComparePart
from .coverage_part import CoveragePart
from .genes_part import GenesPart
from .known import GeneRun, gene_runs
from .modules_part import ModulesPart
from .network_part import NetworkPart
from .part import GenePart
from .partners_part import PartnersPart
from .query_part import QueryPart
from .run_part import GenesJob, RunPart
from .sets_part import SetsPart
from .svg_part import SvgPart
from .values import Loaded, load, pattern_of

if TYPE_CHECKING:
    import napari

__all__ = ["GenesDock"]

_ABOUT = (
    "Genes with a common pattern on the tissue (SpaCEX): modules, spatial genes, relations, "
    "genes like a drawn pattern, and genes that a panel lacks."
)
_NONE = "No open section has gene modules yet: find them above, or open a file that has some."


class GenesDock(DeskPage):
    """Finds gene modules, and answers questions about the genes of any run that has some."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.viewer = napari_viewer
        self.known: GeneRun | None = None
        self.chosen: tuple[str, ...] = ()
        self._loader = Background(self)
        self._loader.done.connect(self._on_loaded)
        self._loader.failed.connect(self.show_failure)
        self._reader = Background(self)
        self._reader.done.connect(self._on_values)
        self._reader.failed.connect(self.show_failure)
        self._build()
        self._built = True
        self.follow(self._on_session, domains=True)
        self.session.runner.ended.connect(self._on_run_ended)
        self.refresh()
        if self.known is None:
            self.run_fold.expand(animate=False)

    def _build(self) -> None:
        self.body.addWidget(plain_label(_ABOUT))
        self.run_part = RunPart(self.session)
        self.run_part.started.connect(self._on_started)
        self.run_fold = Fold("Find gene modules", self.run_part)
        self.run_fold.toggled.connect(self._on_fold)
        self.body.addWidget(self.run_fold)
        self.card = RunCard(self.session.runner)
        self.body.addWidget(self.card)
        self.choice = narrow_combo(QComboBox())
        self.choice.setAccessibleName("Run with gene modules")
        self.choice.setToolTip("Section and run whose genes are shown below.")
        self.choice.currentIndexChanged.connect(self._on_choice)
        row = QFormLayout()
        row.addRow("Run", self.choice)
        self.body.addLayout(row)
        self.none = plain_label(_NONE)
        self.body.addWidget(self.none)
        self.body.addWidget(self.strip)
        self._build_pages()
        self.body.addWidget(self.state)
        self.body.addStretch(1)

    def _build_pages(self) -> None:
        self.modules, self.sets = ModulesPart(self), SetsPart(self)
        self.genes, self.svgs = GenesPart(self), SvgPart(self)
        self.partners, self.network, self.compare = (
            PartnersPart(self), NetworkPart(self), ComparePart(self)
        )  # fmt: skip
        self.query, self.coverage = QueryPart(self), CoveragePart(self)
        self.parts: tuple[GenePart, ...] = (
            *(self.modules, self.sets, self.genes, self.svgs, self.partners, self.network),
            *(self.compare, self.query, self.coverage),
        )
        self.folds = {
            "sets": Fold("Gene sets", self.sets),
            "svgs": Fold("Score again", self.svgs),
            "partners": Fold("Partners of a gene", self.partners),
            "network": Fold("Network", self.network),
            "compare": Fold("Compare with another section", self.compare),
        }
        pages: dict[str, tuple[QWidget, ...]] = {
            "Modules": (self.modules, self.folds["sets"]),
            "Genes": (self.genes, self.folds["svgs"]),
            "Relations": tuple(self.folds[n] for n in ("partners", "network", "compare")),
            "Pattern": (self.query,),
            "Coverage": (self.coverage,),
        }
        self.tabs = tab_bar("Questions to the genes")
        self.body.addWidget(self.tabs)
        self.pages: dict[str, QWidget] = {}
        for title, widgets in pages.items():
            page = QWidget()
            column = QVBoxLayout(page)
            column.setContentsMargins(0, 0, 0, 0)
            for widget in widgets:
                column.addWidget(widget)
            self.tabs.addTab(title)
            self.pages[title] = page
            self.body.addWidget(page)
            self.leave_wheel(page)
        self.folds["partners"].expand(animate=False)
        self.tabs.currentChanged.connect(self._on_tab)

    @property
    def busy(self) -> bool:
        """Whether tables or values are being read."""
        return self._loader.busy or self._reader.busy

    @property
    def loaded(self) -> Loaded | None:
        """The tables of the run that is shown."""
        return self.genes.loaded

    def open_tab(self, title: str) -> None:
        """Show one of the pages."""
        self.tabs.setCurrentIndex(list(self.pages).index(title))

    def choose(self, genes: Sequence[str], *, origin: object = None, show: bool = True) -> None:
        """Choose genes in map and tables; one is shown as measured, several as their mean."""
        run = self.known
        if run is None:
            return
        self.chosen = tuple(genes)
        for part in self.parts:
            part.follow(self.chosen, origin)
        if show:
            self.clear_failure()
            self._reader.start(pattern_of, run, self.chosen)

    def show_values(
        self,
        item: Item,
        key: str,
        name: str,
        values: NDArray[np.floating[Any]],
        *,
        limits: tuple[float, float],
        as_image: bool = False,
        of: str = "",
    ) -> None:
        """Show one number a spot over the tissue."""
        # Genes that are still being read were asked for earlier, and would cover this.
        self._reader.forget()
        viewer = self.session.viewer
        if viewer is None:
            return
        made_from = of or (self.known.key if self.known is not None else "")
        first = layers.find_layer(viewer, item.id, ROLE, f"{made_from}_{key}") is None
        show_map(viewer, item, key, name, values, limits=limits, as_image=as_image, of=made_from)
        for domains in layers.layers_of(viewer, item.id, "domains") if first else ():
            # Their colours between the spots would mix with those of the values.
            domains.visible = False

    def reload(self) -> None:
        """Read the tables of the run again."""
        if self.known is not None:
            self._loader.start(load, self.known)

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong, where it is seen."""
        super().show_failure(failure)
        self.bring(self.strip)

    def left(self) -> None:
        """Cancel what goes on: napari took the dock away."""
        self.run_part.left()
        self._loader.forget()
        self._reader.forget()
        for part in self.parts:
            part.left()

    def refresh(self, newest: GeneRun | None = None) -> None:
        """List the runs; show ``newest``, or the one that was shown."""
        runs = gene_runs(self.session)
        wanted = newest or self._wanted(runs)
        with QSignalBlocker(self.choice):
            self.choice.clear()
            for run in runs:
                self.choice.addItem(run.title, run)
            row = next((i for i, run in enumerate(runs) if run is wanted), len(runs) - 1)
            self.choice.setCurrentIndex(row)
        self.choice.setEnabled(bool(runs))
        self._show()

    def _wanted(self, runs: list[GeneRun]) -> GeneRun | None:
        """The run of the selected section, unless that has none, or the shown one is of it."""
        selected, known = self.session.selected_id, self.known
        here = [run for run in runs if run.item_id == selected]
        if known is None or not here or known.item_id == selected:
            same = [run for run in runs if known is not None and run is known]
            # A new run under the same name takes the place of the old one.
            same += [
                run for run in runs
                if known is not None and (run.item_id, run.key) == (known.item_id, known.key)
            ]  # fmt: skip
            return same[0] if same else (here[-1] if here else None)
        return here[-1]

    def _show(self) -> None:
        run: GeneRun | None = self.choice.currentData()
        another = run is not self.known
        loaded = None if another else self.loaded
        self.known = run
        for widget in (self.tabs, *self.pages.values()):
            widget.setVisible(run is not None)
        self.none.setVisible(run is None)
        if run is not None:
            self._on_tab()
        for part in self.parts:
            part.show_run(run, loaded)
        if not another:
            return
        self.chosen = ()
        self._loader.forget()
        self._reader.forget()
        self.clear_failure()
        self.say("")
        if run is not None:
            self._loader.start(load, run)

    @slot
    def _on_loaded(self, loaded: Loaded) -> None:
        if loaded.run is not self.known:
            return
        for part in self.parts:
            part.show_run(self.known, loaded)

    @slot
    def _on_values(self, found: tuple[GeneRun, tuple[str, ...], NDArray[np.float32]]) -> None:
        run, genes, values = found
        item = run.item(self.session)
        if run is not self.known or item is None:
            return
        one = len(genes) == 1
        said = genes[0] if one else f"mean of {len(genes):,} genes"
        key = "gene" if one else "mean"
        name = f"{item.label} \u00b7 {said}"
        self.show_values(item, key, name, values, limits=limits_of(values))
        self.say(f"Shown on the tissue: {said}")

    @slot
    def _on_session(self) -> None:
        self.refresh()

    @slot
    def _on_choice(self) -> None:
        run: GeneRun | None = self.choice.currentData()
        self._show()
        if run is not None and run.item_id in self.session.items:
            self.session.select(run.item_id, run.key)

    @slot
    def _on_tab(self) -> None:
        for place, page in enumerate(self.pages.values()):
            page.setVisible(place == self.tabs.currentIndex() and self.known is not None)

    @slot
    def _on_fold(self) -> None:
        self.run_part.show_cost(self.run_fold.isExpanded())

    @slot
    def _on_started(self) -> None:
        self.clear_failure()
        self.run_fold.collapse(animate=False)
        self.bring(self.card)

    @slot
    def _on_run_ended(self, job: Job) -> None:
        runs = gene_runs(self.session)
        of_job = [run for run in runs if (run.item_id, run.key) == (job.section_id, job.key)]
        done = job.state == "done" and job.failure is None
        if isinstance(job, GenesJob) and not done:
            # What was asked stays in the form, to be asked again.
            self.run_fold.expand(animate=False)
        watched = done and of_job and (job.watched or self.known is None)
        self.refresh(of_job[0] if watched else None)
