"""Drawn patterns: labels painted over a section, or shapes, as regions of its spots; no Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...core.errors import ParameterError
from ...features.regions import inside_polygons
from ..layer_tuples import META, our_meta, to_rows_columns
from ..model import Item
from ..predict.drawn_region import drawn_layers, outlines

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer, Shapes

__all__ = ["ROLE", "as_column", "new_pattern", "pattern_layers", "regions_of"]

ROLE = "pattern"
_MOST = 30
"""Regions of a pattern; a segmentation of cells has more."""
_BRUSH = 3.0
"""Diameter of the brush in distances between spots."""


def pattern_layers(viewer: ViewerModel) -> list[Layer]:
    """Layers that may say a pattern, newest first: painted labels, and the user's shapes."""
    from napari.layers import Labels, Shapes

    shapes = drawn_layers(viewer)
    found: list[Layer] = []
    for layer in reversed(viewer.layers):
        if isinstance(layer, Shapes):
            if layer in shapes:
                found.append(layer)
        elif isinstance(layer, Labels) and layer.ndim == 2 and not layer.multiscale:
            meta = our_meta(layer)
            if not meta or meta.get("role") == ROLE:
                found.append(layer)
    return found


def new_pattern(viewer: ViewerModel, item: Item) -> Labels:
    """An empty Labels layer over a section, ready to be painted."""
    raster, unit = item.raster, item.section.um_per_px or 1.0
    step = raster.step * unit
    corner = np.asarray(raster.centre(0, 0), dtype=float)
    layer = viewer.add_labels(
        np.zeros(raster.index.shape, dtype=np.uint8),
        name=f"{item.label} \u00b7 pattern",
        scale=(step, step),
        translate=tuple(to_rows_columns(corner) * unit + np.asarray(item.offset)),
        units=("um", "um") if item.section.um_per_px else None,
        opacity=0.6,
        # Of nobody's section: it neither keeps one open nor leaves with it.
        metadata={META: {"schema": 1, "role": ROLE}},
    )
    layer.brush_size = max(1, round(_BRUSH * item.section.lattice.pitch / raster.step))
    layer.selected_label = 1
    layer.mode = "paint"
    return layer


def regions_of(layer: Layer, item: Item) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Which spots a pattern covers with their centres.

    Parameters
    ----------
    layer
        Labels, whose numbers are the regions, or Shapes, each closed one a region; where shapes
        overlap the later one counts.
    item
        The section below it.

    Returns
    -------
    codes
        (n_spots,) place in ``names``, -1 outside.
    names
        Of the regions that cover a spot at least.

    Raises
    ------
    ParameterError
        If no spot is covered, there are more than 30 regions, or a shape has no area.
    """
    from napari.layers import Labels

    numbers = _painted(layer, item) if isinstance(layer, Labels) else _drawn(layer, item)
    found = np.unique(numbers[numbers > 0])
    if not found.size:
        raise ParameterError(
            f"The layer '{layer.name}' covers no spot of '{item.label}'",
            "paint over its spots with labels 1, 2 and so on, or draw closed shapes",
        )
    if found.size > _MOST:
        raise ParameterError(
            f"The layer '{layer.name}' has {found.size:,} labels over '{item.label}'",
            f"a pattern has at most {_MOST} regions: press New pattern layer and paint one",
        )
    codes = np.where(numbers > 0, np.searchsorted(found, numbers), -1)
    return codes.astype(np.intp), tuple(str(number) for number in found)


def as_column(codes: NDArray[np.intp], names: tuple[str, ...]) -> Any:
    """Regions as a column of ``obs``; missing where nothing is drawn."""
    return pd.Categorical.from_codes(codes, pd.Index(names))


def _painted(layer: Labels, item: Item) -> NDArray[np.intp]:
    """Label below the centre of every spot."""
    # Any transform that the layer has is affine.
    origin = np.asarray(layer.world_to_data((0.0, 0.0)), dtype=float)
    turn = np.column_stack([layer.world_to_data(axis) - origin for axis in np.eye(2)])
    pixel = np.rint(_world(item) @ turn.T + origin).astype(np.intp)
    inside = ((pixel >= 0) & (pixel < layer.data.shape)).all(axis=1)
    out = np.zeros(len(pixel), dtype=np.intp)
    out[inside] = np.asarray(layer.data)[tuple(pixel[inside].T)]
    return out


def _drawn(layer: Shapes, item: Item) -> NDArray[np.intp]:
    out = np.zeros(item.section.n_spots, dtype=np.intp)
    for number, polygon in enumerate(outlines(layer, item), start=1):
        out[inside_polygons(item.section.coords, [polygon])] = number
    return out


def _world(item: Item) -> NDArray[Any]:
    """(n_spots, 2) rows and columns of the spots in the world."""
    unit = item.section.um_per_px or 1.0
    return np.asarray(to_rows_columns(item.section.coords) * unit + np.asarray(item.offset))
