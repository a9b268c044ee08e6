"""Genes that tell each domain from the rest of the section, its neighbours or another domain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from ..core.errors import DataError, ParameterError
from ..core.progress import Progress, Steps, drain
from ..core.section import Section
from .domain_facts import spot_links
from .inputs import Groups, expression_of, groups_of
from .marker_tests import AGAINST, TESTS, Against, Compared, Test, compare_steps, reference_of

__all__ = ["COLUMNS", "Against", "Test", "marker_steps", "marker_table", "passing", "top_genes"]

COLUMNS = (
    "domain",
    "gene",
    "score",
    "log2_fold_change",
    "p",
    "p_adjusted",
    "share_in",
    "share_out",
)


def marker_table(
    section: Section,
    domains: pd.Series,
    *,
    n_genes: int | None = 50,
    test: Test = "wilcoxon",
    layer: str | None = None,
    against: Against = "rest",
    other: str | None = None,
    only: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Compare each domain with other spots, gene by gene.

    Spots without a domain and genes that no spot shows are left out. The p-values of a domain
    are adjusted over its genes (Benjamini & Hochberg). They describe how well the domains
    separate the genes that they were found with, and are no evidence that the domains exist.

    Parameters
    ----------
    section
        With raw counts.
    domains
        (n_spots,) labels; missing values are spots without a domain.
    n_genes
        Rows kept for each domain, the highest scores first; None keeps all genes.
    test
        ``"wilcoxon"`` (rank sums with tie correction), ``"t-test"`` (Welch),
        ``"t-test_overestim_var"`` (both sides as large as the domain) or ``"logreg"`` (weights of
        a logistic regression, without p-values).
    layer
        Layer to use as it is, for example denoised values; None takes log-normalised counts.
        On smoothed values spots are not independent and p-values are far too small.
    against
        ``"rest"``: all other spots. ``"touching"``: all spots of the domains that it touches.
        ``"adjacent"``: spots of other domains that are its neighbours on the tissue.
    other
        Name of the one domain that every other is compared with, in the place of ``against``.
    only
        Names of the domains to test; None tests all.

    Returns
    -------
    pandas.DataFrame
        Columns ``domain``, ``gene``, ``score`` (z, t or weight, positive where the gene is higher
        in the domain), ``log2_fold_change`` (difference of the means of the log values, to base
        2), ``p``, ``p_adjusted``, ``share_in``, ``share_out`` (share of spots above 0).
        ``attrs["notes"]`` lists what was left out, one sentence each.

    Raises
    ------
    ParameterError
        If the test, the reference, a domain or the layer is unknown or ``n_genes`` is below 1.
    DataError
        If fewer than two domains occur, all of them have one spot, or none has a reference.
    """
    return drain(
        marker_steps(
            section, domains, n_genes=n_genes, test=test, layer=layer, against=against,
            other=other, only=only,
        )
    )  # fmt: skip


def marker_steps(
    section: Section,
    domains: pd.Series,
    *,
    n_genes: int | None = 50,
    test: Test = "wilcoxon",
    layer: str | None = None,
    against: Against = "rest",
    other: str | None = None,
    only: Sequence[str] | None = None,
) -> Steps[pd.DataFrame]:
    """`marker_table` as a stream: one event for each block of genes."""
    if test not in TESTS:
        raise ParameterError(f"there is no test '{test}'", f"use one of: {', '.join(TESTS)}")
    if against not in AGAINST:
        raise ParameterError(
            f"there is no reference '{against}'", f"use one of: {', '.join(AGAINST)}"
        )
    if n_genes is not None and n_genes < 1:
        raise ParameterError(f"n_genes is {n_genes}", "use at least 1, or None for all genes")
    groups = groups_of(domains, section.adata.obs_names, at_least=2)
    references, notes = _references(section, groups, against, other, only)
    yield Progress(0, 1, "normalising")
    values = expression_of(section, layer)
    known = (groups.codes >= 0).astype(np.float32)
    shown = np.flatnonzero(np.asarray(abs(values).T @ known).ravel() > 0)
    if not shown.size:
        raise DataError(f"{section.where}: no gene is seen in a domain", "check the layer")
    if shown.size < values.shape[1]:
        values = values[:, shown]
    compared, more = yield from compare_steps(values, groups, references, test)
    names = section.adata.var_names[shown]
    tables = [_rows(groups.names[g], names, found, n_genes) for g, found in compared.items()]
    table = pd.concat(tables, ignore_index=True)
    table.attrs["notes"] = notes + more
    return table


def passing(
    table: pd.DataFrame, *, max_p: float = 1.0, min_fold: float = 0.0, min_share: float = 0.0
) -> NDArray[np.bool_]:
    """(n_rows,) True for the rows of `marker_table` that pass all three thresholds.

    Parameters
    ----------
    table
        Of any domains.
    max_p
        Largest adjusted p-value; genes without one pass.
    min_fold
        Smallest distance of the log2 fold change from 0.
    min_share
        Smallest share of spots above 0, on the side where the gene is higher.
    """
    fold = table["log2_fold_change"].to_numpy(dtype=float)
    p = table["p_adjusted"].to_numpy(dtype=float)
    share = np.where(fold >= 0, table["share_in"], table["share_out"])
    return np.asarray(~(p > max_p) & (np.abs(fold) >= min_fold) & (share >= min_share))


def top_genes(table: pd.DataFrame, n: int) -> dict[str, list[str]]:
    """Domain -> its ``n`` best genes that are higher inside; a gene is listed once, at first."""
    seen: set[str] = set()
    out: dict[str, list[str]] = {}
    higher = table[table["log2_fold_change"] > 0]
    for domain, part in higher.groupby("domain", sort=False, observed=True):
        genes = [str(gene) for gene in part["gene"] if gene not in seen][:n]
        seen.update(genes)
        out[str(domain)] = genes
    return out


def _references(
    section: Section,
    groups: Groups,
    against: Against,
    other: str | None,
    only: Sequence[str] | None,
) -> tuple[dict[int, NDArray[np.bool_]], list[str]]:
    """Which spots each domain is compared with, and which domains have none."""
    targets = list(range(len(groups.names))) if only is None else [groups.number(n) for n in only]
    notes, out = [], {}
    if other is None:
        links = None if against == "rest" else spot_links(section)
        rows = {g: reference_of(groups, g, against, links) for g in targets}
    else:
        base = groups.number(other)
        rows = {g: groups.codes == base for g in targets if g != base}
    for g, reference in rows.items():
        name, size = groups.names[g], int(reference.sum())
        if groups.sizes[g] < 2:
            notes.append(f"Domain '{name}' has a single spot and was not tested.")
        elif size < 2:
            notes.append(f"Domain '{name}' has {size} spots to compare with and was not tested.")
        else:
            out[g] = reference
    if not out:
        if all(groups.sizes[g] < 2 for g in targets):
            raise DataError("every domain has a single spot", "give larger domains")
        raise DataError("no domain has spots to compare with", "compare with the rest")
    return out, notes


def _rows(domain: str, genes: pd.Index, found: Compared, n_genes: int | None) -> pd.DataFrame:
    """The table of one domain, best first."""
    p = found.p
    adjusted = p if np.isnan(p).any() else false_discovery_control(p)
    best = np.argsort(-found.score, kind="stable")[:n_genes]
    columns = (
        found.score, found.fold, p, adjusted, found.share_in, found.share_out
    )  # fmt: skip
    values = (domain, genes[best], *(c[best] for c in columns))
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))
