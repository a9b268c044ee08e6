"""All genes: a map with a lasso and a table, which show the same choice."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton

from ...viz.palette import PALETTE
from ..analyse.dot_map import DotMap
from ..analyse.spot_values import limits_of
from ..analyse.table_filter import TableFilter
from ..background import Background
from ..fields import make_button
from ..guard import slot
from ..parts import narrow_combo, plain_label
from .gene_table import GENE_COLUMNS, SVG_COLUMNS, GeneTable
from .known import GeneRun
from .part import GenePart
from .recipe import Recipe
from .values import map_of

__all__ = ["GenesPart"]

_COLORS = {"Module": "module", "How spatial": "svg_effect", "Probability": "probability"}
_SHADES = 64
_GREY = "#808080"


class GenesPart(GenePart):
    """The table lists all genes, or those of a lasso; what is selected is shown on the tissue."""

    TITLE = "Genes"

    def build(self) -> None:
        """Map, table."""
        self.listed: tuple[str, ...] = ()
        self._maps: dict[str, NDArray[np.float32]] = {}
        self._asked: tuple[GeneRun, str] | None = None
        self._drawn: tuple[GeneRun, str] | None = None
        self._build_map()
        self.state = plain_label()
        self.state.setAccessibleName("Genes in the table")
        self.all = make_button("List all", "List all genes again.", self._on_all)
        row = QHBoxLayout()
        row.addWidget(self.state, 1)
        row.addWidget(self.all)
        self.body.addLayout(row)
        self.table = GeneTable(
            (*GENE_COLUMNS, *SVG_COLUMNS), "Genes; the selected ones are shown", spare=["svg_p"]
        )
        self.table.picked.connect(self._on_picked)
        self.filter = TableFilter(self.table, domains=False)
        self.body.addWidget(self.filter)
        self.body.addWidget(self.table)
        self.export = self.add_export()
        self.body.addWidget(self.copies)
        self._mapper = Background(self)
        self._mapper.done.connect(self._on_mapped)
        self._mapper.failed.connect(self.show_failure)

    def _build_map(self) -> None:
        self.kind = narrow_combo(QComboBox())
        self.kind.setAccessibleName("Kind of map")
        self.kind.setToolTip("PCA is there at once; UMAP takes some seconds.")
        self.kind.addItem("PCA", "pca")
        self.kind.addItem("UMAP", "umap")
        self.kind.currentIndexChanged.connect(self._on_kind)
        self.colors = narrow_combo(QComboBox())
        self.colors.setAccessibleName("Colour of the dots")
        self.colors.setToolTip("What the colours of the map mean; modules repeat 32 colours.")
        for title, name in _COLORS.items():
            self.colors.addItem(title, name)
        self.colors.currentIndexChanged.connect(self._on_colors)
        self.lasso = QPushButton("Lasso")
        self.lasso.setCheckable(True)
        self.lasso.setToolTip(
            "Draw around dots to choose their genes; else dragging moves the map."
        )
        self.lasso.toggled.connect(self._on_lasso)
        self.whole = make_button("Whole map", "Bring all dots into view.", self._on_whole)
        self.map = DotMap("Map of the genes: alike ones are near each other", "gene")
        self.map.lassoed.connect(self._on_lassoed)
        self.map.clicked.connect(self._on_dot)
        row = QHBoxLayout()
        row.addWidget(self.kind, 1)
        row.addWidget(QLabel("by"))
        row.addWidget(self.colors, 2)
        below = QHBoxLayout()
        below.addWidget(self.lasso)
        below.addWidget(self.whole)
        self.legend = plain_label()
        self.legend.setAccessibleName("What the colours mean")
        self.body.addLayout(row)
        self.body.addWidget(self.map)
        self.body.addLayout(below)
        self.body.addWidget(self.legend)

    @property
    def busy(self) -> bool:
        """Whether a map is made."""
        return self._mapper.busy

    def forget(self) -> None:
        """Another run has other genes."""
        self.listed = ()
        self._maps.clear()
        self._drawn = None
        self._mapper.forget()
        self.map.clear_points()
        self.table.select(())

    def left(self) -> None:
        """No map is awaited any more."""
        super().left()
        self._mapper.forget()

    def refresh(self) -> None:
        """Fill map and table."""
        loaded = self.loaded
        self.all.setVisible(bool(self.listed))
        if loaded is None:
            self.export.offer(None, None)
            self.legend.clear()
            self.state.setText("Reading the genes \u2026" if self.known is not None else "")
            return
        self.table.leave_out(() if loaded.scored else [c.name for c in SVG_COLUMNS])
        self._list()
        self._draw()
        table, run = loaded.genes, loaded.run
        self.export.offer((lambda: table,), run.section, f"{run.section.name}_{run.key}_genes")

    def _list(self) -> None:
        """All genes, or those of the lasso."""
        loaded = self.loaded
        assert loaded is not None
        table = loaded.listed
        if self.listed:
            # A new frame for the same genes would move the user's place in the table.
            shown = self.table.frames.frame
            if tuple(shown["gene"]) == self._among(table) and not _other(shown, table):
                return
            table = table[table["gene"].isin(self.listed)]
        self.table.show_frame(table)
        self.state.setText(
            f"{len(table):,} genes were chosen:" if self.listed else f"All {len(table):,} genes:"
        )

    def _among(self, table: pd.DataFrame) -> tuple[str, ...]:
        return tuple(table["gene"][table["gene"].isin(self.listed)])

    def recipe(self) -> Recipe:
        """The table of genes."""
        return Recipe("modules", ["table = genes.table()", "print(table)"], [("members", True)])

    def follow(self, genes: tuple[str, ...], origin: object) -> None:
        """Ring the genes on the map, select them in the table; list several from elsewhere."""
        loaded = self.loaded
        if loaded is None:
            return
        self._mark(genes)
        if origin is self.table:
            return
        if len(genes) > 1 or (self.listed and not set(genes) <= set(self.listed)):
            self.listed = genes if len(genes) > 1 else ()
            self.refresh()
        self.table.select(genes)

    def _mark(self, genes: tuple[str, ...]) -> None:
        rows = pd.Index(self.map.names).get_indexer(pd.Index(genes))
        self.map.mark(rows[rows >= 0])

    def _draw(self) -> None:
        """The map that is chosen, made in the background where it is not there yet."""
        run, kind = self.known, str(self.kind.currentData())
        loaded = self.loaded
        if run is None or loaded is None:
            return
        if kind not in self._maps:
            self.legend.setText(f"Making the map ({self.kind.currentText()}) \u2026")
            if not self._mapper.busy or self._asked != (run, kind):
                self._asked = (run, kind)
                self._mapper.start(map_of, run, kind)
            return
        if self._drawn != (run, kind):
            chosen = tuple(np.asarray(self.map.names, dtype=object)[self.map.chosen])
            self._drawn = (run, kind)
            self.map.show_points(self._maps[kind], loaded.names)
            self._mark(chosen or self.table.selected())
        self._paint()

    def _paint(self) -> None:
        loaded = self.loaded
        if loaded is None or not len(self.map.points):
            return
        name = str(self.colors.currentData())
        table = loaded.genes.set_index("gene").reindex(list(loaded.names))
        if name == "module":
            order = pd.Index(loaded.modules["module"])
            codes = order.get_indexer(pd.Index(table["module"])) % len(PALETTE)
            self.map.paint(codes, PALETTE)
            self.legend.setText(f"Colours: {len(order)} modules.")
            return
        if name not in table:
            self.map.paint(np.zeros(len(table), dtype=np.intp), [_GREY])
            self.legend.setText("The genes were not compared with random pictures: score them.")
            return
        values = table[name].to_numpy(dtype=float)
        if name == "svg_effect":
            # A few genes are far more spatial than all others.
            values = np.log1p(np.maximum(values, 0))
        low, high = limits_of(values)
        share = np.clip((values - low) / (high - low), 0, 1)
        codes = np.where(np.isfinite(share), np.nan_to_num(share) * (_SHADES - 1), _SHADES)
        self.map.paint(codes.astype(np.intp), [*_shades(), _GREY])
        ends = np.expm1([low, high]) if name == "svg_effect" else (low, high)
        self.legend.setText(f"Dark to bright: {ends[0]:.3g} to {ends[1]:.3g}.")

    @slot
    def _on_mapped(self, found: tuple[GeneRun, str, NDArray[np.float32]]) -> None:
        run, kind, points = found
        if run is self.known:
            self._maps[kind] = points
            self._draw()

    @slot
    def _on_kind(self) -> None:
        self._draw()

    @slot
    def _on_colors(self) -> None:
        self._paint()

    @slot
    def _on_lasso(self, on: bool) -> None:
        self.map.lasso = on

    @slot
    def _on_whole(self) -> None:
        self.map.whole()

    @slot
    def _on_lassoed(self, rows: NDArray[np.intp]) -> None:
        genes = [self.map.names[row] for row in rows]
        if not genes:
            self.desk.say("No gene lies in the lasso.")
            return
        self.desk.choose(genes, origin=self.map)

    @slot
    def _on_dot(self, row: int) -> None:
        self.desk.choose([self.map.names[row]], origin=self.map)

    @slot
    def _on_picked(self, genes: tuple[str, ...]) -> None:
        self.desk.choose(genes, origin=self.table)

    @slot
    def _on_all(self) -> None:
        self.listed = ()
        self.refresh()


def _other(shown: pd.DataFrame, table: pd.DataFrame) -> bool:
    """Whether the scores of the genes are others by now."""
    now = table.set_index("gene")["svg_rank"].reindex(shown["gene"]).to_numpy(dtype=float)
    return not np.array_equal(now, shown["svg_rank"].to_numpy(dtype=float), equal_nan=True)


def _shades() -> list[str]:
    import pyqtgraph as pg

    table = pg.colormap.get("viridis").getLookupTable(nPts=_SHADES, mode="qcolor")
    return [color.name() for color in table]
