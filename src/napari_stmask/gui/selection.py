"""The spots that questions are about, drawn over the tissue; runs without Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import layers
from .layer_tuples import PASSING, our_meta, place_of_raster

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from .model import Item

__all__ = ["ROLE", "show_selection"]

ROLE = "selection"
_COLOUR = "#FF2BD6"


def show_selection(viewer: ViewerModel, item: Item) -> None:
    """Draw the chosen spots of a section as tiles of one colour; hide them where there are none.

    Tiles, not a selection of points: napari takes seconds to unselect many points. The layer
    stays: napari collects garbage whenever a layer goes, which takes half a second.
    """
    layer = layers.find_layer(viewer, item.id, ROLE)
    if layer is None and not item.chosen.size:
        return
    codes = np.full(item.section.n_spots, -1, dtype=np.intp)
    codes[item.chosen] = 0
    data = item.raster.labels(codes)
    if layer is not None:
        meta, empty = our_meta(layer), not item.chosen.size
        layer.data = data
        layer.editable = False
        if empty or meta.get(PASSING):
            # What the user has hidden while it showed something stays hidden.
            layer.visible = not empty
        meta[PASSING] = empty
        return
    from napari.utils.colormaps import DirectLabelColormap

    options = place_of_raster(item, ROLE, "chosen spots", key=ROLE)
    clear = np.zeros(4, dtype=np.float32)
    options["colormap"] = DirectLabelColormap(color_dict={None: clear, 0: clear, 1: _COLOUR})
    options["opacity"] = 0.5
    layer = layers.add_layer(viewer, item, (data, options, "labels"))
    layer.editable = False
