"""What the dock Analyse promises whatever the analysis: reasons, cancel, closing, keeping."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QTableView
from tests.gui.helpers import click, fill

from napari_stmask.core.errors import DataError
from napari_stmask.core.progress import Progress
from napari_stmask.gui import layers
from napari_stmask.gui.analyse import heterogeneity_panel
from napari_stmask.gui.analyse.dock import PANELS
from napari_stmask.gui.analyse.spot_values import ROLE
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.session import session_of


@pytest.fixture
def dock(viewer, section, make_result):
    fill(viewer, section, make_result(section))
    return open_dock(viewer, "Analyse")


def run(qtbot, dock):
    click(qtbot, dock.run)
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)


class Slow:
    """An analysis that only a cancel ends soon; knows whether it was closed."""

    def __init__(self, monkeypatch, answer=None):
        self.began, self.closed = threading.Event(), threading.Event()
        self.release = threading.Event()
        self._real = heterogeneity_panel.heterogeneity_steps
        monkeypatch.setattr(heterogeneity_panel, "heterogeneity_steps", self._steps)

    def _steps(self, *args, **options):
        self.began.set()
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end and not self.release.is_set():
                time.sleep(0.01)
                yield Progress(1, 4, "shuffling")
            return (yield from self._real(*args, **options))
        finally:
            self.closed.set()


@pytest.fixture
def slow(dock, qtbot, monkeypatch):
    """The dock with an analysis that goes on."""
    found = Slow(monkeypatch)
    dock.choose("Heterogeneity")
    click(qtbot, dock.run)
    qtbot.waitUntil(found.began.is_set, timeout=10_000)
    return found


def test_reasons_when_nothing_can_run(viewer, section):
    dock = open_dock(viewer, "Analyse")
    for title in PANELS:
        dock.choose(title)
        assert not dock.run.isEnabled()
        assert "No section is open" in dock.why.text()
        assert dock.run.toolTip() in dock.why.text()
    session_of(viewer).add(section)
    for title in PANELS:
        if title in ("Join sections", "Denoising check"):
            continue
        dock.choose(title)
        assert "no domains yet" in dock.why.text()
    dock.choose("Join sections")
    assert "Tick two" in dock.why.text()
    dock.choose("Denoising check")
    assert dock.run.isEnabled()


def test_a_result_without_an_embedding(dock, qtbot):
    adata = dock.session.selected.section.adata
    del adata.obsm["X_spamask"]
    for title in PANELS:
        dock.choose(title)
        needs = title in ("Trajectory", "Quality without labels")
        assert ("no embedding" in dock.why.text()) == needs, title
    dock.choose("Marker genes")
    run(qtbot, dock)
    assert not dock.panel.answer.isHidden()


def test_a_single_domain(viewer, qtbot, section, make_result):
    fill(viewer, section, make_result(section, k=1))
    dock = open_dock(viewer, "Analyse")
    for title in ("Marker genes", "Domain SVGs and meta-genes", "Trajectory"):
        dock.choose(title)
        assert "single domain" in dock.why.text()
        assert not dock.run.isEnabled()
    dock.choose("Heterogeneity")
    run(qtbot, dock)
    assert np.nanmax(section.adata.obs["spamask_entropy"]) == 0
    panel = dock.choose("Quality without labels")
    run(qtbot, dock)
    assert "cannot be compared" in panel.notes.text()
    assert panel.rows.model().index(0, 1).data() == "\u2013"
    panel = dock.choose("EMT and other signatures")
    panel.up.text.setPlainText("gene0 gene1 gene2")
    panel.down.text.clear()
    run(qtbot, dock)
    assert "there is no test" in panel.facts.text()
    assert panel.pairs.model().rowCount() == 0
    assert dock.strip.isHidden()


def test_cancel_writes_nothing(dock, qtbot, slow):
    before = set(dock.session.selected.section.adata.obs.columns)
    count = len(dock.viewer.layers)
    assert not dock.run.isEnabled()
    assert "goes on" in dock.run.toolTip()
    assert not dock.bar.isHidden()
    qtbot.waitUntil(lambda: "shuffling" in dock.state.text(), timeout=5_000)
    click(qtbot, dock.cancel)
    assert not dock.busy
    assert dock.run.isEnabled()
    assert dock.bar.isHidden()
    assert "Cancelled" in dock.state.text()
    qtbot.waitUntil(slow.closed.is_set, timeout=5_000)
    qtbot.wait(100)
    assert set(dock.session.selected.section.adata.obs.columns) == before
    assert len(dock.viewer.layers) == count
    assert dock.panel.answer.isHidden()


def test_the_section_is_closed_meanwhile(dock, qtbot, slow):
    dock.viewer.layers.clear()
    qtbot.waitUntil(slow.closed.is_set, timeout=5_000)
    assert not dock.busy
    assert "was closed while the analysis ran" in dock.strip.text.text()
    assert "No section is open" in dock.why.text()
    qtbot.wait(100)
    assert not len(dock.viewer.layers)


def test_another_run_replaces_the_result_meanwhile(dock, qtbot, slow, section, make_result):
    session = dock.session
    session.add_result(session.selected_id, make_result(section, shift=1), "SpaMask")
    qtbot.waitUntil(slow.closed.is_set, timeout=5_000)
    assert "was replaced" in dock.strip.text.text()
    assert "spamask_entropy" not in section.adata.obs


def test_the_dock_is_closed_meanwhile(dock, qtbot, slow):
    holder = dock.parent()
    while not hasattr(holder, "destroyOnClose"):
        holder = holder.parent()
    holder.destroyOnClose()
    qtbot.waitUntil(slow.closed.is_set, timeout=10_000)


def test_an_answer_for_another_section_is_kept_for_it(
    dock, qtbot, slow, section, new_section, make_result
):
    first = dock.session.selected_id
    made = new_section(seed=1, name="other")
    other = fill(dock.viewer, made, make_result(made))
    assert dock.session.selected_id == other.id
    slow.release.set()
    qtbot.waitUntil(lambda: not dock.busy, timeout=20_000)
    assert "spamask_entropy" in section.adata.obs
    assert "spamask_entropy" not in other.section.adata.obs
    assert dock.panel.answer.isHidden()
    assert "finished" in dock.state.text()
    assert layers.find_layer(dock.viewer, first, ROLE) is not None
    dock.combo.setCurrentIndex(dock.combo.findData(first))
    dock.combo.activated.emit(dock.combo.currentIndex())
    assert dock.session.selected_id == first
    assert not dock.panel.answer.isHidden()


def test_failures_are_one_sentence(dock, qtbot, monkeypatch):
    def broken(*_, **__):
        yield Progress(0, 1, "starting")
        raise DataError("the spots are odd", "give other spots")

    def worse(*_, **__):
        raise ValueError("no such thing")

    dock.choose("Heterogeneity")
    for function, text in ((broken, "the spots are odd"), (worse, "no such thing")):
        monkeypatch.setattr(heterogeneity_panel, "heterogeneity_steps", function)
        run(qtbot, dock)
        assert text in dock.strip.text.text()
        assert "Traceback" not in dock.strip.text.text()
        assert dock.run.isEnabled()
        assert dock.panel.answer.isHidden()


def test_columns_of_the_user_are_not_replaced(dock, qtbot):
    obs = dock.session.selected.section.adata.obs
    obs["spamask_entropy"] = 7.0
    dock.choose("Heterogeneity")
    run(qtbot, dock)
    assert (obs["spamask_entropy"] == 7).all()
    assert "not written on the section" in dock.strip.text.text()
    assert not dock.panel.answer.isHidden()


def test_an_answer_is_saved_and_leaves_edits_possible(dock, qtbot, tmp_path):
    from napari_stmask.io.read import read_sections
    from napari_stmask.io.write import write

    session = dock.session
    dock.choose("Heterogeneity")
    run(qtbot, dock)
    session.edit(session.selected_domains.state.renamed(0, "White matter"))
    assert session.selected_domains.state.names[0] == "White matter"
    assert not dock.stale.isHidden()
    path = write(session.selected.section, tmp_path / "a.h5ad")
    (back,) = read_sections(path)
    assert "spamask_entropy" in back.adata.obs
    assert back.adata.obs["spamask"].cat.categories[0] == "White matter"
    # A new run of that key takes the column away, which no longer fits.
    answer = dock.panel.known(session.selected_domains)
    assert answer is not None
    session.undo()
    assert answer.fits(session.selected_domains)
    assert dock.stale.isHidden()


def test_a_new_run_takes_answers_away(dock, qtbot, section, make_result):
    dock.choose("Heterogeneity")
    run(qtbot, dock)
    session = dock.session
    session.add_result(session.selected_id, make_result(section, shift=1), "SpaMask")
    assert "spamask_entropy" not in section.adata.obs
    assert dock.panel.answer.isHidden()
    assert dock.export.isHidden()


def test_recoloured_domains_are_recoloured_in_answers(dock, qtbot):
    panel = dock.choose("Heterogeneity")
    run(qtbot, dock)
    session = dock.session
    session.edit(session.selected_domains.state.recoloured(1, "#123456"))
    model = panel.summary.model()
    swatch = model.index(1, 0).data(Qt.ItemDataRole.DecorationRole)
    assert swatch.name() == "#123456"


def test_layers_can_go_at_any_time(dock, qtbot):
    dock.choose("Heterogeneity")
    run(qtbot, dock)
    item = dock.session.selected
    dock.viewer.layers.remove(layers.find_layer(dock.viewer, item.id, ROLE))
    dock.viewer.layers.remove(layers.find_layer(dock.viewer, item.id, "domains"))
    run(qtbot, dock)
    assert dock.strip.isHidden()
    assert layers.find_layer(dock.viewer, item.id, ROLE) is not None


def test_results_are_chosen_in_the_dock(dock, section, make_result, qtbot):
    session = dock.session
    session.add_result(session.selected_id, make_result(section, key="second"), "SpaMask")
    assert dock.choices.count() == 2
    assert dock.choices.currentData() == "second"
    dock.choices.setCurrentIndex(0)
    dock.choices.activated.emit(0)
    assert session.selected_key == "spamask"
    dock.choose("Heterogeneity")
    run(qtbot, dock)
    assert "spamask_entropy" in section.adata.obs
    assert "second_entropy" not in section.adata.obs


def test_everything_has_a_name_and_is_reached_by_tab(dock, qtbot):
    dock.viewer.window._qt_window.show()
    qtbot.waitExposed(dock.viewer.window._qt_window)
    for title in PANELS:
        panel = dock.choose(title)
        QApplication.processEvents()
        inputs = (QComboBox, QAbstractSpinBox, QTableView)
        for kind in inputs:
            for widget in (*panel.form.findChildren(kind), *panel.answer.findChildren(kind)):
                assert widget.accessibleName(), (title, widget)
        for button in panel.form.findChildren(QAbstractButton):
            assert button.text() or button.accessibleName()
        reached, at = set(), dock.combo
        for _ in range(400):
            reached.add(at)
            at = at.nextInFocusChain()
        for widget in (dock.analyses, *panel.form.findChildren(QComboBox), dock.run):
            assert widget in reached, (title, widget)
        order, at = [], dock.combo
        for _ in range(400):
            order.append(at)
            at = at.nextInFocusChain()
        first = panel.form.findChildren((QComboBox, QAbstractSpinBox))
        if first:
            assert order.index(dock.analyses) < order.index(first[0]) < order.index(dock.run)


def test_charts_follow_the_theme(dock, qtbot):
    panel = dock.choose("Trajectory")
    run(qtbot, dock)
    seen = []
    for theme in ("light", "dark"):
        dock.viewer.theme = theme
        QApplication.processEvents()
        seen.append(panel.chart.backgroundBrush().color().lightness())
    assert seen[0] > 128 > seen[1]


def test_the_window_is_closed_meanwhile(dock, qtbot, slow):
    dock.session.viewer.close()
    qtbot.waitUntil(lambda: gc.collect() is not None and slow.closed.is_set(), timeout=10_000)


def test_a_late_gene_does_not_cover_a_later_answer(dock, qtbot, monkeypatch):
    from napari_stmask.gui.analyse import dock as module

    release = threading.Event()
    real = module.gene_values
    monkeypatch.setattr(module, "gene_values", lambda *a: release.wait(20) and real(*a))
    dock.show_gene("gene3")
    dock.choose("Heterogeneity")
    run(qtbot, dock)
    release.set()
    qtbot.wait(300)
    item = dock.session.selected
    assert layers.find_layer(dock.viewer, item.id, "gene") is None
    assert layers.find_layer(dock.viewer, item.id, ROLE).visible


def test_an_unknown_gene_is_one_sentence(dock, qtbot):
    dock.show_gene("NOTHERE")
    qtbot.waitUntil(lambda: not dock.strip.isHidden(), timeout=10_000)
    assert "no gene 'NOTHERE'" in dock.strip.text.text()


def test_answers_leave_with_their_section(dock, qtbot, new_section):
    dock.choose("Trajectory")
    run(qtbot, dock)
    dock.choose("Heterogeneity")
    run(qtbot, dock)
    assert all(len(dock.panels[t]._answers) == 1 for t in ("Trajectory", "Heterogeneity"))
    dock.viewer.layers.clear()
    dock.session.add(new_section(seed=1, name="other"))

    def gone():
        gc.collect()
        return not any(len(panel._answers) for panel in dock.panels.values())

    qtbot.waitUntil(gone, timeout=5_000)
    assert dock.panel.answer.isHidden()


def test_the_wheel_scrolls_the_page_over_fields(dock):
    from qtpy.QtCore import QPoint, QPointF
    from qtpy.QtGui import QWheelEvent

    panel = dock.choose("Trajectory")
    for field, value in ((panel.links, panel.links.value), (panel.root, panel.root.currentIndex)):
        before = value()
        event = QWheelEvent(
            QPointF(5, 5),
            QPointF(5, 5),
            QPoint(0, -120),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(field, event)
        assert value() == before
        assert not event.isAccepted()
