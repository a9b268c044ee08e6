"""Values of the spot under the pointer, from the section's index map; no Points layer needed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.compat import isalive

from .contrast_part import Shown

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["on_move", "spot_under", "values_under"]

Position = tuple[float, float]


def on_move(receiver: Callable[[Position], None]) -> Callable[..., None]:
    """A mouse callback of the viewer that tells a widget's method where the pointer is.

    The method is held weakly; the callback leaves the viewer when the widget has gone.
    """
    method = weakref.WeakMethod(receiver)

    def on_mouse(viewer: ViewerModel, event: Any) -> None:
        found = method()
        if found is None or not isalive(found.__self__):
            if on_mouse in viewer.mouse_move_callbacks:
                viewer.mouse_move_callbacks.remove(on_mouse)
        elif len(event.dims_displayed) == 2:
            row, column = (float(event.position[i]) for i in event.dims_displayed)
            found((row, column))

    return on_mouse


def spot_under(one: Shown, world: Position) -> int | None:
    """Number of the spot whose tile is there in a shown layer; None off its tissue."""
    if one.layer is None or not one.layer.visible:
        return None
    place = np.rint(np.asarray(one.layer.world_to_data(world))[-2:]).astype(int)
    index = one.reading.choice.item.raster.index
    if (place < 0).any() or (place >= index.shape).any():
        return None
    spot = int(index[place[0], place[1]])
    return spot if spot >= 0 else None


def values_under(shown: Sequence[Shown], world: Position) -> str:
    """Name of the spot and its values in everything shown, one line; empty off the tissue.

    Layers beside each other are asked for the same spot, as far as they have the same spots.
    """
    for one in shown:
        spot = spot_under(one, world)
        if spot is None:
            continue
        item = one.reading.choice.item
        name = str(item.section.adata.obs_names[spot])
        said = []
        for other in shown:
            section = other.reading.choice.item.section
            row = spot if other.reading.choice.item is item else None
            if row is None and name in section.adata.obs_names:
                row = int(section.adata.obs_names.get_loc(name))
            if row is not None:
                source = other.reading.choice
                said.append(f"{source.title} {other.reading.values[row]:.4g} {source.source.unit}")
        return f"{one.reading.gene}, {name}: " + "; ".join(said)
    return ""
