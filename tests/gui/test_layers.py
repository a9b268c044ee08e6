"""Layers on a ViewerModel: geometry, metadata, updates in place, robustness."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_stmask.gui import layers
from napari_stmask.gui.layer_tuples import our_meta
from napari_stmask.gui.session import session_of


@pytest.fixture
def viewer():
    return ViewerModel()


def roles(viewer):
    return [our_meta(layer).get("role") for layer in viewer.layers]


def test_section_becomes_layers_in_one_world(viewer, section):
    item = session_of(viewer).add(section)
    assert roles(viewer) == ["image", "spots"]
    assert [x.name for x in viewer.layers] == ["tiny · image", "tiny · spots"]
    for layer in viewer.layers:
        assert [str(u) for u in layer.units] == ["micrometer", "micrometer"]
    image, spots = viewer.layers
    unit = section.um_per_px
    # The pixel under a spot, by napari's transform, is the pixel by the section's own scale.
    for i in (0, 7, section.n_spots - 1):
        x, y = section.coords[i]
        world = spots.data_to_world(spots.data[i])
        assert world == pytest.approx((y * unit, x * unit))
        pixel = np.round(image.world_to_data(world)).astype(int)
        assert tuple(pixel) == (int(y * 0.5), int(x * 0.5))
    # Outer corner of the image is the origin of the coordinates.
    assert image.data_to_world((-0.5, -0.5)) == pytest.approx((0, 0))
    meta = our_meta(spots)
    assert meta["section_id"] == item.id
    assert meta["section"]() is section
    assert copy.deepcopy(meta["section"])() is section
    assert "adata" not in spots.metadata
    assert list(spots.features.columns) == ["barcode"]


def test_domains_raster_lies_under_the_spots(viewer, section, make_result):
    session = session_of(viewer)
    item = session.add(section)
    domains = session.add_result(item.id, make_result(section), "SpaMask")
    layer = layers.find_layer(viewer, item.id, "domains")
    spots = layers.find_layer(viewer, item.id, "spots")
    assert roles(viewer) == ["image", "domains", "spots"]
    assert layer.name == "tiny · domains · SpaMask k3"
    assert layer.data.dtype == np.uint8
    for i in range(section.n_spots):
        world = spots.data_to_world(spots.data[i])
        assert layer.get_value(world, world=True) == domains.state.codes[i] + 1
    assert list(layer.features["domain"]) == ["", "1", "2", "3"]
    shown = spots.face_color[:, :3]
    assert len(np.unique(np.round(shown, 3), axis=0)) == 3
    assert layer.colormap.map(np.array([0]))[0, 3] == 0
    assert not spots.visible
    assert not layer.editable


def test_update_in_place_keeps_what_the_user_set(viewer, section, make_result):
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section), "SpaMask")
    layer = layers.find_layer(viewer, item.id, "domains")
    layer.opacity, layer.visible, layer.name = 0.31, False, "my domains"
    viewer.layers.move(viewer.layers.index(layer), 3)
    order = list(viewer.layers)
    session.add_result(item.id, make_result(section, k=4), "SpaMask")
    assert list(viewer.layers) == order
    assert (layer.opacity, layer.visible, layer.name) == (0.31, False, "my domains")
    assert layer.data.max() == 4
    assert list(section.adata.obs["spamask"].cat.categories) == list("1234")
    layer.name = "tiny · domains · SpaMask k4"
    session.add_result(item.id, make_result(section, k=2), "SpaMask")
    assert layer.name == "tiny · domains · SpaMask k2"


def test_edits_reach_layer_and_adata_and_back(viewer, section, make_result):
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section), "SpaMask")
    layer = layers.find_layer(viewer, item.id, "domains")
    before = section.adata.obs["spamask"].copy()
    state = session.selected_domains.state
    session.edit(state.renamed(0, "WM"))
    session.edit(session.selected_domains.state.recoloured(0, "#112233"))
    session.edit(session.selected_domains.state.merged([1, 2]))
    assert list(section.adata.obs["spamask"].cat.categories) == ["WM", "2"]
    assert section.adata.uns["spamask_colors"][0] == "#112233"
    assert layer.data.max() == 2
    assert layer.colormap.map(np.array([1]))[0, :3] == pytest.approx(
        [0x11 / 255, 0x22 / 255, 0x33 / 255], abs=0.01
    )
    session.edit(session.selected_domains.state.with_shown(0, False))
    assert layer.colormap.map(np.array([1]))[0, 3] == 0
    for _ in range(4):
        session.undo()
    assert (section.adata.obs["spamask"] == before).all()
    assert layer.data.max() == 3
    session.redo()
    assert section.adata.obs["spamask"].cat.categories[0] == "WM"


def test_gene_layer_is_reused(viewer, section):
    item = session_of(viewer).add(section)
    values = section.counts()[:, 0].toarray().ravel()
    layer = layers.show_gene(viewer, item, "gene0", values)
    again = layers.show_gene(viewer, item, "gene1", values * 2)
    assert again is layer
    assert layer.name == "tiny · gene · gene1"
    assert np.isnan(layer.data[0, 0])
    assert roles(viewer) == ["image", "gene", "spots"]


def test_two_sections_lie_side_by_side(viewer, new_section):
    session = session_of(viewer)
    first = session.add(new_section())
    second = session.add(new_section(seed=1))
    assert (first.label, second.label) == ("tiny", "tiny (2)")
    a = layers.find_layer(viewer, first.id, "image").extent.world
    b = layers.find_layer(viewer, second.id, "image").extent.world
    assert b[0, 1] > a[1, 1]
    assert session.selected is second
    assert session.add(first.section) is first
    assert len(session.items) == 2


def test_two_viewers_share_nothing(section, new_section):
    a, b = ViewerModel(), ViewerModel()
    session_of(a).add(section)
    assert session_of(a) is session_of(a)
    assert not session_of(b).items


def test_closed_viewer_is_forgotten(section):
    import gc
    import weakref

    from napari_stmask.gui import session as module

    viewer = ViewerModel()
    watched = weakref.ref(session_of(viewer))
    session_of(viewer).add(section)
    known = id(viewer)
    del viewer
    gc.collect()
    if known in module._SESSIONS:
        assert module._SESSIONS[known] is not watched()
    assert watched() is None


def test_no_points_for_very_many_spots(viewer, section, monkeypatch):
    monkeypatch.setattr("napari_stmask.gui.layer_tuples.MAX_POINTS", 100)
    session_of(viewer).add(section)
    assert roles(viewer) == ["image"]


def test_without_scale_units_are_pixels(viewer, section):
    from napari_stmask.core.section import Section

    bare = Section(section.adata, platform="unknown")
    session_of(viewer).add(bare)
    assert [str(u) for u in viewer.layers[0].units] == ["pixel", "pixel"]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=12))
def test_user_may_delete_rename_and_move_at_any_time(new_section, make_result, actions):
    viewer, section = ViewerModel(), new_section(n=6)
    session = session_of(viewer)
    item = session.add(section)
    for kind, number in actions:
        if kind == 0 and len(viewer.layers):
            viewer.layers.pop(number % len(viewer.layers))
        elif kind == 1 and len(viewer.layers):
            viewer.layers[number % len(viewer.layers)].name = f"mine {number}"
        elif kind == 2 and len(viewer.layers):
            viewer.layers.move(number % len(viewer.layers), 0)
        elif kind == 3:
            key = "spamask" if number % 2 else "other"
            session.add_result(item.id, make_result(section, key, k=2 + number % 3), "SpaMask")
        elif kind == 4 and session.selected_domains is not None:
            session.edit(session.selected_domains.state.with_shown(0, False))
        elif kind == 5:
            session.undo()
        else:
            session.show(item)
    session.show(item)
    assert {"image", "spots"} <= set(roles(viewer))
    for key, domains in item.domains.items():
        layer = layers.find_layer(viewer, item.id, "domains", key)
        assert (layer.data == item.raster.labels(domains.state.codes)).all()
        codes = section.adata.obs[domains.column].cat.codes.to_numpy()
        assert (codes == domains.state.codes).all()


def test_values_lie_below_spots_whatever_comes_first(viewer, section, make_result):
    from napari_stmask.gui.analyse.spot_values import show_gene, show_values

    session = session_of(viewer)
    item = session.add(section)
    values = section.counts()[:, 0].toarray().ravel()
    shown = show_values(viewer, item, "entropy", "entropy", values, key="another")
    session.add_result(item.id, make_result(section), "SpaMask")
    show_gene(viewer, item, "gene0", values)
    assert roles(viewer) == ["image", "domains", "gene", "value", "spots"]
    assert not shown.visible
    show_values(viewer, item, "other", "other", values, key="spamask")
    assert roles(viewer) == ["image", "domains", "gene", "value", "value", "spots"]


def test_the_name_of_a_value_follows_what_it_shows(viewer, section):
    from napari_stmask.gui.analyse.spot_values import show_values

    item = session_of(viewer).add(section)
    values = section.counts()[:, 0].toarray().ravel()
    layer = show_values(viewer, item, "metagene", "meta-gene of 1", values, key="spamask")
    again = show_values(viewer, item, "metagene", "meta-gene of 2", values, key="spamask")
    assert again is layer
    assert layer.name == "tiny · meta-gene of 2 · spamask"
    layer.name = "mine"
    show_values(viewer, item, "metagene", "meta-gene of 3", values, key="spamask")
    assert layer.name == "mine"
