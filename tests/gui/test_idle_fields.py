"""Fields of MMSRL that would change nothing are grey and say why; the others are free."""

from __future__ import annotations

import pytest

from napari_stmask.features.encoders import KNOWN
from napari_stmask.gui.form import ParamsForm
from napari_stmask.gui.idle_fields import idle_fields
from napari_stmask.models import available, params_of
from napari_stmask.models.image_params import ImageParams


@pytest.fixture
def form(qtbot, section, no_threads_left):
    form = ParamsForm(params_of("mmsrl"))
    qtbot.addWidget(form)
    form.show_section(section)
    return form


@pytest.mark.parametrize(
    ("values", "idle", "free"),
    [
        ({}, {"granularity", "landmarks", "decoder_epochs", "enhanced_as"}, {"exact_up_to"}),
        ({"auto_domains": True}, set(), {"granularity"}),
        ({"denoise": True}, set(), {"decoder_epochs", "enhanced_as", "enhanced_zeros"}),
        ({"attention": "none"}, {"landmarks", "exact_up_to"}, set()),
        ({"attention": "exact"}, {"landmarks", "exact_up_to"}, set()),
        ({"attention": "landmarks"}, {"exact_up_to"}, {"landmarks"}),
        ({"exact_up_to": 100}, set(), {"landmarks", "exact_up_to"}),
        (
            {"loss_contrast": 0.0},
            {"contrast_temperature", "contrast_from", "contrast_every"},
            {"loss_contrast"},
        ),
        (
            {"use_image": "no"},
            {"loss_consistency", "compare_views", "n_pcs_image", "image_encoder"},
            {"use_image", "loss_mask"},
        ),
        (
            {"mode": "reference"},
            {"attention", "landmarks", "activation", "latent", "loss_contrast", "decoded_spots"},
            {"mode", "hidden", "epochs", "loss_zinb"},
        ),
    ],
)
def test_what_a_choice_makes_idle(form, values, idle, free):
    form.set_values(values)
    for name in idle:
        assert not form.fields[name].isEnabled(), name
        assert form.fields[name].toolTip().startswith(form.idle[name])
    for name in free:
        assert form.fields[name].isEnabled(), name
        assert name not in form.idle
    assert form.check(), form.problem


def test_the_window_and_the_method_agree_on_what_the_released_form_ignores():
    """The run notes fields that were changed in vain; the window has greyed these before."""
    from napari_stmask.core.params import describe
    from napari_stmask.models.mmsrl.reference import notes_of

    model = params_of("mmsrl")
    base = {info.name: info.default for info in describe(model)} | {
        "mode": "reference",
        "denoise": True,
        "auto_domains": True,
        "hidden": 32,
    }
    grey = idle_fields(base, None)
    for info in describe(model):
        if info.kind == "choice":
            value = info.choices[-1]
        elif info.kind in ("int", "float"):
            value = type(info.default)(info.minimum)
        elif info.kind == "bool":
            value = not info.default
        else:
            continue
        if info.name in ("mode", "hidden", "loss_contrast"):  # its 0 is what the form does
            continue
        said = " ".join(notes_of(model.checked(**(base | {info.name: value})), 1000))
        noted = info.name in said.replace(",", " ").replace(".", " ").split()
        assert noted == (info.name in grey), info.name


def test_a_field_comes_back(form):
    form.set_values({"loss_contrast": 0.0})
    form.set_values({"loss_contrast": 0.2})
    assert form.fields["contrast_every"].isEnabled()
    assert "0" not in form.idle.get("contrast_every", "")


@pytest.mark.parametrize("method", ["spamask", "vimst"])
def test_other_methods_keep_their_fields(method):
    model = params_of(method)
    values = {name: field.default for name, field in model.model_fields.items()}
    theirs = set(params_of("mmsrl").model_fields) - set(model.model_fields)
    assert not theirs & set(idle_fields(values, None))


@pytest.mark.parametrize("method", available())
def test_the_spot_transformer_is_offered_by_its_methods_only(qtbot, method):
    model = params_of(method)
    if not issubclass(model, ImageParams):
        pytest.skip("the method reads no image")
    form = ParamsForm(model)
    qtbot.addWidget(form)
    combo = form.fields["image_encoder"]
    kinds = [combo.itemData(row) for row in range(combo.count())]
    assert ("transformer" in kinds) == ("transformer" in model.OWN_ENCODERS)
    assert len(kinds) == 6 + len(KNOWN) + ("transformer" in kinds)
    # Whatever is offered can be chosen without a word of refusal about its name.
    for kind in ("descriptor", *model.OWN_ENCODERS):
        form.set_values({"image_encoder": kind})
        assert form.check(), form.problem


def test_a_foreign_encoder_is_refused_in_a_sentence(form):
    form.set_values({"image_encoder": "transformer"})
    assert not form.check()
    assert "Image encoder" in form.problem
