"""Relations, drawn patterns and coverage: every button, and what it leaves behind."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels, Points
from qtpy.QtWidgets import QApplication, QFileDialog
from tests.gui.genes_helpers import check_command, click_row, panel, trained, world_of
from tests.gui.helpers import click

from napari_stmask import genes_of
from napari_stmask.core.errors import ParameterError
from napari_stmask.gui import layers
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.genes.known import gene_runs
from napari_stmask.gui.genes.regions import regions_of
from napari_stmask.gui.session import session_of
from napari_stmask.io.write import write
from napari_stmask.models.spacex import coverage

WAIT = 20_000


@pytest.fixture(scope="module")
def both():
    return trained("a"), trained("b", seed=1)


@pytest.fixture
def dock(viewer, both, qtbot):
    session = session_of(viewer)
    found = open_dock(viewer, "Gene modules")
    for once in reversed(both):
        section = copy.copy(once)
        section.adata = once.adata.copy()
        session.add(section)
    qtbot.waitUntil(lambda: found.loaded is not None, timeout=WAIT)
    assert found.known.label == "a"
    return found


def wait(qtbot, part):
    qtbot.waitUntil(lambda: not part.worker.busy, timeout=WAIT)
    strip = part.desk.strip
    assert strip.isHidden(), strip.text.text()


def clipboard():
    return QApplication.clipboard().text()


def test_partners_follow_the_gene(dock, qtbot, tmp_path):
    part = dock.partners
    dock.open_tab("Relations")
    click(qtbot, part.run)
    assert "No gene is named" in dock.strip.text.text()
    gene = dock.loaded.names[0]
    qtbot.keyClicks(part.gene, gene.lower())
    part.gene.completer().popup().hide()
    click(qtbot, part.run)
    expected = dock.known.atlas.partners(gene, k=10)
    pd.testing.assert_frame_equal(part.found, expected)
    part.k.setValue(4)
    assert part.table.model().rowCount() == 4
    # A gene that is chosen elsewhere is asked about; a partner is shown and keeps the list.
    other = dock.loaded.names[9]
    dock.choose([other])
    assert part.gene.text() == other
    assert list(part.found["gene"]) == list(dock.known.atlas.partners(other, k=4)["gene"])
    click_row(qtbot, part.table, 1)
    partner = part.found["gene"].iat[1]
    qtbot.waitUntil(lambda: dock.chosen == (partner,), timeout=WAIT)
    assert part.gene.text() == other
    qtbot.waitUntil(lambda: dock.state.text().endswith(partner), timeout=WAIT)
    click(qtbot, part.command)
    assert clipboard().endswith(f"--gene {other} --k 4 --key spacex")
    check_command(clipboard())
    # The copied script answers as the dock.
    path = tmp_path / "a.h5ad"
    write(dock.known.section, path)
    dock.known.section.source = str(path)
    click(qtbot, part.python)
    scope: dict[str, object] = {}
    exec(clipboard().replace("print(", "answer = ("), scope)
    assert list(scope["answer"]["gene"]) == list(part.found["gene"])
    part.gene.setText("nobody")
    click(qtbot, part.run)
    assert "nobody" in dock.strip.text.text()


def test_the_network_and_its_hubs(dock, qtbot, tmp_path, monkeypatch):
    part = dock.network
    dock.open_tab("Relations")
    dock.folds["network"].expand(animate=False)
    part.k.setValue(6)
    part.q.setValue(0.1)
    part.draws.setValue(4)
    click(qtbot, part.run)
    wait(qtbot, part)
    assert len(part.found.edges) > 5
    assert part.edges.model().rowCount() == len(part.found.edges)
    assert set(part.hubs["module"]) <= set(dock.known.atlas.modules)
    click_row(qtbot, part.edges, 0)
    edge = part.found.edges.iloc[0]
    assert set(dock.chosen) == {edge["gene_a"], edge["gene_b"]}
    click_row(qtbot, part.hub_table, 0)
    assert dock.chosen == (part.hubs["gene"].iat[0],)
    for button, name in ((part.export, "edges.csv"), (part.export_hubs, "hubs.csv")):
        path = str(tmp_path / name)
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, p=path: (p, ""))
        click(qtbot, button.table)
        qtbot.waitUntil(lambda p=path: p in dock.state.text(), timeout=WAIT)
    assert len(pd.read_csv(tmp_path / "edges.csv")) == len(part.found.edges)
    assert list(pd.read_csv(tmp_path / "hubs.csv")["gene"]) == list(part.hubs["gene"])
    click(qtbot, part.python)
    assert "network_steps(k=6, q=0.1, draws=4)" in clipboard()
    click(qtbot, part.command)
    check_command(clipboard())


def test_a_comparison_with_the_other_section(dock, viewer, qtbot):
    part = dock.compare
    dock.open_tab("Relations")
    dock.folds["compare"].expand(animate=False)
    assert part.other.currentText() == "b · spacex"
    part.q.setValue(0.5)
    click(qtbot, part.run)
    wait(qtbot, part)
    found = part.found
    assert len(found.genes) == 48
    assert part.genes.model().rowCount() == 48
    assert f"{found.n_changed:,} of {found.n_pairs:,}" in part.facts.text()
    assert "b · spacex" in part.facts.text()
    click_row(qtbot, part.genes, 0)
    assert dock.chosen == (found.genes["gene"].iat[0],)
    if len(found.pairs):
        click_row(qtbot, part.pairs, 0)
        assert len(dock.chosen) == 2
    click(qtbot, part.python)
    assert "others = stm.genes_of(other, 'spacex')" in clipboard()
    click(qtbot, part.command)
    check_command(clipboard())
    # The other section goes.
    other = next(run for run in gene_runs(dock.session) if run is not dock.known)
    for layer in layers.layers_of(viewer, other.item_id):
        viewer.layers.remove(layer)
    assert not part.run.isEnabled()
    assert "second section" in part.run.toolTip()


def paint_halves(viewer, item, layer):
    """Label 1 left of the middle, 2 right of it, and 0 in a band between."""
    x = item.section.coords[:, 0]
    wanted = np.where(x < 0.4 * x.max(), 1, np.where(x > 0.6 * x.max(), 2, 0))
    data = np.zeros(layer.data.shape, np.uint8)
    inside = item.raster.index >= 0
    data[inside] = wanted[item.raster.index[inside]]
    layer.data = data
    return wanted


def test_a_painted_pattern(dock, viewer, qtbot):
    part = dock.query
    item = dock.session.items[dock.known.item_id]
    dock.open_tab("Pattern")
    assert "Nothing is drawn" in part.state.text()
    assert not part.run.isEnabled()
    click(qtbot, part.new)
    layer = viewer.layers.selection.active
    assert isinstance(layer, Labels)
    assert layer.mode == "paint"
    assert part.layer.currentText() == layer.name == "a · pattern"
    assert "covers no spot" in part.state.text()
    # One stroke in the middle of a spot.
    spot = 40
    layer.paint(layer.world_to_data(world_of(item)[spot]), 3)
    qtbot.waitUntil(lambda: list(part.levels.counts) == ["3"], timeout=WAIT)
    codes, names = regions_of(layer, item)
    assert codes[spot] == 0
    assert names == ("3",)
    wanted = paint_halves(viewer, item, layer)
    qtbot.waitUntil(lambda: list(part.levels.counts) == ["1", "2"], timeout=WAIT)
    assert part.levels.counts == {"1": (wanted == 1).sum(), "2": (wanted == 2).sum()}
    part.levels.fields["2"].setValue(90.0)
    part.background.setValue(80.0)
    click(qtbot, part.run)
    wait(qtbot, part)
    drawn = item.section.adata.obs["spacex_pattern"]
    assert (drawn.astype(object).fillna("0").to_numpy() == wanted.astype(str)).all()
    assert part.levels.levels() == {"1": 5.0, "2": 90.0}
    # Genes 0, 4, 8 ... are high on the left.
    best = part.found["gene"].head(6)
    assert sum(int(gene[4:]) < 32 and int(gene[4:]) % 4 == 0 for gene in best) >= 4
    atlas = genes_of(item.section)
    steps = atlas.query_steps(wanted - 1, {0: 5.0, 1: 90.0}, background=80.0)
    from napari_stmask.core.progress import drain

    pd.testing.assert_frame_equal(part.found, drain(steps))
    click_row(qtbot, part.table, 0)
    qtbot.waitUntil(lambda: dock.chosen == (best.iat[0],), timeout=WAIT)
    click(qtbot, part.command)
    assert clipboard().startswith("# Save the section as drawn.h5ad")
    assert "--regions spacex_pattern --level 1=5 --level 2=90 --background 80" in clipboard()
    check_command(clipboard())
    click(qtbot, part.python)
    assert "query_steps(drawn, {0: 5.0, 1: 90.0}, background=80)" in clipboard()
    # Levels stay when a region is drawn again; the layer may go.
    layer.data = np.zeros_like(layer.data)
    qtbot.waitUntil(lambda: not part.run.isEnabled(), timeout=WAIT)
    paint_halves(viewer, item, layer)
    qtbot.waitUntil(lambda: part.run.isEnabled(), timeout=WAIT)
    assert part.levels.levels()["2"] == 90.0
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: "Nothing is drawn" in part.state.text(), timeout=WAIT)


def test_shapes_and_moved_labels_are_patterns_too(dock, viewer, qtbot):
    item = dock.session.items[dock.known.item_id]
    part = dock.query
    world = world_of(item)
    low, high = world.min(axis=0) - 1, world.max(axis=0) + 1
    middle = (low + high) / 2
    shapes = viewer.add_shapes(
        [
            np.array([low, [low[0], high[1]], [middle[0], high[1]], [middle[0], low[1]]]),
            np.array([[middle[0], low[1]], [middle[0], high[1]], high, [high[0], low[1]]]),
        ],
        shape_type="polygon",
        ndim=2,
    )
    codes, names = regions_of(shapes, item)
    assert names == ("1", "2")
    np.testing.assert_array_equal(codes, (world[:, 0] > middle[0]).astype(int))
    qtbot.waitUntil(lambda: part.layer.count() == 1, timeout=WAIT)
    # Labels of any place and scale.
    labels = viewer.add_labels(
        np.array([[1, 2], [0, 2]], np.uint8),
        scale=(high - low) / 2,
        translate=low + (high - low) / 4,
        name="mine",
    )
    codes, names = regions_of(labels, item)
    upper, left = world[:, 0] < middle[0], world[:, 1] < middle[1]
    np.testing.assert_array_equal(codes, np.where(~left, 1, np.where(upper, 0, -1)))
    # A segmentation of cells is no pattern, and asks for no level of every cell.
    labels.data = np.arange(1, 65, dtype=np.uint8).reshape(8, 8)
    labels.scale = (high - low) / 8
    labels.translate = low + (high - low) / 16
    with pytest.raises(ParameterError, match="at most 30 regions"):
        regions_of(labels, item)
    part.layer.setCurrentIndex(part.layer.findText("mine"))
    qtbot.waitUntil(lambda: "at most 30 regions" in part.state.text(), timeout=WAIT)
    assert not part.levels.fields
    labels.translate = 3 * high
    with pytest.raises(ParameterError, match="mine"):
        regions_of(labels, item)


def test_imputed_genes(dock, viewer, qtbot):
    part = dock.coverage
    session = dock.session
    known, before = dock.known, session.selected_id
    target = session.add(panel())
    session.select(before)
    original = target.section.adata.var.copy()
    dock.open_tab("Coverage")
    assert "extrapolations" in part.about.text()
    part.target.setCurrentIndex(part.target.findData(target.id))
    part.engine.setCurrentIndex(1)
    assert not part.warning.isHidden()
    assert "slower" in part.warning.text()
    part.engine.setCurrentIndex(0)
    assert part.warning.isHidden()
    click(qtbot, part.run)
    wait(qtbot, part)
    made = session.items[part.choice.currentData()]
    assert made.label == "panel, imputed"
    assert dock.known is known
    assert session.selected_id == before
    var = made.section.adata.var
    assert var["imputed"].sum() == 28
    assert var["imputation_confidence"].notna().sum() == 28
    assert target.section.adata.var.equals(original)
    assert part.table.model().rowCount() == 28
    confidence = part.table.frames.frame["confidence"]
    assert confidence.is_monotonic_decreasing
    r = var.loc[~var["imputed"], "imputation_r"].mean()
    assert f"mean r of {r:.2f}" in part.facts.text()
    assert "28 genes" in part.facts.text()
    click_row(qtbot, part.table, 0)
    layer = layers.find_layer(viewer, made.id, "value", "imputed_gene")
    assert isinstance(layer, Points)
    gene = part.table.frames.frame["gene"].iat[0]
    assert layer.name == f"panel, imputed · {gene} (imputed)"
    expected = made.section.adata[:, gene].X[:, 0]
    np.testing.assert_allclose(layer.features["value"], expected, rtol=1e-6)
    # Imputed sections are no targets; what is imputed twice gets a name of its own.
    assert part.target.findData(made.id) < 0
    click(qtbot, part.command)
    check_command(clipboard())
    click(qtbot, part.python)
    assert "imputed_section(target, coverage)" in clipboard()
    click(qtbot, part.run)
    wait(qtbot, part)
    assert part.choice.count() == 2
    # The target leaves while it is asked about.
    click(qtbot, part.run)
    for one in layers.layers_of(viewer, target.id):
        viewer.layers.remove(one)
    wait(qtbot, part)
    assert part.choice.count() == 3


def test_the_published_engine_and_targets_that_fail(dock, qtbot, monkeypatch):
    monkeypatch.setattr(coverage, "GANParams", partial(coverage.GANParams, epochs=2))
    part = dock.coverage
    session = dock.session
    few, target = session.add(panel()), session.add(panel())
    few.section.adata.var_names = [f"other{i}" for i in range(20)]
    dock.open_tab("Coverage")
    part.target.setCurrentIndex(part.target.findData(target.id))
    part.engine.setCurrentIndex(1)
    click(qtbot, part.run)
    wait(qtbot, part)
    assert "(GAN)" in part.facts.text()
    click(qtbot, part.command)
    assert "--engine gan" in clipboard()
    part.engine.setCurrentIndex(0)
    # Section b measured every gene, the other one none of them.
    whole = next(i for i in session.items.values() if i.label == "b")
    for item, problem in ((few, "0 genes"), (whole, "measured all 48 genes")):
        part.target.setCurrentIndex(part.target.findData(item.id))
        click(qtbot, part.run)
        qtbot.waitUntil(lambda: not dock.strip.isHidden(), timeout=WAIT)
        assert problem in dock.strip.text.text()
        assert part.run.isEnabled()
    assert part.choice.count() == 1
