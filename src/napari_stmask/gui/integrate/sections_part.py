"""Which sections are integrated, in which order, and how they belong together."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QHBoxLayout, QVBoxLayout, QWidget

from ...core.joint import JointParams
from ...core.params import describe
from ..fields import make_button
from ..guard import slot
from ..model import Item
from ..parts import narrow_combo, plain_label
from ..session import Session
from .sections_table import SectionsTable

__all__ = ["SectionsPart"]

_KINDS = {
    "separate": "Separate pieces or donors",
    "serial": "Serial slices of one block",
    "adjoining": "Adjoining parts of one tissue",
}
_MEANS = {
    "separate": "Every section is a piece of its own. They are not laid on one another; spots "
    "alike in expression are linked.",
    "serial": "Slices from one block, top to bottom. They are aligned, and a spot is linked to "
    "those above and below it.",
    "adjoining": "Parts of one tissue that share a frame, side by side. Spots are linked across "
    "the seam.",
}


class SectionsPart(QWidget):
    """``changed`` when another set, order or arrangement is asked for."""

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        self.table = SectionsTable()
        self.table.changed.connect(self._on_edit)
        layout.addWidget(self.table)
        self.up = make_button("Move up", "Move the current section up.", self._on_up)
        self.down = make_button("Move down", "Move the current section down.", self._on_down)
        row = QHBoxLayout()
        row.addWidget(self.up)
        row.addWidget(self.down)
        layout.addLayout(row)
        self.kind = narrow_combo(QComboBox())
        self.kind.setAccessibleName("How the sections belong together")
        for name, title in _KINDS.items():
            self.kind.addItem(title, name)
        self.kind.setToolTip("How the sections belong together.")
        self.kind.currentIndexChanged.connect(self._on_edit)
        most = next(info.maximum for info in describe(JointParams) if info.name == "spacing_um")
        self.spacing = QDoubleSpinBox()
        self.spacing.setRange(0.0, float(most or 0))
        self.spacing.setDecimals(1)
        self.spacing.setValue(JointParams().spacing_um)
        self.spacing.setSuffix(" \u00b5m")
        self.spacing.setAccessibleName("Spacing")
        self.spacing.setToolTip(
            "Distance from one serial section to the next, unless the table says otherwise; "
            "default 10 \u00b5m."
        )
        self.spacing.valueChanged.connect(self._on_edit)
        form = QFormLayout()
        form.setSpacing(6)
        form.addRow("Sections are", self.kind)
        form.addRow("Spacing", self.spacing)
        layout.addLayout(form)
        self.means = plain_label()
        layout.addWidget(self.means)
        self.facts = plain_label()
        self.facts.setAccessibleName("What the sections have in common")
        layout.addWidget(self.facts)
        self.refresh()

    @property
    def arrangement(self) -> str:
        """``"separate"``, ``"serial"`` or ``"adjoining"``."""
        return str(self.kind.currentData())

    def items(self) -> list[Item]:
        """The ticked sections, in their order."""
        open_items = self.session.items
        return [open_items[key] for key in self.table.ticked() if key in open_items]

    def gaps(self) -> list[float] | None:
        """Gaps between serial sections; None where all are the usual spacing."""
        return self.table.gaps()

    def refresh(self) -> None:
        """List the sections that are open."""
        self.table.show_items(self.session.items.values())
        self._show()

    def problem(self) -> str:
        """Why these cannot be integrated; empty where they can."""
        items = self.items()
        if len(self.session.items) < 2:
            return "Open two or more sections in the dock Open tissue."
        if len(items) < 2:
            return "Tick two or more sections."
        unknown = [item.label for item in items if item.section.um_per_px is None]
        if 0 < len(unknown) < len(items):
            return f"The scale of {', '.join(unknown)} is unknown while that of others is known."
        if not len(_common([item.section.adata.var_names for item in items])):
            return "The ticked sections have no gene in common."
        return ""

    def _show(self) -> None:
        serial = self.arrangement == "serial"
        self.table.show_gaps(serial=serial, spacing=self.spacing.value())
        self.spacing.setEnabled(serial)
        self.means.setText(_MEANS[self.arrangement])
        items = self.items()
        for button in (self.up, self.down):
            button.setEnabled(self.table.rowCount() > 1)
        if len(items) < 2:
            self.facts.setText(self.problem())
            return
        common = len(_common([item.section.adata.var_names for item in items]))
        spots = sum(item.section.n_spots for item in items)
        scales = [item.section.um_per_px is not None for item in items]
        scale = "known" if all(scales) else "unknown" if not any(scales) else "known of some only"
        self.facts.setText(
            f"{len(items)} sections, {spots:,} spots, {common:,} common genes; scale {scale}."
        )

    @slot
    def _on_edit(self) -> None:
        self._show()
        self.changed.emit()

    @slot
    def _on_up(self) -> None:
        self._move(-1)

    @slot
    def _on_down(self) -> None:
        self._move(1)

    def _move(self, step: int) -> None:
        key = self.table.current_id()
        if self.table.move_row(step):
            self.table.show_items(self.session.items.values())
            self.table.select_id(key)
            self._on_edit()


def _common(names: Sequence[pd.Index]) -> pd.Index:
    """Genes that all sections have."""
    common = names[0]
    for other in names[1:]:
        common = common[common.isin(other)]
    return common
