"""The dock *Open tissue*: bring a section into the viewer and see what was read."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QWidget,
)
from superqt import QElidingLabel

from ..core.errors import DataError
from ..core.section import Section
from . import layers, loading
from .background import Background
from .drop_area import DropArea
from .guard import Failure, slot
from .model import Item
from .parts import MessageStrip, Page, SectionCombo, plain_label
from .session import session_of

if TYPE_CHECKING:
    import napari

__all__ = ["OpenTissue"]

_IMAGES = "Images (*.png *.jpg *.jpeg *.tif *.tiff *.btf *.svs);;All files (*)"
_FILES = "Sections (*.h5ad *.h5);;All files (*)"


class OpenTissue(Page):
    """Opens sections and reports what was read."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session = session_of(napari_viewer)
        self._reader = Background(self)
        self._reader.done.connect(self._on_loaded)
        self._reader.failed.connect(self.show_failure)
        self._imager = Background(self)
        self._imager.done.connect(self._on_image)
        self._imager.failed.connect(self.show_failure)
        self._build()
        self.session.section_selected.connect(self._refresh)
        self.session.section_changed.connect(self._refresh)
        self._refresh()

    def _build(self) -> None:
        self.drop = DropArea()
        self.drop.dropped.connect(self.open_path)
        self.body.addWidget(self.drop)
        grid = QGridLayout()
        grid.setSpacing(6)
        self.folder = _button("Open folder…", "Open a Space Ranger output folder.", self._on_folder)
        self.file = _button("Open file…", "Open an .h5ad file or a 10x .h5 matrix.", self._on_file)
        self.example = _button(
            "Try the example", "Open a generated section; needs no download.", self.open_example
        )
        self.layers = _button(
            "Use selected layers",
            "Take the section of the selected layer, or a selected RGB image as its histology.",
            self.use_selected,
        )
        self.image = _button(
            "Add histology image…",
            "Give the section a microscope image that lies in another file.",
            self._on_image_button,
        )
        buttons = (self.folder, self.file, self.example, self.layers)
        for i, button in enumerate(buttons):
            grid.addWidget(button, i // 2, i % 2)
        grid.addWidget(self.image, 2, 0, 1, 2)
        self.body.addLayout(grid)
        self._build_report()

    def _build_report(self) -> None:
        """What was read, and what is wrong with it."""
        self.busy = QProgressBar()
        self.busy.setTextVisible(False)
        self.busy.setFixedHeight(6)
        self.busy.hide()
        self.body.addWidget(self.busy)
        self.state = plain_label()
        self.body.addWidget(self.state)
        self.strip = MessageStrip()
        self.body.addWidget(self.strip)
        self.alignment = MessageStrip()
        self.body.addWidget(self.alignment)
        self.combo = SectionCombo(self.session)
        self.body.addWidget(self.combo)
        self.table = QWidget()
        self.rows = QFormLayout(self.table)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.rows.setSpacing(4)
        self.body.addWidget(self.table)
        self.notes = plain_label()
        self.body.addWidget(self.notes)
        self.next = _button(
            "Find domains  \u2192", "Open the dock that finds tissue domains.", self._on_next
        )
        self.body.addWidget(self.next)
        self.body.addStretch(1)

    def open_path(self, path: str) -> None:
        """Read a file or folder in the background and show it."""
        self._start(f"Reading {Path(path).name} …", loading.load_path, path)

    @slot
    def open_example(self) -> None:
        """Show the generated section."""
        self._start("Making the example …", loading.load_sample)

    @slot
    def use_selected(self) -> None:
        """Take the section, or the histology, from the layers selected in napari."""
        chosen = list(self.viewer.layers.selection)
        for layer in chosen:
            section_id = layers.our_meta(layer).get("section_id")
            if section_id in self.session.items:
                self.session.select(section_id)
                return
            adata = loading.adata_of(layer)
            if adata is not None:
                self._start(f"Taking {layer.name} …", loading.load_adata, adata)
                return
        item = self.session.selected
        if chosen and item is not None:
            item.section.image = loading.layer_to_histology(chosen[0], item.section, item.offset)
            self._image_changed(item)
            return
        raise DataError(
            "The selected layers hold no section",
            "select a layer with an AnnData in its metadata, or an RGB image after a section "
            "was opened",
        )

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong; what was open stays."""
        self._set_busy("")
        self.strip.show_failure(failure)

    def _start(self, text: str, function: Any, *args: Any) -> None:
        self.strip.clear()
        self._set_busy(text)
        self._reader.start(function, *args)

    def _set_busy(self, text: str) -> None:
        # A still bar: animated ones make the whole window redraw all the time.
        self.busy.setRange(0, 2)
        self.busy.setValue(1)
        self.busy.setVisible(bool(text))
        self.state.setText(text)
        self.state.setVisible(bool(text))
        for button in (self.folder, self.file, self.example, self.layers, self.drop):
            button.setEnabled(not text)
        # A second image would make the answer about the first void.
        self.image.setEnabled(not text and self.session.selected is not None)

    @slot
    def _on_loaded(self, loaded: loading.Loaded) -> None:
        self._set_busy("")
        for section, raster in loaded:
            self.session.add(section, raster=raster)
        self.viewer.reset_view()
        self._refresh()

    @slot
    def _on_image(self, found: tuple[Section, Section]) -> None:
        section, read = found
        self._set_busy("")
        section.image, section.notes = read.image, read.notes
        for item in self.session.items.values():
            if item.section is section:
                self._image_changed(item)
                return

    def _image_changed(self, item: Item) -> None:
        old = layers.find_layer(self.viewer, item.id, "image")
        if old is not None:
            self.viewer.layers.remove(old)
        self.session.show(item)
        self.session.section_changed.emit(item.id)

    @slot
    def _refresh(self) -> None:
        item = self.session.selected
        known = item is not None
        self.busy.setVisible(self._reader.busy)
        self.state.setVisible(bool(self.state.text()))
        for widget in (self.combo, self.table, self.next):
            widget.setVisible(known)
        self.image.setEnabled(known and not self._imager.busy)
        while self.rows.rowCount():
            self.rows.removeRow(0)
        self.alignment.clear()
        self.notes.hide()
        if item is None:
            return
        for label, text in loading.report(item.section):
            value = QElidingLabel(text)
            value.setTextFormat(Qt.TextFormat.PlainText)
            value.setToolTip(text)
            self.rows.addRow(QLabel(label), value)
        self.notes.setText("\n".join(f"Note: {note}" for note in item.section.notes))
        self.notes.setVisible(bool(item.section.notes))
        inside = loading.inside_image(item.section)
        if inside < loading.INSIDE_ENOUGH:
            self.alignment.show_warning(
                f"Only {inside:.0%} of the spots lie inside the image. It may belong to another "
                "section or have another scale; add the right image."
            )

    @slot
    def _on_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a Space Ranger folder")
        if path:
            self.open_path(path)

    @slot
    def _on_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a section", "", _FILES)
        if path:
            self.open_path(path)

    @slot
    def _on_image_button(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Add a histology image", "", _IMAGES)
        if path:
            self.add_image(path)

    def add_image(self, path: str) -> None:
        """Open an image in the background and put it under the selected section."""
        item = self.session.selected
        if item is not None:
            self.strip.clear()
            self._set_busy(f"Opening {Path(path).name} …")
            self._imager.start(_read_image, item.section, path)

    @slot
    def _on_next(self) -> None:
        from .commands import open_dock

        open_dock(self.viewer, "Find domains")


def _read_image(section: Section, path: str) -> tuple[Section, Section]:
    """The section, and a copy of it with the image: the worker leaves the section alone."""
    read = copy.copy(section)
    read.notes = list(section.notes)
    return section, loading.add_image(read, path)


def _button(text: str, tip: str, receiver: Any) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(receiver)
    return button
