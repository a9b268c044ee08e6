"""Each panel of the dock Analyse, with real clicks in a real viewer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication, QFileDialog
from tests.gui.helpers import canvas_place, click, fill, press_on_canvas

from napari_stmask.gui import layers
from napari_stmask.gui.analyse.spot_values import ROLE
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.layer_tuples import our_meta


@pytest.fixture
def dock(viewer, section, make_result):
    fill(viewer, section, make_result(section))
    return open_dock(viewer, "Analyse")


def run(qtbot, dock):
    click(qtbot, dock.run)
    assert dock.busy
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    assert dock.strip.isHidden(), dock.strip.text.text()
    assert not dock.panel.answer.isHidden()


def value_layer(dock, name):
    session = dock.session
    key = f"{session.selected_key}_{name}"
    return layers.find_layer(dock.viewer, session.selected_id, ROLE, key)


def click_row(qtbot, table, row, column=0):
    index = table.model().index(row, column)
    table.scrollTo(index)
    place = table.visualRect(index).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)


def column(table, name):
    place = [c.name for c in table.frames.columns].index(name)
    model = table.model()
    return [model.index(row, place).data() for row in range(model.rowCount())]


def test_markers_fill_a_table_that_shows_genes(dock, qtbot):
    dock.choose("Marker genes")
    run(qtbot, dock)
    genes = dock.panel.genes
    # Domain 2 has half of either side: nothing sets it apart.
    assert set(column(genes, "domain")) == {"1", "3"}
    dock.panel.domain.setCurrentText("Domain 3")
    assert set(column(genes, "domain")) == {"3"}
    assert set(column(genes, "gene")[:15]) == {f"gene{i}" for i in range(15, 30)}
    click_row(qtbot, genes, 0)
    layer = lambda: layers.find_layer(dock.viewer, dock.session.selected_id, "gene")  # noqa: E731
    qtbot.waitUntil(lambda: layer() is not None, timeout=10_000)
    shown = genes.current()
    assert shown in layer().name
    section = dock.session.selected.section
    counts = section.adata.X
    j = section.adata.var_names.get_loc(shown)
    total = np.asarray(counts.sum(axis=1)).ravel()
    expected = np.log1p(counts[:, [j]].todense().A1 / total * 10_000)
    raster = dock.session.selected.raster
    inside = raster.index >= 0
    assert np.allclose(layer().data[inside], expected[raster.index[inside]], atol=1e-5)
    # The keyboard shows the next one, in the same layer.
    first, count = layer(), len(dock.viewer.layers)
    qtbot.keyClick(genes, Qt.Key.Key_Down)
    qtbot.keyClick(genes, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: genes.current() in first.name, timeout=10_000)
    assert genes.current() != shown
    assert len(dock.viewer.layers) == count


def test_markers_sort_search_and_copy(dock, qtbot):
    dock.choose("Marker genes")
    run(qtbot, dock)
    genes = dock.panel.genes
    genes.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    names = column(genes, "gene")
    assert names == sorted(names)
    genes.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    folds = [float(text) for text in column(genes, "log2_fold_change")]
    assert folds == sorted(folds, reverse=True)
    qtbot.keyClicks(dock.panel.search, "gene17")
    assert set(column(genes, "gene")) == {"gene17"}
    click(qtbot, dock.panel.copy)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0].startswith("domain\tgene")
    assert len(lines) == len(column(genes, "gene")) + 1 >= 3
    click_row(qtbot, genes, 1)
    qtbot.keyClick(genes, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert len(QGuiApplication.clipboard().text().splitlines()) == 2


def test_svgs_and_a_meta_gene(dock, qtbot):
    panel = dock.choose("Domain SVGs and meta-genes")
    panel.domain.setCurrentText("3")
    panel.share.setValue(0.5)
    panel.fold.setValue(1.1)
    run(qtbot, dock)
    assert "Domain 3 against: 2" in panel.facts.text()
    assert panel.genes.model().rowCount() > 0
    assert not panel.meta.isEnabled()
    click_row(qtbot, panel.genes, 0)
    start = panel.genes.current()
    click(qtbot, panel.meta)
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    assert f"+{start}" in panel.formula.text()
    assert not panel.formula.isHidden()
    layer = value_layer(dock, "metagene")
    assert layer.visible
    obs = dock.session.selected.section.adata.obs
    raster = dock.session.selected.raster
    inside = raster.index >= 0
    stored = obs["spamask_metagene"].to_numpy()
    assert np.allclose(layer.data[inside], stored[raster.index[inside]])
    # The gene layer, which would cover it, is off.
    gene = layers.find_layer(dock.viewer, dock.session.selected_id, "gene")
    assert gene is None or not gene.visible


def test_trajectory_from_a_domain(dock, qtbot):
    panel = dock.choose("Trajectory")
    panel.root.setCurrentText("Domain 1")
    run(qtbot, dock)
    assert column(panel.medians, "domain") == ["1", "2", "3"]
    obs = dock.session.selected.section.adata.obs
    assert obs["spamask_pseudotime"].max() == pytest.approx(1)
    layer = value_layer(dock, "pseudotime")
    assert layer.colormap.name == "inferno"
    assert our_meta(layer)["section_id"] == dock.session.selected_id
    assert "1 to 2" in panel.chart.accessibleDescription() or (
        "2 to 1" in panel.chart.accessibleDescription()
    )
    # A deleted layer comes back, and breaks nothing.
    dock.viewer.layers.remove(layer)
    assert value_layer(dock, "pseudotime") is None
    click(qtbot, panel.show_layer)
    assert value_layer(dock, "pseudotime").visible


def test_root_by_a_click_on_the_canvas(dock, qtbot):
    viewer = dock.viewer
    viewer.window._qt_window.show()
    qtbot.waitExposed(viewer.window._qt_window)
    panel = dock.choose("Trajectory")
    item = dock.session.selected
    viewer.reset_view()
    QApplication.processEvents()
    click(qtbot, panel.pick)
    assert panel.picker.active
    assert "Click a spot" in panel.said.text()
    inner = dock.session.viewer
    before = len(inner.mouse_drag_callbacks)
    # Beside the tissue nothing is picked, and the question stays.
    press_on_canvas(qtbot, viewer, (3, 3))
    assert panel.picker.active
    assert "No spot" in panel.said.text()
    spot = 77
    press_on_canvas(qtbot, viewer, canvas_place(viewer, item, spot))
    assert not panel.picker.active
    assert not panel.pick.isChecked()
    assert len(inner.mouse_drag_callbacks) == before - 1
    domain = item.section.adata.obs["spamask"].iloc[spot]
    assert f"spot77 (domain {domain})" in panel.said.text()
    assert panel.root.currentData() == spot
    (mark,) = marks(viewer)
    middle = np.asarray(mark.data[0]).mean(axis=0)
    assert middle == pytest.approx(
        item.section.coords[spot][::-1] * (item.section.um_per_px or 1.0) + item.offset
    )
    run(qtbot, dock)
    assert marks(viewer) == [mark]
    assert "spot77" in panel.facts.text()
    assert item.section.adata.obs["spamask_pseudotime"].iloc[spot] == 0
    # With the panel the mark goes, and comes back.
    dock.choose("Heterogeneity")
    assert not marks(viewer)
    dock.choose("Trajectory")
    assert len(marks(viewer)) == 1
    # A domain is the root again when it is chosen; the answer's own root is marked.
    panel.root.setCurrentText("Domain 2")
    assert marked(viewer, item) == spot
    run(qtbot, dock)
    assert "spot77" not in panel.facts.text()
    root = marked(viewer, item)
    assert item.section.adata.obs["spamask_pseudotime"].iloc[root] == 0
    assert item.section.adata.obs["spamask"].iloc[root] == "2"


def marks(viewer):
    return [x for x in viewer.layers if our_meta(x).get("role") == "root"]


def marked(viewer, item):
    """The spot that the one mark is around."""
    (mark,) = marks(viewer)
    middle = (np.asarray(mark.data[0]).mean(axis=0) - item.offset)[::-1]
    away = np.linalg.norm(item.section.coords * (item.section.um_per_px or 1.0) - middle, axis=1)
    return int(away.argmin())


@pytest.mark.parametrize("way", ["dock", "section", "layer"])
def test_the_mark_of_the_root_leaves(dock, qtbot, way):
    viewer, panel = dock.session.viewer, dock.choose("Trajectory")
    panel.picker.start(dock.session.selected)
    panel.picker._on_click(*(dock.session.selected.section.coords[77][::-1]))
    assert len(marks(viewer)) == 1
    if way == "dock":
        viewer.window.remove_dock_widget(dock)
    elif way == "section":
        viewer.layers.remove(marks(viewer)[0])
        assert dock.session.selected is not None
    else:
        for layer in list(viewer.layers):
            if our_meta(layer).get("role") != "root":
                viewer.layers.remove(layer)
        assert dock.session.selected is None
    qtbot.waitUntil(lambda: not marks(viewer), timeout=5_000)


@pytest.mark.parametrize("way", ["escape", "again", "section"])
def test_picking_a_spot_can_be_cancelled(dock, qtbot, way, new_section):
    viewer = dock.viewer
    viewer.window._qt_window.show()
    qtbot.waitExposed(viewer.window._qt_window)
    panel = dock.choose("Trajectory")
    before = list(dock.session.viewer.mouse_drag_callbacks)
    click(qtbot, panel.pick)
    assert panel.picker.active
    if way == "escape":
        qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_Escape)
    elif way == "again":
        click(qtbot, panel.pick)
    else:
        dock.session.add(new_section(seed=1, name="other"))
    assert not panel.picker.active
    assert not panel.pick.isChecked()
    assert dock.session.viewer.mouse_drag_callbacks == before
    assert not panel.said.text()
    assert not panel.root.count() or isinstance(panel.root.currentData(), str)


def test_spots_without_a_path_are_counted(viewer, qtbot, section, make_result):
    item = fill(viewer, section, make_result(section))
    table = item.section.adata.obsm["X_spamask"].copy()
    table[:40] += 1000
    item.section.adata.obsm["X_spamask"] = table
    dock = open_dock(viewer, "Analyse")
    panel = dock.choose("Trajectory")
    panel.root.setCurrentText("Domain 3")
    run(qtbot, dock)
    assert "No path leads from the root to 40 spots" in panel.facts.text()
    raster = item.raster
    assert np.isnan(value_layer(dock, "pseudotime").data[raster.index == 3]).all()


def test_heterogeneity(dock, qtbot):
    panel = dock.choose("Heterogeneity")
    run(qtbot, dock)
    assert column(panel.summary, "domain") == ["1", "2", "3"]
    assert value_layer(dock, "entropy").visible
    click(qtbot, panel.border)
    assert value_layer(dock, "boundary").visible
    assert not value_layer(dock, "entropy").visible
    obs = dock.session.selected.section.adata.obs
    assert {"spamask_entropy", "spamask_boundary"} <= set(obs.columns)
    assert "1 touches" in panel.heat.accessibleDescription()
    first = panel.summary.frames.frame["mean_entropy"].mean()
    panel.around.setCurrentText("Radius")
    assert not panel.radius.isHidden()
    panel.radius.setValue(450)
    run(qtbot, dock)
    assert panel.summary.frames.frame["mean_entropy"].mean() > first


def test_a_radius_needs_a_scale(dock):
    panel = dock.choose("Heterogeneity")
    dock.session.selected.section.um_per_px = None
    panel.around.setCurrentText("Radius")
    assert not dock.run.isEnabled()
    assert "scale" in dock.why.text()
    panel.around.setCurrentText("Nearest spots")
    assert dock.run.isEnabled()


def use_genes(panel, up, down=""):
    panel.up.text.setPlainText(up)
    panel.down.text.setPlainText(down)


def test_signatures_score_and_compare(dock, qtbot):
    panel = dock.choose("EMT and other signatures")
    assert not dock.run.isEnabled()
    assert "0 of the genes" in dock.why.text()
    assert "0 of 16 genes" in panel.up.lacking.text()
    use_genes(panel, "GENE0 gene1, gene2\ngene3", "gene15 gene16 gene17 NOTHERE")
    assert "missing: NOTHERE" in panel.down.lacking.text()
    run(qtbot, dock)
    assert "NOTHERE" in panel.facts.text()
    assert "Kruskal-Wallis H" in panel.facts.text()
    summary = panel.summary.frames.frame.set_index("domain")["median"]
    assert summary["1"] > 0 > summary["3"]
    pairs = panel.pairs.frames.frame
    assert len(pairs) == 3
    assert (pairs.iloc[0]["domain"], pairs.iloc[0]["other"]) == ("1", "3")
    layer = value_layer(dock, "emt")
    low, high = layer.contrast_limits
    assert low == -high
    assert "spamask_emt" in dock.session.selected.section.adata.obs
    # One set alone is another score.
    panel.down.text.clear()
    run(qtbot, dock)
    assert value_layer(dock, "signature").visible
    click(qtbot, panel.reset)
    assert "CDH1" in panel.down.genes()


def test_gene_sets_from_files(dock, qtbot, tmp_path, monkeypatch):
    panel = dock.choose("EMT and other signatures")
    good, wrong, empty = (tmp_path / n for n in ("sets.gmt", "wrong.gmt", "empty.gmt"))
    good.write_text(
        "epithelial\tx\tgene1\tgene2\tgene3\nmesenchymal\tx\tgene20\tgene21\tgene22\nmore\t\tg\n"
    )
    wrong.write_bytes(b"\xff\xfe\x00\x01 nothing")
    empty.write_text("no tabs here\n")
    chosen = []
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(chosen[-1]), ""))
    for bad in (wrong, empty):
        chosen.append(bad)
        before = panel.up.genes()
        click(qtbot, panel.load)
        assert bad.name in dock.strip.text.text()
        assert "\n" not in dock.strip.text.text()
        assert "Traceback" not in dock.strip.text.text()
        assert panel.up.genes() == before
    chosen.append(good)
    click(qtbot, panel.load)
    assert dock.strip.isHidden()
    assert panel.up.genes() == ("gene20", "gene21", "gene22")
    assert panel.down.genes() == ("gene1", "gene2", "gene3")
    assert panel.up.sets.findData("more") >= 0
    run(qtbot, dock)


def test_the_denoised_layer_is_offered_as_exploratory(viewer, qtbot, section, make_result):
    from scipy import sparse

    item = fill(viewer, section, make_result(section))
    dock = open_dock(viewer, "Analyse")
    panel = dock.choose("EMT and other signatures")
    assert not panel.denoised.isEnabled()
    section.adata.layers["spamask_denoised"] = sparse.csr_matrix(section.adata.X[::-1])
    dock.session.select(item.id)
    assert panel.denoised.isEnabled()
    assert "exploratory" in panel.denoised.text()
    use_genes(panel, "gene0 gene1 gene2 gene3", "gene15 gene16 gene17")
    run(qtbot, dock)
    plain = section.adata.obs["spamask_emt"].copy()
    panel.denoised.setChecked(True)
    run(qtbot, dock)
    assert "exploratory" in panel.facts.text()
    assert np.corrcoef(plain[::-1], section.adata.obs["spamask_emt"])[0, 1] > 0.9


def test_quality_of_the_views(viewer, qtbot, section, make_result):
    item = fill(viewer, section, make_result(section))
    rng = np.random.default_rng(1)
    adata = section.adata
    for view, noise in (("gene", 0.1), ("image", 3.0)):
        adata.obs[f"spamask_{view}"] = adata.obs["spamask"]
        table = adata.obsm["X_spamask"] + rng.normal(0, noise, (section.n_spots, 4))
        adata.obsm[f"X_spamask_{view}"] = table.astype(np.float32)
    dock = open_dock(viewer, "Analyse")
    panel = dock.choose("Quality without labels")
    run(qtbot, dock)
    assert column(panel.rows, "embedding") == ["joint", "expression", "image"]
    frame = panel.rows.frames.frame
    assert frame["silhouette"].iloc[1] > frame["silhouette"].iloc[2]
    shown = " ".join(w.text() for w in panel.answer.findChildren(type(panel.warning)))
    assert shown.count("is better") == 4
    assert "Do not choose the size of the embedding" in shown
    assert item.domains


@pytest.mark.parametrize(
    ("title", "ends"),
    [
        ("Marker genes", ("gene", "png")),
        ("Domain SVGs and meta-genes", ("domain", "svg")),
        ("Trajectory", ("pseudotime", "pdf")),
        ("Heterogeneity", ("contact_1", "png")),
        ("EMT and other signatures", ("median_minus_1", "png")),
        ("Quality without labels", ("silhouette", "jpg")),
    ],
)
def test_answers_are_exported(dock, qtbot, tmp_path, monkeypatch, title, ends):
    panel = dock.choose(title)
    assert dock.export.isHidden()
    if title.startswith("EMT"):
        use_genes(panel, "gene0 gene1 gene2", "gene15 gene16 gene17")
    if title.startswith("Domain"):
        panel.domain.setCurrentText("3")
        panel.share.setValue(0.5)
        panel.fold.setValue(1.1)
    run(qtbot, dock)
    name, suffix = ends
    asked = [str(tmp_path / "t"), str(tmp_path / f"f.{suffix}")]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (asked.pop(0), ""))
    for button in (dock.export.table, dock.export.figure):
        click(qtbot, button)
        qtbot.waitUntil(lambda: not dock.export.busy, timeout=30_000)
        assert dock.state.text().startswith("Written"), dock.strip.text.text()
    assert name in pd.read_csv(tmp_path / "t.csv").columns
    assert (tmp_path / f"f.{suffix}").stat().st_size > 1000


def test_a_table_cannot_replace_the_section(dock, qtbot, tmp_path):
    dock.choose("Marker genes")
    run(qtbot, dock)
    source = tmp_path / "source.csv"
    source.write_text("original")
    dock.session.selected.section.source = str(source)
    dock.refresh()
    dock.export.export("table", str(source))
    qtbot.waitUntil(lambda: not dock.export.busy, timeout=10_000)
    assert source.read_text() == "original"
    assert "source.csv" in dock.strip.text.text()


def test_trajectory_from_a_gene_and_inverted(dock, qtbot):
    panel = dock.choose("Trajectory")
    assert panel.gene.isHidden()
    panel.root.setCurrentText("Where a gene is highest")
    assert not panel.gene.isHidden()
    assert "Name the gene" in dock.why.text()
    assert not dock.run.isEnabled()
    qtbot.keyClicks(panel.gene, "gene3x")
    assert "no gene 'gene3x'" in dock.why.text()
    qtbot.keyClick(panel.gene, Qt.Key.Key_Backspace)
    run(qtbot, dock)
    obs = dock.session.selected.section.adata.obs
    time = obs["spamask_pseudotime"].to_numpy()
    (root,) = np.flatnonzero(time == 0)
    # gene3 is high on the left.
    assert obs["half"].iloc[root] == "left"
    assert f"Ordered from spot spot{root} (domain" in panel.facts.text()
    assert marked(dock.session.viewer, dock.session.selected) == root
    layer = value_layer(dock, "pseudotime")
    assert layer.contrast_limits == [0, 1]
    # A check box reacts at its mark, not in the middle of a wide row.
    mark = QPoint(8, panel.invert.height() // 2)
    qtbot.mouseClick(panel.invert, Qt.MouseButton.LeftButton, pos=mark)
    run(qtbot, dock)
    inverted = obs["spamask_pseudotime"].to_numpy()
    assert inverted[root] == 1
    np.testing.assert_allclose(inverted, 1 - time, atol=1e-6)
    assert f"Time ends at spot spot{root}" in panel.facts.text()
    panel.root.setCurrentText("Domain 1")
    assert panel.gene.isHidden()
    assert dock.run.isEnabled()
