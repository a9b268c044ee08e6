"""What lies in which cell, written over the cells; no Qt."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..layer_tuples import META
from ..model import Item

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["Captions"]

_COLOUR = "#767676"
"""As far from black as from white, so that both canvases show it."""


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
        self.remove(viewer)
        chosen, active = set(viewer.layers.selection), viewer.layers.selection.active
        layer = viewer.add_points(
            np.asarray(places, dtype=float),
            face_color="transparent",
            border_color="transparent",
            size=1e-3,
            features={"title": list(texts)},
            text={"string": "{title}", "size": 10, "color": _COLOUR, "anchor": "upper_left"},
            name=f"{item.label} \u00b7 captions",
            units=tuple(units),
            metadata={META: {"schema": 1, "role": "captions"}},
        )
        layer.editable = False
        viewer.layers.selection = chosen
        viewer.layers.selection.active = active
        self._layer = weakref.ref(layer)

    def remove(self, viewer: ViewerModel) -> None:
        """Write nothing."""
        layer = self._layer() if self._layer is not None else None
        self._layer = None
        if layer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)
