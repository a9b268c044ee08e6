"""The modules of a run: a table, their scores over the tissue, mean maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QHBoxLayout

from ..analyse.spot_values import limits_of
from ..analyse.table import Column, FrameTable
from ..background import Background
from ..fields import make_button
from ..guard import slot
from ..parts import plain_label
from .known import GeneRun
from .part import GenePart
from .recipe import Recipe
from .values import module_pattern

__all__ = ["ModulesPart"]

_COLUMNS = (
    Column("module", "Mod.", tip="Number of the module; 1 has the clearest picture.", width=42),
    Column("genes", "Genes", ",d", "Genes of the module.", 48),
    Column("top_genes", "Leading genes", width=0, tip="Those nearest to the module's middle."),
    Column("morans_i", "Moran", ".2f", "Moran's I of its score: 1 is smooth, 0 is noise.", 50),
    Column("probability", "Prob.", ".2f", "Mean probability with which its genes belong to it.",
           46),
)  # fmt: skip


class ModulesPart(GenePart):
    """A click on a row shows the score of a module, a double click adds its mean map."""

    TITLE = "Modules"

    def build(self) -> None:
        """Table, mean map, copies."""
        self.module = ""
        self.facts = plain_label()
        self.table = FrameTable(_COLUMNS, "Gene modules; Return shows one", chooses="module")
        self.table.chosen.connect(self._on_module)
        self.table.doubleClicked.connect(self._on_map)
        self.members = plain_label()
        self.members.setAccessibleName("Genes of the module")
        self.map = make_button("Add mean map", "", self._on_map)
        for widget in (self.facts, self.table, self.members):
            self.body.addWidget(widget)
        self.export = self.add_export()
        row = QHBoxLayout()
        row.addWidget(self.map)
        row.addWidget(self.export)
        self.body.addLayout(row)
        self.body.addWidget(self.copies)
        self._maps = Background(self)
        self._maps.done.connect(self._on_mapped)
        self._maps.failed.connect(self.show_failure)

    @property
    def busy(self) -> bool:
        """Whether a mean map is made."""
        return self._maps.busy

    def forget(self) -> None:
        """Another run has other modules."""
        self.module = ""
        self._maps.forget()

    def left(self) -> None:
        """No map is awaited any more."""
        super().left()
        self._maps.forget()

    def refresh(self) -> None:
        """Fill the table."""
        loaded = self.loaded
        self.map.setEnabled(bool(self.module))
        self.map.setToolTip(
            "Add the mean of its genes as an image layer, which stays; or double-click the row."
            if self.module
            else "Click a module first."
        )
        self.members.setVisible(bool(self.module))
        if loaded is None:
            self.export.offer(None, None)
            return
        table = loaded.modules
        self.facts.setText(
            f"{len(loaded.genes):,} genes in {len(table):,} modules. Click a row to see the "
            "module on the tissue."
        )
        self.table.show_frame(table)
        name = f"{loaded.run.section.name}_{loaded.run.key}_modules"
        self.export.offer((lambda: table,), loaded.run.section, name)

    def recipe(self) -> Recipe:
        """The table of modules."""
        return Recipe("modules", ["modules = genes.module_table()", "print(modules)"])

    @slot
    def _on_module(self, module: str) -> None:
        run, item, loaded = self.known, self.item, self.loaded
        if run is None or item is None or loaded is None:
            return
        self.desk.clear_failure()
        self.module = module
        atlas = run.atlas
        values = atlas.scores[:, atlas.modules.index(module)]
        members = atlas.members(module)
        self.desk.choose(members, origin=self, show=False)
        self.desk.show_values(
            item, "module", f"{item.label} \u00b7 module {module}", values, limits=limits_of(values)
        )
        more = " \u2026" if len(members) > 12 else ""
        self.members.setText(f"Module {module}: {', '.join(members[:12])}{more}")
        self.desk.say(f"Shown on the tissue: score of module {module}")
        self.refresh()

    @slot
    def _on_map(self) -> None:
        if self.known is not None and self.module:
            self._maps.start(module_pattern, self.known, self.module)

    @slot
    def _on_mapped(self, found: tuple[GeneRun, str, NDArray[np.float32]]) -> None:
        run, module, values = found
        item = self.item
        if run is not self.known or item is None:
            return
        name = f"{item.label} \u00b7 mean map of module {module}"
        self.desk.show_values(
            item, f"module_map_{module}", name, values, limits=limits_of(values), as_image=True
        )
        self.desk.say(f"Added: mean map of module {module}")
