"""Spots inside what is drawn in a Shapes layer; no Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ParameterError
from ...features.regions import inside_polygons, with_guard
from ..layer_tuples import our_meta, to_rows_columns
from ..model import Item

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Shapes

__all__ = ["drawn_layers", "learn_mask", "outline_of", "outlines"]

_CORNERS = 64
"""Of the polygon that stands for an ellipse."""
_LINES = ("line", "path")


def drawn_layers(viewer: ViewerModel) -> list[Shapes]:
    """The user's Shapes layers, newest first; marks of our own are none of them."""
    from napari.layers import Shapes

    return [x for x in reversed(viewer.layers) if isinstance(x, Shapes) and not our_meta(x)]


def outlines(layer: Shapes, item: Item) -> list[NDArray[np.float64]]:
    """Closed shapes of a layer as (m, 2) vertices (x, y) in the section's coordinates."""
    unit = item.section.um_per_px or 1.0
    found = []
    for data, kind in zip(layer.data, layer.shape_type, strict=True):
        corners = outline_of(data, kind)
        if corners is None:
            continue
        world = np.array([layer.data_to_world(corner)[-2:] for corner in corners])
        found.append(np.asarray(to_rows_columns(world - np.asarray(item.offset)) / unit))
    return found


def outline_of(corners: Any, kind: str) -> NDArray[np.float64] | None:
    """(m, 2) vertices around a shape as napari keeps it; None for lines, which are open."""
    if kind in _LINES:
        return None
    return _ellipse(corners) if kind == "ellipse" else np.asarray(corners, dtype=np.float64)


def learn_mask(layer: Shapes | None, item: Item, gap: float) -> NDArray[np.bool_]:
    """(n_spots,) spots of a section inside the shapes of a layer.

    Parameters
    ----------
    layer
        With polygons, rectangles or ellipses, or None.
    item
        The section that they are drawn over.
    gap
        Distances between spots that have to lie between these and the spots to predict.

    Raises
    ------
    StmaskError
        If nothing is drawn, or no spots would be left to learn from or to predict.
    """
    if layer is None:
        raise ParameterError(
            "There is no region to learn from", "press Draw and outline one on the section"
        )
    polygons = outlines(layer, item)
    if not polygons:
        raise ParameterError(
            f"The layer '{layer.name}' has no closed shape",
            "draw a polygon, a rectangle or an ellipse over the section",
        )
    coords = item.section.coords
    inside = inside_polygons(coords, polygons)
    return with_guard(coords, inside, gap * item.section.lattice.pitch)[0]


def _ellipse(corners: Any) -> NDArray[np.float64]:
    """A polygon for the ellipse in a box of four corners, which may be turned."""
    corners = np.asarray(corners, dtype=np.float64)
    centre = corners.mean(axis=0)
    first, second = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(angle) * first + np.sin(angle) * second)
