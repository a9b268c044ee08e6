"""The dock Domains: order, numbers of each domain, other partitions, chosen spots; real clicks."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication

from napari_stmask.analysis.domain_facts import domain_facts, top_markers
from napari_stmask.core.provenance import records
from napari_stmask.gui import layers
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.legend_model import AREA, COUNT, MARKERS, NAME
from napari_stmask.gui.session import session_of

from .helpers import click, fill


@pytest.fixture
def desk(make_napari_viewer, section, make_result):
    """Viewer with a result of three domains, the dock, its item."""
    viewer = make_napari_viewer()
    item = fill(viewer, section, make_result(section, k=3))
    return viewer, open_dock(viewer, "Domains"), item


def tiles(viewer, item, key="spamask"):
    found = layers.find_layer(session_of(viewer).viewer, item.id, "domains", key)
    return item.raster.pixels(item.section.coords), found


def shown(viewer, item, key="spamask"):
    """Code below the centre of every spot, as it is drawn."""
    pixels, layer = tiles(viewer, item, key)
    return np.asarray(layer.data)[tuple(pixels.T)].astype(int) - 1


def pick(dock, *rows):
    dock.table.clearSelection()
    dock.table.select(rows, (rows[0], NAME))


def test_numbers_of_each_domain_are_those_of_the_analysis(desk, qtbot):
    _, dock, item = desk
    qtbot.waitUntil(lambda: dock.model.facts is not None)
    state = item.domains["spamask"].state
    facts = domain_facts(item.section, state.codes, 3, key="spamask")
    for row in range(3):
        assert dock.model.index(row, COUNT).data() == f"{facts['spots'][row]:,}"
        area = facts["area_mm2"][row]
        told = dock.model.index(row, AREA).data()
        assert (told is None) == bool(np.isnan(area))
        if told is not None:
            assert float(told) == pytest.approx(area, rel=0.01)
    genes = top_markers(item.section, state.codes, ["a", "b", "c"])
    first = genes[genes["domain"] == "a"]["gene"]
    assert dock.model.index(0, MARKERS).data() == ", ".join(first)
    pick(dock, 0)
    assert dock.details.text().startswith(f"1: {facts['spots'][0]:,} spots")


def test_up_down_and_sort_change_the_list_not_the_tissue(desk, qtbot):
    viewer, dock, item = desk
    before = item.section.adata.obs["spamask"].astype(str).to_numpy()
    counts = item.domains["spamask"].state.counts
    pick(dock, 0)
    click(qtbot, dock.down)
    assert item.domains["spamask"].state.names == ("2", "1", "3")
    assert dock.table.rows() == [1]
    assert list(item.section.adata.obs["spamask"].cat.categories) == ["2", "1", "3"]
    np.testing.assert_array_equal(item.section.adata.obs["spamask"].astype(str), before)
    np.testing.assert_array_equal(shown(viewer, item), item.domains["spamask"].state.codes)
    click(qtbot, dock.up)
    assert item.domains["spamask"].state.names == ("1", "2", "3")
    qtbot.keyClick(dock.table, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert item.domains["spamask"].state.names == ("2", "1", "3")
    click(qtbot, dock.sort)
    assert list(item.domains["spamask"].state.counts) == sorted(counts, reverse=True)
    for _ in range(4):
        click(qtbot, dock.undo)
    assert item.domains["spamask"].state.names == ("1", "2", "3")
    assert not dock.undo.isEnabled()


def test_spots_of_domains_become_the_chosen_ones(desk, qtbot):
    viewer, dock, item = desk
    pick(dock, 1)
    click(qtbot, dock.choose)
    codes = item.domains["spamask"].state.codes
    np.testing.assert_array_equal(item.chosen, np.flatnonzero(codes == 1))
    inner = session_of(viewer).viewer
    layer = layers.find_layer(inner, item.id, "selection")
    pixels = item.raster.pixels(item.section.coords)
    np.testing.assert_array_equal(np.asarray(layer.data)[tuple(pixels.T)] == 1, codes == 1)
    session_of(viewer).choose_spots(item.id, ())
    assert not layer.visible
    assert not np.any(layer.data)
    # Chosen again, they are seen again, unless the user hides them.
    session_of(viewer).choose_spots(item.id, [3])
    assert layer.visible
    assert layers.layers_of(inner, item.id, "selection") == [layer]
    layer.visible = False
    session_of(viewer).choose_spots(item.id, [4])
    assert not layer.visible


def test_split_here_is_an_edit_that_undo_takes_back(desk, qtbot):
    viewer, dock, item = desk
    start = item.domains["spamask"].state
    pick(dock, 1)
    dock.divide.of.setCurrentText("Selected domains")
    with qtbot.waitSignal(session_of(viewer).domains_changed, timeout=20_000):
        click(qtbot, dock.divide.split)
    state = item.domains["spamask"].state
    assert state.names == ("1", "2.1", "2.2", "3")
    inside = start.codes == 1
    assert set(np.unique(state.codes[inside])) == {1, 2}
    np.testing.assert_array_equal(shown(viewer, item), state.codes)
    assert item.section.adata.obs["spamask"].cat.categories.tolist() == ["1", "2.1", "2.2", "3"]
    after = item.domains["spamask"].state
    click(qtbot, dock.undo)
    click(qtbot, dock.redo)
    assert item.domains["spamask"].state == after
    click(qtbot, dock.undo)
    assert item.domains["spamask"].state is start
    assert item.section.adata.obs["spamask"].cat.categories.tolist() == ["1", "2", "3"]


def run(qtbot, viewer, dock):
    with qtbot.waitSignal(session_of(viewer).domains_changed, timeout=20_000):
        click(qtbot, dock.divide.run)


def test_another_number_is_a_result_of_its_own(desk, qtbot):
    viewer, dock, item = desk
    dock.divide.count.setValue(5)
    run(qtbot, viewer, dock)
    assert session_of(viewer).selected_key == "spamask_k5"
    assert set(records(item.section.adata)) == {"spamask", "spamask_k5"}
    codes = item.section.adata.obs["spamask_k5"].cat.codes
    assert codes.nunique() == 5
    np.testing.assert_array_equal(shown(viewer, item, "spamask_k5"), codes)
    assert not tiles(viewer, item)[1].visible
    assert dock.results.count() == 2


def test_chosen_spots_are_divided_and_named(desk, qtbot):
    viewer, dock, item = desk
    assert dock.divide.run.isEnabled()
    dock.divide.of.setCurrentText("Chosen spots")
    assert not dock.divide.run.isEnabled()
    assert "Choose spots first" in dock.divide.row.why.text()
    rows = np.arange(0, item.section.n_spots, 2)
    session_of(viewer).choose_spots(item.id, rows)
    assert dock.divide.run.isEnabled()
    dock.divide.key.setText("mine")
    run(qtbot, viewer, dock)
    column = item.section.adata.obs["mine"].astype(str).to_numpy()
    parts = np.char.startswith(column.astype("U"), "chosen.")
    np.testing.assert_array_equal(np.flatnonzero(parts), rows)
    assert item.section.adata.obs["chosen_spots"].notna().sum() == len(rows)


def test_selected_domains_become_parts_of_a_new_result(desk, qtbot):
    viewer, dock, item = desk
    click_rename = dock.model.setData(dock.model.index(0, NAME), "Tumour", Qt.ItemDataRole.EditRole)
    assert click_rename
    pick(dock, 0)
    dock.divide.of.setCurrentText("Selected domains")
    run(qtbot, viewer, dock)
    names = item.domains["spamask_sub"].state.names
    assert set(names) == {"2", "3", "Tumour.1", "Tumour.2"}
    # What was named is in the exported file only.
    dock.results.setCurrentIndex(dock.results.findData("spamask"))
    dock.results.activated.emit(dock.results.currentIndex())
    pick(dock, 0)
    click(qtbot, dock.divide.python)
    text = QGuiApplication.clipboard().text()
    assert "stm.read('result.h5ad')" in text
    assert "stm.subcluster(section, 'spamask', 'Tumour'" in text
    click(qtbot, dock.divide.command)
    assert (
        "subcluster result.h5ad --key spamask --within Tumour" in QGuiApplication.clipboard().text()
    )


def test_choosing_the_number_disables_the_field(desk, qtbot):
    _, dock, _ = desk
    dock.divide.auto.setChecked(True)
    assert not dock.divide.count.isEnabled()
    dock.divide.clustering.setCurrentIndex(dock.divide.clustering.findData("kmeans"))
    click(qtbot, dock.divide.command)
    text = QGuiApplication.clipboard().text()
    assert text.splitlines()[-1].startswith("napari-stmask recluster result.h5ad --key spamask")
    assert "--auto" in text
    assert "--clustering kmeans" in text


def test_cancel_leaves_everything(desk, qtbot, monkeypatch):
    _, dock, item = desk
    from napari_stmask.core.progress import Progress
    from napari_stmask.gui import divide_part

    def endless(*args, **options):
        while True:
            yield Progress(0, 1, "clustering")

    monkeypatch.setattr(divide_part, "recluster_steps", endless)
    click(qtbot, dock.divide.run)
    qtbot.waitUntil(lambda: dock.divide.cancel.isVisibleTo(dock.divide))
    assert not dock.divide.run.isEnabled()
    click(qtbot, dock.divide.cancel)
    qtbot.waitUntil(dock.divide.run.isEnabled)
    assert set(records(item.section.adata)) == {"spamask"}


def test_a_failure_is_told(desk, qtbot):
    _, dock, item = desk
    dock.divide.key.setText("total")
    item.section.adata.obs["total"] = 1.0
    click(qtbot, dock.divide.run)
    qtbot.waitUntil(lambda: dock.divide.row.strip.isVisibleTo(dock.divide))
    assert "holds something that no run wrote" in dock.divide.row.strip.text.text()


def test_report_is_written_from_the_window(desk, qtbot, monkeypatch, tmp_path):
    _, dock, _ = desk
    from napari_stmask.gui import fields

    target = tmp_path / "tissue"
    monkeypatch.setattr(
        fields.QFileDialog, "getSaveFileName", staticmethod(lambda *_: (str(target), ""))
    )
    click(qtbot, dock.report)
    qtbot.waitUntil(lambda: dock.state.text().startswith("Written"), timeout=20_000)
    text = (tmp_path / "tissue.html").read_text(encoding="utf-8")
    assert "SpaMask" in text
