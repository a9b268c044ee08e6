"""The check of denoising on molecules that were held out, in the dock Analyse."""

from __future__ import annotations

import threading
import time

import numpy as np
import pandas as pd
import pytest
from qtpy.QtWidgets import QFileDialog
from tests.gui.helpers import click

from napari_stmask import scoring
from napari_stmask.core.progress import Progress
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.session import session_of
from napari_stmask.models import params_of

NAMES = ["spamask", "raw counts", "neighbour mean", "20 PCs of the neighbour mean"]
TABLE = pd.DataFrame(
    {
        "prediction": NAMES,
        "median": [0.10, 0.08, 0.09, 0.11],
        "mean": [0.13, 0.08, 0.09, 0.12],
        "top_median": [0.2, 0.1, np.nan, 0.2],
        "genes": [30] * 4,
    }
)


@pytest.fixture
def dock(viewer, section):
    session_of(viewer).add(section)
    found = open_dock(viewer, "Analyse")
    found.choose("Denoising check")
    return found


def texts(panel):
    model = panel.rows.model()
    return [
        [model.index(r, c).data() for c in range(model.columnCount())]
        for r in range(model.rowCount())
    ]


@pytest.fixture
def held(monkeypatch):
    """A check that waits for ``release``."""
    calls, release = [], threading.Event()

    def steps(method, section, params):
        calls.append((method, section, params))
        end = time.monotonic() + 30
        while time.monotonic() < end and not release.is_set():
            time.sleep(0.01)
            yield Progress(0, 4, "training")
        return TABLE

    monkeypatch.setattr(scoring, "denoising_steps", steps)
    return calls, release


def test_the_best_of_each_column_is_marked(dock, qtbot, held, section, monkeypatch, tmp_path):
    calls, release = held
    before = set(section.adata.obs), set(section.adata.layers)
    release.set()
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: not dock.busy, timeout=20_000)
    assert texts(dock.panel) == [
        ["SpaMask", "0.100", "\u2605 0.130", "\u2605 0.200"],
        ["raw counts", "0.080", "0.080", "0.100"],
        ["neighbour mean", "0.090", "0.090", "\u2013"],
        ["its 20 PCs", "\u2605 0.110", "0.120", "\u2605 0.200"],
    ]
    assert "predicts the rest no better than" in dock.panel.facts.text()
    method, seen, params = calls[0]
    assert method == "spamask"
    assert seen is not section
    assert params == dock.panel.params(section)
    assert (set(section.adata.obs), set(section.adata.layers)) == before
    asked = [str(tmp_path / "t.csv"), str(tmp_path / "f.png")]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (asked.pop(0), ""))
    for button in (dock.export.table, dock.export.figure):
        click(qtbot, button)
        qtbot.waitUntil(lambda: not dock.export.busy, timeout=20_000)
    assert pd.read_csv(tmp_path / "t.csv")["prediction"].tolist() == NAMES
    assert (tmp_path / "f.png").stat().st_size > 1000


def test_an_answer_stays_with_its_section(dock, qtbot, held, new_section):
    _, release = held
    session, first = dock.session, dock.session.selected_id
    click(qtbot, dock.run)
    other = session.add(new_section(seed=1, name="other"))
    assert dock.busy
    release.set()
    qtbot.waitUntil(lambda: not dock.busy, timeout=20_000)
    assert dock.panel.answer.isHidden()
    assert "Denoising check of 'tiny': finished" in dock.state.text()
    session.select(first)
    assert not dock.panel.answer.isHidden()
    session.select(other.id)
    assert dock.panel.answer.isHidden()


@pytest.mark.parametrize("way", ["cancel", "closed", "read again"])
def test_what_goes_meanwhile(dock, qtbot, held, new_section, way):
    calls, release = held
    item = dock.session.selected
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: bool(calls), timeout=20_000)
    if way == "cancel":
        click(qtbot, dock.cancel)
    elif way == "closed":
        dock.viewer.layers.clear()
    else:
        dock.session.replace(item.id, new_section(seed=4))
    assert not dock.busy
    release.set()
    qtbot.wait(200)
    assert dock.panel.answer.isHidden()
    if way != "cancel":
        assert f"was {way} while" in dock.strip.text.text()


def test_each_method_that_denoises_and_its_presets(dock, section):
    panel = dock.panel
    names = [panel.method.itemData(i) for i in range(panel.method.count())]
    assert names == ["spamask", "vimst", "mmsrl"]
    for row, name in enumerate(names):
        panel.method.setCurrentIndex(row)
        for preset in range(panel.preset.count()):
            panel.preset.setCurrentIndex(preset)
            assert isinstance(panel.params(section), params_of(name))
    assert panel.preset.itemData(0) == "recommended"


def test_a_real_check(dock, qtbot, small_run, monkeypatch):
    monkeypatch.setattr(dock.panel, "params", lambda _: small_run)
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: not dock.busy, timeout=120_000)
    assert dock.strip.isHidden(), dock.strip.text.text()
    assert [row[0] for row in texts(dock.panel)] == ["SpaMask", *NAMES[1:3], "its 20 PCs"]
    assert any(cell.startswith("\u2605") for row in texts(dock.panel) for cell in row[1:])
