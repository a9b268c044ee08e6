"""Alignment in the window: overlay, sliders, poses, landmarks, refusal and acceptance."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog
from tests.gui.helpers import click
from tests.gui.integrate_helpers import FAST, slice_of, turn

from napari_stmask.core.joint import JointParams
from napari_stmask.features.alignment import given
from napari_stmask.gui import layers
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.integrate.overlay import affine_of
from napari_stmask.gui.session import session_of

WAIT = 60_000
TURNED = turn(25, (4000, 300))


@pytest.fixture
def items(viewer):
    session = session_of(viewer)
    return [session.add(slice_of("a")), session.add(slice_of("b", TURNED, seed=1))]


@pytest.fixture
def dock(viewer, items):
    found = open_dock(viewer, "Integrate sections")
    found.run_part.form.set_values(FAST)
    found.sections.kind.setCurrentIndex(found.sections.kind.findData("serial"))
    found.open_tab("Alignment")
    return found


def align(qtbot, dock):
    click(qtbot, dock.align.run)
    qtbot.waitUntil(lambda: not dock.align.busy, timeout=WAIT)
    assert dock.strip.isHidden(), dock.strip.text.text()
    return dock.align.chain


@pytest.fixture
def chain(dock, qtbot):
    return align(qtbot, dock)


def settle(qtbot, part):
    qtbot.waitUntil(lambda: not part._later.isActive(), timeout=5000)


def test_a_turned_copy_is_found_shown_and_saved(
    dock, items, chain, viewer, qtbot, tmp_path, monkeypatch
):
    found = chain.now[1]
    np.testing.assert_allclose(found.matrix, np.linalg.inv(TURNED), atol=1e-3)
    row = dock.align.table.frames.frame.iloc[1]
    assert row["pitches"] < 0.01
    assert row["fit"] == "good"
    part = dock.align.adjust
    assert part.fit.text().startswith("Residual 0.0 µm (0.00 pitches), overlap 100%")
    active = viewer.layers.selection.active
    count = len(viewer.layers)
    click_box(qtbot, part.shown)
    assert len(viewer.layers) == count + 2
    assert viewer.layers.selection.active is active
    # The copy lies on the section that it is a copy of.
    layer = part.overlay.moving
    spots = layers.find_layer(viewer, items[0].id, "spots")
    for i in (0, 100, 200):
        np.testing.assert_allclose(
            layer.data_to_world(layer.data[i]), spots.data_to_world(spots.data[i]), atol=0.01
        )
    click_box(qtbot, part.shown)
    assert len(viewer.layers) == count
    # A file for --transforms.
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "poses"), ""))
    click(qtbot, dock.align.save)
    saved = json.loads((tmp_path / "poses.json").read_text())
    np.testing.assert_allclose(saved["alignments"][1]["matrix"], found.matrix, atol=1e-6)
    assert saved["sections"] == ["a", "b"]


def click_box(qtbot, box):
    """A tick, on its square."""
    place = box.rect().center()
    place.setX(8)
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=place)


def test_sliders_move_the_overlay_and_the_fit(dock, chain, qtbot):
    part = dock.align.adjust
    part.shown.setChecked(True)
    layer = part.overlay.moving
    before = layer.affine.affine_matrix.copy()
    assert part.angle.value() == pytest.approx(-25, abs=0.06)
    part.angle.slider.setValue(part.angle.slider.value() + 100)
    assert not np.allclose(layer.affine.affine_matrix, before)
    settle(qtbot, part)
    assert part.angle.value() == pytest.approx(-7, abs=0.3)
    residual = chain.now[1].residual
    assert residual > 50
    assert f"Residual {residual:.1f}" in part.fit.text()
    assert chain.now[1].method == "given"
    # Doubtful: refused until it is accepted.
    assert not dock.align.doubts.isHidden()
    assert "pitches apart" in dock.align.doubts.text()
    assert not dock.run_part.run.isEnabled()
    assert "Use it anyway" in dock.run_part.run.toolTip()
    click_box(qtbot, dock.align.accept)
    assert dock.run_part.run.isEnabled(), dock.run_part.run.toolTip()
    # Another pose is not what was accepted.
    part.dx.box.setValue(part.dx.value() + 200)
    settle(qtbot, part)
    assert not dock.align.accept.isChecked()
    assert not dock.run_part.run.isEnabled()
    part.mirror.setChecked(True)
    settle(qtbot, part)
    assert chain.now[1].mirrored
    click(qtbot, part.reset)
    assert chain.now[1] is chain.found[1]
    assert dock.align.doubts.isHidden()
    assert dock.run_part.run.isEnabled()
    np.testing.assert_allclose(layer.affine.affine_matrix, before)


def test_the_transform_of_the_layer(dock, chain, items, viewer, qtbot):
    part = dock.align.adjust
    click(qtbot, part.drag)
    layer = part.overlay.moving
    assert viewer.layers.selection.active is layer
    assert str(layer.mode) == "transform"
    # napari's own tool changes the affine; a user may also turn the layer itself.
    affine = np.eye(3)
    affine[:2, 2] = 150.0, -80.0
    layer.affine = affine @ layer.affine.affine_matrix
    before = chain.now[1].matrix.copy()
    click(qtbot, part.take)
    expected = before.copy()
    expected[:2, 2] += -80.0, 150.0
    np.testing.assert_allclose(chain.now[1].matrix, expected, atol=1e-6)
    np.testing.assert_allclose(affine_of(layer, items[0].offset), expected, atol=1e-6)
    assert part.dx.value() == pytest.approx(-80, abs=1)
    viewer.layers.remove(layer)
    click(qtbot, part.take)
    assert "not there" in dock.strip.text.text()


def test_other_poses(dock, chain, qtbot):
    part = dock.align.adjust
    assert part.others.count() == 1 + len(chain.now[1].alternatives) > 1
    other = chain.now[1].alternatives[0].matrix
    part.others.setCurrentIndex(1)
    part.others.activated.emit(1)
    np.testing.assert_allclose(chain.now[1].matrix, other)
    assert chain.doubts


def test_landmarks(dock, chain, items, viewer, qtbot):
    part = dock.align.landmarks
    dock.align.landmarks_fold.expand(animate=False)
    dock.align.adjust.put(np.eye(3))
    click(qtbot, part.new)
    moving, fixed = part.moving.currentData(), part.fixed.currentData()
    assert moving is not fixed
    assert viewer.layers.selection.active is moving
    rows = [3, 120, 210]
    click(qtbot, part.run)
    assert "landmarks" in dock.strip.text.text()
    for layer, item in ((moving, items[1]), (fixed, items[0])):
        places = item.section.coords[rows][:, ::-1] * item.section.um_per_px + item.offset
        layer.add(places)
    click(qtbot, part.run)
    np.testing.assert_allclose(chain.now[1].matrix, np.linalg.inv(TURNED), atol=1e-6)
    assert chain.now[1].method == "landmarks"
    # One layer for both says nothing.
    part.fixed.setCurrentIndex(part.fixed.findData(moving))
    click(qtbot, part.run)
    assert "same layer" in dock.strip.text.text()
    # Sections that are laid elsewhere take marks and overlay along.
    dock.align.adjust.shown.setChecked(True)
    overlay = dock.align.adjust.overlay
    before = [affine_of(layer, items[0].offset) for layer in (fixed, overlay.moving)]
    other = affine_of(moving, items[1].offset)
    for item, step in zip(items, ((70.0, 900.0), (-40.0, 10.0)), strict=True):
        item.offset = item.offset[0] + step[0], item.offset[1] + step[1]
    dock.result.arranged.emit()
    for layer, known in zip((fixed, overlay.moving), before, strict=True):
        np.testing.assert_allclose(affine_of(layer, items[0].offset), known)
    np.testing.assert_allclose(affine_of(moving, items[1].offset), other)
    # A layer of the user's is offered, and stays when the dock goes.
    own = viewer.add_points(np.zeros((3, 2)), name="mine")
    assert part.moving.findData(own) >= 0
    dock.setParent(None)
    assert own in viewer.layers
    assert moving not in viewer.layers
    assert dock.align.adjust.overlay.moving is None


def test_another_order_asks_for_another_alignment(dock, chain, items, qtbot):
    dock.align.adjust.shown.setChecked(True)
    dock.open_tab("Sections")
    dock.sections.table.setCurrentCell(1, 0)
    click(qtbot, dock.sections.up)
    assert [item.label for item in dock.items()] == ["b", "a"]
    assert dock.align.chain is None
    assert dock.align.adjust.overlay.moving is None
    assert not dock.align.table.isVisible()


def test_poses_set_by_hand_come_back_with_what_they_were_set_for(dock, chain, items):
    dock.align.adjust.put(turn(3))
    dock.align.method.setCurrentIndex(dock.align.method.findData("none"))
    # What was found by the outline is no answer to another way of aligning.
    assert dock.align.chain is None
    assert dock.alignments() is None
    dock.align.method.setCurrentIndex(dock.align.method.findData("outline"))
    dock.sections.kind.setCurrentIndex(dock.sections.kind.findData("separate"))
    assert dock.alignments() is None
    dock.sections.kind.setCurrentIndex(dock.sections.kind.findData("serial"))
    tick = dock.sections.table.item(1, 0)
    tick.setCheckState(Qt.CheckState.Unchecked)
    assert dock.align.chain is None
    tick.setCheckState(Qt.CheckState.Checked)
    assert dock.align.chain is chain
    np.testing.assert_allclose(chain.now[1].matrix, turn(3))
    # Another scale is another section.
    items[1].section.um_per_px = 0.7
    dock.session.rebuild(items[1])
    assert dock.align.chain is None


def test_what_a_run_has_found_is_taken_only_where_it_was_asked(dock, items):
    found = [given(np.eye(3)), given(TURNED)]
    ids = [item.id for item in items]
    for joint in (
        JointParams(arrangement="adjoining"),
        JointParams(arrangement="serial", align_by="none"),
        JointParams(arrangement="serial", flip="never"),
    ):
        dock.align.adopt(ids, joint, found)
        assert dock.align.chain is None
    dock.align.adopt(ids, JointParams(arrangement="serial"), found)
    assert dock.alignments() == found


def test_a_section_read_again_ends_the_alignment(dock, items, qtbot):
    click(qtbot, dock.align.run)
    assert not dock.align.method.isEnabled()
    dock.session.replace(items[1].id, slice_of("b", seed=1))
    assert not dock.align.busy
    qtbot.wait(300)
    assert dock.align.chain is None
    assert align(qtbot, dock).labels == ["a", "b"]


def test_names_are_those_of_the_window(dock, items, qtbot):
    other = dock.session.add(slice_of("b", seed=3))
    assert other.label == "b (2)"
    assert align(qtbot, dock).labels == ["a", "b", "b (2)"]


def test_a_closed_section_ends_the_alignment(dock, items, viewer, qtbot):
    click(qtbot, dock.align.run)
    for layer in layers.layers_of(viewer, items[1].id):
        viewer.layers.remove(layer)
    assert not dock.align.busy
    assert dock.align.chain is None
    assert dock.sections.table.rowCount() == 1
    assert not dock.align.run.isEnabled()
    assert "two or more" in dock.run_part.run.toolTip()
    QApplication.processEvents()


def test_a_cancelled_alignment_and_adjoining_parts(dock, qtbot, items):
    # Cancelled, nothing is known.
    click(qtbot, dock.align.run)
    assert dock.align.busy
    assert not dock.run_part.run.isEnabled()
    click(qtbot, dock.align.cancel)
    assert not dock.align.busy
    assert dock.align.chain is None
    assert dock.run_part.run.isEnabled(), dock.run_part.run.toolTip()
    dock.sections.kind.setCurrentIndex(dock.sections.kind.findData("adjoining"))
    assert not dock.align.method.isEnabled()
    chain = align(qtbot, dock)
    np.testing.assert_array_equal(chain.now[1].matrix, np.eye(3))
    assert dock.align.adjust.fit.text().startswith("Not fitted")
    dock.sections.kind.setCurrentIndex(dock.sections.kind.findData("separate"))
    assert not dock.align.run.isEnabled()
    assert dock.alignments() is None
