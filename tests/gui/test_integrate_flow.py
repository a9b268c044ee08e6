"""The dock *Integrate sections*: choose, align, run, look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from tests.gui.helpers import click
from tests.gui.integrate_helpers import FAST, open_three, ran

from napari_stmask.core.progress import Progress
from napari_stmask.core.provenance import read_record
from napari_stmask.gui import layers
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.integrate import umap_part

WAIT = 60_000


@pytest.fixture
def three(viewer):
    return open_three(viewer)


@pytest.fixture
def dock(three):
    return three[1]


@pytest.fixture
def items(three):
    return three[0]


def serial(dock):
    dock.sections.kind.setCurrentIndex(dock.sections.kind.findData("serial"))


def aligned(qtbot, dock):
    serial(dock)
    dock.open_tab("Alignment")
    click(qtbot, dock.align.run)
    qtbot.waitUntil(lambda: not dock.align.busy, timeout=WAIT)
    assert dock.strip.isHidden(), dock.strip.text.text()
    assert dock.align.chain is not None


def places(viewer, item):
    """Where each layer of a section puts its first data point."""
    found = layers.layers_of(viewer, item.id)
    return {id(layer): np.asarray(layer.data_to_world((0.0, 0.0)))[-2:] for layer in found}


def test_the_whole_way(dock, items, viewer, qtbot, monkeypatch):
    session = dock.session
    aligned(qtbot, dock)
    frame = dock.align.table.frames.frame
    assert frame["mirrored"].tolist() == ["no", "no", "yes"]
    assert (frame["pitches"][1:] < 0.01).all()
    assert frame["overlap"][1:].tolist() == [1.0, 1.0]
    assert dock.align.doubts.isHidden()
    dock.open_tab("Run")
    before = [list(item.section.adata.obs) for item in items]
    click(qtbot, dock.run_part.run)
    ran(qtbot, dock)
    QApplication.processEvents()
    assert dock.tabs.currentIndex() == 3
    assert [len(list(i.section.adata.obs)) > len(b) for i, b in zip(items, before, strict=True)]
    # One palette: the same number has the same colour and name everywhere.
    states = [item.domains["spamask"].state for item in items]
    assert len({(state.names, state.colors) for state in states}) == 1
    for item in items:
        layer = layers.find_layer(viewer, item.id, "domains", "spamask")
        assert layer is not None
        for code, color in enumerate(states[0].colors):
            rgb = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
            np.testing.assert_allclose(
                layer.colormap.map(code + 1)[..., :3].ravel(), rgb, atol=0.01
            )
        assert read_record(item.section.adata, "spamask")["joint"]["sections"] == ["a", "b", "c"]
    known = dock.result.known
    np.testing.assert_allclose(known.composition.sum(axis=1), 1)
    shown = dock.result.scores.table.frames.frame
    assert shown["short"].tolist()[-1] == "SpaMask"
    assert "Across" in shown["short"].tolist()
    assert "neighbour mean with links across" in dock.result.scores.table.frames.columns[1].tip
    assert dock.result.truth.choice.currentText() == "band"
    assert dock.result.truth.table.frames.frame["section"].tolist() == ["a", "b", "c", "all"]
    assert session.selected_id == items[2].id

    grid(dock, items, viewer, qtbot)
    edited(dock, items, viewer, qtbot)
    replaced(dock, items, viewer)
    stacked(dock, viewer, qtbot)
    layouts(dock, qtbot, monkeypatch)
    # The dock goes with its layer, and a new one shows what is known.
    viewer.window.remove_dock_widget(dock)
    assert viewer.dims.ndisplay == 2
    assert not [x for x in viewer.layers if x.name == "Sections in 3-D"]
    again = open_dock(viewer, "Integrate sections")
    assert again is not dock
    assert again.result.known is known
    assert not again.result.composition.isHidden()


def grid(dock, items, viewer, qtbot):
    """Side by side and back: all layers of a section move alike."""
    before = {item.id: places(viewer, item) for item in items}
    offsets = [item.offset for item in items]
    seen = [layer.visible for layer in viewer.layers]
    camera = viewer.scene.camera.center, viewer.scene.camera.zoom
    dock.result.grid.click()
    boxes = []
    for item in items:
        now = places(viewer, item)
        steps = np.array([now[key] - before[item.id][key] for key in now])
        np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape))
        layer = layers.find_layer(viewer, item.id, "domains", "spamask")
        assert layer.visible
        boxes.append(layer.extent.world)
    for i, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[:i]:
            assert ((high <= other_low) | (low >= other_high)).any()
    dock.result.grid.click()
    for item in items:
        for key, place in places(viewer, item).items():
            np.testing.assert_allclose(place, before[item.id][key])
    assert [item.offset for item in items] == offsets
    assert [layer.visible for layer in viewer.layers] == seen
    assert (viewer.scene.camera.center, viewer.scene.camera.zoom) == camera


def edited(dock, items, viewer, qtbot):
    """Names and colours given to one section reach tables, and with one click the others."""
    session, same = dock.session, dock.result.same
    before = [item.domains["spamask"].state for item in items]
    assert not same.isEnabled()
    session.select(items[0].id, "spamask")
    session.edit(before[0].renamed(0, "left band").recoloured(1, "#123456"))
    shown = dock.result.composition.table.frames.frame["domain"].tolist()
    assert shown[:2] == ["left band", "2"]
    # Merged domains are others: they keep their names.
    session.select(items[2].id, "spamask")
    session.edit(before[2].merged([0, 1]))
    session.select(items[0].id, "spamask")
    assert items[0].label in same.toolTip()
    click(qtbot, same)
    assert not same.isEnabled()
    assert session.selected_id == items[0].id
    state = items[1].domains["spamask"].state
    assert state.names[0] == "left band"
    assert state.colors[1] == "#123456"
    np.testing.assert_array_equal(state.codes, before[1].codes)
    assert "left band" in items[1].section.adata.obs["spamask"].cat.categories
    assert items[2].domains["spamask"].state.names == ("1", "3")
    for item in items:
        session.select(item.id, "spamask")
        session.undo()
    assert [item.domains["spamask"].state for item in items] == before
    assert dock.result.composition.table.frames.frame["domain"].tolist()[0] == "1"
    session.select(items[2].id, "spamask")


def replaced(dock, items, viewer):
    """Another answer ends the grid; what is visible then is of that answer."""
    known = dock.result.known
    offsets = [item.offset for item in items]
    for item in items:
        layers.find_layer(viewer, item.id, "domains").visible = False
    dock.result.grid.click()
    dock.result.show_known(replace(known))
    assert not dock.result.grid.isChecked()
    assert [item.offset for item in items] == offsets
    assert all(layers.find_layer(viewer, item.id, "domains").visible for item in items)
    dock.result.show_known(known)


def stacked(dock, viewer, qtbot):
    """A stack with depth, and back."""
    count, seen = len(viewer.layers), [layer.visible for layer in viewer.layers]
    active = viewer.layers.selection.active
    assert active is not None
    dock.result.grid.click()
    dock.result.solid.click()
    assert not dock.result.grid.isChecked()
    assert viewer.dims.ndisplay == 3
    layer = dock.result.stack.layer
    assert sorted(set(layer.data[:, 0].tolist())) == [0.0, 10.0, 20.0]
    assert layer.scale[0] == dock.result.stretch.value() > 1
    known = dock.result.known
    of = dock.session.items[known.ids[0]].domains["spamask"].state
    rgb = [int(of.colors[of.codes[0]][i : i + 2], 16) / 255 for i in (1, 3, 5)]
    np.testing.assert_allclose(layer.face_color[0, :3], rgb, atol=0.01)
    assert [x.visible for x in viewer.layers if x is not layer] == [False] * count
    dock.result.stretch.setValue(7)
    assert layer.scale[0] == 7
    dock.result.solid.click()
    assert viewer.dims.ndisplay == 2
    assert len(viewer.layers) == count
    assert [layer.visible for layer in viewer.layers] == seen
    assert viewer.layers.selection.active is active
    # The user deletes the layer.
    dock.result.solid.click()
    viewer.layers.remove(dock.result.stack.layer)
    assert not dock.result.solid.isChecked()
    assert viewer.dims.ndisplay == 2
    assert [layer.visible for layer in viewer.layers] == seen
    dock.result.solid.click()


def layouts(dock, qtbot, monkeypatch):
    """UMAP in the background; what lays out is tested elsewhere, and slow to start."""

    def quick(values, *, groups):
        yield Progress(0, 1, "laying out spots")
        assert len(values) == len(groups)
        return np.ascontiguousarray(values[:, :2])

    monkeypatch.setattr(umap_part, "umap_layout", quick)
    part = dock.result.umap
    dock.result.umap_fold.expand(animate=False)
    click(qtbot, part.run)
    qtbot.waitUntil(lambda: part.found is not None and not part.worker.busy, timeout=WAIT)
    assert dock.strip.isHidden(), dock.strip.text.text()
    assert not part.chart.isHidden()
    known = dock.result.known
    for row in part.chart.dots:
        for dots in row:
            assert len(dots.data) == len(known.codes)
    assert "a" in part.legend.text()
    table = part.export._make[0]()
    assert list(table) == ["section", "domain", "before_x", "before_y", "after_x", "after_y"]
    part.export._make[1]()


def test_cancel_leaves_everything(dock, items, viewer, qtbot):
    dock.run_part.form.set_values(FAST | {"epochs": 5000, "replicates": 20})
    before = [list(item.section.adata.obs) for item in items]
    dock.open_tab("Run")
    click(qtbot, dock.run_part.run)
    qtbot.waitUntil(lambda: dock.card._phase == "training", timeout=WAIT)
    # A section is kept while it is worked on.
    assert dock.session.is_running(items[1].id)
    click(qtbot, dock.card.cancel)
    qtbot.waitUntil(lambda: not dock.session.runner.stopping, timeout=WAIT)
    assert [list(item.section.adata.obs) for item in items] == before
    assert dock.result.known is None
    assert not any(layers.layers_of(viewer, item.id, "domains") for item in items)


def test_a_section_that_is_read_again_in_between(dock, items, qtbot, monkeypatch):
    from napari_stmask.gui.integrate.job import IntegrateJob

    dock.sections.table.item(2, 0).setCheckState(Qt.CheckState.Unchecked)
    real = IntegrateJob.accept

    def accept(job, session, answer):
        # What was read again is not what was integrated.
        items[1].section = type(items[1].section)(
            items[1].section.adata.copy(), name="b", um_per_px=0.5, platform="visium"
        )
        real(job, session, answer)

    monkeypatch.setattr(IntegrateJob, "accept", accept)
    dock.open_tab("Run")
    click(qtbot, dock.run_part.run)
    ran(qtbot, dock)
    assert "spamask" in items[0].section.adata.obs
    assert "spamask" not in items[1].section.adata.obs
    assert "spamask" not in items[2].section.adata.obs
    assert "read again in between: b" in dock.state.text()
    assert "1 of the sections is no longer open" in dock.result.facts.text()
    # Separate sections have no depth.
    assert not dock.result.solid.isEnabled()


def test_a_grid_whose_sections_are_closed_can_be_left(dock, items, viewer, qtbot):
    dock.open_tab("Run")
    click(qtbot, dock.run_part.run)
    ran(qtbot, dock)
    own = viewer.add_points(np.zeros((3, 2)), name="mine")
    dock.result.grid.click()
    assert not own.visible
    for item in items:
        for layer in layers.layers_of(viewer, item.id):
            viewer.layers.remove(layer)
    assert not dock.session.items
    assert "3 of the sections are no longer open" in dock.result.facts.text()
    dock.result.grid.click()
    assert own.visible
    dock.result.show_known(dock.result.known)
    assert not dock.result.grid.isEnabled()
