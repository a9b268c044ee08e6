"""Click a predicted spot: the reference patches that it was read from."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from ..analyse.picking import PickButton, SpotMark
from ..background import Background
from ..guard import Failure, slot
from ..model import Item
from ..parts import plain_label, plain_tip
from ..patch_preview import pixmap
from .part import Part
from .reference_patches import Looked, ReferenceSpot, look_up

__all__ = ["AttentionPart", "PatchCell"]

_SIDE = 84
"""Of a patch, in pixels of the screen."""
_ACROSS = 3
_REFERENCE_COLOR = "#FFF000"


class PatchCell(QWidget):
    """A reference: its patch, its weight, where it is and what it measured."""

    def __init__(self, spot: ReferenceSpot, gene: str) -> None:
        super().__init__()
        self.spot = spot
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        self.picture = QLabel()
        self.picture.setFixedSize(_SIDE, _SIDE)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text = plain_label()
        lines = [f"{spot.weight:.0%}", f"{spot.section}", spot.spot]
        if np.isfinite(spot.value):
            lines.append(f"{gene} {spot.value:.2f}")
        if spot.patch is not None:
            self.picture.setPixmap(pixmap(spot.patch, _SIDE))
        else:
            self.picture.setWordWrap(True)
            self.picture.setText("no image" if spot.row >= 0 else "not open")
            self.picture.setStyleSheet("border: 1px dashed #808080;")
        self.text.setText("\n".join(lines))
        self.text.setMinimumWidth(_SIDE)
        said = ", ".join(lines)
        if spot.row < 0:
            said += f": the section {spot.section} is not open"
        self.setToolTip(plain_tip(said))
        self.picture.setAccessibleName(f"Reference patch, {said}")
        column.addWidget(self.picture)
        column.addWidget(self.text)


class AttentionPart(Part):
    """Answers clicks; marks the spot and its references on the tissue."""

    def build(self) -> None:
        """Button, facts, patches."""
        self.gene = ""
        self.looked: Looked | None = None
        session = self.desk.session
        self.pick = PickButton(
            session,
            "Click spots",
            "Every click on the predicted section shows the reference patches that the spot was "
            "read from; Escape, or this button again, ends it.",
            "Click a spot of '{section}'. Escape ends it.",
            stays=True,
            item=self._item,
        )
        self.pick.picked.connect(self._on_picked)
        self.body.addWidget(self.pick)
        self.body.addWidget(self.pick.said)
        self.facts = plain_label()
        self.facts.setAccessibleName("About the spot")
        self.own = QLabel()
        self.own.setAccessibleName("Patch of the spot itself")
        self.body.addWidget(self.facts)
        self.body.addWidget(self.own)
        self.grid_holder = QWidget()
        self.grid = QGridLayout(self.grid_holder)
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setSpacing(6)
        self.cells: list[PatchCell] = []
        self.body.addWidget(self.grid_holder)
        self._mark = SpotMark(session, "clicked spot")
        self._others = SpotMark(session, "its references", color=_REFERENCE_COLOR)
        self._reader = Background(self)
        self._reader.done.connect(self._on_looked)
        self._reader.failed.connect(self.show_failure)

    @property
    def busy(self) -> bool:
        """Whether patches are being read."""
        return self._reader.busy

    def _item(self) -> Item | None:
        """The section that is clicked on."""
        return self.desk.session.items.get(self.known.item_id) if self.known is not None else None

    def forget(self) -> None:
        """Another prediction: its spots are others."""
        self.pick.picker.stop()
        self.left()
        self.looked = None
        self._show()

    def left(self) -> None:
        """Nobody sees the patches any more: the marks leave the tissue."""
        self._reader.forget()
        self.pick.picker.stop()
        self._mark.remove()
        self._others.remove()

    def back(self) -> None:
        """The patches are seen again: mark their spots."""
        self._draw_marks()

    def refresh(self) -> None:
        """Whether spots can be clicked."""
        item = self._item()
        self.pick.setEnabled(item is not None)
        if item is None:
            self.pick.picker.stop()
        self._show()

    def follow_gene(self, gene: str) -> None:
        """Another gene is shown: give its values."""
        self.gene = gene
        if self.looked is not None and self.looked.gene != gene:
            self.look(self.looked.index)

    def look(self, spot: int) -> None:
        """Read the references of a predicted spot in the background."""
        if self.known is None:
            return
        known, session = self.known, self.desk.session
        names = known.prediction.references["section"].unique()
        items = {str(name): known.reference(session, str(name)) for name in names}
        sections = {name: item.section for name, item in items.items() if item is not None}
        self._reader.start(look_up, known, spot, self.gene, sections)

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong in the strip of the dock."""
        self.desk.show_failure(failure)

    @slot
    def _on_picked(self, spot: int) -> None:
        self.desk.clear_failure()
        self.look(spot)

    @slot
    def _on_looked(self, looked: Looked) -> None:
        self.looked = looked
        self._show()
        self._draw_marks()

    def _draw_marks(self) -> None:
        """Rings around the spot and around its references in open sections."""
        item, known, looked = self._item(), self.known, self.looked
        if item is None or known is None or looked is None:
            return
        self._mark.ring(item, looked.index)
        session = self.desk.session
        found = [(known.reference(session, s.section), s.row) for s in looked.references]
        self._others.rings([(of, row) for of, row in found if of is not None and row >= 0])

    def _show(self) -> None:
        looked = self.looked
        for cell in self.cells:
            self.grid.removeWidget(cell)
            cell.deleteLater()
        self.cells = []
        for widget in (self.facts, self.own, self.grid_holder):
            widget.setVisible(looked is not None)
        if looked is None:
            return
        self.facts.setText("\n".join(_facts(looked)))
        self.own.setVisible(looked.patch is not None)
        if looked.patch is not None:
            self.own.setPixmap(pixmap(looked.patch, _SIDE))
        for number, spot in enumerate(looked.references):
            cell = PatchCell(spot, looked.gene)
            self.cells.append(cell)
            self.grid.addWidget(
                cell, number // _ACROSS, number % _ACROSS, Qt.AlignmentFlag.AlignTop
            )


def _facts(looked: Looked) -> list[str]:
    lines = [f"Spot {looked.name}"]
    if np.isfinite(looked.predicted):
        lines[0] += f": predicted {looked.gene} {looked.predicted:.2f}"
    if looked.novel:
        lines.append(
            f"\u26a0 No similar tissue among the references (novelty {looked.novelty:.2f})."
        )
    else:
        lines.append(f"Novelty of its tissue: {looked.novelty:.2f} of 1.")
    closed = sorted({s.section for s in looked.references if s.row < 0})
    if closed:
        lines.append(f"Not open, so without patches: {', '.join(closed)}.")
    if looked.left_out > 0.005:
        lines.append(f"{looked.left_out:.0%} of the weight goes to further spots.")
    return lines
