"""Tools that draw regions, as buttons that say which one is in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from ..guard import slot

if TYPE_CHECKING:
    from napari.layers import Shapes

__all__ = ["TOOLS", "DrawPart"]

TOOLS = {
    "add_polygon": ("Polygon", "Click corner by corner; a double click or Esc ends the outline."),
    "add_polygon_lasso": ("Lasso", "Draw an outline with the button held down."),
    "add_rectangle": ("Rectangle", "Draw a box from corner to corner."),
    "add_ellipse": ("Ellipse", "Draw an ellipse from corner to corner."),
}
"""napari's modes of a Shapes layer."""
_REST = "pan_zoom"


class DrawPart(QWidget):
    """``wanted(mode)`` when a tool is taken up, or laid down for ``"pan_zoom"``."""

    wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        self.buttons: dict[str, QPushButton] = {}
        for place, (mode, (title, tip)) in enumerate(TOOLS.items()):
            button = QPushButton(title)
            button.setCheckable(True)
            button.setToolTip(f"{tip} Press again to stop.")
            button.setProperty("mode", mode)
            button.clicked.connect(self._on_click)
            button.setMinimumWidth(60)
            self.buttons[mode] = button
            layout.addWidget(button, *divmod(place, 4))

    @slot
    def _on_click(self) -> None:
        button = self.sender()
        mode = str(button.property("mode"))
        self.wanted.emit(mode if self.buttons[mode].isChecked() else _REST)

    def show_mode(self, layer: Shapes | None) -> None:
        """Mark the tool that a layer is drawn with."""
        mode = str(layer.mode) if layer is not None else _REST
        for name, button in self.buttons.items():
            with QSignalBlocker(button):
                button.setChecked(name == mode)
