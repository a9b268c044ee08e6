"""Everything at once: analyses, edits, sections and layers that come and go while work goes on."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication
from tests.gui.helpers import add_result

from napari_stmask.gui.analyse.dock import PANELS
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.layer_tuples import our_meta
from napari_stmask.gui.session import session_of

ODD = ["<b>bold</b>", "a/b\\c: d*?", "\u00e9\U0001f9e0", "1", "01", " nan ", "None", "x" * 80]


def enriched(section):
    """With the attention and the enhanced genes that some methods write."""
    adata, rng = section.adata, np.random.default_rng(0)
    adata.obsm["spamask_attention"] = rng.normal(size=(section.n_spots, 3)).astype(np.float32)
    adata.layers["spamask_denoised"] = adata.X.copy()
    return section


@pytest.mark.parametrize("k", [1, 2, 20])
def test_odd_names_and_numbers_of_domains(viewer, qtbot, section, make_result, caplog, k):
    session = session_of(viewer)
    section.image = None
    item = session.add(enriched(section))
    add_result(session, item, make_result(item.section, k=k))
    for row, name in enumerate(ODD[:k]):
        session.edit(session.selected_domains.state.renamed(row, name + " "))
    dock = open_dock(viewer, "Analyse")
    for title in PANELS:
        if title == "Denoising check":
            continue
        dock.choose(title)
        if title == "Attention":
            dock.panel.pick.click()
            dock.panel.pick.picked.emit(3)
            assert not dock.panel.answer.isHidden()
        elif dock.run.isEnabled():
            dock.run.click()
            qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
            assert "Something went wrong" not in dock.strip.text.text(), title
            assert not dock.panel.answer.isHidden() or not dock.strip.isHidden(), title
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_fast_hands(viewer, qtbot, section, new_section, make_result, caplog, seed):
    rng = np.random.default_rng(seed)
    session = session_of(viewer)
    dock, legend = open_dock(viewer, "Analyse"), open_dock(viewer, "Domains")
    for i in range(2):
        item = session.add(enriched(new_section(seed=i, name=f"s{i}")))
        add_result(session, item, make_result(item.section, shift=i))
    titles = [title for title in PANELS if title != "Denoising check"]

    def some(values):
        values = list(values)
        return values[rng.integers(len(values))] if values else None

    def select():
        if session.items:
            session.select(some(session.items))

    def edit():
        domains = session.selected_domains
        if domains is not None and len(domains.state.names) > 1:
            session.edit(domains.state.merged([0, 1]))

    def again():
        item = session.selected
        if item is not None:
            add_result(session, item, make_result(item.section, k=int(rng.integers(1, 5))))

    def remove():
        if len(viewer.layers):
            viewer.layers.remove(some(viewer.layers))

    def close():
        item = session.selected
        for layer in list(viewer.layers) if item is not None and len(session.items) > 1 else []:
            if our_meta(layer).get("section_id") == item.id:
                viewer.layers.remove(layer)

    def add():
        if len(session.items) < 3:
            late = new_section(n=8, seed=int(rng.integers(9)), name="late")
            item = session.add(enriched(late))
            add_result(session, item, make_result(item.section))

    def replace():
        if session.selected is not None:
            session.replace(session.selected.id, new_section(n=7, seed=int(rng.integers(9))))

    def tick():
        if dock.analyses.currentText() == "Join sections":
            for row in range(dock.panel.list.count()):
                dock.panel.list.item(row).setCheckState(
                    dock.panel.list.item(row).checkState().__class__.Checked
                )

    def gene():
        dock.show_gene("gene3")

    def pick():
        panel = dock.choose("Trajectory")
        if session.selected is not None:
            panel.picker.start(session.selected)
            panel.picker._on_click(20.0, 20.0)

    def look():
        panel = dock.choose("Attention")
        if panel.pick.isEnabled():
            panel.pick.click()
            panel.picker._on_click(20.0, 20.0)

    def enhance():
        dock.choose("Enhanced genes").gene.chosen.emit("gene5")

    moves = (look, enhance, select, edit, again, remove, close, add, replace, tick, gene, pick)
    moves += (session.undo, session.redo, dock.cancel.click, legend._on_result)
    for _ in range(50):
        dock.choose(some(titles))
        dock.start()
        some(moves)()
        if rng.random() < 0.5:
            QApplication.processEvents()
        else:
            qtbot.wait(int(rng.integers(1, 15)))
        assert "Something went wrong" not in dock.strip.text.text()
    dock.cancel.click()
    qtbot.waitUntil(lambda: not dock.busy, timeout=20_000)
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR], caplog.text
    for item in session.items.values():
        for domains in item.domains.values():
            column = item.section.adata.obs[domains.column]
            assert (column.cat.codes.to_numpy() == domains.state.codes).all()
