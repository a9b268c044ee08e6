"""How smooth the domains are, and how they agree with an annotation, beside both baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFormLayout,
    QHeaderView,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)
from sklearn.metrics import adjusted_rand_score

from ..analysis.scores import against_truth, spatial_scores
from .background import Background
from .guard import slot
from .model import TITLES, VIEW_TITLES, DomainSet, Item
from .parts import narrow_combo
from .session import Session

__all__ = ["ScoresTable"]

_SHAPE = ("PAS", "CHAOS", "DIS")
_JOINT = "Joint"
_TRUTH = ("ARI", "NMI")
_COLUMNS = (*_SHAPE, *_TRUTH, _JOINT)
_TITLES = {"pca": "PCA alone", "neighbour_pca": "PCA of neighbours"}
_TIPS = {
    "PAS": "Share of spots whose neighbours mostly lie in other domains; lower is smoother.",
    "CHAOS": "Distance to the nearest spot of the same domain; lower is smoother.",
    "DIS": "Mean of PAS and CHAOS; lower is smoother.",
    _JOINT: "Adjusted Rand index with the joint domains; 1 is identical, 0 is chance.",
    "ARI": "Adjusted Rand index with the annotation; 1 is identical, 0 is chance.",
    "NMI": "Normalised mutual information with the annotation; 1 is identical.",
}
_MAX_LABELS = 100


class ScoresTable(QWidget):
    """Method and baselines in rows, scores in columns; an annotation is for display only."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._edited: tuple[NDArray[np.intp], dict[str, float]] | None = None
        self._asked: NDArray[np.intp] | None = None
        self._scorer = Background(self)
        self._scorer.done.connect(self._on_scored)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        self.annotation = narrow_combo(QComboBox())
        self.annotation.setAccessibleName("Annotation to compare with")
        self.annotation.setToolTip(
            "Column of obs with known labels; used for display only, never by a run."
        )
        self.annotation.activated.connect(self._fill)
        form = QFormLayout()
        form.addRow("Compare with", self.annotation)
        layout.addLayout(form)
        self.table = QTableWidget(0, 1 + len(_COLUMNS))
        self.table.setAccessibleName("Scores of the method and of the baselines")
        self.table.setHorizontalHeaderLabels(["", *_COLUMNS])
        for i, name in enumerate(_COLUMNS):
            self.table.horizontalHeaderItem(i + 1).setToolTip(_TIPS[name])
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setShowGrid(False)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.table.horizontalHeader()
        header.setMinimumSectionSize(30)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        layout.addWidget(self.table)

    def refresh(self) -> None:
        """Show the scores of the selected result."""
        chosen = self.annotation.currentText()
        self.annotation.clear()
        item = self._session.selected
        self.annotation.addItems(["nothing", *(label_columns(item) if item else [])])
        self.annotation.setCurrentIndex(max(0, self.annotation.findText(chosen)))
        self._fill()

    @slot
    def _fill(self) -> None:
        item, domains = self._session.selected, self._session.selected_domains
        self.table.setRowCount(0)
        if item is None or domains is None:
            self.setVisible(False)
            return
        column = self.annotation.currentText() if self.annotation.currentIndex() > 0 else None
        rows = score_rows(item, domains, column, self._shape(item, domains))
        for i, name in enumerate(_COLUMNS):
            absent = (name == _JOINT and not domains.views) or (name in _TRUTH and column is None)
            self.table.setColumnHidden(i + 1, absent)
        # Six columns leave room for titles only with a digit less.
        digits = 2 if domains.views and column is not None else 3
        for row, (title, values) in enumerate(rows):
            self.table.insertRow(row)
            self.table.setItem(row, 0, QTableWidgetItem(title))
            for i, name in enumerate(_COLUMNS):
                text = f"{values[name]:.{digits}f}" if name in values else "\u2013"
                cell = QTableWidgetItem(text)
                cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                cell.setToolTip(_TIPS[name])
                self.table.setItem(row, i + 1, cell)
        self.setVisible(True)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give titles that wrap the lines that they need."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.table.resizeRowsToContents()
        heights = [max(24, self.table.rowHeight(i)) for i in range(self.table.rowCount())]
        for row, height in enumerate(heights):
            self.table.setRowHeight(row, height)
        self.table.setFixedHeight(sum(heights) + self.table.horizontalHeader().height() + 6)

    def _shape(self, item: Item, domains: DomainSet) -> dict[str, float] | None:
        """Smoothness of the edited domains; empty while a worker computes it, None if unedited."""
        codes = domains.state.codes
        if codes is _found(domains):
            return None
        if self._edited is not None and self._edited[0] is codes:
            return self._edited[1]
        if self._asked is not codes:
            self._asked = codes
            self._scorer.start(_score, item.section.coords, codes)
        return {}

    @slot
    def _on_scored(self, found: tuple[NDArray[np.intp], dict[str, float]]) -> None:
        self._edited, self._asked = found, None
        self._fill()


def _found(domains: DomainSet) -> NDArray[np.intp]:
    """The partition as the run, or the file, gave it."""
    past = domains._past
    return past[0].codes if past else domains.state.codes


def _score(
    coords: NDArray[np.float64], codes: NDArray[np.intp]
) -> tuple[NDArray[np.intp], dict[str, float]]:
    return codes, spatial_scores(coords, codes)


def label_columns(item: Item) -> list[str]:
    """Columns of ``obs`` that may be labels of regions."""
    obs = item.section.adata.obs
    ours = {d.column for d in item.domains.values()} | {d.key for d in item.domains.values()}
    ours |= {f"{d.key}_{view}" for d in item.domains.values() for view in d.views}
    return [
        str(name)
        for name in obs.columns
        if name not in ours
        and obs[name].dtype.kind not in "fiub"
        and 2 <= obs[name].nunique() <= _MAX_LABELS
    ]


def score_rows(
    item: Item,
    domains: DomainSet,
    annotation: str | None,
    shape: dict[str, float] | None = None,
) -> list[tuple[str, dict[str, Any]]]:
    """One row per method and baseline: title, and score by name.

    ``shape`` replaces the run's own scores of smoothness, where an edit has changed the domains.
    """
    method = str(domains.record.get("method", domains.key))
    views = {f"{method}, {view}": view for view in domains.views}
    names = dict.fromkeys([method, *views, *domains.scores, *domains.baselines])
    rows = []
    for name in names:
        values: dict[str, Any] = dict(domains.scores.get(name, {}))
        if shape is not None and (name == method or name in views):
            # A view in domains that were joined is another partition than the one that was scored.
            values = {n: v for n, v in values.items() if n not in _SHAPE}
            values |= shape if name == method else {}
        codes = domains.state.codes if name == method else domains.baselines.get(name)
        if name in views:
            codes = domains.state.joined(domains.views[views[name]])
            both = (codes >= 0) & (domains.state.codes >= 0)
            values[_JOINT] = float(adjusted_rand_score(domains.state.codes[both], codes[both]))
        if annotation is not None and codes is not None:
            labels = pd.Series(codes).where(codes >= 0)
            truth = item.section.adata.obs[annotation].reset_index(drop=True)
            values |= against_truth(truth, labels)
        title = VIEW_TITLES[views[name]] if name in views else TITLES.get(name, name)
        rows.append((_TITLES.get(name, title), values))
    return rows
