"""What single docks promise: export, names, queue, tab order, selection."""

from __future__ import annotations

import gc
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox, QShortcut

from napari_stmask.core.progress import Progress
from napari_stmask.gui import export as exporting
from napari_stmask.gui import layers
from napari_stmask.gui.background import Background
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.formats import target_of
from napari_stmask.gui.legend_model import COLOR, NAME, SHOWN
from napari_stmask.gui.method_card import SUMMARIES
from napari_stmask.gui.runner import Event
from napari_stmask.gui.session import session_of


@pytest.fixture
def viewer(make_napari_viewer, no_threads_left):
    return make_napari_viewer()


@pytest.fixture
def legend(viewer, section, make_result):
    """The dock Domains with one result of three domains."""
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section), "SpaMask")
    return open_dock(viewer, "Domains")


@pytest.fixture
def stub_run(monkeypatch):
    """Replace the pipeline by ``steps(section, key)``."""

    def use(steps):
        from napari_stmask import pipeline

        monkeypatch.setattr(
            pipeline, "iter_run", lambda m, s, *, key_added, **_: steps(s, key_added)
        )

    return use


def quick(make_result, seconds=0.2):
    def steps(section, key):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.02)
            yield Progress(1, 10, "training", {"loss": 1.0})
        return make_result(section, key)

    return steps


def wait_idle(qtbot, session):
    def idle():
        return session.runner.current is None and session.runner._worker is None

    qtbot.waitUntil(idle, timeout=20_000)


H5AD, CSV, PNG = "Section with results (*.h5ad)", "Table (*.csv)", "Figure (*.png)"


@pytest.mark.parametrize(
    ("typed", "kind", "target"),
    [
        ("a", CSV, "a.csv"),
        ("a.csv", CSV, "a.csv"),
        ("a.h5ad", CSV, "a.csv"),
        ("a.v2", PNG, "a.v2.png"),
        ("a.png", H5AD, "a.png"),
        ("a.h5ad", PNG, "a.png"),
        ("a.H5AD", H5AD, "a.H5AD"),
        ("a", "", "a"),
    ],
)
def test_the_filter_picks_the_format(typed, kind, target):
    assert target_of(f"/x/{typed}", kind) == Path("/x") / target


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_export_asks_before_it_replaces(legend, qtbot, tmp_path, monkeypatch, answer):
    source, table = tmp_path / "s.h5ad", tmp_path / "s.csv"
    source.write_text("source")
    table.write_text("old")
    asked = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(source), CSV))
    monkeypatch.setattr(
        QMessageBox,
        "question",
        lambda *args: asked.append(args[2]) or getattr(QMessageBox.StandardButton, answer),
    )
    legend.save.click()
    qtbot.waitUntil(lambda: not legend.save.busy, timeout=10_000)
    assert len(asked) == 1
    assert source.read_text() == "source"
    assert (table.read_text() == "old") == (answer == "No")


def test_one_export_at_a_time_and_failures_are_shown(legend, qtbot, tmp_path, monkeypatch):
    legend.save.export_to(str(tmp_path / "nowhere" / "a.csv"))
    assert not legend.save.isEnabled()
    legend.save.export_to(str(tmp_path / "b.csv"))
    qtbot.waitUntil(lambda: not legend.save.busy, timeout=10_000)
    assert "nowhere" in legend.strip.text.text()
    assert legend.save.isEnabled()
    assert not (tmp_path / "b.csv").exists()


def test_an_export_holds_what_was_there_at_the_click(legend, qtbot, tmp_path, monkeypatch):
    from napari_stmask.gui import export_button as module

    def slow(*args):
        time.sleep(0.3)
        return exporting.export(*args)

    monkeypatch.setattr(module, "export", slow)
    legend.save.export_to(str(tmp_path / "a.csv"))
    legend.session.edit(legend.session.selected_domains.state.renamed(0, "later"))
    qtbot.waitUntil(lambda: not legend.save.busy, timeout=10_000)
    assert "later" not in (tmp_path / "a.csv").read_text()
    assert legend.session.selected.section.lattice is not None


def test_hidden_domains_are_not_in_the_figure(legend, tmp_path, monkeypatch):
    from napari_stmask.core.errors import ParameterError
    from napari_stmask.viz import figure

    seen = []
    monkeypatch.setattr(figure, "save_domains_figure", lambda *args: seen.append(args))
    state = legend.session.selected_domains.state
    section = legend.session.selected.section
    exporting.export(section, state.with_shown(1, False), tmp_path / "a.png")
    _, codes, names, colors, _ = seen[0]
    assert names == ("1", "3")
    assert colors == (state.colors[0], state.colors[2])
    assert (codes == np.array([0, -1, 1])[state.codes]).all()
    nothing = state.solo([0]).with_shown(0, False)
    with pytest.raises(ParameterError, match="hidden"):
        exporting.export(section, nothing, tmp_path / "b.png")


def test_a_worker_lets_go_of_its_arguments(qtbot, no_threads_left):
    class Big:
        pass

    def fail(_):
        raise ValueError("odd")

    for function in (lambda _: None, fail):
        big, background, seen = Big(), Background(), []
        background.done.connect(seen.append)
        background.failed.connect(seen.append)
        background.start(function, big)
        qtbot.waitUntil(lambda seen=seen: len(seen) == 1, timeout=5_000)
        gone = weakref.ref(big)
        del big
        qtbot.waitUntil(lambda gone=gone: gc.collect() is not None and gone() is None)


def test_a_result_that_cannot_be_shown_is_reported_as_written(
    viewer, qtbot, section, make_result, stub_run, monkeypatch
):
    stub_run(quick(make_result))
    session = session_of(viewer)
    session.add(section)
    find = open_dock(viewer, "Find domains")

    def broken(*_, **__):
        raise ValueError("no canvas")

    monkeypatch.setattr(layers, "show_domains", broken)
    find.start()
    wait_idle(qtbot, session)
    assert "spamask" in section.adata.obs
    assert find.card.job.state == "done"
    assert "showing the result failed" in find.card.status.text()
    assert "as they were" not in find.card.status.text()
    assert "no canvas" in find.card.strip.text.text()
    assert session.selected_key == "spamask"


def test_notes_of_the_run_stand_below_the_legend(legend, make_result):
    assert legend.notes.isHidden()
    session = legend.session
    section = session.selected.section
    section.notes.append("Of the section.")
    fewer = make_result(section, key="few", k=2)
    fewer.record["notes"] = ["Of the section.", "3 domains were asked for, the clustering gave 2."]
    session.add_result(session.selected_id, fewer, "SpaMask")
    assert not legend.notes.isHidden()
    assert legend.notes.text() == "Note: 3 domains were asked for, the clustering gave 2."
    session.select(session.selected_id, "spamask")
    assert legend.notes.isHidden()


def test_no_exception_leaves_the_legend(legend, monkeypatch):
    def broken(*_, **__):
        raise ValueError("odd")

    monkeypatch.setattr(legend.session, "edit", broken)
    assert not legend.model.setData(legend.model.index(0, NAME), "x")
    assert "odd" in legend.strip.text.text()


def test_an_image_lands_on_the_section_it_was_read_for(
    viewer, qtbot, section, new_section, tmp_path
):
    from PIL import Image

    path = tmp_path / "tissue.png"
    Image.fromarray(np.full((300, 300, 3), 200, np.uint8)).save(path)
    tissue = open_dock(viewer, "Open tissue")
    session = session_of(viewer)
    first = session.add(section)
    second = session.add(new_section(seed=1, name="other"))
    before = second.section.image
    session.select(first.id)
    tissue.images.add(str(path))
    assert not tissue.images.image.isEnabled()
    session.select(second.id)
    qtbot.waitUntil(lambda: not tissue.images.working, timeout=10_000)
    assert section.image.shape == (300, 300)
    assert layers.find_layer(viewer, first.id, "image").data.shape[:2] == (300, 300)
    assert second.section.image is before
    assert session.selected_id == second.id
    assert tissue.images.image.isEnabled()


def test_only_edited_fields_go_to_another_platform(viewer, section, new_section):
    find = open_dock(viewer, "Find domains")
    session = session_of(viewer)
    session.add(section)
    model = find.form.model
    find.form.set_values({"epochs": 77})
    other = new_section(seed=2)
    other.platform = "stereoseq"
    session.add(other)
    wanted = model.preset_values("recommended", "stereoseq") | {"epochs": 77}
    assert wanted != model.preset_values("recommended", "visium") | {"epochs": 77}
    found = find.form.values()
    assert {k: found[k] for k in wanted} == wanted


def test_the_domains_tab_rises_only_for_the_selected_section(
    viewer, qtbot, section, new_section, make_result, stub_run, monkeypatch
):
    from napari_stmask.gui import commands

    stub_run(quick(make_result))
    session = session_of(viewer)
    find = open_dock(viewer, "Find domains")
    raised = []
    monkeypatch.setattr(commands, "open_dock", lambda _, name: raised.append(name))
    first = session.add(section)
    find.start()
    second = session.add(new_section(seed=1, name="other"))
    wait_idle(qtbot, session)
    assert "spamask" in first.domains
    assert session.selected_id == second.id
    assert not raised
    find.start()
    find.key.setText("more")
    find.start()
    qtbot.waitUntil(lambda: not session.runner.waiting, timeout=10_000)
    assert not raised
    wait_idle(qtbot, session)
    assert raised == ["Domains"]


def test_an_old_estimate_does_not_block_another_section(viewer, qtbot, section, new_section):
    find = open_dock(viewer, "Find domains")
    session = session_of(viewer)
    bad = new_section(seed=3)
    bad.adata.X = bad.adata.X * 0.5
    session.add(bad)
    find._estimate()
    session.add(section)
    assert not find._estimator.busy
    assert not find.cost.text()
    qtbot.waitUntil(lambda: "Estimate" in find.cost.text(), timeout=60_000)
    assert find.run.isEnabled()


def test_edits_keep_the_selection(legend, qtbot):
    table, model = legend.table, legend.model
    table.selectRow(1)
    table.setCurrentIndex(model.index(1, NAME))
    shown = lambda: legend.session.selected_domains.state.shown  # noqa: E731
    legend.solo.click()
    assert shown() == (False, True, False)
    assert legend.table.rows() == [1]
    legend.solo.click()
    assert shown() == (True, True, True)
    off = Qt.CheckState.Unchecked.value
    assert model.setData(model.index(0, SHOWN), off, Qt.ItemDataRole.CheckStateRole)
    assert (table.currentIndex().row(), table.currentIndex().column()) == (1, NAME)
    table.selectAll()
    legend.merge.click()
    assert legend.table.rows() == [0]
    assert table.currentIndex().isValid()
    legend.undo.click()
    assert model.rowCount() == 3


def test_shown_as_follows_a_new_result(legend, viewer, section, make_result):
    legend.drawn.setCurrentText("Outlines")
    legend._on_style()
    session = legend.session
    session.add_result(session.selected_id, make_result(section, "second"), "SpaMask")
    tiles = layers.find_layer(viewer, session.selected_id, "domains", "second")
    assert (legend.drawn.currentText() == "Outlines") == bool(tiles.contour)
    legend.results.setCurrentIndex(legend.results.findData("spamask"))
    legend.drawn.setCurrentText("Tiles and spots")
    legend._on_result()
    assert legend.drawn.currentText() == "Tiles and spots"
    assert layers.find_layer(viewer, session.selected_id, "spots").visible


def test_recipes_name_the_source_and_its_layer(viewer, section):
    find = open_dock(viewer, "Find domains")
    session_of(viewer).add(section)
    for button in (find.python, find.command):
        assert not button.isEnabled()
        assert "not read from a file" in button.toolTip()
    section.source = "/data/a b.h5ad"
    section.adata.layers["raw"] = section.adata.X.copy()
    section.counts_layer, section.reading = "raw", {"counts_layer": "raw"}
    find.key.setText(" mine ")
    find.python.click()
    text = QApplication.clipboard().text()
    assert "stm.read('/data/a b.h5ad', counts_layer='raw')" in text
    assert "key_added='mine'" in text
    find.command.click()
    assert "--counts-layer raw --key mine" in QApplication.clipboard().text()


def test_the_example_can_be_made_again_by_a_script(viewer):
    from napari_stmask.io.sample import sample_section

    find = open_dock(viewer, "Find domains")
    session_of(viewer).add(sample_section(1))
    find.python.click()
    assert "sample_section" not in QApplication.clipboard().text()
    session_of(viewer).add(sample_section())
    assert not find.command.isEnabled()
    find.python.click()
    assert "section = stm.sample_section()\n" in QApplication.clipboard().text()


def test_merging_brings_the_scores_up_to_date(legend, qtbot):
    from napari_stmask.analysis.scores import spatial_scores

    table, session = legend.scores.table, legend.session
    assert table.item(0, 1).text() == "0.100"
    session.edit(session.selected_domains.state.renamed(0, "a"))
    assert table.item(0, 1).text() == "0.100"
    session.edit(session.selected_domains.state.merged([0, 1]))
    wanted = spatial_scores(session.selected.section.coords, session.selected_domains.state.codes)
    qtbot.waitUntil(lambda: table.item(0, 1).text() == f"{wanted['PAS']:.3f}", timeout=5_000)
    assert table.item(0, 2).text() == f"{wanted['CHAOS']:.3f}"
    assert table.item(1, 1).text() == "0.100"
    session.undo()
    assert table.item(0, 1).text() == "0.100"


def test_tab_goes_down_the_form(viewer, qtbot, section):
    find = open_dock(viewer, "Find domains")
    session_of(viewer).add(section)
    form = find.form
    stops = [find.presets, find.key, *form.tab_stops(), find.run]

    def after(widget):
        following, seen = widget.nextInFocusChain(), []
        while following is not widget:
            seen.append(following)
            following = following.nextInFocusChain()
        return [w for w in seen if w in stops]

    assert after(find.presets) == stops[1:]
    hidden = form.tab_stops()[-1]
    assert not hidden.isVisibleTo(form)
    form.fold.expand(animate=False)
    assert hidden.isVisibleTo(form)
    form.fold.collapse(animate=False)
    assert not hidden.isVisibleTo(form)


def test_the_queue_survives_its_dock_and_obeys_delete(
    viewer, qtbot, section, make_result, stub_run
):
    stub_run(quick(make_result, seconds=30))
    session = session_of(viewer)
    session.add(section)
    find = open_dock(viewer, "Find domains")
    for key, number in (("one", 3), ("two", 4), ("three", 5)):
        find.key.setText(key)
        find.form.set_values({"n_domains": number})
        find.start()
    viewer.window.remove_dock_widget("all")
    QApplication.processEvents()
    card = open_dock(viewer, "Find domains").card
    assert card.queue.count() == 2
    assert not card.queue.isHidden()
    assert card.queue.item(0).text().endswith("two, 4 domains")
    assert card.queue.item(1).text().endswith("three, 5 domains")
    card.queue.setCurrentRow(0)
    delete = card.queue.findChild(QShortcut)
    assert delete.key() == QKeySequence(Qt.Key.Key_Delete)
    delete.activated.emit()
    assert [job.key for job in session.runner.waiting] == ["three"]
    session.runner.cancel(session.runner.waiting[0])
    session.runner.cancel()
    wait_idle(qtbot, session)


def test_plain_summaries_are_those_of_the_methods(viewer):
    from napari_stmask.models import get

    for name, summary in SUMMARIES.items():
        assert summary == get(name).summary
    assert open_dock(viewer, "Find domains").about.about.text() == SUMMARIES["spamask"]


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_F2])
def test_keys_on_a_swatch_ask_for_a_colour(legend, qtbot, monkeypatch, key):
    from qtpy.QtGui import QColor
    from qtpy.QtWidgets import QColorDialog

    monkeypatch.setattr(QColorDialog, "getColor", lambda *_: QColor("#010203"))
    legend.table.setCurrentIndex(legend.model.index(1, COLOR))
    qtbot.keyClick(legend.table, key)
    assert legend.session.selected_domains.state.colors[1] == "#010203"


def test_names_that_hold_something_else_are_refused(viewer, section):
    find = open_dock(viewer, "Find domains")
    section.adata.obsm["X_mine"] = np.zeros((section.n_spots, 2))
    session_of(viewer).add(section)
    for name in ("mine", "a/b", "  ", "a\tb"):
        find.key.setText(name)
        assert not find.run.isEnabled()
        assert "Result name" in find.run.toolTip()
    find.key.setText("other")
    assert find.run.isEnabled()


def test_curves_are_drawn_once_a_second(viewer, qtbot, section, make_result, stub_run):
    stub_run(quick(make_result, seconds=30))
    session = session_of(viewer)
    session.add(section)
    find = open_dock(viewer, "Find domains")
    find.start()
    card, job = find.card, session.runner.current
    qtbot.waitUntil(lambda: "loss" in card._curves, timeout=10_000)
    curve, drawn = card._curves["loss"][2], []
    curve.sigPlotChanged.connect(lambda *_: drawn.append(1))
    started = time.monotonic()
    for step in range(50):
        event = Event(Progress(step, 100, "training"), ((step, {"loss": 1.0}),))
        card._on_progressed(job, event)
    assert len(drawn) <= 1 + (time.monotonic() - started)
    session.runner.cancel()
    assert len(curve.getData()[0]) == len(card._curves["loss"][0])
    wait_idle(qtbot, session)


def test_an_opened_fold_shows_all_its_content(viewer, qtbot, section):
    find = open_dock(viewer, "Find domains")
    fold = find.form.fold
    fold.toggleButton().click()
    qtbot.waitUntil(lambda: not fold._is_animating, timeout=5_000)
    QApplication.processEvents()
    assert fold.content().maximumHeight() >= fold.content().sizeHint().height()


def test_a_result_whose_layer_was_deleted_is_not_hidden_again(viewer, plugin, section, make_result):
    """What napari's proxy of the viewer adds is never identical with a layer of the viewer."""
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section), "SpaMask")
    session.add_result(item.id, make_result(section, "second"), "SpaMask")
    legend = viewer.window.add_plugin_dock_widget("napari-stmask", "Domains")[1]
    assert legend.viewer is not viewer
    viewer.layers.remove(layers.find_layer(viewer, item.id, "domains", "second"))
    seen = []

    def watch(event):
        layer = event.value
        layer.events.visible.connect(lambda _: seen.append(layer.visible))

    viewer.layers.events.inserted.connect(watch)
    legend.results.setCurrentIndex(legend.results.findData("second"))
    legend._on_result()
    assert seen
    assert all(seen)
    first = layers.find_layer(viewer, item.id, "domains", "spamask")
    assert not first.visible
