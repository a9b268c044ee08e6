"""What the forms have in common that start a run from inside a dock."""

from __future__ import annotations

from typing import Any, ClassVar

from qtpy.QtCore import Signal
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
from .fields import make_button
from .form import ParamsForm
from .guard import slot
from .parts import narrow_combo
from .run_estimate import RunEstimate
from .session import Session

__all__ = ["RunForm"]


class RunForm(QWidget):
    """Preset, name, estimate, Run and the run as text; ``started`` when a run is in the queue.

    The part gives ``form`` with the parameters, and says where it all lies.
    """

    started = Signal()

    RUN: ClassVar[str]
    """Text of the button."""
    TIP: ClassVar[str]
    """What the button does."""
    LOWER: ClassVar[str]
    """What the user can lower where the memory does not suffice."""

    form: ParamsForm

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._estimator = RunEstimate(self, self.LOWER)
        self._estimator.wanted.connect(self._estimate)
        self._estimator.hindered.connect(self.check)
        self.cost = self._estimator.cost

    def _build_choices(
        self, first: tuple[str, QWidget], preset_tip: str, key_tip: str
    ) -> QFormLayout:
        """Rows with what comes first, by its label, the preset, and the name of the result."""
        self.presets = narrow_combo(QComboBox())
        self.presets.setAccessibleName("Preset")
        self.presets.setToolTip(preset_tip)
        self.presets.activated.connect(self._on_preset)
        self.key = QLineEdit()
        self.key.setAccessibleName("Result name")
        self.key.setToolTip(key_tip)
        top = QFormLayout()
        top.setSpacing(6)
        top.addRow(*first)
        top.addRow("Preset", self.presets)
        top.addRow("Result name", self.key)
        return top

    def _build_actions(self, layout: QVBoxLayout, name: str) -> None:
        """Estimate, Run (whose object is called ``name``), and the run as text."""
        layout.addWidget(self.cost)
        self.run = QPushButton(self.RUN)
        self.run.setObjectName(name)
        self.run.clicked.connect(self.start)
        self.key.textChanged.connect(self.check)
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
        return self._estimator.busy or self._estimator.waiting

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

    def left(self) -> None:
        """The dock goes away."""
        self._estimator.left()

    def _allow(self, reason: str, missing: str, *, seen: bool) -> bool:
        """Enable the buttons, or say why not; whether a run can start.

        Parameters
        ----------
        reason
            Why a run cannot start; empty where it can.
        missing
            Why it cannot be put as text.
        seen
            Whether the form shows ``reason`` itself.
        """
        waits = self.session.runner.current is not None
        self.run.setText(self.RUN if not waits else "Add to the queue")
        self.run.setEnabled(not reason)
        self.run.setToolTip(reason or self.TIP)
        missing = reason or missing
        for button, what in ((self.python, "a script"), (self.command, "the command line")):
            button.setEnabled(not missing)
            button.setToolTip(missing or f"Put {what} that makes this run on the clipboard.")
        self._estimator.show_reason(reason, seen=seen)
        return not reason

    @slot
    def _on_preset(self) -> None:
        self._fill()

    @slot
    def _on_edit(self) -> None:
        # An answer that is still awaited is about other values.
        self._estimator.forget()
        self.check()

    def _fill(self, *, keep_edits: bool = False) -> None:
        """Fill the form from the preset."""
        raise NotImplementedError

    def check(self) -> Any:
        """Enable the buttons, or say why not; whether a run can start."""
        raise NotImplementedError

    def start(self) -> Any:
        """Run now, or after the runs that wait."""
        raise NotImplementedError

    def _estimate(self) -> Any:
        """Start an estimate, if it is of use now."""
        raise NotImplementedError

    def _on_python(self) -> Any:
        raise NotImplementedError

    def _on_command(self) -> Any:
        raise NotImplementedError
