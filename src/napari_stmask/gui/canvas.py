"""One spot on the canvas: clicks that choose it, the mark that shows it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.compat import isalive

from .layer_tuples import META, our_meta, to_rows_columns
from .model import Item
from .session import Session

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["Mark", "nearest_spot", "on_click"]

_STILL = 5
"""Pixels of the screen that the mouse may move in a click; more is a drag."""


def nearest_spot(item: Item, world: Any) -> int | None:
    """Number of the spot under a position (row, column) of the world; None off the tissue."""
    section = item.section
    unit = section.um_per_px or 1.0
    place = to_rows_columns(np.asarray(world, dtype=float)[-2:] - item.offset) / unit
    away = ((section.coords - place) ** 2).sum(axis=1)
    nearest = int(away.argmin())
    reach = max(section.lattice.pitch, section.spot_diameter or 0.0)
    return nearest if away[nearest] <= reach**2 else None


def on_click(receiver: Callable[[float, float], None]) -> Callable[..., Iterator[None]]:
    """A mouse callback of the viewer that tells a widget's method where the left button clicked.

    Parameters
    ----------
    receiver
        A slot of a widget, called with row and column in the world. It is held weakly; the
        callback leaves the viewer when the widget has gone.
    """
    method = weakref.WeakMethod(receiver)

    def on_mouse(viewer: ViewerModel, event: Any) -> Iterator[None]:
        start, left = np.array(event.pos, dtype=float), event.button == 1
        yield
        while event.type == "mouse_move":
            yield
        still = float(np.abs(np.array(event.pos, dtype=float) - start).max()) <= _STILL
        found = method()
        if found is None or not isalive(found.__self__):
            if on_mouse in viewer.mouse_drag_callbacks:
                viewer.mouse_drag_callbacks.remove(on_mouse)
        elif left and still and len(event.dims_displayed) == 2:
            found(*(float(event.position[i]) for i in event.dims_displayed))

    return on_mouse


class Mark:
    """An outline around a spot, in a layer of its own that the user may delete."""

    def __init__(self, session: Session, role: str, *, shape: str, color: str) -> None:
        self._session, self._role = session, role
        self._shape, self._color = shape, color
        self._layer: weakref.ref[Layer] | None = None

    @property
    def layer(self) -> Layer | None:
        """The present layer, unless the user has deleted it."""
        viewer = self._session.viewer
        layer = self._layer() if self._layer is not None else None
        return layer if viewer is not None and layer in viewer.layers else None

    def draw(self, item: Item, spot: int, side: float, *, create: bool = True) -> None:
        """Show it, or move it.

        Parameters
        ----------
        item, spot
            What it is around.
        side
            Width and height, in units of the section's coordinates.
        create
            Whether a layer that is not there is made.
        """
        viewer, layer = self._session.viewer, self.layer
        if viewer is None or (layer is None and not create):
            return
        place, width = _outline(item, spot, side), self._width(item, side)
        if layer is None:
            self._layer = weakref.ref(self._add(viewer, item, [place], [width]))
            return
        layer.data = [place]
        layer.edge_width = width

    def draw_several(self, spots: Sequence[tuple[Item, int, float]]) -> None:
        """Show outlines around spots of one or several sections: item, spot and side of each."""
        self.remove()
        viewer = self._session.viewer
        if viewer is None or not spots:
            return
        places = [_outline(*spot) for spot in spots]
        widths = [self._width(item, side) for item, _, side in spots]
        self._layer = weakref.ref(self._add(viewer, spots[0][0], places, widths))

    def _width(self, item: Item, side: float) -> float:
        viewer = self._session.viewer
        assert viewer is not None
        unit = item.section.um_per_px or 1.0
        return float(max(0.06 * side * unit, 3 / viewer.scene.camera.zoom))

    def remove(self) -> None:
        """Show nothing."""
        layer, self._layer = self.layer, None
        if layer is not None and self._session.viewer is not None:
            self._session.viewer.layers.remove(layer)

    def _add(
        self, viewer: ViewerModel, item: Item, places: list[NDArray[Any]], widths: list[float]
    ) -> Layer:
        """What the user has selected stays so."""
        chosen, active = set(viewer.layers.selection), viewer.layers.selection.active
        ours = [layer for layer in viewer.layers if our_meta(layer)]
        layer = viewer.add_shapes(
            places,
            shape_type=self._shape,
            edge_color=self._color,
            edge_width=widths,
            face_color="transparent",
            opacity=1.0,
            name=f"{item.label} · {self._role}",
            units=tuple(map(str, ours[-1].units[-2:])) if ours else None,
            metadata={META: {"schema": 1, "role": self._role}},
        )
        layer.editable = False
        viewer.layers.selection = chosen
        viewer.layers.selection.active = active
        return layer


def _outline(item: Item, spot: int, side: float) -> NDArray[np.float64]:
    """(4, 2) corners in the world of a square around a spot."""
    unit = item.section.um_per_px or 1.0
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * side / 2
    place = (to_rows_columns(item.section.coords[spot]) + corners) * unit + item.offset
    return np.asarray(place)
