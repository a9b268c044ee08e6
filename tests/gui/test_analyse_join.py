"""Sections joined in the window, and results written back."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog
from tests.gui.helpers import click

from napari_stmask.core.provenance import records
from napari_stmask.gui import layers
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.layer_tuples import our_meta
from napari_stmask.gui.session import session_of


@pytest.fixture
def dock(viewer, section, new_section):
    session = session_of(viewer)
    session.add(section)
    session.add(new_section(n=10, seed=1, name="other"))
    found = open_dock(viewer, "Analyse")
    found.choose("Join sections")
    return found


def tick(qtbot, dock):
    """Every section, with the keyboard."""
    rows = dock.panel.list
    for row in range(rows.count()):
        rows.setCurrentRow(row)
        qtbot.keyClick(rows, Qt.Key.Key_Space)
    QApplication.processEvents()


def join(qtbot, dock):
    tick(qtbot, dock)
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: not dock.busy, timeout=20_000)
    assert dock.strip.isHidden(), dock.strip.text.text()
    return dock.session.selected


def test_join_run_and_write_back(dock, qtbot, section, make_result, tmp_path, monkeypatch):
    session = dock.session
    first, second = session.items.values()
    assert not dock.run.isEnabled()
    assert not dock.panel.split.isEnabled()
    joined = join(qtbot, dock)
    assert joined.section.name == "joined"
    assert joined.section.n_spots == 144 + 100
    assert layers.find_layer(dock.viewer, joined.id, "spots") is not None
    assert dock.panel.list.count() == 2
    assert "no result yet" in dock.panel.split.toolTip()
    assert not dock.panel.answer.isHidden()
    result = make_result(joined.section)
    session.add_result(joined.id, result, "SpaMask")
    click(qtbot, dock.panel.split)
    assert "Written back to tiny, other" in dock.state.text()
    assert session.selected_id == joined.id
    for item, rows in ((first, slice(0, 144)), (second, slice(144, None))):
        adata = item.section.adata
        assert "spamask" in records(adata)
        assert "spamask" in item.domains
        codes = joined.section.adata.obs["spamask"].iloc[rows].to_numpy()
        assert (adata.obs["spamask"].to_numpy() == codes).all()
        assert layers.find_layer(dock.viewer, item.id, "domains", "spamask") is not None
    asked = [str(tmp_path / "t.csv"), str(tmp_path / "f.png")]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (asked.pop(0), ""))
    for button in (dock.export.table, dock.export.figure):
        click(qtbot, button)
        qtbot.waitUntil(lambda: not dock.export.busy, timeout=20_000)
    assert (tmp_path / "t.csv").read_text().splitlines()[0] == "section,spots,genes"
    assert (tmp_path / "f.png").stat().st_size > 1000


def test_the_gap_of_a_row(dock, qtbot):
    dock.panel.gap.setValue(500)
    joined = join(qtbot, dock)
    of = (joined.section.adata.obs["section"] == "other").to_numpy()
    x = joined.section.coords[:, 0]
    assert x[of].min() - x[~of].max() == pytest.approx(500)


def test_as_they_are_says_that_sections_overlap(dock, qtbot):
    dock.panel.placement.setCurrentIndex(1)
    assert dock.panel.gap.isHidden()
    join(qtbot, dock)
    assert "lie on spots of" in dock.panel.facts.text()


def test_a_closed_parent_cannot_be_written_to(dock, qtbot, make_result):
    joined = join(qtbot, dock)
    dock.session.add_result(joined.id, make_result(joined.section), "SpaMask")
    parent = next(iter(dock.session.items.values()))
    for layer in list(dock.viewer.layers):
        if our_meta(layer).get("section_id") == parent.id:
            dock.viewer.layers.remove(layer)
    assert parent.id not in dock.session.items
    assert not dock.panel.split.isEnabled()
    assert "was closed after it was joined" in dock.panel.split.toolTip()


def test_sections_without_a_common_gene(dock, qtbot):
    session = dock.session
    _, second = session.items.values()
    second.section.adata.var_names = [f"other{i}" for i in range(40)]
    tick(qtbot, dock)
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: not dock.busy, timeout=20_000)
    assert "no gene in common" in dock.strip.text.text()
    assert len(session.items) == 2


def test_a_name_that_is_taken_by_something_else(dock, qtbot, make_result):
    joined = join(qtbot, dock)
    dock.session.add_result(joined.id, make_result(joined.section), "SpaMask")
    first, second = list(dock.session.items.values())[:2]
    first.section.adata.obs["spamask"] = np.arange(144)
    click(qtbot, dock.panel.split)
    assert "holds something that no run wrote" in dock.strip.text.text()
    assert "spamask" not in second.section.adata.obs


def slow_join(monkeypatch):
    """A join that waits."""
    from napari_stmask.core.progress import Progress
    from napari_stmask.gui.analyse import join_panel

    began, release, real = threading.Event(), threading.Event(), join_panel._join

    def steps(*args, **options):
        began.set()
        end = time.monotonic() + 30
        while time.monotonic() < end and not release.is_set():
            time.sleep(0.01)
            yield Progress(0, 2, "joining")
        return (yield from real(*args, **options))

    monkeypatch.setattr(join_panel, "_join", steps)
    return began, release


@pytest.mark.parametrize("way", ["closed", "read again"])
def test_a_section_goes_while_it_is_joined(dock, qtbot, monkeypatch, new_section, way):
    began, release = slow_join(monkeypatch)
    session = dock.session
    tick(qtbot, dock)
    click(qtbot, dock.run)
    qtbot.waitUntil(began.is_set, timeout=5_000)
    parent = next(iter(session.items.values()))
    if way == "closed":
        for layer in list(dock.viewer.layers):
            if our_meta(layer).get("section_id") == parent.id:
                dock.viewer.layers.remove(layer)
    else:
        session.replace(parent.id, new_section(n=6, seed=5))
    assert not dock.busy
    assert f"was {way} while the analysis ran" in dock.strip.text.text()
    release.set()
    qtbot.wait(200)
    assert "joined" not in {item.label for item in session.items.values()}


def test_nothing_is_written_to_another_reading(dock, qtbot, make_result, new_section):
    session = dock.session
    joined = join(qtbot, dock)
    session.add_result(joined.id, make_result(joined.section), "SpaMask")
    parent = next(iter(session.items.values()))
    session.replace(parent.id, new_section(seed=7))
    session.select(joined.id)
    assert not dock.panel.split.isEnabled()
    assert "was read again after it was joined" in dock.panel.split.toolTip()


def test_edits_of_the_joined_result_are_written_back_too(dock, qtbot, make_result):
    session = dock.session
    first = next(iter(session.items.values()))
    joined = join(qtbot, dock)
    session.add_result(joined.id, make_result(joined.section), "SpaMask")
    click(qtbot, dock.panel.split)
    session.edit(session.selected_domains.state.renamed(0, "White matter"))
    click(qtbot, dock.panel.split)
    assert "White matter" in first.section.adata.obs["spamask"].cat.categories
    assert "White matter" in first.domains["spamask"].state.names
