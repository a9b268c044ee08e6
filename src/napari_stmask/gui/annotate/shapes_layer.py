"""The Shapes layer of regions: found, made, read and written; no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...viz.palette import to_rgb
from .. import layers
from ..layer_tuples import META, our_meta, to_rows_columns
from ..model import Item
from .regions import NO_CLASS, Regions, Shape

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Shapes

__all__ = [
    "CLASS",
    "ROLE",
    "columns_of",
    "find",
    "make",
    "mark",
    "next_class",
    "paint",
    "read",
    "ready",
    "write",
]

ROLE = "regions"
CLASS = "class"
"""Column of the layer's features."""
_FACE, _FAINT = 0.4, 0.12
_GREY = "#808080"
_NAMED = 40
"""Shapes that have their class written onto them; more would hide each other's."""
_EDGE = 0.12
"""Width of an outline in distances between spots."""
_PITCH = 100.0
"""Distance between spots in the layer's own numbers: napari thins a lasso to half a unit."""


def columns_of(viewer: ViewerModel, item: Item) -> list[str]:
    """Columns of ``obs`` that layers of regions of a section are about."""
    return [str(our_meta(layer)["key"]) for layer in layers.layers_of(viewer, item.id, ROLE)]


def find(viewer: ViewerModel, item: Item, column: str) -> Shapes | None:
    """The layer of a section and column."""
    return layers.find_layer(viewer, item.id, ROLE, column)


def make(viewer: ViewerModel, item: Item, column: str) -> Shapes:
    """An empty layer above all others of the section."""
    unit = (item.section.um_per_px or 1.0) * item.section.lattice.pitch / _PITCH
    name = f"{item.label} \u00b7 regions \u00b7 {column}"
    about = {"schema": 1, "section_id": item.id, "role": ROLE, "key": column, "name": name}
    options = {
        "name": name,
        "ndim": 2,
        "scale": (unit, unit),
        "translate": item.offset,
        "units": ("um", "um") if item.section.um_per_px else ("pixel", "pixel"),
        "metadata": {META: about},
        "features": pd.DataFrame({CLASS: pd.Series([], dtype=object)}),
    }
    layer = layers.add_layer(viewer, item, (None, options, "shapes"))
    ready(layer, item)
    return layer


def ready(layer: Shapes, item: Item) -> None:
    """Outlines of a fitting width, and the names of classes on the shapes."""
    width = _EDGE * item.section.lattice.pitch * (item.section.um_per_px or 1.0)
    width /= float(layer.scale[-1])
    layer.current_edge_width = width
    if len(layer.data):
        layer.edge_width = [width] * len(layer.data)
    if CLASS not in layer.features:
        layer.features = {CLASS: np.full(len(layer.data), NO_CLASS, dtype=object)}
    dark = item.section.image is not None
    layer.text = {
        "string": f"{{{CLASS}}}",
        "size": 9,
        "color": "black" if dark else "white",
        "anchor": "center",
    }


def mark(layer: Shapes, first: int, name: str) -> None:
    """Give the shapes from ``first`` on a class; rows that an unfinished shape left go."""
    names = _classes(layer)
    names[first:] = [name] * len(names[first:])
    layer.features = {CLASS: np.array(names, dtype=object)}


def next_class(layer: Shapes, name: str, regions: Regions) -> None:
    """Draw the next shape in a class; those that are selected keep theirs."""
    rgb = to_rgb([regions.color_of(name) or _GREY])[0]
    with layer.block_update_properties():
        layer.current_face_color = [*rgb, _FACE if name != NO_CLASS else _FAINT]
        layer.current_edge_color = [*rgb, 1.0]
        layer.feature_defaults = {CLASS: name}


def paint(layer: Shapes, regions: Regions) -> None:
    """Colour every shape by its class."""
    count = len(layer.data)
    if not count:
        return
    names = _classes(layer)
    if layer.text.visible != (count <= _NAMED):
        layer.text.visible = count <= _NAMED
    if len(layer.features) != count:
        layer.features = {CLASS: np.array(names, dtype=object)}
    rgb = to_rgb([regions.color_of(name) or _GREY for name in names])
    opaque = [_FACE if name != NO_CLASS else _FAINT for name in names]
    face = np.column_stack([rgb, opaque]).astype(np.float32)
    edge = np.column_stack([rgb, np.ones(count)]).astype(np.float32)
    if not np.allclose(layer.face_color, face) or not np.allclose(layer.edge_color, edge):
        layer.face_color, layer.edge_color = face, edge


def read(layer: Shapes, item: Item) -> list[Shape]:
    """The shapes of a layer in the section's coordinates."""
    unit, offset = item.section.um_per_px or 1.0, np.asarray(item.offset)
    turn, origin = _affine(layer)
    return [
        Shape(_xy((np.asarray(data)[:, -2:] @ turn.T + origin - offset) / unit), str(kind), name)
        for data, kind, name in zip(layer.data, layer.shape_type, _classes(layer), strict=True)
    ]


def write(layer: Shapes, shapes: Sequence[Shape], item: Item, regions: Regions) -> None:
    """Show these shapes instead of those that the layer has."""
    unit, offset = item.section.um_per_px or 1.0, np.asarray(item.offset)
    turn, origin = _affine(layer)
    back = np.linalg.inv(turn)
    mode = layer.mode
    layer.selected_data = set()
    width = layer.current_edge_width
    layer.remove(list(range(len(layer.data))))
    if shapes:
        world = [to_rows_columns(s.corners) * unit + offset for s in shapes]
        layer.add(
            [(w - origin) @ back.T for w in world],
            shape_type=[s.kind for s in shapes],
            edge_width=width,
        )
        layer.features = {CLASS: np.array([s.name for s in shapes], dtype=object)}
        paint(layer, regions)
    layer.selected_data = set()
    layer.mode = mode


def _xy(rows_columns: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(to_rows_columns(rows_columns))


def _affine(layer: Shapes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(2, 2) and (2,) from the layer's data to the world; asked once, not for each corner."""
    origin = np.asarray(layer.data_to_world((0.0, 0.0)), dtype=float)
    axes = [np.asarray(layer.data_to_world(axis), dtype=float) - origin for axis in np.eye(2)]
    return np.column_stack(axes), origin


def _classes(layer: Shapes) -> list[str]:
    """Class of each shape; an unfinished shape may have left a row of features."""
    count = len(layer.data)
    column: Any = layer.features.get(CLASS, ())
    names = [name if isinstance(name, str) else NO_CLASS for name in list(column)[:count]]
    return names + [NO_CLASS] * (count - len(names))
