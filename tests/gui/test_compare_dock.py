"""The dock Compare, with real clicks in a real viewer."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QGuiApplication, QMouseEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QToolTip
from tests.gui.helpers import click

import napari_stmask as stm
from napari_stmask.gui.analyse.spot_values import ROLE
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.compare.choices import choices_of, two_newest
from napari_stmask.gui.layers import find_layer, layers_of
from napari_stmask.gui.session import session_of


@pytest.fixture
def dock(viewer, section, make_result, qtbot):
    """Two results of stripes: three of four columns, and four of three, numbered otherwise."""
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section), "SpaMask")
    other = make_result(section, key="other", k=4, shift=2)
    # Colours carry over from the last result; these are its own.
    domains = session.add_result(item.id, other, "SpaMask")
    colors = ("#D20000", "#6900F0", "#1E694B", "#875A1E")
    for row, color in enumerate(colors):
        domains.state = domains.state.recoloured(row, color)
    domains.write(section)
    dock = open_dock(viewer, "Compare")
    wait(qtbot, dock)
    return dock


def wait(qtbot, dock):
    qtbot.waitUntil(lambda: not dock.busy, timeout=20_000)
    assert dock.strip.isHidden(), dock.strip.text.text()


def pick(qtbot, combo, column):
    """Choose an entry with the keyboard, as a user can."""
    combo.setFocus()
    qtbot.keyClick(combo, Qt.Key.Key_Home)
    for _ in range(combo.findData(column)):
        qtbot.keyClick(combo, Qt.Key.Key_Down)
    combo.activated.emit(combo.currentIndex())
    assert combo.currentData() == column


def expected(dock):
    item = dock.session.selected
    return stm.compare(item.section, dock.first.currentData(), dock.second.currentData())


def at_spots(item, layer):
    """What a layer of the index map shows at each spot."""
    return np.array([layer.data[tuple(p)] for p in item.raster.pixels(item.section.coords)])


def press(qtbot, chart, pair):
    """Click on the area of a pair, brought into view."""
    qtbot.mouseClick(chart.viewport(), Qt.MouseButton.LeftButton, pos=chart.pixel_of(pair))


def layer_of(dock, key):
    return find_layer(dock.session.viewer, dock.session.selected_id, ROLE, f"compare_{key}")


def test_offers_results_variants_and_annotations(section, make_result):
    from napari_stmask.gui.model import DomainSet, Item

    result = make_result(section)
    result.refined = result.domains.codes.copy()
    result.views = {"gene": result.domains.codes}
    result.fit.views = {"gene": [np.zeros((section.n_spots, 2), np.float32)]}
    result.record["params"]["seed"] = 7
    result.apply(section.adata)
    item = Item("id", "tiny", section)
    item.domains["spamask"] = DomainSet.of_result(result, "SpaMask")
    obs = section.adata.obs
    obs["number"] = 1.5
    obs["barcode"] = obs.index.to_numpy()
    obs["empty"] = pd.Categorical([None] * section.n_spots)
    obs["flag"] = np.arange(section.n_spots) % 2 == 0
    found = choices_of(item)
    assert [c.column for c in found] == [
        "spamask_refined", "spamask", "spamask_gene", "half", "flag",
    ]  # fmt: skip
    assert found[0].title == "SpaMask k3, seed 7 \u00b7 smoothed"
    assert [c.title.rpartition(" \u00b7 ")[2] for c in found[1:3]] == ["not smoothed", "expression"]
    # A single result is compared with an annotation before its own variants.
    assert two_newest(found) == ("spamask_refined", "half")
    assert two_newest([]) == ("", "")


def test_compares_the_two_newest_and_follows(dock, qtbot):
    item = dock.session.selected
    assert (dock.first.currentData(), dock.second.currentData()) == ("other", "spamask")
    plain = expected(dock)
    assert f"ARI {plain.scores['ARI']:.3f}" in dock.scores.text()
    assert f"{plain.scores['agreeing']:.1%} of 144 spots" in dock.scores.text()
    pd.testing.assert_frame_equal(dock.table.frames.frame, plain.table)
    assert dock.table.frames.rowCount() == 4
    # Another annotation is offered at once, and what is compared stays.
    item.section.adata.obs["mine"] = pd.Categorical(["a", "b"] * 72)
    dock.session.obs_written(item.id)
    wait(qtbot, dock)
    assert dock.second.findData("mine") >= 0
    pick(qtbot, dock.second, "mine")
    wait(qtbot, dock)
    assert f"ARI {expected(dock).scores['ARI']:.3f}" in dock.scores.text()
    del item.section.adata.obs["mine"]
    dock.session.obs_written(item.id)
    wait(qtbot, dock)
    assert dock.second.currentData() == "spamask"
    # An edit of a result is followed.
    dock.session.select(item.id, "other")
    dock.session.edit(item.domains["other"].state.merged([0, 1]))
    wait(qtbot, dock)
    assert len(dock.shown.found.names[0]) == 3
    assert f"ARI {expected(dock).scores['ARI']:.3f}" in dock.scores.text()


def test_a_click_on_a_cell_or_ribbon_chooses_its_spots(dock, qtbot):
    item, found = dock.session.selected, expected(dock)
    i, j = np.argwhere(found.counts.to_numpy() > 0)[2]
    dock.scroller.ensureWidgetVisible(dock.confusion)
    press(qtbot, dock.confusion, (i, j))
    np.testing.assert_array_equal(item.chosen, found.spots_of(i, j))
    assert dock.confusion.current == (i, j)
    i, j = np.argwhere(found.counts.to_numpy() > 0)[-1]
    dock.scroller.ensureWidgetVisible(dock.sankey)
    press(qtbot, dock.sankey, (i, j))
    np.testing.assert_array_equal(item.chosen, found.spots_of(i, j))
    assert find_layer(dock.session.viewer, item.id, "selection") is not None
    # Pointing tells the numbers.
    place = QPointF(dock.sankey.pixel_of((i, j)))
    world = QPointF(dock.sankey.mapToGlobal(place.toPoint()))
    none = Qt.MouseButton.NoButton
    move = QMouseEvent(
        QEvent.Type.MouseMove, place, world, none, none, Qt.KeyboardModifier.NoModifier
    )
    dock.sankey.mouseMoveEvent(move)
    count = found.counts.iat[i, j]
    assert f"{count} spots" in QToolTip.text()
    # Outside of every ribbon nothing happens.
    before = item.chosen
    qtbot.mouseClick(dock.sankey.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(2, 2))
    assert item.chosen is before


def test_the_keyboard_chooses_too(dock, qtbot):
    item, found = dock.session.selected, expected(dock)
    rows, columns = found.order
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Right, Qt.Key.Key_Return):
        qtbot.keyClick(dock.confusion, key)
    np.testing.assert_array_equal(item.chosen, found.spots_of(rows[1], columns[1]))
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Return):
        qtbot.keyClick(dock.sankey, key)
    first = next(j for j in columns if found.counts.iat[rows[0], j])
    np.testing.assert_array_equal(item.chosen, found.spots_of(rows[0], first))


def test_a_row_chooses_what_a_domain_and_its_partner_do_not_share(dock, qtbot):
    item, found = dock.session.selected, expected(dock)
    index = dock.table.frames.index(1, 0)
    dock.scroller.ensureWidgetVisible(dock.table)
    place = dock.table.visualRect(index).center()
    qtbot.mouseClick(dock.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    row = found.table.iloc[1]
    one = item.section.adata.obs["other"] == row["domain"]
    two = item.section.adata.obs["spamask"] == row["partner"]
    assert (one != two).any()
    np.testing.assert_array_equal(item.chosen, np.flatnonzero(one != two))


def test_matched_colours_are_for_the_eye_until_they_are_taken(dock, qtbot):
    item, found = dock.session.selected, expected(dock)
    pick(qtbot, dock.first, "spamask")
    pick(qtbot, dock.second, "other")
    wait(qtbot, dock)
    found = expected(dock)
    domains = item.domains["other"]
    own = domains.state.colors
    assert dock.matched.isChecked()
    first = item.domains["spamask"].state.colors
    matched = dock.shown.colors[1]
    for j, i in found.partner.items():
        assert matched[j] == first[i]
    box = QPoint(8, dock.matched.height() // 2)
    qtbot.mouseClick(dock.matched, Qt.MouseButton.LeftButton, pos=box)
    assert list(dock.shown.colors[1]) == list(own)
    assert domains.state.colors == own
    dock.session.select(item.id, "spamask")
    click(qtbot, dock.take)
    wait(qtbot, dock)
    assert domains.state.colors == tuple(matched) != own
    assert item.section.adata.uns["other_colors"] == list(matched)
    layer = find_layer(dock.session.viewer, item.id, "domains", "other")
    shown = layer.colormap.color_dict[1][:3]
    np.testing.assert_allclose(shown, [int(matched[0][i : i + 2], 16) / 255 for i in (1, 3, 5)])
    dock.session.undo()
    wait(qtbot, dock)
    assert domains.state.colors == own
    # An annotation has no history of edits.
    pick(qtbot, dock.second, "half")
    wait(qtbot, dock)
    assert not dock.take.isEnabled()


def test_differences_over_the_tissue(dock, qtbot):
    item, found = dock.session.selected, expected(dock)
    count = len(dock.session.viewer.layers)
    click(qtbot, dock.tissue.differ)
    wait(qtbot, dock)
    layer = layer_of(dock, "differences")
    np.testing.assert_array_equal(at_spots(item, layer) == 2, found.disagree)
    assert layer.colormap.color_dict[1][3] == 0
    assert layer.colormap.color_dict[2][3] == 1
    assert f"{found.disagree.sum()} spots" in dock.tissue.legend.text()
    assert not dock.tissue.legend.isHidden()
    # It follows what is compared.
    pick(qtbot, dock.second, "half")
    wait(qtbot, dock)
    assert layer_of(dock, "differences") is layer
    np.testing.assert_array_equal(at_spots(item, layer) == 2, expected(dock).disagree)
    click(qtbot, dock.tissue.differ)
    assert not layer.visible
    assert len(dock.session.viewer.layers) == count + 1
    assert dock.tissue.legend.isHidden()
    # A layer that is deleted by hand is off.
    click(qtbot, dock.tissue.differ)
    wait(qtbot, dock)
    assert layer.visible
    dock.session.viewer.layers.remove(layer)
    assert not dock.tissue.differ.isChecked()
    click(qtbot, dock.tissue.choose)
    np.testing.assert_array_equal(item.chosen, np.flatnonzero(expected(dock).disagree))


def test_side_by_side_and_back(dock, qtbot, new_section):
    viewer, item = dock.session.viewer, dock.session.selected
    before = {layer.name: layer.visible for layer in viewer.layers}
    camera = viewer.scene.camera
    camera.zoom = 1.5
    centre, active = tuple(camera.center), viewer.layers.selection.active
    click(qtbot, dock.tissue.side_by_side)
    wait(qtbot, dock)
    one, two = layer_of(dock, "first"), layer_of(dock, "second")
    found = expected(dock)
    np.testing.assert_array_equal(at_spots(item, one), found.codes[0] + 1)
    np.testing.assert_array_equal(at_spots(item, two), found.codes[1] + 1)
    assert two.translate[1] > one.extent.world[1][1]
    visible = [x for x in layers_of(viewer, item.id, "domains", ROLE, "spots") if x.visible]
    assert visible == [one, two]
    qtbot.mouseClick(
        dock.matched, Qt.MouseButton.LeftButton, pos=QPoint(8, dock.matched.height() // 2)
    )
    color = two.colormap.color_dict[1][:3]
    own = item.domains["spamask"].state.colors[0]
    np.testing.assert_allclose(color, [int(own[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    click(qtbot, dock.tissue.side_by_side)
    after = {layer.name: layer.visible for layer in viewer.layers}
    assert {name: after[name] for name in before} == before
    assert not any(after[name] for name in after if name not in before)
    assert not one.visible
    assert not two.visible
    assert (tuple(camera.center), camera.zoom) == (centre, 1.5)
    assert viewer.layers.selection.active is active
    # Another section ends it as well.
    click(qtbot, dock.tissue.side_by_side)
    wait(qtbot, dock)
    dock.session.add(new_section(seed=2, name="next"))
    wait(qtbot, dock)
    assert not dock.tissue.side_by_side.isChecked()
    assert not any(layer.visible for layer in layers_of(viewer, item.id, ROLE))
    assert dock.shown is None
    assert not dock.empty.isHidden()
    dock.session.select(item.id)
    wait(qtbot, dock)
    assert dock.shown is not None


def test_two_docks_take_turns_side_by_side(dock, qtbot):
    """Else each would bring back what the other has made, and neither be off."""
    viewer, item = dock.session.viewer, dock.session.selected
    before = {layer.name: layer.visible for layer in viewer.layers}
    genes = open_dock(viewer, "Explore genes")
    qtbot.waitUntil(lambda: not genes.busy)
    click(qtbot, dock.tissue.side_by_side)
    wait(qtbot, dock)
    dock.session.choose_gene(item.id, "gene1")
    qtbot.waitUntil(lambda: not genes.busy)
    assert not dock.tissue.side_by_side.isChecked()
    assert not layer_of(dock, "first").visible
    raw = next(b for b, c in zip(genes.ticks.boxes, genes.ticks.choices, strict=True)
               if c.name == "counts")  # fmt: skip
    qtbot.mouseClick(raw, Qt.MouseButton.LeftButton, pos=QPoint(8, raw.height() // 2))
    qtbot.waitUntil(lambda: genes.beside.on and not genes.busy)
    click(qtbot, dock.tissue.side_by_side)
    wait(qtbot, dock)
    assert not genes.beside.on
    assert not genes.contrast.shown
    shown = [x for x in layers_of(viewer, item.id, "domains", ROLE, "spots") if x.visible]
    assert shown == [layer_of(dock, "first"), layer_of(dock, "second")]
    click(qtbot, dock.tissue.side_by_side)
    after = {layer.name: layer.visible for layer in viewer.layers}
    assert {name: after[name] for name in before} == before
    assert not any(after[name] for name in after if name not in before)


@pytest.mark.parametrize("on", [True, False])
def test_a_file_keeps_nothing_of_a_comparison(dock, qtbot, tmp_path, on):
    viewer, item = dock.session.viewer, dock.session.selected
    before = [(layer.name, layer.visible) for layer in viewer.layers]
    for button in (dock.tissue.side_by_side, dock.tissue.differ):
        click(qtbot, button)
        wait(qtbot, dock)
    dock.session.choose_spots(item.id, [1, 2])
    dock.session.choose_spots(item.id, ())
    if not on:
        click(qtbot, dock.tissue.side_by_side)
        click(qtbot, dock.tissue.differ)
    # Two labelings, differences, captions and chosen spots.
    assert len(viewer.layers) == len(before) + 5
    path = stm.save_desk(viewer, tmp_path / "desk.h5ad")
    assert json.loads(stm.read(path).adata.uns["stmask_desk"])["layers"]
    again = ViewerModel()
    stm.view(path, again)
    assert [(layer.name, layer.visible) for layer in again.layers] == before


def test_exports(dock, qtbot, tmp_path, monkeypatch):
    found = expected(dock)
    for button, name in ((dock.export.table, "t.csv"), (dock.export.figure, "c.svg")):
        monkeypatch.setattr(
            QFileDialog, "getSaveFileName", lambda *a, n=name, **k: (str(tmp_path / n), "")
        )
        click(qtbot, button)
        wait(qtbot, dock)
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["shared"].tolist() == found.table["shared"].tolist()
    dock.figure.setFocus()
    qtbot.keyClick(dock.figure, Qt.Key.Key_Down)
    assert dock.figure.currentText() == "Ribbons"
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *a, **k: (str(tmp_path / "r.svg"), "")
    )
    click(qtbot, dock.export.figure)
    wait(qtbot, dock)
    assert str(tmp_path / "r.svg") in dock.state.text()
    one, two = ((tmp_path / n).read_text(encoding="utf-8") for n in ("c.svg", "r.svg"))
    assert one != two
    assert "<svg" in one


def test_recipes_run_as_pasted(dock, qtbot, tmp_path, monkeypatch):
    item, found = dock.session.selected, expected(dock)
    monkeypatch.chdir(tmp_path)
    # These two were made without a run: their records cannot repeat it.
    for key in ("spamask", "other"):
        record = {"method": "spamask", "key": key}
        item.section.adata.uns["stmask"][key] = json.dumps(record)
    stm.write(item.section, "result.h5ad")
    click(qtbot, dock.python)
    script = QGuiApplication.clipboard().text()
    space = {}
    exec(script, space)
    assert space["found"].scores == found.scores
    click(qtbot, dock.command)
    *lines, last = QGuiApplication.clipboard().text().splitlines()
    assert all(line.startswith("#") for line in lines)
    assert last == "napari-stmask compare result.h5ad --first other --second spamask"


def test_a_result_that_can_be_made_again(viewer, section, small_run, qtbot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section.source = str(stm.write(section, "in put.h5ad"))
    result = stm.run("spamask", section, preset="defaults", **small_run.model_dump())
    session = session_of(viewer)
    item = session.add(section)
    dock = open_dock(viewer, "Compare")
    wait(qtbot, dock)
    first = dock.first.currentData()
    assert first.startswith(result.key)
    assert dock.second.currentData() == "half"
    click(qtbot, dock.python)
    space = {}
    exec(QGuiApplication.clipboard().text(), space)
    again = space["found"]
    here = stm.compare(item.section, first, "half")
    np.testing.assert_array_equal(again.counts, here.counts)
    click(qtbot, dock.command)
    run, compare = QGuiApplication.clipboard().text().splitlines()
    assert run.startswith("napari-stmask run spamask")
    assert run.endswith("--out result.h5ad")
    assert compare == f"napari-stmask compare result.h5ad --first {first} --second half"


def test_failures_are_sentences(dock, qtbot):
    item = dock.session.selected
    obs = item.section.adata.obs
    obs["a"] = pd.Categorical(["x"] * 72 + [None] * 72)
    obs["b"] = pd.Categorical([None] * 72 + ["x"] * 72)
    dock.session.obs_written(item.id)
    pick(qtbot, dock.first, "a")
    pick(qtbot, dock.second, "b")
    qtbot.waitUntil(lambda: not dock.busy, timeout=20_000)
    assert "no spot has a label in both" in dock.strip.text.text()
    assert dock.shown is None
    assert not dock.python.isEnabled()
    assert not dock.scores.text()
    pick(qtbot, dock.second, "half")
    wait(qtbot, dock)
    assert dock.shown is not None


def test_every_control_says_what_it_is(dock):
    from qtpy.QtWidgets import QAbstractButton, QComboBox

    for control in dock.findChildren(QAbstractButton) + dock.findChildren(QComboBox):
        if control.isVisibleTo(dock) and control is not dock.combo:
            assert control.toolTip() or control.objectName().startswith("qt_"), control
    for chart in (dock.confusion, dock.sankey):
        assert chart.accessibleName()
        assert "spots" in chart.accessibleDescription()
    QApplication.processEvents()
