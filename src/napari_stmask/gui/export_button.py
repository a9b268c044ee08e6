"""Buttons that write files in the background: *Export…* in every format, and *Report…*."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QLabel, QPushButton

from ..reporting import report
from .background import Background
from .export import export, snapshot
from .fields import ask_target
from .formats import export_filters, target_of
from .guard import Failure, slot
from .keeping import with_desk
from .parts import MessageStrip
from .session import Session

__all__ = ["ExportButton", "ReportButton"]


class _WritingButton(QPushButton):
    """Writes one file at a time; says so in ``state`` and ``strip``."""

    def __init__(self, text: str, session: Session, state: QLabel, strip: MessageStrip) -> None:
        super().__init__(text)
        self.session, self._state, self._strip = session, state, strip
        self._writer = Background(self)
        self._writer.done.connect(self._on_written)
        self._writer.failed.connect(self.show_failure)
        self.clicked.connect(self._on_click)

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return self._writer.busy

    def usable(self) -> bool:
        """Whether there is something to write."""
        return self.session.selected is not None

    def refresh(self) -> None:
        """Enable it where there is something to write."""
        self.setEnabled(self.usable() and not self._writer.busy)

    def ask(self) -> Path | None:
        """Where to write; None where the user changes their mind."""
        raise NotImplementedError

    def export_to(self, path: str) -> None:
        """Write to ``path`` in the background."""
        raise NotImplementedError

    def _begin(self, path: str, function: Callable[..., Path], *args: Any, **options: Any) -> None:
        self._strip.clear()
        self._state.setText(f"Writing {Path(path).name} …")
        self._writer.start(function, *args, **options)
        self.refresh()

    @slot
    def _on_click(self) -> None:
        target = self.ask()
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


class ExportButton(_WritingButton):
    """Writes the selected section, with its desk, or its shown domains."""

    def __init__(self, session: Session, state: QLabel, strip: MessageStrip) -> None:
        super().__init__("Export…", session, state, strip)
        self.setToolTip(
            "Write the section with everything on the desk (AnnData), SpatialData, a table, the "
            "domains for QuPath, Loupe Browser or as label image, or a figure."
        )

    def export_to(self, path: str) -> None:
        """Write the section, its domains or a figure to ``path`` in the background."""
        item, domains = self.session.selected, self.session.selected_domains
        if item is None or self.busy:
            return
        state, column = (domains.state, domains.column) if domains is not None else (None, None)
        self._begin(path, export, with_desk(self.session.viewer, item), state, path, column)

    def ask(self) -> Path | None:
        """Every format that can be written."""
        item = self.session.selected
        if item is None:
            return None
        start = item.section.name.replace("/", "_") + ".h5ad"
        filters = export_filters(domains=self.session.selected_domains is not None)
        return ask_target(self, "Export", start, filters, target_of)


class ReportButton(_WritingButton):
    """Writes one HTML file about the selected section and all its results."""

    def __init__(self, session: Session, state: QLabel, strip: MessageStrip) -> None:
        super().__init__("Report…", session, state, strip)
        self.setToolTip(
            "Write one HTML file with figures, numbers, settings, versions and how to repeat it."
        )

    def usable(self) -> bool:
        """Whether there is a result to tell of."""
        return self.session.selected_domains is not None

    def export_to(self, path: str) -> None:
        """Write the report to ``path`` in the background."""
        item = self.session.selected
        if item is not None and not self.busy:
            self._begin(path, report, snapshot(item.section), path)

    def ask(self) -> Path | None:
        """A file of HTML."""
        item = self.session.selected
        if item is None:
            return None
        start = item.section.name.replace("/", "_") + ".html"
        return ask_target(self, "Report", start, "HTML (*.html)", _html)


def _html(path: str, _: str) -> Path:
    found = Path(path)
    known = found.suffix.lower() in (".html", ".htm")
    return found if known else found.with_name(found.name + ".html")
