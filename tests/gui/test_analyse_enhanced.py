"""Enhanced genes: maps raw and enhanced, the toggle on the tissue, the table of contrasts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from tests.gui.helpers import click, fill

from napari_stmask.analysis.enhancement import contrasts, gene_values
from napari_stmask.gui import layers
from napari_stmask.gui.analyse.spot_values import ROLE
from napari_stmask.gui.commands import open_dock


def enhance(section, key="spamask"):
    """All genes but the last two become the mean of the half."""
    adata = section.adata
    counts = adata.X.toarray()
    halves = adata.obs["half"].to_numpy()
    layer = np.zeros_like(counts)
    for half in np.unique(halves):
        layer[halves == half] = np.log1p(counts[halves == half].mean(axis=0))
    layer[:, -2:] = 0
    adata.layers[f"{key}_denoised"] = sp.csr_matrix(layer)
    adata.var[f"{key}_denoised"] = np.arange(counts.shape[1]) < counts.shape[1] - 2


@pytest.fixture
def dock(viewer, section, make_result):
    item = fill(viewer, section, make_result(section))
    enhance(item.section)
    dock = open_dock(viewer, "Analyse")
    dock.choose("Enhanced genes")
    return dock


def shown(dock):
    return layers.find_layer(dock.viewer, dock.session.selected_id, ROLE, "spamask_enhanced")


def type_gene(qtbot, dock, text):
    panel = dock.panel
    panel.gene.clear()
    qtbot.keyClicks(panel.gene, text)
    qtbot.keyClick(panel.gene, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: not panel._reader.busy, timeout=20_000)


def test_a_gene_raw_and_enhanced(dock, qtbot):
    panel, item = dock.panel, dock.session.selected
    assert panel.maps.isHidden()
    type_gene(qtbot, dock, "GENE3")  # any case
    assert panel.gene.value() == "gene3"
    assert not panel.maps.isHidden()
    assert "gene3" in panel.legend.text()
    raster, section = item.raster, item.section
    inside = raster.index >= 0
    count = len(dock.viewer.layers)
    for kind, layer in (("enhanced", "spamask_denoised"), ("raw", None)):
        click(qtbot, panel.buttons[kind])
        values = gene_values(section, "gene3", layer)
        np.testing.assert_allclose(shown(dock).data[inside], values[raster.index[inside]])
        assert shown(dock).contrast_limits == pytest.approx([0, np.percentile(values, 99)])
        assert shown(dock).colormap.name == "viridis"
        assert f"gene3 ({kind})" in shown(dock).name
        assert shown(dock).visible
    assert len(dock.viewer.layers) == count  # one layer that is toggled
    click(qtbot, panel.buttons["enhanced"])
    type_gene(qtbot, dock, "gene20")
    assert "gene20 (enhanced)" in shown(dock).name
    assert len(dock.viewer.layers) == count


def test_two_maps_differ(dock, qtbot):
    panel = dock.panel
    type_gene(qtbot, dock, "gene3")
    left, right = (box.addedItems[0].image for box in (panel.maps.box, panel.maps.other))
    assert left.shape == right.shape
    solid = right[..., 3] > 0
    np.testing.assert_array_equal(left[..., 3] > 0, solid)
    # Enhanced: one colour a half. Raw: noisy.
    assert len(np.unique(right[solid], axis=0)) == 2
    assert len(np.unique(left[solid], axis=0)) > 5


def test_genes_that_were_not_enhanced(dock, qtbot):
    panel = dock.panel
    for gene, said in (("gene39", "'gene39' was not enhanced"), ("nothing", "no gene 'nothing'")):
        type_gene(qtbot, dock, gene)
        assert said in dock.strip.text.text()
        assert panel.maps.isHidden()
    type_gene(qtbot, dock, "gene3")
    assert dock.strip.isHidden()


def test_the_table_of_contrasts(dock, qtbot):
    panel, item = dock.panel, dock.session.selected
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    assert dock.strip.isHidden(), dock.strip.text.text()
    expected = contrasts(item.section, item.section.adata.obs["spamask"], key="spamask")
    frame = panel.genes.frames.frame
    assert len(frame) == 3 * 38
    np.testing.assert_allclose(frame["enhanced"], expected["enhanced"])
    # One domain is shown first, its clearest gene in the counts on top.
    assert panel.genes.model().rowCount() == 38
    assert panel.genes.model().index(0, 1).data() == expected["gene"].iloc[0]
    index = panel.genes.model().index(2, 1)
    place = panel.genes.visualRect(index).center()
    qtbot.mouseClick(panel.genes.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.waitUntil(lambda: shown(dock) is not None, timeout=20_000)
    assert panel.gene.text() == expected["gene"].iloc[2]
    qtbot.keyClicks(panel.filter.search, "gene17")
    assert panel.genes.model().rowCount() == 1


def test_maps_leave_with_their_result(dock, qtbot, make_result, new_section):
    from tests.gui.helpers import add_result

    panel, session = dock.panel, dock.session
    type_gene(qtbot, dock, "gene3")
    add_result(session, session.selected, make_result(session.selected.section, key="other"))
    QApplication.processEvents()
    assert panel.maps.isHidden()
    assert "has no enhanced genes" in dock.why.text()
    assert not panel.gene.isEnabled()
    dock.choices.setCurrentIndex(dock.choices.findData("spamask"))
    dock.choices.activated.emit(dock.choices.currentIndex())
    assert panel.gene.isEnabled()
    assert dock.run.isEnabled()


def test_a_gene_that_is_read_late_covers_nothing(dock, qtbot, monkeypatch):
    import threading

    from napari_stmask.gui.analyse import enhanced_panel as module

    release, real = threading.Event(), module._both
    monkeypatch.setattr(module, "_both", lambda *a: release.wait(20) and real(*a))
    dock.panel.gene.chosen.emit("gene3")
    dock.choose("Heterogeneity")
    release.set()
    qtbot.wait(300)
    assert shown(dock) is None


def test_export(dock, qtbot, tmp_path):
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    for kind, name in (("table", "a.csv"), ("figure", "a.pdf")):
        dock.export.export(kind, str(tmp_path / name))
        qtbot.waitUntil(lambda: not dock.export.busy, timeout=20_000)
        assert dock.strip.isHidden(), dock.strip.text.text()
        assert (tmp_path / name).stat().st_size > 500
