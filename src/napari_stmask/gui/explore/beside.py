"""Layers of one section beside each other, and back; no Qt."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..integrate.side_by_side import Seen
from ..layer_tuples import our_meta
from ..model import Item
from ..placing import box
from .captions import Captions
from .source_layers import home

if TYPE_CHECKING:
    from napari.layers import Layer

    from ..session import Session

__all__ = ["Beside", "cells"]

_GAP = 0.06
"""Distance between two cells, in widths of a section."""
_TURN: weakref.WeakKeyDictionary[Session, weakref.ref[Beside]] = weakref.WeakKeyDictionary()
"""Who shows something now: two at a time would each bring back what the other has made."""


def cells(count: int, high: float, wide: float) -> list[tuple[float, float]]:
    """(row, column) shifts of some cells of that size, in a block as square as can be."""
    high, wide = high + _GAP * max(high, wide), wide + _GAP * max(high, wide)
    columns = max(1, min(count, math.ceil(math.sqrt(count * high / wide))))
    return [(i // columns * high, i % columns * wide) for i in range(count)]


class Beside:
    """The first layer stays on the section, the others lie in cells right of it and below.

    Everything else is hidden meanwhile but the section's own layers, and napari's grid is off;
    both come back with `leave`. ``give_way`` is a method that ends it for another dock.
    """

    def __init__(self, session: Session, give_way: Callable[[], None]) -> None:
        self._session = session
        # Weakly: the dock that shows is not kept alive by what it has shown.
        self._give_way = weakref.WeakMethod(give_way)
        self._seen: Seen | None = None
        self._grid = False
        self._moved: list[tuple[weakref.ref[Layer], weakref.ref[Item]]] = []
        self._item: weakref.ref[Item] | None = None
        self._count = 0
        self._captions = Captions()

    @property
    def on(self) -> bool:
        """Whether several layers lie beside each other."""
        return self._seen is not None

    def take_turn(self) -> None:
        """Called before layers are made: what another dock has laid out is put away."""
        known = _TURN.get(self._session)
        other = known() if known is not None else None
        _TURN[self._session] = weakref.ref(self)
        if other is not None and other is not self and other.on:
            give_way = other._give_way()
            if give_way is not None:
                give_way()

    def show(self, item: Item, shown: Sequence[tuple[Item, Layer]], titles: Sequence[str]) -> None:
        """Lay the layers out; a single one lies on the section, and what was hidden is back."""
        viewer = self._session.viewer
        if viewer is None:
            return
        if len(shown) < 2:
            self.leave()
            for own, layer in shown:
                layer.translate = home(own)
            return
        if self._seen is None:
            self._seen = Seen(self._session)
            self._grid = bool(viewer.canvas.grid.enabled)
            viewer.canvas.grid.enabled = False
        self._item = weakref.ref(item)
        ours = [layer for _, layer in shown]
        for layer in viewer.layers:
            if layer.visible and layer not in ours and our_meta(layer).get("section_id") != item.id:
                layer.visible = False
        top, left, bottom, right = box(item.section)
        places = cells(len(shown), bottom - top, right - left)
        self._moved = []
        for (own, layer), place in zip(shown, places, strict=True):
            shift = np.asarray(place) + item.offset - np.asarray(own.offset)
            layer.translate = home(own) + shift
            self._moved.append((weakref.ref(layer), weakref.ref(own)))
        corner = np.asarray((top, left)) + item.offset
        units = [str(unit) for unit in ours[0].units[-2:]]
        ends = [tuple(corner + np.asarray(place)) for place in places]
        self._captions.draw(viewer, item, ends, titles, units)
        if self._count != len(shown):
            self._count = len(shown)
            viewer.reset_view()

    def leave(self) -> None:
        """Layers lie on their sections; visibility, camera and grid as they were before."""
        viewer, seen = self._session.viewer, self._seen
        moved, self._moved, self._seen, self._count = self._moved, [], None, 0
        if viewer is None or seen is None:
            return
        for known, owner in moved:
            layer, item = known(), owner()
            if layer is not None and item is not None:
                layer.translate = home(item)
        self._captions.hide(viewer, self._item() if self._item is not None else None)
        seen.restore()
        viewer.canvas.grid.enabled = self._grid
