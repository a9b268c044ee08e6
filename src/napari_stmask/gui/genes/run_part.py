"""The form that finds gene modules, its estimate and its run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...core.memory import human
from ...core.params import DomainParams
from ...core.provenance import as_command, as_python
from ...models import params_of
from ..background import Background
from ..checks import conflict, missing_source, name_problem
from ..estimate import duration, facts
from ..fields import fill_presets, make_button
from ..form import ParamsForm
from ..guard import Failure, slot
from ..model import TITLES, Item
from ..parts import SectionCombo, copy_text, narrow_combo, plain_label
from ..runner import Job
from ..session import Session

__all__ = ["METHOD", "GenesJob", "RunPart"]

METHOD = "spacex"


@dataclass(eq=False)
class GenesJob(Job):
    """A run that was asked for in this dock, which shows what it found."""

    OPENS: ClassVar[str] = "Gene modules"


class RunPart(QWidget):
    """``started`` when a run has been put into the queue.

    Attributes
    ----------
    seen
        Whether the form is unfolded.
    """

    started = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._obstacle = ""
        self.seen = False
        self._build()
        self._estimator = Background(self)
        self._estimator.done.connect(self._on_estimate)
        self._estimator.failed.connect(self._on_estimate_failed)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(400)
        self._later.timeout.connect(self._estimate)
        session.section_selected.connect(self._on_section)
        session.section_changed.connect(self._on_section)
        session.runner.started.connect(self.check)
        session.runner.ended.connect(self.check)
        self._on_section()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        self.combo = SectionCombo(self.session)
        self.presets = narrow_combo(QComboBox())
        self.presets.setAccessibleName("Preset")
        self.presets.setToolTip("Fills all fields; edit them afterwards as you like.")
        fill_presets(self.presets, params_of(METHOD))
        self.presets.activated.connect(self._on_preset)
        self.key = QLineEdit(METHOD)
        self.key.setAccessibleName("Result name")
        self.key.setToolTip("Name of the run; a result of the same name is replaced.")
        self.key.textChanged.connect(self.check)
        top = QFormLayout()
        top.setSpacing(6)
        top.addRow("Section", self.combo)
        top.addRow("Preset", self.presets)
        top.addRow("Result name", self.key)
        layout.addLayout(top)
        self.form = ParamsForm(params_of(METHOD))
        self.form.changed.connect(self._on_edit)
        layout.addWidget(self.form)
        self.cost = plain_label()
        self.cost.setAccessibleName("Estimated time and memory")
        layout.addWidget(self.cost)
        self.run = QPushButton("Find gene modules")
        self.run.setObjectName("stmask_genes")
        self.run.clicked.connect(self.start)
        layout.addWidget(self.run)
        self.python = make_button("Copy as Python", "", self._on_python)
        self.command = make_button("Copy as command", "", self._on_command)
        row = QHBoxLayout()
        row.addWidget(self.python)
        row.addWidget(self.command)
        layout.addLayout(row)

    @property
    def item(self) -> Item | None:
        """The section that a run would be on."""
        return self.session.selected

    @property
    def busy(self) -> bool:
        """Whether a run is being estimated."""
        return self._estimator.busy or self._later.isActive()

    def show_cost(self, seen: bool) -> None:
        """Whether the form is unfolded: else nobody reads an estimate."""
        self.seen = seen
        self.check()

    def left(self) -> None:
        """The dock goes away."""
        self._later.stop()
        self._estimator.forget()

    def params(self) -> DomainParams:
        """Parameters as they stand in the form.

        Raises
        ------
        ParameterError
            If a field is out of bounds.
        """
        found = self.form.params()
        assert isinstance(found, DomainParams)
        return found

    @slot
    def start(self) -> None:
        """Run on the selected section, now or after the runs that wait."""
        item = self.item
        if item is None or not self.check():
            return
        self.session.runner.submit(
            GenesJob(
                section_id=item.id,
                label=item.label,
                section=item.section,
                method=METHOD,
                title=TITLES[METHOD],
                params=self.params(),
                key=self.key.text().strip(),
            )
        )
        self.started.emit()

    @slot
    def _on_section(self) -> None:
        self._estimator.forget()
        self.form.show_section(self.item.section if self.item is not None else None)
        # The user's own values stay; the others follow the section's platform.
        self._fill(keep_edits=True)

    @slot
    def _on_preset(self) -> None:
        self._fill()

    def _fill(self, *, keep_edits: bool = False) -> None:
        platform = self.item.section.platform if self.item is not None else "unknown"
        self.form.fill(str(self.presets.currentData()), platform, keep_edits=keep_edits)
        self._on_edit()

    @slot
    def _on_edit(self) -> None:
        # An answer that is still awaited is about other values.
        self._obstacle = ""
        self._estimator.forget()
        self.check()

    def _reason(self) -> str:
        item = self.item
        if item is None:
            return "No section is open: open one in the dock Open tissue."
        return self.form.problem or name_problem(self.key.text().strip(), item) or self._obstacle

    @slot
    def check(self) -> bool:
        """Enable the button, or say why not; estimate a little later."""
        self.form.check(conflict(self.form.values(), self.item))
        reason = self._reason()
        busy = self.session.runner.current is not None
        self.run.setText("Find gene modules" if not busy else "Add to the queue")
        self.run.setEnabled(not reason)
        self.run.setToolTip(reason or "Run SpaCEX on the section; the window stays usable.")
        missing = reason or missing_source(self.item)
        for button, what in ((self.python, "a script"), (self.command, "the command line")):
            button.setEnabled(not missing)
            button.setToolTip(missing or f"Put {what} that makes this run on the clipboard.")
        if reason:
            self._later.stop()
            self.cost.setText("" if reason == self.form.problem else f"\u26a0 {reason}")
        else:
            if self.cost.text().startswith("\u26a0"):
                self.cost.clear()
            self._later.start()
        return not reason

    @slot
    def _estimate(self) -> None:
        # While a run computes, an estimate would only compete with it.
        if self.item is not None and self.session.runner.current is None and self.seen:
            self._estimator.start(facts, METHOD, self.item.section, self.params())

    @slot
    def _on_estimate(self, found: dict[str, Any]) -> None:
        need, free = human(found["peak_bytes"]), human(found["free_bytes"])
        if found["peak_bytes"] > found["free_bytes"]:
            self._obstacle = (
                f"The run would take about {need} of memory, {free} are free: lower the number of "
                "genes or Largest side, or close other programs."
            )
            self.check()
            return
        self.cost.setText(
            f"Estimate: about {duration(found['seconds'])} on one core, {need} of memory on top "
            "of the data."
        )

    @slot
    def _on_estimate_failed(self, failure: Failure) -> None:
        self._obstacle = failure.text
        self.check()

    @slot
    def _on_python(self) -> None:
        copy_text(self._recipe(as_python))

    @slot
    def _on_command(self) -> None:
        copy_text(self._recipe(as_command))

    def _recipe(self, write: Callable[..., str]) -> str:
        assert self.item is not None
        section = self.item.section
        key = self.key.text().strip()
        return write(METHOD, section.source, self.params(), key=key, reading=section.reading)
