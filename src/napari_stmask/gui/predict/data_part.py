"""The part *Data* of the dock: target, what to learn from, where to predict."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QWidget,
)

from ...core.errors import StmaskError
from ...core.prediction import RECORD
from ...prediction_checks import patients_of
from ..fields import PathField
from ..guard import slot
from ..model import Item
from ..parts import narrow_combo
from ..session import Session
from .reference_table import ReferenceTable
from .region_field import RegionField
from .request import Request

__all__ = ["DataPart"]

SECTIONS, PART, MODEL = "sections", "part", "model"
_SOURCES = {
    SECTIONS: "Other sections",
    PART: "Part of this section",
    MODEL: "Saved model",
}
_PITCH = (25.0, 500.0, 100.0)
"""Least, most and usual distance of grid points in micrometres."""


class DataPart(QWidget):
    """``changed`` on every edit; `request` says what is asked, `problem` why it cannot run."""

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._needs_image = True
        self.form = QFormLayout(self)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setSpacing(6)
        self._build_target()
        self._build_sources()
        self._build_where()
        self.refresh()

    def _build_target(self) -> None:
        self.target = narrow_combo(QComboBox())
        self.target.setAccessibleName("Target section")
        self.target.setToolTip("Section whose expression you want; it needs a histology image.")
        self.target.activated.connect(self._on_target)
        self.patient = QLineEdit()
        self.patient.setAccessibleName("Patient of the target")
        self.patient.setPlaceholderText("unknown")
        self.patient.setToolTip(
            "Only to say whether a reference is of the same patient, which makes predictions "
            "look better than they are for others."
        )
        self.patient.textEdited.connect(self._on_patient)
        self._patients: dict[str, str] = {}
        self.form.addRow("Target", self.target)
        self.form.addRow("Patient", self.patient)

    def _build_sources(self) -> None:
        self.source = narrow_combo(QComboBox())
        self.source.setAccessibleName("Learn from")
        self.source.setToolTip("Where measured expression comes from.")
        for key, title in _SOURCES.items():
            self.source.addItem(title, key)
        self.source.currentIndexChanged.connect(self._on_edit)
        self.form.addRow("Learn from", self.source)
        self.table = ReferenceTable()
        self.table.changed.connect(self._on_edit)
        self.form.addRow(self.table)
        self.region = RegionField(self.session)
        self.region.changed.connect(self._on_edit)
        self.gap = QDoubleSpinBox()
        self.gap.setRange(0.0, 20.0)
        self.gap.setSingleStep(0.5)
        self.gap.setDecimals(1)
        self.gap.setValue(2.0)
        self.gap.setSuffix(" spots")
        self.gap.setAccessibleName("Guard gap")
        self.gap.setToolTip(
            "Spots this close to what is learnt from are not predicted: neighbours are alike, and "
            "would flatter the prediction. Default: 2 distances between spots."
        )
        self.gap.valueChanged.connect(self._on_edit)
        self.model = PathField(
            "Saved model", "Trained models (*.safetensors);;All files (*)",
            "A model that was saved here; nothing is trained.",
        )  # fmt: skip
        self.model.changed.connect(self._on_edit)
        self.form.addRow("Region", self.region)
        self.form.addRow("Guard gap", self.gap)
        self.form.addRow("Model", self.model)

    def _build_where(self) -> None:
        self.where = narrow_combo(QComboBox())
        self.where.setAccessibleName("Where to predict")
        self.where.addItem("Existing spots", "spots")
        self.where.addItem("Grid over the tissue", "grid")
        self.where.currentIndexChanged.connect(self._on_edit)
        self.pitch = QDoubleSpinBox()
        self.pitch.setRange(*_PITCH[:2])
        self.pitch.setDecimals(0)
        self.pitch.setSingleStep(25)
        self.pitch.setValue(_PITCH[2])
        self.pitch.setSuffix(" \u00b5m")
        self.pitch.setAccessibleName("Distance between the points of the grid")
        self.pitch.setToolTip("Distance between the points of the grid, 25 to 500 \u00b5m.")
        self.pitch.valueChanged.connect(self._on_edit)
        row = QHBoxLayout()
        row.addWidget(self.where, 1)
        row.addWidget(self.pitch)
        self.form.addRow("Where", row)

    @property
    def item(self) -> Item | None:
        """The target, as long as it is open."""
        return self.session.items.get(str(self.target.currentData()))

    def need_image(self, needed: bool) -> None:
        """Whether references without an image can be learnt from: features may be finished."""
        if needed != self._needs_image:
            self._needs_image = needed
            self.refresh()

    def refresh(self) -> None:
        """List sections and layers; choices stay, and the selected section becomes the target."""
        items = [i for i in self.session.items.values() if RECORD not in i.section.adata.uns]
        fit = [i for i in items if i.section.image is not None or not self._needs_image]
        kept, wanted = self.target.currentData(), self.session.selected_id
        with QSignalBlocker(self.target):
            self.target.clear()
            for item in fit:
                self.target.addItem(item.label, item.id)
            row = self.target.findData(wanted)
            self.target.setCurrentIndex(row if row >= 0 else max(self.target.findData(kept), 0))
        self.target.setEnabled(bool(fit))
        target = self.item
        others = [i for i in items if i is not target]
        self.table.offer(others, needs_image=self._needs_image)
        if target is not None:
            known = self._patients.setdefault(target.id, patients_of([target.section])[0])
            with QSignalBlocker(self.patient):
                self.patient.setText(known)
        self.region.item = target
        self._on_edit()

    def problem(self) -> str:
        """Why nothing can be predicted; empty where it can."""
        if not self.session.items:
            return "No section is open: open one in the dock Open tissue."
        if self.item is None:
            return "No open section has a histology image: add one in the dock Open tissue."
        source = self.source.currentData()
        if source == SECTIONS and not self.table.ticked():
            if self.table.rowCount():
                return "Tick at least one section to learn from."
            return "Open a measured section to learn from, or learn from part of this one."
        if source == MODEL and self.model.value() is None:
            return "Choose the file of a saved model."
        if source == PART:
            try:
                self.region.mask(self.item, self.gap.value())
            except StmaskError as error:
                return str(error)
        return ""

    def outlines(self) -> list[Any]:
        """(m, 2) vertices of each shape that is learnt from; empty where none is."""
        target = self.item
        return self.region.outlines(target) if target is not None else []

    def stored_patients(self) -> dict[str, str]:
        """Name of each section that takes part -> its patient as the section has it."""
        keys = self.table.ticked() if self.source.currentData() == SECTIONS else []
        items = [item for item in (self.item, *map(self.session.items.get, keys)) if item]
        found = patients_of([item.section for item in items])
        return {item.label: who for item, who in zip(items, found, strict=True)}

    def request(self) -> tuple[Request, dict[str, str]]:
        """What is asked, and the id of each section that is learnt from by its name.

        Raises
        ------
        StmaskError
            Where the region cannot be learnt from.
        """
        target = self.item
        assert target is not None
        source = self.source.currentData()
        items: list[Item] = []
        values: dict[str, Any] = {}
        if source == SECTIONS:
            items = [self.session.items[key] for key in self.table.ticked()]
        elif source == PART:
            gap = self.gap.value()
            values |= {"learn": self.region.mask(target, gap), "gap": gap}
        else:
            values["model"] = self.model.value()
        if self.where.currentData() == "grid" and self.where.isEnabled():
            values["pitch"] = self.pitch.value()
        ids = {item.label: item.id for item in (items or ([target] if source == PART else []))}
        patients = {**self.table.patients(), target.id: self.patient.text().strip()}
        return Request.of(target, items, patients, **values), ids

    @slot
    def _on_edit(self) -> None:
        """Show what belongs to the chosen source."""
        source, item = self.source.currentData(), self.item
        self.table.setVisible(source == SECTIONS)
        for widget, of in ((self.region, PART), (self.gap, PART), (self.model, MODEL)):
            widget.setVisible(source == of)
            label = self.form.labelForField(widget)
            if isinstance(label, QLabel):
                label.setVisible(source == of)
        scaled = item is not None and item.section.um_per_px is not None
        self.where.setEnabled(scaled and source != PART)
        reason = "" if scaled else "Micrometres per pixel of the target are unknown. "
        if source == PART:
            reason = "The other spots of the section are predicted. "
        self.where.setToolTip(f"{reason}Predict at the target's spots, or at points of a grid.")
        grid = self.where.currentData() == "grid"
        self.pitch.setVisible(grid)
        self.pitch.setEnabled(grid and self.where.isEnabled())
        self.changed.emit()

    @slot
    def _on_target(self) -> None:
        if self.item is not None:
            self.session.select(self.item.id)
        self.refresh()

    @slot
    def _on_patient(self) -> None:
        if self.item is not None:
            self._patients[self.item.id] = self.patient.text().strip()
        self.changed.emit()
