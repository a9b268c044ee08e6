"""UMAP of the spots before and after they were integrated, laid out in the background."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from ...analysis.layout import umap_layout
from ...core.progress import Progress, Steps
from ...viz.layout_figure import layouts_figure, section_colors
from ...viz.palette import UNASSIGNED_COLOUR
from ..analyse.exporting import ExportRow
from ..analyse.work import StepWorker
from ..fields import make_button
from ..guard import Failure, slot
from ..parts import color_key
from .known import Known, Look
from .umap_chart import UmapChart

__all__ = ["UmapPart"]

Layouts = tuple[NDArray[np.float32], NDArray[np.float32]]


class UmapPart(QWidget):
    """A button, and four panels once the layouts are there."""

    def __init__(self, fail: Callable[[Failure | None], None], say: Callable[[str], None]) -> None:
        super().__init__()
        self._fail, self._say = fail, say
        self.known: Known | None = None
        self._look = Look((), ())
        self.found: Layouts | None = None
        self.worker = StepWorker(self, "UMAP of several sections")
        self.worker.progressed.connect(self._on_progress)
        self.worker.done.connect(self._on_done)
        self.worker.failed.connect(self.show_failure)
        self.worker.ended.connect(self._on_ended)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        self.run = make_button(
            "Lay out",
            "Lay the spots out by UMAP, before and after; a step of it cannot be interrupted.",
            self._on_run,
        )
        layout.addWidget(self.run)
        self.progress = QWidget()
        row = QHBoxLayout(self.progress)
        row.setContentsMargins(0, 0, 0, 0)
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress of the layout")
        self.cancel = make_button("Cancel", "Stop after the present step.", self._on_cancel)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel)
        self.progress.hide()
        layout.addWidget(self.progress)
        self.chart = UmapChart("UMAP before and after, by section and by domain")
        layout.addWidget(self.chart)
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        layout.addWidget(self.legend)
        self.export = ExportRow()
        self.export.failed.connect(self.show_failure)
        self.export.written.connect(self._on_written)
        layout.addWidget(self.export)
        self._show()

    def show_known(self, known: Known | None, look: Look) -> None:
        """Another integration, or none, or other names and colours of its domains."""
        if known is self.known and look == self._look:
            return
        self._look = look
        if known is not self.known:
            self.worker.cancel()
            self.known, self.found = known, None
            self.chart.clear_layouts()
        self._show()

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong in the strip of the dock."""
        self._fail(failure)

    def left(self) -> None:
        """The dock goes away."""
        self.worker.cancel()

    def _show(self) -> None:
        known, found = self.known, self.found
        self.run.setEnabled(known is not None and not self.worker.busy)
        self.run.setVisible(found is None)
        for widget in (self.chart, self.legend, self.export):
            widget.setVisible(found is not None)
        if known is None or found is None:
            self.export.offer(None, None)
            return
        colors = section_colors(len(known.labels))
        domains = (*self._look.colors, UNASSIGNED_COLOUR)
        self.legend.setText(color_key(known.labels, colors))
        self.chart.show_layouts(
            found,
            ((known.codes, colors), (known.domains, domains)),
            f"UMAP of {len(known.codes):,} spots of {len(known.labels)} sections before and after "
            "they were integrated.",
        )
        write = tuple(partial(make, known, found, self._look) for make in (_table, _figure))
        self.export.offer(write, known.any_section, f"{known.key}_umap")

    @slot
    def _on_run(self) -> None:
        if self.known is None:
            return
        self._fail(None)
        self.bar.setRange(0, 2)
        self.bar.setValue(0)
        self.progress.show()
        self.worker.start(partial(_layouts, self.known))
        self._show()

    @slot
    def _on_progress(self, progress: Progress) -> None:
        self.bar.setValue(progress.step)

    @slot
    def _on_done(self, found: Layouts) -> None:
        self.found = found

    @slot
    def _on_ended(self) -> None:
        self.progress.hide()
        self._show()

    @slot
    def _on_cancel(self) -> None:
        self.worker.cancel()

    @slot
    def _on_written(self, path: object) -> None:
        self._say(f"Written: {path}")


def _layouts(known: Known) -> Steps[Layouts]:
    """UMAP of both tables of numbers, of the same spots."""
    rows = known.scored
    out = []
    for step, values in enumerate((known.before, known.after)):
        yield Progress(step, 2, "laying out spots")
        steps = umap_layout(values[rows], groups=known.codes[rows])
        place = yield from _numbered(steps, step)
        whole = np.full((len(rows), 2), np.nan, dtype=np.float32)
        whole[rows] = place
        out.append(whole)
    return out[0], out[1]


def _numbered(steps: Steps[Any], step: int) -> Steps[Any]:
    """The same stream, whose progress is a part of two."""
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            return stop.value
        yield Progress(step, 2, progress.phase, message=progress.message)


def _table(known: Known, found: Layouts, look: Look) -> pd.DataFrame:
    """One row a spot."""
    names = np.array([*look.names, ""])
    return pd.DataFrame(
        {
            "section": np.asarray(known.labels)[known.codes],
            "domain": names[known.domains],
            **{
                f"{when}_{axis}": points[:, i]
                for when, points in zip(("before", "after"), found, strict=True)
                for i, axis in enumerate("xy")
            },
        }
    )


def _figure(known: Known, found: Layouts, look: Look) -> Any:
    return layouts_figure(
        dict(zip(("Before", "After"), found, strict=True)),
        {
            "section": (known.codes, known.labels, section_colors(len(known.labels))),
            "domain": (known.domains, look.names, look.colors),
        },
    )
