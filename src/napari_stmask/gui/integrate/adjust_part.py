"""One section put by hand: overlay, sliders, other poses, the transform of a layer."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy as np
from qtpy.QtCore import QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QHBoxLayout, QVBoxLayout, QWidget

from ...core.errors import ParameterError
from ...features.rigid import Matrix
from ..fields import make_button
from ..guard import Failure, slot
from ..model import Item
from ..parts import narrow_combo, plain_label
from ..session import Session
from .overlay import FIXED, MOVING, Overlay
from .poses import Chain, Turn
from .slider_field import SliderField

__all__ = ["AdjustPart"]

_PAUSE = 30
"""Milliseconds without an edit after which the fit is measured."""
_STEP, _NUDGE = 0.5, 0.1
"""What a press of an arrow key changes: degrees, and pitches."""
_DOT = 0.8
"""Diameter of the points of the overlay, in pitches."""


class AdjustPart(QWidget):
    """Moves one section of a chain; ``moved`` once it lies elsewhere."""

    moved = Signal()

    def __init__(self, session: Session, fail: Callable[[Failure], None]) -> None:
        super().__init__()
        self.session = session
        self._fail = fail
        self._chain: Chain | None = None
        self._first: weakref.ref[Item] | None = None
        self.overlay = Overlay(session)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_PAUSE)
        self._later.timeout.connect(self._take)
        self._build()
        self.show_chain(None, None)

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        self.choice = narrow_combo(QComboBox())
        self.choice.setAccessibleName("Section that is moved")
        self.choice.setToolTip("The section that is moved; the one before it stays.")
        self.choice.currentIndexChanged.connect(self._on_choice)
        self.shown = QCheckBox("Show it over the section before it")
        self.shown.setToolTip(
            f"Points of the fixed section (blue, {FIXED}) and of the moving one (orange, {MOVING})."
        )
        self.shown.toggled.connect(self._draw)
        # A tenth of a degree is several µm at the rim of a section.
        tip = "Turn about the middle of the section."
        self.angle = SliderField("Angle", " \u00b0", tip, decimals=2)
        self.dx = SliderField("Shift in x", " \u00b5m", "Shift of its middle to the right.")
        self.dy = SliderField("Shift in y", " \u00b5m", "Shift of its middle downwards.")
        for field in (self.angle, self.dx, self.dy):
            field.changed.connect(self._on_slide)
        self.mirror = QCheckBox("Mirrored")
        self.mirror.setToolTip("Turn the section over, left to right.")
        self.mirror.toggled.connect(self._on_slide)
        self.others = narrow_combo(QComboBox())
        self.others.setAccessibleName("Other poses that were found")
        self.others.setToolTip("Other ways in which the outlines fit, best first.")
        self.others.activated.connect(self._on_other)
        form = QFormLayout()
        form.setSpacing(6)
        form.addRow("Move", self.choice)
        form.addRow(self.shown)
        form.addRow("Angle", self.angle)
        form.addRow("x", self.dx)
        form.addRow("y", self.dy)
        form.addRow(self.mirror)
        form.addRow("Other poses", self.others)
        layout.addLayout(form)
        self._build_buttons(layout)

    def _build_buttons(self, layout: QVBoxLayout) -> None:
        """How well it fits, and what else can be done about it."""
        self.fit = plain_label()
        self.fit.setAccessibleName("How well it fits")
        layout.addWidget(self.fit)
        self.drag = make_button(
            "Drag on the canvas",
            "Select the orange layer in napari's transform mode: drag it, turn it by its handle.",
            self._on_drag,
        )
        self.take = make_button(
            "Take where it was dragged",
            "Lay the section where the orange layer was dragged or turned to on the canvas.",
            self._on_take,
        )
        self.reset = make_button("Reset", "Put the section back as it was found.", self._on_reset)
        row = QHBoxLayout()
        row.addWidget(self.drag)
        row.addWidget(self.reset)
        layout.addLayout(row)
        layout.addWidget(self.take)

    @property
    def index(self) -> int:
        """Number of the moving section in the chain; 0 without one."""
        found = self.choice.currentData()
        return int(found) if found is not None else 0

    def show_chain(self, chain: Chain | None, first: Item | None) -> None:
        """Other sections, or none; ``first`` tells where the common frame is in the world."""
        # What was last set is of the sections that were shown.
        self._later.stop()
        before = self.index if chain is self._chain else 0
        self._chain = chain
        self._first = weakref.ref(first) if first is not None else None
        with QSignalBlocker(self.choice):
            self.choice.clear()
            for i, label in enumerate(chain.labels if chain is not None else ()):
                if i:
                    self.choice.addItem(label, i)
            self.choice.setCurrentIndex(max(0, self.choice.findData(before)))
        self.setEnabled(chain is not None)
        self._show()
        self._draw()

    def choose(self, i: int) -> None:
        """Move another section of the chain."""
        self.choice.setCurrentIndex(self.choice.findData(i))

    def left(self) -> None:
        """The dock goes away."""
        self._later.stop()
        self.overlay.remove()

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong in the strip of the dock."""
        self._fail(failure)

    def turn(self) -> Turn:
        """The pose as the fields say it."""
        shift = self.dx.value(), self.dy.value()
        return Turn(self.angle.value(), *shift, self.mirror.isChecked())

    def follow(self) -> None:
        """The sections lie elsewhere on the canvas."""
        first = self._first() if self._first is not None else None
        if first is not None:
            self.overlay.follow(first.offset)

    def _show(self) -> None:
        """Fields and poses of the chosen section."""
        chain, i = self._chain, self.index
        with QSignalBlocker(self.others):
            self.others.clear()
        if chain is None or not i:
            self.fit.setText("")
            return
        turn = chain.turn(i)
        reach = float(max(np.ptp(chain.places(j), axis=0).max() for j in (i, i - 1)))
        self.angle.show_value(turn.angle, -180.0, 180.0, step=_STEP)
        for field, value in ((self.dx, turn.dx), (self.dy, turn.dy)):
            field.box.setSuffix(" \u00b5m" if chain.unit == "\u00b5m" else "")
            field.show_value(value, -reach, reach, step=_NUDGE * chain.pitch(i))
        with QSignalBlocker(self.mirror):
            self.mirror.setChecked(turn.mirrored)
        with QSignalBlocker(self.others):
            found = chain.now[i].alternatives
            self.others.addItem("As it is" if found else "none", None)
            for number, pose in enumerate(found):
                text = f"residual {pose.residual / chain.pitch(i):.2f} pitches"
                if pose.agreement is not None:
                    text += f", agreement {pose.agreement:.2f}"
                self.others.addItem(text, number)
        self.others.setEnabled(bool(found))
        self._tell()

    def _tell(self) -> None:
        chain, i = self._chain, self.index
        assert chain is not None
        one = chain.now[i]
        if one.residual is None:
            self.fit.setText("Not fitted: it lies where its coordinates put it.")
            return
        text = f"Residual {one.residual:.1f} {chain.unit} "
        text += f"({one.residual / chain.pitch(i):.2f} pitches)"
        if one.overlap is not None:
            text += f", overlap {one.overlap:.0%}"
        self.fit.setText(f"{text}. " + (f"\u26a0 {one.problem}" if one.problem else ""))

    @slot
    def _draw(self) -> None:
        """Show the overlay anew, or none."""
        chain, i = self._chain, self.index
        first = self._first() if self._first is not None else None
        if chain is None or not i or first is None or not self.shown.isChecked():
            self.overlay.remove()
            return
        parts = [
            (
                chain.labels[j],
                chain.places(j),
                chain.now[j].matrix,
                _DOT * chain.sections[j].lattice.pitch * chain.scales[j],
            )
            for j in (i - 1, i)
        ]
        self.overlay.show(parts, first.offset)
        viewer = self.session.viewer
        if viewer is not None:
            viewer.reset_view()

    def put(self, matrix: Matrix, *, method: str = "given") -> None:
        """Put the chosen section by hand.

        Raises
        ------
        ParameterError
            If ``matrix`` is no affine that can be inverted.
        """
        chain, i = self._chain, self.index
        if chain is None or not i:
            return
        self._later.stop()
        chain.place(i, matrix, method=method)
        self._show()
        self.overlay.move(chain.now[i].matrix)
        self.moved.emit()

    @slot
    def _on_choice(self) -> None:
        self._later.stop()
        self._show()
        self._draw()

    @slot
    def _on_slide(self) -> None:
        chain, i = self._chain, self.index
        if chain is None or not i:
            return
        self.overlay.move(self.turn().matrix(*chain.middles(i)))
        self._later.start()

    @slot
    def _take(self) -> None:
        """Measure where the sliders have stopped."""
        chain, i = self._chain, self.index
        if chain is None or not i:
            return
        chain.place(i, self.turn().matrix(*chain.middles(i)))
        self._tell()
        self.moved.emit()

    @slot
    def _on_other(self) -> None:
        number, chain = self.others.currentData(), self._chain
        if number is not None and chain is not None:
            self.put(chain.now[self.index].alternatives[number].matrix)

    @slot
    def _on_drag(self) -> None:
        self.shown.setChecked(True)
        if self.overlay.moving is None:
            self._draw()
        layer, viewer = self.overlay.moving, self.session.viewer
        if layer is not None and viewer is not None:
            viewer.layers.selection.active = layer
            layer.mode = "transform"

    @slot
    def _on_take(self) -> None:
        matrix = self.overlay.matrix()
        if matrix is None:
            raise ParameterError(
                "The orange layer is not there", "tick Show it over the section before it"
            )
        self.put(matrix)

    @slot
    def _on_reset(self) -> None:
        chain, i = self._chain, self.index
        if chain is None or not i:
            return
        self._later.stop()
        chain.restore(i)
        self._show()
        self.overlay.move(chain.now[i].matrix)
        self.moved.emit()
