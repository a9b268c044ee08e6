"""Where a layer lies, set anew; runs without Qt."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import DataError
from ..core.section import Section
from .layer_tuples import image_layer
from .model import Item

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["box", "check_unmoved", "free_place", "rehome", "shift"]


def rehome(layer: Layer, item: Item) -> None:
    """Put our image layer where its section says, with a transform as `image_layer` gives it."""
    made = image_layer(item)
    if made is not None:
        layer.rotate, layer.shear = 0.0, [0.0]
        layer.scale, layer.translate = made[1]["scale"], made[1]["translate"]
        layer.affine = made[1].get("affine", np.eye(3))


def shift(layer: Layer, offset: tuple[float, float]) -> None:
    """Move a layer by ``offset`` (row, column) in the world, whatever its own transform is."""
    affine = np.array(layer.affine.affine_matrix, dtype=float)
    if np.allclose(affine, np.eye(len(affine))):
        layer.translate = [t + o for t, o in zip(layer.translate, offset, strict=True)]
    else:
        affine[:-1, -1] += offset
        layer.affine = affine


def check_unmoved(layer: Layer, item: Item) -> None:
    """Refuse a layer of spots that was moved: coordinates stay, the image goes to them.

    Raises
    ------
    DataError
        If its points do not lie where the section's coordinates are.
    """
    unit = item.section.um_per_px or 1.0
    probe = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    world = np.array([layer.data_to_world(point)[-2:] for point in probe])
    if not np.allclose(world, probe * unit + item.offset, rtol=1e-6, atol=1e-6 * unit):
        raise DataError(
            f"The layer '{layer.name}' was moved, but the coordinates of spots stay as they are",
            "delete it, take the section again and move the image layer instead",
        )


def box(section: Section) -> tuple[float, float, float, float]:
    """Top, left, bottom and right of spots and image in world units, before any offset."""
    unit, reach = section.um_per_px or 1.0, section.lattice.reach
    low, high = section.coords.min(axis=0) - reach, section.coords.max(axis=0) + reach
    left, top, right, bottom = (float(v) for v in (*low, *high))
    if section.image is not None:
        corners = section.image.corners()
        left, top = np.minimum((left, top), corners.min(axis=0))
        right, bottom = np.maximum((right, bottom), corners.max(axis=0))
    return top * unit, left * unit, bottom * unit, right * unit


def free_place(items: Collection[Item], section: Section) -> tuple[float, float]:
    """Offset right of the sections that are there, with a gap of a tenth, tops in line."""
    if not items:
        return 0.0, 0.0
    top, left, _, right = box(section)
    widest, line, edge = right - left, float("inf"), float("-inf")
    for item in items:
        high, near, _, far = box(item.section)
        widest = max(widest, far - near)
        line, edge = min(line, item.offset[0] + high), max(edge, item.offset[1] + far)
    return line - top, edge + 0.1 * widest - left
