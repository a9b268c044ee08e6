"""The dock *Predict genes*: data, notes, run, cancel, errors."""

from __future__ import annotations

import shlex
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from tests.gui.helpers import click
from tests.gui.predict_helpers import FAST, add_sections, fake_predict, slow_predict, textured

import napari_stmask.prediction
from napari_stmask.core.errors import DataError
from napari_stmask.core.progress import Progress
from napari_stmask.gui import layers
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.layer_tuples import our_meta
from napari_stmask.gui.predict.known import known_predictions
from napari_stmask.gui.session import session_of


@pytest.fixture
def items(viewer):
    return add_sections(session_of(viewer))


@pytest.fixture
def dock(viewer, items):
    found = open_dock(viewer, "Predict genes")
    found.form.set_values(FAST)
    return found


def ran(qtbot, dock):
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: dock.session.runner.current is None, timeout=60_000)
    assert dock.card.strip.isHidden(), dock.card.strip.text.text()
    qtbot.waitUntil(lambda: not dock.results.genes.busy, timeout=20_000)


def repeated(script, sections):
    """What a copied script gives to ``predict``: target, references and options by name."""
    found = {}

    def predict(target, references=(), **options):
        found.update(options, target=target, references=list(references))
        return SimpleNamespace(section="predicted")

    stm = SimpleNamespace(
        read=lambda path, **options: sections[path], predict=predict, write=lambda *_: None
    )
    exec(script.replace("import napari_stmask as stm", ""), {"stm": stm})
    return found


def choose(dock, source):
    dock.data.source.setCurrentIndex(dock.data.source.findData(source))


def test_a_real_run(dock, qtbot, items):
    """The method itself, on sections of one texture: what is learnt is true."""
    before = [item.section.adata.X.copy() for item in items]
    columns = [list(item.section.adata.obs) for item in items]
    ran(qtbot, dock)
    session = dock.session
    known = known_predictions(session)[0]
    assert session.items[known.item_id].label == "a · predicted"
    assert session.selected_id == known.item_id
    for item, values, names in zip(items, before, columns, strict=True):
        assert (values != item.section.adata.X).nnz == 0
        assert list(item.section.adata.obs) == names
    assert known.prediction.scores.loc["SpaHGC", "pcc_mean"] > 0.2
    genes = dock.results.genes
    assert genes.genes.frames.frame["pcc"].is_monotonic_decreasing
    assert not genes.scores.isHidden()
    assert {"b", "c"} == set(known.prediction.references["section"])
    found = session.items[known.item_id]
    # Below its target, and above nothing.
    assert found.offset[1] == items[0].offset[1]
    assert found.offset[0] > 0
    curve = dock.card._curves
    assert curve
    assert "Training" in dock.card.log.toPlainText() or "training" in dock.card.log.toPlainText()


def test_notes_before_a_run(viewer, qtbot):
    session = session_of(viewer)
    first, second = add_sections(session, "ab", patient="P1")
    other = session.add(textured("other", 5, patient="P2"))
    session.select(first.id)
    dock = open_dock(viewer, "Predict genes")
    dock.form.set_values(FAST)
    assert dock.data.patient.text() == "P1"
    qtbot.waitUntil(lambda: not dock.notes.isHidden(), timeout=20_000)
    text = dock.notes.text()
    assert "2 sections" in text
    assert "2 patients" in text
    assert "5 µm per pixel" in text
    assert "Estimate: about" in text
    assert "one patient (P1)" in text
    dock.data.table.tick({second.id: False})
    assert dock.notes.isHidden()
    qtbot.waitUntil(lambda: not dock.notes.isHidden(), timeout=20_000)
    assert "1 section" in dock.notes.text()
    assert "one patient" not in dock.notes.text()
    # What the user types counts, and the section itself stays as it is.
    row = next(r for r in range(2) if dock.data.table.item(r, 0).text() == "other")
    dock.data.table.item(row, 4).setText("P1")
    qtbot.waitUntil(lambda: "one patient (P1)" in dock.notes.text(), timeout=20_000)
    assert (other.section.adata.obs["patient"] == "P2").all()


def test_references_that_cannot_be_learnt_from(dock, qtbot, new_section):
    session = dock.session
    bare = new_section(seed=8, name="bare")
    bare.image = None
    logs = textured("logs", 9)
    logs.adata.X = logs.adata.X.log1p()
    first = session.selected_id
    for section in (bare, logs):
        session.add(section)
    session.select(first)
    table = dock.data.table
    rows = {table.item(r, 0).text(): r for r in range(table.rowCount())}
    assert set(rows) == {"b", "c", "bare (no image)", "logs (no counts)"}
    for name in ("bare (no image)", "logs (no counts)"):
        assert not table.item(rows[name], 0).flags() & Qt.ItemFlag.ItemIsEnabled
    assert len(table.ticked()) == 2
    assert dock.data.target.findText("bare") < 0
    assert dock.run.isEnabled()
    # Finished features need no image.
    for item in session.items.values():
        item.section.adata.obsm["uni"] = np.random.default_rng(0).normal(
            size=(item.section.n_spots, 6)
        )
    dock.form.set_values({"image_encoder": "obsm:uni"})
    names = [table.item(r, 0).text() for r in range(table.rowCount())]
    assert "bare" in names


def test_why_it_cannot_run(viewer, qtbot):
    dock = open_dock(viewer, "Predict genes")
    assert not dock.run.isEnabled()
    assert "Open tissue" in dock.why.text()
    session = session_of(viewer)
    (first,) = add_sections(session, "a")
    assert "Open a measured section to learn from" in dock.why.text()
    second = session.add(textured("b", 1))
    session.select(first.id)
    assert dock.run.isEnabled()
    table = dock.data.table
    table.setCurrentCell(0, 0)
    table.setFocus()
    qtbot.keyClick(table, Qt.Key.Key_Space)
    assert not table.ticked()
    assert "Tick at least one" in dock.run.toolTip()
    qtbot.keyClick(table, Qt.Key.Key_Space)
    assert table.ticked() == [second.id]
    dock.form.set_values({"panel": "list"})
    assert not dock.run.isEnabled()
    dock.form.set_values({"gene_list": "genes.txt"})
    assert dock.run.isEnabled()
    assert not dock.form.fields["n_genes"].isEnabled()
    dock.form.set_values({"panel": "svg"})
    assert dock.form.params().gene_list == ""
    choose(dock, "model")
    assert "saved model" in dock.why.text()


def test_an_unknown_scale_says_what_to_do(dock, qtbot, items):
    items[0].section.um_per_px = None
    dock.session.section_changed.emit(items[0].id)
    dock.form.set_values({"patch_unit": "um", "patch_size": 100})
    qtbot.waitUntil(lambda: not dock.run.isEnabled(), timeout=20_000)
    assert "pixel of a are unknown: under Embedding and model" in dock.why.text()
    assert "/" not in dock.why.text()
    assert "unknown" in dock.notes.text()
    assert not dock.data.where.isEnabled()
    dock.form.set_values({"patch_unit": "spots", "patch_size": 1.0})
    qtbot.waitUntil(lambda: "Estimate" in dock.notes.text(), timeout=20_000)
    assert dock.run.isEnabled()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(napari_stmask.prediction, "iter_predict", fake_predict)


def test_the_target_follows_the_selected_section(dock, items, qtbot, quick):
    dock.session.select(items[1].id)
    assert dock.data.item is items[1]
    names = [dock.data.table.item(r, 0).text() for r in range(2)]
    assert names == ["a", "c"]
    dock.data.target.setCurrentIndex(dock.data.target.findText("c"))
    dock.data.target.activated.emit(0)
    assert dock.session.selected_id == items[2].id
    ran(qtbot, dock)
    # A prediction is neither target nor reference of another.
    assert dock.data.item is items[2]
    assert dock.data.table.rowCount() == 2
    assert dock.data.target.count() == 3


def test_cancel_leaves_everything(dock, qtbot, monkeypatch, viewer):
    monkeypatch.setattr(napari_stmask.prediction, "iter_predict", slow_predict)
    before = list(viewer.layers)
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: dock.card.bar.value() > 3, timeout=20_000)
    assert dock.run.text() == "Add to the queue"
    click(qtbot, dock.card.cancel)
    assert "the data are as they were" in dock.card.status.text()
    qtbot.waitUntil(lambda: not dock.session.runner.stopping, timeout=20_000)
    assert list(viewer.layers) == before
    assert not known_predictions(dock.session)
    assert dock.results.isHidden()


@pytest.mark.parametrize("error", [DataError("the image is torn", "mend it"), ValueError("odd")])
def test_an_error_is_one_sentence(dock, qtbot, monkeypatch, viewer, error):
    def broken(*args, **options):
        yield Progress(0, 1, "training")
        raise error

    monkeypatch.setattr(napari_stmask.prediction, "iter_predict", broken)
    before = list(viewer.layers)
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: dock.session.runner.current is None, timeout=20_000)
    text = dock.card.strip.text.text()
    assert ("torn; mend it." in text) or ("ValueError" in text)
    assert "Traceback" not in text
    assert list(viewer.layers) == before
    assert dock.run.isEnabled()


def test_part_of_a_section(dock, qtbot, quick, viewer, items):
    choose(dock, "part")
    assert dock.data.table.isHidden()
    assert not dock.data.where.isEnabled()
    assert not dock.form.fields["standardise"].isEnabled()
    assert "no region" in dock.why.text()
    click(qtbot, dock.data.region.draw)
    qtbot.waitUntil(lambda: "no closed shape" in dock.why.text(), timeout=5000)
    layer = next(x for x in viewer.layers if x.name == "a · learn from here")
    section = items[0].section
    corners = np.array([[0.0, 0.0], [140.0, 0.0], [140.0, 130.0], [0.0, 130.0]])
    layer.add_polygons([corners[:, ::-1] * section.um_per_px + np.asarray(items[0].offset)])
    qtbot.waitUntil(lambda: dock.run.isEnabled(), timeout=5000)
    qtbot.waitUntil(lambda: "Learns from" in dock.notes.text(), timeout=20_000)
    assert "of one section" in dock.notes.text()
    request, ids = dock.data.request()
    inside = (section.coords[:, 0] <= 140.0) & (section.coords[:, 1] <= 130.0)
    np.testing.assert_array_equal(request.learn, inside)
    assert request.gap == 2.0
    assert ids == {"a": items[0].id}
    # The script draws the same spots; no command can.
    items[0].section.source = "a.h5ad"
    click(qtbot, dock.python)
    called = repeated(QApplication.clipboard().text(), {"a.h5ad": section})
    np.testing.assert_array_equal(called["learn"], request.learn)
    assert called["gap"] == 2.0
    click(qtbot, dock.command)
    assert "copy it as Python" in dock.strip.text.text()
    ran(qtbot, dock)
    found = known_predictions(dock.session)[0]
    assert found.section.n_spots == int((~inside).sum())
    assert layer in viewer.layers


def test_shapes_of_every_kind_over_a_section_that_is_not_at_the_origin(viewer, items):
    from napari_stmask.gui.predict.drawn_region import learn_mask

    item = items[1]
    section, unit = item.section, item.section.um_per_px
    assert any(item.offset)
    middle, half = section.coords.mean(axis=0), 60.0
    box = (middle + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]))[:, ::-1]
    away = np.abs(section.coords - middle)
    wanted = {
        "rectangle": (away <= half).all(axis=1),
        "ellipse": (away**2).sum(axis=1) <= half**2,
    }
    for kind, truth in wanted.items():
        world = box * unit + np.asarray(item.offset)
        # A layer with a scale of its own.
        layer = viewer.add_shapes([world / 2], shape_type=kind, scale=(2, 2))
        np.testing.assert_array_equal(learn_mask(layer, item, 0.0), truth)


def test_a_grid(dock, qtbot, quick):
    dock.data.where.setCurrentIndex(1)
    assert dock.data.pitch.isVisibleTo(dock)
    dock.data.pitch.setValue(50)
    assert dock.data.request()[0].pitch == 50
    ran(qtbot, dock)
    # Tiles are drawn in the worker, those of the target too.
    found = dock.session.items[known_predictions(dock.session)[0].item_id]
    for item in (found, dock.data.item):
        assert item._raster.index.max() == item.section.n_spots - 1
    genes = dock.results.genes
    assert genes.scores.isHidden()
    assert genes.genes.isColumnHidden(1)
    assert genes.genes.frames.frame["expected_pcc"].is_monotonic_decreasing
    assert genes.maps.isHidden()
    assert "Expected correlation" in genes.facts.text()


def test_the_run_as_text(dock, qtbot, items, monkeypatch):
    """The script and the command ask for what the dock would."""
    import typer
    from typer.testing import CliRunner

    import napari_stmask.cli_predict

    files = {f"{item.label}.h5ad": item.section for item in items}
    for path, item in zip(files, items, strict=True):
        item.section.source = path
        item.section.reading = {"image": f"{path} image.jpg"}
        item.section.adata.obs["patient"] = "P"
    dock.data.where.setCurrentIndex(1)
    dock.data.pitch.setValue(50)
    dock.data.table.item(0, 4).setText("")
    dock.data.table.item(1, 4).setText("")
    click(qtbot, dock.command)
    assert "patients" in dock.strip.text.text()
    for row in (0, 1):
        dock.data.table.item(row, 4).setText("P")
    dock.data.patient.clear()
    qtbot.keyClicks(dock.data.patient, "P")
    click(qtbot, dock.python)
    assert "script is on the clipboard" in dock.state.text()
    called = repeated(QApplication.clipboard().text(), files)
    assert called["target"] is items[0].section
    assert called["references"] == [item.section for item in items[1:]]
    assert (called["method"], called["pitch"]) == ("spahgc", 50)
    names = dock.form.model.model_fields
    values = {k: v for k, v in called.items() if k in names}
    assert dock.form.model.preset(called["preset"], "unknown", **values) == dock.form.params()

    seen = {}

    def read_section(text, reading):
        seen.setdefault("paths", []).append(text)
        return files[text.partition("::")[0]]

    def iter_predict(target, references, **options):
        seen.update(options, references=references)
        raise DataError("asked", "enough")
        yield

    monkeypatch.setattr(napari_stmask.cli_predict, "read_section", read_section)
    monkeypatch.setattr(napari_stmask.prediction, "iter_predict", iter_predict)
    click(qtbot, dock.command)
    words = shlex.split(QApplication.clipboard().text())
    assert words.pop(0) == "napari-stmask"
    app = typer.Typer()
    napari_stmask.cli_predict.register(app)
    told = CliRunner().invoke(app, words)
    assert isinstance(told.exception, DataError), told.output
    assert seen["paths"] == [f"{p}::{p} image.jpg" for p in files]
    assert seen["pitch"] == 50
    values = {k: v for k, v in seen.items() if k in names}
    assert dock.form.model.preset(seen["preset"], "unknown", **values) == dock.form.params()
    items[1].section.reading["bin"] = 50
    dock.strip.clear()
    click(qtbot, dock.command)
    assert "different options" in dock.strip.text.text()


def test_two_sections_of_one_name_are_told_apart(viewer, qtbot, quick):
    session = session_of(viewer)
    first = session.add(textured("s", 0))
    twins = [session.add(textured("s", seed)) for seed in (1, 2)]
    session.select(first.id)
    dock = open_dock(viewer, "Predict genes")
    ran(qtbot, dock)
    known = known_predictions(session)[0]
    names = set(known.prediction.references["section"])
    assert names == {item.label for item in twins}
    for item in twins:
        assert known.reference(session, item.label) is item
    for layer in layers.layers_of(viewer, twins[0].id):
        viewer.layers.remove(layer)
    QApplication.processEvents()
    assert known.reference(session, twins[0].label) is None


def test_a_saved_model(dock, qtbot, tmp_path, viewer, items, monkeypatch):
    """Trained, saved, and used on another section without training."""
    ran(qtbot, dock)
    known = known_predictions(dock.session)[0]
    path = tmp_path / "m.safetensors"
    from qtpy.QtWidgets import QFileDialog

    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path)[:-12], ""))
    click(qtbot, dock.results.save)
    qtbot.waitUntil(lambda: "Written" in dock.state.text(), timeout=20_000)
    assert path.is_file()
    dock.session.select(items[0].id)
    choose(dock, "model")
    dock.data.model.line.setText(str(path))
    assert not dock.form.fields["epochs"].isEnabled()
    assert not dock.presets.isEnabled()
    assert dock.form.fields["uncertainty"].isEnabled()
    ran(qtbot, dock)
    again = known_predictions(dock.session)[-1]
    assert again is not known
    np.testing.assert_allclose(
        again.section.adata.X, known.section.adata.X, atol=1e-5
    )  # fmt: skip
    # References are found again by their names.
    assert again.reference(dock.session, "b") is items[1]
    assert dock.card.plot.isHidden()
    items[0].section.source = "a.h5ad"
    click(qtbot, dock.python)
    called = repeated(QApplication.clipboard().text(), {"a.h5ad": items[0].section})
    assert called["model"] == str(path)
    assert called["uncertainty"] == FAST["uncertainty"]
    assert "epochs" not in called
    dock.data.model.line.setText(str(tmp_path / "none.safetensors"))
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: dock.session.runner.current is None, timeout=20_000)
    assert "does not exist" in dock.card.strip.text.text()


def test_the_prediction_leaves_with_its_layers(dock, qtbot, quick, viewer):
    ran(qtbot, dock)
    known = known_predictions(dock.session)[0]
    for layer in list(viewer.layers):
        if our_meta(layer).get("section_id") == known.item_id:
            viewer.layers.remove(layer)
    assert known.item_id not in dock.session.items
    assert not known_predictions(dock.session)
    assert dock.results.isHidden()


def test_a_closed_dock_comes_back_with_its_predictions(viewer, dock, qtbot, quick):
    ran(qtbot, dock)
    viewer.window.remove_dock_widget(dock)
    again = open_dock(viewer, "Predict genes")
    assert again is not dock
    assert not again.results.isHidden()
    qtbot.waitUntil(lambda: not again.results.genes.busy, timeout=20_000)
    assert again.results.genes.genes.frames.rowCount() == 20


def test_a_second_run_waits(dock, qtbot, monkeypatch):
    monkeypatch.setattr(napari_stmask.prediction, "iter_predict", slow_predict)
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: dock.card.bar.value() > 0, timeout=20_000)
    click(qtbot, dock.run)
    assert dock.card.queue.item(0).text() == "SpaHGC on a · from 2 sections"
    for _ in range(2):
        dock.session.runner.cancel(dock.session.runner.current or dock.session.runner.waiting[0])
    qtbot.waitUntil(lambda: dock.session.runner._worker is None, timeout=20_000)


def test_the_window_closes_while_it_runs(viewer, dock, qtbot, monkeypatch):
    monkeypatch.setattr(napari_stmask.prediction, "iter_predict", slow_predict)
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: dock.card.bar.value() > 0, timeout=20_000)
    viewer.close()


def test_the_selection_of_a_busy_user_stays(dock, qtbot, monkeypatch, items):
    def patient(*args, **options):
        yield Progress(0, 1, "training")
        return (yield from fake_predict(*args, **options))

    monkeypatch.setattr(napari_stmask.prediction, "iter_predict", patient)
    click(qtbot, dock.run)
    dock.session.select(items[1].id)
    qtbot.waitUntil(lambda: dock.session.runner.current is None, timeout=20_000)
    assert dock.session.selected_id == items[1].id
    assert known_predictions(dock.session)
    assert not dock.results.isHidden()
