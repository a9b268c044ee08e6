"""The button *Export…*: every format that can be written, in the background."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QLabel, QPushButton

from .background import Background
from .export import export
from .fields import ask_target
from .formats import export_filters, target_of
from .guard import Failure, slot
from .keeping import with_desk
from .parts import MessageStrip
from .session import Session

__all__ = ["ExportButton"]


class ExportButton(QPushButton):
    """Writes the selected section or its shown domains; says so in ``state`` and ``strip``."""

    def __init__(self, session: Session, state: QLabel, strip: MessageStrip) -> None:
        super().__init__("Export…")
        self.session, self._state, self._strip = session, state, strip
        self.setToolTip(
            "Write the section (AnnData, SpatialData), a table, the domains for QuPath, Loupe "
            "Browser or as label image, or a figure."
        )
        self._writer = Background(self)
        self._writer.done.connect(self._on_written)
        self._writer.failed.connect(self.show_failure)
        self.clicked.connect(self._on_click)

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return self._writer.busy

    def refresh(self) -> None:
        """Enable it where there is something to write."""
        self.setEnabled(self.session.selected is not None and not self._writer.busy)

    def export_to(self, path: str) -> None:
        """Write the section, its domains or a figure to ``path`` in the background."""
        item, domains = self.session.selected, self.session.selected_domains
        if item is None or self._writer.busy:
            return
        self._strip.clear()
        self._state.setText(f"Writing {Path(path).name} …")
        state, column = (domains.state, domains.column) if domains is not None else (None, None)
        self._writer.start(export, with_desk(self.session.viewer, item), state, path, column)
        self.refresh()

    @slot
    def _on_click(self) -> None:
        item = self.session.selected
        if item is None:
            return
        start = item.section.name.replace("/", "_") + ".h5ad"
        filters = export_filters(domains=self.session.selected_domains is not None)
        target = ask_target(self, "Export", start, filters, target_of)
        if target is not None:
            self.export_to(str(target))

    @slot
    def _on_written(self, path: Path) -> None:
        self._state.setText(f"Written: {path}")
        self.refresh()

    def show_failure(self, failure: Failure) -> None:
        """Show why nothing was written."""
        self._state.clear()
        self._strip.show_failure(failure)
        self.refresh()
