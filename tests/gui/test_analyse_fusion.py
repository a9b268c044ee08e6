"""Shares of expression and image over the tissue, by domain, exported; results without them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.gui.helpers import click, fill

from napari_stmask.gui import layers
from napari_stmask.gui.analyse.spot_values import ROLE
from napari_stmask.gui.commands import open_dock


@pytest.fixture
def dock(viewer, section, make_result):
    """A result that took the image on the left only."""
    item = fill(viewer, section, make_result(section))
    left = (section.adata.obs["half"] == "left").to_numpy()
    image = np.where(left, 0.7, 0.1)
    weights = np.column_stack([0.9 - image, image, np.full(len(image), 0.1)])
    item.section.adata.obsm["spamask_fusion_weights"] = weights.astype(np.float32)
    dock = open_dock(viewer, "Analyse")
    dock.choose("Expression and image")
    return dock


def ask(qtbot, dock):
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: not dock.busy, timeout=20_000)
    assert dock.strip.isHidden(), dock.strip.text.text()


def shown(dock):
    return layers.find_layer(dock.viewer, dock.session.selected_id, ROLE, "spamask_share")


def test_shares_on_the_tissue_and_by_domain(dock, qtbot):
    ask(qtbot, dock)
    panel, item = dock.panel, dock.session.selected
    raster = item.raster.index
    wanted = item.section.adata.obsm["spamask_fusion_weights"]
    np.testing.assert_allclose(shown(dock).data[raster >= 0], wanted[raster[raster >= 0], 1])
    assert shown(dock).contrast_limits == pytest.approx([0.1, 0.7])
    assert "share of the image from 10% to 70%" in panel.legend.text()
    table = panel.rows.frames.frame
    assert table["image"].tolist() == pytest.approx([0.7, 0.4, 0.1], abs=0.02)
    assert "1: median 70.00" in panel.violins.accessibleDescription()
    panel.part.setCurrentText("Interaction")
    np.testing.assert_allclose(shown(dock).data[raster >= 0], 0.1)
    # Shares that are all alike must not look different.
    assert shown(dock).contrast_limits == pytest.approx([0.05, 0.15])
    low, high = panel.violins.box.viewRange()[1]
    assert high - low >= 10
    dock.viewer.layers.remove(shown(dock))
    click(qtbot, panel.show_layer)
    assert shown(dock).visible


def test_export(dock, qtbot, tmp_path):
    ask(qtbot, dock)
    for kind, name in (("table", "a.csv"), ("figure", "a.png")):
        dock.export.export(kind, str(tmp_path / name))
        qtbot.waitUntil(lambda: not dock.export.busy, timeout=20_000)
        assert dock.strip.isHidden(), dock.strip.text.text()
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(table) == ["spot", "domain", "expression", "image", "interaction"]
    assert table["image"].notna().all()
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_results_without_shares(viewer, section, make_result):
    fill(viewer, section, make_result(section))
    dock = open_dock(viewer, "Analyse")
    dock.choose("Expression and image")
    assert "has no shares" in dock.why.text()
    assert not dock.run.isEnabled()
