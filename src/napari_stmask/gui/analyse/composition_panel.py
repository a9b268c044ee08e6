"""Domains against any other column of the spots."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QGridLayout

from ...analysis.composition import (
    CAUTION,
    Composition,
    Spread,
    compose,
    composition_columns,
)
from ...core.progress import Progress, Steps
from ...core.section import Section
from ...viz.palette import UNASSIGNED_COLOUR, stored_colors
from ..fields import make_button
from ..guard import slot
from ..model import DomainSet, Item
from ..parts import color_key, copy_text, narrow_combo, plain_label
from .charts import BarChart, ViolinChart
from .panel import Panel
from .recipe import command_of, python_of
from .subject import Answer, Subject
from .table import Column, FrameTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CompositionPanel"]

_COUNTED = (
    Column("domain", "Domain", width=62),
    Column("category", "Category", width=0),
    Column("spots", "Spots", ",d", "Spots that have both.", 52),
    Column("share_of_domain", "Of dom.", ".3f", "Share of the domain's spots.", 58),
    Column("share_of_category", "Of cat.", ".3f", "Share of the category's spots.", 58),
)
_NUMBERS = (
    Column("domain", "Domain", width=0),
    Column("spots", "Spots", ",d", width=52),
    Column("mean", "Mean", ".5g", "Mean; quartiles are in the exported table.", width=76),
    Column("median", "Median", ".5g", width=76),
)
_ROWS = 40
"""Most rows of bars, and most categories, that are drawn."""


class CompositionPanel(Panel):
    """Shares of categories, or distributions of numbers."""

    TITLE = "Composition"
    ABOUT = (
        "What each domain is made of: another result, an annotation, cell types, the section, or "
        "a column of numbers."
    )
    RUN = "Compare with the column"
    NEEDS_DOMAINS = 1

    def build(self) -> None:
        """The column; bars or violins, tables and what can be done with them."""
        self._framed: tuple[Composition, pd.DataFrame] | None = None
        self.column = narrow_combo(QComboBox())
        self.column.setAccessibleName("Column")
        self.column.setToolTip("Column of obs that the domains are compared with.")
        self.column.currentIndexChanged.connect(self._on_column)
        self.fields.addRow("Column", self.column)
        self.facts = plain_label()
        self.results.addWidget(self.facts)
        self.way = narrow_combo(QComboBox())
        self.way.setAccessibleName("Shares")
        self.way.setToolTip("What the bars add up to.")
        self.way.addItem("Each domain by category", "domain")
        self.way.addItem("Each category by domain", "category")
        self.way.currentIndexChanged.connect(self._on_way)
        self.results.addWidget(self.way)
        self.bars = BarChart("Composition of the domains")
        self.violins = ViolinChart("Numbers of the domains")
        self.legend = plain_label()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.cut = plain_label()
        self.counted = FrameTable(_COUNTED, "Spots of domains and categories")
        self.numbers = FrameTable(_NUMBERS, "Numbers of the domains")
        for widget in (self.bars, self.violins, self.legend, self.cut, self.counted, self.numbers):
            self.results.addWidget(widget)
        self.copy = make_button(
            "Copy table", "Put the selected rows, or all, on the clipboard.", self._on_copy
        )
        self.as_python = make_button(
            "Copy as Python", "Put a script that repeats this on the clipboard.", self._on_python
        )
        self.as_command = make_button(
            "Copy as command", "Put the command line that repeats this on the clipboard.",
            self._on_command,
        )  # fmt: skip
        buttons = QGridLayout()
        for i, button in enumerate((self.copy, self.as_python, self.as_command)):
            buttons.addWidget(button, i // 2, i % 2)
        self.results.addLayout(buttons)
        self.desk.session.obs_changed.connect(self._on_obs)

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """Offer the columns of the section."""
        kept = self.column.currentText()
        with QSignalBlocker(self.column):
            self.column.clear()
            if item is not None and domains is not None:
                found = composition_columns(item.section)
                self.column.addItems([name for name in found if name != domains.column])
            self.column.setCurrentIndex(max(self.column.findText(kept), 0))

    def obstacle(self, item: Item, domains: DomainSet | None) -> str:
        """There has to be a column."""
        del item, domains
        if not self.column.currentText():
            return "The section has no other column that domains can be compared with."
        return ""

    def make(self, subject: Subject) -> Callable[[], Steps[Any]]:
        """Count, or sum up."""
        return partial(_composed, subject.section, subject.labels, self.column.currentText())

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """Bars and counts, or violins and numbers."""
        main: Composition | Spread = found["main"]
        counted = isinstance(main, Composition)
        for widget in (self.way, self.bars, self.counted):
            widget.setVisible(counted)
        for widget in (self.violins, self.numbers):
            widget.setVisible(not counted)
        self.facts.setText(_facts(main))
        if isinstance(main, Composition):
            names = [str(n) for n in main.counts.index]
            colors = dict(zip(names, self.colors(answer, names), strict=True))
            self.counted.show_frame(self._frame_of(main), colors)
            self._show_bars(main, answer)
            return
        self.legend.setVisible(False)
        self.cut.setVisible(False)
        names = list(main.values)
        self.numbers.show_frame(
            main.summary, dict(zip(names, self.colors(answer, names), strict=True))
        )
        self.violins.show_violins(main.values, self.colors(answer, names), main.column)

    def _frame_of(self, main: Composition) -> pd.DataFrame:
        """The same frame for the same answer, so that what is selected in the table stays."""
        if self._framed is None or self._framed[0] is not main:
            self._framed = (main, main.table())
        return self._framed[1]

    def _show_bars(self, main: Composition, answer: Answer) -> None:
        by_category = self.way.currentData() == "category"
        shares = main.shares(by_category=by_category).to_numpy()
        domains, categories = _names(main)
        colors = self._part_colors(main, answer, by_category=by_category)
        rows, parts = (categories, domains) if by_category else (domains, categories)
        label = f"share of the spots of each {main.column}" if by_category else "share of domain"
        shares = shares.T if by_category else shares
        self.bars.show_shares(shares[:_ROWS], rows[:_ROWS], parts, colors, label)
        # In order from left to right, so that colour is not all that tells parts from one another.
        self.legend.setText(color_key(parts, colors, _ROWS))
        self.legend.setVisible(True)
        cut = len(rows) > _ROWS or len(parts) > _ROWS
        self.cut.setText(f"The first {_ROWS} rows are drawn and the first {_ROWS} parts named.")
        self.cut.setVisible(cut)

    def _part_colors(self, main: Composition, answer: Answer, *, by_category: bool) -> list[str]:
        """Colours of the domains as the legend shows them, or of the categories as stored."""
        domains, categories = _names(main)
        if by_category:
            return self.colors(answer, domains)
        item = self.desk.session.selected
        if item is None or main.column not in item.section.adata.obs:
            return stored_colors(None, categories)
        adata = item.section.adata
        known = [str(n) for n in adata.obs[main.column].astype("category").cat.categories]
        found = stored_colors(adata.uns.get(f"{main.column}_colors"), known)
        table = dict(zip(known, found, strict=True))
        return [table.get(name, UNASSIGNED_COLOUR) for name in categories]

    def table(self, answer: Answer) -> pd.DataFrame:
        """One row a domain and category, or one a domain."""
        main: Composition | Spread = answer.found["main"]
        return main.table()

    def figure(self, answer: Answer) -> Figure:
        """Stacked bars, or violins."""
        from ...viz.composition_figures import shares_figure
        from ...viz.plots import violin_figure

        main: Composition | Spread = answer.found["main"]
        if isinstance(main, Spread):
            return violin_figure(
                main.values, self.colors(answer, list(main.values)), label=main.column
            )
        by_category = self.way.currentData() == "category"
        return shares_figure(
            main.shares(by_category=by_category).to_numpy(), *_names(main),
            self._part_colors(main, answer, by_category=by_category), column=main.column,
            by_category=by_category,
        )  # fmt: skip

    @slot
    def _on_column(self) -> None:
        if self.built:
            self.desk.check()

    @slot
    def _on_obs(self) -> None:
        if self.built and self.desk.present(self):
            self.follow(self.desk.session.selected, self.desk.session.selected_domains)
            self.desk.check()

    @slot
    def _on_way(self) -> None:
        answer = self.known(self.desk.session.selected_domains)
        if answer is not None and isinstance(answer.found["main"], Composition):
            self._show_bars(answer.found["main"], answer)

    @slot
    def _on_copy(self) -> None:
        (self.numbers if self.counted.isHidden() else self.counted).copy()
        self.desk.say("The table is on the clipboard.")

    @slot
    def _on_python(self) -> None:
        self.show_again(self._copy_python)

    @slot
    def _on_command(self) -> None:
        self.show_again(self._copy_command)

    def _copy_python(self, item: Item, key: str, main: Composition | Spread) -> None:
        imports = ["from napari_stmask.analysis.composition import compose"]
        lines = [
            f"found = compose(section, domains, {main.column!r})",
            "print(found.table().to_string(index=False))",
        ]
        copy_text(python_of(item.section, item.domains[key], imports, lines))
        self.desk.say("The script is on the clipboard.")

    def _copy_command(self, item: Item, key: str, main: Composition | Spread) -> None:
        flags = [("obs", main.column)]
        copy_text(command_of(item.section, item.domains[key], ("composition",), flags))
        self.desk.say("The command is on the clipboard.")


def _composed(section: Section, labels: pd.Series, column: str) -> Steps[Composition | Spread]:
    yield Progress(0, 1, "comparing")
    return compose(section, labels, column)


def _names(main: Composition) -> tuple[list[str], list[str]]:
    """Domains and categories."""
    return [str(n) for n in main.counts.index], [str(n) for n in main.counts.columns]


def _facts(main: Composition | Spread) -> str:
    if isinstance(main, Composition):
        name, value = "Cram\u00e9r's V", main.cramers_v
        scale = "0 none, 1 complete"
    else:
        name, value = "Kruskal-Wallis \u03b5\u00b2", main.epsilon_squared
        scale = "share of the ranks' variance"
    if value != value:
        parts = ["A single domain or a single value: there is no effect to measure."]
    else:
        parts = [f"{name} = {value:.3f} ({scale}). {CAUTION}"]
    if main.left_out:
        parts.append(f"{main.left_out:,} spots lack a domain or a value and are left out.")
    return " ".join(parts)
