"""The form that finds gene modules, its estimate and its run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from qtpy.QtWidgets import QVBoxLayout

from ...core.provenance import as_command, as_python
from ...models import params_of
from ..checks import conflict, missing_source, name_problem
from ..estimate import facts
from ..fields import fill_presets
from ..form import ParamsForm
from ..guard import slot
from ..model import TITLES, Item
from ..parts import SectionCombo, copy_text
from ..run_form import RunForm
from ..runner import Job
from ..session import Session

__all__ = ["METHOD", "GenesJob", "RunPart"]

METHOD = "spacex"


@dataclass(eq=False)
class GenesJob(Job):
    """A run that was asked for in this dock, which shows what it found."""

    OPENS: ClassVar[str] = "Gene modules"


class RunPart(RunForm):
    """Runs SpaCEX on the selected section.

    Attributes
    ----------
    seen
        Whether the form is unfolded.
    """

    RUN = "Find gene modules"
    TIP = "Run SpaCEX on the section; the window stays usable."
    LOWER = "the number of genes or Largest side"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.seen = False
        self._build()
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
        top = self._build_choices(
            ("Section", self.combo),
            "Fills all fields; edit them afterwards as you like.",
            "Name of the run; a result of the same name is replaced.",
        )
        fill_presets(self.presets, params_of(METHOD))
        self.key.setText(METHOD)
        layout.addLayout(top)
        self.form = ParamsForm(params_of(METHOD))
        self.form.changed.connect(self._on_edit)
        layout.addWidget(self.form)
        self._build_actions(layout, "stmask_genes")

    @property
    def item(self) -> Item | None:
        """The section that a run would be on."""
        return self.session.selected

    def show_cost(self, seen: bool) -> None:
        """Whether the form is unfolded: else nobody reads an estimate."""
        self.seen = seen
        self.check()

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

    def _fill(self, *, keep_edits: bool = False) -> None:
        platform = self.item.section.platform if self.item is not None else "unknown"
        self.form.fill(str(self.presets.currentData()), platform, keep_edits=keep_edits)
        self._on_edit()

    def _reason(self) -> str:
        item = self.item
        if item is None:
            return "No section is open: open one in the dock Open tissue."
        return (
            self.form.problem
            or name_problem(self.key.text().strip(), item)
            or self._estimator.obstacle
        )

    @slot
    def check(self) -> bool:
        """Enable the button, or say why not; estimate a little later."""
        self.form.check(conflict(self.form.values(), self.item))
        reason = self._reason()
        return self._allow(reason, missing_source(self.item), seen=reason == self.form.problem)

    @slot
    def _estimate(self) -> None:
        # While a run computes, an estimate would only compete with it.
        if self.item is not None and self.session.runner.current is None and self.seen:
            self._estimator.start(facts, METHOD, self.item.section, self.params())

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
