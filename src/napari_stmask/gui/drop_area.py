"""Where files and folders can be dropped."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout

__all__ = ["DropArea"]

_DROP_TEXT = (
    "Drop a file or folder here\n"
    "Visium, Visium HD, Stereo-seq, Xenium\n"
    "MERSCOPE, CosMx, legacy ST\n"
    "AnnData, SpatialData, tables"
)


class DropArea(QFrame):
    """Takes a file or folder; ``dropped`` carries the local paths."""

    dropped = Signal(list)

    def __init__(self) -> None:
        super().__init__()
        self.setAcceptDrops(True)
        self.setObjectName("stmask_drop")
        self.setMinimumHeight(96)
        self.setAccessibleName("Drop area for files and folders")
        layout = QVBoxLayout(self)
        self.label = QLabel(_DROP_TEXT)
        self.label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.label.setWordWrap(True)
        layout.addWidget(self.label)
        self._highlight(False)

    def _highlight(self, on: bool) -> None:
        style = "solid" if on else "dashed"
        self.setStyleSheet(f"#stmask_drop {{ border: 2px {style} #7f8c9a; border-radius: 6px; }}")

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept what has a local path."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            self._highlight(True)
            event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Look as before."""
        self._highlight(False)
        super().dragLeaveEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        """Hand the paths on."""
        self._highlight(False)
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.dropped.emit(paths)
