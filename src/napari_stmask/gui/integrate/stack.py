"""Serial sections above one another in 3-D."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import DataError
from ..layer_tuples import MAX_POINTS, META, our_meta
from ..session import Session
from .known import Known
from .side_by_side import Seen

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["Stack", "usual_stretch"]

_TALL = 0.5
"""Height of a stack that is stretched as usual between two sections, in widths of a section."""
_ANGLES = (0.0, -15.0, 58.0)
_FILLED = 0.95
"""Share of the canvas that the stack fills from corner to corner."""


def usual_stretch(known: Known) -> float:
    """How much depth has to be stretched so that sections can be told apart; 1 at least."""
    if known.positions is None:
        return 1.0
    levels = np.unique(known.positions[:, 2])
    if len(levels) < 2:
        return 1.0
    wide = float(np.ptp(known.positions[:, :2], axis=0).max())
    return max(1.0, float(round(_TALL * wide / float(np.diff(levels).min()))))


class Stack:
    """Points with x, y and depth of the aligned spots, in the colours of their domains."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._layer: weakref.ref[Layer] | None = None
        self._seen: Seen | None = None
        self._ndisplay = 2

    @property
    def on(self) -> bool:
        """Whether the stack is shown."""
        return self._seen is not None

    @property
    def layer(self) -> Layer | None:
        """The layer of the stack, unless the user has deleted it."""
        viewer = self._session.viewer
        layer = self._layer() if self._layer is not None else None
        return layer if viewer is not None and layer in viewer.layers else None

    def show(self, known: Known, stretch: float) -> None:
        """Show the stack instead of everything else.

        Raises
        ------
        DataError
            If there are too many spots to draw.
        """
        viewer = self._session.viewer
        if viewer is None or known.positions is None or self.on:
            return
        if len(known.positions) > MAX_POINTS:
            raise DataError(
                f"{len(known.positions):,} spots are too many for a stack in 3-D",
                f"integrate {MAX_POINTS:,} at most, or look at them side by side",
            )
        self._seen = Seen(self._session)
        self._ndisplay = viewer.dims.ndisplay
        for layer in viewer.layers:
            layer.visible = False
        ours = [layer for layer in viewer.layers if our_meta(layer)]
        unit = str(ours[-1].units[-1]) if ours else "pixel"
        # (depth, row, column), as napari orders axes.
        layer = viewer.add_points(
            known.positions[:, ::-1],
            name="Sections in 3-D",
            size=known.size,
            face_color=known.spot_colors(self._session),
            border_width=0,
            scale=(stretch, 1.0, 1.0),
            units=(unit,) * 3,
            metadata={META: {"schema": 1, "role": "integrate"}},
        )
        self._layer = weakref.ref(layer)
        viewer.dims.ndisplay = 3
        self._look()

    def _look(self) -> None:
        """Bring the stack into view; napari would make room for what is hidden, too."""
        viewer, layer = self._session.viewer, self.layer
        if viewer is None or layer is None:
            return
        low, high = np.asarray(layer.extent.world)
        camera = viewer.scene.camera
        camera.center = tuple((low + high) / 2)
        camera.angles = _ANGLES
        camera.zoom = _FILLED * min(viewer.canvas.size) / float(np.linalg.norm(high - low))

    def recolour(self, known: Known) -> None:
        """Take the colours that the legends show by now."""
        layer = self.layer
        if layer is not None:
            layer.face_color = known.spot_colors(self._session)

    def stretch(self, by: float) -> None:
        """Stretch depth."""
        layer = self.layer
        if layer is not None:
            layer.scale = (by, 1.0, 1.0)

    def hide(self) -> None:
        """The layer leaves, and the other ones come back."""
        layer, viewer = self.layer, self._session.viewer
        seen, self._seen, self._layer = self._seen, None, None
        if viewer is None or seen is None:
            return
        if layer is not None:
            viewer.layers.remove(layer)
        viewer.dims.ndisplay = self._ndisplay
        seen.restore()
