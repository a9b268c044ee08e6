"""What an integration has found, on the canvas and in tables."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFormLayout, QVBoxLayout, QWidget

from ..fields import make_button
from ..guard import Failure, slot
from ..parts import Fold, plain_label, plain_tip
from ..session import Session
from .carry import behind, carry, source_of
from .known import Known, Look
from .scores_part import CompositionPart, ScoresPart, TruthPart
from .side_by_side import SideBySide, only_domains
from .stack import Stack, usual_stretch
from .umap_part import UmapPart

__all__ = ["ResultPart"]

_NONE = "Nothing was integrated yet: choose sections, then run a method over them."
_FLAT = "Only serial sections have a depth."


class ResultPart(QWidget):
    """``arranged`` when sections have been moved on the canvas."""

    arranged = Signal()

    def __init__(
        self,
        session: Session,
        fail: Callable[[Failure | None], None],
        say: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.session = session
        self._fail = fail
        self.known: Known | None = None
        self.side, self.stack = SideBySide(session), Stack(session)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        self.facts = plain_label(_NONE)
        layout.addWidget(self.facts)
        self._build_views()
        layout.addWidget(self.views)
        self.composition = CompositionPart(fail, say)
        self.scores = ScoresPart(fail, say)
        self.truth = TruthPart(fail, say)
        self.umap = UmapPart(fail, say)
        self.umap_fold = Fold("UMAP before and after", self.umap)
        for part in (self.composition, self.scores, self.truth, self.umap_fold):
            layout.addWidget(part)
        viewer = session.viewer
        if viewer is not None:
            viewer.layers.events.removed.connect(self._on_removed)
        session.domains_changed.connect(self._on_domains)
        session.domains_selected.connect(self._show_same)
        self.show_known(None)

    def _build_views(self) -> None:
        """What can be seen on the canvas."""
        self.views = QWidget()
        form = QFormLayout(self.views)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(6)
        self.grid = QCheckBox("Side by side in a grid")
        self.grid.setToolTip("Lay the sections out in rows, without other layers; untick to undo.")
        self.grid.toggled.connect(self._on_grid)
        self.solid = QCheckBox("Stacked in 3-D")
        self.solid.toggled.connect(self._on_solid)
        self.stretch = QDoubleSpinBox()
        self.stretch.setRange(1.0, 10_000.0)
        self.stretch.setDecimals(0)
        self.stretch.setPrefix("\u00d7 ")
        self.stretch.setAccessibleName("Stretch of depth")
        self.stretch.setToolTip("How much depth is stretched beside width, so that it can be seen.")
        self.stretch.setKeyboardTracking(False)
        self.stretch.valueChanged.connect(self._on_stretch)
        form.addRow(self.grid)
        form.addRow(self.solid)
        form.addRow("Depth stretched", self.stretch)
        self.same = make_button("Same names and colours everywhere", "", self._on_same)
        form.addRow(self.same)

    def show_known(self, known: Known | None) -> None:
        """Another integration, or the same one after sections have come or gone."""
        if known is not self.known:
            arranged = self.side.on or self.stack.on
            self._leave_views()
            self.known = known
            if arranged and known is not None and self.session.viewer is not None:
                # What was visible before is older than what was found since.
                for item in known.open_items(self.session):
                    only_domains(self.session.viewer, item, known.key)
            if known is not None:
                with QSignalBlocker(self.stretch):
                    self.stretch.setValue(usual_stretch(known))
        parts = (self.views, self.composition, self.scores, self.truth, self.umap_fold)
        for part in parts:
            part.setVisible(known is not None)
        if known is None:
            self.umap.show_known(None, Look((), ()))
            self.facts.setText(_NONE)
            return
        self._show_look(known)
        self.scores.show_known(known)
        self.truth.show_known(known)
        live = known.open_items(self.session)
        # What it has hidden must come back even where its sections were closed.
        self.grid.setEnabled(len(live) > 0 or self.side.on)
        deep = known.positions is not None and len(set(known.positions[:, 2].tolist())) > 1
        self.solid.setEnabled(deep)
        self.solid.setToolTip("Show the aligned spots with their depth." if deep else _FLAT)
        self.stretch.setEnabled(deep)
        text = f"{len(known.labels)} sections, {len(known.codes):,} spots, {len(known.names)} "
        text += f"domains in '{known.key}': a number means the same in every section."
        gone = len(known.labels) - len(live)
        if gone:
            text += f" {gone} of the sections {'is' if gone == 1 else 'are'} no longer open."
        self.facts.setText(text)

    def left(self) -> None:
        """The dock goes away: everything back as it was."""
        viewer = self.session.viewer
        if viewer is not None:
            viewer.layers.events.removed.disconnect(self._on_removed)
        self.session.domains_changed.disconnect(self._on_domains)
        self.session.domains_selected.disconnect(self._show_same)
        self.umap.left()
        self._leave_views()

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong in the strip of the dock."""
        with QSignalBlocker(self.solid):
            self.solid.setChecked(self.stack.on)
        self._fail(failure)

    def _show_look(self, known: Known) -> None:
        """Names and colours as the legends show them."""
        look = known.look(self.session)
        self.composition.show_known(known, look)
        self.umap.show_known(known, look)
        self._show_same()

    @slot
    def _show_same(self) -> None:
        known = self.known
        source = source_of(self.session, known) if known is not None else None
        if known is None or source is None:
            tip = "Select one of these sections, and this result, first."
        elif not behind(self.session, known):
            tip = "The sections look alike already; merged domains are left as they are."
        else:
            tip = (
                f"Give the other sections the names and colours that domains have in "
                f"{source.label}; Undo in the dock Domains takes it back on each."
            )
        self.same.setEnabled(known is not None and bool(behind(self.session, known)))
        self.same.setToolTip(plain_tip(tip))

    @slot
    def _on_same(self) -> None:
        if self.known is not None:
            carry(self.session, self.known)

    @slot
    def _on_domains(self) -> None:
        if self.known is not None:
            self._show_look(self.known)
            self.stack.recolour(self.known)

    def _leave_views(self) -> None:
        for box in (self.grid, self.solid):
            with QSignalBlocker(box):
                box.setChecked(False)
        self.stack.hide()
        self.side.hide()

    @slot
    def _on_grid(self) -> None:
        on, known = self.grid.isChecked(), self.known
        if on and known is not None:
            self.solid.setChecked(False)
            self.side.show(known.open_items(self.session), known.key)
        else:
            self.side.hide()
        self.arranged.emit()

    @slot
    def _on_solid(self) -> None:
        on, known = self.solid.isChecked(), self.known
        if on and known is not None:
            self.grid.setChecked(False)
            self.stack.show(known, self.stretch.value())
        else:
            self.stack.hide()

    @slot
    def _on_stretch(self) -> None:
        self.stack.stretch(self.stretch.value())

    @slot
    def _on_removed(self) -> None:
        if self.stack.on and self.stack.layer is None:
            # Deleted by hand.
            self.solid.setChecked(False)
