"""The Shapes layer that says which part of a section is learnt from."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QWidget

from ..fields import make_button
from ..guard import slot
from ..model import Item
from ..parts import narrow_combo
from ..session import Session
from .drawn_region import drawn_layers, learn_mask, outlines

if TYPE_CHECKING:
    from napari.layers import Shapes

__all__ = ["RegionField"]

_COLOR = "#FFF000"


class RegionField(QWidget):
    """Chooses or adds a layer; ``changed`` when there is another one, or other shapes in it."""

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.item: Item | None = None
        self._known: tuple[Any, NDArray[Any]] | None = None
        self._followed: weakref.WeakSet[Shapes] = weakref.WeakSet()
        self.layer = narrow_combo(QComboBox())
        self.layer.setAccessibleName("Layer with the region")
        self.layer.setPlaceholderText("nothing drawn")
        self.layer.setToolTip("Shapes layer drawn over the target: spots inside are learnt from.")
        self.layer.currentIndexChanged.connect(self._on_chosen)
        self.draw = make_button(
            "Draw", "Add a Shapes layer and draw a polygon over the target.", self._on_draw
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.layer, 1)
        row.addWidget(self.draw)
        # Drawing a shape says so many times a second.
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(200)
        self._later.timeout.connect(self._on_chosen)
        if session.viewer is not None:
            session.viewer.layers.events.inserted.connect(self._on_layers)
            session.viewer.layers.events.removed.connect(self._on_layers)
        self._list()

    def mask(self, item: Item, gap: float) -> NDArray[Any]:
        """(n_spots,) bool; raises what `learn_mask` raises."""
        # Asked at every edit of the dock, and slow to answer for large sections.
        asked = (id(item.section), item.offset, gap)
        if self._known is None or self._known[0] != asked:
            layers = {id(layer): layer for layer in self._layers()}
            found = learn_mask(layers.get(self.layer.currentData()), item, gap)
            self._known = (asked, found)
        return self._known[1]

    def outlines(self, item: Item) -> list[NDArray[Any]]:
        """(m, 2) vertices (x, y) of each closed shape in the coordinates of a section."""
        layers = {id(layer): layer for layer in self._layers()}
        layer = layers.get(self.layer.currentData())
        return list(outlines(layer, item)) if layer is not None else []

    def _layers(self) -> list[Shapes]:
        viewer = self.session.viewer
        return drawn_layers(viewer) if viewer is not None else []

    def _list(self) -> None:
        kept = self.layer.currentData()
        with QSignalBlocker(self.layer):
            self.layer.clear()
            for layer in self._layers():
                self.layer.addItem(layer.name, id(layer))
                if layer not in self._followed:
                    self._followed.add(layer)
                    layer.events.data.connect(self._on_drawn)
            self.layer.setCurrentIndex(max(self.layer.findData(kept), 0))
        self.layer.setEnabled(self.layer.count() > 0)

    @slot
    def _on_layers(self) -> None:
        self._list()
        self._later.start()

    @slot
    def _on_chosen(self) -> None:
        self._known = None
        self.changed.emit()

    @slot
    def _on_drawn(self) -> None:
        self._later.start()

    @slot
    def _on_draw(self) -> None:
        viewer, item = self.session.viewer, self.item
        if viewer is None or item is None:
            return
        section = item.section
        unit = section.um_per_px or 1.0
        width = max(0.15 * section.lattice.pitch * unit, 2 / viewer.scene.camera.zoom)
        layer = viewer.add_shapes(
            None,
            ndim=2,
            name=f"{item.label} \u00b7 learn from here",
            units=("um", "um") if section.um_per_px else None,
            edge_color=_COLOR,
            face_color=f"{_COLOR}30",
            edge_width=width,
        )
        layer.mode = "add_polygon"
        self.layer.setCurrentIndex(self.layer.findData(id(layer)))
