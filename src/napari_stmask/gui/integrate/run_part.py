"""Method, parameters, estimate and run of an integration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from qtpy.QtWidgets import QComboBox, QVBoxLayout

from ...core.joint import JointParams
from ...features.alignment import Alignment
from ...models import params_of
from ..analyse.charts import titled
from ..background import Background
from ..checks import conflict, name_problem
from ..export import snapshot
from ..fields import fill_presets
from ..form import ParamsForm
from ..guard import Failure, slot
from ..model import TITLES, Item
from ..parts import copy_text, narrow_combo
from ..run_form import RunForm
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


class RunPart(RunForm):
    """Runs a method over all chosen sections."""

    RUN = "Integrate"
    TIP = "Run the method over all sections; the window stays usable."
    LOWER = "Tile size or the widths"

    def __init__(self, asked: Asked, fail: Callable[[Failure], None]) -> None:
        super().__init__(asked.session)
        self.asked = asked
        self._fail = fail
        self._finder = Background(self)
        self._finder.done.connect(self._on_methods)
        self._finder.failed.connect(self.show_failure)
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
        top = self._build_choices(
            ("Method", self.methods),
            "Fills the fields of the method; edit them afterwards as you like.",
            "Column of obs of every section that receives the domains; a result of the same name "
            "is replaced.",
        )
        layout.addLayout(top)
        layout.addWidget(titled("Across sections"))
        self.joint = ParamsForm(JointParams)
        self.joint.leave_out(_ELSEWHERE)
        self.joint.changed.connect(self._on_edit)
        layout.addWidget(self.joint)
        layout.addWidget(titled("Method"))
        self._place = QVBoxLayout()
        layout.addLayout(self._place)
        self._build_actions(layout, "stmask_integrate")

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

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong in the strip of the dock."""
        self._fail(failure)

    def left(self) -> None:
        """The dock goes away."""
        super().left()
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
        before = getattr(self, "form", None)
        if before is not None:
            before.setParent(None)
            before.deleteLater()
        self.form = ParamsForm(model)
        self.form.changed.connect(self._on_edit)
        self._place.addWidget(self.form)
        fill_presets(self.presets, model)
        self.key.setText(self.method)
        self._fill()

    def _fill(self, *, keep_edits: bool = False) -> None:
        items = self.asked.items()
        section = items[0].section if items else None
        platform = section.platform if section is not None else "unknown"
        self.form.show_section(section)
        name = str(self.presets.currentData())
        # Longer than for a single section.
        preset = "several" if name == "recommended" else name
        self.form.fill(preset, platform, keep_edits=keep_edits)
        self._on_edit()

    def _reason(self) -> str:
        """Why there can be no run; empty where there can be one."""
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
        return self._estimator.obstacle

    @slot
    def check(self) -> bool:
        """Enable the button, or say why not; estimate a little later."""
        self.joint.fix(idle_joint_fields(self.joint.values() | self.asked.joint_values()))
        items = self.asked.items()
        problems = (conflict(self.form.values(), item) for item in items)
        self.form.check(next((p for p in problems if p), ""))
        reason = self._reason()
        own = reason in (self.form.problem, self.joint.problem)
        return self._allow(reason, self._unsaved(items), seen=own)

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
