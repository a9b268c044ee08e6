"""The form: every field, presets, validation."""

from __future__ import annotations

import pytest
from pydantic import Field
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox

from napari_stmask.core.params import Params, describe
from napari_stmask.gui.form import ParamsForm
from napari_stmask.models import available, params_of


@pytest.fixture(params=available())
def model(request):
    return params_of(request.param)


@pytest.fixture
def form(model, qtbot):
    form = ParamsForm(model)
    qtbot.addWidget(form)
    return form


def other_value(info):
    """A valid value that is not the default."""
    if info.kind == "bool":
        return not info.default
    if info.kind == "choice":
        return next(c for c in info.choices if c != info.default)
    if info.editor == "encoder":
        return "obsm:X_image"
    if info.kind == "text":
        return "other"
    bounds = [info.maximum, info.minimum]
    if info.kind == "float":
        middle = (info.minimum + info.maximum) / 2
        return middle if middle != info.default else info.minimum + (middle - info.minimum) / 3
    return int(next(b for b in bounds if b is not None and b != info.default and b < 2**31))


def test_defaults(form, model):
    assert form.params() == model()


def test_every_field_round_trips(form, model):
    for info in describe(model):
        value = other_value(info)
        form.set_values({info.name: value})
        expected = pytest.approx(value) if info.kind == "float" else value
        assert form.values()[info.name] == expected, info.name
        assert form.values()[info.name] != info.default, info.name
    model.checked(**form.values())


def test_every_field_explains_itself(form, model):
    for info in describe(model):
        widget = form.fields[info.name]
        assert info.description in widget.toolTip()
        assert widget.accessibleName() == info.title
        assert isinstance(widget, QCheckBox) == (info.kind == "bool")


def test_only_the_encoder_has_an_input_of_its_own():
    infos = {i.name: i.editor for name in available() for i in describe(params_of(name))}
    assert {name for name, editor in infos.items() if editor} == {"image_encoder"}
    assert infos["image_encoder"] == "encoder"


def test_presets(form, model):
    for name in model.PRESETS:
        form.reset(model.preset_values(name))
        assert form.params() == model.preset(name)
    form.reset({})
    assert form.params() == model()


def test_advanced_fields_are_folded(form, model, qtbot):
    form.show()
    assert not form.fold.isExpanded()
    advanced = [i.name for i in describe(model) if i.advanced]
    assert advanced
    assert form.fold.content().maximumHeight() == 0
    assert form.fields["n_domains"].isVisibleTo(form)


def test_automatic_number_greys_the_number(form):
    form.fields["auto_domains"].setChecked(True)
    assert not form.fields["n_domains"].isEnabled()


class Odd(Params):
    rate: float = Field(0.5, gt=0, le=1, title="Rate", description="A rate.")
    text: str = Field("a", min_length=1, title="Text", description="A text.")


def test_invalid_values_are_told_in_place(qtbot):
    form = ParamsForm(Odd)
    qtbot.addWidget(form)
    form.show()
    with qtbot.waitSignal(form.changed):
        form.fields["rate"].setValue(0)
    assert form.problem.startswith("Rate: use a number from 0 to 1")
    assert form.note.isVisible()
    form.fields["rate"].setValue(0.25)
    assert not form.problem
    assert not form.note.isVisible()


@pytest.mark.parametrize("value", [1e-3, 2e-4, 0.5, 123.25])
def test_small_numbers_are_shown_short(qtbot, value):
    form = ParamsForm(Odd)
    qtbot.addWidget(form)
    box = form.fields["rate"]
    assert isinstance(box, QDoubleSpinBox)
    assert float(box.textFromValue(value)) == value
    assert len(box.textFromValue(value)) <= 6
