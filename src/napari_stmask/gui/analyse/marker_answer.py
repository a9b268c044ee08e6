"""What the panel of markers asks and gets; no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...analysis.marker_dots import DomainExpression, domain_expression
from ...analysis.marker_store import rank_genes_groups
from ...analysis.markers import Against, Test, marker_steps, passing, top_genes
from ...core.progress import Progress, Steps
from ...core.section import Section

__all__ = ["AGAINST_TEXT", "CHOSEN", "Limits", "MarkerQuestion", "Markers", "View"]

CHOSEN = "chosen spots"
REST = "other spots"
AGAINST_TEXT = {
    "rest": "all other spots",
    "touching": "the domains that it touches",
    "adjacent": "the adjacent spots of other domains",
}


@dataclass(frozen=True, eq=False)
class MarkerQuestion:
    """What is compared with what.

    Attributes
    ----------
    test, against, other
        As in `marker_table`.
    chosen
        Rows of the spots that are compared with the rest, in the place of domains; None for
        domains.
    """

    test: Test
    against: Against = "rest"
    other: str | None = None
    chosen: NDArray[np.intp] | None = None

    @property
    def said(self) -> str:
        """What it is compared with, in words."""
        return f"domain {self.other}" if self.other is not None else AGAINST_TEXT[self.against]

    def labels(self, domains: pd.Series) -> pd.Series:
        """The domains, or the chosen spots and the others."""
        if self.chosen is None:
            return domains
        code = np.ones(len(domains), dtype=np.int8)
        code[self.chosen] = 0
        return pd.Series(pd.Categorical.from_codes(code, pd.Index([CHOSEN, REST])), domains.index)

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `marker_table` that differ from its defaults."""
        found: dict[str, Any] = {}
        if self.test != "wilcoxon":
            found["test"] = self.test
        if self.against != "rest":
            found["against"] = self.against
        if self.other is not None:
            found["other"] = self.other
        if self.chosen is not None:
            found["only"] = [CHOSEN]
        return found

    def steps(self, section: Section, domains: pd.Series, column: str) -> Steps[Markers]:
        """The tests, then means and shares of all genes."""
        labels = self.labels(domains)
        only = None if self.chosen is None else [CHOSEN]
        table = yield from marker_steps(
            section, labels, n_genes=None, test=self.test, against=self.against,
            other=self.other, only=only,
        )  # fmt: skip
        yield Progress(0, 1, "averaging by domain")
        expression = domain_expression(section, labels)
        stored = rank_genes_groups(
            table, column=column, test=self.test, reference=self.other or self.against
        )
        parts = {str(d): part for d, part in table.groupby("domain", sort=False, observed=True)}
        return Markers(self, table, parts, expression, stored)

    def python(self, limits: Limits) -> tuple[list[str], list[str]]:
        """Imports, and lines after ``domains = ...``."""
        imports = ["from napari_stmask.analysis.markers import marker_table, passing"]
        lines = []
        if self.chosen is not None:
            imports.append("import pandas as pd")
            lines += [
                f"domains = pd.Series({REST!r}, index=section.adata.obs_names)",
                f"domains.iloc[{self.chosen.tolist()}] = {CHOSEN!r}",
            ]
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        given = ("max_p", "min_fold", "min_share")
        kept = ", ".join(f"{name}={getattr(limits, name)!r}" for name in given)
        lines += [
            f"table = marker_table(section, domains, n_genes=None{options})",
            f"keep = passing(table, {kept})",
            f'table = table[keep].groupby("domain", sort=False).head({limits.n_genes})',
            "print(table.to_string(index=False))",
        ]
        return imports, lines

    def flags(self, limits: Limits) -> list[tuple[str, Any]]:
        """Options of ``napari-stmask analyse markers``."""
        found = [(k, v) for k, v in self.options.items() if k != "only"]
        given = {
            "n_genes": limits.n_genes,
            "max_p": limits.max_p,
            "min_fold": limits.min_fold,
            "min_share": limits.min_share,
        }
        return [*found, *given.items()]


@dataclass(frozen=True, eq=False)
class Markers:
    """An answer.

    Attributes
    ----------
    question
        What was asked.
    table
        All genes of all comparisons, see `marker_table`.
    parts
        Domain -> its rows of the table.
    expression
        Means and shares of all genes.
    stored
        The table in scanpy's layout.
    """

    question: MarkerQuestion
    table: pd.DataFrame
    parts: dict[str, pd.DataFrame]
    expression: DomainExpression
    stored: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """Domains that were compared."""
        return list(self.parts)


@dataclass(frozen=True)
class Limits:
    """Which genes pass, and how many are listed for each domain."""

    max_p: float = 0.05
    min_fold: float = 0.25
    min_share: float = 0.0
    n_genes: int = 50

    def passes(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """(n_rows,) True for genes that pass."""
        return passing(table, max_p=self.max_p, min_fold=self.min_fold, min_share=self.min_share)


class View:
    """A marker answer under limits: what table, volcano and dots show of it."""

    def __init__(self, main: Markers, limits: Limits) -> None:
        self.main, self.limits = main, limits
        self._passes = {name: limits.passes(part) for name, part in main.parts.items()}
        rows = [part[self._passes[name]].head(limits.n_genes) for name, part in main.parts.items()]
        self.frame = pd.concat(rows, ignore_index=True)

    def fits(self, main: Markers, limits: Limits) -> bool:
        """Whether it is of this answer under these limits."""
        return self.main is main and self.limits == limits

    @property
    def said(self) -> str:
        """How many pairs of gene and domain pass, and how many of them are listed."""
        every = sum(int(passes.sum()) for passes in self._passes.values())
        return f"{every:,} genes pass, {len(self.frame):,} are listed."

    def of(self, domain: str) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
        """All genes of a domain, and which of them pass."""
        return self.main.parts[domain], self._passes[domain]

    def dots(
        self, n: int, *, standardise: bool
    ) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Sequence[str]]]:
        """Shares, means (domains x genes) and the genes of each domain; empty tables for none."""
        groups: dict[str, Sequence[str]] = dict(top_genes(self.frame, n))
        genes = [gene for part in groups.values() for gene in part]
        if not genes:
            return pd.DataFrame(), pd.DataFrame(), groups
        shares, means = self.main.expression.of(genes, standardise=standardise)
        return shares, means, groups
