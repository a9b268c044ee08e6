"""What every dock owes: it fits, says what its controls are, and follows the one selection."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QWidget,
)

from napari_stmask.gui.commands import DOCKS, open_dock
from napari_stmask.gui.parts import SectionCombo
from napari_stmask.gui.session import session_of

from .helpers import add_result, fill

WIDTH = 326
"""What a dock of the usual width has for its page."""
_MADE_OF_PARTS = (QComboBox, QAbstractSpinBox, QLineEdit, QAbstractItemView)
_CONTROLS = (QAbstractButton, QComboBox, QLineEdit, QAbstractSpinBox, QAbstractItemView)


def controls(page):
    """What a person can use: not the parts that Qt makes of a combo or a spin box."""
    for widget in page.findChildren(QWidget):
        inner = isinstance(widget.parentWidget(), _MADE_OF_PARTS)
        own = widget.window() is page.window() and not inner
        if own and isinstance(widget, _CONTROLS) and not widget.objectName().startswith("qt_"):
            yield widget


@pytest.mark.parametrize("name", DOCKS)
def test_every_control_says_what_it_is(make_napari_viewer, section, make_result, name):
    viewer = make_napari_viewer()
    fill(viewer, section, make_result(section))
    page = open_dock(viewer, name)
    found = list(controls(page))
    assert found or name == "Jobs"
    for widget in found:
        said = widget.accessibleName() or getattr(widget, "text", lambda: "")()
        assert said, (name, widget)
    for button in page.findChildren(QAbstractButton):
        if button in found and button.text() and not button.isCheckable():
            assert button.toolTip() or button.accessibleDescription() or not button.isVisibleTo(
                page
            ), (name, button.text())  # fmt: skip


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_no_dock_is_wider_than_its_place(make_napari_viewer, section, make_result, theme):
    viewer = make_napari_viewer()
    viewer.theme = theme
    fill(viewer, section, make_result(section))
    for name in DOCKS:
        page = open_dock(viewer, name)
        assert page.scroller.widget().minimumSizeHint().width() <= WIDTH, name


def test_all_docks_follow_one_selection(make_napari_viewer, new_section, make_result):
    viewer = make_napari_viewer()
    session = session_of(viewer)
    a, b = session.add(new_section(name="a")), session.add(new_section(seed=1, name="b"))
    for item in (a, b):
        add_result(session, item, make_result(item.section))
    pages = {name: open_dock(viewer, name) for name in DOCKS}
    combos = {n: c for n, p in pages.items() for c in p.findChildren(SectionCombo)}
    assert len(combos) >= 6
    for item in (a, b, a):
        # The choice in one dock reaches all.
        first = combos["Plots"]
        first.setCurrentIndex(first.findData(item.id))
        first.activated.emit(first.currentIndex())
        assert session.selected is item
        assert {name: c.currentData() for name, c in combos.items()} == dict.fromkeys(
            combos, item.id
        )
    assert pages["Domains"].combo.currentText() == "a"


def test_windows_do_not_know_of_each_other(make_napari_viewer, new_section, make_result):
    first, second = make_napari_viewer(), make_napari_viewer()
    item = fill(first, new_section(name="a"), make_result(new_section(name="a")))
    other = fill(second, new_section(name="b"), make_result(new_section(name="b")))
    one, two = open_dock(first, "Domains"), open_dock(second, "Domains")
    session_of(first).choose_spots(item.id, [1, 2])
    session_of(first).edit(item.domains["spamask"].state.renamed(0, "WM"))
    assert one.model.index(0, 1).data() == "WM"
    assert two.model.index(0, 1).data() == "1"
    assert not other.chosen.size
    assert one.combo.count() == two.combo.count() == 1
