"""A form for any parameter model, derived from its description."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ..core.errors import ParameterError
from ..core.params import FieldInfo, Params, describe
from ..core.section import Section
from . import settings
from .encoder_field import CONSENT, EncoderField
from .fields import NoWheel, PathField
from .guard import slot
from .idle_fields import idle_fields
from .image_fields import uses_image
from .parts import Fold, narrow_combo

__all__ = ["ParamsForm"]

_AUTOMATIC = "automatic"
"""What a number that may be missing shows without one."""
_OPTIONAL = "stmask_optional"
"""Property of a text that may be missing; without it an empty text is a text."""


class _Number(QDoubleSpinBox):
    """A spin box that shows 0.001 as 0.001, whatever its precision."""

    def textFromValue(self, value: float) -> str:
        """Shortest text of the number."""
        return self.locale().toString(value, "g", 10)


class _MaybeWhole(QSpinBox):
    """A whole number, or none: one below the least one reads *automatic*."""

    def value(self) -> Any:
        """The number, or None."""
        found = super().value()
        return None if found == self.minimum() else found

    def setValue(self, value: Any) -> None:
        """Show a number or none."""
        super().setValue(self.minimum() if value is None else value)


class _MaybeNumber(_Number):
    """A positive number, or none: 0 reads *automatic*."""

    def value(self) -> Any:
        """The number, or None."""
        return super().value() or None

    def setValue(self, value: Any) -> None:
        """Show a number or none."""
        super().setValue(0.0 if value is None else value)


class ParamsForm(QWidget):
    """Fields of one parameter model, advanced ones folded; ``changed`` on every edit."""

    changed = Signal()

    def __init__(self, model: type[Params], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.fields: dict[str, QWidget] = {}
        self.problem: str = ""
        self._infos = {info.name: info for info in describe(model)}
        self._no_wheel = NoWheel(self)
        self._filling = False
        self._section: Section | None = None
        self._encoder: EncoderField | None = None
        self.idle: dict[str, str] = {}
        self._fixed: Mapping[str, str] = {}
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(6)
        self._main, self._more = _form(), _form()
        outer.addLayout(self._main)
        for info in self._infos.values():
            self._add(info)
        inner = QWidget()
        inner.setLayout(self._more)
        self.fold = Fold("Advanced", inner)
        self.fold.setVisible(self._more.rowCount() > 0)
        outer.addWidget(self.fold)
        self.note = QLabel()
        self.note.setTextFormat(Qt.TextFormat.PlainText)
        self.note.setWordWrap(True)
        self.note.setObjectName("stmask_problem")
        self.note.hide()
        outer.addWidget(self.note)
        # The defaults are nobody's edits.
        self._filled = self.values()

    def tab_stops(self) -> list[QWidget]:
        """Widgets in the order in which Tab should reach them."""
        main: list[QWidget] = []
        more: list[QWidget] = []
        for name, widget in self.fields.items():
            if isinstance(widget, EncoderField):
                main += widget.tab_stops()
            elif not (self._encoder is not None and widget is self._encoder.consent):
                (more if self._infos[name].advanced else main).append(widget)
        return [*main, self.fold.toggleButton(), *more]

    def show_section(self, section: Section | None) -> None:
        """The section that a run would be on: some fields depend on what it has."""
        self._section = section
        if self._encoder is not None:
            self._encoder.show_section(section)
        self._grey()

    def fix(self, reasons: Mapping[str, str]) -> None:
        """Grey fields that do not count as things stand, by name with the reason."""
        self._fixed = dict(reasons)
        self._grey()

    def leave_out(self, names: Collection[str]) -> None:
        """Hide fields that stand elsewhere; they keep their values."""
        for name in names:
            widget = self.fields[name]
            for layout in (self._main, self._more):
                label = layout.labelForField(widget)
                if label is not None:
                    label.hide()
            widget.hide()

    def values(self) -> dict[str, Any]:
        """What the fields hold, by name."""
        return {name: _read(widget) for name, widget in self.fields.items()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Fill fields; those that are not named keep what they hold."""
        self._filling = True
        try:
            # In the order of the fields: a consent is about the encoder that is set before it.
            for name, widget in self.fields.items():
                if name in values:
                    _write(widget, values[name])
        finally:
            self._filling = False
        self._on_edit()

    def reset(self, values: Mapping[str, Any]) -> None:
        """Fill all fields: ``values`` on top of the defaults."""
        self.set_values({n: i.default for n, i in self._infos.items()} | dict(values))

    def fill(self, preset: str, platform: str, *, keep_edits: bool = False) -> None:
        """Fill all fields from a preset for ``platform`` and the plugin's settings.

        With ``keep_edits`` fields that were changed since the last time keep what they hold.
        """
        edits = {n: v for n, v in self.values().items() if v != self._filled.get(n)}
        chosen = {k: v for k, v in settings.compute().items() if k in self.fields}
        self.reset(chosen | self.model.preset_values(preset, platform))
        self._filled = self.values()
        if keep_edits and edits:
            self.set_values(edits)

    def params(self) -> Params:
        """The validated parameters.

        Raises
        ------
        ParameterError
            On the first field that is out of bounds.
        """
        return self.model.checked(**self.values())

    def check(self, extra: str = "") -> bool:
        """Whether the fields are valid; the first problem, or ``extra``, is shown below them."""
        try:
            self.params()
            self.problem = extra or self._encoder_problem()
        except ParameterError as error:
            name = error.problem.split(" = ")[0]
            title = self._infos[name].title if name in self._infos else name
            # The encoder's input says what to choose there, not how to write it as a text.
            own = self._encoder_problem() if name == "image_encoder" else self._file_problem()
            self.problem = own or f"{title}: {error.remedy}."
        self.note.setText(f"\u26a0 {self.problem}" if self.problem else "")
        self.note.setVisible(bool(self.problem))
        return not self.problem

    def _encoder_problem(self) -> str:
        if self._encoder is None or not uses_image(self.values(), self._section):
            return ""
        return self._encoder.problem()

    def _file_problem(self) -> str:
        """Which file that counts is not chosen yet."""
        for name, widget in self.fields.items():
            if isinstance(widget, PathField) and name not in self.idle and not widget.value():
                return f"{self._infos[name].title}: choose a file."
        return ""

    def _add(self, info: FieldInfo) -> None:
        own = self._encoder if info.name == CONSENT else None
        widget = own.consent if own is not None else self._widget(info)
        widget.setObjectName(f"stmask_param_{info.name}")
        widget.setToolTip(_tooltip(info))
        widget.setAccessibleName(info.title)
        widget.setAccessibleDescription(info.description)
        widget.installEventFilter(self._no_wheel)
        if own is not None:
            # It stands below the encoder, which also says that it was clicked.
            self.fields[info.name] = widget
            return
        if not isinstance(widget, QCheckBox):
            widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.fields[info.name] = widget
        _write(widget, info.default)
        _connect(widget, self._on_edit)
        layout = self._more if info.advanced else self._main
        if isinstance(widget, QCheckBox):
            widget.setText(info.title)
            layout.addRow(widget)
            return
        label = QLabel(info.title)
        label.setToolTip(widget.toolTip())
        label.setBuddy(widget)
        layout.addRow(label, widget)
        if isinstance(widget, EncoderField):
            self._encoder = widget
            layout.addRow(widget.details)

    def _widget(self, info: FieldInfo) -> QWidget:
        if info.editor == "encoder":
            return EncoderField(getattr(self.model, "OWN_ENCODERS", ()))
        if info.editor == "file":
            return PathField(info.title, "All files (*)", info.description)
        return _widget(info)

    @slot
    def _on_edit(self) -> None:
        if self._filling:
            return
        automatic, number = self.fields.get("auto_domains"), self.fields.get("n_domains")
        if isinstance(automatic, QCheckBox) and number is not None:
            number.setEnabled(not automatic.isChecked())
        self._grey()
        self.check()
        self.changed.emit()

    def _grey(self) -> None:
        """Disable fields that would change nothing, and say why."""
        before = self.idle
        self.idle = {**idle_fields(self.values(), self._section), **self._fixed}
        for name in {*before, *self.idle}:
            widget, reason = self.fields[name], self.idle.get(name, "")
            widget.setEnabled(not reason)
            widget.setToolTip(f"{reason} {_tooltip(self._infos[name])}".strip())
        if self._encoder is not None:
            # A consent or a path says nothing where the run would not look at the image.
            self._encoder.details.setEnabled(uses_image(self.values(), self._section))


def _form() -> QFormLayout:
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
    return layout


def _widget(info: FieldInfo) -> QWidget:
    """The input for one field; bounds are those of the model."""
    if info.kind == "bool":
        return QCheckBox()
    if info.kind == "choice":
        combo = QComboBox()
        combo.addItems(list(info.choices))
        return narrow_combo(combo)
    if info.kind == "int":
        whole = _MaybeWhole() if info.optional else QSpinBox()
        least = int(info.minimum or 0) - info.optional
        whole.setRange(least, int(min(info.maximum or 2**31 - 1, 2**31 - 1)))
        whole.setSpecialValueText(_AUTOMATIC if info.optional else "")
        return _narrow(whole)
    if info.kind == "float":
        number = _MaybeNumber() if info.optional else _Number()
        number.setSpecialValueText(_AUTOMATIC if info.optional else "")
        number.setDecimals(10)
        number.setRange(
            0.0 if info.minimum is None or info.optional else info.minimum,
            1e12 if info.maximum is None else info.maximum,
        )
        number.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        return _narrow(number)
    line = QLineEdit()
    line.setProperty(_OPTIONAL, info.optional)
    return line


def _narrow(widget: QWidget) -> QWidget:
    """Free to shrink: the largest number that fits must not widen the dock."""
    widget.setMinimumWidth(70)
    widget.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return widget


def _tooltip(info: FieldInfo) -> str:
    text = info.description
    if info.minimum is not None and info.maximum is not None:
        text += f" From {info.minimum:g} to {info.maximum:g}."
    default = {True: "on", False: "off"}.get(info.default) if info.kind == "bool" else info.default
    if info.optional and default is None:
        default = _AUTOMATIC
    return f"{text} Default: {default}."


def _connect(widget: QWidget, receiver: Any) -> None:
    if isinstance(widget, QCheckBox):
        widget.toggled.connect(receiver)
    elif isinstance(widget, EncoderField | PathField):
        widget.changed.connect(receiver)
    elif isinstance(widget, QComboBox):
        widget.currentIndexChanged.connect(receiver)
    elif isinstance(widget, QLineEdit):
        widget.textChanged.connect(receiver)
    else:
        widget.valueChanged.connect(receiver)


def _read(widget: QWidget) -> Any:
    if isinstance(widget, QCheckBox):
        return widget.isChecked()
    if isinstance(widget, EncoderField):
        return widget.value()
    if isinstance(widget, PathField):
        # A path that is greyed out is kept for later, and is no part of the parameters.
        return (widget.value() or "") if widget.isEnabledTo(widget.parentWidget()) else ""
    if isinstance(widget, QComboBox):
        return widget.currentText()
    if isinstance(widget, QLineEdit):
        return widget.text() or (None if widget.property(_OPTIONAL) else "")
    return widget.value()


def _write(widget: QWidget, value: Any) -> None:
    if isinstance(widget, QCheckBox):
        widget.setChecked(bool(value))
    elif isinstance(widget, EncoderField | PathField):
        widget.set_value(value)
    elif isinstance(widget, QComboBox):
        widget.setCurrentIndex(max(0, widget.findText(str(value))))
    elif isinstance(widget, QLineEdit):
        widget.setText("" if value is None else str(value))
    else:
        widget.setValue(value)
