"""Several open sections as one, for a run over all of them, and the way back."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
)

from ...core.joining import join_sections, split_joined
from ...core.progress import Progress, Steps
from ...core.section import Section
from ...viz.palette import PALETTE
from ...viz.raster import SpotRaster, rasterise
from ..export import snapshot
from ..fields import make_button
from ..guard import slot
from ..model import DomainSet, Item, stored_keys
from ..parts import narrow_combo, plain_label
from .panel import Panel
from .subject import Answer
from .table import Column, FrameTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..session import Session

__all__ = ["JoinPanel"]

_ROW_HEIGHT = 26
_COLUMNS = (
    Column("section", "Section", width=0),
    Column("spots", "Spots", ",d", width=70),
    Column("genes", "Genes", ",d", width=70),
)


@dataclass(frozen=True, eq=False)
class _Parents:
    """The sections that are joined, held weakly: any of them may be closed, or read again."""

    parts: tuple[tuple[str, str, weakref.ref[Section]], ...]

    @classmethod
    def of(cls, items: list[Item]) -> _Parents:
        return cls(tuple((i.id, i.label, weakref.ref(i.section)) for i in items))

    def gone(self, session: Session) -> str:
        """What has happened to one of them; empty where all are as they were."""
        for key, label, section in self.parts:
            item = session.items.get(key)
            if item is None:
                return f"The section '{label}' was closed"
            if item.section is not section():
                return f"The section '{label}' was read again"
        return ""

    def selected(self, session: Session) -> bool:
        """The list of sections is there whatever is selected."""
        del session
        return True

    def items(self, session: Session) -> list[Item]:
        return [session.items[key] for key, _, _ in self.parts]


@dataclass(frozen=True, eq=False)
class _Joined:
    """A joined section and what is kept of it once it is open: it may be closed again."""

    section: Section | None
    raster: SpotRaster | None
    table: pd.DataFrame
    text: str
    coords: NDArray[np.float64]
    codes: NDArray[np.integer[Any]]
    unit: str


class JoinPanel(Panel):
    """Ticked sections become a new one; its results can go back."""

    TITLE = "Join sections"
    ABOUT = (
        "Put open sections into one frame with true scale, for one run over all of them. Only "
        "genes that all have are kept; no batch effect is corrected."
    )
    RUN = "Join the ticked sections"
    NEEDS_RESULT = False

    def build(self) -> None:
        """Sections, placement; what was joined, and the way back."""
        # Of each joined section.
        self._parents: weakref.WeakKeyDictionary[Section, _Parents] = weakref.WeakKeyDictionary()
        self.list = QListWidget()
        self.list.setAccessibleName("Sections to join; Space ticks one")
        self.list.setToolTip("Sections to join, in this order; Space ticks one.")
        # napari's theme draws rows without air and ticks without a frame.
        self.list.setStyleSheet(
            f"QListWidget::item {{ height: {_ROW_HEIGHT}px; padding-left: 4px; }}"
            "QListWidget::indicator:unchecked { border: 1px solid #808080; }"
        )
        self.list.itemChanged.connect(self._on_ticked)
        self.fields.addRow(self.list)
        self.placement = narrow_combo(QComboBox())
        self.placement.addItem("In a row", "row")
        self.placement.addItem("As they are", "as_is")
        self.placement.setAccessibleName("Placement")
        self.placement.setToolTip(
            "In a row: serial sections and other donors. As they are: pieces of one tissue that "
            "share a frame, whose spots become neighbours across the cut."
        )
        self.placement.currentIndexChanged.connect(self._on_placement)
        self.gap = QDoubleSpinBox()
        self.gap.setRange(-1.0, 1e6)
        self.gap.setDecimals(0)
        self.gap.setSingleStep(100)
        self.gap.setValue(-1.0)
        self.gap.setSpecialValueText("ten spot distances")
        self.gap.setSuffix(" \u00b5m")
        self.gap.setAccessibleName("Gap")
        self.gap.setToolTip("Distance between sections in a row; default ten spot distances.")
        self.name = QLineEdit("joined")
        self.name.setAccessibleName("Name of the joined section")
        self.name.textChanged.connect(self._on_ticked)
        self.fields.addRow("Placement", self.placement)
        self.gap_label = QLabel("Gap")
        self.fields.addRow(self.gap_label, self.gap)
        self.fields.addRow("Name", self.name)
        self.split = make_button("Write results back", "", self._on_split)
        self.fields.addRow(self.split)
        self.facts = plain_label()
        self.results.addWidget(self.facts)
        self.rows = FrameTable(_COLUMNS, "Sections that were joined")
        self.results.addWidget(self.rows)

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """List the sections that are open; ticks stay."""
        ticked = set(self.ticked())
        self.list.blockSignals(True)
        self.list.clear()
        for one in self.desk.session.items.values():
            if one.section in self._parents:
                continue
            row = QListWidgetItem(f"{one.label}  ({one.section.n_spots:,} spots)")
            row.setData(Qt.ItemDataRole.UserRole, one.id)
            row.setFlags(row.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            on = one.id in ticked
            row.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
            self.list.addItem(row)
        self.list.blockSignals(False)
        if self.list.count() and self.list.currentRow() < 0:
            self.list.setCurrentRow(0)
        self.list.setFixedHeight(_ROW_HEIGHT * min(max(self.list.count(), 2), 8) + 8)
        reason = self._no_split(item, domains)
        self.split.setEnabled(not reason)
        self.split.setToolTip(
            reason or "Write all results of the joined section onto the single ones."
        )

    def ticked(self) -> list[str]:
        """Ids of the ticked sections, in order."""
        rows = [self.list.item(i) for i in range(self.list.count())]
        return [
            str(row.data(Qt.ItemDataRole.UserRole))
            for row in rows
            if row.checkState() == Qt.CheckState.Checked
        ]

    def obstacle(self, item: Item, domains: DomainSet | None) -> str:
        """Two sections, and a name."""
        del item, domains
        if len(self.ticked()) < 2:
            return "Tick two or more sections."
        return "" if self.name.text().strip() else "Give the joined section a name."

    def about(self, item: Item, domains: DomainSet | None) -> _Parents:
        """The ticked sections."""
        del item, domains
        return _Parents.of([self.desk.session.items[key] for key in self.ticked()])

    def make(self, subject: _Parents) -> Callable[[], Steps[Any]]:
        """Join what is ticked."""
        row = self.placement.currentData() == "row"
        return partial(
            _join,
            [snapshot(item.section) for item in subject.items(self.desk.session)],
            placement=self.placement.currentData(),
            gap_um=self.gap.value() if row and self.gap.value() >= 0 else None,
            name=self.name.text().strip(),
        )

    def keep(self, kind: str, found: Any, subject: Any) -> None:
        """Remember what was joined, without the section itself."""
        super().keep(kind, replace(found, section=None, raster=None), subject)

    def arrived(self, kind: str, found: Any, subject: Any) -> None:
        """Open the joined section beside the others."""
        del kind
        self._parents[found.section] = subject
        session = self.desk.session
        session.add(found.section, raster=found.raster)
        viewer = session.viewer
        if viewer is not None:
            viewer.reset_view()
        self.desk.say(
            f"The section '{found.section.name}' is open and selected: find domains on it, then "
            "write the results back here."
        )

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """What was joined."""
        del answer
        main: _Joined = found["main"]
        self.facts.setText(main.text)
        self.rows.show_frame(main.table)

    def table(self, answer: Answer) -> pd.DataFrame:
        """One row a section."""
        table: pd.DataFrame = answer.found["main"].table
        return table

    def figure(self, answer: Answer) -> Figure:
        """Where the spots lie."""
        from ...viz.plots import placement_figure

        main: _Joined = answer.found["main"]
        names = list(main.table["section"])
        colors = [PALETTE[i % len(PALETTE)] for i in range(len(names))]
        return placement_figure(main.coords, main.codes, names, colors, unit=main.unit)

    def _no_split(self, item: Item | None, domains: DomainSet | None) -> str:
        """Why there is nothing to write back; empty where there is."""
        parents = self._parents.get(item.section) if item is not None else None
        if parents is None:
            return "Select a section that was joined here."
        if domains is None:
            return "The joined section has no result yet: run a method on it."
        gone = parents.gone(self.desk.session)
        return f"{gone} after it was joined." if gone else ""

    @slot
    def _on_ticked(self) -> None:
        self.desk.check()

    @slot
    def _on_placement(self) -> None:
        row = self.placement.currentData() == "row"
        self.gap.setVisible(row)
        self.gap_label.setVisible(row)

    @slot
    def _on_split(self) -> None:
        session = self.desk.session
        item = session.selected
        if item is None or self._no_split(item, session.selected_domains):
            return
        self.desk.strip.clear()
        parents = self._parents[item.section].items(session)
        split_joined(item.section, [parent.section for parent in parents])
        for parent in parents:
            for key in stored_keys(item.section):
                if key in parent.domains:
                    # Written again, perhaps with the edits of the same run: no stamp tells that.
                    parent.domains[key].stamp = None
            # Known sections are brought up to date.
            session.add(parent.section)
        session.select(item.id)
        self.desk.say(f"Written back to {', '.join(parent.label for parent in parents)}.")


def _join(sections: list[Section], **options: Any) -> Steps[_Joined]:
    yield Progress(0, 2, "joining")
    joined = join_sections(sections, **options)
    yield Progress(1, 2, "drawing the spots")
    raster = rasterise(joined.coords, joined.lattice)
    names = joined.adata.obs["section"].cat.categories
    table = pd.DataFrame(
        {
            "section": np.asarray(names, dtype=str),
            "spots": [s.n_spots for s in sections],
            "genes": [s.n_genes for s in sections],
        }
    )
    size = f"{joined.name}: {joined.n_spots:,} spots, {joined.n_genes:,} common genes."
    return _Joined(
        joined,
        raster,
        table,
        " ".join([size, *joined.notes]),
        joined.coords,
        joined.adata.obs["section"].cat.codes.to_numpy(),
        "\u00b5m" if joined.um_per_px else "units",
    )
