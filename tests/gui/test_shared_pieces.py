"""What several docks are made of: asking for files, estimates of runs, the end of a page."""

import time

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QTableWidgetItem, QVBoxLayout, QWidget

from napari_stmask.core.errors import DataError
from napari_stmask.gui.desk_page import DeskPage, tab_bar
from napari_stmask.gui.fields import ask_file, ask_folder
from napari_stmask.gui.guard import Failure
from napari_stmask.gui.remember import start_path
from napari_stmask.gui.run_estimate import RunEstimate
from napari_stmask.gui.tick_table import ID, TickTable

GB = 10**9


@pytest.fixture
def estimate(qtbot):
    holder = QWidget()
    qtbot.addWidget(holder)
    made = RunEstimate(holder, "Tile size")
    QVBoxLayout(holder).addWidget(made.cost)
    # The form is kept alive as long as the test runs.
    yield made
    made.left()


def answer(peak, free):
    return {"seconds": 240.0, "peak_bytes": peak, "free_bytes": free}


def test_a_file_that_was_asked_for_is_where_the_next_dialog_begins(qtbot, monkeypatch, tmp_path):
    asked, wanted = [], [str(tmp_path / "a.gmt"), ""]
    (tmp_path / "a.gmt").write_text("")
    parent = QWidget()
    qtbot.addWidget(parent)

    def file(*args):
        asked.append(args)
        return wanted.pop(0), ""

    monkeypatch.setattr(QFileDialog, "getOpenFileName", file)
    assert ask_file(parent, "Load", "Sets (*.gmt)") == str(tmp_path / "a.gmt")
    assert start_path("b") == str(tmp_path / "b")
    assert ask_file(parent, "Load", "Sets (*.gmt)") is None
    assert asked[1][1:] == ("Load", start_path(), "Sets (*.gmt)")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: args[2])
    assert ask_folder(parent, "Open", str(tmp_path.parent)) == str(tmp_path.parent)
    assert start_path("b") == str(tmp_path.parent / "b")


def test_an_estimate_waits_and_is_told(estimate, qtbot):
    with qtbot.waitSignal(estimate.wanted, timeout=3000):
        estimate.show_reason("", seen=False)
        assert estimate.waiting
    heard = []
    estimate.found.connect(heard.append)
    estimate.start(answer, GB, 2 * GB)
    assert estimate.busy
    qtbot.waitUntil(lambda: bool(estimate.cost.text()), timeout=5000)
    assert estimate.cost.text().startswith("Estimate: about 4 min on one core, 1.0 GB")
    assert heard == [answer(GB, 2 * GB)]
    assert not estimate.obstacle


def test_too_little_memory_and_failures_hinder_until_the_values_are_others(estimate, qtbot):
    with qtbot.waitSignal(estimate.hindered, timeout=5000):
        estimate.start(answer, 2 * GB, GB)
    assert "lower Tile size, or close other programs" in estimate.obstacle
    assert not estimate.cost.text()
    estimate.forget()
    assert estimate.obstacle == ""

    def refuses():
        raise DataError("no spots", "give some")

    with qtbot.waitSignal(estimate.hindered, timeout=5000):
        estimate.start(refuses)
    assert "no spots" in estimate.obstacle


def test_an_answer_about_other_values_is_not_told(estimate, qtbot):
    heard = []
    estimate.found.connect(heard.append)

    def slowly():
        time.sleep(0.1)
        return answer(GB, 2 * GB)

    estimate.start(slowly)
    estimate.forget()
    assert not estimate.busy
    qtbot.wait(300)
    assert not heard
    assert not estimate.cost.text()


def test_a_reason_is_told_once_and_ends_the_waiting(estimate):
    estimate.show_reason("", seen=False)
    estimate.show_reason("Result name: empty.", seen=False)
    assert not estimate.waiting
    assert estimate.cost.text() == "\u26a0 Result name: empty."
    estimate.show_reason("Epochs: too many.", seen=True)
    assert estimate.cost.text() == ""
    estimate.show_reason("Result name: empty.", seen=False)
    estimate.show_reason("", seen=False)
    assert estimate.cost.text() == ""
    assert estimate.waiting
    estimate.left()
    assert not estimate.waiting


def test_ticks_belong_to_a_section_and_rows_have_bounds(qtbot):
    table = TickTable(("Section", "Spots"), (0, 50), "Sections; Space ticks one", most=4)
    qtbot.addWidget(table)

    def fill(*keys):
        table.setRowCount(len(keys))
        for row, key in enumerate(keys):
            cell = QTableWidgetItem(key)
            table.offer_tick(cell, key, able=key != "c")
            table.setItem(row, 0, cell)
        table.fit()
        return [
            table.item(row, 0).checkState() == Qt.CheckState.Checked for row in range(len(keys))
        ]

    assert fill("a", "b", "c") == [True, True, False]
    first = table.item(0, 0)
    first.setCheckState(Qt.CheckState.Unchecked)
    table.keep_tick(first, "a")
    # The section that was left out is in another row now.
    assert fill("b", "a") == [True, False]
    assert table.item(1, 0).data(ID) == "a"
    two = table.height()
    fill("a")
    assert table.height() == two
    fill(*"abde")
    four = table.height()
    assert four > two
    fill(*"abdefgh")
    assert table.height() == four


class Dock(DeskPage):
    """A page that counts."""

    def __init__(self, viewer):
        super().__init__(viewer)
        self.calls, self.ends = [], 0
        self.tabs = tab_bar("Steps")
        for widget in (self.tabs, self.strip, self.state):
            self.body.addWidget(widget)
        self._built = True
        self.follow(self.heard)

    def heard(self):
        self.calls.append(self.session.selected_id)

    def left(self):
        self.ends += 1


def test_a_page_follows_tells_and_ends(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    dock = Dock(viewer)
    holder = viewer.window.add_dock_widget(dock, name="Dock")
    assert dock.ends == 0
    dock.session.section_changed.emit("none")
    assert len(dock.calls) == 1
    dock.session.domains_changed.emit("none", "key")
    assert len(dock.calls) == 1
    dock.say("Reading")
    assert dock.state.isVisibleTo(dock)
    dock.show_failure(Failure(DataError("no spots", "give some")))
    assert not dock.state.isVisibleTo(dock)
    assert "no spots" in dock.strip.text.text()
    dock.clear_failure()
    assert not dock.strip.isVisibleTo(dock)
    viewer.window.remove_dock_widget(holder)
    assert dock.ends == 1
