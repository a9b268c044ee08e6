"""The form over the parameters of SpaHGC: files, greyed fields, settings of a trained model."""

from __future__ import annotations

import pytest

from napari_stmask.gui.form import ParamsForm
from napari_stmask.models import params_of
from napari_stmask.models.spahgc.params import RELEASE_IGNORES


@pytest.fixture
def form(qtbot, section, no_threads_left):
    form = ParamsForm(params_of("spahgc"))
    qtbot.addWidget(form)
    form.show_section(section)
    return form


def test_it_gives_the_defaults(form):
    assert form.params() == params_of("spahgc")()


@pytest.mark.parametrize("preset", [*params_of("spahgc").PRESETS, "recommended"])
def test_presets_go_through_the_form(form, preset):
    model = params_of("spahgc")
    form.reset(model.preset_values(preset, "st"))
    assert form.check(), form.problem
    assert form.params() == model.preset(preset, "st")


def test_a_list_of_genes_is_a_file(form):
    path, number = form.fields["gene_list"], form.fields["n_genes"]
    assert not path.isEnabled()
    form.set_values({"panel": "list"})
    assert path.isEnabled()
    assert not number.isEnabled()
    assert form.problem == "Gene list: choose a file."
    path.line.setText("/tmp/genes.txt")
    assert not form.problem
    assert form.params().gene_list == "/tmp/genes.txt"
    # Back again: the path waits, and is no part of the parameters.
    form.set_values({"panel": "hvg"})
    assert form.params().gene_list == ""
    assert path.value() == "/tmp/genes.txt"
    form.set_values({"panel": "list"})
    assert form.params().gene_list == "/tmp/genes.txt"


def test_the_released_form_leaves_no_choice(form):
    form.set_values({"mode": "release"})
    assert all(not form.fields[name].isEnabled() for name in RELEASE_IGNORES)
    assert "released form" in form.fields["calibrate"].toolTip()
    form.set_values({"mode": "improved"})
    assert all(form.fields[name].isEnabled() for name in RELEASE_IGNORES)


def test_finished_features_need_no_patches(form, section):
    section.adata.obsm["uni"] = section.coords
    form.show_section(section)
    form.set_values({"image_encoder": "obsm:uni"})
    assert {"patch_size", "patch_unit", "n_scales", "stain"} <= set(form.idle)


def test_fields_that_a_trained_model_brings(form):
    form.fix({"epochs": "The model brings its own.", "hidden": "The model brings its own."})
    assert not form.fields["epochs"].isEnabled()
    assert form.fields["hidden"].toolTip().startswith("The model brings its own.")
    assert form.fields["uncertainty"].isEnabled()
    form.fix({})
    assert form.fields["epochs"].isEnabled()
    assert "brings" not in form.fields["epochs"].toolTip()
