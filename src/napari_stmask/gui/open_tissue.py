"""The dock *Open tissue*: bring a section into the viewer and see what was read."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFormLayout,
    QGridLayout,
    QLabel,
    QProgressBar,
    QWidget,
)
from superqt import QElidingLabel

from ..core.errors import DataError
from ..core.section import Section
from . import loading
from .background import Background
from .columns import ColumnsDialog
from .drop_area import DropArea
from .fields import ask_file, ask_folder, make_button
from .formats import SECTIONS, TABLES
from .guard import Failure, slot
from .image_tools import ImageTools
from .layer_tuples import our_meta
from .opening import Attempt, Source, Table, look_at, source_of, try_to_read
from .parts import MessageStrip, Page, SectionCombo, plain_label
from .placing import check_unmoved
from .reading import ReadingOptions
from .reread import BESIDE, ask_about_results, put_in_place
from .session import session_of

if TYPE_CHECKING:
    import napari

__all__ = ["OpenTissue"]


class OpenTissue(Page):
    """Opens sections and reports what was read."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.session = session_of(napari_viewer)
        self._sources: weakref.WeakKeyDictionary[Section, Source] = weakref.WeakKeyDictionary()
        self._unread: Attempt | None = None
        self._replacing: tuple[str, frozenset[str]] | None = None
        self._dialog: ColumnsDialog | None = None
        self._asked: tuple[Table, Attempt | None, dict[str, Any]] | None = None
        self._reader = Background(self)
        self._reader.done.connect(self._on_loaded)
        self._reader.failed.connect(self.show_failure)
        self._build()
        self.session.section_selected.connect(self._on_selected)
        self.session.section_changed.connect(self._refresh)
        self._refresh()

    def _build(self) -> None:
        self.drop = DropArea()
        self.drop.dropped.connect(self._on_drop)
        self.body.addWidget(self.drop)
        grid = QGridLayout()
        grid.setSpacing(6)
        self.folder = make_button(
            "Open folder…",
            "Open an output folder of Space Ranger, Xenium, MERSCOPE or CosMx, legacy ST, or a "
            "Zarr folder of AnnData or SpatialData.",
            self._on_folder,
        )
        self.file = make_button(
            "Open file…",
            "Open .h5ad, a 10x .h5 matrix, Stereo-seq .gef or .gem, ST counts or a table.",
            self._on_file,
        )
        self.example = make_button(
            "Try the example", "Open a generated section; needs no download.", self.open_example
        )
        self.layers = make_button(
            "Use selected layers",
            "Take the section of the selected layer, a selected RGB image as its histology, or "
            "the place to which its image was moved.",
            self.use_selected,
        )
        for i, button in enumerate((self.folder, self.file, self.example, self.layers)):
            grid.addWidget(button, i // 2, i % 2)
        self.body.addLayout(grid)
        self.options = ReadingOptions()
        self.options.again.connect(self._on_again)
        self.options.columns_wanted.connect(self._on_columns)
        self.body.addWidget(self.options.fold)
        self._build_report()

    def _build_report(self) -> None:
        """What was read, what is wrong with it, and its image."""
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
        self.images = ImageTools(self.session)
        self.images.busy.connect(self._on_image_job)
        self.images.failed.connect(self.show_failure)
        self.images.saved.connect(self._tell)
        self.body.addWidget(self.images)
        self.next = make_button(
            "Find domains  \u2192", "Open the dock that finds tissue domains.", self._on_next
        )
        self.body.addWidget(self.next)
        self.body.addStretch(1)

    @slot
    def open_path(self, path: str) -> None:
        """Read a file or folder in the background, with options changed for it, and show it."""
        self._read(path, self.options.touched())

    @slot
    def _on_drop(self, paths: list[str]) -> None:
        self.open_path(paths[0])
        if len(paths) > 1:
            from napari.utils.notifications import show_warning

            show_warning(
                f"Only {Path(paths[0]).name} is opened: drop one file or folder at a time."
            )

    @slot
    def open_example(self) -> None:
        """Show the generated section."""
        self._start("Making the example …", loading.load_sample)

    @slot
    def use_selected(self) -> None:
        """Take the section, the histology or its place from the layers selected in napari."""
        self.strip.clear()
        # Images first: the place of one is news, that of spots is not.
        chosen = sorted(
            self.viewer.layers.selection, key=lambda x: our_meta(x).get("role") != "image"
        )
        for layer in chosen:
            meta = our_meta(layer)
            item = self.session.items.get(meta.get("section_id", ""))
            if item is not None:
                self.session.select(item.id)
                if meta.get("role") == "image" and self.images.take_place(layer, item):
                    self._tell("The image now lies where its layer was moved to.")
                elif meta.get("role") == "spots":
                    check_unmoved(layer, item)
                return
            adata = loading.adata_of(layer)
            if adata is not None:
                self._start(f"Taking {layer.name} …", loading.load_adata, adata)
                return
        item = self.session.selected
        if chosen and item is not None:
            self.images.take_image(chosen[0], item)
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

    def _read(self, path: str, wishes: Mapping[str, Any], replacing: Any = None) -> None:
        self._replacing = replacing
        self._start(f"Reading {Path(path).name} …", try_to_read, path, dict(wishes))

    def _start(self, text: str, function: Any, *args: Any) -> None:
        self.strip.clear()
        self._set_busy(text)
        self._reader.start(function, *args)

    def _set_busy(self, text: str) -> None:
        # A still bar: animated ones make the whole window redraw all the time.
        self.busy.setRange(0, 2)
        self.busy.setValue(1)
        self.busy.setVisible(bool(text))
        self._tell(text)
        for widget in (self.folder, self.file, self.example, self.layers, self.drop, self.options):
            widget.setEnabled(not text)
        self.images.set_idle(not text)

    @slot
    def _tell(self, text: str) -> None:
        self.state.setText(text)
        self.state.setVisible(bool(text))

    @slot
    def _on_image_job(self, text: str) -> None:
        if text:
            self.strip.clear()
        self._set_busy(text)

    @slot
    def _on_loaded(self, found: loading.Loaded | Attempt) -> None:
        self._set_busy("")
        loaded = found.loaded if isinstance(found, Attempt) else found
        if isinstance(found, Attempt):
            if found.failure is not None:
                self._on_unread(found)
                return
            for section, _ in loaded:
                self._sources[section] = found.source
        self._unread = None
        if self._replacing is not None:
            put_in_place(self.session, loaded, *self._replacing)
        else:
            for section, raster in loaded:
                self.session.add(section, raster=raster)
            self.viewer.reset_view()
        self._replacing = None
        self._refresh()
        self._show_options()
        if isinstance(found, Attempt) and found.left_out:
            names = ", ".join(found.left_out)
            self.strip.show_warning(
                f"Not used: {names}. It means nothing for {found.source.title}."
            )

    def _on_unread(self, attempt: Attempt) -> None:
        """Show why; ask what the columns mean where that is what is missing."""
        assert attempt.failure is not None
        self._unread = attempt
        self._show_options()
        if attempt.table is None:
            self.strip.show_failure(attempt.failure)
        else:
            self._ask_columns(attempt.table, attempt)

    @slot
    def _on_selected(self) -> None:
        self._unread = None
        self._refresh()
        self._show_options()

    def _show_options(self) -> None:
        """Options of what could not be read last, else of the selected section."""
        if self._unread is not None:
            self.options.show_source(self._unread.source, self._unread.wishes, failed=True)
            return
        item = self.session.selected
        source = self._source_of(item.section) if item is not None else None
        self.options.show_source(source, item.section.reading if item and source else {})

    def _source_of(self, section: Section) -> Source | None:
        if section not in self._sources and section.source and Path(section.source).exists():
            table = bool(section.reading.get("columns") or section.reading.get("spots"))
            self._sources[section] = source_of(section.source, table=table)
        return self._sources.get(section)

    @slot
    def _on_again(self) -> None:
        self._again(self.options.values())

    def _again(self, wishes: dict[str, Any]) -> None:
        """Read what the options are about with these wishes, in the place of what is there."""
        if self._unread is not None:
            self._read(self._unread.source.path, wishes, self._replacing)
            return
        item = self.session.selected
        source = self._source_of(item.section) if item is not None else None
        if item is None or source is None:
            return
        answer = ask_about_results(self, item)
        if answer is None:
            return
        kept = {k: v for k, v in item.section.reading.items() if k in ("image", "alignment")}
        replacing = None if answer == BESIDE else (item.id, frozenset(item.domains))
        self._read(source.path, wishes | kept, replacing)

    @slot
    def _on_columns(self) -> None:
        """Ask what the columns of the shown table mean, or of one that is chosen now."""
        shown = self.options.source
        if shown is not None and "columns" in shown.follows:
            self._ask_columns(look_at(shown.path), self._unread)
            return
        path = ask_file(self, "Open a table", TABLES)
        if path is not None:
            self._replacing = None
            self._ask_columns(look_at(path), Attempt(source_of(path), {}))

    def _ask_columns(self, table: Table, attempt: Attempt | None) -> None:
        """Show the dialog; ``attempt`` is what to try again, None the selected section."""
        said = dict(attempt.wishes if attempt is not None else self.options.values())
        self._asked = (table, attempt, said)
        self._dialog = ColumnsDialog(table, self, said.get("columns"), said.get("spots"))
        self._dialog.accepted.connect(self._on_columns_said)
        self._dialog.rejected.connect(self._on_columns_kept_back)
        self._dialog.open()

    @slot
    def _on_columns_said(self) -> None:
        if self._asked is None or self._dialog is None:
            return
        table, attempt, said = self._asked
        columns, spots = self._dialog.chosen()
        wishes = {key: value for key, value in said.items() if key != "spots"}
        wishes |= {"columns": columns} | ({"spots": spots} if spots is not None else {})
        if attempt is not None:
            self._read(table.path, wishes, self._replacing)
            return
        self.options.set_columns(columns, spots)
        self._again(wishes)

    @slot
    def _on_columns_kept_back(self) -> None:
        attempt = self._asked[1] if self._asked is not None else None
        if attempt is not None and attempt.failure is not None:
            self.strip.show_failure(attempt.failure)

    @slot
    def _refresh(self) -> None:
        item = self.session.selected
        known = item is not None
        self.busy.setVisible(self._reader.busy or self.images.working)
        self.state.setVisible(bool(self.state.text()))
        for widget in (self.combo, self.table, self.next, self.images):
            widget.setVisible(known)
        self.images.set_idle(not self._reader.busy)
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
        path = ask_folder(self, "Open a section's folder")
        if path is not None:
            self.open_path(path)

    @slot
    def _on_file(self) -> None:
        path = ask_file(self, "Open a section", SECTIONS)
        if path is not None:
            self.open_path(path)

    @slot
    def _on_next(self) -> None:
        from .commands import open_dock

        open_dock(self.viewer, "Find domains")
