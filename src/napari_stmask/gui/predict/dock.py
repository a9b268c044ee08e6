"""The dock *Predict genes*: data, parameters, what to expect, run, what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QPushButton,
)

from ...features.encoders import is_finished
from ...models import params_of
from ...models.spahgc.params import FREE
from ..analyse.charts import titled
from ..background import Background
from ..desk_page import DeskPage
from ..fields import fill_presets, make_button
from ..form import ParamsForm
from ..guard import Failure, slot
from ..image_fields import uses_image
from ..model import TITLES
from ..parts import Fold, copy_text, narrow_combo, plain_label
from ..run_card import RunCard
from ..runner import Job
from .data_part import MODEL, PART, SECTIONS, DataPart
from .job import PredictionJob
from .recipe import as_command, as_python
from .request import Notes, look_ahead
from .results import Results

if TYPE_CHECKING:
    import napari

__all__ = ["PredictDock"]

METHOD = "spahgc"
_TRAINED = {
    name: "The model brings its own." for name in params_of(METHOD).model_fields if name not in FREE
}
"""Fields that say nothing where a trained model is used."""
_WITHIN = {"standardise": "One part of a section is brought to the scale of the other."}
"""Fields that say nothing where a part of the target is learnt from."""
_PRESET = "Fills all fields; edit them afterwards as you like."


class PredictDock(DeskPage):
    """Learns from measured sections and predicts the genes of another from its histology."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.viewer = napari_viewer
        self._notes = Notes()
        self._looker = Background(self)
        self._looker.done.connect(self._on_looked)
        self._looker.failed.connect(self._on_look_failed)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(400)
        self._later.timeout.connect(self._look)
        self._build()
        self._built = True
        self.follow(self._on_session)
        runner = self.session.runner
        runner.started.connect(self._check)
        runner.ended.connect(self._on_run_ended)
        self._fill()

    def _build(self) -> None:
        self.about = plain_label(
            "Predict the expression of a section that has only H&E, from measured sections "
            "(SpaHGC). The prediction opens as a section of its own."
        )
        self.body.addWidget(self.about)
        self.body.addWidget(titled("Data"))
        self.data = DataPart(self.session)
        self.data.changed.connect(self._on_edit)
        self.body.addWidget(self.data)
        self.presets = narrow_combo(QComboBox())
        self.presets.setAccessibleName("Preset")
        self.presets.setToolTip(_PRESET)
        model = params_of(METHOD)
        fill_presets(self.presets, model)
        self.presets.activated.connect(self._on_preset)
        self.data.form.addRow("Preset", self.presets)
        self.form = ParamsForm(model)
        self.form.changed.connect(self._on_edit)
        self.fold = Fold("Embedding and model", self.form)
        self.fold.toggled.connect(self._check)
        self.body.addWidget(self.fold)
        self._build_run()
        self.results = Results(self)
        self.body.addWidget(self.results)
        self.body.addStretch(1)
        self.leave_wheel(self.data, self.results)

    def _build_run(self) -> None:
        self.notes = plain_label()
        self.notes.setAccessibleName("What to expect of the prediction")
        self.body.addWidget(self.notes)
        self.run = QPushButton("Predict genes")
        self.run.setObjectName("stmask_predict")
        self.run.clicked.connect(self.start)
        self.body.addWidget(self.run)
        self.python = make_button(
            "Copy as Python",
            "Put a script that makes this prediction on the clipboard.",
            self._on_python,
        )
        self.command = make_button(
            "Copy as command",
            "Put the command line that makes this prediction on the clipboard.",
            self._on_command,
        )
        row = QHBoxLayout()
        row.addWidget(self.python)
        row.addWidget(self.command)
        self.body.addLayout(row)
        self.why = plain_label()
        self.why.setAccessibleName("Why it cannot run")
        self.body.addWidget(self.why)
        self.body.addWidget(self.strip)
        self.card = RunCard(self.session.runner)
        self.body.addWidget(self.card)
        self.body.addWidget(self.state)

    @property
    def busy(self) -> bool:
        """Whether the dock looks at what is asked."""
        return self._looker.busy or self._later.isActive()

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong."""
        self.strip.show_failure(failure)

    def left(self) -> None:
        """Stop looking: napari took the dock away."""
        self._later.stop()
        self._looker.forget()
        self.results.left()

    @slot
    def start(self) -> None:
        """Run now, or after the runs that wait."""
        item = self.data.item
        if item is None or not self._check():
            return
        self.strip.clear()
        request, ids = self.data.request()
        job = PredictionJob(
            section_id=item.id,
            label=item.label,
            section=request.target,
            method=METHOD,
            title=TITLES[METHOD],
            params=self.form.params(),
            key=METHOD,
            request=request,
            reference_ids=ids,
        )
        self.session.runner.submit(job)
        self.bring(self.card)

    @slot
    def _on_python(self) -> None:
        request, _ = self.data.request()
        copy_text(as_python(METHOD, request, self.form.params(), self.data.outlines()))
        self.say("The script is on the clipboard.")

    @slot
    def _on_command(self) -> None:
        request, _ = self.data.request()
        stored = self.data.stored_patients()
        copy_text(as_command(METHOD, request, self.form.params(), stored))
        self.say("The command is on the clipboard.")

    @slot
    def _on_session(self) -> None:
        self.data.refresh()
        self.results.refresh()
        # The user's own values stay; the others follow the references' platform.
        self._fill(keep_edits=True)

    @slot
    def _on_preset(self) -> None:
        self._fill()

    def _fill(self, *, keep_edits: bool = False) -> None:
        """Fill the form from the preset, for the platform of what is learnt from."""
        platform = "unknown"
        ticked = self.data.table.ticked()
        source = self.data.source.currentData()
        if source == SECTIONS and ticked:
            platform = self.session.items[ticked[0]].section.platform
        elif self.data.item is not None:
            platform = self.data.item.section.platform
        self.form.fill(str(self.presets.currentData()), platform, keep_edits=keep_edits)
        self._on_edit()

    @slot
    def _on_edit(self) -> None:
        if not self._built:
            return
        item = self.data.item
        self.form.show_section(item.section if item is not None else None)
        needed = uses_image(self.form.values(), None) and not self._finished()
        self.data.need_image(needed)
        source = self.data.source.currentData()
        self.form.fix({MODEL: _TRAINED, PART: _WITHIN}.get(source, {}))
        self.presets.setEnabled(source != MODEL)
        self.presets.setToolTip(_PRESET if source != MODEL else _TRAINED["epochs"])
        self._notes = Notes()
        self._looker.forget()
        self._check()

    def _finished(self) -> bool:
        """Whether features are there already, so that no image is looked at."""
        return is_finished(str(self.form.values().get("image_encoder", "")))

    def _reason(self) -> str:
        """Why a run cannot start; empty where it can."""
        return self.data.problem() or self.form.problem or self._notes.obstacle

    @slot
    def _check(self) -> bool:
        """Enable Run, or say why not; look ahead a little later."""
        self.form.check()
        reason = self._reason()
        waits = self.session.runner.current is not None
        self.run.setText("Predict genes" if not waits else "Add to the queue")
        for button in (self.run, self.python, self.command):
            button.setEnabled(not reason)
        self.run.setToolTip(reason or "Train and predict; the window stays usable.")
        self.why.setText(f"\u26a0 {reason}")
        # The form says itself what is wrong in it, where it can be seen.
        seen = reason == self.form.problem and self.fold.isExpanded()
        self.why.setVisible(bool(reason) and not seen)
        if reason or self._notes.facts:
            self._later.stop()
        else:
            self._later.start()
        self._show_notes()
        return not reason

    def _show_notes(self) -> None:
        lines = [*self._notes.facts, *(f"\u26a0 {text}" for text in self._notes.warnings)]
        self.notes.setText("\n".join(lines))
        self.notes.setVisible(bool(lines))

    @slot
    def _look(self) -> None:
        if self._reason() or self.session.runner.current is not None:
            # While a run computes, a look at the images would only compete with it.
            return
        request, _ = self.data.request()
        self._looker.start(look_ahead, request, self.form.params())

    @slot
    def _on_looked(self, notes: Notes) -> None:
        self._notes = notes
        self._check()

    @slot
    def _on_look_failed(self, failure: Failure) -> None:
        self._notes = Notes(obstacle=failure.text)
        self._check()

    @slot
    def _on_run_ended(self, job: Job) -> None:
        self._check()
        if isinstance(job, PredictionJob) and job.found is not None:
            self.results.refresh(job.found)
            QTimer.singleShot(0, self._show_results)

    @slot
    def _show_results(self) -> None:
        """Bring the answer up where the user sees it."""
        bar = self.scroller.verticalScrollBar()
        bar.setValue(min(self.results.y(), bar.maximum()))
