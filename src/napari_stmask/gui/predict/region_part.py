"""Tumour region: learnt on annotated references, or parted into groups to be named."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QListWidget, QListWidgetItem

from ...analysis.region_transfer import (
    FoundRegion,
    find_region,
    predicted_values,
    region_labels,
)
from ...analysis.tumour_region import unlabelled_regions
from ...core.progress import Progress, Steps
from ...core.section import Section
from ..export import snapshot
from ..fields import make_button
from ..guard import slot
from ..model import Item
from ..parts import narrow_combo, plain_label
from .gene_maps import show_map
from .groups import show_groups
from .part import Part

__all__ = ["RegionPart"]

_PROBABILITY = "region_probability"
_ROW = 26
_LIKELY = ("classification", "ground_truth", "region", "pathology", "label", "annotation")
"""Columns that are offered first."""


class RegionPart(Part):
    """``found`` when there is a region; `inside` says where."""

    found = Signal()

    def build(self) -> None:
        """Column and values; both ways to a region."""
        self.inside: NDArray[np.bool_] | None = None
        self._labels: dict[str, list[str]] = {}
        self._asked: list[tuple[Any, ...]] = []
        self.column = narrow_combo(QComboBox())
        self.column.setAccessibleName("Annotation of the references")
        self.column.setToolTip("Column of obs of the reference sections that names regions.")
        self.column.currentIndexChanged.connect(self._on_column)
        self.values = QListWidget()
        self.values.setAccessibleName("Labels that make up the region; Space ticks one")
        self.values.setStyleSheet(
            f"QListWidget::item {{ height: {_ROW}px; padding-left: 4px; }}"
            "QListWidget::indicator:unchecked { border: 1px solid #808080; }"
        )
        self.values.itemChanged.connect(self._on_ticked)
        self.none = plain_label("No open reference is annotated: part the spots into groups.")
        self.run = make_button("Find the region", "", self._on_run)
        self.groups = make_button(
            "Two groups without labels",
            "Part the spots by predicted expression; name the groups in the dock Domains.",
            self._on_groups,
        )
        self.facts = plain_label()
        self.facts.setAccessibleName("What was found")
        for widget in (self.column, self.values, self.none, self.run, self.groups, self.facts):
            self.body.addWidget(widget)
        self.worker.done.connect(self._on_done)

    def forget(self) -> None:
        """Another prediction: no region is known."""
        self.inside = None
        self.facts.clear()

    def refresh(self) -> None:
        """Offer the annotations of open references."""
        sections = [item.section for item in self._references().values()]
        # Looking through all columns takes a while, and this is called often.
        asked = [(id(section), *section.adata.obs.columns) for section in sections]
        if asked != self._asked:
            self._asked = asked
            labels = self._labels = region_labels(sections)
            kept = self.column.currentText()
            names = sorted(labels, key=lambda n: (not n.lower().startswith(_LIKELY), n))
            with QSignalBlocker(self.column):
                self.column.clear()
                self.column.addItems(names)
                self.column.setCurrentIndex(max(self.column.findText(kept), 0))
            self._list_values()
        for widget in (self.column, self.values, self.run):
            widget.setVisible(bool(self._labels))
        self.none.setVisible(not self._labels and self.known is not None)
        self.facts.setVisible(bool(self.facts.text()))
        self._check()

    def positive(self) -> list[str]:
        """The ticked labels."""
        rows = [self.values.item(i) for i in range(self.values.count())]
        return [row.text() for row in rows if row.checkState() == Qt.CheckState.Checked]

    def _references(self) -> dict[str, Item]:
        """Open reference sections by the name that the prediction knows them by."""
        known = self.known
        if known is None:
            return {}
        names = map(str, known.prediction.references["section"].unique())
        found = {name: known.reference(self.desk.session, name) for name in names}
        return {name: item for name, item in found.items() if item is not None}

    def _list_values(self) -> None:
        with QSignalBlocker(self.values):
            self.values.clear()
            for value in self._labels.get(self.column.currentText(), []):
                row = QListWidgetItem(value)
                row.setFlags(row.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                row.setCheckState(Qt.CheckState.Unchecked)
                self.values.addItem(row)
        self.values.setFixedHeight(_ROW * min(max(self.values.count(), 2), 6) + 8)

    def _check(self) -> None:
        ticked = self.positive()
        reason = ""
        if self.worker.busy:
            reason = "A region is being looked for."
        elif not ticked or len(ticked) == self.values.count():
            reason = "Tick the labels that make up the region, and leave others."
        self.run.setEnabled(not reason)
        self.run.setToolTip(reason or "Learn it on the references, find it in the prediction.")
        self.groups.setEnabled(self.known is not None and not self.worker.busy)

    @slot
    def _on_column(self) -> None:
        self._list_values()
        self._check()

    @slot
    def _on_ticked(self) -> None:
        self._check()

    @slot
    def _on_run(self) -> None:
        known = self.known
        if known is None:
            return
        sections = []
        for name, item in self._references().items():
            section = snapshot(item.section)
            section.name = name
            sections.append(section)
        self.launch(
            partial(
                find_region,
                snapshot(known.section),
                sections,
                known.prediction.references,
                column=self.column.currentText(),
                positive=tuple(self.positive()),
                kind=known.params.get("expression", "normalised"),
                target=known.prediction.target,
            )
        )

    @slot
    def _on_groups(self) -> None:
        if self.known is not None:
            self.launch(partial(_part, snapshot(self.known.section)))

    @slot
    def _on_done(self, answer: FoundRegion | NDArray[np.intp]) -> None:
        known, session = self.known, self.desk.session
        item = session.items.get(known.item_id) if known is not None else None
        if known is None or item is None:
            return
        if isinstance(answer, FoundRegion):
            self.inside = answer.inside
            item.section.adata.obs[_PROBABILITY] = answer.probability
            name = ", ".join(self.positive())
            self.facts.setText(_facts(answer, name))
            if session.viewer is not None:
                show_map(
                    session.viewer, item, "region", f"{item.label} \u00b7 probability of {name}",
                    answer.probability, limits=(0.0, 1.0), as_image=False, colormap="inferno",
                )  # fmt: skip
        else:
            # The largest group is most often the surroundings.
            self.inside = np.asarray(answer == 1)
            show_groups(session, item, answer)
            self.facts.setText(
                f"Two groups of {', '.join(f'{n:,}' for n in np.bincount(answer))} spots: name "
                "them in the dock Domains. Gene sets are looked for in the smaller one."
            )
        self.facts.show()
        self.found.emit()


def _part(section: Section) -> Steps[NDArray[np.intp]]:
    yield Progress(0, 1, "parting the spots")
    return unlabelled_regions(predicted_values(section))


def _facts(found: FoundRegion, name: str) -> str:
    inside = int(found.inside.sum())
    lines = [
        f"{inside:,} of {len(found.probability):,} spots are more likely inside ({name}) than not.",
        f"Learnt from {found.learnt_from:,} annotated reference spots.",
    ]
    if found.scores is not None:
        lines.append(
            f"Against the target's own labels: AUROC {found.scores['auroc']:.2f}, ARI "
            f"{found.scores['ari']:.2f} ({found.scores['labelled']:,.0f} spots)."
        )
    return " ".join(lines)
