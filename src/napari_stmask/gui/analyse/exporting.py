"""The buttons that write an answer as a table or a figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget

from ...core.section import Section
from ..background import Background
from ..fields import ask_target, make_button
from ..guard import Failure, slot

__all__ = ["ExportRow", "write_figure", "write_table"]

_FIGURES = {"PNG": ".png", "PDF": ".pdf", "SVG": ".svg", "TIFF": ".tif", "JPEG": ".jpg"}


def write_table(make: Callable[[], Any], section: Section | None, path: Path) -> Path:
    """Write the frame that ``make`` gives as ``.csv``.

    Raises
    ------
    OutputError
        If the path cannot be written, or is that of an original.
    """
    from ...io.atomic import atomic_path
    from ...io.originals import check_originals

    if section is not None:
        check_originals(section, path)
    with atomic_path(path) as temporary:
        make().to_csv(temporary, index=False)
    return path


def write_figure(make: Callable[[], Any], section: Section | None, path: Path) -> Path:
    """Write the figure that ``make`` gives; the suffix picks the format.

    Raises
    ------
    OutputError
        If the suffix is none of a figure, the path cannot be written, or is that of an original.
    """
    from ...io.originals import check_originals
    from ...viz.plots import check_figure, save_figure

    check_figure(path)
    if section is not None:
        check_originals(section, path)
    return save_figure(make(), path)


class ExportRow(QWidget):
    """Two buttons, or one without ``figures``; ``written(path)`` or ``failed(Failure)`` ends it."""

    written = Signal(object)
    failed = Signal(object)

    def __init__(self, *, figures: bool = True) -> None:
        super().__init__()
        self.name = "analysis"
        self._make: tuple[Callable[[], Any], ...] | None = None
        self._section: Section | None = None
        self._writer = Background(self)
        self._writer.done.connect(self._on_done)
        self._writer.failed.connect(self._on_failed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.table = make_button(
            "Export CSV\u2026", "Write the table of this answer to a file.", self._on_table
        )
        self.figure = make_button(
            "Export figure\u2026", "Draw this answer for print and write it.", self._on_figure
        )
        row.addWidget(self.table)
        row.addWidget(self.figure)
        self.figure.setVisible(figures)
        self.offer(None, None)

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return self._writer.busy

    def offer(
        self,
        make: tuple[Callable[[], Any], ...] | None,
        section: Section | None,
        name: str = "analysis",
    ) -> None:
        """Functions that make the table and, with ``figures``, the figure; None for nothing."""
        self._make, self._section, self.name = make, section, name
        for button in (self.table, self.figure):
            button.setEnabled(make is not None and not self.busy)

    def export(self, kind: str, path: str) -> None:
        """Write the ``"table"`` or the ``"figure"`` to ``path`` in the background."""
        if self._make is None or self.busy:
            return
        write, make = (
            (write_table, self._make[0]) if kind == "table" else (write_figure, self._make[1])
        )
        self._writer.start(write, make, self._section, Path(path))
        self.offer(self._make, self._section, self.name)

    @slot
    def _on_table(self) -> None:
        self._ask("table", "Export table", {"Table": ".csv"})

    @slot
    def _on_figure(self) -> None:
        self._ask("figure", "Export figure", _FIGURES)

    def _ask(self, kind: str, title: str, kinds: dict[str, str]) -> None:
        first = next(iter(kinds.values()))
        filters = ";;".join(f"{name} (*{end})" for name, end in kinds.items())

        def complete(path: str, chosen: str) -> Path:
            target = Path(path)
            if target.suffix.lower() in kinds.values():
                return target
            return target.with_name(target.name + (chosen[chosen.rfind("*") + 1 : -1] or first))

        target = ask_target(self, title, self.name + first, filters, complete)
        if target is not None:
            self.export(kind, str(target))

    @slot
    def _on_done(self, path: Path) -> None:
        self.offer(self._make, self._section, self.name)
        self.written.emit(path)

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self.offer(self._make, self._section, self.name)
        self.failed.emit(failure)
