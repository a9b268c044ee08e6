"""The histology in the viewer: any affine there and back, moved by hand, placed by a file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_stmask.core.histology import Histology
from napari_stmask.gui import layers, loading
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.image_tools import BY_HAND
from napari_stmask.gui.layer_tuples import image_layer
from napari_stmask.gui.model import Item
from napari_stmask.gui.placing import rehome
from napari_stmask.gui.reader import section_to_layers
from napari_stmask.gui.session import session_of

UPRIGHT = np.diag([0.5, 0.5, 1.0])
SHIFTED = np.array([[0.5, 0, 7.0], [0, 0.5, -3.0], [0, 0, 1]])
TURNED = np.array([[0.4, -0.3, 12.0], [0.3, 0.4, 5.0], [0, 0, 1]])
SHEARED = np.array([[0.5, 0.2, -4.0], [0.0, 0.7, 9.0], [0, 0, 1]])
MIRRORED = np.array([[-0.5, 0, 90.0], [0, 0.5, 0.0], [0, 0, 1]])


@pytest.fixture
def viewer(make_napari_viewer, no_threads_left):
    return make_napari_viewer()


def picture(matrix, levels=1, side=64):
    rng = np.random.default_rng(0)
    pixels = [
        rng.integers(0, 255, (side >> i, side >> i, 3), dtype=np.uint8) for i in range(levels)
    ]
    return Histology(pixels, transform=matrix)


def click(qtbot, button):
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (130.0, -40.0)])
@pytest.mark.parametrize("um", [None, 0.37])
@pytest.mark.parametrize("matrix", [UPRIGHT, SHIFTED, TURNED, SHEARED, MIRRORED])
def test_an_image_lies_in_its_layer_as_on_its_section(section, matrix, um, offset, levels):
    section.image, section.um_per_px = picture(matrix, levels), um
    item = Item("a", "A", section, offset)
    data, options, _ = image_layer(item)
    layer = ViewerModel().add_image(data, **options)
    # A pixel of the image, seen in the viewer, is where the section's coordinates say.
    corner = np.array([[0, 0], [64, 0], [64, 64], [0, 64]], float)
    world = np.array([layer.data_to_world(p[::-1] - 0.5)[::-1] for p in corner])
    coords = (world - np.array(offset)[::-1]) / (um or 1.0)
    np.testing.assert_allclose(section.image.to_pixels(coords), corner, atol=1e-6)
    found = loading.layer_to_histology(layer, section, offset)
    np.testing.assert_allclose(found.matrix, matrix, atol=1e-9)
    assert len(found.levels) == levels


@pytest.mark.parametrize("matrix", [UPRIGHT, TURNED])
def test_a_moved_layer_goes_home_where_it_lies(section, matrix):
    section.image = picture(matrix)
    item = Item("a", "A", section, (10.0, 20.0))
    data, options, _ = image_layer(item)
    layer = ViewerModel().add_image(data, **options)
    layer.affine = np.array([[0.9, 0.1, 4.0], [-0.2, 1.1, -6.0], [0, 0, 1]])
    layer.rotate = 15
    before = [layer.data_to_world(p) for p in ((0, 0), (5, 0), (0, 9))]
    section.image = section.image.placed(
        transform=loading.layer_to_histology(layer, section, item.offset).matrix
    )
    rehome(layer, item)
    after = [layer.data_to_world(p) for p in ((0, 0), (5, 0), (0, 9))]
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert tuple(layer.scale) == (1.0, 1.0)


def test_a_turned_image_from_a_reader_lands_beside(section, new_section):
    viewer = ViewerModel()
    session = session_of(viewer)
    session.add(section)
    other = new_section(seed=1)
    other.image = picture(TURNED)
    for data, options, kind in section_to_layers(other):
        getattr(viewer, f"add_{kind}")(data, **options)
    item = session.selected
    assert item.section is other
    assert any(item.offset)
    layer = layers.find_layer(viewer, item.id, "image")
    found = loading.layer_to_histology(layer, other, item.offset)
    np.testing.assert_allclose(found.matrix, TURNED, atol=1e-9)


def test_use_selected_layers_takes_a_new_place(viewer, qtbot, section):
    tissue = open_dock(viewer, "Open tissue")
    session = session_of(viewer)
    item = session.add(section)
    section.reading = {"image": "tissue.tif", "alignment": "old.json"}
    layer = layers.find_layer(viewer, item.id, "image")
    viewer.layers.selection = {layer}
    click(qtbot, tissue.layers)
    # Nobody has moved it: only the section is selected.
    assert section.reading["alignment"] == "old.json"
    assert not item.by_hand
    before = section.image
    world = layer.data_to_world((3, 4))
    layer.opacity = 0.5
    layer.translate = np.add(layer.translate, (30, -12))
    # With the other layers of the section selected too.
    viewer.layers.selection = set(viewer.layers)
    click(qtbot, tissue.layers)
    unit = section.um_per_px
    moved = section.image.matrix[:2, 2] - before.matrix[:2, 2]
    np.testing.assert_allclose(moved, -0.5 * np.array([-12, 30]) / unit)
    assert section.image.levels is before.levels
    assert layer in viewer.layers
    assert layer.opacity == 0.5
    np.testing.assert_allclose(layer.data_to_world((3, 4)), np.add(world, (30, -12)))
    assert BY_HAND in section.notes
    assert section.reading == {"image": "tissue.tif"}


def test_spots_are_not_what_is_moved(viewer, qtbot, section):
    tissue = open_dock(viewer, "Open tissue")
    item = session_of(viewer).add(section)
    spots, before = layers.find_layer(viewer, item.id, "spots"), section.image
    viewer.layers.selection = {spots}
    click(qtbot, tissue.layers)
    assert tissue.strip.isHidden()
    spots.affine = np.array([[0.9, 0.1, 4.0], [-0.2, 1.1, -6.0], [0, 0, 1]])
    click(qtbot, tissue.layers)
    assert "move the image" in tissue.strip.text.text()
    assert section.image is before


def test_the_warning_follows_the_image_that_was_moved(viewer, qtbot, section):
    tissue = open_dock(viewer, "Open tissue")
    item = session_of(viewer).add(section)
    layer = layers.find_layer(viewer, item.id, "image")
    home = layer.translate.copy()
    viewer.layers.selection = {layer}
    layer.translate = home + 1e4
    click(qtbot, tissue.layers)
    assert "Only 0% of the spots" in tissue.alignment.text.text()
    back = np.array([[1, 0, -1e4], [0, 1, -1e4], [0, 0, 1]])
    layer.affine = back @ layer.affine.affine_matrix
    click(qtbot, tissue.layers)
    assert tissue.alignment.isHidden()
    assert section.image.upright


def test_alignment_saved_and_used_again(viewer, qtbot, section, tmp_path, monkeypatch):
    from PIL import Image

    image, other = tmp_path / "tissue.png", tmp_path / "other.png"
    side = int(section.coords.max()) + 20
    Image.fromarray(np.full((side, side, 3), 200, np.uint8)).save(image)
    Image.fromarray(np.full((9, 9, 3), 200, np.uint8)).save(other)
    tissue = open_dock(viewer, "Open tissue")
    tools, item = tissue.images, session_of(viewer).add(section)
    tools.add(str(image))
    qtbot.waitUntil(lambda: not tools.working, timeout=10_000)
    assert section.reading == {"image": str(image)}
    layer = layers.find_layer(viewer, item.id, "image")
    layer.affine = np.array([[0.9, 0.1, 4.0], [-0.2, 1.1, -6.0], [0, 0, 1]])
    viewer.layers.selection = {layer}
    click(qtbot, tissue.layers)
    wanted = section.image.matrix
    saved = tmp_path / "place.json"
    typed = str(saved.with_suffix(""))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (typed, ""))
    click(qtbot, tools.save)
    assert "place.json" in tissue.state.text()
    assert BY_HAND not in section.notes
    assert section.reading == {"image": str(image), "alignment": str(saved)}
    np.testing.assert_allclose(
        np.linalg.inv(json.loads(saved.read_text())["matrix"]), wanted, atol=1e-9
    )
    # Another image has no place of that kind; the file brings it there.
    tools.add(str(other))
    qtbot.waitUntil(lambda: not tools.working, timeout=10_000)
    assert section.reading == {"image": str(other)}
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(saved), ""))
    click(qtbot, tools.align)
    qtbot.waitUntil(lambda: not tools.working, timeout=10_000)
    np.testing.assert_allclose(section.image.matrix, wanted, atol=1e-9)
    assert section.reading == {"image": str(other), "alignment": str(saved)}
    # Only the note on the image that is there now.
    assert sum("lie inside" in note for note in section.notes) <= 1
    assert not any("tissue.png" in note for note in section.notes)


def test_a_bad_alignment_changes_nothing(viewer, qtbot, section, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("1,2\n3,4\n")
    tissue = open_dock(viewer, "Open tissue")
    item = session_of(viewer).add(section)
    before, shown = section.image, layers.find_layer(viewer, item.id, "image")
    tissue.images.use_alignment(str(bad))
    qtbot.waitUntil(lambda: not tissue.images.working, timeout=10_000)
    assert str(bad) in tissue.strip.text.text()
    assert section.image is before
    assert layers.find_layer(viewer, item.id, "image") is shown
    assert tissue.folder.isEnabled()


def test_alignment_needs_an_image(viewer, section):
    tissue = open_dock(viewer, "Open tissue")
    section.image = None
    session_of(viewer).add(section)
    assert tissue.images.image.isEnabled()
    for button in (tissue.images.align, tissue.images.save):
        assert not button.isEnabled()
        assert "no image yet" in button.toolTip()


def test_an_image_that_tells_the_scale_moves_every_layer(viewer, qtbot, section, tmp_path):
    import tifffile

    section.platform, section.um_per_px = "unknown", None
    path, side = tmp_path / "t.ome.tif", int(section.coords.max()) + 20
    tifffile.imwrite(
        path,
        np.full((side, side, 3), 200, np.uint8),
        photometric="rgb",
        metadata={
            "axes": "YXS",
            "PhysicalSizeX": 0.5,
            "PhysicalSizeY": 0.5,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeYUnit": "µm",
        },
    )
    tissue = open_dock(viewer, "Open tissue")
    item = session_of(viewer).add(section)
    tissue.images.add(str(path))
    qtbot.waitUntil(lambda: not tissue.images.working, timeout=10_000)
    assert section.um_per_px == pytest.approx(0.5)
    assert [x.name for x in viewer.layers] == ["tiny · image", "tiny · spots"]
    for layer in viewer.layers:
        assert str(layer.units[-1]) == "micrometer"
    spots = layers.find_layer(viewer, item.id, "spots")
    np.testing.assert_allclose(spots.data_to_world(spots.data[5]), section.coords[5][::-1] * 0.5)
    assert session_of(viewer).selected is item


def test_ome_zarr_folder_as_image(viewer, qtbot, section, tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")

    side = int(section.coords.max()) + 20
    root = zarr.open_group(str(tmp_path / "t.ome.zarr"), mode="w", zarr_format=2)
    root.create_array("0", data=np.full((3, side, side), 180, np.uint8), chunks=(3, 128, 128))
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space"} for a in "yx")]
    scale = {"type": "scale", "scale": [1.0, 1.0, 1.0]}
    levels = [{"path": "0", "coordinateTransformations": [scale]}]
    root.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": levels}]
    tissue = open_dock(viewer, "Open tissue")
    session_of(viewer).add(section)
    path = str(tmp_path / "t.ome.zarr")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: path)
    click(qtbot, tissue.images.zarr)
    qtbot.waitUntil(lambda: not tissue.images.working, timeout=10_000)
    assert section.image.source == path, tissue.strip.text.text()
    # The same one again would only forget how it lies.
    tissue.images.add(path)
    qtbot.waitUntil(lambda: not tissue.images.working, timeout=10_000)
    assert "already" in tissue.strip.text.text()
