"""A section laid on another by places that a person marks in both."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QVBoxLayout, QWidget

from ...core.errors import ParameterError
from ...features.alignment import align_landmarks
from ..fields import make_button
from ..guard import Failure, slot
from ..layer_tuples import our_meta, to_rows_columns
from ..model import Item
from ..parts import narrow_combo, plain_label
from ..placing import shift
from ..session import Session
from .overlay import FIXED, MOVING, add_points

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["LandmarksPart"]

_ABOUT = (
    "Mark the same three or more places in both sections, in the same order. Mark them where the "
    "sections lie side by side, not on the overlay."
)


class LandmarksPart(QWidget):
    """``found(alignment)``: the moving section in the own frame of the fixed one."""

    found = Signal(object)

    def __init__(self, session: Session, fail: Callable[[Failure], None]) -> None:
        super().__init__()
        self.session = session
        self._fail = fail
        self._items: tuple[weakref.ref[Item], weakref.ref[Item]] | None = None
        self._made: list[tuple[weakref.ref[Layer], weakref.ref[Item], tuple[float, float]]] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(plain_label(_ABOUT))
        self.new = make_button(
            "New layers for landmarks",
            "Add an empty layer of points for each of the two sections, ready to be clicked into.",
            self._on_new,
        )
        layout.addWidget(self.new)
        self.moving, self.fixed = narrow_combo(QComboBox()), narrow_combo(QComboBox())
        form = QFormLayout()
        form.setSpacing(6)
        for combo, title in ((self.moving, "On the moving"), (self.fixed, "On the fixed")):
            combo.setAccessibleName(f"{title} section: layer with landmarks")
            combo.setToolTip("A layer of points, in the order of the other one.")
            form.addRow(title, combo)
        layout.addLayout(form)
        self.run = make_button(
            "Align by landmarks", "Turn and shift that bring them together best.", self._on_run
        )
        layout.addWidget(self.run)
        viewer = session.viewer
        if viewer is not None:
            viewer.layers.events.inserted.connect(self._refill)
            viewer.layers.events.removed.connect(self._refill)
        self.show_pair(None, None)

    def show_pair(self, moving: Item | None, fixed: Item | None) -> None:
        """The two sections that landmarks are of."""
        both = moving is not None and fixed is not None
        self._items = None
        if moving is not None and fixed is not None:
            self._items = weakref.ref(moving), weakref.ref(fixed)
        self.new.setEnabled(both)
        self._refill()

    def follow(self) -> None:
        """The sections lie elsewhere on the canvas, and so do the landmarks on them."""
        for number, (known, of, offset) in enumerate(self._made):
            layer, item = known(), of()
            if layer is not None and item is not None:
                shift(layer, (item.offset[0] - offset[0], item.offset[1] - offset[1]))
                self._made[number] = known, of, item.offset

    def left(self) -> None:
        """The dock goes away, and the layers that it made."""
        viewer = self.session.viewer
        if viewer is None:
            return
        viewer.layers.events.inserted.disconnect(self._refill)
        viewer.layers.events.removed.disconnect(self._refill)
        self._remove()

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong in the strip of the dock."""
        self._fail(failure)

    def _remove(self) -> None:
        viewer = self.session.viewer
        made, self._made = [layer() for layer, _, _ in self._made], []
        for layer in made:
            if viewer is not None and layer is not None and layer in viewer.layers:
                viewer.layers.remove(layer)

    def _points(self) -> list[Layer]:
        """Layers of points that may be landmarks: the user's, and those made here."""
        viewer = self.session.viewer
        if viewer is None:
            return []
        made = [layer() for layer, _, _ in self._made]
        return [
            layer
            for layer in viewer.layers
            if type(layer).__name__ == "Points"
            and layer.ndim == 2
            and (any(layer is one for one in made) or not our_meta(layer))
        ]

    @slot
    def _refill(self) -> None:
        found = self._points()
        for place, combo in enumerate((self.moving, self.fixed)):
            before = combo.currentData()
            with QSignalBlocker(combo):
                combo.clear()
                for layer in found:
                    combo.addItem(layer.name, layer)
                names = [one for one in found if one is before] or found[place : place + 1]
                combo.setCurrentIndex(combo.findData(names[0]) if names else -1)
        self.run.setEnabled(self._items is not None and len(found) > 1)
        self.run.setToolTip(
            "Turn and shift that bring them together best."
            if len(found) > 1
            else "Add two layers of points first."
        )

    @slot
    def _on_new(self) -> None:
        viewer, items = self.session.viewer, self._present()
        if viewer is None or items is None:
            return
        self._remove()
        made = []
        for item, color in zip(items, (MOVING, FIXED), strict=True):
            size = item.section.lattice.pitch * (item.section.um_per_px or 1.0)
            layer = add_points(
                viewer,
                np.empty((0, 2)),
                name=f"{item.label} \u00b7 landmarks",
                size=size,
                face_color=color,
            )
            made.append(layer)
            self._made.append((weakref.ref(layer), weakref.ref(item), item.offset))
        self._refill()
        for combo, layer in zip((self.moving, self.fixed), made, strict=True):
            combo.setCurrentIndex(combo.findData(layer))
            layer.mode = "add"
        viewer.layers.selection.active = made[0]

    def _present(self) -> tuple[Item, Item] | None:
        if self._items is None:
            return None
        moving, fixed = (item() for item in self._items)
        return None if moving is None or fixed is None else (moving, fixed)

    @slot
    def _on_run(self) -> None:
        layers = self.moving.currentData(), self.fixed.currentData()
        items = self._present()
        if items is None or any(layer is None for layer in layers):
            return
        if layers[0] is layers[1]:
            raise ParameterError(
                "Both sections have the same layer of landmarks", "choose one layer for each"
            )
        places = [_own(layer, item) for layer, item in zip(layers, items, strict=True)]
        self.found.emit(align_landmarks(*places))


def _own(layer: Any, item: Item) -> NDArray[np.float64]:
    """(n, 2) x and y of landmarks in the own frame of their section, in world units."""
    world = np.array([layer.data_to_world(point)[-2:] for point in layer.data]).reshape(-1, 2)
    return np.asarray(to_rows_columns(world - np.asarray(item.offset)), dtype=np.float64)
