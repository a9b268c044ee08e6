"""Both labelings and their differences over the tissue: buttons and a line of legend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from ...analysis.agreement import Agreement
from .. import layers
from ..analyse.spot_values import ROLE
from ..background import Background
from ..explore.beside import Beside
from ..fields import make_button
from ..guard import Failure, slot
from ..layer_tuples import our_meta, warm_up
from ..model import Item
from ..parts import plain_label
from ..session import Session
from .overlay import DIFFERENT, differences, find, hide, show_differences, show_labeling
from .pair_chart import Shown

__all__ = ["TissuePart"]


@dataclass(frozen=True, eq=False)
class _Painted:
    """Pictures of the index map: the differences, or both labelings."""

    item: Item
    found: Agreement
    pictures: list[Any]


def _paint_differences(item: Item, found: Agreement) -> _Painted:
    warm_up()
    return _Painted(item, found, [item.raster.labels(differences(found))])


def _paint_sides(item: Item, found: Agreement) -> _Painted:
    warm_up()
    return _Painted(item, found, [item.raster.labels(codes) for codes in found.codes])


class TissuePart(QWidget):
    """Follows what the dock compares; pictures are made in workers."""

    failed = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.beside = Beside(session, self._together)
        self._item: Item | None = None
        self._shown: Shown | None = None
        self._sides: _Painted | None = None
        self._differing, self._siding = Background(self), Background(self)
        self._differing.done.connect(self._on_differences)
        self._siding.done.connect(self._on_sides)
        for work in (self._differing, self._siding):
            work.failed.connect(self._on_failed)
        self._build()
        viewer = session.viewer
        assert viewer is not None
        viewer.layers.events.removed.connect(self._on_removed)
        self.follow(None, None)

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        grid = QGridLayout()
        grid.setSpacing(6)
        self.differ = make_button(
            "Show differences",
            "Colour the spots whose two domains are no partners; what agrees stays clear.",
            self._on_differ,
        )
        self.side_by_side = make_button(
            "Side by side",
            "Show both labelings beside each other; again brings back what was shown.",
            self._on_side_by_side,
        )
        self.choose = make_button(
            "Choose differing spots",
            "Make the spots whose two domains are no partners the chosen ones.",
            self._on_choose,
        )
        self.differ.setCheckable(True)
        self.side_by_side.setCheckable(True)
        grid.addWidget(self.differ, 0, 0)
        grid.addWidget(self.side_by_side, 0, 1)
        grid.addWidget(self.choose, 1, 0, 1, 2)
        column.addLayout(grid)
        line = QHBoxLayout()
        self.swatch = QFrame()
        self.swatch.setFixedSize(12, 12)
        self.swatch.setStyleSheet(f"background-color: {DIFFERENT};")
        self.legend = plain_label()
        self.legend.setAccessibleName("Legend of the differences")
        line.addWidget(self.swatch)
        line.addWidget(self.legend, 1)
        column.addLayout(line)

    @property
    def busy(self) -> bool:
        """Whether a picture is being made."""
        return self._differing.busy or self._siding.busy

    def follow(self, item: Item | None, shown: Shown | None) -> None:
        """Show another comparison in what is on; None, or another section, ends it."""
        if item is not self._item or shown is None:
            self._leave()
        before, self._item, self._shown = self._shown, item, shown
        for button in (self.differ, self.side_by_side, self.choose):
            button.setEnabled(shown is not None)
        self._say()
        if shown is None or item is None:
            return
        same = before is not None and before.found is shown.found
        if self.differ.isChecked() and not same:
            self._differing.start(_paint_differences, item, shown.found)
        if self.side_by_side.isChecked():
            if same and self._sides is not None:
                self._on_sides(self._sides)
            else:
                self._siding.start(_paint_sides, item, shown.found)

    def _say(self) -> None:
        shown = self._shown
        on = shown is not None and self.differ.isChecked()
        self.swatch.setVisible(on)
        self.legend.setVisible(on)
        if shown is not None:
            count, scores = int(shown.found.disagree.sum()), shown.found.scores
            self.legend.setText(
                f"Red: {count:,} spots ({1 - scores['agreeing']:.1%}) whose domains are no "
                "partners. Clear: spots that agree, or lack a domain."
            )

    @slot
    def _on_differ(self) -> None:
        self._say()
        if self._item is None or self._shown is None:
            return
        if self.differ.isChecked():
            self._differing.start(_paint_differences, self._item, self._shown.found)
        else:
            self._differing.forget()
            self._hide(self._item, sides=False)

    @slot
    def _on_differences(self, made: _Painted) -> None:
        viewer, shown = self.session.viewer, self._shown
        if viewer is None or shown is None or made.found is not shown.found:
            return
        title = " / ".join(made.found.titles)
        selection, active = set(viewer.layers.selection), viewer.layers.selection.active
        show_differences(viewer, made.item, made.pictures[0], title)
        viewer.layers.selection = selection
        viewer.layers.selection.active = active

    @slot
    def _on_side_by_side(self) -> None:
        if self._item is None or self._shown is None:
            return
        if self.side_by_side.isChecked():
            self._siding.start(_paint_sides, self._item, self._shown.found)
        else:
            self._together()

    @slot
    def _on_sides(self, made: _Painted) -> None:
        viewer, shown = self.session.viewer, self._shown
        if viewer is None or shown is None or made.found is not shown.found:
            return
        again = self.beside.on and made is self._sides
        self.beside.take_turn()
        found, self._sides = shown.found, made
        selection, active = set(viewer.layers.selection), viewer.layers.selection.active
        ours = [
            show_labeling(
                viewer, made.item, side, found.titles[side], made.pictures[side],
                shown.colors[side], found.names[side],
            )
            for side in (0, 1)
        ]  # fmt: skip
        viewer.layers.selection = selection
        viewer.layers.selection.active = active
        if again:
            # Only the colours are others.
            return
        self.beside.show(made.item, [(made.item, layer) for layer in ours], found.titles)
        # What lies over one of the two would hide it; `Beside` brings it back.
        for layer in layers.layers_of(
            viewer, made.item.id, "domains", "gene", ROLE, "selection", "spots"
        ):
            if layer.visible and layer not in ours:
                layer.visible = False

    @slot
    def _on_choose(self) -> None:
        if self._item is not None and self._shown is not None:
            rows = np.flatnonzero(self._shown.found.disagree)
            self.session.choose_spots(self._item.id, rows)

    @slot
    def _on_removed(self, event: Any) -> None:
        """A layer that the user deletes is off."""
        item, viewer = self._item, self.session.viewer
        if item is None or viewer is None or our_meta(event.value).get("section_id") != item.id:
            return
        if self.differ.isChecked() and not self._differing.busy:
            self.differ.setChecked(bool(find(viewer, item, sides=False)))
            self._say()
        if self.beside.on and not self._siding.busy and len(find(viewer, item, sides=True)) < 2:
            self._together()

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self.failed.emit(failure)

    def _together(self) -> None:
        """One view again, as it was before."""
        self._siding.forget()
        self._sides = None
        self.side_by_side.setChecked(False)
        self.beside.leave()
        if self._item is not None:
            self._hide(self._item, sides=True)

    def _leave(self) -> None:
        self._together()
        self._differing.forget()
        self.differ.setChecked(False)
        if self._item is not None:
            self._hide(self._item, sides=False)

    def _hide(self, item: Item, *, sides: bool) -> None:
        if self.session.viewer is not None:
            hide(self.session.viewer, item, sides=sides)
