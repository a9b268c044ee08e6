"""The encoder's input: every kind there and back, its card, its licence; nothing is fetched."""

from __future__ import annotations

import json
import socket

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_stmask.features.encoders import KNOWN
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.encoder_field import numeric_tables
from napari_stmask.gui.form import ParamsForm
from napari_stmask.gui.session import session_of
from napari_stmask.models import params_of

SPECS = [
    "descriptor",
    "transformer",
    "obsm:X_image",
    "file:features.npy",
    "onnx:net.onnx",
    "torchscript:net.pt",
    "transformers:folder",
    "timm:vit_small_patch16_224@weights.safetensors",
    *(f"hub:{name}" for name in KNOWN),
]


@pytest.fixture
def viewer(make_napari_viewer, no_threads_left):
    return make_napari_viewer()


@pytest.fixture
def form(qtbot, no_threads_left):
    form = ParamsForm(params_of("vimst"))
    qtbot.addWidget(form)
    return form


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to reach another machine fails the test."""
    tried = []

    def refuse(*address, **_):
        tried.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not tried


@pytest.fixture
def find(viewer, section):
    """The dock with ViMST chosen, on a section with an image and a table of features."""
    find = open_dock(viewer, "Find domains")
    section.adata.obsm["X_image"] = np.zeros((section.n_spots, 5), np.float32)
    session_of(viewer).add(section)
    choose(find.methods, "vimst")
    return find


def choose(combo, data):
    """As a user: with the keyboard or the mouse, so that ``activated`` is said."""
    combo.setCurrentIndex(combo.findData(data))
    combo.activated.emit(combo.currentIndex())


def click(qtbot, button):
    assert button.isEnabled(), button.toolTip()
    # A check box reacts at its mark, not in the middle of a wide row.
    at = button.rect().center()
    at.setX(8)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=at)


def described(qtbot, field):
    qtbot.waitUntil(lambda: not field._reader.busy and not field._later.isActive(), timeout=10_000)


@pytest.mark.parametrize("spec", SPECS)
def test_every_kind_round_trips(form, spec):
    form.set_values({"image_encoder": spec})
    assert form.values()["image_encoder"] == spec
    assert form.params().image_encoder == spec
    form.reset({})
    assert form.values()["image_encoder"] == "descriptor"


def test_presets_set_the_encoder(form):
    form.reset(form.model.preset_values("paper"))
    assert form.values()["image_encoder"] == "transformer"
    assert "offline" in form.fields["image_encoder"].card.text()
    assert form.params() == form.model.preset("paper")


def test_the_list_names_every_published_encoder(form):
    field = form.fields["image_encoder"]
    data = [field.itemData(i) for i in range(field.count())]
    assert [d for d in data if d.startswith("hub:")] == [f"hub:{name}" for name in KNOWN]


@pytest.mark.parametrize("name", KNOWN)
def test_the_card_says_what_the_publisher_says(form, qtbot, name, no_network):
    entry = KNOWN[name]
    field = form.fields["image_encoder"]
    choose(field, f"hub:{name}")
    described(qtbot, field)
    card = field.card.text()
    assert field.card.textFormat() == Qt.TextFormat.PlainText
    assert card.startswith(entry.title)
    assert f"{entry.dim:,} numbers" in card
    assert f"{entry.input_px} px" in card
    assert f"Licence: {entry.licence}" in card
    assert ("granted" in card) == entry.gated
    assert entry.licence in " ".join(field.consent.text().split())


def test_consent(find, qtbot, no_network):
    form = find.form
    field = form.fields["image_encoder"]
    assert find.run.isEnabled()
    assert field.consent is form.fields["accept_licence"]
    assert not field.consent.isVisibleTo(form)
    choose(field, "hub:uni2-h")
    # At once, before anything was described.
    assert not find.run.isEnabled()
    assert "licence" in find.run.toolTip()
    described(qtbot, field)
    assert not find.run.isEnabled()
    assert not find.python.isEnabled()
    assert field.consent.isVisibleTo(form)
    click(qtbot, field.consent)
    assert find.run.isEnabled()
    assert form.params().accept_licence
    find.session.selected.section.source = "a.h5ad"
    find._check()
    click(qtbot, find.python)
    text = QApplication.clipboard().text()
    assert "image_encoder='hub:uni2-h'" in text
    assert "accept_licence=True" in text
    click(qtbot, find.command)
    text = QApplication.clipboard().text()
    assert "--image-encoder hub:uni2-h" in text
    assert "--accept-licence" in text
    # Consent is for one licence only.
    choose(field, "hub:virchow2")
    assert not form.values()["accept_licence"]
    assert not find.run.isEnabled()
    choose(field, "descriptor")
    assert find.run.isEnabled()
    assert not field.consent.isVisibleTo(form)


def test_a_consent_in_a_preset_is_about_its_encoder(form):
    form.set_values({"accept_licence": True, "image_encoder": "hub:phikon"})
    assert form.values()["accept_licence"]
    form.set_values({"image_encoder": "hub:uni"})
    assert not form.values()["accept_licence"]


def test_no_consent_is_asked_where_the_image_is_left_out(find):
    find.form.set_values({"image_encoder": "hub:uni", "use_image": "no"})
    assert find.run.isEnabled()
    find.form.set_values({"use_image": "auto"})
    assert not find.run.isEnabled()


def test_tables_of_the_section(find, qtbot, new_section):
    form = find.form
    field = form.fields["image_encoder"]
    choose(field, "obsm")
    assert [field.keys.itemData(i) for i in range(field.keys.count())] == ["X_image"]
    assert form.values()["image_encoder"] == "obsm:X_image"
    described(qtbot, field)
    assert "5 numbers" in field.card.text()
    assert find.run.isEnabled()
    assert "no patches" in form.fields["patch_size"].toolTip()
    # Another section without that table: the choice stays, and says what is wrong.
    find.session.add(new_section(seed=2, name="other"))
    assert form.values()["image_encoder"] == "obsm:X_image"
    assert "X_image" in find.run.toolTip()
    assert not find.run.isEnabled()


def test_section_without_tables(viewer, qtbot, section):
    find = open_dock(viewer, "Find domains")
    session_of(viewer).add(section)
    choose(find.methods, "vimst")
    choose(find.form.fields["image_encoder"], "obsm")
    assert not find.run.isEnabled()
    assert "no table of numbers" in find.run.toolTip()


def test_only_tables_of_numbers_are_offered(section):
    n = section.n_spots
    obsm = section.adata.obsm
    obsm["dense"] = np.zeros((n, 3))
    obsm["sparse"] = sp.csr_matrix((n, 7), dtype=np.float32)
    obsm["frame"] = pd.DataFrame({"a": np.zeros(n)}, index=section.adata.obs_names)
    obsm["words"] = pd.DataFrame({"a": ["x"] * n}, index=section.adata.obs_names)
    obsm["cube"] = np.zeros((n, 2, 2))
    obsm["names"] = np.full((n, 2), "x")
    assert numeric_tables(section) == {"dense": 3, "sparse": 7, "frame": 1}


def test_section_without_an_image(viewer, qtbot, section):
    section.image = None
    find = open_dock(viewer, "Find domains")
    session_of(viewer).add(section)
    choose(find.methods, "vimst")
    form = find.form
    for name in ("image_weight", "patch_size", "patch_unit", "stain", "n_pcs_image"):
        assert not form.fields[name].isEnabled(), name
        assert "no image" in form.fields[name].toolTip()
    assert find.run.isEnabled()
    field = form.fields["image_encoder"]
    enabled = {field.itemData(i) for i in range(field.count()) if field.model().item(i).isEnabled()}
    assert enabled == {"obsm", "file"}
    form.set_values({"use_image": "yes"})
    assert not find.run.isEnabled()
    assert "section has none" in find.run.toolTip()
    # Finished features are the way to an image branch.
    section.adata.obsm["X_image"] = np.ones((section.n_spots, 2))
    find.session.section_changed.emit(find.session.selected_id)
    choose(field, "obsm")
    assert find.run.isEnabled()
    assert form.fields["image_weight"].isEnabled()
    assert not form.fields["patch_size"].isEnabled()


def test_without_use_of_the_image_its_fields_are_grey(find):
    form = find.form
    assert form.fields["image_weight"].isEnabled()
    form.set_values({"use_image": "no"})
    for name in ("image_encoder", "image_weight", "patch_size", "stain"):
        assert not form.fields[name].isEnabled()
        assert "set to no" in form.fields[name].toolTip()
    form.set_values({"use_image": "auto"})
    assert form.fields["image_encoder"].isEnabled()
    assert "set to no" not in form.fields["image_weight"].toolTip()


def test_a_folder_that_is_no_model(find, qtbot, tmp_path, monkeypatch):
    field = find.form.fields["image_encoder"]
    choose(field, "transformers")
    assert "choose a folder" in find.run.toolTip()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    click(qtbot, field.path.browse)
    described(qtbot, field)
    assert find.form.values()["image_encoder"] == f"transformers:{tmp_path}"
    # Said once, in the line that says why nothing can run.
    assert "has no config.json" in find.form.note.text()
    assert not field.card.isVisibleTo(find)
    assert "has no config.json" not in find.cost.text()
    assert "has no config.json" in find.run.toolTip()
    assert not find.run.isEnabled()
    assert "Traceback" not in find.form.note.text()
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 12, "image_size": 32}))
    field.path.line.setText(f"{tmp_path}/")
    described(qtbot, field)
    assert "12 numbers" in field.card.text()
    assert "32 px" in field.card.text()
    assert find.run.isEnabled()


@pytest.mark.parametrize(
    ("name", "kind"), [("a.onnx", "onnx"), ("a.pt", "torchscript"), ("a.ts", "torchscript")]
)
def test_model_files(find, qtbot, tmp_path, monkeypatch, name, kind):
    path = tmp_path / name
    path.write_bytes(b"x")
    path.with_suffix(".json").write_text(
        json.dumps({"title": "<b>Mine</b>", "licence": "my own", "um_per_px": 0.5})
    )
    field = find.form.fields["image_encoder"]
    choose(field, "model")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    click(qtbot, field.path.browse)
    described(qtbot, field)
    assert find.form.values()["image_encoder"] == f"{kind}:{path}"
    assert "<b>Mine</b>" in field.card.text()
    assert "my own" in field.card.text()
    assert "0.5 µm" in field.card.text()
    assert find.run.isEnabled()


def test_timm_needs_weights_and_an_architecture(find, qtbot, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"x")
    field = find.form.fields["image_encoder"]
    choose(field, "timm")
    assert "choose a file" in find.run.toolTip()
    field.path.line.setText(str(path))
    assert "architecture" in find.run.toolTip()
    field.architecture.setText("resnet18")
    described(qtbot, field)
    assert find.form.values()["image_encoder"] == f"timm:resnet18@{path}"
    assert find.run.isEnabled()


def test_a_missing_file_is_told(find, qtbot, tmp_path):
    field = find.form.fields["image_encoder"]
    choose(field, "file")
    field.path.line.setText(str(tmp_path / "absent.npy"))
    described(qtbot, field)
    assert "absent.npy" in find.run.toolTip()
    assert not find.run.isEnabled()


def test_an_encoder_that_nobody_knows_is_named(find, qtbot):
    field = find.form.fields["image_encoder"]
    count = field.count()
    for spec in ("hub:somebody/else", "descriptor", "hub:somebody/else"):
        find.form.set_values({"image_encoder": spec})
        assert find.form.values()["image_encoder"] == spec
    assert field.count() == count + 1
    described(qtbot, field)
    assert "hub:somebody/else" in find.run.toolTip()
    assert not find.run.isEnabled()


def test_descriptions_do_not_block(find, qtbot, monkeypatch):
    import threading

    from napari_stmask.gui import encoder_field

    gate, called = threading.Event(), []

    def slow(spec):
        called.append(threading.current_thread())
        gate.wait(10)
        raise ValueError("late")

    monkeypatch.setattr(encoder_field, "_describe", slow)
    field = find.form.fields["image_encoder"]
    choose(field, "hub:uni")
    qtbot.waitUntil(lambda: bool(called), timeout=5_000)
    assert called[0] is not threading.main_thread()
    assert "Looking" in field.card.text()
    choose(field, "transformer")
    gate.set()
    qtbot.wait(200)
    assert "Spot transformer" in field.card.text()
    assert find.run.isEnabled()


def test_method_cards(find, qtbot):
    """A method whose paper was not found has no link that leads nowhere."""
    about = find.about
    facts = {"title": "T", "summary": "S.", "reference": "A. Author, B", "doi": ""}
    about.show_method("vimst", facts)
    assert about.about.text() == "T: S.\nA. Author, B"
    assert about.link.isHidden()
    about.show_method("vimst", facts | {"reference": ""})
    assert about.about.text() == "T: S."
    about.show_method("spamask", facts | {"doi": "10.1/x"})
    assert not about.link.isHidden()
    assert "10.1/x" in about.link.text()
    about.show_method("vimst", None)
    assert about.link.isHidden()
