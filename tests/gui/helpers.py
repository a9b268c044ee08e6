"""What tests of the window share: a click, and a section with a result."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt

from napari_stmask.gui.session import session_of

__all__ = ["add_result", "click", "fill"]


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
