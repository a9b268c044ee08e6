"""The embedding laid out by UMAP, linked with the tissue: a lasso here chooses spots there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QGridLayout, QLabel, QPushButton

from ...analysis.layout import umap_layout
from ...core.errors import ParameterError
from ...core.progress import Progress, Steps
from ...recipes import python_of
from ...viz.layout_figure import layouts_figure, values_figure
from ..analyse.run_row import RunRow
from ..analyse.subject import store
from ..analyse.work import StepWorker
from ..background import Background
from ..fields import make_button
from ..guard import Failure, slot
from ..model import DomainSet, Item
from ..parts import color_key, copy_text, narrow_combo
from .colouring import DOMAINS, GENE, Colouring, choices, colouring
from .part import PlotPart
from .spot_map import SpotMap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["UmapPart"]

_LEGEND = 16
"""Most names below the map."""


@dataclass(frozen=True, eq=False)
class _Taken:
    spots: NDArray[Any]
    points: NDArray[np.float32]
    shown: Colouring


class UmapPart(PlotPart):
    """Map of the spots by the embedding of the selected run."""

    TITLE = "UMAP"

    def build(self) -> None:
        """Choice of colours, lasso, map, legend."""
        self._shown: Colouring | None = None
        self._rows: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self._about: tuple[Item, DomainSet] | None = None
        self._drawn: Any = None
        self._worker = StepWorker(self, self.TITLE)
        self._worker.progressed.connect(self._on_progress)
        self._worker.done.connect(self._on_done)
        self._worker.failed.connect(self._on_failed)
        self._worker.ended.connect(self._on_ended)
        self._reader = Background(self)
        self._reader.done.connect(self._on_colours)
        self._reader.failed.connect(self.show_failure)
        form = QFormLayout()
        self.by = narrow_combo(QComboBox())
        self.by.setAccessibleName("Colour by")
        self.by.setToolTip("What the spots are coloured by: domains, a column of obs, a gene.")
        self.by.activated.connect(self._paint)
        form.addRow("Colour by", self.by)
        self.body.addLayout(form)
        self.row = RunRow()
        self.run, self.cancel = self.row.run, self.row.cancel
        self.run.clicked.connect(self._on_run)
        self.cancel.clicked.connect(self._worker.cancel)
        self.body.addWidget(self.row)
        self.map = SpotMap("Map of the spots: alike ones are near each other")
        self.map.lassoed.connect(self._on_lasso)
        self.map.clicked.connect(self._on_click)
        self.body.addWidget(self.map)
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        self.body.addWidget(self.legend)
        buttons = QGridLayout()
        self.lasso = QPushButton("Lasso")
        self.lasso.setCheckable(True)
        self.lasso.setToolTip("Draw around dots: their spots are chosen on the tissue.")
        self.lasso.toggled.connect(self._on_lasso_mode)
        self.clear = make_button("Choose none", "No spot is chosen any more.", self._on_clear)
        self.whole = make_button("Whole map", "Bring all dots into view.", self.map.whole)
        self.python = make_button(
            "Copy as Python", "Script that computes this map.", self._on_python
        )
        for i, button in enumerate((self.lasso, self.clear, self.whole, self.python)):
            buttons.addWidget(button, *divmod(i, 2))
        self.body.addLayout(buttons)

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """Show the stored map, or offer to compute it."""
        self.item, self.domains = item, domains
        if self._about is not None and self._about != (item, domains):
            self._about = None
            self._worker.cancel()
        reason = _obstacle(item, domains)
        self.explain(reason)
        points = self._points()
        drawn = (item, domains.key, id(item.section.adata.obsm[self._slot()])) if (
            item is not None and domains is not None and points is not None
        ) else None  # fmt: skip
        for widget in (self.map, self.legend, self.lasso, self.clear, self.whole, self.by):
            widget.setVisible(points is not None)
        self.python.setEnabled(not reason)
        self.row.setVisible(not reason and (points is None or self._worker.busy))
        self.row.allow("Compute UMAP", reason, busy=self._worker.busy)
        self._fill()
        if points is None or item is None:
            self._drawn = None
            self.map.clear_points()
            self.offer(None)
            return
        if drawn != self._drawn:
            self._drawn = drawn
            self._rows = np.flatnonzero(np.isfinite(points).all(axis=1))
            names = item.section.adata.obs_names.to_numpy().astype(str)[self._rows]
            self.map.show_points(points[self._rows], names.tolist())
        self._paint()
        self.show_chosen()

    def left(self) -> None:
        """Stop what goes on."""
        self._worker.cancel()
        self._reader.forget()

    def show_chosen(self) -> None:
        """Mark the spots that are chosen on the tissue."""
        if self.item is None or not len(self.map.points):
            return
        self.map.mark(np.flatnonzero(np.isin(self._rows, self.item.chosen)))
        self.clear.setEnabled(self.item.chosen.size > 0)

    def _slot(self) -> str:
        return f"X_{self.domains.key}_umap" if self.domains is not None else ""

    def _points(self) -> NDArray[np.float32] | None:
        if self.item is None or self.domains is None:
            return None
        found = self.item.section.adata.obsm.get(self._slot())
        return None if found is None else np.asarray(found, dtype=np.float32)

    def _fill(self) -> None:
        """Offer what the section has to colour by."""
        wanted = self.by.currentData() or DOMAINS
        self.by.blockSignals(True)
        self.by.clear()
        self.by.addItem("Domains", DOMAINS)
        if self.item is not None:
            gene = self.item.gene
            self.by.addItem(f"Gene: {gene}" if gene else "Gene (none chosen)", GENE)
            found = choices(self.item.section)
            for name in (*found["categories"], *found["numbers"]):
                self.by.addItem(name, name)
        self.by.setCurrentIndex(max(0, self.by.findData(wanted)))
        self.by.blockSignals(False)

    @slot
    def _paint(self) -> None:
        item, domains = self.item, self.domains
        if item is None or domains is None or self._points() is None:
            return
        by = self.by.currentData() or DOMAINS
        if by == GENE and not item.gene:
            self._reader.forget()
            self.said.emit("Choose a gene in Explore genes first.")
            return
        self._reader.start(colouring, item.section, domains.drawn, by, item.gene)

    @slot
    def _on_colours(self, shown: Colouring) -> None:
        if self.item is None or len(shown.codes) != self.item.section.n_spots:
            return
        self._shown = shown
        self.map.paint(shown.codes[self._rows], shown.colors)
        self.legend.setText(_legend(shown))
        points = self._points()
        if points is not None:
            spots = self.item.section.adata.obs_names.to_numpy().astype(str)
            self.offer(_Taken(spots, points, shown))

    @slot
    def _on_run(self) -> None:
        item, domains = self.item, self.domains
        if item is None or domains is None:
            return
        self._about = (item, domains)
        self.row.begin()
        values = np.asarray(item.section.adata.obsm[f"X_{domains.key}"], dtype=np.float32)
        self._worker.start(partial(_layout, values))
        self.row.allow("Compute UMAP", "", busy=True)

    @slot
    def _on_progress(self, progress: Progress) -> None:
        self.row.progress(self.TITLE, progress)

    @slot
    def _on_done(self, points: NDArray[np.float32]) -> None:
        about, self._about = self._about, None
        if about is None:
            return
        item, domains = about
        same = self.session.items.get(item.id) is item and item.section.n_spots == len(points)
        # A run that has replaced the result meanwhile has another embedding.
        if same and item.domains.get(domains.key) is domains:
            store(item, domains, {"umap": points})

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self._about = None
        self.row.say("")
        self.row.strip.show_failure(failure)

    @slot
    def _on_ended(self) -> None:
        if not self.row.strip.isVisibleTo(self.row):
            self.row.say("")
        self.follow(self.item, self.domains)

    @slot
    def _on_lasso_mode(self) -> None:
        self.map.lasso = self.lasso.isChecked()

    @slot
    def _on_lasso(self, rows: NDArray[np.intp]) -> None:
        if self.item is not None:
            self.session.choose_spots(self.item.id, self._rows[rows])
            self.said.emit(f"{len(rows):,} spots are chosen on the tissue.")

    @slot
    def _on_click(self, row: int) -> None:
        if self.item is not None:
            self.session.choose_spots(self.item.id, self._rows[[row]])
            self.said.emit(f"Spot {self.map.names[row]}")

    @slot
    def _on_clear(self) -> None:
        if self.item is not None:
            self.session.choose_spots(self.item.id, ())

    @slot
    def _on_python(self) -> None:
        if self.item is None or self.domains is None:
            return
        key = self.domains.key
        copy_text(
            _script(self.item, key, python_of)
            + "\nfrom napari_stmask.analysis.layout import umap_positions\n\n"
            f"embedding = section.adata.obsm['X_{key}']\n"
            f"section.adata.obsm['X_{key}_umap'] = umap_positions(embedding)\n"
        )
        self.said.emit("The script is on the clipboard.")

    def table(self, taken: _Taken) -> pd.DataFrame:
        """Barcode, x, y, and what the colours show."""
        shown = taken.shown
        names = np.array([*shown.names, ""], dtype=object)
        values = shown.values if shown.values is not None else names[shown.codes]
        return pd.DataFrame(
            {"spot": taken.spots, "umap_1": taken.points[:, 0], "umap_2": taken.points[:, 1],
             shown.title: values}
        )  # fmt: skip

    def figure(self, taken: _Taken) -> Figure:
        """The map for print, with a legend or a colour bar."""
        shown = taken.shown
        if shown.values is not None:
            return values_figure(taken.points, shown.values, shown.title, limits=shown.limits)
        codes = np.where(shown.codes < len(shown.names), shown.codes, -1)
        kinds = {shown.title: (codes, shown.names, shown.colors[:-1])}
        return layouts_figure({self.TITLE: taken.points}, kinds)


def _layout(values: NDArray[np.float32]) -> Steps[NDArray[np.float32]]:
    """Of the spots that have an embedding; NaN for the others."""
    known = np.isfinite(values).all(axis=1)
    out = np.full((len(values), 2), np.nan, dtype=np.float32)
    out[known] = yield from umap_layout(values[known])
    return out


def _obstacle(item: Item | None, domains: DomainSet | None) -> str:
    if item is None or domains is None:
        return "Find domains first: the map is of what a method has learned."
    if f"X_{domains.key}" not in item.section.adata.obsm:
        return "This result has no embedding: it was not found by a run."
    return ""


def _script(item: Item, key: str, write: Any) -> str:
    try:
        return str(write(item.section, key))
    except ParameterError:
        # Of several sections, or without a record: the exported file has the embedding.
        return "import napari_stmask as stm\n\nsection = stm.read('result.h5ad')\n"


def _legend(shown: Colouring) -> str:
    if shown.values is not None:
        low, high = shown.limits
        ends = [(shown.colors[0], f"{low:.3g}"), (shown.colors[-2], f"{high:.3g}")]
    else:
        ends = list(zip(shown.colors, shown.names, strict=False))
    return color_key([name for _, name in ends], [color for color, _ in ends], _LEGEND)
