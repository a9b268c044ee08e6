"""Small inputs that several docks and dialogs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QWidget,
)

from ..core.params import Params
from .guard import slot
from .remember import remember_folder, start_path

__all__ = [
    "NoWheel",
    "PathField",
    "ask_file",
    "ask_folder",
    "ask_target",
    "fill_presets",
    "make_button",
]

_PRESETS = {
    "recommended": "Recommended",
    "visium": "Visium",
    "st": "Spatial Transcriptomics (ST)",
    "stereoseq": "Bins (Stereo-seq, Visium HD)",
    "imaging": "Imaging-based",
    "paper": "As published",
}


class NoWheel(QObject):
    """Lets the page scroll instead of changing a value that the pointer happens to pass."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Swallow the wheel unless the field was clicked first."""
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False


class PathField(QWidget):
    """A path that can be typed, pasted or chosen; ``changed`` when it is another one."""

    changed = Signal()

    def __init__(self, title: str, filters: str, tip: str) -> None:
        super().__init__()
        self._folder = False
        self.tip = tip
        self.line = QLineEdit()
        self.line.setPlaceholderText("none")
        self.line.setClearButtonEnabled(True)
        self.line.textChanged.connect(self._on_text)
        self.browse = QPushButton("…")
        self.browse.setFixedWidth(30)
        self.browse.setAutoDefault(False)
        self.browse.clicked.connect(self._on_browse)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.line, 1)
        layout.addWidget(self.browse)
        self.setToolTip(tip)
        self.setFocusProxy(self.line)
        self.ask_for(title, filters)

    def ask_for(self, title: str, filters: str = "", *, folder: bool = False) -> None:
        """What the dialog asks for: a file that matches ``filters``, or a folder."""
        self._title, self._filters, self._folder = title, filters, folder
        self.line.setAccessibleName(title)
        self.browse.setAccessibleName(f"Choose: {title}")

    def value(self) -> str | None:
        """The path, or None."""
        return self.line.text().strip() or None

    def set_value(self, path: Any) -> None:
        """Show a path; says nothing."""
        with QSignalBlocker(self.line):
            self.line.setText(str(path) if path else "")

    @slot
    def _on_text(self) -> None:
        self.changed.emit()

    @slot
    def _on_browse(self) -> None:
        start = self.value() or ""
        if self._folder:
            path = ask_folder(self, self._title, start)
        else:
            path = ask_file(self, self._title, self._filters, start)
        if path is not None:
            self.line.setText(path)


def make_button(text: str, tip: str, receiver: Any) -> QPushButton:
    """A button with its explanation."""
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(receiver)
    return button


def fill_presets(combo: QComboBox, model: type[Params]) -> None:
    """Offer the presets of a method; the data of an entry is the preset's name."""
    combo.clear()
    for name in ("recommended", *model.PRESETS):
        combo.addItem(_PRESETS.get(name, name.capitalize()), name)


def ask_file(parent: QWidget, title: str, filters: str, start: str = "") -> str | None:
    """Ask for a file that exists; None where the user changes their mind.

    The dialog begins at ``start``, or in the folder that was used last.
    """
    path, _ = QFileDialog.getOpenFileName(parent, title, start or start_path(), filters)
    return _kept(path)


def ask_folder(parent: QWidget, title: str, start: str = "") -> str | None:
    """Ask for a folder that exists, as `ask_file` asks for a file."""
    return _kept(QFileDialog.getExistingDirectory(parent, title, start or start_path()))


def _kept(path: str) -> str | None:
    """The path, whose folder is where the next dialog begins."""
    if not path:
        return None
    remember_folder(path)
    return path


def ask_target(
    parent: QWidget, title: str, start: str, filters: str, complete: Callable[[str, str], Path]
) -> Path | None:
    """Ask where to write; None where the user changes their mind.

    ``complete(path, filter)`` gives the path its suffix; the dialog has asked about the name as
    it was typed only, and about no folder.
    """
    path, chosen = QFileDialog.getSaveFileName(parent, title, start_path(start), filters)
    if not path:
        return None
    remember_folder(path)
    target = complete(path, chosen)
    asked = str(target) == path and not target.is_dir()
    if asked or not target.exists():
        return target
    yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
    text = f"{target.name} already exists. Replace it?"
    return target if QMessageBox.question(parent, "Export", text, yes | no, no) == yes else None
