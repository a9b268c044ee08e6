"""Areas with holes as simple outlines, which napari can show and edit; no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...io.read_regions import Region
from .regions import Shape

__all__ = ["MOST", "shapes_of"]

MOST = 2000
"""Shapes that can still be edited at ease; cells of a segmentation are more."""


def shapes_of(regions: Sequence[Region]) -> list[Shape] | None:
    """Polygons that cover the same spots as regions do; None where there would be too many.

    Areas with holes are cut through their holes, upright, until no piece has one.
    """
    found: list[Shape] = []
    for region in regions:
        for piece in _simple(region.area):
            corners = np.asarray(piece.exterior.coords, dtype=np.float64)[:-1]
            found.append(Shape(corners, "polygon", region.name))
        if len(found) > MOST:
            return None
    return found


def _simple(area: Any) -> list[Any]:
    """Polygons without holes."""
    import shapely

    out, parts = [], [p for p in shapely.get_parts(area) if p.geom_type == "Polygon"]
    while parts:
        part = parts.pop(0)
        if not part.area > 0:
            continue
        if not len(part.interiors):
            out.append(part)
            continue
        left, bottom, right, top = part.bounds
        hole = part.interiors[0].bounds
        middle = (hole[0] + hole[2]) / 2
        halves = (
            shapely.intersection(part, shapely.box(a, bottom, b, top))
            for a, b in ((left, middle), (middle, right))
        )
        cut = [p for half in halves for p in shapely.get_parts(half) if p.geom_type == "Polygon"]
        parts = cut + parts
    return out
