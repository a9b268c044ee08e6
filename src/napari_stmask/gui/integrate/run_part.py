"""Method, parameters, estimate and run of an integration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

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

from ...core.joint import JointParams
from ...core.memory import human
from ...core.params import DomainParams
from ...features.alignment import Alignment
from ...models import params_of
from ..analyse.charts import titled
from ..background import Background
from ..checks import conflict, name_problem
from ..estimate import duration
from ..export import snapshot
from ..fields import fill_presets, make_button
from ..form import ParamsForm
from ..guard import Failure, slot
from ..model import TITLES, Item
from ..parts import copy_text, narrow_combo, plain_label
from ..session import Session
from .job import IntegrateJob
from .links import idle_joint_fields
from .methods import INTEGRATES, cost_of, further_methods
from .recipe import Recipe, as_command, as_python

__all__ = ["Asked", "RunPart"]

_ELSEWHERE = ("arrangement", "spacing_um", "align_by", "flip")
"""Settings that stand in other parts of the dock."""


class Asked(Protocol):
    """What the run needs of the other parts."""

    session: Session

    def items(self) -> list[Item]:
        """Sections in their order."""

    def joint_values(self) -> dict[str, Any]:
        """How they go together, as far as other parts say it."""

    def alignments(self) -> list[Alignment] | None:
        """Where they lie, if that is known."""

    def by_hand(self) -> bool:
        """Whether it was set by hand."""

    def gaps(self) -> list[float] | None:
        """Distances between them, if not the usual ones."""

    def accepted(self) -> bool:
        """Whether a doubtful alignment is used."""

    def problem(self) -> str:
        """Why there can be no run, as far as other parts say it."""


class RunPart(QWidget):
    """``started`` when a run has been put into the queue."""

    started = Signal()

    def __init__(self, asked: Asked, fail: Callable[[Failure], None]) -> None:
        super().__init__()
        self.asked, self.session = asked, asked.session
        self._fail = fail
        self._obstacle = ""
        self.form: ParamsForm | None = None
        self._estimator = Background(self)
        self._estimator.done.connect(self._on_estimate)
        self._estimator.failed.connect(self._on_estimate_failed)
        self._finder = Background(self)
        self._finder.done.connect(self._on_methods)
        self._finder.failed.connect(self.show_failure)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(400)
        self._later.timeout.connect(self._estimate)
        self._build()
        self.session.runner.started.connect(self.check)
        self.session.runner.ended.connect(self.check)
        self._on_method()
        self._finder.start(further_methods)

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        self.methods = narrow_combo(QComboBox())
        self.methods.setAccessibleName("Method")
        self.methods.setToolTip("Method that is run over all sections as one.")
        for name in INTEGRATES:
            self.methods.addItem(TITLES[name], name)
        self.methods.currentIndexChanged.connect(self._on_method)
        self.presets = narrow_combo(QComboBox())
        self.presets.setAccessibleName("Preset")
        self.presets.setToolTip("Fills the fields of the method; edit them afterwards as you like.")
        self.presets.activated.connect(self._on_preset)
        self.key = QLineEdit()
        self.key.setAccessibleName("Result name")
        self.key.setToolTip(
            "Column of obs of every section that receives the domains; a result of the same name "
            "is replaced."
        )
        self.key.textChanged.connect(self.check)
        top = QFormLayout()
        top.setSpacing(6)
        top.addRow("Method", self.methods)
        top.addRow("Preset", self.presets)
        top.addRow("Result name", self.key)
        layout.addLayout(top)
        layout.addWidget(titled("Across sections"))
        self.joint = ParamsForm(JointParams)
        self.joint.leave_out(_ELSEWHERE)
        self.joint.changed.connect(self._on_edit)
        layout.addWidget(self.joint)
        layout.addWidget(titled("Method"))
        self._place = QVBoxLayout()
        layout.addLayout(self._place)
        self.cost = plain_label()
        self.cost.setAccessibleName("Estimated time and memory")
        layout.addWidget(self.cost)
        self.run = QPushButton("Integrate")
        self.run.setObjectName("stmask_integrate")
        self.run.clicked.connect(self.start)
        layout.addWidget(self.run)
        self.python = make_button("Copy as Python", "", self._on_python)
        self.command = make_button("Copy as command", "", self._on_command)
        row = QHBoxLayout()
        row.addWidget(self.python)
        row.addWidget(self.command)
        layout.addLayout(row)

    @property
    def busy(self) -> bool:
        """Whether a run is being estimated."""
        return self._estimator.busy or self._later.isActive()

    @property
    def method(self) -> str:
        """Name of the chosen method."""
        return str(self.methods.currentData())

    def joint_params(self) -> JointParams:
        """How the sections go together.

        Raises
        ------
        ParameterError
            If a field is out of bounds.
        """
        return JointParams.checked(**(self.joint.values() | self.asked.joint_values()))

    def params(self) -> DomainParams:
        """Parameters of the method.

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
        """Show what went wrong in the strip of the dock."""
        self._fail(failure)

    def left(self) -> None:
        """The dock goes away."""
        self._later.stop()
        self._estimator.forget()
        self._finder.forget()

    def follow(self) -> None:
        """Other sections are chosen, or they go together in another way."""
        self._fill(keep_edits=True)

    @slot
    def start(self) -> None:
        """Run now, or after the runs that wait."""
        items = self.asked.items()
        if not self.check():
            return
        self.session.runner.submit(
            IntegrateJob(
                section_id=items[0].id,
                label=", ".join(item.label for item in items),
                section=items[0].section,
                method=self.method,
                title=self.methods.currentText(),
                params=self.params(),
                key=self.key.text().strip(),
                ids=tuple(item.id for item in items),
                labels=tuple(item.label for item in items),
                sections=tuple(item.section for item in items),
                joint=self.joint_params(),
                alignments=self.asked.alignments(),
                gaps=self.asked.gaps(),
                accept_poor=self.asked.accepted(),
            )
        )
        self.started.emit()

    @slot
    def _on_methods(self, found: list[tuple[str, str]]) -> None:
        for name, title in found:
            self.methods.addItem(title, name)

    @slot
    def _on_method(self) -> None:
        model = params_of(self.method)
        if self.form is not None:
            self.form.setParent(None)
            self.form.deleteLater()
        self.form = ParamsForm(model)
        self.form.changed.connect(self._on_edit)
        self._place.addWidget(self.form)
        fill_presets(self.presets, model)
        self.key.setText(self.method)
        self._fill()

    @slot
    def _on_preset(self) -> None:
        self._fill()

    def _fill(self, *, keep_edits: bool = False) -> None:
        assert self.form is not None
        items = self.asked.items()
        section = items[0].section if items else None
        platform = section.platform if section is not None else "unknown"
        self.form.show_section(section)
        name = str(self.presets.currentData())
        # Longer than for a single section.
        preset = "several" if name == "recommended" else name
        self.form.fill(preset, platform, keep_edits=keep_edits)
        self._on_edit()

    @slot
    def _on_edit(self) -> None:
        # An answer that is still awaited is about other values.
        self._obstacle = ""
        self._estimator.forget()
        self.check()

    def _reason(self) -> str:
        """Why there can be no run; empty where there can be one."""
        assert self.form is not None
        found = self.asked.problem() or self.joint.problem or self.form.problem
        if found:
            return found
        by = self.joint_params()
        if by.in_space and by.arrangement == "separate":
            return "Links across: separate sections have no common frame; choose another kind."
        for item in self.asked.items():
            found = name_problem(self.key.text().strip(), item)
            if found:
                return f"{item.label}: {found}"
        return self._obstacle

    @slot
    def check(self) -> bool:
        """Enable the button, or say why not; estimate a little later."""
        assert self.form is not None
        self.joint.fix(idle_joint_fields(self.joint.values() | self.asked.joint_values()))
        items = self.asked.items()
        problems = (conflict(self.form.values(), item) for item in items)
        self.form.check(next((p for p in problems if p), ""))
        reason = self._reason()
        busy = self.session.runner.current is not None
        self.run.setText("Integrate" if not busy else "Add to the queue")
        self.run.setEnabled(not reason)
        self.run.setToolTip(reason or "Run the method over all sections; the window stays usable.")
        missing = reason or self._unsaved(items)
        for button, what in ((self.python, "a script"), (self.command, "the command line")):
            button.setEnabled(not missing)
            button.setToolTip(missing or f"Put {what} that makes this run on the clipboard.")
        if reason:
            self._later.stop()
            own = reason in (self.form.problem, self.joint.problem)
            self.cost.setText("" if own else f"\u26a0 {reason}")
        else:
            if self.cost.text().startswith("\u26a0"):
                self.cost.clear()
            self._later.start()
        return not reason

    def _unsaved(self, items: list[Item]) -> str:
        without = [item.label for item in items if not item.section.source]
        if not without:
            return ""
        return f"{', '.join(without)}: not read from a file; export it, then open the file."

    @slot
    def _estimate(self) -> None:
        # While a run computes, or nobody reads it, an estimate would only compete.
        if self.session.runner.current is not None or self.isHidden():
            return
        sections = [snapshot(item.section) for item in self.asked.items()]
        if sections:
            self._estimator.start(cost_of, self.method, sections, self.params())

    @slot
    def _on_estimate(self, found: dict[str, Any]) -> None:
        need, free = human(found["peak_bytes"]), human(found["free_bytes"])
        if found["peak_bytes"] > found["free_bytes"]:
            self._obstacle = (
                f"The run would take about {need} of memory, {free} are free: lower Tile size or "
                "the widths, or close other programs."
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

    def _recipe(self) -> Recipe:
        items = self.asked.items()
        return Recipe(
            method=self.method,
            key=self.key.text().strip(),
            sections=[item.section for item in items],
            labels=[item.label for item in items],
            joint=self.joint_params(),
            params=self.params(),
            poses=self.asked.alignments() if self.asked.by_hand() else None,
            gaps=self.asked.gaps(),
            accept_poor=self.asked.accepted(),
        )

    @slot
    def _on_python(self) -> None:
        copy_text(as_python(self._recipe()))

    @slot
    def _on_command(self) -> None:
        copy_text(as_command(self._recipe()))
