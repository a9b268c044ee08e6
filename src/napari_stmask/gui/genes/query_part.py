"""Genes that follow a pattern drawn over the section."""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel

from ...core.errors import ParameterError, StmaskError
from ..analyse.table import Column
from ..fields import make_button
from ..guard import slot
from ..parts import narrow_combo, plain_label
from .gene_table import GeneTable
from .level_table import LevelTable, level_field
from .part import GenePart
from .recipe import Recipe
from .regions import as_column, new_pattern, pattern_layers, regions_of

__all__ = ["QueryPart"]

_BACKGROUND = 95.0
_EVENTS = ("paint", "data", "set_data", "labels_update")
_COLUMNS = (
    Column("gene", "Gene", width=0),
    Column("module", "Mod.", tip="Module of the gene.", width=42),
    Column("distance", "Dist.", ".2f", "From its vector to those of artificial genes with the "
           "pattern; the nearest first.", 50),
    Column("similarity", "Alike", ".2f", "Correlation of the vectors.", 50),
    Column("correlation", "Corr.", ".2f", "Plain correlation of expression and drawn levels.", 50),
)  # fmt: skip


class QueryPart(GenePart):
    """Layers are found again whenever one comes, goes or is drawn on."""

    TITLE = "Pattern"

    def build(self) -> None:
        """Layer, levels, table."""
        self.found: pd.DataFrame | None = None
        self._followed: weakref.WeakSet[Any] = weakref.WeakSet()
        self._asked: tuple[tuple[str, ...], np.ndarray[Any, Any], dict[str, float], float] | None
        self._asked = None
        self.layer = narrow_combo(QComboBox())
        self.layer.setAccessibleName("Layer with the pattern")
        self.layer.setPlaceholderText("nothing drawn")
        self.layer.setToolTip(
            "Labels painted over the section, or closed shapes; each is a region."
        )
        self.layer.currentIndexChanged.connect(self._on_layer)
        self.new = make_button(
            "New pattern layer", "Add a Labels layer over the section and paint 1, 2, 3 \u2026",
            self._on_new,
        )  # fmt: skip
        row = QHBoxLayout()
        row.addWidget(self.layer, 1)
        row.addWidget(self.new)
        self.body.addLayout(row)
        self.state = plain_label()
        self.state.setAccessibleName("What is drawn")
        self.levels = LevelTable()
        self.background = level_field(_BACKGROUND, "Level of all other spots")
        self.body.addWidget(self.state)
        self.body.addWidget(self.levels)
        row = QHBoxLayout()
        row.addWidget(QLabel("All other spots"), 1)
        row.addWidget(self.background)
        self.body.addLayout(row)
        self.run = make_button("Find genes", "", self._on_run)
        self.add_action(self.run)
        self.facts = plain_label()
        self.table = GeneTable(_COLUMNS, "Genes like the pattern; the selected ones are shown")
        self.table.picked.connect(self._on_picked)
        self.body.addWidget(self.facts)
        self.body.addWidget(self.table)
        self.export = self.add_export()
        # Painting says so many times a second.
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(150)
        self._later.timeout.connect(self._on_layer)
        viewer = self.desk.session.viewer
        if viewer is not None:
            viewer.layers.events.inserted.connect(self._on_layers)
            viewer.layers.events.removed.connect(self._on_layers)

    def forget(self) -> None:
        """Another run has other genes; what is drawn stays."""
        self.found = self._asked = None

    def left(self) -> None:
        """Nothing is counted any more."""
        super().left()
        self._later.stop()

    def refresh(self) -> None:
        """List the layers; count the spots; show the answer."""
        self._list()
        self.new.setEnabled(self.item is not None)
        self._count()
        for widget in (self.facts, self.table, self.export):
            widget.setVisible(self.found is not None)
        if self.found is None or self.known is None:
            self.export.offer(None, None)
            return
        table = self.found
        self.table.show_frame(table)
        name = f"{self.known.section.name}_{self.known.key}_pattern"
        self.export.offer((lambda: table,), self.known.section, name)

    def _layers(self) -> dict[int, Any]:
        viewer = self.desk.session.viewer
        return {id(x): x for x in pattern_layers(viewer)} if viewer is not None else {}

    def _list(self) -> None:
        kept = self.layer.currentData()
        with QSignalBlocker(self.layer):
            self.layer.clear()
            for number, layer in self._layers().items():
                self.layer.addItem(layer.name, number)
                self._follow(layer)
            self.layer.setCurrentIndex(max(self.layer.findData(kept), 0))
        self.layer.setEnabled(self.layer.count() > 0)

    def _follow(self, layer: Any) -> None:
        if layer in self._followed:
            return
        self._followed.add(layer)
        for name in _EVENTS:
            event = getattr(layer.events, name, None)
            if event is not None:
                event.connect(self._on_drawn)

    def _count(self) -> None:
        """Spots of each region, or why there are none."""
        counts: dict[str, int] = {}
        layer, item = self._layers().get(self.layer.currentData()), self.item
        reason = ""
        if item is None:
            reason = "There is no run to ask."
        elif layer is None:
            reason = "Nothing is drawn: press New pattern layer and paint over the section."
        else:
            try:
                codes, names = regions_of(layer, item)
                found = np.bincount(codes[codes >= 0], minlength=len(names))
                counts = dict(zip(names, map(int, found), strict=True))
            except StmaskError as error:
                reason = str(error)
        self.levels.show_counts(counts)
        self.state.setText(reason)
        self.state.setVisible(bool(reason))
        ready = not reason and self.loaded is not None and not self.worker.busy
        self.run.setEnabled(ready)
        self.run.setToolTip(
            reason or "Simulate genes with this pattern and look for those nearest to them."
        )

    def recipe(self) -> Recipe:
        """The pattern that was asked last: its regions are in ``obs``."""
        if self._asked is None or self.known is None:
            raise ParameterError("No pattern was asked for yet", "press Find genes first")
        names, _, levels, background = self._asked
        column = f"{self.known.key}_pattern"
        by_code = {code: levels[name] for code, name in enumerate(names)}
        lines = [
            f"drawn = section.adata.obs[{column!r}].cat.codes.to_numpy()",
            f"found = drain(genes.query_steps(drawn, {by_code!r}, background={background:g}))",
            "print(found)",
        ]
        flags: list[tuple[str, Any]] = [("regions", column)]
        flags += [("level", f"{name}={levels[name]:g}") for name in names]
        flags.append(("background", f"{background:g}"))
        return Recipe("query", lines, flags, saved="drawn.h5ad")

    def answered(self, found: Any) -> None:
        """Show the genes; keep the regions on the section."""
        assert self.known is not None
        assert self._asked is not None
        names, codes, levels, _ = self._asked
        column = f"{self.known.key}_pattern"
        self.known.section.adata.obs[column] = as_column(codes, names)
        wanted = ", ".join(f"{name} at top {levels[name]:g} %" for name in names)
        self.facts.setText(
            f"Genes nearest to the pattern ({wanted}) first. The regions are written as "
            f"obs['{column}']."
        )
        self.found = found

    @slot
    def _on_layers(self) -> None:
        self._later.start()

    @slot
    def _on_drawn(self) -> None:
        self._later.start()

    @slot
    def _on_layer(self) -> None:
        self._list()
        self._count()

    @slot
    def _on_new(self) -> None:
        viewer, item = self.desk.session.viewer, self.item
        if viewer is None or item is None:
            return
        self.desk.clear_failure()
        layer = new_pattern(viewer, item)
        self._list()
        self.layer.setCurrentIndex(self.layer.findData(id(layer)))
        self._count()
        self.desk.say("Paint over the section; the next label is a region of its own.")

    @slot
    def _on_run(self) -> None:
        layer, item = self._layers().get(self.layer.currentData()), self.item
        if self.known is None or layer is None or item is None:
            return
        codes, names = regions_of(layer, item)
        self._count()
        levels, background = self.levels.levels(), self.background.value()
        self._asked = names, codes, levels, background
        by_code = {code: levels[name] for code, name in enumerate(names)}
        steps = self.known.atlas.query_steps
        self.launch(partial(steps, codes, by_code, background=background))

    @slot
    def _on_picked(self, genes: tuple[str, ...]) -> None:
        self.desk.choose(genes, origin=self.table)
