"""The form of SpaCEX: numbers that may be missing, fields that change nothing."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_stmask.gui.form import ParamsForm
from napari_stmask.models import params_of


@pytest.fixture
def form(qtbot):
    form = ParamsForm(params_of("spacex"))
    qtbot.addWidget(form)
    return form


@pytest.mark.parametrize(
    ("name", "value", "least"), [("gene_modules", 12, 2), ("pixel_size", 0.5, None), ("tile", 4, 1)]
)
def test_a_number_may_be_missing(form, qtbot, name, value, least):
    widget = form.fields[name]
    assert widget.value() is None
    assert widget.text() == "automatic"
    assert getattr(form.params(), name) is None
    form.set_values({name: value})
    assert getattr(form.params(), name) == value
    form.set_values({name: None})
    assert getattr(form.params(), name) is None
    if least is not None:
        # One step up from "automatic" is the least number.
        qtbot.keyClick(widget, Qt.Key.Key_Up)
        assert form.params().model_dump()[name] == least
    assert not form.problem


def test_an_empty_text_is_a_text(form):
    assert form.params().keep_genes == ""
    form.set_values({"keep_genes": "MBP, GFAP"})
    assert form.params().keep_genes == "MBP, GFAP"


def test_presets_follow_the_platform(form):
    form.fill("recommended", "st")
    assert form.params() == params_of("spacex").preset("st")
    form.fill("recommended", "visium")
    assert form.params() == params_of("spacex").preset("visium")
    form.fill("original", "visium")
    assert form.params().gene_modules == 500


@pytest.mark.parametrize(
    ("values", "idle", "free"),
    [
        ({}, {"alpha"}, {"prior", "svg_null", "gene_fraction", "embed_dim"}),
        ({"svg_draws": 0}, {"svg_null"}, {"svg_draws"}),
        ({"domains_from": "scores"}, {"gene_fraction"}, set()),
        ({"mixture": "t_kernel"}, {"prior"}, {"alpha"}),
        ({"head": "none"}, {"embed_dim"}, {"n_linear"}),
        ({"epochs_cluster": 0}, {"cluster_weight", "batch_cluster"}, {"batch"}),
        ({"loss_weights": "learned"}, {"cluster_weight", "size_weight"}, {"loss_weights"}),
    ],
)
def test_fields_that_change_nothing_are_grey(form, values, idle, free):
    form.set_values(values)
    assert idle <= set(form.idle)
    assert not free & set(form.idle)
    for name in idle:
        assert not form.fields[name].isEnabled()
        assert form.idle[name] in form.fields[name].toolTip()
