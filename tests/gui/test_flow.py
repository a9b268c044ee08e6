"""The whole flow in a real viewer, with real clicks and a real worker."""

from __future__ import annotations

import time

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_stmask.core.errors import DataError
from napari_stmask.core.progress import Progress
from napari_stmask.gui import layers, loading
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.layer_tuples import our_meta
from napari_stmask.gui.legend_model import NAME, SHOWN
from napari_stmask.gui.session import session_of
from napari_stmask.gui.view import view


@pytest.fixture
def viewer(make_napari_viewer, no_threads_left):
    return make_napari_viewer()


def click(qtbot, button):
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def wait_idle(qtbot, session, timeout=60_000):
    def idle():
        return session.runner.current is None and session.runner._worker is None

    qtbot.waitUntil(idle, timeout=timeout)


def slow_steps(section, result, seconds=30.0, every=0.02):
    """A method's stream that only a cancel ends soon."""
    end = time.monotonic() + seconds
    for i in range(10**6):
        if time.monotonic() > end:
            break
        time.sleep(every)
        yield Progress(i, 10**6, "training", {"loss": 1 / (i + 1)})
    result.apply(section.adata)
    return result


@pytest.fixture
def stub_run(monkeypatch):
    """Replace the pipeline by ``steps(section)``."""

    def use(steps):
        from napari_stmask import pipeline

        monkeypatch.setattr(pipeline, "iter_run", lambda m, s, **_: steps(s))

    return use


def test_example_to_domains_to_edits(viewer, qtbot, monkeypatch, section, small_run):
    monkeypatch.setattr(loading, "load_sample", lambda: loading._with_rasters([section]))
    tissue = open_dock(viewer, "Open tissue")
    find = open_dock(viewer, "Find domains")
    session = session_of(viewer)
    assert not find.run.isEnabled()
    assert "No section" in find.run.toolTip()
    click(qtbot, tissue.example)
    qtbot.waitUntil(lambda: session.selected is not None, timeout=10_000)
    assert "144 spots" in tissue.rows.itemAt(2, tissue.rows.ItemRole.FieldRole).widget().text()
    find.form.set_values(small_run.model_dump())
    keys = set(section.adata.obs.columns)
    qtbot.waitUntil(lambda: "Estimate" in find.cost.text(), timeout=60_000)
    click(qtbot, find.run)
    assert session.runner.current is not None
    assert set(section.adata.obs.columns) == keys
    wait_idle(qtbot, session)
    assert find.card.job.state == "done", find.card.strip.text.text()
    check_same_as_script(section, small_run)
    # Layers, legend and data agree.
    legend = open_dock(viewer, "Domains")
    obs = section.adata.obs["spamask"]
    item = session.selected
    layer = layers.find_layer(viewer, item.id, "domains")
    assert (layer.data == item.raster.labels(obs.cat.codes.to_numpy())).all()
    counts = obs.value_counts()
    for row in range(legend.model.rowCount()):
        name = legend.model.index(row, NAME).data()
        assert legend.model.index(row, NAME + 1).data() == str(counts[name])
    assert legend.scores.table.rowCount() == 3
    check_edits(qtbot, section, layer, legend, session)


def check_same_as_script(section, params):
    """The window and the API give the same labels."""
    from napari_stmask.pipeline import run

    copy = section.adata[:, :].copy()
    for key in ("spamask", "spamask_confidence"):
        del copy.obs[key]
    run("spamask", copy, params=params)
    assert (copy.obs["spamask"] == section.adata.obs["spamask"]).all()


def check_edits(qtbot, section, layer, legend, session):
    obs = section.adata.obs["spamask"].copy()
    model = legend.model
    assert model.setData(model.index(0, NAME), "White matter")
    assert section.adata.obs["spamask"].cat.categories[0] == "White matter"
    assert list(layer.features["domain"])[1] == "White matter"
    assert not model.setData(model.index(1, NAME), "White matter")
    assert "Another domain" in legend.strip.text.text()
    legend.recolour(1, "#123456")
    assert section.adata.uns["spamask_colors"][1] == "#123456"
    off = Qt.CheckState.Unchecked.value
    assert model.setData(model.index(0, SHOWN), off, Qt.ItemDataRole.CheckStateRole)
    assert layer.colormap.map(np.array([1]))[0, 3] == 0
    legend.table.selectRow(1)
    click(qtbot, legend.solo)
    assert session.selected_domains.state.shown == (False, True, False)
    legend.table.selectAll()
    click(qtbot, legend.merge)
    assert layer.data.max() == 1
    for _ in range(5):
        click(qtbot, legend.undo)
    assert not legend.undo.isEnabled()
    assert (section.adata.obs["spamask"] == obs).all()
    assert layer.data.max() == 3
    legend.scores.annotation.setCurrentText("half")
    legend.scores._fill()
    assert not legend.scores.table.isColumnHidden(4)
    assert 0 <= float(legend.scores.table.item(0, 4).text()) <= 1
    click(qtbot, legend.python)
    assert "stm.run(" in QApplication.clipboard().text()
    click(qtbot, legend.command)
    assert QApplication.clipboard().text().startswith("napari-stmask run spamask")


def test_cancel_returns_at_once_and_touches_nothing(viewer, qtbot, section, make_result, stub_run):
    stub_run(lambda s: slow_steps(s, make_result(s)))
    find = open_dock(viewer, "Find domains")
    session = session_of(viewer)
    session.add(section)
    before = section.adata.copy()
    click(qtbot, find.run)
    qtbot.waitUntil(lambda: find.card._phase == "training", timeout=10_000)
    qtbot.waitUntil(lambda: bool(find.card._curves), timeout=5_000)
    started = time.monotonic()
    click(qtbot, find.card.cancel)
    assert time.monotonic() - started < 0.5
    assert session.runner.current is None
    assert find.card.status.text().startswith("Cancelled after ")
    assert find.card.status.text().endswith("; the data are as they were")
    assert find.run.isEnabled()
    wait_idle(qtbot, session, timeout=1_000)
    assert time.monotonic() - started < 1.0
    assert list(section.adata.obs.columns) == list(before.obs.columns)
    assert section.adata.uns.keys() == before.uns.keys()
    assert not session.selected.domains


def test_late_result_of_a_cancelled_run_is_ignored(viewer, qtbot, section, make_result, stub_run):
    def deaf(s):
        yield Progress(0, 0, "reading")
        time.sleep(0.6)
        return make_result(s)

    stub_run(deaf)
    find = open_dock(viewer, "Find domains")
    session = session_of(viewer)
    session.add(section)
    click(qtbot, find.run)
    qtbot.waitUntil(lambda: find.card._phase == "reading", timeout=10_000)
    click(qtbot, find.card.cancel)
    click(qtbot, find.run)
    assert session.runner.stopping
    assert find.card.queue.count() == 1
    wait_idle(qtbot, session, timeout=10_000)
    assert list(session.selected.domains) == ["spamask"]


def test_queue(viewer, qtbot, section, make_result, stub_run):
    stub_run(lambda s: slow_steps(s, make_result(s), seconds=0.3))
    find = open_dock(viewer, "Find domains")
    session = session_of(viewer)
    session.add(section)
    click(qtbot, find.run)
    assert find.run.text() == "Add to the queue"
    find.key.setText("second")
    click(qtbot, find.run)
    find.key.setText("third")
    click(qtbot, find.run)
    assert find.card.queue.count() == 2
    session.runner.cancel(session.runner.waiting[1])
    wait_idle(qtbot, session, timeout=10_000)
    assert len(session.selected.domains) == 1  # the stub names every result alike
    assert find.card.job.key == "second"


@pytest.mark.parametrize(
    "error", [DataError("The matrix is odd", "repair it"), ValueError("inner")]
)
def test_errors_of_a_run_are_shown(viewer, qtbot, section, stub_run, error):
    def failing(s):
        yield Progress(0, 0, "reading")
        raise error

    stub_run(failing)
    find = open_dock(viewer, "Find domains")
    session = session_of(viewer)
    session.add(section)
    click(qtbot, find.run)
    wait_idle(qtbot, session, timeout=10_000)
    assert find.card.job.state == "failed"
    assert str(error).rstrip(".") in find.card.strip.text.text()
    click(qtbot, find.card.strip.copy)
    assert "Traceback" in QApplication.clipboard().text()
    assert find.run.isEnabled()


def test_reading_errors_are_one_sentence_and_lose_nothing(viewer, qtbot, section, tmp_path):
    tissue = open_dock(viewer, "Open tissue")
    session = session_of(viewer)
    session.add(section)
    bad = tmp_path / "bad.h5ad"
    bad.write_bytes(b"\x89HDF\r\n\x1a\n damaged")
    tissue.open_path(str(bad))
    qtbot.waitUntil(lambda: not tissue.strip.isHidden(), timeout=10_000)
    assert str(bad) in tissue.strip.text.text()
    assert session.selected.section is section
    assert len(viewer.layers) == 2
    assert tissue.folder.isEnabled()


def test_unsuitable_input_disables_run_with_the_reason(viewer, qtbot, section):
    find = open_dock(viewer, "Find domains")
    session_of(viewer).add(section)
    assert find.run.isEnabled()
    for name in ("1x", "", "half"):
        find.key.setText(name)
        assert not find.run.isEnabled()
        assert "Result name" in find.run.toolTip()
    find.key.setText("mine")
    assert find.run.isEnabled()


def test_more_domains_than_spots(viewer, qtbot, new_section):
    find = open_dock(viewer, "Find domains")
    session_of(viewer).add(new_section(n=4))
    find.form.set_values({"n_domains": 17})
    assert not find.run.isEnabled()
    assert "16 spots" in find.form.note.text()


def test_section_without_counts_cannot_run(viewer, qtbot, section):
    section.adata.X = section.adata.X * 0.5
    find = open_dock(viewer, "Find domains")
    session_of(viewer).add(section)
    qtbot.waitUntil(lambda: not find.run.isEnabled(), timeout=30_000)
    assert "not whole numbers" in find.run.toolTip()
    assert "not whole numbers" in find.cost.text()


def test_edited_fields_survive_another_section(viewer, section, new_section):
    find = open_dock(viewer, "Find domains")
    session = session_of(viewer)
    session.add(section)
    find.form.set_values({"epochs": 77})
    session.add(new_section(seed=2))
    assert find.form.values()["epochs"] == 77
    find._on_preset()
    assert find.form.values()["epochs"] != 77


def test_alignment_warning_and_selected_layers(viewer, qtbot, section):
    tissue = open_dock(viewer, "Open tissue")
    session = session_of(viewer)
    session.add(section)
    assert tissue.alignment.isHidden()
    viewer.layers.selection.clear()
    small = viewer.add_image(np.zeros((20, 20, 3), np.uint8), rgb=True, name="other")
    small.scale = (section.um_per_px, section.um_per_px)
    viewer.layers.selection = {small}
    click(qtbot, tissue.layers)
    assert section.image.shape == (20, 20)
    assert section.image.scale == pytest.approx(1.0)
    assert "of the spots lie inside" in tissue.alignment.text.text()
    viewer.layers.selection.clear()
    click(qtbot, tissue.layers)
    assert "hold no section" in tissue.strip.text.text()


def test_view_shows_stored_results_once(viewer, section, make_result):
    make_result(section).apply(section.adata)
    assert view(section, viewer) is viewer
    view(section, viewer)
    view(section.adata, viewer)
    assert [our_meta(x)["role"] for x in viewer.layers] == ["image", "domains", "spots"]
    legend = open_dock(viewer, "Domains")
    assert legend.model.rowCount() == 3
    assert legend.scores.table.rowCount() == 2


def test_export(viewer, qtbot, section, make_result, tmp_path):
    make_result(section).apply(section.adata)
    view(section, viewer)
    legend = open_dock(viewer, "Domains")
    for name in ("o.h5ad", "o.csv", "o.png"):
        legend.save.export_to(str(tmp_path / name))
        qtbot.waitUntil(
            lambda n=name: n in legend.state.text() and "Written" in legend.state.text()
        )
        assert (tmp_path / name).stat().st_size > 500
    legend.save.export_to(str(tmp_path / "no" / "o.csv"))
    qtbot.waitUntil(lambda: not legend.strip.isHidden())
    assert "no" in legend.strip.text.text()


def test_styles_and_result_switch(viewer, qtbot, section, make_result):
    make_result(section).apply(section.adata)
    make_result(section, "other", k=2).apply(section.adata)
    view(section, viewer)
    legend = open_dock(viewer, "Domains")
    session = session_of(viewer)
    assert legend.results.count() == 2
    legend.results.setCurrentIndex(0)
    legend._on_result()
    item = session.selected
    first = layers.find_layer(viewer, item.id, "domains", "spamask")
    second = layers.find_layer(viewer, item.id, "domains", "other")
    assert first.visible
    assert not second.visible
    spots = layers.find_layer(viewer, item.id, "spots")
    for style, tiles, points in (("Spots", False, True), ("Outlines", True, False)):
        legend.drawn.setCurrentText(style)
        legend._on_style()
        assert (first.visible, spots.visible) == (tiles, points)
    assert first.contour == 1


def test_closing_and_reopening_docks(viewer, qtbot, section, make_result, stub_run):
    stub_run(lambda s: slow_steps(s, make_result(s), seconds=0.8))
    session = session_of(viewer)
    session.add(section)
    find = open_dock(viewer, "Find domains")
    click(qtbot, find.run)
    viewer.window.remove_dock_widget("all")
    QApplication.processEvents()
    again = open_dock(viewer, "Find domains")
    wait_idle(qtbot, session, timeout=10_000)
    assert list(session.selected.domains) == ["spamask"]
    assert again.run.isEnabled()


def test_pages_fit_a_narrow_dock(viewer, qtbot, section, make_result):
    make_result(section).apply(section.adata)
    view(section, viewer)
    for name in ("Open tissue", "Find domains", "Domains"):
        page = open_dock(viewer, name)
        QApplication.processEvents()
        inner = page.scroller.widget()
        assert page.minimumSizeHint().width() <= 360, name
        assert inner.minimumSizeHint().width() <= page.scroller.viewport().width(), name


def test_layers_are_only_touched_on_the_main_thread(
    viewer, qtbot, section, make_result, stub_run, monkeypatch
):
    import threading

    calls = []
    for name in ("show_domains", "show_section"):
        original = getattr(layers, name)

        def checked(*args, original=original, **options):
            calls.append(threading.current_thread() is threading.main_thread())
            return original(*args, **options)

        monkeypatch.setattr(layers, name, checked)
    stub_run(lambda s: slow_steps(s, make_result(s), seconds=0.2))
    session = session_of(viewer)
    session.add(section)
    find = open_dock(viewer, "Find domains")
    click(qtbot, find.run)
    wait_idle(qtbot, session, timeout=10_000)
    assert calls
    assert all(calls)


def test_drop_on_the_dock(viewer, qtbot, section, tmp_path):
    from napari.utils.notifications import notification_manager
    from qtpy.QtCore import QMimeData, QPointF, QUrl
    from qtpy.QtGui import QDropEvent

    from napari_stmask.io.write import write

    path = write(section, tmp_path / "dropped ä.h5ad")
    tissue = open_dock(viewer, "Open tissue")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(p)) for p in (path, tmp_path / "other.h5ad")])
    button, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    event = QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, mime, button, keys)
    with notification_manager:
        tissue.drop.dropEvent(event)
    assert "drop one file or folder at a time" in notification_manager.records[-1].message
    session = session_of(viewer)
    qtbot.waitUntil(lambda: session.selected is not None, timeout=10_000)
    assert session.selected.section.n_spots == section.n_spots


def test_an_edit_redraws_only_what_it_changes(viewer, section, make_result):
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section), "SpaMask")
    tiles = layers.find_layer(viewer, item.id, "domains")
    spots = layers.find_layer(viewer, item.id, "spots")
    seen = []
    tiles.events.data.connect(lambda: seen.append("data"))
    tiles.events.colormap.connect(lambda: seen.append("colormap"))
    spots.events.face_color.connect(lambda: seen.append("face"))
    session.edit(session.selected_domains.state.renamed(0, "WM"))
    assert not seen
    assert spots.features["domain"].cat.categories[0] == "WM"
    session.edit(session.selected_domains.state.recoloured(0, "#101010"))
    assert "colormap" in seen
    assert "data" not in seen
    session.edit(session.selected_domains.state.merged([0, 1]))
    assert "data" in seen
