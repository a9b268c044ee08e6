"""Marker genes: table, volcano and dots, each of which shows the gene that is clicked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QGridLayout, QLabel, QSpinBox

from ...core.progress import Steps
from ..fields import make_button
from ..guard import slot
from ..model import DomainSet, Item
from ..parts import copy_text, narrow_combo, plain_label
from .charts import titled
from .dot_chart import DotChart
from .marker_answer import AGAINST_TEXT, Limits, MarkerQuestion, Markers, View
from .panel import Panel
from .recipe import command_of, python_of
from .subject import Answer, Subject
from .table import Column, FrameTable
from .table_filter import TableFilter
from .volcano_chart import VolcanoChart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MarkersPanel"]

_COLUMNS = (
    Column("domain", "Dom.", tip="Domain.", width=46),
    Column("gene", "Gene", width=0),
    Column(
        "log2_fold_change", "log2 FC", ".2f", "Mean log value inside minus outside, base 2.", 54
    ),
    Column("p_adjusted", "p adj.", ".0e", "p-value, adjusted over the genes of the domain.", 50),
    Column("share_in", "In", ".2f", "Share of the domain's spots that show the gene.", 40),
    Column("share_out", "Out", ".2f", "Share of the compared spots that show the gene.", 40),
)
_TESTS = {
    "Wilcoxon rank sum": "wilcoxon",
    "Welch's t": "t-test",
    "t, variance overestimated": "t-test_overestim_var",
    "Logistic regression": "logreg",
}
_DOTS, _VOLCANO = "Dots of all domains", "Volcano of the domain"


class MarkersPanel(Panel):
    """Domains, or chosen spots, against other spots."""

    TITLE = "Marker genes"
    ABOUT = (
        "Genes that are higher in a domain than in the spots that it is compared with. The domains "
        "were found with the same genes: small p-values are no evidence that they exist."
    )
    RUN = "Find marker genes"

    def build(self) -> None:
        """What is compared, limits; table, volcano, dots and what can be done with them."""
        self._view: View | None = None
        self._form()
        self._table()
        self.results.addWidget(titled("Volcano"))
        self.volcano_title = plain_label()
        self.volcano = VolcanoChart()
        self.volcano.chosen.connect(self._on_chosen)
        self.volcano_note = plain_label()
        for widget in (self.volcano_title, self.volcano, self.volcano_note):
            self.results.addWidget(widget)
        self._dots()
        self.desk.session.spots_selected.connect(self._on_spots)

    def _form(self) -> None:
        self.groups = _combo("Compare", "What is compared: each domain, or the spots you chose.")
        self.groups.addItem("Each domain", "domains")
        self.groups.addItem("Chosen spots", "chosen")
        self.against = _combo("Against", "The spots that it is compared with.")
        self.test = _combo("Test", "How a gene is compared; the first two do well in benchmarks.")
        for title, name in _TESTS.items():
            self.test.addItem(title, name)
        self._offer_references(())
        self.groups.currentIndexChanged.connect(self._on_groups)
        self.fields.addRow("Compare", self.groups)
        self.fields.addRow("Against", self.against)
        self.fields.addRow("Test", self.test)

    def _table(self) -> None:
        first = Limits()
        self.max_p = _number("Largest adjusted p", first.max_p, 0.0, 1.0, 0.01, 4)
        self.max_p.setToolTip("Genes above are grey in the volcano and not listed; default 0.05.")
        self.min_fold = _number("Smallest log2 fold change", first.min_fold, 0.0, 20.0, 0.05, 2)
        self.min_fold.setToolTip("Distance from 0, in both directions; default 0.25.")
        self.min_share = _number("Smallest share of spots", first.min_share, 0.0, 1.0, 0.05, 2)
        self.min_share.setToolTip("Spots that show the gene, where it is higher; default 0.")
        self.count = QSpinBox()
        self.count.setRange(1, 5000)
        self.count.setValue(first.n_genes)
        self.count.setAccessibleName("Genes a domain")
        self.count.setToolTip("Genes that are listed for each domain, the best first; default 50.")
        grid = QGridLayout()
        fields = (
            ("p adj. \u2264", self.max_p), ("|log2 FC| \u2265", self.min_fold),
            ("Share \u2265", self.min_share), ("Top genes", self.count),
        )  # fmt: skip
        for i, (text, field) in enumerate(fields):
            # The text above its number: beside it two of them are wider than a dock.
            grid.addWidget(QLabel(text), 2 * (i // 2), i % 2)
            grid.addWidget(field, 2 * (i // 2) + 1, i % 2)
            field.valueChanged.connect(self._on_limits)
        self.results.addLayout(grid)
        self.genes = FrameTable(_COLUMNS, "Marker genes", chooses="gene")
        self.genes.chosen.connect(self._on_chosen)
        self.filter = TableFilter(self.genes)
        self.domain, self.search = self.filter.domain, self.filter.search
        self.domain.currentIndexChanged.connect(self._on_domain)
        self.results.addWidget(self.filter)
        self.results.addWidget(self.genes)
        self.notes = plain_label()
        self.results.addWidget(self.notes)
        self.copy = make_button(
            "Copy table", "Put the selected rows, or all, on the clipboard.", self._on_copy
        )
        self.store = make_button(
            "Write to uns", "Write all genes to uns['rank_genes_groups'], as scanpy does.",
            self._on_store,
        )  # fmt: skip
        self.as_python = make_button(
            "Copy as Python", "Put a script that repeats this on the clipboard.", self._on_python
        )
        self.as_command = make_button(
            "Copy as command", "Put the command line that repeats this on the clipboard.",
            self._on_command,
        )  # fmt: skip
        buttons = QGridLayout()
        for i, button in enumerate((self.copy, self.store, self.as_python, self.as_command)):
            buttons.addWidget(button, i // 2, i % 2)
        self.results.addLayout(buttons)

    def _dots(self) -> None:
        self.results.addWidget(titled("First markers in all domains"))
        row = QGridLayout()
        self.n_dots = QSpinBox()
        self.n_dots.setRange(1, 20)
        self.n_dots.setValue(3)
        self.n_dots.setAccessibleName("Dots: genes a domain")
        self.n_dots.setToolTip("Best genes of each domain that are drawn as dots; default 3.")
        self.scaled = QCheckBox("0 to 1 for each gene")
        self.scaled.setToolTip("Colour each gene from its lowest to its highest domain.")
        row.addWidget(QLabel("Genes a domain"), 0, 0)
        row.addWidget(self.n_dots, 0, 1)
        row.addWidget(self.scaled, 1, 0, 1, 2)
        self.results.addLayout(row)
        self.dots = DotChart()
        self.dots.chosen.connect(self._on_chosen)
        self.results.addWidget(self.dots)
        self.dots_note = plain_label()
        self.results.addWidget(self.dots_note)
        self.drawn = _combo("Exported figure", "Which of the two charts is written as a figure.")
        self.drawn.addItems([_DOTS, _VOLCANO])
        self.results.addWidget(self.drawn)
        self.n_dots.valueChanged.connect(self._on_dots)
        self.scaled.toggled.connect(self._on_dots)

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """Offer the domains to compare with."""
        del item
        state = None if domains is None else domains.state
        names = () if state is None else state.names
        self._offer_references(
            tuple(n for n, spots in zip(names, state.counts, strict=True) if spots) if state else ()
        )

    def _offer_references(self, names: tuple[str, ...]) -> None:
        kept = self.against.currentData()
        with QSignalBlocker(self.against):
            self.against.clear()
            for value, text in AGAINST_TEXT.items():
                self.against.addItem(text[0].upper() + text[1:], value)
            for name in names:
                self.against.addItem(f"Domain {name}", f"={name}")
            self.against.setCurrentIndex(max(self.against.findData(kept), 0))

    def obstacle(self, item: Item, domains: DomainSet | None) -> str:
        """Chosen spots have to be chosen."""
        del domains
        if self.groups.currentData() == "chosen":
            n = item.chosen.size
            if n < 2:
                return "Fewer than two spots are chosen: draw around spots on the tissue first."
            if item.section.n_spots - n < 2:
                return "All spots are chosen: there is nothing to compare them with."
        return ""

    def make(self, subject: Subject) -> Callable[[], Steps[Any]]:
        """Read the form."""
        chosen = self.groups.currentData() == "chosen"
        against = "rest" if chosen else str(self.against.currentData())
        question = MarkerQuestion(
            self.test.currentData(),
            "rest" if against.startswith("=") else against,  # type: ignore[arg-type]
            against[1:] if against.startswith("=") else None,
            subject.item.chosen.copy() if chosen else None,
        )
        return partial(question.steps, subject.section, subject.labels, subject.domains.column)

    @property
    def limits(self) -> Limits:
        """The limits that are set."""
        return Limits(
            self.max_p.value(), self.min_fold.value(), self.min_share.value(), self.count.value()
        )

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """Fill table and charts; the filter stays where its domain is still there."""
        main: Markers = found["main"]
        if self._view is None or not self._view.fits(main, self.limits):
            self._view = View(main, self.limits)
        names = main.names
        colors = dict(zip(names, self.colors(answer, names), strict=True))
        self.genes.show_frame(self._view.frame, colors)
        if [self.domain.itemData(i) for i in range(1, self.domain.count())] != names:
            self.filter.offer(names)
        hint = "Click a gene, or press Return on it, to see it on the tissue."
        said = f"Compared with {main.question.said}. {self._view.said}"
        self.notes.setText(" ".join([said, *main.table.attrs.get("notes", []), hint]))
        self._show_volcano()
        self._show_dots()

    def _volcano_domain(self, main: Markers) -> str:
        return str(self.domain.currentData() or main.names[0])

    def _show_volcano(self) -> None:
        view = self._view
        if view is None:
            return
        domain = self._volcano_domain(view.main)
        table, passes = view.of(domain)
        self.volcano_title.setText(f"{domain} against {view.main.question.said}")
        known = table["p_adjusted"].notna().any()
        self.volcano.setVisible(bool(known))
        capped = int((table["p_adjusted"] < 1e-300).sum())
        note = "" if known else "The regression gives no p-values: there is no volcano."
        if capped:
            note = f"\u25b2 {capped} genes have p below 1e-300, whose height is not known."
        self.volcano_note.setText(note)
        self.volcano_note.setVisible(bool(note))
        limits = view.limits
        self.volcano.show_genes(table, passes, max_p=limits.max_p, min_fold=limits.min_fold)

    def _show_dots(self) -> None:
        if self._view is None:
            return
        scaled = self.scaled.isChecked()
        shares, means, _ = self._view.dots(self.n_dots.value(), standardise=scaled)
        self.dots.show_dots(shares, means)
        if shares.empty:
            self.dots_note.setText("No gene passes that is higher in a domain.")
            return
        low, high = means.to_numpy().min(), means.to_numpy().max()
        kind = "mean, 0 to 1 for each gene" if scaled else "mean log expression"
        self.dots_note.setText(
            f"Area: share of the spots that show the gene. Colour: {kind}, {low:.2f} (dark) to "
            f"{high:.2f} (bright). Point at a dot for its numbers."
        )

    def table(self, answer: Answer) -> pd.DataFrame:
        """The genes that pass."""
        view = self._view
        main: Markers = answer.found["main"]
        return view.frame if view is not None and view.main is main else main.table

    def figure(self, answer: Answer) -> Figure:
        """Dots, or the volcano."""
        from ...viz.marker_figures import dot_figure, volcano_figure

        view = self._view or View(answer.found["main"], Limits())
        if self.drawn.currentText() == _DOTS:
            scaled = self.scaled.isChecked()
            shares, means, groups = view.dots(self.n_dots.value(), standardise=scaled)
            label = "Mean log expression" + (", 0 to 1 a gene" if scaled else "")
            return dot_figure(shares, means, groups=groups, label=label)
        domain = self._volcano_domain(view.main)
        table, passes = view.of(domain)
        return volcano_figure(
            table, passes, domain=domain, against=view.main.question.said,
            max_p=view.limits.max_p, min_fold=view.limits.min_fold,
        )  # fmt: skip

    @slot
    def _on_groups(self) -> None:
        self.against.setEnabled(self.groups.currentData() == "domains")
        self.desk.check()

    @slot
    def _on_spots(self) -> None:
        if self.built and self.desk.present(self):
            self.desk.check()

    @slot
    def _on_limits(self) -> None:
        session = self.desk.session
        answer = self.known(session.selected_domains)
        if answer is not None:
            self.show_answer(answer.found, answer)

    @slot
    def _on_domain(self) -> None:
        self._show_volcano()

    @slot
    def _on_dots(self) -> None:
        self._show_dots()

    @slot
    def _on_chosen(self, gene: str) -> None:
        self.desk.show_gene(gene)
        self.volcano.mark(gene)
        self._select(gene)
        item = self.desk.session.selected
        if item is not None:
            self.desk.session.choose_gene(item.id, gene)

    def _select(self, gene: str) -> None:
        """Select the row of a gene that was chosen elsewhere."""
        if self.genes.current() == gene:
            return
        frames = self.genes.frames
        shown = frames.frame["gene"].iloc[frames.rows].astype(str).tolist()
        if gene in shown:
            self.genes.selectRow(shown.index(gene))
        else:
            self.genes.clearSelection()

    @slot
    def _on_copy(self) -> None:
        self.genes.copy()
        self.desk.say("The table is on the clipboard.")

    @slot
    def _on_store(self) -> None:
        item = self.desk.session.selected
        if item is None or self._view is None:
            return
        uns = item.section.adata.uns
        replaced = "rank_genes_groups" in uns
        uns["rank_genes_groups"] = dict(self._view.main.stored)
        ends = ", in the place of an earlier one." if replaced else "."
        self.desk.say(f"Written to uns['rank_genes_groups']{ends}")

    @slot
    def _on_python(self) -> None:
        item, domains = self.desk.session.selected, self.desk.session.selected_domains
        if item is not None and domains is not None and self._view is not None:
            imports, lines = self._view.main.question.python(self.limits)
            copy_text(python_of(item.section, domains, imports, lines))
            self.desk.say("The script is on the clipboard.")

    @slot
    def _on_command(self) -> None:
        item, domains = self.desk.session.selected, self.desk.session.selected_domains
        if item is None or domains is None or self._view is None:
            return
        question = self._view.main.question
        if question.chosen is not None:
            self.desk.say("The command line knows no chosen spots: copy the script instead.")
            return
        flags = question.flags(self.limits)
        copy_text(command_of(item.section, domains, ("analyse", "markers"), flags))
        self.desk.say("The command is on the clipboard.")


def _combo(name: str, tip: str) -> QComboBox:
    combo = narrow_combo(QComboBox())
    combo.setAccessibleName(name)
    combo.setToolTip(tip)
    return combo


def _number(
    name: str, value: float, low: float, high: float, step: float, digits: int
) -> QDoubleSpinBox:
    field = QDoubleSpinBox()
    field.setDecimals(digits)
    field.setRange(low, high)
    field.setSingleStep(step)
    field.setValue(value)
    field.setAccessibleName(name)
    return field
