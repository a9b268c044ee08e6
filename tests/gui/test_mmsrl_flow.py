"""MMSRL from the dock to the analyses of what only it writes, with a real run."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from tests.gui.helpers import click

from napari_stmask.gui import layers
from napari_stmask.gui.analyse.spot_values import ROLE
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.session import session_of

QUICK = {
    "n_domains": 2,
    "epochs": 6,
    "replicates": 1,
    "denoise": True,
    "use_image": "yes",
    "decoder_epochs": 2,
    "n_pcs_in": 5,
    "n_pcs_out": 4,
    "n_pcs_image": 3,
    "hidden": 16,
    "latent": 8,
    "threads": 1,
    "device": "cpu",
}


def test_a_run_its_views_and_its_analyses(viewer, qtbot, section):
    session = session_of(viewer)
    session.add(section)
    find = open_dock(viewer, "Find domains")
    find.methods.setCurrentIndex(find.methods.findText("MMSRL"))
    find.methods.activated.emit(find.methods.currentIndex())
    assert "alike spots inform each other" in find.about.about.text()
    find.form.set_values(QUICK)
    qtbot.waitUntil(lambda: find.cost.text().startswith("Estimate"), timeout=60_000)
    find.start()
    qtbot.waitUntil(lambda: session.runner.current is None, timeout=120_000)
    assert find.card.job.failure is None, find.card.job.failure.details
    domains = session.selected_domains
    assert domains.title.startswith("MMSRL k")
    assert domains.record["params"]["attention"] == "auto"

    legend = open_dock(viewer, "Domains")
    for view in ("gene", "image", ""):
        assert not legend.views.buttons[view].isHidden()
        click(qtbot, legend.views.buttons[view])
        assert domains.view == view

    dock = open_dock(viewer, "Analyse")
    panel = dock.choose("Attention")
    item = session.selected
    click(qtbot, panel.pick)
    panel.picker._on_click(*item.section.coords[40][::-1] * (section.um_per_px or 1.0))
    assert "spot40" in panel.facts.text()
    assert [panel.part.itemText(i) for i in range(panel.part.count())] == ["Expression", "Image"]
    layer = layers.find_layer(viewer, item.id, ROLE, "mmsrl_attention")
    assert np.nanmax(layer.data) > 0

    panel = dock.choose("Enhanced genes")
    qtbot.keyClicks(panel.gene, "gene3")
    qtbot.keyClick(panel.gene, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: not panel.maps.isHidden(), timeout=20_000)
    assert "log1p of 10,000" in panel.legend.text()
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    assert dock.strip.isHidden(), dock.strip.text.text()
    assert panel.genes.model().rowCount() > 0

    panel = dock.choose("Trajectory")
    panel.root.setCurrentText("Where a gene is highest")
    qtbot.keyClicks(panel.gene, "gene3")
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    assert dock.strip.isHidden(), dock.strip.text.text()
    assert (section.adata.obs["mmsrl_pseudotime"] == 0).any()
