"""The folded group *Reading options*: what a user can say about a file that it does not say."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QLineEdit, QWidget

from ..core.errors import ParameterError
from ..io.options import CELL, MAX_BIN
from .fields import NoWheel, PathField, make_button
from .formats import MASKS, TABLES
from .guard import slot
from .opening import Source
from .parts import Fold, narrow_combo, plain_label

__all__ = ["ReadingOptions"]

_USUAL, _CELLS = "Usual", "Cells"
_BINS = {"spaceranger": (2, 8, 16)}
_OTHER_BINS = (1, 5, 10, 20, 50, 100, 200)
_TIPS = {
    "bin": "Side of a square bin: DNB (0.5 µm) for Stereo-seq, µm for Visium HD; Cells reads "
    "segmented cells. Usual: 50 DNB, or 8 µm.",
    "filtered": "Leave out spots that the platform found outside the tissue. Usually on.",
    "counts_layer": "Layer of an AnnData that holds the raw counts. Usually found by itself.",
    "spots": "Table of spot positions, where it does not lie beside the counts.",
    "mask": "Image of the tissue, or with Cells of the cells, in the frame of the coordinates.",
    "symbols": "Table from gene identifiers to symbols.",
    "columns": "Say which columns of a table are names, x, y, gene and count.",
}
_TITLES = {
    "bin": "Bin",
    "filtered": "Only spots under tissue",
    "counts_layer": "Counts layer",
    "spots": "Spots file",
    "mask": "Mask file",
    "symbols": "Symbols file",
    "columns": "Columns",
}


class ReadingOptions(QWidget):
    """Options for the next reading, or for the one that is shown.

    ``again`` asks for another reading of the shown source, ``columns_wanted`` for the dialog
    about columns.
    """

    again = Signal()
    columns_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._source: Source | None = None
        self._base: dict[str, Any] = {}
        self._columns: dict[str, str] = {}
        self._failed = False
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        self.about = plain_label()
        layout.addRow(self.about)
        self._build_fields(layout)
        self.note = plain_label()
        layout.addRow(self.note)
        self.button = make_button("Read again", "", self._on_again)
        layout.addRow(self.button)
        self.fold = Fold("Reading options", self)
        stops = [self.fold.toggleButton(), *self.fields.values(), self.button]
        for first, second in pairwise(stops):
            QWidget.setTabOrder(first, second)
        self.show_source(None, {})

    def _build_fields(self, layout: QFormLayout) -> None:
        self.bin = narrow_combo(QComboBox())
        self.bin.setEditable(True)
        self.bin.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.bin.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._no_wheel = NoWheel(self)
        self.bin.installEventFilter(self._no_wheel)
        self.bin.editTextChanged.connect(self._on_edit)
        self.filtered = QCheckBox(_TITLES["filtered"])
        self.filtered.setChecked(True)
        self.filtered.toggled.connect(self._on_edit)
        self.counts_layer = QLineEdit()
        self.counts_layer.setPlaceholderText("found by itself")
        self.counts_layer.textChanged.connect(self._on_edit)
        self.paths = {
            "spots": PathField(_TITLES["spots"], TABLES, _TIPS["spots"]),
            "mask": PathField(_TITLES["mask"], MASKS, _TIPS["mask"]),
            "symbols": PathField(_TITLES["symbols"], TABLES, _TIPS["symbols"]),
        }
        for field in self.paths.values():
            field.changed.connect(self._on_edit)
        self.columns = make_button("Columns…", _TIPS["columns"], self._on_columns)
        self.fields: dict[str, QWidget] = {
            "bin": self.bin,
            "filtered": self.filtered,
            "counts_layer": self.counts_layer,
            **self.paths,
            "columns": self.columns,
        }
        self._labels = {name: QLabel(_TITLES[name]) for name in self.fields if name != "filtered"}
        for name, widget in self.fields.items():
            widget.setAccessibleName(_TITLES[name])
            if name == "filtered":
                layout.addRow(widget)
            else:
                self._labels[name].setBuddy(widget)
                layout.addRow(self._labels[name], widget)

    def show_source(
        self, source: Source | None, reading: Mapping[str, Any], *, failed: bool = False
    ) -> None:
        """Show how a source was read, and what its format lets a user choose.

        Parameters
        ----------
        source
            None before anything was opened: every option is for the next file.
        reading
            Options that it was read with.
        failed
            Whether it could not be read, so that trying again may help without any change.
        """
        self._source, self._failed = source, failed
        self._fill(reading, source.format if source is not None else None)
        self._base = self._values()
        known = source is not None and (source.format is not None or bool(source.follows))
        for name, widget in self.fields.items():
            follows = source is None or not known or name in source.follows
            tip = _TIPS[name]
            if not follows and source is not None:
                tip = f"Means nothing for {source.title}."
            for part in (widget, self._labels.get(name)):
                if part is not None:
                    part.setEnabled(follows)
                    part.setToolTip(tip)
        title = "For the next file or folder that is opened."
        if source is not None:
            title = f"{Path(source.path).name}: {source.title or 'not recognised'}"
        self.about.setText(title)
        self._on_edit()

    def _fill(self, reading: Mapping[str, Any], name: str | None) -> None:
        sizes = [_USUAL, *map(str, _BINS.get(name or "", _OTHER_BINS)), _CELLS]
        size = reading.get("bin")
        with QSignalBlocker(self.bin), QSignalBlocker(self.filtered):
            self.bin.clear()
            self.bin.addItems(sizes)
            self.bin.setEditText({None: _USUAL, CELL: _CELLS}.get(size, str(size)))
            self.filtered.setChecked(bool(reading.get("filtered", True)))
        with QSignalBlocker(self.counts_layer):
            self.counts_layer.setText(str(reading.get("counts_layer") or ""))
        for key, field in self.paths.items():
            field.set_value(reading.get(key))
        self._columns = dict(reading.get("columns") or {})

    @property
    def source(self) -> Source | None:
        """What the options are about."""
        return self._source

    def set_columns(self, columns: Mapping[str, str], spots: str | None) -> None:
        """Take what the dialog about columns says."""
        self._columns = dict(columns)
        self.paths["spots"].set_value(spots)
        self._on_edit()

    def values(self) -> dict[str, Any]:
        """Options that differ from the usual and that the shown format follows.

        Raises
        ------
        ParameterError
            If the bin is no size.
        """
        found = self._values()
        problem = _bin_problem(found.get("bin"))
        if problem:
            raise ParameterError(f"The bin is '{found['bin']}'", problem)
        return {key: value for key, value in found.items() if self.fields[key].isEnabledTo(self)}

    def touched(self) -> dict[str, Any]:
        """Options that the user has changed since they were shown, for another file."""
        self.values()
        now, base = self._values(), self._base
        changed = {key for key in self.fields if now.get(key) != base.get(key)}
        return {key: value for key, value in now.items() if key in changed}

    def _values(self) -> dict[str, Any]:
        size: Any = self.bin.currentText().strip()
        lowered = size.lower()
        if lowered in ("", _USUAL.lower()):
            size = None
        elif lowered in (CELL, _CELLS.lower()):
            size = CELL
        elif lowered.isdecimal():
            size = int(lowered)
        found = {
            "bin": size,
            "filtered": None if self.filtered.isChecked() else False,
            "counts_layer": self.counts_layer.text().strip() or None,
            **{key: field.value() for key, field in self.paths.items()},
            "columns": self._columns or None,
        }
        return {key: value for key, value in found.items() if value is not None}

    @slot
    def _on_edit(self) -> None:
        now = self._values()
        named = ", ".join(f"{role} = {name}" for role, name in self._columns.items())
        problem = _bin_problem(now.get("bin"))
        lines = [named, f"\u26a0 Bin: {problem}." if problem else ""]
        self.note.setText("\n".join(line for line in lines if line))
        self.note.setVisible(bool(self.note.text()))
        changed = now != self._base
        self.button.setVisible(self._source is not None)
        self.button.setEnabled(not problem and (changed or self._failed))
        tip = "Read the same file or folder with these options."
        if problem:
            tip = f"Bin: {problem}."
        elif not self.button.isEnabled():
            tip = "Change an option first: it was read like this."
        self.button.setToolTip(tip)

    @slot
    def _on_again(self) -> None:
        self.again.emit()

    @slot
    def _on_columns(self) -> None:
        self.columns_wanted.emit()


def _bin_problem(size: Any) -> str:
    if size is None or size == CELL or (isinstance(size, int) and 1 <= size <= MAX_BIN):
        return ""
    return f"give a whole number from 1 to {MAX_BIN}, or Cells"
