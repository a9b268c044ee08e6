"""Save, close, open: the same domains, names, colours, regions and layers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.colormaps import Colormap

import napari_stmask as stm
from napari_stmask.core.errors import DataError, OutputError, ParameterError
from napari_stmask.gui import layers
from napari_stmask.gui.analyse.spot_values import show_values
from napari_stmask.gui.colour_bars import has_colorbar
from napari_stmask.gui.genes.regions import new_pattern
from napari_stmask.gui.keeping import DESK, with_desk
from napari_stmask.gui.layer_tuples import META, our_meta
from napari_stmask.gui.predict.gene_maps import show_map
from napari_stmask.gui.reader import section_to_layers
from napari_stmask.gui.session import session_of
from napari_stmask.gui.view import view


@pytest.fixture
def desk(section, make_result):
    """A viewer with two results, edits, values, a gene, drawn shapes and chosen spots."""
    viewer = ViewerModel()
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section, k=4), "SpaMask")
    session.add_result(item.id, make_result(section, "second", k=3), "SpaMask")
    state = session.selected_domains.state
    state = state.renamed(0, "Tumour").recoloured(1, "#123456").with_shown(2, False)
    session.edit(state.moved(0, 1))
    rng = np.random.default_rng(0)
    values = rng.normal(size=section.n_spots).astype(np.float32)
    values[3] = np.nan
    show_values(viewer, item, "entropy", "entropy", values, key="second", signed=True)
    gene = layers.show_gene(viewer, item, "gene1", rng.poisson(3, section.n_spots))
    gene.contrast_limits, gene.colormap, gene.gamma = (1.0, 5.5), "magma", 0.7
    gene.name = "my own name"
    points = show_map(
        viewer, item, "predicted", "predicted gene1", values, limits=(-1, 1), as_image=False
    )
    points.visible = False
    tiles = layers.find_layer(viewer, item.id, "domains", "second")
    tiles.contour, tiles.opacity = 1, 0.31
    layers.find_layer(viewer, item.id, "image").blending = "additive"
    viewer.add_shapes(
        [np.array([[40, 40], [40, 120], [110, 120.0]]), np.array([[50, 50], [90, 90]])],
        shape_type=["polygon", "line"], edge_color=["red", "blue"], name="my regions",
        features={"class": ["a", "b"]}, text="{class}", edge_width=[2, 5], scale=(0.5, 0.5),
    )  # fmt: skip
    pattern = new_pattern(viewer, item)
    pattern.data[10:20, 10:30] = 2
    session.choose_spots(item.id, [5, 9, 11])
    session.choose_gene(item.id, "gene1")
    viewer.layers.move(0, 2)
    return viewer, item


def world_of(layer):
    """Corners of every shape in the world."""
    return [np.round([layer.data_to_world(c) for c in shape], 4).tolist() for shape in layer.data]


def looks(viewer):
    """Everything that a person sees in the list of layers and on the canvas."""
    out = []
    for layer in viewer.layers:
        kind = layer._type_string
        row = [layer.name, kind, layer.visible, round(layer.opacity, 6), str(layer.blending)]
        row += [our_meta(layer).get("role"), our_meta(layer).get("key")]
        if kind == "image" and not layer.rgb:
            row += [tuple(layer.contrast_limits), layer.gamma, layer.colormap.name]
            row += [np.asarray(layer.colormap.colors).round(4).tolist(), has_colorbar(layer)]
        if kind == "labels":
            row += [layer.contour, np.asarray(layer.data).tobytes(), layer.editable]
            row += [layer.get_color(1).round(4).tolist()]
        if kind == "points":
            row += [np.asarray(layer.face_color).round(4).tolist(), layer.size.mean().round(3)]
            row += [sorted(layer.features)]
        if kind == "shapes":
            row += [list(layer.shape_type), world_of(layer)]
            row += [np.round(layer.edge_color, 4).tolist(), layer.features.to_dict("list")]
            width = np.array(layer.edge_width) * layer.scale[-1]
            row += [layer.text.model_dump(mode="json"), list(layer.text.values), width.round(4)]
        elif kind == "image":
            data = layer.data[-1] if layer.multiscale else layer.data
            row += [np.nan_to_num(np.asarray(data, dtype=float), nan=-9).round(4).tobytes()]
        out.append(tuple(map(str, row)))
    return out


@pytest.mark.parametrize("suffix", [".h5ad", ".anndata.zarr"])
@pytest.mark.parametrize("way", ["view", "reader"])
def test_everything_comes_back(desk, tmp_path, suffix, way):
    viewer, item = desk
    path = tmp_path / f"kept{suffix}"
    stm.write(with_desk(viewer, item), path)
    before = item.domains["second"].state

    again = ViewerModel()
    section = stm.read(path)
    if way == "view":
        view(section, again)
    else:
        session_of(again)
        for data, options, kind in section_to_layers(section):
            getattr(again, f"add_{kind}")(data, **options)
    session = session_of(again)
    found = session.selected
    assert session.selected_key == "second"
    after = found.domains["second"].state
    np.testing.assert_array_equal(after.codes, before.codes)
    assert (after.names, after.shown) == (before.names, before.shown)
    assert [c.upper() for c in after.colors] == [c.upper() for c in before.colors]
    assert found.chosen.tolist() == [5, 9, 11]
    assert found.gene == "gene1"
    # The histology in the file is a smaller one; all else is the same.
    here, there = looks(viewer), looks(again)
    assert [r[:7] for r in there] == [r[:7] for r in here]
    image = [i for i, r in enumerate(here) if r[5] == "image"]
    for i, (one, other) in enumerate(zip(here, there, strict=True)):
        if i not in image:
            assert other == one
    # The layers are live: an edit reaches the one that came back.
    session.edit(after.renamed(0, "new"))
    tiles = layers.find_layer(again, found.id, "domains", "second")
    assert "new" in list(tiles.features["domain"])


def test_what_is_kept_of_nothing(section):
    viewer = ViewerModel()
    item = session_of(viewer).add(section)
    kept = with_desk(viewer, item)
    desk = json.loads(kept.adata.uns[DESK])
    assert [one["meta"]["role"] for one in desk["layers"]] == ["image", "spots"]
    # What is written never reaches the open section.
    assert DESK not in section.adata.uns
    assert DESK not in section.adata.obsm


@pytest.mark.parametrize("way", ["view", "reader"])
def test_sections_keep_to_themselves(new_section, tmp_path, way):
    viewer = ViewerModel()
    session = session_of(viewer)
    a, b = session.add(new_section(name="a")), session.add(new_section(seed=1, name="b"))
    session.choose_spots(a.id, [1])
    middle = np.array(b.offset) + 60
    viewer.add_shapes([middle + np.array([[0, 0], [0, 9], [9, 9.0]])], shape_type="polygon")
    roles = {}
    for item in (a, b):
        desk = json.loads(with_desk(viewer, item).adata.uns[DESK])
        roles[item.label] = [one["kind"] for one in desk["layers"]]
    assert roles == {"a": ["image", "labels", "points"], "b": ["image", "points", "shapes"]}
    # Where it comes back beside another section, its shapes lie over it again.
    stm.write(with_desk(viewer, b), tmp_path / "b.h5ad")
    other = ViewerModel()
    session_of(other).add(new_section(name="first"))
    section = stm.read(tmp_path / "b.h5ad")
    if way == "view":
        session_of(other).add(section)
    else:
        for data, options, kind in section_to_layers(section):
            getattr(other, f"add_{kind}")(data, **options)
    item = session_of(other).selected
    shapes = next(x for x in other.layers if x._type_string == "shapes")
    assert META not in shapes.metadata
    assert item.section is section
    world = np.array([shapes.data_to_world(corner) for corner in shapes.data[0]])
    np.testing.assert_allclose(
        world, np.array(item.offset) + 60 + np.array([[0, 0], [0, 9], [9, 9.0]]), atol=1e-3
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 99, "layers": [{}]}'])
def test_a_desk_that_cannot_be_read_is_left_out(section, text):
    section.adata.uns[DESK] = text
    viewer = ViewerModel()
    session_of(viewer).add(section)
    assert [our_meta(x)["role"] for x in viewer.layers] == ["image", "spots"]


def test_a_layer_whose_numbers_are_gone_is_left_out(desk):
    viewer, item = desk
    kept = with_desk(viewer, item)
    del kept.adata.obsm[DESK]
    again = ViewerModel()
    session_of(again).add(kept)
    assert not [x for x in again.layers if our_meta(x).get("role") in ("gene", "value")]
    assert layers.find_layer(again, session_of(again).selected.id, "domains", "second") is not None


def test_colours_of_own_maps_come_back(section):
    viewer = ViewerModel()
    item = session_of(viewer).add(section)
    layer = layers.show_gene(viewer, item, "gene1", np.arange(section.n_spots))
    layer.colormap = Colormap([[0, 0, 0, 0], [1, 0, 1, 1]], name="mine", controls=[0, 1])
    again = ViewerModel()
    session_of(again).add(with_desk(viewer, item))
    found = next(x for x in again.layers if our_meta(x).get("role") == "gene")
    assert found.colormap.name == "mine"
    assert found.metadata[META]["section"]() is not section


def test_from_a_script(desk, tmp_path):
    viewer, _ = desk
    path = stm.save_desk(viewer, tmp_path / "desk.h5ad")
    again = view(path, ViewerModel())
    assert [r[:7] for r in looks(again)] == [r[:7] for r in looks(viewer)]
    with pytest.raises(OutputError, match="hold a desk"):
        stm.save_desk(viewer, tmp_path / "desk.csv")
    with pytest.raises(ParameterError, match="no section"):
        stm.save_desk(ViewerModel(), tmp_path / "desk.h5ad")


def test_napari_saves_the_section_with_what_was_drawn(desk, tmp_path):
    viewer, _ = desk
    path = tmp_path / "all.h5ad"
    ours = [x for x in viewer.layers if x._type_string == "shapes" or "section" in our_meta(x)]
    data = [layer.as_layer_data_tuple() for layer in ours]
    from napari_stmask.gui.writer import save_section

    assert save_section(str(path), data) == [str(path)]
    again = view(path, ViewerModel())
    assert "my regions" in [layer.name for layer in again.layers]
    with pytest.raises(DataError, match="No layer of a section"):
        save_section(str(path), [d for d in data if d[2] == "shapes"])


def test_hidden_layers_get_their_colour_bar_when_they_are_shown(section):
    viewer = ViewerModel()
    item = session_of(viewer).add(section)
    show_values(viewer, item, "entropy", "entropy", np.arange(section.n_spots), key="k")
    layers.find_layer(viewer, item.id, "value").visible = False
    again = ViewerModel()
    other = session_of(again).add(with_desk(viewer, item))
    found = layers.find_layer(again, other.id, "value")
    assert not found.colorbar.visible
    # It is not lost by saving once more before anybody looked.
    third = ViewerModel()
    last = session_of(third).add(with_desk(again, other))
    layers.find_layer(third, last.id, "value").visible = True
    assert layers.find_layer(third, last.id, "value").colorbar.visible
    found.visible = True
    assert found.colorbar.visible
