"""The dock Plots: a map linked with the tissue, violins, losses, graph; real clicks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog

from napari_stmask.core.provenance import read_record
from napari_stmask.gui import layers
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.plots.colouring import DOMAINS, GENE, choices, colouring, of_values
from napari_stmask.gui.session import session_of
from napari_stmask.viz.layout_figure import values_figure

from .helpers import add_result, click, fill


@pytest.fixture
def desk(make_napari_viewer, section, make_result):
    viewer = make_napari_viewer()
    result = make_result(section, k=3)
    result.record["losses"] = {"total": [4.0, 2.0, 1.0], "links": [1.0, 0.5, 0.25]}
    result.record["losses"]["links (2)"] = [2.0, 0.5]
    item = fill(viewer, section, result)
    dock = open_dock(viewer, "Plots")
    viewer.window._qt_window.resize(1200, 900)
    return viewer, dock, item


def go(dock, title):
    dock.tabs.setCurrentIndex([p.TITLE for p in dock.parts].index(title))


def lay_out(section, key="spamask"):
    """A map as a run of UMAP would leave it: one spot has no place."""
    points = (section.coords / 50).astype(np.float32)
    points[7] = np.nan
    section.adata.obsm[f"X_{key}_umap"] = points
    return points


def test_numbers_become_shades():
    shown = of_values("x", np.array([0.0, 1.0, 2.0, np.nan]))
    assert shown.codes[0] == 0
    assert shown.codes[2] == len(shown.colors) - 2
    assert shown.codes[3] == len(shown.colors) - 1
    assert shown.codes[0] < shown.codes[1] < shown.codes[2]
    # Nothing known, and nothing that varies.
    assert (of_values("x", np.full(3, np.nan)).codes == len(shown.colors) - 1).all()
    assert (of_values("x", np.ones(3)).codes == 0).all()


def test_columns_are_offered_by_their_kind(section):
    obs = section.adata.obs
    obs["score"] = 0.5
    obs["barcode"] = [f"b{i}" for i in range(section.n_spots)]
    found = choices(section)
    assert found["numbers"] == ["score"]
    assert found["categories"] == ["half"]
    section.adata.uns["half_colors"] = ["#112233", "#445566"]
    shown = colouring(section, None, "half")
    assert [shown.colors[c] for c in shown.codes[:1]] == ["#112233"]
    assert shown.names == ("left", "right")
    assert colouring(section, None, GENE, "gene1").values is not None


def test_umap_is_computed_stored_and_shown(desk, qtbot):
    _, dock, item = desk
    assert "X_spamask_umap" not in item.section.adata.obsm
    click(qtbot, dock.umap.run)
    qtbot.waitUntil(lambda: "X_spamask_umap" in item.section.adata.obsm, timeout=90_000)
    points = item.section.adata.obsm["X_spamask_umap"]
    assert np.isfinite(points).all()
    qtbot.waitUntil(lambda: dock.umap.map.isVisibleTo(dock))
    np.testing.assert_allclose(dock.umap.map.points, points, rtol=1e-5)
    assert not dock.umap.run.isVisibleTo(dock)
    # The record knows the map as its own: a new run takes it away.
    assert ["obsm", "X_spamask_umap"] in read_record(item.section.adata, "spamask")["slots"]
    # It is still the same run: its domains can be edited, and the edit undone.
    session, before = dock.session, item.domains["spamask"].state
    session.edit(before.renamed(0, "Tumour"))
    assert item.domains["spamask"].state.names[0] == "Tumour"
    session.undo()
    assert item.domains["spamask"].state == before


def test_a_map_of_a_replaced_run_is_not_stored(desk, qtbot, monkeypatch, make_result):
    _, dock, item = desk
    from napari_stmask.core.progress import Progress
    from napari_stmask.gui.plots import umap_part

    go_on = []

    def waits(values):
        while not go_on:
            yield Progress(0, 1, "laying out spots")
        return np.zeros((len(values), 2), np.float32)

    monkeypatch.setattr(umap_part, "_layout", waits)
    click(qtbot, dock.umap.run)
    qtbot.waitUntil(lambda: dock.umap.cancel.isVisibleTo(dock))
    add_result(dock.session, item, make_result(item.section, k=2))
    go_on.append(True)
    qtbot.waitUntil(dock.umap.run.isEnabled)
    assert "X_spamask_umap" not in item.section.adata.obsm


def test_cancel_of_umap_keeps_the_data(desk, qtbot, monkeypatch):
    _, dock, item = desk
    from napari_stmask.core.progress import Progress
    from napari_stmask.gui.plots import umap_part

    def endless(values):
        while True:
            yield Progress(0, 1, "laying out spots")

    monkeypatch.setattr(umap_part, "_layout", endless)
    click(qtbot, dock.umap.run)
    qtbot.waitUntil(lambda: dock.umap.cancel.isVisibleTo(dock))
    click(qtbot, dock.umap.cancel)
    qtbot.waitUntil(dock.umap.run.isEnabled)
    assert "X_spamask_umap" not in item.section.adata.obsm


@pytest.fixture
def mapped(desk, qtbot):
    viewer, dock, item = desk
    points = lay_out(item.section)
    dock.refresh()
    qtbot.waitUntil(lambda: bool(dock.umap.legend.text()))
    return viewer, dock, item, points


def test_lasso_chooses_spots_on_the_tissue(mapped, qtbot):
    viewer, dock, item, points = mapped
    part = dock.umap
    click(qtbot, part.lasso)
    assert part.map.lasso
    part.map.whole()
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    middle = (low[0] + high[0]) / 2
    ring = [(low[0] - 0.2, low[1] - 0.2), (middle, low[1] - 0.2), (middle, high[1] + 0.2),
            (low[0] - 0.2, high[1] + 0.2), (low[0] - 0.2, low[1])]  # fmt: skip
    place = [part.map.mapFromScene(part.map.box.mapViewToScene(QPointF(*p))) for p in ring]
    view = part.map.viewport()
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(place[0]))
    for spot in place[1:]:
        qtbot.mouseMove(view, QPoint(spot))
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(place[-1]))
    expected = np.flatnonzero(points[:, 0] < middle)
    assert len(np.setxor1d(item.chosen, expected)) <= 0.1 * len(expected)
    assert 7 not in item.chosen
    inner = session_of(viewer).viewer
    assert layers.find_layer(inner, item.id, "selection") is not None
    np.testing.assert_array_equal(part._rows[part.map.chosen], item.chosen)
    click(qtbot, part.clear)
    assert not item.chosen.size
    assert not layers.find_layer(inner, item.id, "selection").visible


def test_spots_chosen_elsewhere_are_marked(mapped):
    viewer, dock, item, _ = mapped
    session_of(viewer).choose_spots(item.id, [0, 7, 20])
    # Spot 7 has no place on the map.
    assert dock.umap._rows[dock.umap.map.chosen].tolist() == [0, 20]


def colour(dock, by):
    part = dock.umap
    part.by.setCurrentIndex(part.by.findData(by))
    part.by.activated.emit(part.by.currentIndex())


def test_colours_of_domains_columns_and_genes(mapped, qtbot):
    viewer, dock, item, _ = mapped
    part, state = dock.umap, item.domains["spamask"].state
    rows = part._rows
    np.testing.assert_array_equal(part.map._codes, state.codes[rows])
    session_of(viewer).edit(state.recoloured(0, "#010203"))
    qtbot.waitUntil(lambda: part.map._colors[0] == "#010203")
    colour(dock, "half")
    qtbot.waitUntil(lambda: "left" in part.legend.text())
    half = item.section.adata.obs["half"].cat.codes.to_numpy()
    np.testing.assert_array_equal(part.map._codes, half[rows])
    colour(dock, GENE)
    assert "Choose a gene" in dock.state.text()
    session_of(viewer).choose_gene(item.id, "gene3")
    colour(dock, GENE)
    qtbot.waitUntil(lambda: len(part.map._colors) > 60)
    expected = of_values("", colouring(item.section, state, GENE, "gene3").values).codes
    np.testing.assert_array_equal(part.map._codes, expected[rows])


def test_map_is_exported(mapped, tmp_path, qtbot):
    _, dock, item, points = mapped
    part = dock.umap
    part.export.export("table", str(tmp_path / "map.csv"))
    qtbot.waitUntil(lambda: not part.export.busy)
    table = pd.read_csv(tmp_path / "map.csv", keep_default_na=False, na_values=[""])
    np.testing.assert_allclose(table["umap_1"], points[:, 0], rtol=1e-5)
    domains = item.section.adata.obs["spamask"].astype(str)
    assert table["Domains"].astype(str).tolist() == domains.tolist()
    for suffix in ("svg", "pdf"):
        part.export.export("figure", str(tmp_path / f"map.{suffix}"))
        qtbot.waitUntil(lambda: not part.export.busy, timeout=20_000)
        assert (tmp_path / f"map.{suffix}").stat().st_size > 1000
    click(qtbot, part.whole)
    click(qtbot, part.python)
    text = QGuiApplication.clipboard().text()
    assert "umap_positions(embedding)" in text
    compile(text, "script", "exec")


def test_click_names_a_spot(mapped, qtbot):
    _, dock, item, _ = mapped
    part = dock.umap
    part.map.whole()
    qtbot.mouseClick(
        part.map.viewport(), Qt.MouseButton.LeftButton, pos=part.map.place_of(3).toPoint()
    )
    assert item.chosen.tolist() == [part._rows[3]]
    assert dock.state.text() == f"Spot {item.section.adata.obs_names[part._rows[3]]}"


def test_violins_of_a_column_and_of_a_gene(desk, qtbot):
    viewer, dock, item = desk
    item.section.adata.obs["score"] = np.arange(item.section.n_spots, dtype=float)
    go(dock, "Violins")
    part = dock.violins
    part.by.setCurrentIndex(part.by.findData("score"))
    part.by.activated.emit(part.by.currentIndex())
    qtbot.waitUntil(lambda: "median" in part.chart.accessibleDescription())
    codes = item.domains["spamask"].state.codes
    median = np.median(np.flatnonzero(codes == 0))
    assert f"1: median {median:.2f}" in part.chart.accessibleDescription()
    part.gene.setText("gene2")
    qtbot.keyClick(part.gene, Qt.Key.Key_Return)
    assert item.gene == "gene2"
    qtbot.waitUntil(lambda: part._reader.busy is False)
    values = colouring(item.section, None, GENE, "gene2").values
    qtbot.waitUntil(
        lambda: (
            f"1: median {np.median(values[codes == 0]):.2f}" in part.chart.accessibleDescription()
        )
    )
    session_of(viewer).choose_gene(item.id, "")


def test_losses_scaled_and_single(desk):
    _, dock, _ = desk
    go(dock, "Losses")
    part = dock.losses
    assert "total" in part.key.text()
    assert "links" in part.key.text()
    shown = {term: [c.tolist() for c in curves] for term, curves in part.chart.curves.items()}
    assert shown == {"total": [[1.0, 0.5, 0.25]], "links": [[1.0, 0.5, 0.25], [1.0, 0.25]]}
    assert [part.term.itemText(i) for i in range(1, part.term.count())] == ["total", "links"]
    assert "links of 2 networks (median): from 1 to 0.25" in part.chart.accessibleDescription()
    part.term.setCurrentIndex(part.term.findData("total"))
    part.term.activated.emit(part.term.currentIndex())
    (total,) = part.chart.curves["total"]
    assert total.tolist() == [4.0, 2.0, 1.0]
    table = part.table(part._losses())
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["links"].tolist() == [1.0, 0.5, 0.25]


def test_graph_follows_names_and_goes_with_the_partition(desk, qtbot):
    viewer, dock, _ = desk
    go(dock, "PAGA")
    part = dock.paga
    click(qtbot, part.run)
    qtbot.waitUntil(lambda: part.chart.isVisibleTo(dock), timeout=60_000)
    links = part._taken.found.connectivities
    # Stripes side by side: the outer ones touch the middle one only.
    assert links[0, 1] > links[0, 2]
    session = session_of(viewer)
    session.edit(session.selected_domains.state.renamed(1, "Middle"))
    assert "Middle" in part._taken.found.domains
    assert "Middle" in part.chart.accessibleDescription()
    session.edit(session.selected_domains.state.merged([0, 1]))
    assert part._taken is None
    assert part.run.isVisibleTo(dock)
    assert not part.chart.isVisibleTo(dock)


def export(qtbot, part, folder, monkeypatch):
    """Click both buttons of a part; its table, and how large its figure is."""
    paths = {part.export.table: folder / "a.csv", part.export.figure: folder / "a.svg"}
    for button, path in paths.items():
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, p=path, **k: (str(p), ""))
        click(qtbot, button)
        qtbot.waitUntil(lambda: not part.export.busy, timeout=20_000)
    return pd.read_csv(folder / "a.csv"), (folder / "a.svg").stat().st_size


@pytest.mark.parametrize("title", ["UMAP", "Violins", "Losses"])
def test_export_buttons_write_what_is_shown(mapped, qtbot, tmp_path, monkeypatch, title):
    _, dock, item, points = mapped
    item.section.adata.obs["score"] = np.arange(item.section.n_spots, dtype=float)
    go(dock, title)
    part = dock.parts[dock.tabs.currentIndex()]
    if title == "Violins":
        part.by.setCurrentIndex(part.by.findData("score"))
        part.by.activated.emit(part.by.currentIndex())
    qtbot.waitUntil(part.export.table.isEnabled)
    qtbot.waitUntil(lambda: not part.busy if hasattr(part, "busy") else True)
    table, size = export(qtbot, part, tmp_path, monkeypatch)
    assert size > 1000
    if title == "UMAP":
        np.testing.assert_allclose(table["umap_2"], points[:, 1], rtol=1e-5)
    elif title == "Losses":
        assert table["total"].tolist() == [4.0, 2.0, 1.0]
    else:
        codes = item.domains["spamask"].state.codes
        assert table["score"].sum() == np.flatnonzero(codes >= 0).sum()


def test_graph_is_cancelled_then_exported(desk, qtbot, tmp_path, monkeypatch):
    _, dock, _ = desk
    from napari_stmask.core.progress import Progress
    from napari_stmask.gui.plots import paga_part

    steps = paga_part.trajectory_steps

    def endless(*args, **options):
        while True:
            yield Progress(0, 1, "linking")

    monkeypatch.setattr(paga_part, "trajectory_steps", endless)
    go(dock, "PAGA")
    part = dock.paga
    click(qtbot, part.run)
    qtbot.waitUntil(lambda: part.cancel.isVisibleTo(dock))
    click(qtbot, part.cancel)
    qtbot.waitUntil(part.run.isEnabled)
    assert part._taken is None
    assert not part.export.table.isEnabled()
    monkeypatch.setattr(paga_part, "trajectory_steps", steps)
    click(qtbot, part.run)
    qtbot.waitUntil(lambda: part.chart.isVisibleTo(dock), timeout=60_000)
    table, size = export(qtbot, part, tmp_path, monkeypatch)
    assert len(table) == 3
    assert table["connectivity"].between(0, 1).all()
    assert size > 1000


def test_nothing_is_promised_without_a_result(make_napari_viewer, section):
    viewer = make_napari_viewer()
    session_of(viewer).add(section)
    dock = open_dock(viewer, "Plots")
    for place, part in enumerate(dock.parts):
        dock.tabs.setCurrentIndex(place)
        assert part.none.text()
        assert not part.export.isVisibleTo(dock)
    assert dock.umap.by.findData(DOMAINS) >= 0


def test_values_figure_draws_high_values_last():
    points = np.array([[0, 0], [1, 1], [2, 2], [np.nan, 0]], dtype=float)
    figure = values_figure(points, np.array([3.0, 1.0, np.nan, 9.0]), "x", limits=(0, 3))
    drawn = figure.axes[0].collections[1]
    np.testing.assert_array_equal(drawn.get_array(), [1.0, 3.0])
    assert drawn.get_clim() == (0, 3)
