"""The dock of gene modules: runs, modules, map and table, from files and while things change."""

from __future__ import annotations

import copy
import threading
import time

import numpy as np
import pytest
from napari.layers import Image, Points
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog
from tests.gui.genes_helpers import FAST, click_row, drag, panel, trained
from tests.gui.helpers import click
from tests.models.spacex_helpers import striped

from napari_stmask import read
from napari_stmask.core.progress import Progress
from napari_stmask.gui import layers
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.genes.known import gene_runs
from napari_stmask.gui.session import session_of
from napari_stmask.io.write import write
from napari_stmask.models import params_of

WAIT = 20_000


@pytest.fixture(scope="module")
def once():
    return trained()


@pytest.fixture
def section(once):
    """A copy: tests write on it."""
    found = copy.copy(once)
    found.adata = once.adata.copy()
    return found


@pytest.fixture
def dock(viewer, section, qtbot):
    session_of(viewer).add(section)
    found = open_dock(viewer, "Gene modules")
    qtbot.waitUntil(lambda: found.loaded is not None, timeout=WAIT)
    return found


def value_layer(viewer, dock, key):
    return layers.find_layer(viewer, dock.known.item_id, "value", f"spacex_{key}")


def quiet(dock):
    assert dock.strip.isHidden(), dock.strip.text.text()


def test_an_empty_window_says_what_to_do(viewer, qtbot):
    dock = open_dock(viewer, "Gene modules")
    assert dock.choice.count() == 0
    assert "find them above" in dock.none.text()
    assert not dock.none.isHidden()
    assert dock.run_fold.isExpanded()
    assert not dock.run_part.run.isEnabled()
    assert "No section is open" in dock.run_part.cost.text()
    assert all(page.isHidden() for page in dock.pages.values())


def test_a_run_from_the_dock(viewer, qtbot):
    session = session_of(viewer)
    item = session.add(striped())
    dock = open_dock(viewer, "Gene modules")
    part = dock.run_part
    qtbot.waitUntil(lambda: part.cost.text().startswith("Estimate"), timeout=WAIT)
    assert not part.form.fold.isExpanded()
    # The platform's preset counts from the start.
    assert part.params() == params_of("spacex").preset("visium")
    assert "no file" not in part.python.toolTip()
    assert not part.python.isEnabled()  # the section has no file
    item.section.source = "section.h5ad"
    part.form.set_values(FAST)
    click(qtbot, part.python)
    script = QApplication.clipboard().text()
    assert "'spacex'" in script
    assert "gene_modules=4" in script
    click(qtbot, part.command)
    assert QApplication.clipboard().text().startswith("napari-stmask run spacex section.h5ad")
    click(qtbot, part.run)
    assert not dock.run_fold.isExpanded()
    qtbot.waitUntil(lambda: session.runner.current is None, timeout=60_000)
    assert dock.card.job.failure is None
    qtbot.waitUntil(lambda: dock.loaded is not None, timeout=WAIT)
    assert dock.choice.currentText() == f"{item.label} · spacex"
    assert dock.known is gene_runs(session)[0]
    assert "spacex_module" in item.section.adata.var
    assert item.domains["spacex"].title.startswith("SpaCEX")
    assert dock.modules.table.model().rowCount() == 4
    # Run once more under its name: the new run takes the place of the old one.
    first = dock.known
    part.form.set_values({"gene_modules": 3})
    click(qtbot, part.run)
    qtbot.waitUntil(lambda: session.runner.current is None, timeout=60_000)
    qtbot.waitUntil(lambda: dock.loaded is not None, timeout=WAIT)
    assert dock.known is not first
    assert dock.choice.count() == 1
    assert dock.modules.table.model().rowCount() == 3


def test_a_run_without_scores_from_the_dock_of_domains(viewer, qtbot):
    session = session_of(viewer)
    item = session.add(striped())
    find = open_dock(viewer, "Find domains")
    find.methods.setCurrentIndex(find.methods.findData("spacex"))
    find.form.set_values({**FAST, "svg_draws": 0})
    find.key.setText("mine")
    click(qtbot, find.run)
    qtbot.waitUntil(lambda: session.runner.current is None, timeout=60_000)
    assert find.card.job.failure is None
    dock = open_dock(viewer, "Gene modules")
    qtbot.waitUntil(lambda: dock.loaded is not None, timeout=WAIT)
    assert dock.choice.currentText() == f"{item.label} · mine"
    part = open_genes(dock, qtbot)
    assert not dock.loaded.scored
    columns = [c.name for c in part.table.frames.columns]
    assert part.table.isColumnHidden(columns.index("svg_rank"))
    part.colors.setCurrentIndex(1)
    assert "score them" in part.legend.text()
    click_row(qtbot, part.table, 2)
    qtbot.waitUntil(lambda: len(dock.chosen) == 1, timeout=WAIT)
    qtbot.waitUntil(lambda: not dock.busy, timeout=WAIT)
    assert part.table.selected() == dock.chosen
    quiet(dock)
    # The file has no run yet: what is copied makes it first.
    click(qtbot, dock.modules.command)
    lines = QApplication.clipboard().text().splitlines()
    assert lines[0].startswith("napari-stmask run spacex PATH")
    assert lines[1].endswith("genes modules result.h5ad --key mine")
    # Scored now, they get their columns.
    dock.folds["svgs"].expand(animate=False)
    dock.svgs.draws.setValue(4)
    loaded = dock.loaded
    click(qtbot, dock.svgs.run)
    qtbot.waitUntil(lambda: dock.loaded is not loaded, timeout=WAIT)
    assert not part.table.isColumnHidden(columns.index("svg_rank"))
    assert part.legend.text().startswith("Dark to bright")


def test_cancel_loses_nothing(viewer, qtbot, monkeypatch, dock, section):
    def slow(*_, **__):
        for step in range(10_000):
            yield Progress(step, 100, "training")
            time.sleep(0.005)
        raise AssertionError("nobody cancelled")

    monkeypatch.setattr("napari_stmask.pipeline.iter_run", slow)
    before = section.adata.var.copy()
    dock.run_fold.expand(animate=False)
    dock.run_part.form.set_values(FAST)
    click(qtbot, dock.run_part.run)
    qtbot.waitUntil(lambda: dock.card.bar.value() > 0, timeout=WAIT)
    click(qtbot, dock.card.cancel)
    qtbot.waitUntil(lambda: not dock.session.runner.stopping, timeout=WAIT)
    assert section.adata.var.equals(before)
    assert dock.run_fold.isExpanded()
    assert dock.run_part.form.values()["gene_modules"] == 4
    assert dock.loaded is not None


def test_a_module_on_the_tissue(dock, viewer, qtbot, section):
    part = dock.modules
    table = part.table.frames.frame
    assert list(table["module"]) == ["1", "2", "3", "4"]
    assert table["genes"].sum() == len(dock.loaded.genes)
    assert not part.map.isEnabled()
    click_row(qtbot, part.table, 1)
    layer = value_layer(viewer, dock, "module")
    assert isinstance(layer, Points)
    assert layer.name == "a · module 2"
    scores = section.adata.obsm["spacex_modules"][:, 1]
    np.testing.assert_allclose(layer.features["value"], scores)
    order = np.argsort(scores)
    # viridis gets lighter.
    assert layer.face_color[order[0], 1] < layer.face_color[order[-1], 1]
    domains = layers.find_layer(viewer, dock.known.item_id, "domains", "spacex")
    assert not domains.visible
    # The whole dock is about its genes.
    members = dock.known.atlas.members("2")
    assert set(dock.chosen) == set(members)
    assert set(np.asarray(dock.genes.map.names)[dock.genes.map.chosen]) <= set(members)
    assert set(dock.genes.listed) == set(members)
    # The same layer for another module, and a mean map that stays.
    count = len(viewer.layers)
    click_row(qtbot, part.table, 2)
    assert len(viewer.layers) == count
    assert layer.name == "a · module 3"
    click(qtbot, part.map)
    qtbot.waitUntil(lambda: not part.busy, timeout=WAIT)
    picture = value_layer(viewer, dock, "module_map_3")
    assert isinstance(picture, Image)
    item = dock.session.items[dock.known.item_id]
    expected = dock.known.atlas.mean_pattern(dock.known.atlas.members("3"))
    np.testing.assert_array_equal(picture.data, item.raster.values(expected))
    place = part.table.visualRect(part.table.model().index(0, 0)).center()
    qtbot.mouseClick(part.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseDClick(part.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.waitUntil(lambda: value_layer(viewer, dock, "module_map_1") is not None, timeout=WAIT)
    assert value_layer(viewer, dock, "module_map_3") is picture
    quiet(dock)


def test_modules_to_a_file_and_as_text(dock, qtbot, tmp_path, monkeypatch):
    path = tmp_path / "modules.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    click(qtbot, dock.modules.export.table)
    qtbot.waitUntil(lambda: "Written" in dock.state.text(), timeout=WAIT)
    lines = path.read_text().splitlines()
    assert lines[0] == "module,genes,top_genes,morans_i,probability"
    assert len(lines) == 5
    click(qtbot, dock.modules.python)
    script = QApplication.clipboard().text()
    compile(script.replace("...  #", "None  #"), "script", "exec")
    assert "stm.genes_of(section, 'spacex')" in script
    assert "stm.run(" not in script
    click(qtbot, dock.modules.command)
    assert QApplication.clipboard().text() == "napari-stmask genes modules PATH --key spacex"


def test_gene_sets_in_the_modules(dock, qtbot, tmp_path, monkeypatch):
    part = dock.sets
    dock.folds["sets"].expand(animate=False)
    assert not part.run.isEnabled()
    members = dock.known.atlas.members("1")
    path = tmp_path / "sets.gmt"
    rest = [g for g in dock.loaded.names if g not in members]
    path.write_text(f"FIRST\tx\t{chr(9).join(members)}\nREST\tx\t{chr(9).join(rest)}\n")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    click(qtbot, part.load)
    assert "2 gene sets" in part.facts.text()
    click(qtbot, part.run)
    qtbot.waitUntil(lambda: part.found is not None and not part.worker.busy, timeout=WAIT)
    best = part.found[part.found["set"] == "FIRST"].iloc[0]
    assert best["module"] == "1"
    assert best["overlap"] == len(members)
    assert best["q"] < 0.01
    click_row(qtbot, part.table, list(part.found["set"]).index("FIRST"))
    assert set(dock.chosen) == set(members)
    assert part.facts.text().startswith("2 gene sets of sets.gmt.")
    assert "q below 0.05" in part.facts.text()
    click(qtbot, part.command)
    assert f"--gene-sets {path}" in QApplication.clipboard().text()
    path.write_text("SMALL\tx\tnobody\n")
    click(qtbot, part.load)
    # The answer for the sets before is no answer for these.
    assert part.table.isHidden()
    assert part.facts.text() == "1 gene sets of sets.gmt."
    click(qtbot, part.run)
    qtbot.waitUntil(lambda: not dock.strip.isHidden(), timeout=WAIT)
    assert "gene sets" in dock.strip.text.text()


def open_genes(dock, qtbot):
    dock.open_tab("Genes")
    qtbot.waitUntil(lambda: len(dock.genes.map.points) > 0, timeout=WAIT)
    QApplication.processEvents()
    return dock.genes


def shown(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.busy, timeout=WAIT)
    quiet(dock)


def test_a_row_a_dot_and_a_layer_are_one_gene(dock, viewer, qtbot, section):
    part = open_genes(dock, qtbot)
    table = part.table.frames.frame
    assert table["svg_rank"].is_monotonic_increasing
    click_row(qtbot, part.table, 3)
    gene = table["gene"].iat[3]
    qtbot.waitUntil(lambda: dock.chosen == (gene,), timeout=WAIT)
    shown(dock, qtbot)
    layer = value_layer(viewer, dock, "gene")
    assert layer.name == f"a · {gene}"
    column = section.adata.var_names.get_loc(gene)
    counts = section.counts()[:, column].toarray().ravel()
    assert ((layer.features["value"] > 0) == (counts > 0)).all()
    assert [part.map.names[row] for row in part.map.chosen] == [gene]
    # From the map to the table.
    other = 7
    place = part.map.place_of(other)
    drag(qtbot, part.map, [(place.x(), place.y())])
    name = part.map.names[other]
    near = part.map.names[part.map.nearest(place)]
    qtbot.waitUntil(lambda: dock.chosen in ((name,), (near,)), timeout=WAIT)
    shown(dock, qtbot)
    assert part.table.selected() == dock.chosen
    assert value_layer(viewer, dock, "gene").name == f"a · {dock.chosen[0]}"
    # Sorting and filtering move rows; the chosen gene stays chosen.
    part.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    assert part.table.selected() == dock.chosen
    qtbot.keyClicks(part.filter.search, dock.chosen[0][-2:])
    assert part.table.selected() == dock.chosen
    assert part.table.model().rowCount() < len(table)


def test_a_lasso_chooses_genes_and_their_mean(dock, viewer, qtbot):
    part = open_genes(dock, qtbot)
    click(qtbot, part.lasso)
    points = np.array([(p.x(), p.y()) for p in map(part.map.place_of, range(len(part.map.names)))])
    low, high = points.min(axis=0) - 4, points.max(axis=0) + 4
    middle = np.median(points[:, 0])
    corners = [(low[0], low[1]), (middle, low[1]), (middle, high[1]), (low[0], high[1])]
    drag(qtbot, part.map, [*corners, corners[0]])
    expected = {str(part.map.names[i]) for i in np.flatnonzero(points[:, 0] < middle - 1)}
    qtbot.waitUntil(lambda: len(dock.chosen) > 1, timeout=WAIT)
    shown(dock, qtbot)
    assert expected <= set(dock.chosen)
    assert len(dock.chosen) < len(part.map.names)
    assert set(part.table.frames.frame["gene"]) == set(dock.chosen)
    assert set(part.table.selected()) == set(dock.chosen)
    assert {str(part.map.names[i]) for i in part.map.chosen} == set(dock.chosen)
    layer = value_layer(viewer, dock, "mean")
    np.testing.assert_allclose(
        layer.features["value"], dock.known.atlas.mean_pattern(dock.chosen), rtol=1e-5
    )
    # Two rows of the list: their mean; the list stays.
    count = part.table.model().rowCount()
    click_row(qtbot, part.table, 0)
    click_row(qtbot, part.table, 1, modifier=Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: len(dock.chosen) == 2, timeout=WAIT)
    shown(dock, qtbot)
    assert part.table.model().rowCount() == count
    assert len(part.map.chosen) == 2
    assert layer.name == "a · mean of 2 genes"
    click(qtbot, part.all)
    assert part.table.model().rowCount() == len(dock.loaded.genes)
    # A lasso around nothing says so.
    drag(qtbot, part.map, [(1, 1), (5, 1), (5, 5), (1, 5), (1, 1)])
    assert "No gene" in dock.state.text()
    # Off, a drag moves the map and chooses nothing.
    click(qtbot, part.lasso)
    before, view = dock.chosen, part.map.box.viewRange()
    drag(qtbot, part.map, [(60, 60), (80, 80), (120, 100), (140, 120)])
    assert dock.chosen == before
    click(qtbot, part.whole)
    assert part.map.box.viewRange()[0][0] <= part.map.points[:, 0].min()
    del view


def test_colours_and_kinds_of_the_map(dock, qtbot, monkeypatch):
    part = open_genes(dock, qtbot)
    first = part.map.points.copy()
    brushes = {part.map.dots.points()[i].brush().color().name() for i in range(len(first))}
    assert len(brushes) == 4
    for row in (1, 2):
        part.colors.setCurrentIndex(row)
        assert part.legend.text().startswith("Dark to bright")
    monkeypatch.setattr(
        type(dock.known.atlas), "map_2d", lambda self, kind: -first if kind == "umap" else first
    )  # fmt: skip
    part.kind.setCurrentIndex(1)
    qtbot.waitUntil(lambda: not part.busy, timeout=WAIT)
    np.testing.assert_array_equal(part.map.points, -first)
    part.kind.setCurrentIndex(0)
    np.testing.assert_array_equal(part.map.points, first)


def test_scores_again_reach_table_and_section(dock, qtbot, section):
    part = dock.svgs
    open_genes(dock, qtbot)
    dock.folds["svgs"].expand(animate=False)
    before = section.adata.var["spacex_svg_effect"].copy()
    part.draws.setValue(8)
    part.null.setCurrentIndex(1)
    click(qtbot, part.python)
    assert "svg_steps(draws=8, null='zinb')" in QApplication.clipboard().text()
    loaded = dock.loaded
    click(qtbot, part.run)
    qtbot.waitUntil(lambda: dock.loaded is not loaded, timeout=WAIT)
    quiet(dock)
    now = section.adata.var["spacex_svg_effect"]
    assert not np.allclose(before, now, equal_nan=True)
    table = dock.genes.table.frames.frame.set_index("gene")
    np.testing.assert_allclose(table["svg_effect"], now[table.index], rtol=1e-5)
    assert '"null": "zinb"' in section.adata.uns["spacex_svg_scored"]
    assert "8 random pictures" in part.facts.text()


def test_cancel_of_a_question(dock, qtbot, monkeypatch):
    def slow(*_, **__):
        for step in range(10_000):
            yield Progress(step, 100, "null pictures")
            time.sleep(0.005)

    monkeypatch.setattr(type(dock.known.atlas), "svg_steps", slow)
    part = dock.svgs
    dock.open_tab("Genes")
    dock.folds["svgs"].expand(animate=False)
    click(qtbot, part.run)
    qtbot.waitUntil(lambda: part.bar.value() > 0, timeout=WAIT)
    assert not part.run.isEnabled()
    click(qtbot, part.cancel)
    assert part.run.isEnabled()
    assert "Cancelled" in dock.state.text()


def test_a_saved_file_brings_everything_back(dock, viewer, qtbot, section, tmp_path):
    path = tmp_path / "saved.h5ad"
    write(section, path)
    modules = dock.loaded.modules
    session = dock.session
    item = session.add(read(path))
    qtbot.waitUntil(lambda: dock.loaded is not None and dock.known.item_id == item.id, timeout=WAIT)
    assert dock.choice.count() == 2
    assert dock.loaded.modules["top_genes"].tolist() == modules["top_genes"].tolist()
    # The choice goes back, and the section with it.
    dock.choice.setCurrentIndex(0)
    assert session.selected_id != item.id
    qtbot.waitUntil(lambda: dock.loaded is not None, timeout=WAIT)
    # A section without modules leaves the shown run.
    known = dock.known
    session.add(panel())
    assert dock.known is known
    quiet(dock)


def test_layers_and_sections_that_go(dock, viewer, qtbot):
    part = open_genes(dock, qtbot)
    item_id = dock.known.item_id
    click_row(qtbot, part.table, 0)
    qtbot.waitUntil(lambda: value_layer(viewer, dock, "gene") is not None, timeout=WAIT)
    viewer.layers.remove(value_layer(viewer, dock, "gene"))
    click_row(qtbot, part.table, 1)
    qtbot.waitUntil(lambda: value_layer(viewer, dock, "gene") is not None, timeout=WAIT)
    # Asked, and gone before the answer.
    click_row(qtbot, part.table, 2)
    for layer in layers.layers_of(viewer, item_id):
        viewer.layers.remove(layer)
    qtbot.wait(200)
    assert dock.known is None
    assert not dock.none.isHidden()
    assert not layers.layers_of(viewer, item_id)
    quiet(dock)


def test_a_closed_dock_waits_for_nothing(dock, qtbot, monkeypatch):
    part = open_genes(dock, qtbot)
    slow = threading.Event()
    monkeypatch.setattr(type(dock.known.atlas), "map_2d", lambda *_: slow.wait(20))
    part.kind.setCurrentIndex(1)
    dock.query.layer.currentIndexChanged.emit(0)
    dock.query._later.start()
    assert part.busy
    dock.setParent(None)
    assert not part.busy
    assert not dock.query._later.isActive()
    slow.set()


def test_nothing_is_cut_at_420_pixels(dock, qtbot):
    for fold in dock.folds.values():
        fold.expand(animate=False)
    for title, page in dock.pages.items():
        dock.open_tab(title)
        QApplication.processEvents()
        assert page.minimumSizeHint().width() <= 340, title
    assert dock.tabs.sizeHint().width() <= 400
