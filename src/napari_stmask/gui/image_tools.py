"""Buttons for the histology of a section: add it, place it, save how it lies."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QWidget

from ..core.errors import DataError
from ..core.section import Section
from . import layers, loading
from .background import Background
from .fields import ask_file, ask_folder, make_button
from .formats import ALIGNMENTS, IMAGES
from .guard import Failure, slot
from .placing import rehome
from .session import Session

if TYPE_CHECKING:
    from napari.layers import Layer

    from .model import Item

__all__ = ["ImageTools"]

BY_HAND = "The image lies where it was put by hand; save the alignment to be able to repeat it."
_OF_IMAGE = ("image", "alignment")
_NO_IMAGE = "The section has no image yet: add one first."


class ImageTools(QWidget):
    """Works on the selected section; ``busy(text)`` begins and, with no text, ends a job."""

    busy = Signal(str)
    failed = Signal(object)
    saved = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._worker = Background(self)
        self._worker.done.connect(self._on_read)
        self._worker.failed.connect(self._on_failed)
        self.image = make_button(
            "Add histology image…",
            "Give the section a microscope image that lies in another file: PNG, JPEG, TIFF, "
            "OME-TIFF, SVS or NDPI.",
            self._on_image,
        )
        self.zarr = make_button(
            "OME-Zarr…", "Give the section an image in an OME-Zarr folder.", self._on_zarr
        )
        self.align = make_button("Alignment file…", "", self._on_align)
        self.save = make_button("Save alignment…", "", self._on_save)
        self._tips = {
            self.align: "Place the image by a file: Loupe's .json, Xenium's imagealignment.csv, "
            "or 3 x 3 numbers from image pixels to coordinates.",
            self.save: "Write how the image lies on the spots, to be used again.",
        }
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(6)
        grid.addWidget(self.image, 0, 0, 1, 4)
        grid.addWidget(self.zarr, 0, 4, 1, 2)
        grid.addWidget(self.align, 1, 0, 1, 3)
        grid.addWidget(self.save, 1, 3, 1, 3)

    def set_idle(self, idle: bool) -> None:
        """Enable what the selected section allows; nothing while a job goes on."""
        item = self.session.selected
        free = idle and not self._worker.busy
        # A second image would make the answer about the first void.
        for button in (self.image, self.zarr):
            button.setEnabled(free and item is not None)
        placed = item is not None and item.section.image is not None
        for button, tip in self._tips.items():
            button.setEnabled(free and placed)
            button.setToolTip(tip if placed else _NO_IMAGE)

    @property
    def working(self) -> bool:
        """Whether an image is being opened."""
        return self._worker.busy

    def add(self, path: str) -> None:
        """Open an image in the background and put it under the selected section."""
        self._start(f"Opening {Path(path).name} …", _with_image, path)

    def use_alignment(self, path: str) -> None:
        """Place the image of the selected section by a file."""
        self._start(f"Reading {Path(path).name} …", _aligned, path)

    def save_alignment(self, path: str) -> None:
        """Write how the image of the selected section lies on its spots."""
        from ..io.alignment import save_alignment

        item = self.session.selected
        if item is None or item.section.image is None:
            raise DataError("The section has no image", "add one first")
        target = Path(path) if Path(path).suffix else Path(path + ".json")
        save_alignment(item.section.image, target)
        _remember(item.section, str(target))
        item.section.notes = [note for note in item.section.notes if note != BY_HAND]
        item.by_hand = False
        self.session.section_changed.emit(item.id)
        self.saved.emit(f"Written: {target}")

    def take_place(self, layer: Layer, item: Item) -> bool:
        """Let the section's image lie where its layer was moved to; whether that is elsewhere."""
        section = item.section
        if section.image is None:
            return False
        found = loading.layer_to_histology(layer, section, item.offset).matrix
        unmoved = np.allclose(found, section.image.matrix, rtol=1e-6, atol=1e-6)
        if not unmoved:
            section.image = section.image.placed(transform=found)
            section.reading.pop("alignment", None)
            item.by_hand = True
            _note(section)
            rehome(layer, item)
            self.session.section_changed.emit(item.id)
        return not unmoved

    def take_image(self, layer: Layer, item: Item) -> None:
        """Take an RGB layer of someone else as the section's image, where it lies."""
        section = item.section
        section.image = loading.layer_to_histology(layer, section, item.offset)
        section.reading = {k: v for k, v in section.reading.items() if k not in _OF_IMAGE}
        _note(section)
        item.by_hand = True
        show_image(self.session, item)

    def _start(self, text: str, work: Any, path: str) -> None:
        item = self.session.selected
        if item is not None:
            self._worker.start(work, item.section, path)
            self.busy.emit(text)

    @slot
    def _on_read(self, found: tuple[Section, Section]) -> None:
        section, read = found
        self.busy.emit("")
        for item in self.session.items.values():
            if item.section is section:
                self._take(item, read)
                return

    def _take(self, item: Item, read: Section) -> None:
        section = item.section
        section.image, section.notes, section.reading = read.image, read.notes, read.reading
        item.by_hand = False
        if read.um_per_px != section.um_per_px:
            # The image told the scale: every layer gets another one.
            section.um_per_px = read.um_per_px
            self.session.rebuild(item)
            return
        show_image(self.session, item)

    def show_failure(self, failure: Failure) -> None:
        """Hand a failure on to the dock."""
        self.failed.emit(failure)

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self.busy.emit("")
        self.failed.emit(failure)

    @slot
    def _on_image(self) -> None:
        path = ask_file(self, "Add a histology image", IMAGES)
        if path is not None:
            self.add(path)

    @slot
    def _on_zarr(self) -> None:
        path = ask_folder(self, "Add an OME-Zarr image")
        if path is not None:
            self.add(path)

    @slot
    def _on_align(self) -> None:
        path = ask_file(self, "Place the image", ALIGNMENTS)
        if path is not None:
            self.use_alignment(path)

    @slot
    def _on_save(self) -> None:
        item = self.session.selected
        start = f"{item.section.name.replace('/', '_')}-alignment.json" if item else ""
        path, _ = QFileDialog.getSaveFileName(self, "Save the alignment", start, "JSON (*.json)")
        if path:
            self.save_alignment(path)


def show_image(session: Session, item: Item) -> None:
    """Show the section's present image instead of the one that its layer shows."""
    viewer = session.viewer
    if viewer is not None:
        old = layers.find_layer(viewer, item.id, "image")
        if old is not None:
            viewer.layers.remove(old)
    session.show(item)
    session.section_changed.emit(item.id)


def _copy(section: Section) -> Section:
    """What a worker may change: the section itself belongs to the window."""
    read = copy.copy(section)
    read.notes, read.reading = list(section.notes), dict(section.reading)
    return read


def _note(section: Section) -> None:
    """Say that the image was placed by hand, instead of what was said about its place."""
    section.notes = [*_without_place(section), BY_HAND]


def _without_place(section: Section) -> list[str]:
    """Notes without those on where the present image lies; a scale taken from it still holds."""
    source = section.image.source if section.image is not None else None
    return [
        note
        for note in section.notes
        if note != BY_HAND
        and (source is None or source not in note or note.startswith("The scale"))
    ]


def _with_image(section: Section, path: str) -> tuple[Section, Section]:
    from ..io.place import place_image

    present = section.image.source if section.image is not None else None
    if present is not None and Path(present).resolve() == Path(path).resolve():
        raise DataError(
            f"{path} is the section's image already",
            "place it by an alignment file, or move its layer and use the selected layer",
        )
    read = _copy(section)
    read.notes = _without_place(section)
    place_image(read, path)
    read.reading.pop("alignment", None)
    read.reading["image"] = path
    return section, read


def _aligned(section: Section, path: str) -> tuple[Section, Section]:
    from ..io.alignment import read_alignment

    read = _copy(section)
    if read.image is None:
        raise DataError("The section has no image", "add one first")
    read.notes = _without_place(section)
    read.image = read.image.placed(transform=read_alignment(path, read, read.image))
    _remember(read, path)
    return section, read


def _remember(section: Section, alignment: str) -> None:
    """Keep what a script needs to read the section like this again."""
    image = section.image
    source = section.reading.get("image") or (image.source if image is not None else None)
    if source is not None:
        section.reading |= {"image": source, "alignment": alignment}
