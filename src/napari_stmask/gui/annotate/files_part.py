"""Regions from files and other layers, into files, and as script or command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from ...annotations import read_annotation
from ...core.errors import ParameterError
from ...core.section import Section
from ...io.originals import check_originals
from ...io.write import write
from ..background import Background
from ..export import snapshot
from ..fields import ask_file, ask_target, make_button
from ..guard import Failure, slot
from ..parts import copy_text, narrow_combo
from ..predict.drawn_region import drawn_layers
from .editor import Editor
from .recipe import as_command, as_python

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Shapes

__all__ = ["FilesPart"]

_READ = "Regions (*.geojson *.json *.csv *.tsv *.txt *.csv.gz *.tsv.gz *.parquet);;All files (*)"
_OUTLINES, _TABLE = "Outlines for QuPath (*.geojson)", "Barcode and class for Loupe (*.csv)"


class FilesPart(QWidget):
    """Import, export, shapes of other layers, recipes.

    Parameters
    ----------
    editor
        Of the regions.
    """

    read = Signal(object, str)
    """What a file says, and its path."""
    taken = Signal(object)
    """A Shapes layer whose shapes are wanted."""
    said = Signal(str)
    failed = Signal(object)

    def __init__(self, editor: Editor) -> None:
        super().__init__()
        self._editor = editor
        self._asked: tuple[Any, ...] = ()
        self._layers: list[Shapes] = []
        self._reader, self._writer = Background(self), Background(self)
        self._reader.done.connect(self._on_read)
        self._writer.done.connect(self._on_written)
        for worker in (self._reader, self._writer):
            worker.failed.connect(self._on_failed)
        self._build()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        grid = QGridLayout()
        grid.setSpacing(6)
        self.open = make_button(
            "Import…",
            "Read GeoJSON of QuPath, or a table of barcode and label such as Loupe's.",
            self._on_open,
        )
        self.save = make_button(
            "Export…", "Write the regions for QuPath or for Loupe Browser.", self._on_save
        )
        self.python = make_button(
            "Copy as Python", "Script that reads the regions from their file.", self._on_python
        )
        self.command = make_button(
            "Copy as command", "Command that reads the regions from their file.", self._on_command
        )
        for place, button in enumerate((self.open, self.save, self.python, self.command)):
            grid.addWidget(button, *divmod(place, 2))
        layout.addLayout(grid)
        row = QHBoxLayout()
        row.setSpacing(6)
        self.layer = narrow_combo(QComboBox())
        self.layer.setAccessibleName("Layer to take shapes of")
        self.layer.setToolTip("Shapes layer of your own that lies over the section.")
        self.take = make_button(
            "Take shapes", "Copy the shapes of that layer as regions of the class.", self._on_take
        )
        row.addWidget(self.layer, 1)
        row.addWidget(self.take)
        layout.addLayout(row)

    def refresh(self, viewer: ViewerModel | None) -> None:
        """Enable what can be done."""
        board = self._editor.board
        self._layers = drawn_layers(viewer) if viewer is not None else []
        names = [layer.name for layer in self._layers]
        if names != [self.layer.itemText(i) for i in range(self.layer.count())]:
            with QSignalBlocker(self.layer):
                self.layer.clear()
                self.layer.addItems(names)
        self.layer.setEnabled(bool(names))
        self.take.setEnabled(board is not None and bool(names))
        busy = self._reader.busy or self._writer.busy
        self.open.setEnabled(board is not None and not busy)
        full = board is not None and bool((board.state.codes >= 0).any())
        self.save.setEnabled(full and not busy)
        for button in (self.python, self.command):
            button.setEnabled(full)

    def import_file(self, path: str) -> None:
        """Read a file of regions in the background."""
        board = self._editor.settled()
        if board is None or self._reader.busy:
            return
        self.said.emit(f"Reading {Path(path).name} …")
        self._asked = (board, path)
        self._reader.start(read_annotation, board.section, path, label=board.column)
        self.open.setEnabled(False)

    def export_to(self, path: str) -> None:
        """Write the regions in the background; the suffix decides."""
        board = self._editor.settled()
        if board is None or self._writer.busy:
            return
        check_originals(board.section, path)
        self.said.emit(f"Writing {Path(path).name} …")
        self._asked = (board, board.state)
        self._writer.start(_write, snapshot(board.section), Path(path), board.column)
        self.save.setEnabled(False)

    @slot
    def _on_open(self) -> None:
        path = ask_file(self, "Import regions", _READ)
        if path is not None:
            self.import_file(path)

    @slot
    def _on_save(self) -> None:
        board = self._editor.settled()
        if board is None:
            return
        start = f"{board.section.name}_{board.column}.geojson".replace("/", "_")
        target = ask_target(self, "Export regions", start, f"{_OUTLINES};;{_TABLE}", _complete)
        if target is not None:
            self.export_to(str(target))

    @slot
    def _on_take(self) -> None:
        row = self.layer.currentIndex()
        if 0 <= row < len(self._layers):
            self.taken.emit(self._layers[row])

    @slot
    def _on_read(self, found: Any) -> None:
        board, path = self._asked
        self.open.setEnabled(True)
        if board is self._editor.settled():
            self.read.emit(found, path)

    @slot
    def _on_written(self, path: Path) -> None:
        board, state = self._asked
        # A table has no colours: it does not say the same.
        if board.state is state and path.suffix == ".geojson":
            board.source = str(path)
        self.save.setEnabled(True)
        self.said.emit(f"Written: {path}")

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self.open.setEnabled(self._editor.board is not None)
        self.save.setEnabled(self._editor.board is not None)
        self.failed.emit(failure)

    def _copy(self, text: Callable[[Section, str, str], str], what: str) -> None:
        board = self._editor.settled()
        if board is None:
            return
        if board.source is None:
            raise ParameterError(
                "These regions are in no file yet", "press Export… and write GeoJSON, then copy"
            )
        copy_text(text(board.section, board.source, board.column))
        self.said.emit(f"The {what} is on the clipboard.")

    @slot
    def _on_python(self) -> None:
        self._copy(as_python, "script")

    @slot
    def _on_command(self) -> None:
        self._copy(as_command, "command")

    def show_failure(self, failure: Failure) -> None:
        """Hand on what went wrong."""
        self.failed.emit(failure)


def _complete(path: str, kind: str) -> Path:
    """The path with the suffix of the chosen kind, unless it has one of the two."""
    found = Path(path)
    if found.suffix.lower() in (".geojson", ".csv"):
        return found
    return found.with_name(found.name + (".csv" if kind == _TABLE else ".geojson"))


def _write(section: Section, path: Path, column: str) -> Path:
    if path.suffix.lower() != ".csv":
        return write(section, path, column=column)
    from ...io.atomic import atomic_path
    from ...io.write_table import write_loupe

    with atomic_path(path) as part:
        write_loupe(section, part, column)
    return path
