"""What tests of the window share: a click, and a section with a result."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication

from napari_stmask.gui.session import session_of

__all__ = ["add_result", "canvas_place", "click", "fill", "press_on_canvas"]


def click(qtbot, button):
    """Press a button that can be pressed."""
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def fill(viewer, section, result):
    """The section with a result, see `add_result`."""
    session = session_of(viewer)
    item = session.add(section)
    add_result(session, item, result)
    return item


def add_result(session, item, result):
    """Add a result; its embedding follows the columns of spots, as its domains do."""
    rng = np.random.default_rng(0)
    x = item.section.coords[:, [0]]
    steps = np.linspace(0, 3, 4) * (x - x.min()) / np.ptp(x)
    result.fit.embedding = (steps + rng.normal(0, 0.05, (len(x), 4))).astype(np.float32)
    session.add_result(item.id, result, "SpaMask")


def canvas_place(viewer, item, spot):
    """Where a spot lies on the canvas, in pixels of the widget."""
    x, y = item.section.coords[spot] * (item.section.um_per_px or 1.0)
    world = np.array([y, x]) + item.offset
    camera = viewer.scene.camera
    size = np.asarray(viewer.canvas.size, dtype=float)
    return (world - np.asarray(camera.center[-2:])) * camera.zoom + size / 2


def press_on_canvas(qtbot, viewer, place):
    """A click of the left button at a place of the canvas (row, column)."""
    native = viewer.window._qt_viewer.canvas.native
    point = QPoint(round(place[1]), round(place[0]))
    qtbot.mouseMove(native, point)
    qtbot.mousePress(native, Qt.MouseButton.LeftButton, pos=point)
    qtbot.mouseRelease(native, Qt.MouseButton.LeftButton, pos=point)
    QApplication.processEvents()
