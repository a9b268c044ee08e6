"""What the encoder sees of a spot: its patch, beside the tissue on which it is outlined."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QHideEvent, QImage, QPixmap, QShowEvent
from qtpy.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from ..core.histology import Histology
from ..core.section import Section
from .background import Background
from .canvas import Mark, nearest_spot, on_click
from .guard import Failure, slot
from .parts import Fold, dock_of, plain_label
from .session import Session

if TYPE_CHECKING:
    from .model import Item

__all__ = ["Look", "PatchPreview", "pixmap"]

_SIDE = 150
"""Side of the picture in the dock, in pixels of the screen."""
_COLOR = "#FFF000"
_ASK = "Click a spot on the tissue to see its patch."


@dataclass(frozen=True, eq=False)
class Look:
    """One patch.

    Attributes
    ----------
    pixels
        (side, side, 3) uint8, after the stain normalisation.
    across
        Pixels of the image's finest level that the patch is wide.
    tissue
        Share of it that shows tissue.
    outside
        Whether the spot's centre lies outside the image.
    """

    pixels: NDArray[np.uint8]
    across: float
    tissue: float
    outside: bool


class _Reader:
    """Cuts patches in a worker; keeps what was measured on the image for its stain."""

    def __init__(self) -> None:
        # The image of a closed section must not stay in memory.
        self._stain: tuple[weakref.ref[Histology], str, Callable[[Any], Any] | None] | None = None

    def look(self, section: Section, index: int, side: float, stain: Any) -> Look:
        """The patch of one spot, ``side`` coordinate units wide."""
        from ..features.patches import Patches, tissue_fraction
        from ..features.stain import normaliser

        image = section.image
        assert image is not None
        place = section.coords[[index]]
        patches = Patches(image, place, side=side)
        pixels = patches.one(0)
        known = self._stain
        if known is None or known[0]() is not image or known[1] != stain:
            known = self._stain = (weakref.ref(image), stain, normaliser(image, stain))
        if known[2] is not None:
            pixels = known[2](pixels)
        tissue = float(tissue_fraction(image, place, side)[0])
        return Look(pixels, side * image.scale, tissue, bool(patches.outside[0]))


class PatchPreview(QWidget):
    """A fold with the patch of the spot that was clicked last; listens only while unfolded."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._section: weakref.ref[Section] | None = None
        self._index: int | None = None
        self._wanted: tuple[float, Any, Any] = (1.0, "spots", "none")
        self._possible = self._hidden = self._behind = False
        self._mark = Mark(session, "patch", shape="rectangle", color=_COLOR)
        self._cuts = _Reader()
        self._listener: Callable[..., Any] | None = None
        self._dock: QDockWidget | None = None
        self._build()
        self._reader = Background(self)
        self._reader.done.connect(self._on_look)
        self._reader.failed.connect(self.show_failure)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(60)
        self._later.timeout.connect(self._read)
        self.fold.toggled.connect(self._switch)

    def _build(self) -> None:
        self.picture = QLabel()
        self.picture.setFixedSize(_SIDE, _SIDE)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setAccessibleName("Patch of the spot")
        self.text = plain_label(_ASK)
        self.text.setAccessibleName("About the patch")
        inner = QWidget()
        row = QHBoxLayout(inner)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.picture, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self.text, 1, Qt.AlignmentFlag.AlignTop)
        self.picture.hide()
        self.fold = Fold("Patch preview", inner)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)

    @property
    def listening(self) -> bool:
        """Whether a click on the canvas chooses a spot."""
        return self._listener is not None

    def follow(self, values: Mapping[str, Any], idle: Mapping[str, str]) -> None:
        """Take the fields of the form, and the section that the docks are about."""
        item = self.session.selected
        has_image = item is not None and item.section.image is not None
        self._possible = has_image and "patch_size" in values and "patch_size" not in idle
        self.setVisible(self._possible)
        if self._item is not item or item is None:
            self._section = weakref.ref(item.section) if item is not None else None
            self._forget()
        wanted = tuple(values.get(name) for name in ("patch_size", "patch_unit", "stain"))
        size, unit, stain = wanted
        known = (float(size or 1.0), unit or "spots", stain or "none")
        if known != self._wanted:
            self._wanted = known
            self.look_again()
        self._switch()

    def look_again(self) -> None:
        """Read the patch anew: a setting, or the image, is another one."""
        if self.listening and self._index is not None and self._item is not None:
            self._show_outline(False)
            self._later.start()

    def show_failure(self, failure: Failure) -> None:
        """Say in the place of the patch why there is none."""
        self.picture.hide()
        self.text.setText(f"\u26a0 {failure.text}")

    @slot
    def pick(self, row: float, column: float) -> None:
        """Show the spot nearest to a position in the world, if one is near."""
        item = self._item
        if item is None or item.section.image is None or not self.listening:
            return
        nearest = nearest_spot(item, (row, column))
        if nearest is None:
            return
        self._index = nearest
        self._show_outline(True)
        self._later.stop()
        self._read()

    def hideEvent(self, event: QHideEvent) -> None:
        """Leave the canvas while another dock lies in front."""
        super().hideEvent(event)
        if not event.spontaneous():
            self._hidden = True
            self._switch()

    def showEvent(self, event: QShowEvent) -> None:
        """Listen again."""
        super().showEvent(event)
        dock = self._dock or dock_of(self)
        if dock is not None and self._dock is None:
            # A dock behind another one is moved aside, not hidden.
            dock.visibilityChanged.connect(self._on_dock)
            self._dock = dock
        self._hidden = False
        self._switch()

    @slot
    def _on_dock(self, in_front: bool) -> None:
        self._behind = not in_front
        self._switch()

    @property
    def _item(self) -> Item | None:
        """The section of the spot, as long as it is the selected one and not another reading."""
        item = self.session.selected
        section = self._section() if self._section is not None else None
        return item if item is not None and item.section is section else None

    @slot
    def _switch(self) -> None:
        """Listen to the canvas exactly while the fold is open and in front."""
        seen = not (self._hidden or self._behind)
        active = self._possible and seen and self.fold.isExpanded()
        viewer = self.session.viewer
        if active == self.listening or viewer is None:
            return
        if active:
            self._listener = on_click(self.pick)
            viewer.mouse_drag_callbacks.append(self._listener)
            if self._index is not None:
                self._show_outline(True)
                self._later.start()
            return
        if self._listener in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._listener)
        self._listener = None
        self._later.stop()
        self._reader.forget()
        self._mark.remove()

    def _forget(self) -> None:
        """No spot is chosen."""
        self._index = None
        self._later.stop()
        self._reader.forget()
        self.picture.hide()
        self.text.setText(_ASK)
        self._mark.remove()

    @slot
    def _read(self) -> None:
        item, index = self._item, self._index
        if item is None or index is None or item.section.image is None:
            return
        self._reader.start(self._cuts.look, item.section, index, self._side(item), self._wanted[2])

    def _side(self, item: Item) -> float:
        from ..features.patches import patch_side

        return patch_side(item.section, *self._wanted[:2])

    @slot
    def _on_look(self, look: Look) -> None:
        item, index = self._item, self._index
        if item is None or index is None:
            return
        self.picture.setPixmap(pixmap(look.pixels))
        self.picture.show()
        um, side = item.section.um_per_px, self._side(item)
        size = f"{side * um:.4g} µm" if um else f"{side:.4g} px of the coordinates"
        lines = [
            str(item.section.adata.obs_names[index]),
            f"Side: {size}",
            f"Image: {look.across:.0f} px across",
            f"Tissue: {100 * look.tissue:.0f} %",
        ]
        if self._wanted[2] != "none":
            lines.append(f"Stain: {self._wanted[2]}")
        if look.outside:
            lines.append("The spot lies outside the image.")
        self.text.setText("\n".join(lines))

    @slot
    def _show_outline(self, create: bool) -> None:
        """Draw the square; one that the user deleted comes back with the next click only."""
        item, index = self._item, self._index
        if item is not None and index is not None:
            self._mark.draw(item, index, self._side(item), create=create)


def pixmap(pixels: NDArray[np.uint8], shown: int = _SIDE) -> QPixmap:
    """Pixels (rows, columns, 3) uint8, enlarged or reduced to ``shown`` pixels of the screen."""
    rows, columns = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).tobytes()
    picture = QImage(data, columns, rows, 3 * columns, QImage.Format.Format_RGB888).copy()
    small = max(rows, columns) <= shown
    how = (
        Qt.TransformationMode.FastTransformation
        if small
        else Qt.TransformationMode.SmoothTransformation
    )
    return QPixmap.fromImage(picture).scaled(shown, shown, Qt.AspectRatioMode.KeepAspectRatio, how)
