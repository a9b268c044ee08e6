"""Keys of the viewer, and what the window remembers."""

from __future__ import annotations

import pytest
from napari.components import ViewerModel

from napari_stmask.gui import fields
from napari_stmask.gui.commands import DOCKS, open_dock, redo, save_desk, undo
from napari_stmask.gui.remember import recall, remember, remember_folder, start_path
from napari_stmask.gui.session import session_of
from napari_stmask.gui.shortcuts import KEYS, REDO, UNDO

from .helpers import fill


def press(viewer, key):
    """What napari calls for a key."""
    from app_model.types import KeyBinding

    action = viewer.keymap[KeyBinding.from_str(key.replace("-", "+"))]
    return action(viewer)


def test_keys_open_docks(make_napari_viewer, section):
    viewer = make_napari_viewer()
    session_of(viewer).add(section)
    assert set(KEYS.values()) <= set(DOCKS)
    for key, name in KEYS.items():
        press(viewer, key)
        assert f"{name} (napari-stmask)" in viewer.window.dock_widgets, key


def test_keys_and_commands_undo(make_napari_viewer, section, make_result):
    viewer = make_napari_viewer()
    item = fill(viewer, section, make_result(section))
    session = session_of(viewer)
    start = item.domains["spamask"].state
    session.edit(start.renamed(0, "WM"))
    press(viewer, UNDO)
    assert item.domains["spamask"].state is start
    press(viewer, REDO)
    assert item.domains["spamask"].state.names[0] == "WM"
    undo(viewer)
    assert item.domains["spamask"].state is start
    redo(viewer)
    assert section.adata.obs["spamask"].cat.categories[0] == "WM"


def test_a_key_that_is_taken_stays(section):
    viewer = ViewerModel()
    seen = []
    viewer.bind_key("Shift-Alt-Z", lambda v: seen.append(v))
    session_of(viewer).add(section)
    press(viewer, "Shift-Alt-Z")
    assert seen == [viewer]


def test_folders_are_remembered(tmp_path):
    assert start_path("a.h5ad") == "a.h5ad"
    remember_folder(tmp_path / "x.h5ad")
    assert start_path("a.h5ad") == str(tmp_path / "a.h5ad")
    remember_folder(tmp_path)
    assert start_path() in (str(tmp_path), str(tmp_path) + "/")
    remember("folder", str(tmp_path / "gone"))
    assert start_path("a.h5ad") == "a.h5ad"


@pytest.mark.parametrize(("value", "default"), [(3, 0), (True, False), (False, True), ("x", "")])
def test_choices_come_back_as_what_they_were(value, default):
    assert recall("one", default) == default
    remember("one", value)
    from napari_stmask.gui import remember as module

    # As another day reads it: from the file.
    module._kept().sync()
    module._settings.cache_clear()
    assert recall("one", default) == value
    assert type(recall("one", default)) is type(default)


def test_nonsense_is_no_choice():
    remember("tab", "nonsense")
    assert recall("tab", 2) == 2


def test_method_and_plot_of_yesterday(make_napari_viewer, section, make_result):
    first = make_napari_viewer()
    dock = open_dock(first, "Find domains")
    dock.methods.setCurrentIndex(dock.methods.findData("vimst"))
    dock.methods.activated.emit(dock.methods.currentIndex())
    open_dock(first, "Plots").tabs.setCurrentIndex(2)
    second = make_napari_viewer()
    assert open_dock(second, "Find domains").method == "vimst"
    assert open_dock(second, "Plots").tabs.currentIndex() == 2


def test_saving_the_desk_asks_where(
    make_napari_viewer, section, make_result, monkeypatch, qtbot, tmp_path
):
    viewer = make_napari_viewer()
    fill(viewer, section, make_result(section))
    target = tmp_path / "kept.h5ad"
    monkeypatch.setattr(
        fields.QFileDialog, "getSaveFileName", staticmethod(lambda *_: (str(target), ""))
    )
    save_desk(viewer)
    dock = open_dock(viewer, "Domains")
    qtbot.waitUntil(lambda: dock.state.text().startswith("Written"), timeout=20_000)
    import napari_stmask as stm

    assert "stmask_desk" in stm.read(target).adata.uns
    assert recall("folder", "") == str(tmp_path)


def test_napari_can_ask_for_the_names_of_our_keys(make_napari_viewer, section, qtbot):
    """Any key on the canvas makes napari look at every binding."""
    viewer = make_napari_viewer()
    session_of(viewer).add(section)
    from qtpy.QtCore import Qt

    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_X)
    assert all(callable(f) and f.__name__ for f in viewer.keymap.values())
