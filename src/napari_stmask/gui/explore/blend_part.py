"""Two or three genes in added colours, and the line that says which is which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QColorDialog,
    QGridLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...analysis.gene_sources import gene_values
from ...viz.palette import readable_text
from .. import layers
from ..analyse.spot_values import ROLE
from ..background import Background
from ..fields import make_button
from ..guard import Failure, slot
from ..model import Item
from ..parts import plain_label
from ..session import Session
from .blend import BLEND_COLOURS, Part, colour_name, picture
from .reading import Choice
from .source_layers import OF, hide_others, show_picture

__all__ = ["BlendPart"]

_NAME = "blend"
_FEWEST = 2


class BlendPart(QWidget):
    """``shown(on)`` when the blend was switched on or off; ``failed(Failure)``."""

    shown = Signal(bool)
    failed = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._choice: Choice | None = None
        self._gene = ""
        self.genes = ["", "", ""]
        self.colours = list(BLEND_COLOURS)
        self._work = Background(self)
        self._work.done.connect(self._on_done)
        self._work.failed.connect(self._on_failed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(
            plain_label("Add two or three genes, one after the other; their colours add up.")
        )
        self.add = make_button("Add the gene", "Put the shown gene into the blend.", self._on_add)
        layout.addWidget(self.add)
        grid = QGridLayout()
        grid.setSpacing(4)
        self.swatches: list[QPushButton] = []
        self.names = [plain_label() for _ in BLEND_COLOURS]
        self.drops: list[QPushButton] = []
        colours, drops = QButtonGroup(self), QButtonGroup(self)
        colours.idClicked.connect(self._on_colour)
        drops.idClicked.connect(self._on_drop)
        for i in range(len(BLEND_COLOURS)):
            swatch = QPushButton()
            colours.addButton(swatch, i)
            swatch.setFixedWidth(84)
            drop = QPushButton("Take out")
            drop.setAccessibleName(f"Take gene {i + 1} out of the blend")
            drop.setToolTip("Take this gene out of the blend.")
            drops.addButton(drop, i)
            self.swatches.append(swatch)
            self.drops.append(drop)
            for column, widget in enumerate((swatch, self.names[i], drop)):
                grid.addWidget(widget, i, column)
        grid.setColumnStretch(1, 1)
        layout.addLayout(grid)
        self.on = QCheckBox("Show the blend")
        self.on.setToolTip("Show the genes as one picture in added colours instead of one gene.")
        self.on.toggled.connect(self._on_toggled)
        layout.addWidget(self.on)
        self.legend = plain_label()
        self.legend.setAccessibleName("Legend of the blend")
        layout.addWidget(self.legend)
        self._draw()

    @property
    def busy(self) -> bool:
        """Whether a picture is being made."""
        return self._work.busy

    def follow(self, choice: Choice | None, gene: str) -> None:
        """The source that genes are read from, and the gene that is shown."""
        item = choice.item if choice is not None else None
        if self._choice is not None and self._choice.item is not item:
            self.off()
        self._choice, self._gene = choice, gene
        self._draw()

    def off(self) -> None:
        """Switched off, because something else is shown; says nothing."""
        self._work.forget()
        with QSignalBlocker(self.on):
            self.on.setChecked(False)
        self.legend.hide()
        self._hide()

    def parts(self) -> list[tuple[str, str]]:
        """Genes of the blend and their colours."""
        return [(g, c) for g, c in zip(self.genes, self.colours, strict=True) if g]

    def _draw(self) -> None:
        full = all(self.genes)
        self.add.setEnabled(bool(self._gene) and not full and self._gene not in self.genes)
        for i, colour in enumerate(self.colours):
            self.names[i].setText(self.genes[i] or "\u2013")
            self.drops[i].setEnabled(bool(self.genes[i]))
            swatch, name = self.swatches[i], colour_name(colour)
            swatch.setText(name)
            swatch.setAccessibleName(f"Colour of gene {i + 1}: {name}")
            swatch.setToolTip(f"Colour of gene {i + 1}, now {name}; click for another.")
            swatch.setStyleSheet(
                f"QPushButton {{ background: {colour}; color: {readable_text(colour)}; }}"
            )
        self.on.setEnabled(len(self.parts()) >= _FEWEST and self._choice is not None)

    def _changed(self) -> None:
        self._draw()
        if not self.on.isChecked():
            return
        if self.on.isEnabled():
            self._start()
        else:
            self.on.setChecked(False)

    def _start(self) -> None:
        assert self._choice is not None
        self._work.start(_made, self._choice, self.parts())

    @slot
    def _on_add(self) -> None:
        self.genes[self.genes.index("")] = self._gene
        self._changed()

    @slot
    def _on_drop(self, i: int) -> None:
        self.genes[i] = ""
        self._changed()

    @slot
    def _on_colour(self, i: int) -> None:
        found = QColorDialog.getColor(QColor(self.colours[i]), self, "Colour of the gene")
        if found.isValid():
            self.colours[i] = found.name().upper()
            self._changed()

    @slot
    def _on_toggled(self, on: bool) -> None:
        if on:
            self._start()
            return
        self.off()
        self.shown.emit(False)

    @slot
    def _on_done(self, answer: tuple[Item, list[tuple[str, str]], Any]) -> None:
        item, parts, data = answer
        viewer = self._session.viewer
        if viewer is None or item.id not in self._session.items or not self.on.isChecked():
            return
        self.shown.emit(True)
        title = " + ".join(f"{gene} ({colour_name(colour)})" for gene, colour in parts)
        layer = show_picture(viewer, item, _NAME, title, data)
        hide_others(viewer, [item], [layer])
        self.legend.setText(
            "Legend: "
            + ", ".join(f"{gene} {colour_name(colour)}" for gene, colour in parts)
            + ". Colour begins at the median of a gene; where genes meet their colours add up."
        )
        self.legend.show()

    @slot
    def _on_failed(self, failure: Failure) -> None:
        self.off()
        self.failed.emit(failure)

    def _hide(self) -> None:
        viewer = self._session.viewer
        if viewer is None or self._choice is None:
            return
        layer = layers.find_layer(viewer, self._choice.item.id, ROLE, f"{OF}_{_NAME}")
        if layer is not None:
            layer.visible = False


def _made(
    choice: Choice, parts: Sequence[tuple[str, str]]
) -> tuple[Item, Sequence[tuple[str, str]], Any]:
    section = choice.item.section
    read = [Part(g, gene_values(section, g, choice.source.name), c) for g, c in parts]
    return choice.item, parts, picture(choice.item.raster, read)
