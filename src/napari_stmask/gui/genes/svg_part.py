"""How spatial the genes are, scored again with more random pictures or another null law."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtWidgets import QComboBox, QFormLayout, QSpinBox

from ..fields import make_button
from ..guard import slot
from ..parts import narrow_combo, plain_label
from .part import GenePart
from .recipe import Recipe
from .values import store_scores

__all__ = ["SvgPart"]


class SvgPart(GenePart):
    """Writes the new scores over the old ones, in the table and on the section."""

    TITLE = "Spatial genes"

    def build(self) -> None:
        """Draws, null law, button."""
        self._asked = (0, "")
        self.draws = QSpinBox()
        self.draws.setRange(3, 1000)
        self.draws.setValue(100)
        self.draws.setAccessibleName("Random pictures of each gene")
        self.draws.setToolTip("Random pictures of each gene; more give finer p-values.")
        self.null = narrow_combo(QComboBox())
        self.null.setAccessibleName("Null model")
        self.null.setToolTip("The gene's own values on other spots, or fitted counts.")
        self.null.addItem("Permutation", "permutation")
        self.null.addItem("ZINB", "zinb")
        form = QFormLayout()
        form.addRow("Null pictures", self.draws)
        form.addRow("Null model", self.null)
        self.run = make_button(
            "Score again", "Replaces the scores in the table and on the section.", self._on_run
        )
        self.facts = plain_label()
        self.body.addLayout(form)
        self.add_action(self.run)
        self.body.addWidget(self.facts)

    def forget(self) -> None:
        """Another run has other scores."""
        self.facts.clear()

    def refresh(self) -> None:
        """Enable the button."""
        self.run.setEnabled(self.loaded is not None and not self.worker.busy)
        self.facts.setVisible(bool(self.facts.text()))

    def recipe(self) -> Recipe:
        """The scores as they stand in the form."""
        draws, null = self.draws.value(), str(self.null.currentData())
        lines = [
            f"scores = drain(genes.svg_steps(draws={draws}, null={null!r}))",
            "print(scores.table(genes.genes))",
        ]
        return Recipe("svgs", lines, [("draws", draws), ("null", null)])

    def answered(self, found: Any) -> None:
        """Write the scores and read the table again."""
        assert self.known is not None
        draws, null = self._asked
        store_scores(self.known, found, draws=draws, null=null)
        passed = int((found.q < 0.05).sum())
        self.facts.setText(
            f"{passed:,} of {len(found.q):,} genes have q below 0.05 ({draws} random pictures, "
            f"{null}). The scores are written on the section."
        )
        self.desk.reload()

    @slot
    def _on_run(self) -> None:
        if self.known is None:
            return
        self._asked = draws, null = self.draws.value(), str(self.null.currentData())
        atlas = self.known.atlas
        self.launch(partial(atlas.svg_steps, draws=draws, null=null))  # type: ignore[arg-type]
