"""The attention explorer: clicks on the tissue, the layer, the sums, and what has no attention."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from tests.gui.helpers import canvas_place, click, fill, press_on_canvas

from napari_stmask.analysis.attention import attention_of
from napari_stmask.gui import layers
from napari_stmask.gui.analyse.spot_values import ROLE
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.layer_tuples import our_meta


@pytest.fixture
def dock(viewer, section, make_result):
    """A result whose spots attend to those of their own half."""
    item = fill(viewer, section, make_result(section))
    left = (section.adata.obs["half"] == "left").to_numpy()
    rng = np.random.default_rng(0)
    own = np.where(left[:, None], [1.5, 0.0], [0.0, 1.5]) + rng.normal(0, 0.05, (len(left), 2))
    item.section.adata.obsm["spamask_attention"] = own.astype(np.float32)
    item.section.adata.obsm["spamask_attention_image"] = np.ones((len(left), 3), np.float32)
    dock = open_dock(viewer, "Analyse")
    viewer.window._qt_window.show()
    viewer.reset_view()
    QApplication.processEvents()
    dock.choose("Attention")
    return dock


def press(qtbot, dock, spot):
    """Click a spot on the canvas."""
    place = canvas_place(dock.viewer, dock.session.selected, spot)
    press_on_canvas(qtbot, dock.viewer, place)


def shown(dock):
    session = dock.session
    return layers.find_layer(dock.viewer, session.selected_id, ROLE, "spamask_attention")


def marks(dock):
    role = "looks from here"
    return [x for x in dock.viewer.layers if our_meta(x).get("role") == role]


def domain_layer(dock):
    return layers.find_layer(dock.viewer, dock.session.selected_id, "domains")


def test_every_click_shows_where_that_spot_looks(dock, qtbot):
    panel, item = dock.panel, dock.session.selected
    assert dock.run.isHidden()
    assert domain_layer(dock).visible
    click(qtbot, panel.pick)
    assert not domain_layer(dock).visible  # the colours would mix
    for spot in (40, 55):
        press(qtbot, dock, spot)
        assert panel.picker.active
        assert f"From spot spot{spot}" in panel.facts.text()
        (mark,) = marks(dock)
        middle = np.asarray(mark.data[0]).mean(axis=0)
        unit = item.section.um_per_px or 1.0
        assert middle == pytest.approx(item.section.coords[spot][::-1] * unit + item.offset)
        weights = attention_of(item.section.adata.obsm["spamask_attention"], spot)
        expected = np.log2(weights * len(weights))
        layer, raster = shown(dock), item.raster
        inside = raster.index >= 0
        drawn, wanted = layer.data[inside], expected[raster.index[inside]]
        np.testing.assert_array_equal(np.isnan(drawn), wanted <= 0)
        np.testing.assert_allclose(drawn[wanted > 0], wanted[wanted > 0], rtol=1e-4)
        assert layer.contrast_limits[0] == 0
        assert layer.contrast_limits[1] >= 1
    entropy = -(weights * np.log(weights)).sum()
    assert f"as over {np.exp(entropy):,.0f} of 144 spots" in panel.facts.text()
    table = panel.rows.frames.frame
    assert table["weight"].sum() == pytest.approx(1)
    assert "weight: " in panel.bars.accessibleDescription()
    # Nothing is written for looking around.
    assert not [c for c in item.section.adata.obs if "attention" in c]
    # With the panel the mark goes and the domains come back.
    dock.choose("Heterogeneity")
    assert not marks(dock)
    assert not panel.picker.active
    assert domain_layer(dock).visible
    dock.choose("Attention")
    assert len(marks(dock)) == 1
    assert not panel.answer.isHidden()


def test_beside_the_tissue_and_escape(dock, qtbot):
    panel = dock.panel
    click(qtbot, panel.pick)
    press(qtbot, dock, 40)
    press_on_canvas(qtbot, dock.viewer, (3, 3))
    assert "No spot" in panel.said.text()
    assert "spot40" in panel.facts.text()
    native = dock.viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(native, Qt.Key.Key_Escape)
    assert not panel.picker.active
    assert not panel.pick.isChecked()
    press(qtbot, dock, 55)
    assert "spot40" in panel.facts.text()


def test_the_image_has_an_attention_of_its_own(dock, qtbot):
    panel = dock.panel
    assert panel.part.isEnabled()
    click(qtbot, panel.pick)
    press(qtbot, dock, 40)
    assert "by expression" in panel.facts.text()
    panel.part.setCurrentText("Image")
    assert "by image" in panel.facts.text()
    assert "as over 144 of 144 spots" in panel.facts.text()
    # Weights that are all alike must not show their last decimals.
    assert shown(dock).contrast_limits == [0, 1]
    del dock.session.selected.section.adata.obsm["spamask_attention_image"]
    dock._on_session()
    assert not panel.part.isEnabled()
    assert panel.part.currentText() == "Expression"


def test_without_an_image_the_domains_stay(viewer, qtbot, section, make_result):
    section.image = None
    item = fill(viewer, section, make_result(section))
    item.section.adata.obsm["spamask_attention"] = np.eye(144, 4, dtype=np.float32)
    dock = open_dock(viewer, "Analyse")
    panel = dock.choose("Attention")
    click(qtbot, panel.pick)
    assert domain_layer(dock).visible
    panel.picker._on_click(*item.section.coords[1][::-1] * (section.um_per_px or 1.0))
    assert np.isfinite(shown(dock).data[item.raster.index >= 0]).all()


def test_edited_domains_are_summed_anew(dock, qtbot):
    panel, session = dock.panel, dock.session
    click(qtbot, panel.pick)
    press(qtbot, dock, 40)
    assert panel.rows.model().rowCount() == 3
    domains = session.selected_domains
    session.edit(domains.state.merged([0, 1]))
    QApplication.processEvents()
    assert panel.rows.model().rowCount() == 2
    assert dock.stale.isHidden()
    assert panel.rows.frames.frame["weight"].sum() == pytest.approx(1)


def test_another_section_ends_the_clicking(dock, qtbot, new_section):
    panel = dock.panel
    click(qtbot, panel.pick)
    press(qtbot, dock, 40)
    dock.session.add(new_section(seed=1, name="other"))
    assert not panel.picker.active
    assert not panel.pick.isEnabled()
    assert not marks(dock)
    assert panel.answer.isHidden()


def test_a_new_run_takes_the_layer_away_and_ends_the_clicking(dock, qtbot, make_result):
    panel, session = dock.panel, dock.session
    click(qtbot, panel.pick)
    press(qtbot, dock, 40)
    session.add_result(session.selected_id, make_result(session.selected.section, k=2), "SpaMask")
    QApplication.processEvents()
    assert shown(dock) is None
    assert not marks(dock)
    assert not panel.picker.active
    assert not panel.pick.isChecked()
    assert panel.answer.isHidden()
    assert domain_layer(dock).visible
    assert session.selected is not None


def test_attention_and_domains_are_never_over_each_other(dock, qtbot):
    panel = dock.panel
    click(qtbot, panel.pick)
    press(qtbot, dock, 40)
    dock.choose("Heterogeneity")
    assert domain_layer(dock).visible
    assert not shown(dock).visible
    # It comes back with the panel, and so does the layer that the user deletes.
    dock.choose("Attention")
    assert shown(dock).visible
    assert not domain_layer(dock).visible
    dock.viewer.layers.remove(shown(dock))
    domain_layer(dock).visible = True
    click(qtbot, panel.show_layer)
    assert shown(dock).visible
    assert not domain_layer(dock).visible


def test_a_spot_without_attention_is_one_sentence(dock, qtbot):
    panel = dock.panel
    dock.session.selected.section.adata.obsm["spamask_attention"][40] = np.nan
    click(qtbot, panel.pick)
    press(qtbot, dock, 40)
    assert "spot 40 has no attention" in dock.strip.text.text()
    press(qtbot, dock, 55)
    assert dock.strip.isHidden()
    assert "spot55" in panel.facts.text()


@pytest.mark.parametrize("why", ["method", "off"])
def test_results_without_attention(viewer, section, make_result, why):
    fill(viewer, section, make_result(section))
    if why == "off":
        record = json.dumps({"params": {"attention": "none"}})
        section.adata.uns["stmask"] = {"spamask": record}
    dock = open_dock(viewer, "Analyse")
    panel = dock.choose("Attention")
    said = {"method": "only MMSRL", "off": "attention = none"}[why]
    assert said in dock.why.text()
    assert not dock.why.isHidden()
    assert not panel.pick.isEnabled()
    assert panel.answer.isHidden()


def test_export(dock, qtbot, tmp_path):
    import pandas as pd

    panel = dock.panel
    click(qtbot, panel.pick)
    press(qtbot, dock, 40)
    for kind, name in (("table", "a.csv"), ("figure", "a.png")):
        dock.export.export(kind, str(tmp_path / name))
        qtbot.waitUntil(lambda: not dock.export.busy, timeout=20_000)
        assert dock.strip.isHidden(), dock.strip.text.text()
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(table) == ["spot", "domain", "weight", "log2_relative"]
    assert table["weight"].sum() == pytest.approx(1)
    assert (tmp_path / "a.png").stat().st_size > 1000
