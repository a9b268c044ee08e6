"""Layers of a gene: one for each source, used again for the next gene; pins; no Qt."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import layers
from ..analyse.spot_values import ROLE
from ..layer_tuples import META, place_of_raster
from ..limits import Limits
from ..model import Item
from .reading import Reading

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["OF", "hide_others", "home", "pin_layer", "show_picture", "show_reading"]

OF = "explore"


def show_reading(viewer: ViewerModel, reading: Reading, limits: Limits, colormap: str) -> Layer:
    """Show values in the layer of their source, which keeps its opacity and place in the list."""
    item, source = reading.choice.item, reading.choice.source
    options = _options(item, reading.title, source.name)
    layer = layers.find_layer(viewer, item.id, ROLE, f"{OF}_{source.name}")
    if layer is None:
        options |= {"contrast_limits": limits, "colormap": colormap, "blending": "translucent"}
        layer = layers.add_layer(viewer, item, (reading.picture, options, "image"))
        layer.colorbar.visible = True
        for spots in layers.layers_of(viewer, item.id, "spots"):
            # Their outlines would cover the colours.
            spots.visible = False
        return layer
    layers.update_layer(layer, reading.picture, options)
    if layer.colormap.name != colormap:
        layer.colormap = colormap
    layer.contrast_limits = limits
    layer.visible = True
    return layer


def pin_layer(
    viewer: ViewerModel, reading: Reading, number: int, limits: Limits, colormap: str
) -> Layer:
    """A layer that no other gene replaces; hidden, because it shows what is there already."""
    item = reading.choice.item
    options = _options(item, f"pin {number} \u00b7 {reading.title}", f"pin_{number}")
    options |= {"contrast_limits": limits, "colormap": colormap, "blending": "translucent"}
    layer = layers.add_layer(viewer, item, (reading.picture, options | {"visible": False}, "image"))
    layer.colorbar.visible = True
    return layer


def show_picture(viewer: ViewerModel, item: Item, name: str, title: str, data: Any) -> Layer:
    """Show a picture in colours, such as a blend of genes, in its one layer."""
    options = _options(item, title, name)
    layer = layers.find_layer(viewer, item.id, ROLE, f"{OF}_{name}")
    if layer is None:
        return layers.add_layer(viewer, item, (data, options | {"rgb": True}, "image"))
    layers.update_layer(layer, data, options)
    layer.visible = True
    return layer


def hide_others(viewer: ViewerModel, items: Collection[Item], shown: Collection[Layer]) -> None:
    """Hide genes and other values of these sections that are not in ``shown``."""
    for item in items:
        for layer in layers.layers_of(viewer, item.id, "gene", ROLE):
            if layer not in shown and layer.visible:
                layer.visible = False


def home(item: Item) -> NDArray[np.float64]:
    """(row, column) where the first pixel of the section's index map lies in the world."""
    return np.asarray(place_of_raster(item, ROLE, "")["translate"], dtype=float)


def _options(item: Item, title: str, name: str) -> dict[str, Any]:
    options = place_of_raster(item, ROLE, title, key=f"{OF}_{name}")
    options["metadata"][META] |= {"of": OF, "value": name}
    return options
