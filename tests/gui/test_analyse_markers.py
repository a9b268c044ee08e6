"""Markers and composition in the window: every button, the charts, what is written."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication, QFileDialog
from tests.gui.helpers import click, fill

from napari_stmask.analysis.composition import compose
from napari_stmask.analysis.markers import marker_table
from napari_stmask.gui import layers
from napari_stmask.gui.commands import open_dock


@pytest.fixture
def dock(viewer, section, make_result):
    fill(viewer, section, make_result(section, k=2))
    return open_dock(viewer, "Analyse")


@pytest.fixture
def panel(dock):
    return dock.choose("Marker genes")


def run(qtbot, dock):
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    assert dock.strip.isHidden(), dock.strip.text.text()
    QApplication.processEvents()


def clipboard():
    return QGuiApplication.clipboard().text()


def press(qtbot, chart, name):
    """Click the point of a name in a chart."""
    place = chart.pixels(chart._places)[chart._names.index(name)]
    point = QPoint(*(round(v) for v in place))
    qtbot.mouseClick(chart.viewport(), Qt.MouseButton.LeftButton, pos=point)


def gene_layer(dock):
    return layers.find_layer(dock.viewer, dock.session.selected_id, "gene")


def test_limits_choose_rows_points_and_dots(dock, panel, qtbot):
    run(qtbot, dock)
    section = dock.session.selected.section
    full = marker_table(section, section.adata.obs["spamask"], n_genes=None)
    strong = full["p_adjusted"].le(0.05) & full["log2_fold_change"].abs().ge(0.25)
    assert len(panel.genes.frames.frame) == strong.sum()
    # Thirty genes were planted, each of which is high on one side and low on the other.
    assert {int(g[4:]) for g in full["gene"][strong]} >= set(range(30))
    panel.min_fold.setValue(30)
    assert not len(panel.genes.frames.frame)
    assert panel.dots.accessibleDescription() == "No gene passes."
    panel.min_fold.setValue(1.0)
    panel.max_p.setValue(1e-4)
    panel.min_share.setValue(0.5)
    rows = panel.genes.frames.frame
    assert len(rows)
    assert (rows["p_adjusted"] <= 1e-4).all()
    assert (rows["log2_fold_change"].abs() >= 1).all()
    panel.count.setValue(2)
    assert len(panel.genes.frames.frame) == 4
    panel.n_dots.setValue(1)
    assert len(panel.dots._names) == 4  # two genes in two domains


def test_what_is_found_is_no_wider_than_the_dock(viewer, dock, panel, qtbot):
    run(qtbot, dock)
    assert panel.max_p.isVisibleTo(dock)
    # napari's style makes numbers wider once the window is seen.
    viewer.window._qt_window.show()
    qtbot.waitExposed(viewer.window._qt_window)
    qtbot.wait(50)
    page = dock.scroller.widget()
    # The narrowest dock has 326 pixels for its page.
    assert page.minimumSizeHint().width() <= 326


def test_volcano_and_dots_choose_a_gene(dock, panel, qtbot):
    heard = []
    dock.session.gene_selected.connect(lambda i, gene: heard.append(gene))
    run(qtbot, dock)
    panel.domain.setCurrentText("Domain 2")
    assert panel.volcano_title.text() == "2 against all other spots"
    first = panel.genes.frames.frame.query("domain == '2'")["gene"].iloc[0]
    press(qtbot, panel.volcano, first)
    chosen = heard[-1]
    # Points may lie on one another; what was clicked is what is shown everywhere.
    assert chosen == dock.session.selected.gene == panel.genes.current()
    qtbot.waitUntil(lambda: gene_layer(dock) is not None, timeout=10_000)
    assert chosen in gene_layer(dock).name
    assert panel.volcano._ring is not None
    last = panel.dots._names[-1]
    press(qtbot, panel.dots, last)
    assert heard[-1] == last
    qtbot.waitUntil(lambda: last in gene_layer(dock).name, timeout=10_000)
    count = len(heard)
    qtbot.mouseClick(panel.volcano.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(2, 2))
    assert len(heard) == count  # nothing is there


def test_names_in_the_volcano_do_not_overlap(dock, panel, qtbot):
    run(qtbot, dock)
    QApplication.processEvents()
    assert 2 <= len(panel.volcano.labels) <= 12
    boxes = [t.textItem.sceneBoundingRect() for t in panel.volcano._texts]
    boxes = [b.adjusted(4, 4, -4, -4) for b in boxes]  # Qt's frame around the text
    for i, one in enumerate(boxes):
        assert not any(one.intersects(other) for other in boxes[:i])


def test_dots_are_the_means_and_shares(dock, panel, qtbot):
    run(qtbot, dock)
    section = dock.session.selected.section
    counts = np.asarray(section.adata.X.todense())
    logged = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    gene = panel.dots._names[0]
    j = section.adata.var_names.get_loc(gene)
    inside = (section.adata.obs["spamask"] == "1").to_numpy()
    expected = (
        f"{(counts[inside, j] > 0).mean():.0%} of the spots, mean {logged[inside, j].mean():.2f}"
    )
    assert panel.dots.hint(0) == f"{gene} in domain 1: {expected}"
    mark = QPoint(8, panel.scaled.height() // 2)
    qtbot.mouseClick(panel.scaled, Qt.MouseButton.LeftButton, pos=mark)
    assert panel.dots.hint(0).endswith(("mean 1.00", "mean 0.00"))
    assert "0 to 1 for each gene" in panel.dots_note.text()


def test_other_references_and_tests(dock, panel, qtbot):
    panel.against.setCurrentText("The adjacent spots of other domains")
    panel.test.setCurrentText("Welch's t")
    run(qtbot, dock)
    section = dock.session.selected.section
    mine = panel._view.main.table
    there = marker_table(
        section, section.adata.obs["spamask"], n_genes=None, test="t-test", against="adjacent"
    )
    pd.testing.assert_frame_equal(mine, there)
    assert "adjacent spots" in panel.notes.text()
    panel.against.setCurrentText("Domain 2")
    run(qtbot, dock)
    assert panel._view.main.names == ["1"]
    panel.test.setCurrentText("Logistic regression")
    run(qtbot, dock)
    assert panel.volcano.isHidden()
    assert "no p-values" in panel.volcano_note.text()
    assert len(panel.genes.frames.frame)


def test_chosen_spots(dock, panel, qtbot):
    panel.groups.setCurrentText("Chosen spots")
    assert not dock.run.isEnabled()
    assert "draw around spots" in dock.why.text()
    item = dock.session.selected
    rows = np.flatnonzero(item.section.adata.obs["half"] == "left")[:30]
    dock.session.choose_spots(item.id, rows)
    assert dock.run.isEnabled()
    run(qtbot, dock)
    assert panel._view.main.names == ["chosen spots"]
    best = panel.genes.frames.frame["gene"].iloc[:15]
    assert {int(g[4:]) for g in best} == set(range(15))
    click(qtbot, panel.as_command)
    assert "knows no chosen spots" in dock.state.text()
    click(qtbot, panel.as_python)
    assert str(rows.tolist()) in clipboard()


def test_markers_are_written_as_scanpy_does(dock, panel, qtbot):
    import scanpy as sc

    run(qtbot, dock)
    adata = dock.session.selected.section.adata
    assert "rank_genes_groups" not in adata.uns
    click(qtbot, panel.store)
    found = sc.get.rank_genes_groups_df(adata, "2")
    mine = panel._view.main.table.query("domain == '2'")
    assert found["names"].tolist() == mine["gene"].tolist()
    click(qtbot, panel.store)
    assert "earlier one" in dock.state.text()


def stored(tmp_path, section):
    path = tmp_path / "s.h5ad"
    section.adata.write_h5ad(path)
    return str(path)


def test_copied_recipes_run(dock, panel, qtbot, tmp_path, capsys, call):
    item = dock.session.selected
    item.section.source = stored(tmp_path, item.section)
    item.domains["spamask"].result = None  # as it is where the file was opened with it
    panel.against.setCurrentText("Domain 2")
    panel.count.setValue(5)
    run(qtbot, dock)
    genes = panel.genes.frames.frame["gene"].tolist()
    click(qtbot, panel.as_python)
    exec(compile(clipboard(), "recipe", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[1:]] == genes
    click(qtbot, panel.as_command)
    words = clipboard().split()
    assert words[:3] == ["napari-stmask", "analyse", "markers"]
    code, out, err = call(*words[1:], "--json")
    assert code == 0, err
    assert [row["gene"] for row in json.loads(out)["markers"]] == genes


def test_a_run_of_this_window_is_made_again(dock, panel, qtbot):
    dock.session.selected.section.source = "s.h5ad"
    run(qtbot, dock)
    click(qtbot, panel.as_python)
    assert "stm.run(\n    'spamask'" in clipboard()
    click(qtbot, panel.as_command)
    first, second = clipboard().splitlines()
    assert first.startswith("napari-stmask run spamask s.h5ad")
    assert second.startswith("napari-stmask analyse markers result.h5ad")
    assert "edited" not in clipboard()
    state = dock.session.selected_domains.state
    dock.session.edit(state.renamed(0, "left"))
    click(qtbot, panel.as_python)
    assert "# The domains were edited" in clipboard()


@pytest.mark.parametrize("which", ["Dots of all domains", "Volcano of the domain"])
def test_both_figures_are_exported(dock, panel, qtbot, tmp_path, monkeypatch, which):
    run(qtbot, dock)
    panel.drawn.setCurrentText(which)
    path = tmp_path / "f.svg"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    click(qtbot, dock.export.figure)
    qtbot.waitUntil(lambda: not dock.export.busy, timeout=30_000)
    assert dock.strip.isHidden(), dock.strip.text.text()
    assert path.stat().st_size > 1000


def test_composition_of_an_annotation(dock, qtbot, tmp_path, monkeypatch):
    panel = dock.choose("Composition")
    item = dock.session.selected
    item.section.adata.uns["half_colors"] = ["#112233", "#445566"]
    assert [panel.column.itemText(i) for i in range(panel.column.count())] == [
        "half", "spamask_confidence",
    ]  # fmt: skip
    run(qtbot, dock)
    there = compose(item.section, item.section.adata.obs["spamask"], "half")
    assert f"V = {there.cramers_v:.3f}" in panel.facts.text()
    assert "no p-value" in panel.facts.text()
    rows = panel.counted.frames.frame
    pd.testing.assert_frame_equal(rows, there.table())
    assert "#112233" in panel.legend.text()
    share = there.shares().loc["1", "left"]
    assert f"1: {share:.0%} left" in panel.bars.accessibleDescription()
    panel.way.setCurrentText("Each category by domain")
    assert "left: " in panel.bars.accessibleDescription()
    assert panel.counted.frames.frame is rows or panel.counted.frames.frame.equals(rows)
    click(qtbot, panel.copy)
    assert clipboard().startswith("domain\tcategory\tspots")
    asked = [str(tmp_path / "t.csv"), str(tmp_path / "f.pdf")]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (asked.pop(0), ""))
    for button in (dock.export.table, dock.export.figure):
        click(qtbot, button)
        qtbot.waitUntil(lambda: not dock.export.busy, timeout=30_000)
        assert dock.strip.isHidden(), dock.strip.text.text()
    assert pd.read_csv(tmp_path / "t.csv")["spots"].sum() == 144
    assert (tmp_path / "f.pdf").stat().st_size > 1000


def test_composition_of_numbers_and_new_columns(dock, qtbot):
    panel = dock.choose("Composition")
    item = dock.session.selected
    item.section.adata.obs["x"] = item.section.coords[:, 0]
    dock.session.obs_written(item.id)
    panel.column.setCurrentText("x")
    run(qtbot, dock)
    assert panel.bars.isHidden()
    assert "median" in panel.violins.accessibleDescription()
    there = compose(item.section, item.section.adata.obs["spamask"], "x")
    assert f"= {there.epsilon_squared:.3f}" in panel.facts.text()
    click(qtbot, panel.copy)
    assert clipboard().startswith("domain\tspots\tmean")


def test_copied_recipes_of_composition_run(dock, qtbot, tmp_path, capsys, call):
    panel = dock.choose("Composition")
    item = dock.session.selected
    item.section.source = stored(tmp_path, item.section)
    item.domains["spamask"].result = None
    run(qtbot, dock)
    click(qtbot, panel.as_python)
    exec(compile(clipboard(), "recipe", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    spots = panel.counted.frames.frame["spots"].tolist()
    assert [int(line.split()[2]) for line in lines[1:]] == spots
    click(qtbot, panel.as_command)
    code, out, err = call(*clipboard().split()[1:], "--json")
    assert code == 0, err
    assert [row["spots"] for row in json.loads(out)["composition"]] == spots


def test_composition_needs_a_column(dock, qtbot):
    item = dock.session.selected
    item.section.adata.obs.drop(columns=["half", "spamask_confidence"], inplace=True)
    panel = dock.choose("Composition")
    assert not panel.column.count()
    assert "no other column" in dock.why.text()
    assert not dock.run.isEnabled()
