"""The patch of the spot that was clicked on the canvas, and its outline there."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_stmask.core.histology import Histology
from napari_stmask.features.patches import Patches, patch_side, tissue_fraction
from napari_stmask.gui import layers
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.layer_tuples import our_meta
from napari_stmask.gui.session import session_of

TURNED = np.array([[0.4, -0.3, 60.0], [0.3, 0.4, 5.0], [0, 0, 1]])


@pytest.fixture
def viewer(make_napari_viewer, no_threads_left):
    return make_napari_viewer(show=True)


@pytest.fixture
def section(new_section):
    return stained(new_section())


def stained(section, transform=None):
    """With an image in which every place has its own colour, and a white margin."""
    side = 300
    rng = np.random.default_rng(1)
    row, column = np.mgrid[:side, :side]
    noise = rng.integers(0, 30, (side, side))
    pixels = np.stack([120 + row // 3, 40 + noise, 100 + column // 3], axis=2).astype(np.uint8)
    pixels[:20] = 250
    section.image = (
        Histology([pixels], 1.0) if transform is None else Histology([pixels], transform=transform)
    )
    return section


@pytest.fixture
def find(viewer, section):
    find = open_dock(viewer, "Find domains")
    session_of(viewer).add(section)
    find.methods.setCurrentIndex(find.methods.findData("vimst"))
    find.form.set_values({"patch_size": 2.0})
    viewer.reset_view()
    return find


def unfold(qtbot, find):
    qtbot.mouseClick(find.preview.fold.toggleButton(), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(find.preview.fold.isExpanded)
    # The window redraws, so that the camera's numbers hold on the canvas.
    qtbot.wait(50)


def place_of(viewer, item, index):
    """The point of the canvas widget at which a spot is drawn."""
    world = item.section.coords[index][::-1] * (item.section.um_per_px or 1.0) + item.offset
    canvas = viewer.window._qt_viewer.canvas
    centre = np.array(viewer.scene.camera.center[-2:])
    row, column = (world - centre) * viewer.scene.camera.zoom + np.array(viewer.canvas.size) / 2
    return canvas.native, QPoint(round(column), round(row))


def click_spot(qtbot, viewer, item, index):
    native, place = place_of(viewer, item, index)
    qtbot.mouseClick(native, Qt.MouseButton.LeftButton, pos=place)


def seen(qtbot, preview, name):
    """Wait for the patch of a spot."""
    qtbot.waitUntil(
        lambda: (
            name in preview.text.text().split("\n")
            and not preview._reader.busy
            and not preview._later.isActive()
        ),
        timeout=10_000,
    )


def outlines(viewer):
    return [x for x in viewer.layers if our_meta(x).get("role") == "patch"]


def shown_pixels(preview):
    """Mean colour of the picture, R, G, B."""
    image = preview.picture.pixmap().toImage()
    found = [
        image.pixelColor(x, y).getRgb()[:3]
        for x in range(2, image.width(), 7)
        for y in range(2, image.height(), 7)
    ]
    return np.mean(found, axis=0)


def expected(section, index, size=2.0, stain="none"):
    side = patch_side(section, size)
    patch = Patches(section.image, section.coords, side=side, stain=stain).one(index)
    return patch.reshape(-1, 3).mean(axis=0)


def test_a_click_shows_the_patch_and_its_outline(find, viewer, section, qtbot):
    preview, item = find.preview, find.session.selected
    assert not preview.listening
    click_spot(qtbot, viewer, item, 70)
    assert not outlines(viewer)
    unfold(qtbot, find)
    assert preview.listening
    active, chosen = viewer.layers.selection.active, set(viewer.layers.selection)
    center = tuple(viewer.scene.camera.center)
    for index in (70, 33):
        click_spot(qtbot, viewer, item, index)
        seen(qtbot, preview, f"spot{index}")
        np.testing.assert_allclose(shown_pixels(preview), expected(section, index), atol=3)
        layer = outlines(viewer)[0]
        square = layer.data[0] * layer.scale + layer.translate
        world = section.coords[index][::-1] * section.um_per_px
        np.testing.assert_allclose(square.mean(axis=0), world, atol=1e-4)
        np.testing.assert_allclose(
            np.ptp(square, axis=0), patch_side(section, 2.0) * section.um_per_px, rtol=1e-5
        )
    assert len(outlines(viewer)) == 1
    assert viewer.layers.selection.active is active
    assert set(viewer.layers.selection) == chosen
    assert tuple(viewer.scene.camera.center) == center
    side = patch_side(section, 2.0)
    lines = preview.text.text().split("\n")
    assert f"Side: {side * section.um_per_px:.4g} µm" in lines
    fraction = tissue_fraction(section.image, section.coords[[33]], side)[0]
    assert f"Tissue: {100 * fraction:.0f} %" in lines
    # Folded, it leaves nothing.
    qtbot.mouseClick(preview.fold.toggleButton(), Qt.MouseButton.LeftButton)
    assert not preview.listening
    assert not outlines(viewer)
    assert not [f for f in viewer.mouse_drag_callbacks if "stmask" in f.__module__]


def test_edits_are_followed_at_once(find, viewer, section, qtbot):
    preview, form = find.preview, find.form
    unfold(qtbot, find)
    click_spot(qtbot, viewer, find.session.selected, 66)
    seen(qtbot, preview, "spot66")
    layer = outlines(viewer)[0]
    form.fields["patch_size"].setValue(4.0)
    seen(qtbot, preview, "spot66")
    assert outlines(viewer) == [layer]
    assert np.ptp(layer.data[0], axis=0)[0] == pytest.approx(
        patch_side(section, 4.0) * section.um_per_px, rel=1e-5
    )
    np.testing.assert_allclose(shown_pixels(preview), expected(section, 66, 4.0), atol=3)
    plain = shown_pixels(preview)
    form.fields["stain"].setCurrentText("reinhard")
    seen(qtbot, preview, "spot66")
    assert "Stain: reinhard" in preview.text.text()
    np.testing.assert_allclose(
        shown_pixels(preview), expected(section, 66, 4.0, "reinhard"), atol=3
    )
    assert np.abs(shown_pixels(preview) - plain).max() > 5
    form.fields["patch_unit"].setCurrentText("um")
    form.fields["patch_size"].setValue(50)
    seen(qtbot, preview, "spot66")
    assert "Side: 50 µm" in preview.text.text()


def test_pixels_where_the_scale_is_unknown(find, viewer, section, qtbot):
    session = find.session
    section.um_per_px = None
    session.rebuild(session.selected)
    viewer.reset_view()
    preview = find.preview
    unfold(qtbot, find)
    click_spot(qtbot, viewer, session.selected, 66)
    seen(qtbot, preview, "spot66")
    assert f"Side: {patch_side(section, 2.0):.4g} px" in preview.text.text()
    find.form.fields["patch_unit"].setCurrentText("um")
    qtbot.waitUntil(lambda: "micrometres per coordinate unit are unknown" in preview.text.text())
    assert "Traceback" not in preview.text.text()
    find.form.fields["patch_unit"].setCurrentText("spots")
    seen(qtbot, preview, "spot66")


def test_a_turned_image(find, viewer, section, qtbot):
    stained(section, TURNED)
    session = find.session
    session.rebuild(session.selected)
    viewer.reset_view()
    unfold(qtbot, find)
    inside = np.flatnonzero(section.image.contains(section.coords))
    index = int(inside[len(inside) // 2])
    click_spot(qtbot, viewer, session.selected, index)
    seen(qtbot, find.preview, f"spot{index}")
    np.testing.assert_allclose(shown_pixels(find.preview), expected(section, index), atol=3)
    # What is outlined is what is seen: the layer's own pixels under the square.
    image = layers.find_layer(viewer, session.selected.id, "image")
    centre = outlines(viewer)[0].data[0].mean(axis=0)
    row, column = np.rint(image.world_to_data(centre)[-2:]).astype(int)
    np.testing.assert_allclose(
        image.data[row, column][[0, 2]], shown_pixels(find.preview)[[0, 2]], atol=6
    )


def test_an_outline_that_was_deleted_comes_back_with_the_next_click(find, viewer, qtbot):
    item, preview = find.session.selected, find.preview
    unfold(qtbot, find)
    click_spot(qtbot, viewer, item, 66)
    seen(qtbot, preview, "spot66")
    viewer.layers.remove(outlines(viewer)[0])
    find.form.fields["patch_size"].setValue(3.0)
    seen(qtbot, preview, "spot66")
    assert not outlines(viewer)
    click_spot(qtbot, viewer, item, 40)
    seen(qtbot, preview, "spot40")
    assert len(outlines(viewer)) == 1
    # The section is dropped with the last of its own layers; the outline is not one of them.
    for layer in [x for x in viewer.layers if our_meta(x).get("section_id")]:
        viewer.layers.remove(layer)
    assert find.session.selected is None
    assert not outlines(viewer)
    assert not preview.listening


def test_another_section_while_it_is_open(find, viewer, section, new_section, qtbot):
    preview, session = find.preview, find.session
    unfold(qtbot, find)
    first = session.selected
    click_spot(qtbot, viewer, first, 66)
    seen(qtbot, preview, "spot66")
    other = session.add(stained(new_section(seed=3, name="other")))
    assert "Click a spot" in preview.text.text()
    assert preview.picture.isHidden()
    assert not outlines(viewer)
    viewer.reset_view()
    # The tissue beside it belongs to the other section.
    click_spot(qtbot, viewer, first, 66)
    qtbot.wait(100)
    assert not outlines(viewer)
    click_spot(qtbot, viewer, other, 30)
    seen(qtbot, preview, "spot30")
    centre = outlines(viewer)[0].data[0].mean(axis=0)
    assert centre[1] > other.offset[1]
    bare = new_section(seed=4, name="bare")
    bare.image = None
    session.add(bare)
    assert preview.isHidden()
    assert not preview.listening
    session.select(first.id)
    assert not preview.isHidden()


def test_a_drag_and_other_buttons_are_no_click(find, viewer, qtbot):
    item = find.session.selected
    unfold(qtbot, find)
    native, place = place_of(viewer, item, 66)
    qtbot.mouseClick(native, Qt.MouseButton.RightButton, pos=place)
    before = tuple(viewer.scene.camera.center)
    qtbot.mousePress(native, Qt.MouseButton.LeftButton, pos=place)
    for step in range(1, 5):
        qtbot.mouseMove(native, place + QPoint(15 * step, 10 * step))
        qtbot.wait(10)
    qtbot.mouseRelease(native, Qt.MouseButton.LeftButton, pos=place + QPoint(60, 40))
    qtbot.wait(100)
    assert not outlines(viewer)
    # napari's own dragging went on as ever.
    assert tuple(viewer.scene.camera.center) != before


def test_a_patch_that_cannot_be_read_is_one_sentence(find, viewer, qtbot, monkeypatch):
    def broken(*_):
        raise OSError("the disk is gone")

    unfold(qtbot, find)
    monkeypatch.setattr(find.preview._cuts, "look", broken)
    click_spot(qtbot, viewer, find.session.selected, 66)
    qtbot.waitUntil(lambda: "the disk is gone" in find.preview.text.text())
    assert "Traceback" not in find.preview.text.text()
    assert find.preview.picture.isHidden()


def test_only_the_latest_click_counts(find, viewer, section, qtbot, monkeypatch):
    import threading

    gate = threading.Event()
    real = find.preview._cuts.look

    def slow(section, index, *rest):
        if index == 66:
            gate.wait(10)
        return real(section, index, *rest)

    unfold(qtbot, find)
    monkeypatch.setattr(find.preview._cuts, "look", slow)
    click_spot(qtbot, viewer, find.session.selected, 66)
    click_spot(qtbot, viewer, find.session.selected, 90)
    seen(qtbot, find.preview, "spot90")
    gate.set()
    qtbot.wait(200)
    np.testing.assert_allclose(shown_pixels(find.preview), expected(section, 90), atol=3)


def test_another_dock_in_front_takes_the_outline_away(find, viewer, new_section, qtbot):
    unfold(qtbot, find)
    click_spot(qtbot, viewer, find.session.selected, 66)
    seen(qtbot, find.preview, "spot66")
    open_dock(viewer, "Domains")
    qtbot.waitUntil(lambda: not find.preview.listening)
    assert not outlines(viewer)
    open_dock(viewer, "Find domains")
    qtbot.waitUntil(lambda: find.preview.listening)
    assert len(outlines(viewer)) == 1
    open_dock(viewer, "Domains")
    qtbot.waitUntil(lambda: not find.preview.listening)
    # A change of section while it is behind does not bring it to the front.
    first = find.session.selected
    bare = new_section(seed=4, name="bare")
    bare.image = None
    find.session.add(bare)
    find.session.select(first.id)
    assert not find.preview.listening
    find.preview.pick(*(first.section.coords[66][::-1] * first.section.um_per_px))
    assert not outlines(viewer)
    open_dock(viewer, "Find domains")
    qtbot.waitUntil(lambda: find.preview.listening)
    assert not outlines(viewer)


def test_no_preview_where_no_patch_is_cut(find):
    assert not find.preview.isHidden()
    find.form.set_values({"image_encoder": "obsm:X"})
    assert find.preview.isHidden()
    find.form.set_values({"image_encoder": "transformer"})
    assert not find.preview.isHidden()
    find.form.set_values({"use_image": "no"})
    assert find.preview.isHidden()
    find.methods.setCurrentIndex(find.methods.findData("spamask"))
    assert find.preview.isHidden()


def test_a_closed_dock_leaves_nothing(find, viewer, qtbot):
    unfold(qtbot, find)
    click_spot(qtbot, viewer, find.session.selected, 66)
    seen(qtbot, find.preview, "spot66")
    viewer.window.remove_dock_widget(find)
    qtbot.waitUntil(lambda: not outlines(viewer))
    assert not [f for f in viewer.mouse_drag_callbacks if "stmask" in f.__module__]


def test_another_reading_forgets_the_spot(find, viewer, qtbot, new_section):
    unfold(qtbot, find)
    item, preview = find.session.selected, find.preview
    click_spot(qtbot, viewer, item, 120)
    seen(qtbot, preview, "spot120")
    # Fewer spots: number 120 is none of them.
    find.session.replace(item.id, stained(new_section(n=5, seed=3)))
    assert not outlines(viewer)
    assert "Click a spot" in preview.text.text()
    assert preview.picture.isHidden()
    qtbot.wait(150)
    assert "Something went wrong" not in preview.text.text()


def test_a_closed_section_leaves_memory(find, viewer, section, qtbot):
    unfold(qtbot, find)
    find.form.set_values({"stain": "reinhard"})
    click_spot(qtbot, viewer, find.session.selected, 66)
    seen(qtbot, find.preview, "spot66")
    image = weakref.ref(section.image)
    section.image = None
    viewer.layers.clear()
    qtbot.waitUntil(lambda: gc.collect() is not None and image() is None, timeout=5_000)
