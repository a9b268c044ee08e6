"""The dock Annotate: drawn, imported and given regions are columns of obs, and come back."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QGuiApplication
from qtpy.QtWidgets import QApplication, QColorDialog, QFileDialog
from tests.gui.helpers import canvas_place, click

import napari_stmask as stm
from napari_stmask.features.regions import inside_polygons
from napari_stmask.gui.annotate import shapes_layer
from napari_stmask.gui.annotate.board import Board
from napari_stmask.gui.annotate.class_table import AREA, COUNT, NAME
from napari_stmask.gui.annotate.pieces import shapes_of
from napari_stmask.gui.annotate.regions import NO_CLASS, Regions, Shape
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.keeping import with_desk
from napari_stmask.gui.layer_tuples import our_meta
from napari_stmask.gui.session import session_of
from napari_stmask.gui.view import view
from napari_stmask.io.read_regions import Region


def box(x0, y0, x1, y1):
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=float)


def within(section, x0, y0, x1, y1):
    x, y = section.coords.T
    return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)


@pytest.fixture
def dock(viewer, section):
    session_of(viewer).add(section)
    return open_dock(viewer, "Annotate")


def item_of(dock):
    return dock.session.selected


def add(dock, corners, kind="polygon"):
    """A shape as napari adds it, in coordinates of the section."""
    layer, item = dock.editor.layer, item_of(dock)
    world = corners[:, ::-1] * (item.section.um_per_px or 1.0) + np.asarray(item.offset)
    layer.add(np.array([layer.world_to_data(c) for c in world]), shape_type=kind)
    assert dock.editor.settled() is not None


def column(dock, name="annotation"):
    return item_of(dock).section.adata.obs[name]


# -- the mathematics, without a window -------------------------------------------------------


def test_codes_are_those_of_the_polygons(section):
    rng = np.random.default_rng(0)
    state = Regions.empty(section.n_spots).with_class("a").with_class("b")
    shapes, wanted = [], np.full(section.n_spots, -1)
    for i in range(8):
        corners = rng.uniform(0, 240, (5, 2))
        name = ("a", "b", NO_CLASS)[i % 3]
        shapes.append(Shape(corners, "polygon", name))
        wanted[inside_polygons(section.coords, [corners])] = (0, 1, -1)[i % 3]
    made = state.with_shapes(shapes, section.coords)
    np.testing.assert_array_equal(made.codes, wanted)
    assert {-1, 0, 1} == set(wanted)


def test_spots_by_hand_lie_beneath_new_shapes_and_above_old_ones(section):
    coords, half = section.coords, within(section, 0, 0, 120, 300)
    state = Regions.empty(section.n_spots).with_class("a").with_class("b")
    state = state.with_shapes([Shape(box(0, 0, 120, 300), "polygon", "a")], coords)
    given = state.given([0, 1, 143], 1)
    assert given.codes[[0, 1, 143]].tolist() == [1, 1, 1]
    # Another shape elsewhere changes nothing there, one above it does.
    far = Shape(box(200, 200, 230, 230), "rectangle", "a")
    assert given.with_shapes([*given.shapes, far], coords).codes[0] == 1
    again = given.with_shapes([*given.shapes, Shape(box(0, 0, 30, 30), "polygon", "b")], coords)
    gone = again.with_shapes(again.shapes[:1], coords)
    assert gone.codes[0] == 0
    # The spot that lies under no shape keeps what it was given.
    assert again.codes[143] == gone.codes[143] == 1
    assert (gone.codes[half] == 0).sum() == half.sum() - 1
    # From the layer and the codes alone the same comes back.
    back = given.with_shapes(given.shapes, coords).taken_up(given.codes)
    np.testing.assert_array_equal(back.codes, given.codes)
    np.testing.assert_array_equal(back.over, given.over)


def test_deleting_a_class_uncovers_what_lay_below(section):
    coords = section.coords
    state = Regions.empty(section.n_spots).with_class("a").with_class("b")
    shapes = [Shape(box(0, 0, 200, 200), "polygon", "b"), Shape(box(0, 0, 90, 90), "polygon", "a")]
    state = state.with_shapes(shapes, coords).given([143], 0)
    left = state.without_class(0, coords)
    assert left.names == ("b",)
    np.testing.assert_array_equal(left.codes == 0, within(section, 0, 0, 200, 200))


def test_holes_are_cut_open_and_cover_the_same_spots(section):
    import shapely

    ring = shapely.Polygon(
        box(5, 5, 235, 225), [box(40, 40, 90, 90), box(60, 120, 190, 200), box(120, 30, 200, 70)]
    )
    found = shapes_of([Region("a", None, shapely.MultiPolygon([ring]))])
    assert len(found) > 3
    state = Regions.empty(section.n_spots).with_shapes(found, section.coords)
    x, y = section.coords.T
    np.testing.assert_array_equal(state.codes == 0, shapely.intersects_xy(ring, x, y))
    assert 20 < (state.codes == 0).sum() < 120
    area = sum(shapely.Polygon(s.corners).area for s in found)
    assert area == pytest.approx(ring.area)


# -- drawing -------------------------------------------------------------------------------


def test_a_tool_makes_the_layer_and_what_is_drawn_is_written(dock, qtbot, viewer):
    section, item = item_of(dock).section, item_of(dock)
    told = []
    dock.session.obs_changed.connect(told.append)
    assert "annotation" not in section.adata.obs
    click(qtbot, dock.draw.buttons["add_polygon"])
    layer = shapes_layer.find(dock.session.viewer, item, "annotation")
    assert layer.mode == "add_polygon"
    assert viewer.layers.selection.active.name == "tiny \u00b7 regions \u00b7 annotation"
    assert our_meta(layer)["role"] == "regions"
    assert our_meta(layer)["key"] == "annotation"
    assert our_meta(layer)["section_id"] == item.id
    assert viewer.layers[-1].name == layer.name
    add(dock, box(0, 0, 100, 100))
    wanted = within(section, 0, 0, 100, 100)
    np.testing.assert_array_equal(column(dock) == "Class 1", wanted)
    assert told == [item.id]
    assert layer.features["class"].tolist() == ["Class 1"]
    assert section.adata.uns["annotation_colors"] == ["#E69F00"]
    np.testing.assert_allclose(layer.face_color[0], [230 / 255, 159 / 255, 0, 0.4], atol=1e-3)
    text = f"{wanted.sum()} of 144 spots annotated in obs['annotation']"
    assert dock.state.text() == text
    click(qtbot, dock.draw.buttons["add_polygon"])
    assert layer.mode == "pan_zoom"


@pytest.mark.parametrize("mode", ["add_polygon_lasso", "add_rectangle", "add_ellipse"])
def test_every_tool(dock, qtbot, mode):
    click(qtbot, dock.draw.buttons[mode])
    assert str(dock.editor.layer.mode) == mode
    assert [b.isChecked() for b in dock.draw.buttons.values()].count(True) == 1
    kind = {"add_rectangle": "rectangle", "add_ellipse": "ellipse"}.get(mode, "polygon")
    add(dock, box(20, 20, 160, 120), kind)
    x, y = item_of(dock).section.coords.T
    inside = within(item_of(dock).section, 20, 20, 160, 120)
    if kind == "ellipse":
        r = ((x - 90) / 70) ** 2 + ((y - 70) / 50) ** 2
        sure = abs(r - 1) > 0.02
        np.testing.assert_array_equal(column(dock).notna()[sure], (r < 1)[sure])
    else:
        np.testing.assert_array_equal(column(dock).notna(), inside)


def test_drawn_with_the_mouse(dock, qtbot, viewer):
    """A real polygon, corner by corner, and its end with a double click; then one given up."""
    item = item_of(dock)
    viewer.window._qt_window.resize(1200, 900)
    viewer.reset_view()
    QApplication.processEvents()
    click(qtbot, dock.draw.buttons["add_polygon"])
    native = viewer.window._qt_viewer.canvas.native
    left = Qt.MouseButton.LeftButton
    corners = [13, 22, 118, 109]
    # napari lets the last corner go, which otherwise follows the pointer.
    for spot in [*corners, 97]:
        row, col = canvas_place(viewer, item, spot)
        point = QPoint(round(col), round(row))
        qtbot.mouseMove(native, point)
        qtbot.mousePress(native, left, pos=point)
        qtbot.mouseRelease(native, left, pos=point)
        QApplication.processEvents()
    # While it is being drawn nothing is written.
    assert "annotation" not in item.section.adata.obs
    qtbot.mouseDClick(native, left, pos=point)
    QApplication.processEvents()
    qtbot.waitUntil(lambda: "annotation" in item.section.adata.obs, timeout=2000)
    assert len(dock.editor.board.state.shapes) == 1
    inside = column(dock).notna()
    row, col = np.divmod(np.arange(144), 12)
    # A click meets a pixel, so that spots on the very outline may be on either side.
    assert inside[(row > 1) & (row < 9) & (col > 1) & (col < 10)].all()
    assert not inside[(row < 1) | (row > 9) | (col < 1) | (col > 10)].any()
    # An unfinished one leaves no row behind.
    row, col = canvas_place(viewer, item, 60)
    point = QPoint(round(col), round(row))
    qtbot.mouseMove(native, point)
    qtbot.mousePress(native, left, pos=point)
    qtbot.mouseRelease(native, left, pos=point)
    dock.editor.layer._finish_drawing()
    dock.editor.settled()
    assert len(dock.editor.layer.features) == len(dock.editor.layer.data) == 1


def test_moved_and_removed_shapes_are_followed(dock, qtbot):
    section = item_of(dock).section
    click(qtbot, dock.draw.buttons["add_rectangle"])
    add(dock, box(0, 0, 60, 60), "rectangle")
    layer = dock.editor.layer
    down = np.array([100.0 * (section.um_per_px or 1.0), 0])
    step = np.subtract(layer.world_to_data(down), layer.world_to_data((0.0, 0.0)))
    layer.data = [layer.data[0] + step]
    dock.editor.settled()
    np.testing.assert_array_equal(column(dock).notna(), within(section, 0, 100, 60, 160))
    layer.selected_data = {0}
    layer.remove_selected()
    dock.editor.settled()
    assert column(dock).isna().all()
    click(qtbot, dock.classes.undo)
    assert len(layer.data) == 1
    np.testing.assert_array_equal(column(dock).notna(), within(section, 0, 100, 60, 160))


# -- classes -------------------------------------------------------------------------------


def test_classes_added_renamed_coloured_deleted_undone(dock, qtbot, monkeypatch):
    section, part = item_of(dock).section, dock.classes
    click(qtbot, part.add)
    click(qtbot, part.add)
    assert part.model.rowCount() == 3
    assert part.table.row == 1
    click(qtbot, dock.draw.buttons["add_polygon"])
    add(dock, box(0, 0, 100, 100))
    part.table.selectRow(0)
    add(dock, box(60, 60, 200, 200))
    core = within(section, 60, 60, 200, 200)
    below = within(section, 0, 0, 100, 100) & ~core
    np.testing.assert_array_equal(column(dock) == "Class 1", core)
    np.testing.assert_array_equal(column(dock) == "Class 2", below)
    counts = [part.model.index(r, COUNT).data() for r in range(3)]
    assert counts == [str(core.sum()), str(below.sum()), str((~core & ~below).sum())]
    if section.um_per_px is not None:
        cell = 100**2 * np.sqrt(3) / 2 / 1e6 if section.lattice.kind == "hexagonal" else None
        if cell is not None:
            assert part.model.index(0, AREA).data() == f"{core.sum() * cell:.3g}"
    assert part.model.setData(part.model.index(0, NAME), "Tumour")
    assert set(column(dock).dropna()) == {"Tumour", "Class 2"}
    assert dock.editor.layer.features["class"].tolist() == ["Class 2", "Tumour"]
    part.model.setData(part.model.index(0, NAME), "Class 2")
    assert "There is a class 'Class 2' already" in dock.strip.text.text()
    monkeypatch.setattr(QColorDialog, "getColor", lambda *a: QColor("#123456"))
    part.table.selectRow(0)
    click(qtbot, part.colour)
    assert section.adata.uns["annotation_colors"][0] == "#123456"
    np.testing.assert_allclose(dock.editor.layer.edge_color[1, :3], [18 / 255, 52 / 255, 86 / 255])
    click(qtbot, part.choose)
    np.testing.assert_array_equal(item_of(dock).chosen, np.flatnonzero(core))
    click(qtbot, part.delete)
    assert list(column(dock).cat.categories) == ["Class 2"]
    np.testing.assert_array_equal(column(dock).notna(), within(section, 0, 0, 100, 100))
    assert len(dock.editor.layer.data) == 1
    click(qtbot, part.undo)
    np.testing.assert_array_equal(column(dock) == "Tumour", core)
    assert dock.editor.layer.features["class"].tolist() == ["Class 2", "Tumour"]
    click(qtbot, part.redo)
    assert list(column(dock).cat.categories) == ["Class 2"]


def test_no_class_takes_out(dock, qtbot):
    section = item_of(dock).section
    click(qtbot, dock.draw.buttons["add_polygon"])
    add(dock, box(0, 0, 200, 200))
    dock.classes.table.selectRow(1)
    add(dock, box(50, 50, 120, 120))
    wanted = within(section, 0, 0, 200, 200) & ~within(section, 50, 50, 120, 120)
    np.testing.assert_array_equal(column(dock).notna(), wanted)
    assert dock.editor.layer.features["class"].tolist() == ["Class 1", ""]


def test_chosen_spots_and_selected_shapes_take_the_class(dock, qtbot):
    section = item_of(dock).section
    assert not dock.spots.isEnabled()
    dock.session.choose_spots(item_of(dock).id, [3, 4, 100])
    click(qtbot, dock.spots)
    assert np.flatnonzero(column(dock) == "Class 1").tolist() == [3, 4, 100]
    click(qtbot, dock.draw.buttons["add_polygon"])
    add(dock, box(0, 0, 60, 60))
    click(qtbot, dock.classes.add)
    dock.editor.layer.selected_data = {0}
    click(qtbot, dock.shapes)
    inside = within(section, 0, 0, 60, 60)
    np.testing.assert_array_equal(column(dock) == "Class 2", inside)
    assert (column(dock) == "Class 1").iloc[100]
    dock.editor.layer.selected_data = set()
    click(qtbot, dock.shapes)
    assert "No shape is selected" in dock.strip.text.text()


# -- columns and layers ----------------------------------------------------------------------


def test_a_column_of_the_user_is_never_written(dock, qtbot):
    before = item_of(dock).section.adata.obs["half"].copy()
    dock.column.setCurrentText("half")
    dock.column.lineEdit().editingFinished.emit()
    assert "obs['half'] exists already" in dock.strip.text.text()
    assert not dock.draw.isEnabled()
    assert not dock.files.open.isEnabled()
    dock.column.setCurrentText("mine")
    dock.column.lineEdit().editingFinished.emit()
    click(qtbot, dock.draw.buttons["add_polygon"])
    add(dock, box(0, 0, 60, 60))
    assert column(dock, "mine").notna().sum() == within(item_of(dock).section, 0, 0, 60, 60).sum()
    pd.testing.assert_series_equal(item_of(dock).section.adata.obs["half"], before)


def test_two_columns_have_their_own_layers_and_history(dock, qtbot, viewer):
    click(qtbot, dock.draw.buttons["add_polygon"])
    add(dock, box(0, 0, 60, 60))
    dock.column.setCurrentText("second")
    dock.column.lineEdit().editingFinished.emit()
    assert not dock.classes.undo.isEnabled()
    click(qtbot, dock.draw.buttons["add_ellipse"])
    add(dock, box(100, 100, 200, 200), "ellipse")
    names = [x.name for x in viewer.layers if our_meta(x).get("role") == "regions"]
    assert names == ["tiny \u00b7 regions \u00b7 annotation", "tiny \u00b7 regions \u00b7 second"]
    dock.column.setCurrentText("annotation")
    dock.column.lineEdit().editingFinished.emit()
    assert dock.classes.undo.isEnabled()
    assert dock.editor.layer.name == names[0]
    assert column(dock).notna().sum() == within(item_of(dock).section, 0, 0, 60, 60).sum()


def test_deleting_the_layer_keeps_the_spots(dock, qtbot, viewer):
    click(qtbot, dock.draw.buttons["add_polygon"])
    add(dock, box(0, 0, 60, 60))
    before = column(dock).copy()
    dock.session.viewer.layers.remove(dock.editor.layer)
    dock.editor.settled()
    pd.testing.assert_series_equal(column(dock), before)
    assert dock.editor.board.state.shapes == ()
    click(qtbot, dock.classes.undo)
    assert len(dock.editor.layer.data) == 1
    pd.testing.assert_series_equal(column(dock), before)


def test_a_section_shown_anew_keeps_its_shapes(dock, qtbot):
    click(qtbot, dock.draw.buttons["add_polygon"])
    add(dock, box(0, 0, 60, 60))
    before = column(dock).copy()
    dock.session.rebuild(item_of(dock))
    dock.editor.settled()
    assert len(dock.editor.layer.data) == 1
    pd.testing.assert_series_equal(column(dock), before)


def test_what_others_write_to_the_column_is_taken_up(dock, qtbot, tmp_path):
    section = item_of(dock).section
    path = tmp_path / "t.csv"
    path.write_text("barcode,label\nspot1,x\nspot2,y\n")
    stm.annotate(section, path, column="annotation")
    dock.session.obs_written(item_of(dock).id)
    assert dock.editor.board.state.names == ("x", "y")
    assert dock.state.text().startswith("2 of 144")


def test_it_comes_back_from_the_file(dock, qtbot, tmp_path):
    """Layer and columns alone are enough, also in a viewer that never had the dock."""
    click(qtbot, dock.draw.buttons["add_polygon"])
    add(dock, box(0, 0, 120, 120))
    add(dock, box(150, 20, 220, 90), "ellipse")
    dock.classes.model.setData(dock.classes.model.index(0, NAME), "Tumour")
    dock.session.choose_spots(item_of(dock).id, [0, 140])
    click(qtbot, dock.classes.add)
    click(qtbot, dock.spots)
    state = dock.editor.board.state
    path = tmp_path / "kept.h5ad"
    stm.write(with_desk(dock.session.viewer, item_of(dock)), path)

    again = ViewerModel()
    view(stm.read(path), again)
    item = session_of(again).selected
    layer = shapes_layer.find(again, item, "annotation")
    board = Board(item, "annotation", layer)
    np.testing.assert_array_equal(board.state.codes, state.codes)
    np.testing.assert_array_equal(board.state.over, state.over)
    assert board.state.names == state.names == ("Tumour", "Class 2")
    assert [c.upper() for c in board.state.colors] == [c.upper() for c in state.colors]
    assert board.state.same_shapes(state.shapes, 1e-6)
    assert not board.write()
    # It can be edited on.
    board.edit(board.state.with_shapes(board.state.shapes[:1], board.coords))
    assert board.write()
    found = item.section.adata.obs["annotation"]
    wanted = within(item.section, 0, 0, 120, 120)
    wanted[[0, 140]] = True
    np.testing.assert_array_equal(found.notna(), wanted)
    assert set(found.iloc[[0, 140]]) == {"Class 2"}


# -- files ---------------------------------------------------------------------------------


def write_ring(path):
    hole = box(60, 60, 120, 120)
    feature = {
        "type": "Feature",
        "geometry": {
            "type": "Polygon", "coordinates": [r.tolist() for r in (box(5, 5, 200, 200), hole)],
        },
        "properties": {"classification": {"name": "Tumour", "color": [200, 0, 16]}},
    }  # fmt: skip
    path.write_text(json.dumps([feature]))
    return path


def wait_read(qtbot, dock):
    qtbot.waitUntil(lambda: dock.said.text().startswith("Read: "), timeout=5000)


def run_script(text):
    found = {}
    exec(compile(text, "script", "exec"), found)
    return found["section"]


def test_import_geojson_equals_the_script_and_the_command(dock, qtbot, tmp_path, monkeypatch):
    section = item_of(dock).section
    saved = tmp_path / "tiny.h5ad"
    stm.write(section, saved)
    section.source = str(saved)
    path = write_ring(tmp_path / "a.geojson")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a: (str(path), ""))
    click(qtbot, dock.files.open)
    wait_read(qtbot, dock)
    wanted = within(section, 5, 5, 200, 200) & ~within(section, 60.1, 60.1, 119.9, 119.9)
    np.testing.assert_array_equal(column(dock) == "Tumour", wanted)
    assert len(dock.editor.layer.data) == 2
    assert section.adata.uns["annotation_colors"] == ["#C80010"]
    click(qtbot, dock.files.python)
    made = run_script(QGuiApplication.clipboard().text())
    np.testing.assert_array_equal(made.adata.obs["annotation"].cat.codes, column(dock).cat.codes)
    assert list(made.adata.uns["annotation_colors"]) == section.adata.uns["annotation_colors"]
    click(qtbot, dock.files.command)
    text = QGuiApplication.clipboard().text()
    assert text == (f"napari-stmask annotate {saved} {path} --name annotation --out annotated.h5ad")
    # Holes can be filled by hand, and the file then says something else.
    add(dock, box(60, 60, 120, 120))
    assert column(dock).notna().sum() == within(section, 5, 5, 200, 200).sum()
    click(qtbot, dock.files.python)
    assert "in no file yet" in dock.strip.text.text()


def test_import_csv_lies_above_and_is_not_lost_when_shapes_change(dock, qtbot, tmp_path):
    click(qtbot, dock.draw.buttons["add_polygon"])
    add(dock, box(0, 0, 60, 60))
    path = tmp_path / "t.csv"
    path.write_text("Barcode,Graph-based\nspot0,Class 1\nspot1,other\nspot143,other\n")
    dock.files.import_file(str(path))
    wait_read(qtbot, dock)
    assert dock.said.text() == "Read: 2 classes, without shapes; 3 spots."
    assert len(set(item_of(dock).section.adata.uns["annotation_colors"])) == 2
    assert column(dock).iloc[[0, 1, 143]].tolist() == ["Class 1", "other", "other"]
    add(dock, box(150, 150, 200, 200))
    assert column(dock).iloc[[0, 1, 143]].tolist() == ["Class 1", "other", "other"]
    dock.files.import_file(str(tmp_path / "none.csv"))
    qtbot.waitUntil(lambda: "does not exist" in dock.strip.text.text(), timeout=5000)


def test_export_and_the_script_that_reads_it(dock, qtbot, tmp_path, monkeypatch):
    section = item_of(dock).section
    saved = tmp_path / "tiny.h5ad"
    stm.write(section, saved)
    section.source = str(saved)
    click(qtbot, dock.draw.buttons["add_polygon"])
    add(dock, box(0, 0, 120, 120))
    target = tmp_path / "mine"
    ask = lambda *a: (str(target), "Outlines for QuPath (*.geojson)")  # noqa: E731
    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    click(qtbot, dock.files.save)
    qtbot.waitUntil(lambda: dock.said.text().startswith("Written"), timeout=5000)
    assert target.with_suffix(".geojson").exists()
    click(qtbot, dock.files.python)
    made = run_script(QGuiApplication.clipboard().text())
    np.testing.assert_array_equal(made.adata.obs["annotation"].cat.codes, column(dock).cat.codes)
    dock.files.export_to(str(tmp_path / "mine.csv"))
    qtbot.waitUntil(lambda: dock.said.text().endswith("mine.csv"), timeout=5000)
    table = pd.read_csv(tmp_path / "mine.csv")
    assert table["Barcode"].tolist() == column(dock).dropna().index.tolist()


def test_shapes_of_another_layer(dock, qtbot, viewer):
    assert not dock.files.take.isEnabled()
    item = item_of(dock)
    unit = item.section.um_per_px or 1.0
    viewer.add_shapes(
        [box(20, 20, 100, 100) * unit, np.array([[0, 0], [9, 9.0]])],
        shape_type=["ellipse", "line"], name="by hand",
    )  # fmt: skip
    click(qtbot, dock.files.take)
    assert dock.said.text() == "1 shapes taken of 'by hand'."
    x, y = item.section.coords.T
    r = np.hypot(x - 60, y - 60)
    sure = abs(r - 40) > 1
    np.testing.assert_array_equal(column(dock).notna()[sure], (r < 40)[sure])


def test_a_large_section_is_looked_through_in_a_worker(dock, qtbot, monkeypatch):
    from napari_stmask.gui.annotate import editor

    monkeypatch.setattr(editor, "_MANY", 10)
    click(qtbot, dock.draw.buttons["add_polygon"])
    add(dock, box(0, 0, 60, 60))
    qtbot.waitUntil(lambda: "annotation" in item_of(dock).section.adata.obs, timeout=5000)
    inside = within(item_of(dock).section, 0, 0, 60, 60)
    np.testing.assert_array_equal(column(dock).notna(), inside)


def test_without_a_section(viewer, qtbot):
    dock = open_dock(viewer, "Annotate")
    assert dock.empty.text().startswith("No section yet")
    assert not dock.draw.isEnabled()
    assert not dock.files.open.isEnabled()
