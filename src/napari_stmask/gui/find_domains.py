"""The dock *Find domains*: method, parameters, estimate, run."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..core.params import DomainParams
from ..core.provenance import PLACEHOLDER, as_command, as_python
from ..core.section import Section
from ..models import available, params_of
from .checks import conflict, missing_source, name_problem
from .estimate import facts
from .example import is_same_example, looks_like_example
from .fields import fill_presets
from .form import ParamsForm
from .guard import Failure, slot
from .method_card import MethodCard
from .model import TITLES
from .parts import MessageStrip, Page, SectionCombo, copy_text, narrow_combo
from .patch_preview import PatchPreview
from .remember import recall, remember
from .run_card import RunCard
from .run_estimate import RunEstimate
from .runner import Job
from .session import session_of

if TYPE_CHECKING:
    import napari

__all__ = ["FindDomains"]


class FindDomains(Page):
    """Chooses parameters and starts runs on the selected section."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session = session_of(napari_viewer)
        self.form: ParamsForm | None = None
        self._facts: dict[str, Any] = {}
        self._estimator = RunEstimate(self, "Tile size or the widths")
        self._estimator.wanted.connect(self._estimate)
        self._estimator.found.connect(self._on_estimate)
        self._estimator.hindered.connect(self._check)
        self.cost = self._estimator.cost
        self._build()
        self.session.section_selected.connect(self._on_section)
        self.session.section_changed.connect(self._on_section_changed)
        runner = self.session.runner
        runner.started.connect(self._check)
        runner.ended.connect(self._on_run_ended)
        self.methods.currentIndexChanged.connect(self._on_method)
        self._on_method()

    def _build(self) -> None:
        self.combo = SectionCombo(self.session)
        self.methods = narrow_combo(QComboBox())
        self.methods.setAccessibleName("Method")
        self.methods.setToolTip("Method that finds the domains.")
        for name in available():
            self.methods.addItem(TITLES.get(name, name), name)
        self.methods.setCurrentIndex(max(0, self.methods.findData(recall("find/method", ""))))
        self.methods.activated.connect(self._on_chosen)
        top = QFormLayout()
        top.setSpacing(6)
        top.addRow("Section", self.combo)
        top.addRow("Method", self.methods)
        self.body.addLayout(top)
        self.about = MethodCard()
        self.body.addWidget(self.about)
        self._build_choices()
        self._form_place = QVBoxLayout()
        self.body.addLayout(self._form_place)
        self.preview = PatchPreview(self.session)
        self.body.addWidget(self.preview)
        self._build_actions()
        self.strip = MessageStrip()
        self.body.addWidget(self.strip)
        self.card = RunCard(self.session.runner)
        self.body.addWidget(self.card)
        self.body.addStretch(1)

    def _build_choices(self) -> None:
        """Preset and name of the result."""
        self.presets = narrow_combo(QComboBox())
        self.presets.setAccessibleName("Preset")
        self.presets.setToolTip("Fills all fields; edit them afterwards as you like.")
        self.presets.activated.connect(self._on_preset)
        self.key = QLineEdit()
        self.key.setAccessibleName("Result name")
        self.key.setToolTip(
            "Column of obs that receives the domains; a result of the same name is replaced."
        )
        self.key.textChanged.connect(self._check)
        form = QFormLayout()
        form.setSpacing(6)
        form.addRow("Preset", self.presets)
        form.addRow("Result name", self.key)
        self.body.addLayout(form)

    def _build_actions(self) -> None:
        """Estimate, Run, and the run as text."""
        self.body.addWidget(self.cost)
        self.run = QPushButton("Find domains")
        self.run.setObjectName("stmask_run")
        self.run.clicked.connect(self.start)
        self.python = QPushButton("Copy as Python")
        self.python.setToolTip("Put a script that makes this run on the clipboard.")
        self.python.clicked.connect(self._on_python)
        self.command = QPushButton("Copy as command")
        self.command.setToolTip("Put the command line that makes this run on the clipboard.")
        self.command.clicked.connect(self._on_command)
        self.body.addWidget(self.run)
        row = QHBoxLayout()
        row.addWidget(self.python)
        row.addWidget(self.command)
        self.body.addLayout(row)

    @property
    def method(self) -> str:
        """Name of the chosen method."""
        return str(self.methods.currentData())

    def params(self) -> DomainParams:
        """Parameters as they stand in the form.

        Raises
        ------
        ParameterError
            If a field is out of bounds.
        """
        assert self.form is not None
        found = self.form.params()
        assert isinstance(found, DomainParams)
        return found

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong."""
        self.strip.show_failure(failure)

    @slot
    def start(self) -> None:
        """Run on the selected section, now or after the runs that wait."""
        item = self.session.selected
        if item is None or not self._check():
            return
        self.strip.clear()
        title = TITLES.get(self.method, self.method)
        job = Job(
            section_id=item.id,
            label=item.label,
            section=item.section,
            method=self.method,
            title=title,
            params=self.params(),
            key=self.key.text().strip(),
        )
        self.session.runner.submit(job)
        QTimer.singleShot(0, self._show_card)

    @slot
    def _show_card(self) -> None:
        self.scroller.ensureWidgetVisible(self.card)

    @slot
    def _on_chosen(self) -> None:
        remember("find/method", self.method)

    @slot
    def _on_method(self) -> None:
        model = params_of(self.method)
        if self.form is not None:
            self.form.setParent(None)
            self.form.deleteLater()
        self.form = ParamsForm(model)
        self.form.show_section(self._section)
        self.form.changed.connect(self._on_edit)
        self._form_place.addWidget(self.form)
        self._order_tabs()
        fill_presets(self.presets, model)
        self.key.setText(self.method)
        self.about.show_method(self.method, self._facts.get(self.method))
        self._fill()

    @property
    def _section(self) -> Section | None:
        item = self.session.selected
        return item.section if item is not None else None

    @slot
    def _on_section_changed(self) -> None:
        assert self.form is not None
        self.form.show_section(self._section)
        self.preview.look_again()
        self._check()

    @slot
    def _on_section(self) -> None:
        assert self.form is not None
        self._estimator.forget()
        self.form.show_section(self._section)
        # The user's own values stay; the others follow the section's platform.
        self._fill(keep_edits=True)

    @slot
    def _on_preset(self) -> None:
        self._fill()

    def _fill(self, *, keep_edits: bool = False) -> None:
        """Fill the form from the preset and the plugin's settings."""
        assert self.form is not None
        item = self.session.selected
        platform = item.section.platform if item else "unknown"
        self._estimator.forget()
        self.form.fill(str(self.presets.currentData()), platform, keep_edits=keep_edits)
        self._check()

    @slot
    def _on_edit(self) -> None:
        # An answer that is still awaited is about other values.
        self._estimator.forget()
        self._check()

    def _reason(self) -> str:
        """Why a run cannot start; empty where it can."""
        item = self.session.selected
        if item is None:
            return "No section is open: open one in the dock Open tissue."
        if self.form is None or self.form.problem:
            return self.form.problem if self.form else ""
        return name_problem(self.key.text().strip(), item) or self._estimator.obstacle

    @slot
    def _check(self) -> bool:
        """Enable Run, or say why not; estimate a little later."""
        assert self.form is not None
        self.form.check(conflict(self.form.values(), self.session.selected))
        self.preview.follow(self.form.values(), self.form.idle)
        reason = self._reason()
        ready = not reason
        busy = self.session.runner.current is not None
        self.run.setText("Find domains" if not busy else "Add to the queue")
        self.run.setEnabled(ready)
        self.run.setToolTip(reason or "Run the method on the section; the window stays usable.")
        item = self.session.selected
        missing = missing_source(item)
        # A script can make the generated example again, a command line cannot.
        example = item is not None and looks_like_example(item.section)
        lacking = "" if example else missing
        self.python.setEnabled(ready and not lacking)
        self.python.setToolTip(
            reason or lacking or "Put a script that makes this run on the clipboard."
        )
        self.command.setEnabled(ready and not missing)
        self.command.setToolTip(
            reason or missing or "Put the command line that makes this run on the clipboard."
        )
        self._estimator.show_reason(reason, seen=reason == self.form.problem)
        return ready

    @slot
    def _on_run_ended(self, job: Job) -> None:
        self._check()
        if job.state == "done" and job.watched and not self.session.runner.waiting:
            from .commands import open_dock

            open_dock(self.viewer, job.OPENS)

    @slot
    def _estimate(self) -> None:
        item = self.session.selected
        if item is None or self.session.runner.current is not None:
            # While a run computes, an estimate would only compete with it.
            return
        self._estimator.start(facts, self.method, item.section, self.params())

    @slot
    def _on_estimate(self, found: dict[str, Any]) -> None:
        self._facts[found["name"]] = found
        self.about.show_method(self.method, self._facts.get(self.method))

    @slot
    def _on_python(self) -> None:
        script = self._recipe(as_python)
        item = self.session.selected
        if item is not None and is_same_example(item.section):
            script = script.replace(PLACEHOLDER, "stm.sample_section()")
        copy_text(script)

    @slot
    def _on_command(self) -> None:
        copy_text(self._recipe(as_command))

    def _recipe(self, write: Callable[..., str]) -> str:
        item = self.session.selected
        assert item is not None
        return write(
            self.method,
            item.section.source,
            self.params(),
            key=self.key.text().strip(),
            reading=item.section.reading,
        )

    def _order_tabs(self) -> None:
        """Let Tab go through the dock from top to bottom."""
        assert self.form is not None
        stops = [
            self.combo,
            self.methods,
            self.about.link,
            self.presets,
            self.key,
            *self.form.tab_stops(),
            self.preview.fold.toggleButton(),
            self.run,
            self.python,
            self.command,
            self.strip.copy,
            *self.card.tab_stops(),
        ]
        for first, second in pairwise(stops):
            QWidget.setTabOrder(first, second)
