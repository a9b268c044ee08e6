"""Scores, the table of genes, and the maps of the one that was clicked."""

from __future__ import annotations

import numpy as np
import pandas as pd
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout

from ..analyse.charts import titled
from ..analyse.exporting import ExportRow
from ..analyse.maps import MapPair
from ..analyse.spot_values import limits_of
from ..analyse.table import Column, FrameTable
from ..analyse.table_filter import TableFilter
from ..background import Background
from ..guard import Failure, slot
from ..parts import plain_label
from .gene_maps import GeneMaps, Look, limits_of_maps, show_maps
from .gene_values import gene_maps, gene_table
from .known import Known
from .part import Part

__all__ = ["GenesPart"]

_SCORES = (
    Column("method", "Prediction", width=0),
    Column("pcc_mean", "PCC", ".3f", "Mean over genes of Pearson's correlation.", 66, best=True),
    Column("pcc_median", "Median", ".2f", "Median over genes of the correlation.", 52),
    Column("spearman_mean", "Rank", ".2f", "Mean over genes of Spearman's.", 37),
    Column("rmse", "Err.", ".2f", "Root mean squared error, log units; smaller is better.", 36),
)
_GENES = (
    Column("gene", "Gene", width=0),
    Column("pcc", "PCC", ".2f", "Pearson's correlation of predicted and measured values.", 37),
    Column("spearman", "Rank", ".2f", "Spearman's correlation.", 38),
    Column("rmse", "Err.", ".2f", "Root mean squared error, log units.", 37),
    Column("ceiling", "Ceil.", ".2f", "How well a perfect prediction could correlate with "
           "counts this sparse.", 37),
    Column("expected_pcc", "Exp.", ".2f", "Correlation expected from reference spots that were "
           "left out.", 37),
    Column("expected_error", "Err.", ".2f", "Error expected from them, log units.", 37),
    Column("detected", "Seen", ".0%", "Share of the target's spots with counts of the gene.", 42),
)  # fmt: skip
_ORACLE = "depth (oracle)"


class GenesPart(Part):
    """What the prediction is worth; a click on a gene shows its maps; ``chosen`` says which."""

    chosen = Signal(str)

    def build(self) -> None:
        """Facts, scores, genes, maps."""
        self.gene = ""
        self._maps: GeneMaps | None = None
        self._table: pd.DataFrame | None = None
        self.facts = plain_label()
        self.facts.setAccessibleName("About the prediction")
        self.body.addWidget(self.facts)
        self.scores_title = titled("Against the measurement")
        self.scores = FrameTable(_SCORES, "Scores beside simple predictions")
        self.oracle = plain_label(
            "depth (oracle) knows the depth of each measured spot, which no image shows: what is "
            "not above it may be depth."
        )
        self.body.addWidget(self.scores_title)
        self.body.addWidget(self.scores)
        self.body.addWidget(self.oracle)
        self.body.addWidget(titled("Genes"))
        self.genes = FrameTable(_GENES, "Predicted genes; Return shows one", chooses="gene")
        self.genes.chosen.connect(self._on_gene)
        self.filter = TableFilter(self.genes, domains=False)
        self.body.addWidget(self.filter)
        self.body.addWidget(self.genes)
        self._build_looks()
        self.maps = MapPair("The gene, measured and predicted")
        self.legend = plain_label()
        self.legend.setAccessibleName("What the maps show")
        self.body.addWidget(self.maps)
        self.body.addWidget(self.legend)
        self.export = ExportRow(figures=False)
        self.export.failed.connect(self.show_failure)
        self.export.written.connect(self._on_written)
        self.body.addWidget(self.export)
        self._tables = Background(self)
        self._tables.done.connect(self._on_table)
        self._tables.failed.connect(self.show_failure)
        self._reader = Background(self)
        self._reader.done.connect(self._on_maps)
        self._reader.failed.connect(self.show_failure)

    def _build_looks(self) -> None:
        row = QHBoxLayout()
        self.linked = QCheckBox("Same colours")
        self.linked.setChecked(True)
        self.linked.setToolTip("One range of colours for measured and predicted values.")
        self.as_image = QCheckBox("As image")
        self.as_image.setToolTip("Touching tiles with napari's contrast slider instead of spots.")
        self.spread = QCheckBox("Spread")
        self.spread.setToolTip(
            "Standard deviation of the prediction over random draws instead of the prediction."
        )
        for box in (self.linked, self.as_image, self.spread):
            box.toggled.connect(self._on_look)
            row.addWidget(box)
        self.body.addLayout(row)

    @property
    def busy(self) -> bool:
        """Whether a table or a gene is being read."""
        return self._tables.busy or self._reader.busy

    def forget(self) -> None:
        """Another prediction: read its genes."""
        self.gene, self._maps, self._table = "", None, None
        self._reader.forget()
        if self.known is None:
            self._tables.forget()
            return
        self._tables.start(_table, self.known)

    def refresh(self) -> None:
        """Facts and scores; columns that are known."""
        known = self.known
        scores = known.prediction.scores if known is not None else None
        for widget in (self.scores_title, self.scores):
            widget.setVisible(scores is not None)
        self.oracle.setVisible(scores is not None and _ORACLE in scores.index)
        if known is None:
            return
        self.facts.setText("\n".join(_facts(known)))
        if scores is not None:
            self.scores.show_frame(scores.rename_axis("method").reset_index())
        for place, column in enumerate(_GENES):
            if column.name in ("pcc", "spearman", "rmse", "ceiling", "detected"):
                self.genes.setColumnHidden(place, not known.measured)
            elif column.name == "expected_error":
                self.genes.setColumnHidden(place, known.measured)
        self.spread.setEnabled("spread" in known.section.adata.layers)
        self.linked.setEnabled(known.measured)
        self._show_small()

    def show_gene(self, gene: str) -> None:
        """Read a gene in the background and show it on the tissue."""
        if self.known is not None and gene in self.known.genes:
            self.gene = gene
            self._reader.start(gene_maps, self.known, gene)
            self.chosen.emit(gene)

    def show_failure(self, failure: Failure) -> None:
        """Show what went wrong in the strip of the dock."""
        self.desk.show_failure(failure)

    @slot
    def _on_table(self, answer: tuple[Known, pd.DataFrame]) -> None:
        known, table = answer
        if known is not self.known:
            return
        self._table = table
        self.genes.show_frame(table)
        self.export.offer((lambda: table,), known.section, f"{known.section.name}_genes")
        if len(table) and not self.gene:
            self.genes.setCurrentIndex(self.genes.model().index(0, 0))
            self.show_gene(str(table["gene"].iat[0]))

    @slot
    def _on_gene(self, gene: str) -> None:
        self.desk.clear_failure()
        self.show_gene(gene)

    @slot
    def _on_maps(self, maps: GeneMaps) -> None:
        self._maps = maps
        self._draw()

    @slot
    def _on_look(self) -> None:
        self._draw()

    def _draw(self) -> None:
        """Layers of the present gene."""
        session, known, maps = self.desk.session, self.known, self._maps
        if session.viewer is None or known is None or maps is None:
            return
        item = session.items.get(known.item_id)
        if item is None:
            return
        look = Look(
            self.as_image.isChecked(), self.linked.isChecked(), self.spread.isChecked()
        )  # fmt: skip
        target = session.items.get(known.target_id)
        if target is not None and target.section.n_spots != known.prediction.target.n_spots:
            # Read again with other spots since.
            target = None
        show_maps(session.viewer, target, item, maps, look)
        self._show_small()
        self.desk.say(f"Shown on the tissue: {maps.gene}")

    def _show_small(self) -> None:
        """Both maps side by side in the dock, where they are of the same spots."""
        maps, known = self._maps, self.known
        item = self.desk.session.items.get(known.item_id) if known is not None else None
        pair = (
            item is not None
            and maps is not None
            and maps.measured is not None
            and len(maps.measured) == len(maps.predicted)
        )
        self.maps.setVisible(pair)
        self.legend.setVisible(maps is not None)
        if maps is None:
            return
        if not pair or item is None or maps.measured is None:
            self.legend.setText(f"{maps.title[:1].upper()}{maps.title[1:]}, log units.")
            return
        second, name = maps.predicted, maps.title
        if self.spread.isChecked() and maps.spread is not None:
            second, name = maps.spread, f"spread of predicted {maps.gene}"
        shared = second is maps.predicted and self.linked.isChecked()
        ranges = limits_of_maps(maps, linked=self.linked.isChecked())
        if second is not maps.predicted:
            ranges[1] = (0.0, limits_of(second)[1])
        lows, tops = zip(*ranges, strict=True)
        said = f"{maps.gene}, measured and predicted"
        self.maps.show_maps(item.raster, (maps.measured, second), tops, said, lows=lows)
        first, other = (f"{low:.2g} to {top:.2g}" for low, top in ranges)
        text = f"Left: measured {maps.gene}"
        text += f". Right: {name}. Colours" if shared else f", {first}. Right: {name}, colours"
        self.legend.setText(
            f"{text} from {other} log units; the few spots beyond look like the ends."
        )

    @slot
    def _on_written(self, path: object) -> None:
        self.desk.say(f"Written: {path}")


def _table(known: Known) -> tuple[Known, pd.DataFrame]:
    return known, gene_table(known)


def _facts(known: Known) -> list[str]:
    """Size, tissue without likeness, and what the run had to say."""
    section, record = known.section, known.prediction.record
    where = section.adata
    lines = [f"{section.n_genes:,} genes at {section.n_spots:,} places."]
    if "novel" in where.obs:
        share = float(np.mean(where.obs["novel"].to_numpy(dtype=bool)))
        if share:
            lines.append(f"\u26a0 {share:.0%} of them have no similar tissue among the references.")
    if not known.measured:
        expected = where.var.get("expected_pcc")
        if expected is not None and expected.notna().any():
            lines.append(
                f"Expected correlation, from reference spots left out: {expected.mean():.2f}."
            )
    lines += [f"\u26a0 {note}" for note in record.get("notes", [])]
    return lines
