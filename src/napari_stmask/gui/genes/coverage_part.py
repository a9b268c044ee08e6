"""Genes that another section did not measure, imputed from this section's."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QFormLayout

from ...analysis.coverage import COVERAGE
from ...core.errors import ParameterError
from ...core.memory import densify
from ...core.prediction import RECORD
from ..analyse.spot_values import limits_of
from ..analyse.table import Column, FrameTable
from ..analyse.table_filter import TableFilter
from ..export import snapshot
from ..fields import make_button
from ..guard import slot
from ..model import Item
from ..parts import narrow_combo, plain_label
from .part import GenePart
from .recipe import Recipe
from .values import coverage_facts, imputed_steps, imputed_table

__all__ = ["CoveragePart"]

_ABOUT = (
    "Imputed genes are extrapolations, not measurements: nobody has seen them in the target. The "
    "answer opens as a section of its own and changes nothing on the target."
)
_GAN = "\u26a0 The published network is slower, and weaker on all sections that it was tested on."
_COLUMNS = (
    Column("gene", "Imputed gene", width=0),
    Column("confidence", "Expected r", ".2f", "Correlation with the truth that can be expected, "
           "from measured genes that were left out.", 90),
)  # fmt: skip


class CoveragePart(GenePart):
    """Runs the translator; lists the imputed genes of any open section that has some."""

    TITLE = "Coverage"

    def build(self) -> None:
        """Target, engine, answer."""
        self._target: Item | None = None
        self._shown: object = None
        self.about = plain_label(_ABOUT)
        self.body.addWidget(self.about)
        self.target = narrow_combo(QComboBox())
        self.target.setAccessibleName("Target section")
        self.target.setToolTip("Raw counts of a panel of genes, on the same kind of tissue.")
        self.engine = narrow_combo(QComboBox())
        self.engine.setAccessibleName("Engine")
        self.engine.setToolTip("How genes are translated from this section to the target.")
        self.engine.addItem("Closed form", "ridge")
        self.engine.addItem("GAN, as published", "gan")
        self.engine.currentIndexChanged.connect(self._on_engine)
        form = QFormLayout()
        form.addRow("Target", self.target)
        form.addRow("Engine", self.engine)
        self.body.addLayout(form)
        self.warning = plain_label(_GAN)
        self.body.addWidget(self.warning)
        self.run = make_button("Impute genes", "", self._on_run)
        self.add_action(self.run)
        self.choice = narrow_combo(QComboBox())
        self.choice.setAccessibleName("Section with imputed genes")
        self.choice.setToolTip("Section with imputed genes that is listed below.")
        self.choice.currentIndexChanged.connect(self._on_choice)
        self.facts = plain_label()
        self.facts.setAccessibleName("What the imputed genes are worth")
        self.table = FrameTable(_COLUMNS, "Imputed genes; Return shows one", chooses="gene")
        self.table.chosen.connect(self._on_gene)
        self.filter = TableFilter(self.table, domains=False)
        for widget in (self.choice, self.facts, self.filter, self.table):
            self.body.addWidget(widget)
        self.export = self.add_export()

    def refresh(self) -> None:
        """List targets and imputed sections; show the answer."""
        items = list(self.desk.session.items.values())
        own = self.known.item_id if self.known is not None else ""
        fit = [i for i in items if i.id != own and not _made_up(i)]
        _fill(self.target, fit)
        ready = bool(fit) and self.loaded is not None and not self.worker.busy
        self.run.setEnabled(ready)
        self.run.setToolTip(
            "Learn to predict shared genes, check on those left out, predict the others."
            if fit
            else "Open a second section, whose panel is smaller, first."
        )
        self.copies.setVisible(bool(fit))
        self.warning.setVisible(self.engine.currentData() == "gan")
        _fill(self.choice, [i for i in items if coverage_facts(i.section) is not None])
        self._show()

    def _show(self) -> None:
        item = self._imputed()
        facts = coverage_facts(item.section) if item is not None else None
        for widget in (self.choice, self.facts, self.filter, self.table, self.export):
            widget.setVisible(facts is not None)
        if item is None or facts is None:
            self.export.offer(None, None)
            self._shown = None
            return
        section = item.section
        source = facts["reference"] or "another section"
        self.facts.setText(
            f"{facts['imputed']:,} genes were imputed from {source} with "
            f"{facts['shared']:,} shared ones ({_ENGINES.get(facts['engine'], '')}). Shared genes "
            f"that were left out reach a mean r of {facts['mean_r']:.2f}; expected and reached r "
            f"agree in rank with {facts['ranking']:.2f}. Imputed values are extrapolations."
        )
        if self._shown is not section:
            self._shown = section
            table = imputed_table(section)
            self.table.show_frame(table)
            self.export.offer((lambda: table,), section, f"{section.name}_genes".replace(", ", "_"))

    def _imputed(self) -> Item | None:
        return self.desk.session.items.get(str(self.choice.currentData()))

    def recipe(self) -> Recipe:
        """The imputation as it stands in the form."""
        item = self.desk.session.items.get(str(self.target.currentData()))
        if item is None:
            raise ParameterError("There is no target", "open a second section first")
        engine = str(self.engine.currentData())
        lines = [
            f"coverage = drain(genes.coverage_steps(target, engine={engine!r}))",
            'stm.write(imputed_section(target, coverage), "imputed.h5ad")',
        ]
        return Recipe(
            "coverage", lines, [("engine", engine), ("write", "imputed.h5ad")],
            ("target", item.section, None), "--target",
            imports=["from napari_stmask.gene_atlas import imputed_section"],
        )  # fmt: skip

    def answered(self, found: Any) -> None:
        """Open the section with the imputed genes; the run that it came from stays chosen."""
        section, raster = found
        session, target = self.desk.session, self._target
        label = target.label if target is not None else "target"
        section.name = f"{label}, imputed"
        before, key = session.selected_id, session.selected_key
        item = session.add(section, raster=raster)
        if before in session.items:
            session.select(str(before), key)
        with QSignalBlocker(self.choice):
            _fill(self.choice, [i for i in session.items.values() if coverage_facts(i.section)])
            self.choice.setCurrentIndex(self.choice.findData(item.id))
        self.desk.say(f"Opened: {item.label}")
        if session.viewer is not None:
            session.viewer.reset_view()

    @slot
    def _on_run(self) -> None:
        item = self.desk.session.items.get(str(self.target.currentData()))
        if self.known is None or item is None:
            return
        self._target = item
        engine = str(self.engine.currentData())
        self.launch(partial(imputed_steps, self.known, snapshot(item.section), engine))  # type: ignore[arg-type]

    @slot
    def _on_engine(self) -> None:
        self.warning.setVisible(self.engine.currentData() == "gan")

    @slot
    def _on_choice(self) -> None:
        self._show()

    @slot
    def _on_gene(self, gene: str) -> None:
        item = self._imputed()
        if item is None:
            return
        # A file may hold them sparse.
        column = densify(item.section.adata[:, [gene]].X, what="one gene")
        values = np.asarray(column, dtype=np.float32).ravel()
        name = f"{item.label} \u00b7 {gene} (imputed)"
        self.desk.show_values(item, "gene", name, values, limits=limits_of(values), of="imputed")
        self.desk.say(f"Shown on the tissue: imputed {gene}")


_ENGINES = {"ridge": "closed form", "gan": "GAN"}


def _made_up(item: Item) -> bool:
    """Whether values of the section are no counts."""
    uns = item.section.adata.uns
    return RECORD in uns or COVERAGE in uns


def _fill(combo: QComboBox, items: list[Item]) -> None:
    kept = combo.currentData()
    with QSignalBlocker(combo):
        combo.clear()
        for item in items:
            combo.addItem(item.label, item.id)
        row = combo.findData(kept)
        combo.setCurrentIndex(row if row >= 0 else combo.count() - 1)
    combo.setEnabled(bool(items))
