"""The dock Explore genes, with real clicks and keys in a real viewer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QColor, QGuiApplication, QMouseEvent
from qtpy.QtWidgets import QApplication, QColorDialog, QFileDialog
from tests.gui.helpers import canvas_place, click

import napari_stmask as stm
from napari_stmask.analysis.gene_set_scores import gene_set_score
from napari_stmask.gui.analyse.spot_values import ROLE
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.explore.limits import followed
from napari_stmask.gui.layer_tuples import our_meta
from napari_stmask.gui.layers import find_layer
from napari_stmask.gui.limits import default_limits, ordered
from napari_stmask.gui.session import session_of


@pytest.fixture
def rich(section):
    """With denoised values of half of the genes, as a run leaves them."""
    rng = np.random.default_rng(1)
    layer = rng.gamma(2, 0.4, section.adata.shape).astype(np.float32)
    section.adata.layers["vimst_denoised"] = layer
    section.adata.var["vimst_denoised"] = np.arange(40) < 20
    record = {"method": "vimst", "params": {"log_transform": True}}
    section.adata.uns["stmask"] = {"vimst": json.dumps(record)}
    section.adata.var["gene_ids"] = [f"ENSG{i:011d}" for i in range(40)]
    return section


@pytest.fixture
def dock(viewer, rich, qtbot):
    session_of(viewer).add(rich)
    dock = open_dock(viewer, "Explore genes")
    wait(qtbot, dock)
    return dock


def wait(qtbot, dock):
    qtbot.waitUntil(lambda: not dock.busy, timeout=20_000)
    assert dock.strip.isHidden() or "No values" in dock.strip.text.text(), dock.strip.text.text()


def choose(qtbot, dock, gene):
    dock.search.line.clear()
    qtbot.keyClicks(dock.search.line, gene)
    qtbot.keyClick(dock.search.line, Qt.Key.Key_Return)
    wait(qtbot, dock)


def tick(qtbot, dock, *names):
    """Click boxes until exactly these are ticked."""
    for box, choice in zip(dock.ticks.boxes, dock.ticks.choices, strict=True):
        if box.isChecked() != (choice.name in names):
            place = QPoint(8, box.height() // 2)
            qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=place)
    assert {c.name for c in dock.ticks.ticked()} == set(names)
    wait(qtbot, dock)


def layer_of(dock, source):
    return find_layer(dock.viewer, dock.session.selected_id, ROLE, f"explore_{source}")


def drawn(dock, layer):
    """One number a spot, read off the picture."""
    item = dock.session.selected
    return np.array(
        [layer.data[tuple(p)] for p in item.raster.pixels(item.section.coords)], dtype=np.float32
    )


def visible(dock):
    return {
        our_meta(x)["value"] for x in dock.viewer.layers if "value" in our_meta(x) and x.visible
    }


def captions(dock):
    found = [x for x in dock.viewer.layers if our_meta(x).get("role") == "captions" and x.visible]
    return [title for layer in found for title in layer.features["title"]]


def test_typing_arrows_and_return_show_a_gene(dock, qtbot):
    line, model = dock.search.line, dock.search.model
    assert dock.search.count.text() == "40 of 40 genes."
    qtbot.keyClicks(line, "GENE3")
    assert model.index(0, 0).data() == "gene3  \u00b7  ENSG00000000003"
    assert dock.search.count.text().startswith("11 of 40")
    qtbot.keyClick(line, Qt.Key.Key_Down)
    qtbot.keyClick(line, Qt.Key.Key_Down)
    qtbot.keyClick(line, Qt.Key.Key_Up)
    gene = dock.search.list.currentIndex().data(Qt.ItemDataRole.UserRole)
    assert dock.search.list.currentIndex().row() == 1
    seen = []
    dock.session.gene_selected.connect(lambda *a: seen.append(a))
    qtbot.keyClick(line, Qt.Key.Key_Return)
    wait(qtbot, dock)
    item = dock.session.selected
    assert seen == [(item.id, gene)]
    assert item.gene == gene
    layer = layer_of(dock, "normalised")
    np.testing.assert_array_equal(drawn(dock, layer), stm.gene_values(item.section, gene))
    assert gene in layer.name
    limits = default_limits(ordered(stm.gene_values(item.section, gene)))
    np.testing.assert_allclose(layer.contrast_limits, limits)


def test_id_and_click_in_the_list_use_the_same_layer_again(dock, qtbot):
    choose(qtbot, dock, "gene5")
    first, count = layer_of(dock, "normalised"), len(dock.viewer.layers)
    dock.search.line.clear()
    qtbot.keyClicks(dock.search.line, "ensg00000000007")
    listed = dock.search.list
    place = listed.visualRect(dock.search.model.index(0, 0)).center()
    qtbot.mouseClick(listed.viewport(), Qt.MouseButton.LeftButton, pos=place)
    wait(qtbot, dock)
    assert layer_of(dock, "normalised") is first
    assert len(dock.viewer.layers) == count
    assert "gene7" in first.name
    assert dock.search.line.text() == "gene7"
    dock.search.line.clear()
    qtbot.keyClicks(dock.search.line, "nothing like it")
    qtbot.keyClick(dock.search.line, Qt.Key.Key_Return)
    assert dock.session.selected.gene == "gene7"


def test_another_dock_chooses_the_gene(dock, qtbot):
    item = dock.session.selected
    dock.session.choose_gene(item.id, "gene9")
    wait(qtbot, dock)
    assert dock.search.line.text() == "gene9"
    assert "gene9" in layer_of(dock, "normalised").name
    dock.session.choose_gene(item.id, "")
    assert not layer_of(dock, "normalised").visible
    assert not dock.python.isEnabled()


def test_sources_lie_side_by_side_and_everything_comes_back(dock, qtbot):
    viewer = dock.viewer
    viewer.canvas.grid.enabled = True
    before = {x: x.visible for x in viewer.layers}
    choose(qtbot, dock, "gene5")
    home = np.array(layer_of(dock, "normalised").translate)
    before = {x: x.visible for x in viewer.layers}
    tick(qtbot, dock, "counts", "normalised", "vimst_denoised")
    assert not viewer.canvas.grid.enabled
    item = dock.session.selected
    three = [layer_of(dock, s) for s in ("counts", "normalised", "vimst_denoised")]
    np.testing.assert_array_equal(
        drawn(dock, three[0]), item.section.adata.X[:, [5]].toarray().T[0]
    )
    np.testing.assert_array_equal(
        drawn(dock, three[2]), item.section.adata.layers["vimst_denoised"][:, 5]
    )
    boxes = [np.asarray(layer.extent.world) for layer in three]
    for i in range(3):
        for j in range(i):
            apart = (boxes[i][0] >= boxes[j][1]) | (boxes[j][0] >= boxes[i][1])
            assert apart.any()
    np.testing.assert_allclose(three[0].translate, home)
    assert visible(dock) == {"counts", "normalised", "vimst_denoised"}
    assert captions(dock) == [
        "gene5 \u00b7 " + t for t in ("raw counts", "normalised", "denoised (ViMST)")
    ]
    tick(qtbot, dock, "normalised")
    assert captions(dock) == []
    assert visible(dock) == {"normalised"}
    np.testing.assert_allclose(layer_of(dock, "normalised").translate, home)
    assert viewer.canvas.grid.enabled
    assert {x: x.visible for x in before} == before
    # The next time the same layer is written to, above all others.
    count = len(viewer.layers)
    tick(qtbot, dock, "counts", "normalised")
    assert captions(dock) == ["gene5 \u00b7 " + t for t in ("raw counts", "normalised")]
    assert len(viewer.layers) == count
    assert our_meta(viewer.layers[-1])["role"] == "captions"
    assert len(viewer.layers[-1].data) == 2
    tick(qtbot, dock)
    assert visible(dock) == set()


def test_a_gene_that_was_not_denoised_is_said(dock, qtbot):
    tick(qtbot, dock, "normalised", "vimst_denoised")
    choose(qtbot, dock, "gene30")
    assert "No values of gene30 in: denoised (ViMST)" in dock.strip.text.text()
    assert visible(dock) == {"normalised"}
    choose(qtbot, dock, "gene3")
    assert dock.strip.isHidden()
    assert visible(dock) == {"normalised", "vimst_denoised"}


def test_dragged_line_recolours_linked_layers(dock, qtbot):
    tick(qtbot, dock, "counts", "normalised", "vimst_denoised")
    choose(qtbot, dock, "gene5")
    part = dock.contrast
    part.front.setCurrentIndex(1)
    part.front.activated.emit(1)
    dock.scroller.ensureWidgetVisible(part.chart)
    QApplication.processEvents()
    chart, low = part.chart, part.low.value()

    def place(value):
        scene = chart.box.mapViewToScene(QPointF(value, chart.box.viewRange()[1][1] * 0.4))
        return chart.mapFromScene(scene)

    target = (part.low.value() + part.high.value()) / 2
    start, end, port = place(part.high.value()), place(target), chart.viewport()
    qtbot.mouseMove(port, start)
    qtbot.mousePress(port, Qt.MouseButton.LeftButton, pos=start)
    for share in (0.3, 0.7, 1.0):
        step = QPoint(round(start.x() + share * (end.x() - start.x())), start.y())
        qtbot.mouseMove(port, step)
        qtbot.wait(40)
    qtbot.mouseRelease(port, Qt.MouseButton.LeftButton, pos=end)
    qtbot.wait(60)
    values = {one.reading.choice.name: one.reading.known for one in part.shown}
    high = part.high.value()
    assert high == pytest.approx(target, abs=0.15 * target)
    for name in ("normalised", "vimst_denoised"):
        np.testing.assert_allclose(layer_of(dock, name).contrast_limits, (low, high), atol=2e-3)
    expected = followed((low, high), values["normalised"], values["counts"])
    np.testing.assert_allclose(layer_of(dock, "counts").contrast_limits, expected, rtol=0.1)
    assert "raw counts" in part.ends.text()
    click(qtbot, part.reset)
    assert layer_of(dock, "counts").contrast_limits[1] == pytest.approx(
        default_limits(values["counts"])[1]
    )


def test_fields_without_link_change_one_layer_and_colours_all(dock, qtbot):
    tick(qtbot, dock, "normalised", "vimst_denoised")
    choose(qtbot, dock, "gene5")
    part = dock.contrast
    QApplication.processEvents()
    place = QPoint(8, part.linked.height() // 2)
    qtbot.mouseClick(part.linked, Qt.MouseButton.LeftButton, pos=place)
    assert not part.linked.isChecked()
    other = tuple(layer_of(dock, "vimst_denoised").contrast_limits)
    middle = round((part.low.value() + part.high.value()) / 2, 3)
    part.high.setValue(middle)
    qtbot.wait(60)
    assert layer_of(dock, "normalised").contrast_limits[1] == pytest.approx(middle)
    assert tuple(layer_of(dock, "vimst_denoised").contrast_limits) == other
    part.colormap.setCurrentText("cividis")
    part.colormap.activated.emit(part.colormap.currentIndex())
    for name in ("normalised", "vimst_denoised"):
        assert layer_of(dock, name).colormap.name == "cividis"
    choose(qtbot, dock, "gene6")
    assert layer_of(dock, "normalised").colormap.name == "cividis"


def test_pins_stay_come_back_and_go(dock, qtbot):
    choose(qtbot, dock, "gene5")
    click(qtbot, dock.pins.pin)
    choose(qtbot, dock, "gene6")
    click(qtbot, dock.pins.pin)
    titles = [dock.pins.list.item(i).text() for i in range(2)]
    assert ["gene5" in titles[0], "gene6" in titles[1]] == [True, True]
    pin = layer_of(dock, "pin_1")
    assert not pin.visible
    expected = stm.gene_values(dock.session.selected.section, "gene5")

    def press(row):
        place = dock.pins.list.visualItemRect(dock.pins.list.item(row)).center()
        qtbot.mouseClick(dock.pins.list.viewport(), Qt.MouseButton.LeftButton, pos=place)

    press(0)
    assert visible(dock) == {"pin_1"}
    np.testing.assert_array_equal(drawn(dock, pin), expected)
    dock.viewer.layers.remove(pin)
    press(0)
    np.testing.assert_array_equal(drawn(dock, layer_of(dock, "pin_1")), expected)
    click(qtbot, dock.pins.remove)
    assert layer_of(dock, "pin_1") is None
    assert dock.pins.list.count() == 1
    assert layer_of(dock, "pin_2") is not None


def moved(x, y):
    """The pointer without a button; Qt's own helper needs a window that is shown."""
    none = Qt.MouseButton.NoButton
    place = QPointF(float(x), float(y))
    kind = QEvent.Type.MouseMove
    return QMouseEvent(kind, place, place, none, none, Qt.KeyboardModifier.NoModifier)


def test_hover_says_the_values_without_a_points_layer(dock, qtbot):
    viewer, item = dock.viewer, dock.session.selected
    tick(qtbot, dock, "counts", "normalised")
    choose(qtbot, dock, "gene5")
    viewer.layers.remove(find_layer(viewer, item.id, "spots"))
    value = stm.gene_values(item.section, "gene5")[40]
    native = viewer.window._qt_viewer.canvas.native
    row, column = canvas_place(viewer, item, 40)
    QApplication.sendEvent(native, moved(column, row))
    qtbot.waitUntil(lambda: "spot40" in dock.readout.text(), timeout=3_000)
    assert f"normalised {value:.4g} log1p CP10k" in dock.readout.text()
    assert viewer.help == dock.readout.text()
    # The same spot in the second cell.
    other = layer_of(dock, "normalised")
    place = other.data_to_world(item.raster.pixels(item.section.coords[[40]])[0])
    dock._on_pointer((float(place[0]), float(place[1])))
    assert "spot40" in dock.readout.text()
    dock._on_pointer((-1e6, -1e6))
    assert dock.readout.text().startswith("Point at")


def test_blend_of_two_genes_with_its_legend(dock, qtbot, monkeypatch):
    dock.blend_fold.expand(animate=False)
    for gene in ("gene5", "gene20"):
        choose(qtbot, dock, gene)
        click(qtbot, dock.blend.add)
    assert not dock.blend.add.isEnabled()
    place = QPoint(8, dock.blend.on.height() // 2)
    qtbot.mouseClick(dock.blend.on, Qt.MouseButton.LeftButton, pos=place)
    wait(qtbot, dock)
    assert visible(dock) == {"blend"}
    assert "gene5 magenta, gene20 green" in dock.blend.legend.text()
    item = dock.session.selected
    rows, columns = item.raster.pixels(item.section.coords).T
    colours = layer_of(dock, "blend").data[rows, columns]
    values = stm.gene_values(item.section, "gene5")
    top = values >= default_limits(ordered(values))[1]
    assert (colours[top][:, [0, 2]] == 255).all()
    np.testing.assert_array_equal(colours[:, 0], colours[:, 2])
    monkeypatch.setattr(QColorDialog, "getColor", lambda *a: QColor("#ffff00"))
    click(qtbot, dock.blend.swatches[0])
    wait(qtbot, dock)
    assert "gene5 yellow" in dock.blend.legend.text()
    assert (layer_of(dock, "blend").data[rows, columns][:, 2] == 0).all()
    qtbot.mouseClick(dock.blend.on, Qt.MouseButton.LeftButton, pos=place)
    wait(qtbot, dock)
    assert visible(dock) == {"normalised"}
    assert dock.blend.legend.isHidden()
    click(qtbot, dock.blend.drops[0])
    assert dock.blend.parts() == [("gene20", "#00FF00")]
    assert not dock.blend.on.isEnabled()


def test_gene_set_is_scored_shown_kept_and_copied(dock, qtbot, monkeypatch, tmp_path):
    dock.sets_fold.expand(animate=False)
    item, part = dock.session.selected, dock.sets
    assert not part.run.isEnabled()
    assert not part.keep.isEnabled()
    path = tmp_path / "sets.gmt"
    path.write_text("left\tx\t" + "\t".join(f"gene{i}" for i in range(6)) + "\tnone\n")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a: (str(path), ""))
    click(qtbot, part.load)
    assert "6 of 7 genes" in part.genes.lacking.text()
    part.kind.setCurrentIndex(part.kind.findData("mean_z"))
    click(qtbot, part.run)
    wait(qtbot, dock)
    expected = gene_set_score(item.section, [f"gene{i}" for i in range(6)], "mean_z").values
    np.testing.assert_allclose(drawn(dock, layer_of(dock, "score")), expected, rtol=1e-5)
    assert visible(dock) == {"score"}
    written = []
    dock.session.obs_changed.connect(written.append)
    assert part.column.text() == "left_score"
    click(qtbot, part.keep)
    np.testing.assert_array_equal(item.section.adata.obs["left_score"], expected)
    assert written == [item.id]
    item.section.adata.obs.drop(columns="left_score", inplace=True)
    click(qtbot, part.python)
    script = QGuiApplication.clipboard().text()
    names: dict = {}
    exec(
        script.replace("...  # a Section, an AnnData or a path", "given"),
        {"given": item.section},
        names,
    )
    np.testing.assert_array_equal(item.section.adata.obs["left_score"], expected)
    part.column.setText("half")
    click(qtbot, part.keep)
    assert "no score" in dock.strip.text.text()


def test_modules_of_a_run_are_offered(dock, qtbot):
    section = dock.session.selected.section
    section.adata.var["spacex_module"] = ["1"] * 20 + ["2"] * 20
    section.adata.uns["stmask"]["spacex"] = json.dumps({"method": "spacex"})
    dock.session.domains_changed.emit(dock.session.selected_id, "")
    wait(qtbot, dock)
    part = dock.sets
    row = part.genes.sets.findData("spacex module 2")
    part.genes.sets.setCurrentIndex(row)
    part.genes.sets.activated.emit(row)
    assert part.genes.genes() == tuple(f"gene{i}" for i in range(20, 40))


def test_copied_script_reads_what_is_shown(dock, qtbot):
    tick(qtbot, dock, "normalised", "vimst_denoised")
    choose(qtbot, dock, "gene5")
    click(qtbot, dock.python)
    script = QGuiApplication.clipboard().text()
    section, names = dock.session.selected.section, {}
    exec(
        script.replace("...  # a Section, an AnnData or a path", "given"), {"given": section}, names
    )
    assert list(names["values"]) == ["normalised", "denoised (ViMST)"]
    for one in dock.contrast.shown:
        found = names["values"][one.reading.choice.title]
        np.testing.assert_array_equal(found, one.reading.values)


def test_prediction_is_a_source_of_its_target_and_sections_change(dock, qtbot, new_section):
    target = dock.session.selected
    made = new_section(seed=3, name="made")
    made.adata.X = (made.adata.X * 0.3).tocsr()
    record = {"method": "spahgc", "target": target.section.name, "params": {}}
    made.adata.uns["stmask_prediction"] = json.dumps(record)
    predicted = dock.session.add(made)
    wait(qtbot, dock)
    assert [c.name for c in dock.ticks.ticked()] == ["predicted"]
    dock.session.select(target.id)
    wait(qtbot, dock)
    names = [c.name for c in dock.ticks.choices]
    assert names == ["counts", "normalised", "vimst_denoised", f"{predicted.id}/predicted"]
    tick(qtbot, dock, "normalised", f"{predicted.id}/predicted")
    choose(qtbot, dock, "gene5")
    layer = find_layer(dock.viewer, predicted.id, ROLE, "explore_predicted")
    own = layer_of(dock, "normalised")
    assert layer.visible
    assert own.visible
    assert layer.extent.world[0][1] > own.extent.world[1][1]
    np.testing.assert_array_equal(layer.contrast_limits, own.contrast_limits)
    dock.session.select(predicted.id)
    wait(qtbot, dock)
    home = np.asarray(find_layer(dock.viewer, predicted.id, "spots").translate)
    assert np.abs(np.asarray(layer.translate) - home).max() < 60
    assert not own.visible


def test_a_section_that_is_closed_leaves_nothing_behind(dock, qtbot):
    tick(qtbot, dock, "counts", "normalised")
    choose(qtbot, dock, "gene5")
    item = dock.session.selected
    for layer in [x for x in dock.viewer.layers if our_meta(x).get("section_id") == item.id]:
        dock.viewer.layers.remove(layer)
    wait(qtbot, dock)
    assert dock.session.selected is None
    assert not len(dock.viewer.layers)
    assert not dock.empty.isHidden()
    assert not dock.contrast.shown
    for control in (dock.search, dock.pins.pin, dock.python, dock.blend.add, dock.sets.run):
        assert not control.isEnabled()
    assert dock.search.model.rowCount() == 0


def test_every_control_has_a_name_and_a_sentence(dock):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QListView

    dock.blend_fold.expand(animate=False)
    dock.sets_fold.expand(animate=False)
    kinds = (QAbstractButton, QComboBox, QAbstractSpinBox, QListView)
    own = [w for kind in kinds for w in dock.findChildren(kind) if w.isVisibleTo(dock)]
    own = [w for w in own if w.objectName() == "" and not isinstance(w.parent(), QComboBox)]
    assert len(own) > 20
    parts = ("Blend of genes", "Gene sets", "Clear")
    for control in own:
        name = control.accessibleName() or getattr(control, "text", str)()
        assert name, control
        if not name.endswith(parts):
            assert control.toolTip().endswith("."), name
