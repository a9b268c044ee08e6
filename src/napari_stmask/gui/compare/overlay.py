"""Two labelings and their differences as layers over the tissue; no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import layers
from ..analyse.spot_values import ROLE
from ..layer_tuples import META, PASSING, place_of_raster
from ..model import Item

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from ...analysis.agreement import Agreement

__all__ = ["DIFFERENT", "differences", "find", "hide", "show_differences", "show_labeling"]

DIFFERENT = "#E8112D"
"""Colour of spots whose domains are no partners."""
_DIFFERENCES = "compare_differences"
_SIDES = ("compare_first", "compare_second")


def differences(found: Agreement) -> NDArray[np.intp]:
    """(n_spots,) 0 where partners agree, 1 where they do not, -1 without a domain in both."""
    codes = np.where(found.disagree, 1, 0)
    return np.asarray(np.where(found.known, codes, -1), dtype=np.intp)


def show_differences(viewer: ViewerModel, item: Item, picture: Any, title: str) -> Layer:
    """Show a picture of `differences` as the index map has it; what agrees is clear."""
    return _show(
        viewer, item, _DIFFERENCES, f"differences \u00b7 {title}", picture,
        ["clear", DIFFERENT], ["agree", "differ"],
    )  # fmt: skip


def show_labeling(
    viewer: ViewerModel,
    item: Item,
    side: int,
    title: str,
    picture: Any,
    colors: Sequence[str],
    names: Sequence[str],
) -> Layer:
    """Show a labeling in a layer of its own; ``side`` is 0 for the first, 1 for the second."""
    return _show(
        viewer, item, _SIDES[side], f"compared \u00b7 {title}", picture, colors, names
    )  # fmt: skip


def find(viewer: ViewerModel, item: Item, *, sides: bool) -> list[Layer]:
    """The two labelings, or the differences, that are shown."""
    keys = _SIDES if sides else (_DIFFERENCES,)
    found = (layers.find_layer(viewer, item.id, ROLE, key) for key in keys)
    return [layer for layer in found if layer is not None]


def hide(viewer: ViewerModel, item: Item, *, sides: bool) -> None:
    """Hide the two labelings, or the differences.

    Their layers stay: napari collects garbage whenever a layer goes, which takes half a second.
    """
    for layer in find(viewer, item, sides=sides):
        if layer.visible:
            layer.visible = False


def _show(
    viewer: ViewerModel,
    item: Item,
    key: str,
    title: str,
    picture: Any,
    colors: Sequence[str],
    names: Sequence[str],
) -> Layer:
    import pandas as pd
    from napari.utils.colormaps import DirectLabelColormap

    clear = np.zeros(4, dtype=np.float32)
    table: dict[int | None, Any] = {None: clear, 0: clear}
    for code, color in enumerate(colors):
        table[code + 1] = clear if color == "clear" else color
    options = place_of_raster(item, ROLE, title, key=key)
    options["metadata"][META] |= {"of": "", "value": key, PASSING: True}
    colormap = DirectLabelColormap(color_dict=table)
    features = pd.DataFrame({"index": range(len(names) + 1), "domain": ["", *names]})
    layer = layers.find_layer(viewer, item.id, ROLE, key)
    if layer is None:
        options |= {"colormap": colormap, "features": features, "opacity": 1.0}
        layer = layers.add_layer(viewer, item, (picture, options, "labels"))
    else:
        layers.update_layer(layer, picture, options)
        layer.colormap, layer.features = colormap, features
        layer.visible = True
    layer.editable = False
    return layer
