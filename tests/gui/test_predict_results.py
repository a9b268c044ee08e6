"""What a prediction is asked for: genes, references of a spot, region, gene sets."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels, Points
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog
from tests.gui.helpers import canvas_place, click, press_on_canvas
from tests.gui.predict_helpers import FAST, add_sections, fake_predict

import napari_stmask.prediction
from napari_stmask import read
from napari_stmask.gui import layers
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.layer_tuples import our_meta
from napari_stmask.gui.predict.known import known_predictions
from napari_stmask.gui.session import session_of


@pytest.fixture
def items(viewer):
    return add_sections(session_of(viewer), "ab")


@pytest.fixture
def dock(viewer, items, qtbot, monkeypatch):
    """After a run from b to a."""
    monkeypatch.setattr(napari_stmask.prediction, "iter_predict", fake_predict)
    found = open_dock(viewer, "Predict genes")
    found.form.set_values(FAST)
    click(qtbot, found.run)
    qtbot.waitUntil(lambda: found.session.runner.current is None, timeout=20_000)
    assert found.card.strip.isHidden(), found.card.strip.text.text()
    qtbot.waitUntil(lambda: found.results.genes._maps is not None, timeout=20_000)
    return found


@pytest.fixture
def known(dock):
    return known_predictions(dock.session)[0]


def ours(viewer, item_id, key):
    return layers.find_layer(viewer, item_id, "value", f"spahgc_map_{key}")


def press(qtbot, box):
    """Toggle a check box."""
    assert box.isEnabled()
    qtbot.keyClick(box, Qt.Key.Key_Space)


def click_row(qtbot, table, row):
    place = table.visualRect(table.model().index(row, 0)).center()
    table.scrollTo(table.model().index(row, 0))
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_scores_and_the_best_gene_at_once(dock, known, viewer):
    genes = dock.results.genes
    table = genes.genes.frames.frame
    assert table["pcc"].is_monotonic_decreasing
    assert 0.5 < table["detected"].iloc[0] <= 1
    assert genes.gene == table["gene"].iloc[0]
    assert genes.scores.frames.rowCount() == 3
    assert not genes.oracle.isHidden()
    assert "A note." in genes.facts.text()
    assert "no similar tissue" in genes.facts.text()
    first = ours(viewer, known.target_id, "measured")
    second = ours(viewer, known.item_id, "predicted")
    assert isinstance(first, Points)
    assert isinstance(second, Points)
    assert first.name == f"a · measured {genes.gene}"
    assert second.name.startswith(f"a · predicted {genes.gene} · PCC 0.")
    assert first.visible
    assert second.visible


def test_a_click_on_a_gene_and_the_looks(dock, known, viewer, qtbot):
    genes = dock.results.genes
    click_row(qtbot, genes.genes, 2)
    wanted = genes.genes.frames.frame["gene"].iloc[2]
    qtbot.waitUntil(lambda: genes._maps.gene == wanted, timeout=20_000)
    second = ours(viewer, known.item_id, "predicted")
    assert wanted in second.name
    values = known.section.adata[:, wanted].X[:, 0]
    np.testing.assert_allclose(second.features["value"], values, rtol=1e-6)
    order = np.argsort(values)
    shades = second.face_color[order]
    # viridis gets lighter.
    assert shades[0, 1] < shades[-1, 1]
    pair = (ours(viewer, known.target_id, "measured"), second)
    before = [layer.face_color.copy() for layer in pair]
    press(qtbot, genes.linked)
    assert not all(np.array_equal(x.face_color, y) for x, y in zip(pair, before, strict=True))
    press(qtbot, genes.linked)
    for layer, colours in zip(pair, before, strict=True):
        np.testing.assert_allclose(layer.face_color, colours)
    count = len(viewer.layers)
    press(qtbot, genes.as_image)
    images = [
        ours(viewer, known.target_id, "measured"), ours(viewer, known.item_id, "predicted")
    ]  # fmt: skip
    assert all(isinstance(layer, Image) for layer in images)
    assert len(viewer.layers) == count
    # One slider moves both, until the colours are no longer the same.
    assert "Colours from" in genes.legend.text()
    low, high = (float(x) for x in images[0].contrast_limits)
    assert f"from {low:.2g} to {high:.2g} log units" in genes.legend.text()
    images[0].contrast_limits = (1.0, 2.0)
    assert tuple(images[1].contrast_limits) == (1.0, 2.0)
    press(qtbot, genes.linked)
    images[0].contrast_limits = (0.5, 1.5)
    assert tuple(images[1].contrast_limits) != (0.5, 1.5)
    press(qtbot, genes.spread)
    assert "spread of predicted" in ours(viewer, known.item_id, "predicted").name
    assert "spread" in genes.legend.text()
    press(qtbot, genes.as_image)
    assert isinstance(ours(viewer, known.item_id, "predicted"), Points)


def test_the_filter_and_the_file(dock, qtbot, tmp_path, monkeypatch):
    genes = dock.results.genes
    qtbot.keyClicks(genes.filter.search, "gene1")
    assert genes.genes.model().rowCount() == 11
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "genes.csv"), "")
    )  # fmt: skip
    click(qtbot, genes.export.table)
    qtbot.waitUntil(lambda: "Written" in dock.state.text(), timeout=20_000)
    lines = (tmp_path / "genes.csv").read_text().splitlines()
    assert lines[0].startswith("gene,pcc,spearman,rmse,ceiling,expected_pcc")
    assert len(lines) == 21


def test_values_that_are_not_finite(dock, known, viewer, qtbot):
    genes = dock.results.genes
    gene = str(known.genes[0])
    known.section.adata.X[:30, 0] = np.nan
    for image in (False, True):
        genes.as_image.setChecked(image)
        genes.show_gene(gene)
        qtbot.waitUntil(lambda: genes._maps.gene == gene and not genes.busy, timeout=20_000)
    assert dock.strip.isHidden(), dock.strip.text.text()
    genes.as_image.setChecked(False)
    layer = ours(viewer, known.item_id, "predicted")
    assert (layer.face_color[:30, 3] == 0).all()
    assert (layer.face_color[30:, 3] == 1).all()


def test_the_predicted_section_can_be_saved(dock, known, qtbot, tmp_path):
    import anndata

    legend = open_dock(dock.viewer, "Domains")
    assert dock.session.selected_id == known.item_id
    path = tmp_path / "predicted.h5ad"
    legend.save.export_to(str(path))
    qtbot.waitUntil(lambda: not legend.save.busy, timeout=20_000)
    found = anndata.read_h5ad(path)
    assert found.uns["stmask_prediction"]
    np.testing.assert_allclose(found.X, known.section.adata.X)
    # Opened again it is a prediction still: nothing is learnt from it.
    targets = dock.data.target.count()
    dock.session.add(read(path))
    assert dock.data.target.count() == targets
    assert dock.data.table.rowCount() == targets - 1


def test_where_a_spot_was_read_from(dock, known, viewer, qtbot, items):
    part = dock.results.attention
    dock.results.folds["attention"].expand(animate=False)
    item = dock.session.items[known.item_id]
    viewer.reset_view()
    QApplication.processEvents()
    click(qtbot, part.pick)
    assert "a · predicted" in part.pick.said.text()
    press_on_canvas(qtbot, viewer, canvas_place(viewer, item, 40))
    qtbot.waitUntil(lambda: part.looked is not None, timeout=20_000)
    assert part.looked.index == 40
    assert len(part.cells) == 3
    shown = [cell.spot for cell in part.cells]
    assert [s.weight for s in shown] == pytest.approx([0.5, 0.3, 0.2])
    rows = known.section.adata.obsm["spahgc_references"][40]
    table = known.prediction.references.iloc[rows]
    assert [s.spot for s in shown] == table["spot"].tolist()
    by_name = {i.label: i.section for i in items}
    gene = dock.results.genes.gene
    for spot, place in zip(shown, table[["x", "y"]].to_numpy(), strict=True):
        section = by_name[spot.section]
        np.testing.assert_allclose(section.coords[spot.row], place)
        total = section.counts()[spot.row].sum()
        count = section.counts()[spot.row, section.adata.var_names.get_loc(gene)]
        assert spot.value == pytest.approx(np.log1p(1e4 * count / total), rel=1e-5)
        # Dark on the left: the patch is of the right place.
        left = place[0] < by_name[spot.section].coords[:, 0].mean() - 30
        right = place[0] > by_name[spot.section].coords[:, 0].mean() + 30
        if left or right:
            assert (spot.patch[..., 1].mean() < 140) == left
    marks = [x for x in viewer.layers if our_meta(x).get("role") == "its references"]
    assert len(marks) == 1
    assert marks[0].nshapes == 3
    # Another gene brings its values.
    other = str(known.genes[5])
    dock.results.genes.show_gene(other)
    qtbot.waitUntil(lambda: part.looked.gene == other, timeout=20_000)
    # A spot unlike all references.
    part.look(143)
    qtbot.waitUntil(lambda: part.looked.index == 143, timeout=20_000)
    assert "No similar tissue" in part.facts.text()
    # A section that is closed.
    for layer in layers.layers_of(viewer, items[1].id):
        viewer.layers.remove(layer)
    index = next(
        i for i, r in enumerate(known.section.adata.obsm["spahgc_references"])
        if "b" in set(known.prediction.references["section"].iloc[r])
    )  # fmt: skip
    part.look(index)
    qtbot.waitUntil(lambda: part.looked.index == index, timeout=20_000)
    assert "Not open, so without patches: b" in part.facts.text()
    assert any(cell.picture.text() == "not open" for cell in part.cells)
    dock.results.folds["attention"].collapse(animate=False)
    assert not [x for x in viewer.layers if our_meta(x).get("role") == "its references"]
    assert not part.pick.isChecked()
    dock.results.folds["attention"].expand(animate=False)
    assert [x for x in viewer.layers if our_meta(x).get("role") == "clicked spot"]


def test_a_region_that_is_annotated(dock, known, viewer, qtbot):
    part = dock.results.region
    dock.results.folds["region"].expand(animate=False)
    assert part.column.currentText() == "half"
    assert not part.run.isEnabled()
    part.values.setCurrentRow(0)
    part.values.setFocus()
    qtbot.keyClick(part.values, Qt.Key.Key_Space)
    assert part.positive() == ["left"]
    click(qtbot, part.run)
    qtbot.waitUntil(lambda: part.inside is not None, timeout=20_000)
    truth = (known.prediction.target.adata.obs["half"] == "left").to_numpy()
    assert (part.inside == truth).mean() > 0.95
    assert "AUROC 1.00" in part.facts.text()
    layer = ours(viewer, known.item_id, "region")
    assert isinstance(layer, Points)
    assert layer.visible
    np.testing.assert_allclose(
        layer.features["value"], known.section.adata.obs["region_probability"]
    )


def test_groups_without_labels_can_be_named(dock, known, viewer, qtbot):
    part = dock.results.region
    click(qtbot, part.groups)
    qtbot.waitUntil(lambda: part.inside is not None, timeout=20_000)
    item = dock.session.items[known.item_id]
    layer = layers.find_layer(viewer, item.id, "domains", "regions")
    assert isinstance(layer, Labels)
    assert dock.session.selected_domains is item.domains["regions"]
    state = dock.session.selected_domains.state
    dock.session.edit(state.renamed(0, "tumour"))
    assert "tumour" in set(item.section.adata.obs["regions"])
    dock.session.undo()
    assert "group 1" in set(item.section.adata.obs["regions"])
    left = (known.prediction.target.adata.obs["half"] == "left").to_numpy()
    assert max((part.inside == left).mean(), (part.inside != left).mean()) > 0.95


def test_gene_sets(dock, known, qtbot, tmp_path, monkeypatch):
    part = dock.results.enrichment
    dock.results.folds["enrichment"].expand(animate=False)
    assert "Load gene sets" in part.run.toolTip()
    path = tmp_path / "sets.gmt"
    up = "\t".join(f"gene{i}" for i in range(15))
    down = "\t".join(f"gene{i}" for i in range(15, 20))
    path.write_text(f"LEFT\tx\t{up}\nRIGHT\tx\t{down}\n")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    click(qtbot, part.load)
    assert "Find a region first" in part.run.toolTip()
    region = dock.results.region
    region.values.item(0).setCheckState(Qt.CheckState.Checked)
    click(qtbot, region.run)
    qtbot.waitUntil(lambda: part.run.isEnabled(), timeout=20_000)
    click(qtbot, part.run)
    qtbot.waitUntil(lambda: not part.table.isHidden(), timeout=20_000)
    table = part.table.frames.frame
    assert table["set"].iloc[0] == "LEFT"
    assert table["overlap"].iloc[0] == 15
    assert table["p"].iloc[0] < 0.01
    assert "Background: the panel" in part.facts.text()
    part.genes.setCurrentIndex(1)
    part.most.setValue(5)
    click(qtbot, part.run)
    qtbot.waitUntil(lambda: not part.worker.busy, timeout=20_000)
    assert "5 of 20 genes" in part.facts.text()
    path.write_text("SMALL\tx\tgene1\tnone\n")
    click(qtbot, part.load)
    click(qtbot, part.run)
    qtbot.waitUntil(lambda: not dock.strip.isHidden(), timeout=20_000)
    assert "none of the 1 gene sets" in dock.strip.text.text()


def test_two_predictions_and_the_choice_between_them(dock, qtbot, items):
    results = dock.results
    first = results.known
    dock.session.select(items[1].id)
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: dock.session.runner.current is None, timeout=20_000)
    assert results.choice.count() == 2
    assert results.known is not first
    qtbot.waitUntil(lambda: not results.genes.busy, timeout=20_000)
    results.choice.setCurrentIndex(0)
    assert results.known is first
    qtbot.waitUntil(lambda: not results.genes.busy, timeout=20_000)
    assert results.genes.known is first


def test_the_target_goes_and_the_maps_stay(dock, known, viewer, qtbot, items):
    for layer in layers.layers_of(viewer, items[0].id):
        viewer.layers.remove(layer)
    genes = dock.results.genes
    gene = str(known.genes[3])
    genes.show_gene(gene)
    qtbot.waitUntil(lambda: genes._maps.gene == gene, timeout=20_000)
    assert dock.strip.isHidden(), dock.strip.text.text()
    assert gene in ours(viewer, known.item_id, "predicted").name
    assert ours(viewer, items[0].id, "measured") is None
