"""Scores of gene sets, such as epithelial-mesenchymal transition, compared between domains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtWidgets import QCheckBox, QHBoxLayout

from ...analysis.signatures import (
    SIGNATURES,
    DomainComparison,
    Signature,
    by_domain,
    emt_score,
    read_gene_sets,
    signature_score,
)
from ...core.progress import Progress, Steps
from ..fields import ask_file, make_button
from ..formats import GENE_SETS
from ..guard import slot
from ..model import DomainSet, Item
from ..parts import plain_label
from .charts import ViolinChart, titled
from .gene_sets import GeneList, missing_genes
from .panel import Panel
from .subject import Answer, Subject
from .table import Column, FrameTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Found", "SignaturesPanel"]

_FEWEST = 3
_SUMMARY = (
    Column("domain", "Domain", width=0),
    Column("spots", "Spots", ",d"),
    Column("q25", "25 %", ".2f"),
    Column("median", "Median", ".2f", width=60),
    Column("q75", "75 %", ".2f"),
)
_PAIRS = (
    Column("domain", "Domain", width=0),
    Column("other", "minus domain", width=110),
    Column("difference", "Medians", ".2f", "Median of the first minus that of the second.", 74),
)


@dataclass(frozen=True, eq=False)
class Found:
    """A score and its comparison between domains.

    Attributes
    ----------
    name
        Under which it is stored: ``"emt"`` for the difference of two sets, else ``"signature"``.
    """

    name: str
    score: Signature
    comparison: DomainComparison
    denoised: bool


class SignaturesPanel(Panel):
    """Mean z-scores of one set, or of one minus another."""

    TITLE = "EMT and signatures"
    ABOUT = (
        "Mean z-score of the first gene set minus that of the second; leave the second empty for "
        "one set alone. In tumours an EMT score also counts stroma within a spot."
    )
    RUN = "Score the spots"
    NEEDS_DOMAINS = 1

    def build(self) -> None:
        """Two lists of genes; violins and tables."""
        self._names: pd.Index | None = None
        self._known: frozenset[str] = frozenset()
        self.up = GeneList("Raised", "Genes that raise the score, as symbols.")
        self.down = GeneList("Lowered", "Genes that lower the score; may be empty.")
        for part in (self.up, self.down):
            part.changed.connect(self._on_genes)
        self.fields.addRow(titled("Genes that raise the score"))
        self.fields.addRow(self.up)
        self.fields.addRow(titled("Genes that lower it"))
        self.fields.addRow(self.down)
        row = QHBoxLayout()
        self.load = make_button(
            "Load gene sets\u2026", "Sets from a .gmt, .csv or .txt file.", self._on_load
        )
        self.reset = make_button("Reset", "Back to the EMT sets.", self._on_reset)
        row.addWidget(self.load)
        row.addWidget(self.reset)
        self.fields.addRow(row)
        self.denoised = QCheckBox("Denoised expression (exploratory)")
        self.denoised.setToolTip(
            "Use the denoised layer of the result: neighbouring spots are smoothed together, so "
            "that differences between domains look clearer than they are."
        )
        self.fields.addRow(self.denoised)
        self.facts = plain_label()
        self.results.addWidget(self.facts)
        self.violins = ViolinChart("Score of the domains")
        self.results.addWidget(self.violins)
        self.summary = FrameTable(_SUMMARY, "Score of the domains")
        self.results.addWidget(self.summary)
        self.results.addWidget(titled("Differences between domains"))
        self.pairs = FrameTable(_PAIRS, "Differences between domains")
        self.results.addWidget(self.pairs)
        self.show_layer = make_button(
            "Show on the tissue", "Bring the layer of the score to the front.", self._on_layer
        )
        self.results.addWidget(self.show_layer)
        self._on_reset()

    def follow(self, item: Item | None, domains: DomainSet | None) -> None:
        """Check the genes against the section."""
        names = item.section.adata.var_names if item is not None else None
        if names is not self._names:
            self._names = names
            self._known = frozenset(str(n).casefold() for n in (() if names is None else names))
        for part in (self.up, self.down):
            part.check(self._known)
        layers = item.section.adata.layers if item is not None else {}
        has = domains is not None and f"{domains.key}_denoised" in layers
        self.denoised.setEnabled(has)
        if not has:
            self.denoised.setChecked(False)

    def obstacle(self, item: Item, domains: DomainSet | None) -> str:
        """Enough genes of both sets."""
        del item, domains
        for part, what in ((self.up, "raise"), (self.down, "lower")):
            genes = part.genes()
            here = len(genes) - len(missing_genes(self._known, genes))
            if here < _FEWEST and (genes or part is self.up):
                return (
                    f"{here} of the genes that {what} the score are in the section, at least "
                    f"{_FEWEST} are needed."
                )
        return ""

    def make(self, subject: Subject) -> Callable[[], Steps[Any]]:
        """Score, then compare."""
        layer = f"{subject.domains.key}_denoised" if self.denoised.isChecked() else None
        return partial(_scored, subject, self.up.genes(), self.down.genes(), layer)

    def values(self, kind: str, found: Any) -> dict[str, NDArray[np.floating[Any]]]:
        """The score."""
        del kind
        return {found.name: found.score.values}

    def arrived(self, kind: str, found: Any, subject: Subject) -> None:
        """Show the score."""
        del kind
        self._show(subject.item, subject.domains.key, found)

    def show_answer(self, found: dict[str, Any], answer: Answer) -> None:
        """Violins, test, tables."""
        main: Found = found["main"]
        result = main.comparison
        names = list(result.values)
        colors = self.colors(answer, names)
        self.facts.setText(_facts(main))
        self.violins.show_violins(result.values, colors, "score (z)")
        swatches = dict(zip(names, colors, strict=True))
        self.summary.show_frame(result.summary, swatches)
        self.pairs.show_frame(_pairs(result), swatches)

    def table(self, answer: Answer) -> pd.DataFrame:
        """Summary, then the differences of the medians, one column a domain."""
        result = answer.found["main"].comparison
        differences = result.median_differences.add_prefix("median_minus_").reset_index(drop=True)
        return pd.DataFrame(result.summary.join(differences))

    def figure(self, answer: Answer) -> Figure:
        """Violins."""
        from ...viz.plots import violin_figure

        values = answer.found["main"].comparison.values
        label = "EMT score (z)" if answer.found["main"].name == "emt" else "Score (z)"
        return violin_figure(values, self.colors(answer, list(values)), label=label)

    @slot
    def _on_genes(self) -> None:
        for part in (self.up, self.down):
            part.check(self._known)
        if self.built:
            self.desk.check()

    @slot
    def _on_reset(self) -> None:
        sets = SIGNATURES["EMT"]
        self.up.offer(sets, "mesenchymal")
        self.down.offer(sets, "epithelial")

    @slot
    def _on_load(self) -> None:
        path = ask_file(self.form, "Load gene sets", GENE_SETS)
        if path is not None:
            self.load_file(path)

    def load_file(self, path: str) -> None:
        """Take the gene sets of a file: both EMT sets by name, else its first one alone.

        Raises
        ------
        StmaskError
            If it cannot be read.
        """
        self.desk.strip.clear()
        loaded = read_gene_sets(path)
        named = {name.casefold(): name for name in loaded}
        up, down = named.get("mesenchymal"), named.get("epithelial")
        if up is None or down is None:
            up, down = next(iter(loaded)), None
        sets = {**SIGNATURES["EMT"], **loaded}
        self.up.offer(sets, up)
        self.down.offer(sets, down)
        count = f"{len(loaded)} gene sets" if len(loaded) > 1 else "one gene set"
        self.desk.say(f"Read {count}; choose them above the lists.")

    @slot
    def _on_layer(self) -> None:
        self.show_again(self._show)

    def _show(self, item: Item, key: str, found: Found) -> None:
        title = "EMT score" if found.name == "emt" else "signature"
        self.desk.show_values(item, found.name, title, found.score.values, key=key, signed=True)


def _scored(
    subject: Subject, up: tuple[str, ...], down: tuple[str, ...], layer: str | None
) -> Steps[Found]:
    yield Progress(0, 2, "scoring the spots")
    if down:
        score = emt_score(subject.section, epithelial=down, mesenchymal=up, layer=layer)
    else:
        score = signature_score(subject.section, up, layer=layer)
    yield Progress(1, 2, "comparing domains")
    comparison = by_domain(score.values, subject.labels)
    return Found("emt" if down else "signature", score, comparison, layer is not None)


def _facts(found: Found) -> str:
    result, score = found.comparison, found.score
    parts = [f"{len(score.used)} genes used."]
    if score.missing:
        parts.append(f"Not in the section, or without counts: {', '.join(score.missing)}.")
    if result.h is None:
        parts.append("A single domain, or no variation: there is no test.")
    else:
        p = f"p = {result.p:.1e}" if result.p else "p < 1e-300"
        parts.append(
            f"Kruskal-Wallis H = {result.h:.1f}, {p} (too small: neighbouring spots are alike)."
        )
    if found.denoised:
        parts.append("From denoised expression: exploratory.")
    return " ".join(parts)


def _pairs(result: DomainComparison) -> pd.DataFrame:
    """Each pair of domains once, the higher one first, the largest difference first."""
    table = result.median_differences
    values, names = table.to_numpy(dtype=float), [str(name) for name in table.index]
    rows = [
        (a, b, float(values[i, j]))
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if values[i, j] > 0 or (values[i, j] == 0 and i < j)
    ]
    rows.sort(key=lambda row: -row[2])
    return pd.DataFrame(rows, columns=["domain", "other", "difference"])
