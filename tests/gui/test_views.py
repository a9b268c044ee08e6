"""Joint, expression and image partitions of one run: drawn, scored, written, opened again."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from sklearn.metrics import adjusted_rand_score

from napari_stmask.gui import layers
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.layer_tuples import our_meta
from napari_stmask.gui.legend_model import COUNT
from napari_stmask.gui.model import DomainSet
from napari_stmask.gui.reader import section_to_layers
from napari_stmask.gui.scores_table import label_columns
from napari_stmask.gui.session import session_of
from napari_stmask.io.h5ad import load as load_h5ad


@pytest.fixture
def viewer(make_napari_viewer, no_threads_left):
    return make_napari_viewer()


@pytest.fixture
def with_views(make_result):
    """A finished ViMST run: the views differ from the joint answer in some spots."""

    def make(section, smooth=False):
        result = make_result(section, key="vimst")
        joint = result.domains.codes
        gene, image = joint.copy(), joint.copy()
        gene[:20] = (gene[:20] + 1) % 3
        image[::2] = (image[::2] + 1) % 3
        result.views = {"gene": gene, "image": image}
        n = section.n_spots
        result.fit.views = {name: [np.zeros((n, 2), np.float32)] for name in result.views}
        scores = {"PAS": 0.3, "CHAOS": 0.4, "DIS": 0.35}
        result.record = result.record | {"method": "vimst"}
        result.record["scores"] = {
            m: dict(scores) for m in ("vimst", "vimst, gene", "vimst, image", "pca")
        }
        result.scores = result.record["scores"]
        if smooth:
            result.refined = joint.copy()
            result.refined[3] = (joint[3] + 1) % 3
        return result

    return make


@pytest.fixture
def shown(viewer, section, with_views):
    """The dock, the layer and the session after such a run."""
    legend = open_dock(viewer, "Domains")
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, with_views(section), "ViMST")
    return legend, layers.find_layer(viewer, item.id, "domains"), session


def click(qtbot, button):
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def drawn(session, layer):
    """Codes that the layer shows, spot by spot."""
    item = session.selected
    rows, columns = item.raster.pixels(item.section.coords).T
    return layer.data[rows, columns].astype(int) - 1


def test_the_chooser_switches_what_is_drawn(shown, viewer, qtbot, section):
    legend, layer, session = shown
    domains = session.selected_domains
    assert legend.views.isVisibleTo(legend)
    joint = domains.state.codes
    assert (drawn(session, layer) == joint).all()
    colors = layer.colormap
    spots = layers.find_layer(viewer, session.selected.id, "spots")
    for view, codes in (*domains.views.items(), ("", joint)):
        click(qtbot, legend.views.buttons[view])
        assert legend.views.buttons[view].isChecked()
        assert (drawn(session, layer) == codes).all()
        counts = np.bincount(codes, minlength=3)
        assert [legend.model.index(i, COUNT).data() for i in range(3)] == list(map(str, counts))
        assert list(spots.features["domain"].astype(int) - 1) == list(codes)
        assert layer.colormap is colors
        assert len([x for x in viewer.layers if our_meta(x).get("role") == "domains"]) == 1
    click(qtbot, legend.views.buttons["image"])
    assert layer.name.endswith("image")
    click(qtbot, legend.views.buttons[""])
    assert layer.name.endswith("k3")


def test_edits_are_about_the_domains_whatever_is_drawn(shown, qtbot, section):
    legend, layer, session = shown
    domains = session.selected_domains
    joint, gene = domains.state.codes.copy(), domains.views["gene"]
    click(qtbot, legend.views.buttons["gene"])
    assert legend.model.setData(legend.model.index(0, 1), "Cortex")
    legend.recolour(1, "#123456")
    obs, uns = section.adata.obs, section.adata.uns
    assert (obs["vimst"].cat.codes == joint).all()
    assert (obs["vimst_gene"].cat.codes == gene).all()
    for column in ("vimst", "vimst_gene", "vimst_image"):
        assert obs[column].cat.categories[0] == "Cortex"
        assert uns[f"{column}_colors"][1] == "#123456"
    assert (drawn(session, layer) == gene).all()
    legend.table.selectionModel().clear()
    legend.table.selectAll()
    click(qtbot, legend.merge)
    assert (drawn(session, layer) == 0).all()
    assert obs["vimst_gene"].nunique() == 1
    for _ in range(3):
        click(qtbot, legend.undo)
    assert (obs["vimst"].cat.codes == joint).all()
    assert (obs["vimst_gene"].cat.codes == gene).all()
    assert (drawn(session, layer) == gene).all()


def test_the_chooser_brings_a_deleted_layer_back(shown, viewer, qtbot):
    legend, layer, session = shown
    viewer.layers.remove(layer)
    click(qtbot, legend.views.buttons["image"])
    layer = layers.find_layer(viewer, session.selected.id, "domains")
    assert (drawn(session, layer) == session.selected_domains.views["image"]).all()


def table(legend):
    """Rows of the scores, by title: column -> text, of what is not hidden."""
    found = legend.scores.table
    names = [found.horizontalHeaderItem(i).text() for i in range(found.columnCount())]
    return {
        found.item(row, 0).text(): {
            name: found.item(row, i).text()
            for i, name in enumerate(names)
            if i and not found.isColumnHidden(i)
        }
        for row in range(found.rowCount())
    }


def test_scores_name_the_views_and_their_agreement(shown, qtbot, section):
    legend, _, session = shown
    domains = session.selected_domains
    rows = table(legend)
    assert list(rows) == ["ViMST", "Expression", "Image", "PCA alone"]
    for title, view in (("Expression", "gene"), ("Image", "image")):
        agreement = adjusted_rand_score(domains.state.codes, domains.views[view])
        assert rows[title]["Joint"] == f"{agreement:.3f}"
        assert rows[title]["PAS"] == "0.300"
        assert "ARI" not in rows[title]
    assert rows["ViMST"]["Joint"] == rows["PCA alone"]["Joint"] == "\u2013"
    legend.scores.annotation.setCurrentText("half")
    legend.scores._fill()
    rows = table(legend)
    truth = adjusted_rand_score(section.adata.obs["half"].cat.codes, domains.views["gene"])
    assert rows["Expression"]["ARI"] == f"{truth:.2f}"
    # Joined domains are other partitions: nothing old is said of them.
    before = domains.state.codes
    chooser = legend.table.selectionModel()
    how = chooser.SelectionFlag.Select | chooser.SelectionFlag.Rows
    for row in (0, 1):
        chooser.select(legend.model.index(row, 0), how)
    click(qtbot, legend.merge)
    rows = table(legend)
    assert rows["Expression"]["PAS"] == "\u2013"
    joined = [np.where(c == 1, 0, c) for c in (before, domains.views["gene"])]
    assert rows["Expression"]["Joint"] == f"{adjusted_rand_score(*joined):.2f}"


def test_a_run_without_views_has_no_chooser(viewer, section, make_result):
    legend = open_dock(viewer, "Domains")
    session = session_of(viewer)
    item = session.add(section)
    session.add_result(item.id, make_result(section), "SpaMask")
    assert not legend.views.isVisibleTo(legend)
    assert "Joint" not in table(legend)["SpaMask"]


@pytest.mark.parametrize("smooth", [False, True])
def test_a_written_file_brings_the_views_back(viewer, qtbot, section, with_views, tmp_path, smooth):
    result = with_views(section, smooth)
    result.apply(section.adata)
    path = tmp_path / "done.h5ad"
    section.adata.write_h5ad(path)
    again = load(path)
    legend = open_dock(viewer, "Domains")
    session = session_of(viewer)
    for data, options, kind in section_to_layers(again):
        getattr(viewer, f"add_{kind}")(data, **options)
    domains = session.selected_domains
    assert {k: v.tolist() for k, v in domains.views.items()} == {
        k: v.tolist() for k, v in result.views.items()
    }
    layer = layers.find_layer(viewer, session.selected.id, "domains")
    for view in ("gene", "image"):
        click(qtbot, legend.views.buttons[view])
        assert (drawn(session, layer) == result.views[view]).all()
    assert "Expression" in table(legend)
    assert table(legend)["Image"]["Joint"] != "\u2013"
    assert not {"vimst_gene", "vimst_image"} & set(label_columns(session.selected))


def load(path):
    from napari_stmask.io.options import ReadOptions

    return load_h5ad(path, ReadOptions())


def test_columns_of_the_user_are_no_views(section, make_result):
    make_result(section, key="vimst").apply(section.adata)
    section.adata.obs["vimst_gene"] = section.adata.obs["vimst"]
    assert DomainSet.stored(section, "vimst").views == {}


def test_selecting_another_result_and_back(shown, qtbot, section, make_result):
    legend, _, session = shown
    item = session.selected
    click(qtbot, legend.views.buttons["gene"])
    session.add_result(item.id, make_result(section, key="other"), "SpaMask")
    assert not legend.views.isVisibleTo(legend)
    session.select(item.id, "vimst")
    assert legend.views.buttons["gene"].isChecked()


@pytest.mark.parametrize("finished", [False, True])
def test_a_real_run(viewer, qtbot, section, finished):
    """From the button to the three partitions; on finished features without any image."""
    find = open_dock(viewer, "Find domains")
    session = session_of(viewer)
    if finished:
        rng = np.random.default_rng(0)
        half = (section.adata.obs["half"] == "left").to_numpy()[:, None]
        section.adata.obsm["X_image"] = rng.normal(size=(section.n_spots, 6)) + half
        section.image = None
    session.add(section)
    find.methods.setCurrentIndex(find.methods.findData("vimst"))
    small = {"n_domains": 3, "epochs": 4, "replicates": 1, "hidden": 8, "latent": 4}
    find.form.set_values(small | {"n_pcs_in": 5, "threads": 1, "device": "cpu"})
    # The small image is too coarse for "auto".
    find.form.set_values({"use_image": "yes"})
    if finished:
        field = find.form.fields["image_encoder"]
        field.setCurrentIndex(field.findData("obsm"))
        field.activated.emit(field.currentIndex())
    click(qtbot, find.run)
    qtbot.waitUntil(
        lambda: session.runner.current is None and session.runner._worker is None, timeout=60_000
    )
    assert find.card.job.state == "done", find.card.strip.text.text()
    assert set(session.selected_domains.views) == {"gene", "image"}
    legend = open_dock(viewer, "Domains")
    assert legend.views.isVisibleTo(legend)
    assert list(table(legend))[:3] == ["ViMST", "Expression", "Image"]
    layer = layers.find_layer(viewer, session.selected.id, "domains")
    for view in ("gene", "image"):
        click(qtbot, legend.views.buttons[view])
        codes = section.adata.obs[f"vimst_{view}"].cat.codes.to_numpy()
        assert (drawn(session, layer) == codes).all()
