"""Sections in a grid on the canvas, and back where they were."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import layers
from ..keeping import BEFORE
from ..layer_tuples import our_meta
from ..model import Item
from ..placing import box, shift
from ..session import Session

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Seen", "SideBySide", "only_domains"]

_GAP = 0.06
"""Distance between two cells of the grid, in widths of a cell."""


class Seen:
    """Which layers were visible, which one was active, and where the camera stood."""

    def __init__(self, session: Session) -> None:
        self._session = session
        viewer = session.viewer
        assert viewer is not None
        self._layers = [(weakref.ref(layer), layer.visible) for layer in viewer.layers]
        for layer in viewer.layers:
            BEFORE.setdefault(layer, bool(layer.visible))
        active = viewer.layers.selection.active
        self._active = weakref.ref(active) if active is not None else None
        camera = viewer.scene.camera
        self._camera = camera.center, camera.zoom, camera.angles

    def restore(self) -> None:
        """Layers that are still there as they were; the camera likewise."""
        viewer = self._session.viewer
        if viewer is None:
            return
        for known, visible in self._layers:
            layer = known()
            if layer is not None:
                BEFORE.pop(layer, None)
                if layer in viewer.layers:
                    layer.visible = visible
        active = self._active() if self._active is not None else None
        # What the user has chosen since stays chosen.
        if viewer.layers.selection.active is None and active in viewer.layers:
            viewer.layers.selection.active = active
        camera = viewer.scene.camera
        camera.center, camera.zoom, camera.angles = self._camera


class SideBySide:
    """All layers of a section move together, so that its image, tiles and spots stay in place."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._homes: list[tuple[weakref.ref[Item], tuple[float, float]]] = []
        self._seen: Seen | None = None

    @property
    def on(self) -> bool:
        """Whether the sections lie in a grid."""
        return self._seen is not None

    def show(self, items: Sequence[Item], key: str) -> None:
        """Lay sections out row by row, the domains ``key`` on top; other layers are hidden."""
        viewer = self._session.viewer
        if viewer is None or self.on or not items:
            return
        self._seen = Seen(self._session)
        boxes = [box(item.section) for item in items]
        high = max(bottom - top for top, _, bottom, _ in boxes) * (1 + _GAP)
        wide = max(right - left for _, left, _, right in boxes) * (1 + _GAP)
        columns = math.ceil(math.sqrt(len(items) * high / wide))
        start = min(item.offset[0] + one[0] for item, one in zip(items, boxes, strict=True))
        edge = min(item.offset[1] + one[1] for item, one in zip(items, boxes, strict=True))
        for i, (item, (top, left, bottom, right)) in enumerate(zip(items, boxes, strict=True)):
            row, column = divmod(i, columns)
            self._homes.append((weakref.ref(item), item.offset))
            middle = (high - (bottom - top)) / 2, (wide - (right - left)) / 2
            place = start + row * high + middle[0] - top, edge + column * wide + middle[1] - left
            self._move(item, place)
        ids = {item.id for item in items}
        for layer in viewer.layers:
            layer.visible = layer.visible and our_meta(layer).get("section_id") in ids
        for item in items:
            only_domains(viewer, item, key)
        viewer.reset_view()

    def hide(self) -> None:
        """Everything back where it was; what was closed stays closed."""
        homes, self._homes = self._homes, []
        seen, self._seen = self._seen, None
        for known, offset in homes:
            item = known()
            if item is not None:
                self._move(item, offset)
        if seen is not None:
            seen.restore()

    def _move(self, item: Item, offset: tuple[float, float]) -> None:
        viewer = self._session.viewer
        step = offset[0] - item.offset[0], offset[1] - item.offset[1]
        for layer in layers.layers_of(viewer, item.id) if viewer is not None else ():
            shift(layer, step)
        item.offset = offset


def only_domains(viewer: ViewerModel, item: Item, key: str) -> None:
    """Show the domains ``key`` of a section, and none of its others."""
    for layer in layers.layers_of(viewer, item.id, "domains"):
        layer.visible = our_meta(layer).get("key") == key
