"""Results from elsewhere, several sections, readers: what the window then shows and writes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_stmask.core.provenance import read_record
from napari_stmask.core.section import Section
from napari_stmask.gui import layers
from napari_stmask.gui import session as session_module
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.layer_tuples import our_meta
from napari_stmask.gui.model import DomainSet
from napari_stmask.gui.reader import section_to_layers
from napari_stmask.gui.session import session_of
from napari_stmask.gui.view import view


@pytest.fixture
def viewer():
    return ViewerModel()


def put(viewer, made):
    for data, options, kind in made:
        getattr(viewer, f"add_{kind}")(data, **options)


def tiles(viewer, item, key="spamask"):
    return layers.find_layer(viewer, item.id, "domains", key)


def test_view_shows_a_run_that_replaced_the_result(viewer, section, make_result):
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section, k=4), "SpaMask")
    seen = []
    session.domains_changed.connect(lambda *a: seen.append(a))
    make_result(section, k=2).apply(section.adata)
    view(section, viewer)
    assert seen == [(item.id, "spamask")]
    assert len(session.selected_domains.state.names) == 2
    assert tiles(viewer, item).data.max() == 2
    session.edit(session.selected_domains.state.renamed(0, "WM"))
    assert list(section.adata.obs["spamask"].cat.categories) == ["WM", "2"]
    # Nothing new: what was edited stays.
    view(section, viewer)
    assert session.selected_domains.can_undo
    assert len(seen) == 2


def test_an_edit_never_overwrites_a_newer_run(viewer, section, make_result, monkeypatch):
    told = []
    monkeypatch.setattr(session_module, "_tell", told.append)
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section, k=4), "SpaMask")
    make_result(section, k=2).apply(section.adata)
    session.edit(session.selected_domains.state.renamed(0, "WM"))
    assert list(section.adata.obs["spamask"].cat.categories) == ["1", "2"]
    assert read_record(section.adata, "spamask")["params"]["n_domains"] == 2
    assert len(session.selected_domains.state.names) == 2
    assert tiles(viewer, item).data.max() == 2
    assert len(told) == 1
    assert "spamask" in told[0]
    session.edit(session.selected_domains.state.renamed(0, "WM"))
    assert list(section.adata.obs["spamask"].cat.categories) == ["WM", "2"]
    assert len(told) == 1


def test_new_keys_reach_the_dock(make_napari_viewer, section, make_result):
    viewer = make_napari_viewer()
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section), "SpaMask")
    legend = open_dock(viewer, "Domains")
    make_result(section, "other", k=2).apply(section.adata)
    view(section, viewer)
    assert legend.results.count() == 2
    assert legend.model.rowCount() == 2
    assert tiles(viewer, item, "other").visible
    assert not tiles(viewer, item).visible


def test_features_of_the_user_stay(viewer, section, make_result):
    session = session_of(viewer)
    item = session.add(section)
    spots = layers.find_layer(viewer, item.id, "spots")
    spots.features = {"mine": np.arange(section.n_spots)}
    session.add_result(item.id, make_result(section), "SpaMask")
    assert list(spots.features.columns) == ["mine", "domain"]


def test_a_run_that_ends_leaves_the_selected_section(viewer, new_section, make_result):
    session = session_of(viewer)
    a, b = session.add(new_section()), session.add(new_section(seed=1))
    session.add_result(a.id, make_result(a.section), "SpaMask")
    assert session.selected is b
    session.select(a.id)
    assert session.selected_key == "spamask"


def test_the_result_of_a_section_is_remembered(viewer, new_section, make_result):
    session = session_of(viewer)
    a, b = new_section(), new_section(seed=1)
    for key, k in (("one", 2), ("two", 3)):
        make_result(a, key, k=k).apply(a.adata)
    a, b = session.add(a), session.add(b)
    session.select(a.id, "one")
    session.select(b.id)
    session.select(a.id)
    assert session.selected_key == "one"


def test_the_newest_result_is_on_the_canvas_and_in_the_legend(viewer, section, make_result):
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section, "one"), "SpaMask")
    session.add_result(item.id, make_result(section, "two"), "SpaMask")
    assert not tiles(viewer, item, "one").visible
    session.add_result(item.id, make_result(section, "one", k=2), "SpaMask")
    assert session.selected_key == "one"
    assert tiles(viewer, item, "one").visible
    assert not tiles(viewer, item, "two").visible


def test_layers_of_a_reader_become_ours(viewer, new_section, make_result):
    session = session_of(viewer)
    first, second = new_section(), new_section(seed=1)
    for key, k in (("one", 2), ("two", 3)):
        make_result(second, key, k=k).apply(second.adata)
    put(viewer, section_to_layers(first))
    put(viewer, section_to_layers(second))
    a, b = session.items.values()
    assert viewer.canvas.overlays.scale_bar.visible
    assert session.selected_key == "two"
    one, two = tiles(viewer, b, "one"), tiles(viewer, b, "two")
    spots = layers.find_layer(viewer, b.id, "spots")
    assert (one.visible, two.visible, spots.visible) == (False, True, False)
    assert not one.editable
    assert not two.editable
    assert len(np.unique(spots.face_color, axis=0)) == 3
    assert list(spots.features.columns) == ["barcode", "domain"]
    for layer in viewer.layers:
        assert layers.in_view(viewer, layer)
    left = layers.find_layer(viewer, a.id, "image").extent.world
    right = layers.find_layer(viewer, b.id, "image").extent.world
    assert right[0, 1] > left[1, 1]


def test_sections_opened_without_a_dock_lie_side_by_side(
    make_napari_viewer, new_section, make_result
):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.activateWindow()
    for seed in (0, 1):
        put(viewer, section_to_layers(new_section(seed=seed)))
    left, right = (x for x in viewer.layers if our_meta(x)["role"] == "image")
    assert right.extent.world[0, 1] > left.extent.world[1, 1]
    assert viewer.canvas.overlays.scale_bar.visible
    assert layers.in_view(viewer, right)


def test_known_and_unknown_scale_share_the_unit(viewer, section):
    session = session_of(viewer)
    session.add(section)
    session.add(Section(section.adata.copy(), platform="unknown"))
    assert {str(u) for layer in viewer.layers for u in layer.units} == {"micrometer"}


@pytest.mark.parametrize("shift", [-5000.0, 0.0, 1e6])
def test_further_sections_lie_close_whatever_their_origin(viewer, section, shift):
    session = session_of(viewer)
    session.add(section)
    adata = section.adata.copy()
    adata.obsm["spatial"] = np.asarray(adata.obsm["spatial"]) + shift
    moved = Section(adata, platform="visium", spot_diameter=11.0)
    item = session.add(moved)
    image = viewer.layers[0].extent.world
    spots = layers.find_layer(viewer, item.id, "spots").extent.world
    width = image[1, 1] - image[0, 1]
    assert 0 < spots[0, 1] - image[1, 1] < 0.5 * width
    assert abs(spots[0, 0] - image[0, 0]) < 0.5 * width


def test_labels_stay_fixed_after_an_update(viewer, section, make_result):
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section), "SpaMask")
    session.add_result(item.id, make_result(section, k=4), "SpaMask")
    assert not tiles(viewer, item).editable


@pytest.mark.parametrize(("suffix", "kept"), [("", False), (" [1]", False), (" of mine", True)])
def test_only_names_of_ours_are_renewed(viewer, section, make_result, suffix, kept):
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section), "SpaMask")
    layer = tiles(viewer, item)
    layer.name += suffix
    given = layer.name
    session.add_result(item.id, make_result(section, k=2), "SpaMask")
    assert layer.name == (given if kept else "tiny · domains · SpaMask k2")


@pytest.mark.parametrize("reopened", [False, True])
def test_names_and_colours_reach_both_columns(viewer, section, make_result, reopened):
    result = make_result(section)
    raw = result.domains.codes
    result = replace(result, refined=raw.copy())
    result.refined[:3] = 2
    session = session_of(viewer)
    if reopened:
        result.apply(section.adata)
        session.add(section)
    else:
        session.add_result(session.add(section).id, result, "SpaMask")
    obs, uns = section.adata.obs, section.adata.uns
    state = session.selected_domains.state
    session.edit(state.renamed(0, "WM").recoloured(1, "#112233"))
    for column, codes in (("spamask", raw), ("spamask_refined", result.refined)):
        assert list(obs[column].cat.categories) == ["WM", "2", "3"]
        assert uns[f"{column}_colors"][1] == "#112233"
        assert (obs[column].cat.codes.to_numpy() == codes).all()
    session.edit(session.selected_domains.state.merged([0, 1]))
    assert list(obs["spamask"].cat.categories) == ["WM", "3"]
    assert (obs["spamask"].cat.codes.to_numpy() == np.array([0, 0, 1])[raw]).all()
    session.undo()
    assert (obs["spamask"].cat.codes.to_numpy() == raw).all()
    again = DomainSet.stored(section, "spamask")
    assert (again.raw == raw).all()


def test_a_section_goes_with_its_last_layer(viewer, new_section, make_result):
    session = session_of(viewer)
    a, b = session.add(new_section()), session.add(new_section(seed=1))
    heard = []
    session.section_selected.connect(heard.append)
    for layer in list(viewer.layers):
        if our_meta(layer)["section_id"] == b.id:
            viewer.layers.remove(layer)
    assert list(session.items) == [a.id]
    assert session.selected is a
    viewer.layers.clear()
    assert not session.items
    assert session.selected is None
    assert heard == [a.id, ""]
    session.show(a)
    assert session.selected is a
    assert len(viewer.layers) == 2


def test_a_section_with_a_pending_run_stays(make_napari_viewer, section, make_result):
    from types import SimpleNamespace

    viewer = make_napari_viewer()
    session = session_of(viewer)
    item = session.add(section)
    page = open_dock(viewer, "Domains")
    job = SimpleNamespace(touches=lambda section_id: section_id == item.id)
    session._runner = SimpleNamespace(waiting=[job], current=None, shutdown=lambda: None)
    viewer.layers.clear()
    assert session.items == {item.id: item}
    session._runner = None
    session.show(item)
    viewer.layers.clear()
    assert not session.items
    assert page.combo.count() == 0
