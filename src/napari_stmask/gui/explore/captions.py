"""What lies in which cell, written over the cells; no Qt."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layer_tuples import META
from ..layers import layers_of
from ..model import Item

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["Captions"]

_COLOUR = "#767676"
"""As far from black as from white, so that both canvases show it."""


_TEXT = {"string": "{title}", "size": 10, "color": _COLOUR, "anchor": "upper_left"}


class Captions:
    """One line of text above each cell, in a layer of its own that the user may delete."""

    def __init__(self) -> None:
        self._layer: weakref.ref[Layer] | None = None

    def draw(
        self,
        viewer: ViewerModel,
        item: Item,
        places: Sequence[tuple[float, float]],
        texts: Sequence[str],
        units: Sequence[str],
    ) -> None:
        """Write texts at (row, column) places of the world, which are their lower left ends."""
        layer = self._known(viewer)
        if layer is not None:
            self._move(viewer, layer, np.asarray(places, dtype=float), texts)
            return
        chosen, active = set(viewer.layers.selection), viewer.layers.selection.active
        layer = viewer.add_points(
            np.asarray(places, dtype=float),
            face_color="transparent",
            border_color="transparent",
            size=1e-3,
            features={"title": list(texts)},
            text=_TEXT,
            name=f"{item.label} \u00b7 captions",
            units=tuple(units),
            metadata={META: {"schema": 1, "role": "captions"}},
        )
        layer.editable = False
        viewer.layers.selection = chosen
        viewer.layers.selection.active = active
        self._layer = weakref.ref(layer)

    def hide(self, viewer: ViewerModel, item: Item | None) -> None:
        """Write nothing; the layer stays for the next time while its section is open.

        napari collects garbage whenever a layer goes, which takes half a second.
        """
        layer = self._known(viewer)
        if layer is None:
            return
        if item is not None and layers_of(viewer, item.id):
            layer.visible = False
        else:
            viewer.layers.remove(layer)

    def _known(self, viewer: ViewerModel) -> Layer | None:
        layer = self._layer() if self._layer is not None else None
        return layer if layer is not None and layer in viewer.layers else None

    def _move(self, viewer: ViewerModel, layer: Any, places: Any, texts: Sequence[str]) -> None:
        """Other texts in the layer, on top of all others."""
        # napari writes the texts at each of these steps, and fails where it has fewer of them than
        # of points that it last drew: so none until all are there.
        layer.text = _TEXT | {"string": ""}
        layer.visible = True
        layer.data = places
        layer.features = {"title": list(texts)}
        layer.text = _TEXT
        layer.editable = False
        if viewer.layers[-1] is not layer:
            viewer.layers.move(viewer.layers.index(layer), -1)
