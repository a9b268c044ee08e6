"""The dock *Analyse*: what to ask a result for, once the domains are found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QFormLayout,
    QVBoxLayout,
    QWidget,
)

from ...analysis.enhancement import gene_values
from ...core.errors import StmaskError
from ...core.progress import Progress
from ...core.section import Section
from .. import layers
from ..background import Background
from ..desk_page import DeskPage
from ..guard import Failure, slot
from ..model import Item
from ..parts import SectionCombo, narrow_combo, plain_label
from .exporting import ExportRow
from .panel import Panel
from .run_row import RunRow
from .spot_values import show_gene, show_values
from .subject import About, Subject, Whole, store
from .work import Make, StepWorker

if TYPE_CHECKING:
    import napari

__all__ = ["PANELS", "AnalyseDock"]

PANELS = {
    "Marker genes": "markers_panel:MarkersPanel",
    "Composition": "composition_panel:CompositionPanel",
    "Domain SVGs and meta-genes": "svgs_panel:SvgsPanel",
    "Enhanced genes": "enhanced_panel:EnhancedPanel",
    "Trajectory": "trajectory_panel:TrajectoryPanel",
    "Attention": "attention_panel:AttentionPanel",
    "Expression and image": "fusion_panel:FusionPanel",
    "Heterogeneity": "heterogeneity_panel:HeterogeneityPanel",
    "EMT and other signatures": "signatures_panel:SignaturesPanel",
    "Quality without labels": "quality_panel:QualityPanel",
    "Denoising check": "denoising_panel:DenoisingPanel",
    "Join sections": "join_panel:JoinPanel",
}
"""Analyses in their order: title and where the panel is, made when it is first chosen."""


@dataclass(frozen=True, eq=False)
class _Job:
    panel: Panel
    kind: str
    about: About


class AnalyseDock(DeskPage):
    """Chooses an analysis, runs it on the selected result and shows its answer."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        row = RunRow()
        super().__init__(napari_viewer, strip=row.strip, state=row.state)
        self._row = row
        self.viewer = napari_viewer
        self.panels: dict[str, Panel] = {}
        self._job: _Job | None = None
        self._worker = StepWorker(self)
        self._worker.progressed.connect(self._on_progress)
        self._worker.done.connect(self._on_done)
        self._worker.failed.connect(self._on_failed)
        self._worker.ended.connect(self.refresh)
        self._genes = Background(self)
        self._genes.done.connect(self._on_gene)
        self._genes.failed.connect(self.show_failure)
        self._build()
        self._built = True
        self.follow(self._on_session, domains=True)
        self._on_analysis()

    def _build(self) -> None:
        form = QFormLayout()
        form.setSpacing(6)
        self.combo = SectionCombo(self.session)
        self.choices = narrow_combo(QComboBox())
        self.choices.setAccessibleName("Result")
        self.choices.setToolTip("Run whose domains are analysed.")
        self.choices.activated.connect(self._on_result)
        self.analyses = narrow_combo(QComboBox())
        self.analyses.setAccessibleName("Analysis")
        self.analyses.setToolTip("What to ask the result for.")
        self.analyses.addItems(list(PANELS))
        self.analyses.currentIndexChanged.connect(self._on_analysis)
        form.addRow("Section", self.combo)
        form.addRow("Result", self.choices)
        form.addRow("Analysis", self.analyses)
        self.body.addLayout(form)
        self.about = plain_label()
        self.body.addWidget(self.about)
        self._forms = QVBoxLayout()
        self.body.addLayout(self._forms)
        self.run, self.cancel = self._row.run, self._row.cancel
        self.bar, self.why = self._row.bar, self._row.why
        self.run.clicked.connect(self.start)
        self.cancel.clicked.connect(self._on_cancel)
        self.body.addWidget(self._row)
        self.stale = plain_label(
            "\u26a0 The domains were edited after this answer: run it again."
        )  # fmt: skip
        self.body.addWidget(self.stale)
        self._answers = QVBoxLayout()
        self.body.addLayout(self._answers)
        self.export = ExportRow()
        self.export.written.connect(self._on_written)
        self.export.failed.connect(self.show_failure)
        self.body.addWidget(self.export)
        self.body.addStretch(1)

    @property
    def panel(self) -> Panel:
        """The chosen analysis."""
        return self.panels[self.analyses.currentText()]

    @property
    def busy(self) -> bool:
        """Whether an analysis goes on."""
        return self._worker.busy

    def present(self, panel: Panel) -> bool:
        """Whether ``panel`` is the chosen one of a dock that is in the window."""
        return self.parentWidget() is not None and self.panels.get(
            self.analyses.currentText()
        ) is panel  # fmt: skip

    def choose(self, title: str) -> Panel:
        """Choose an analysis by its title."""
        self.analyses.setCurrentText(title)
        return self.panel

    def left(self) -> None:
        """Cancel what goes on: napari took the dock away."""
        self._job = None
        for panel in self.panels.values():
            panel.left()
        self._worker.cancel()
        self._genes.forget()

    @slot
    def start(self) -> None:
        """Run the chosen analysis on the selected result."""
        item, domains = self.session.selected, self.session.selected_domains
        idle = not self.panel.RUN or self.busy
        if item is None or idle or self.panel.reason(item, domains):
            return
        about = self.panel.about(item, domains)
        self.launch("main", self.panel.make(about), about)

    def launch(self, kind: str, make: Make, about: About) -> None:
        """Run the question ``kind`` of the chosen analysis in the background."""
        self._job = _Job(self.panel, kind, about)
        self._row.begin()
        self._worker.title = self.panel.TITLE
        self._worker.start(make)
        self.refresh()

    def show_values(
        self, item: Item, name: str, title: str, values: Any, *, key: str, **looks: Any
    ) -> None:
        """Show one number a spot over the tissue; ``looks`` as for `spot_values.show_values`."""
        # A gene that is still being read was asked for earlier, and would cover this.
        if self._genes.busy:
            self._genes.forget()
            self.say("")
        viewer = self.session.viewer
        if viewer is not None:
            show_values(viewer, item, name, title, values, key=key, **looks)

    def show_gene(self, gene: str) -> None:
        """Show a gene over the tissue, computed in the background."""
        item = self.session.selected
        if item is not None:
            self.say(f"Reading {gene}")
            self._genes.start(_gene, item.section, gene)

    @slot
    def _on_gene(self, found: tuple[Section, str, Any]) -> None:
        section, gene, values = found
        viewer = self.session.viewer
        for item in self.session.items.values():
            if item.section is section and viewer is not None:
                show_gene(viewer, item, gene, values)
                self.say(f"Shown on the tissue: {gene} (log-normalised)")
                return
        self.say("")

    @slot
    def _on_session(self) -> None:
        if self._job is not None:
            self._drop_if_gone(self._job)
        self.panel.follow(self.session.selected, self.session.selected_domains)
        self.refresh()

    def _drop_if_gone(self, job: _Job) -> bool:
        """End an analysis whose section or result has gone; whether that was so."""
        what = job.about.gone(self.session)
        if not what:
            return False
        self._job = None
        self._worker.cancel()
        self.say("")
        self.strip.show_warning(f"{what} while the analysis ran; the analysis was cancelled.")
        return True

    @slot
    def _on_result(self) -> None:
        item, key = self.session.selected, self.choices.currentData()
        if item is not None and key is not None:
            self.session.select(item.id, str(key))
            if self.session.viewer is not None:
                layers.prefer(self.session.viewer, item, str(key))

    @slot
    def _on_analysis(self) -> None:
        title = self.analyses.currentText()
        if title not in self.panels:
            module, name = PANELS[title].split(":")
            panel = getattr(import_module(f".{module}", __package__), name)(self)
            self.panels[title] = panel
            self._forms.addWidget(panel.form)
            self._answers.addWidget(panel.answer)
            self.leave_wheel(panel.form, panel.answer)
        for other in self.panels.values():
            other.form.setVisible(other is self.panel)
            other.answer.setVisible(False)
            if other is not self.panel:
                other.left()
        self.about.setText(self.panel.ABOUT)
        if not self.busy:
            self.say("")
            self.strip.clear()
        self.panel.follow(self.session.selected, self.session.selected_domains)
        self.refresh()

    @slot
    def refresh(self) -> None:
        """Show what can be done and what is known."""
        item = self.session.selected
        self.choices.clear()
        for key, one in item.domains.items() if item else ():
            self.choices.addItem(f"{one.title} ({key})", key)
        self.choices.setCurrentIndex(self.choices.findData(self.session.selected_key))
        self.choices.setEnabled(self.choices.count() > 0)
        self.check()
        self._show_answer()
        self._order_tabs()

    def check(self) -> None:
        """Enable Run, or say why not."""
        item, domains = self.session.selected, self.session.selected_domains
        reason = self.panel.reason(item, domains)
        self._row.allow(self.panel.RUN, reason, busy=self.busy)

    def _show_answer(self) -> None:
        panel, domains = self.panel, self.session.selected_domains
        item = self.session.selected
        answer = panel.known(domains) if item is not None else None
        panel.answer.setVisible(answer is not None)
        self.stale.setVisible(answer is not None and not answer.fits(domains))
        self.export.setVisible(answer is not None)
        if answer is None or item is None:
            self.export.offer(None, None)
            return
        panel.show_answer(answer.found, answer)
        make = (partial(panel.table, answer), partial(panel.figure, answer))
        name = f"{item.section.name}_{panel.TITLE}".replace("/", "_").replace(" ", "_").lower()
        self.export.offer(make, item.section, name)

    @slot
    def _on_progress(self, progress: Progress) -> None:
        if self._job is not None:
            self._row.progress(self._job.panel.TITLE, progress)

    @slot
    def _on_done(self, found: Any) -> None:
        job, self._job = self._job, None
        if job is None or self._drop_if_gone(job):
            return
        self.say("")
        if isinstance(job.about, Subject):
            self._store(job.about, job.panel.values(job.kind, found))
        job.panel.keep(job.kind, found, job.about)
        if job.panel is not self.panel or not job.about.selected(self.session):
            where = f" of '{job.about.item.label}'" if isinstance(job.about, Whole) else ""
            self.say(f"{job.panel.TITLE}{where}: finished.")
        job.panel.arrived(job.kind, found, job.about)

    def _store(self, subject: Subject, values: dict[str, Any]) -> None:
        """Write the values of the spots; what cannot be written is still shown."""
        try:
            store(subject.item, subject.domains, values)
        except StmaskError as error:
            self.strip.show_warning(f"The answer was not written on the section: {error}")

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self._job = None
        self.show_failure(failure)

    @slot
    def _on_cancel(self) -> None:
        if self.busy:
            self._job = None
            self.say("Cancelled; nothing was written.")
            self._worker.cancel()

    @slot
    def _on_written(self, path: Any) -> None:
        self.say(f"Written: {path}")

    def _order_tabs(self) -> None:
        """Let Tab go through the dock from top to bottom."""
        panel = self.panel
        stops: list[QWidget] = [
            self.combo,
            self.choices,
            self.analyses,
            *_stops(panel.form),
            self.run,
            self.cancel,
            self.strip.copy,
            *_stops(panel.answer),
            self.export.table,
            self.export.figure,
        ]
        for first, second in pairwise(stops):
            QWidget.setTabOrder(first, second)


def _stops(widget: QWidget) -> list[QWidget]:
    """What Tab should reach in ``widget``, in the order in which it was built."""
    return [
        w
        for w in widget.findChildren(QWidget)
        if w.focusPolicy() & Qt.FocusPolicy.TabFocus
        # The list that a combo box opens is a window of its own.
        and w.window() is widget.window()
        and not isinstance(w.parentWidget(), QAbstractSpinBox | QComboBox)
    ]


def _gene(section: Section, gene: str) -> tuple[Section, str, Any]:
    return section, gene, gene_values(section, gene)
