"""Genes that tell each domain from the rest of the section."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, ttest_ind_from_stats

from ..core.errors import DataError, ParameterError
from ..core.progress import Progress, Steps, drain
from ..core.section import Section
from .inputs import Groups, expression_of, groups_of
from .ranksum import group_means, group_shares, rank_sum_steps

__all__ = ["COLUMNS", "Test", "marker_steps", "marker_table"]

Test = Literal["wilcoxon", "t-test"]
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
) -> pd.DataFrame:
    """Compare each domain with all other spots, gene by gene.

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
        ``"wilcoxon"`` (rank sums with tie correction) or ``"t-test"`` (Welch).
    layer
        Layer to use as it is, for example denoised values; None takes log-normalised counts.
        On smoothed values spots are not independent and p-values are far too small.

    Returns
    -------
    pandas.DataFrame
        Columns ``domain``, ``gene``, ``score`` (z or t, positive where the gene is higher in the
        domain), ``log2_fold_change`` (difference of the means of the log values, to base 2),
        ``p``, ``p_adjusted``, ``share_in``, ``share_out`` (share of spots above 0).
        ``attrs["notes"]`` lists what was left out, one sentence each.

    Raises
    ------
    ParameterError
        If the test or the layer is unknown or ``n_genes`` is below 1.
    DataError
        If fewer than two domains occur or all of them have one spot.
    """
    return drain(marker_steps(section, domains, n_genes=n_genes, test=test, layer=layer))


def marker_steps(
    section: Section,
    domains: pd.Series,
    *,
    n_genes: int | None = 50,
    test: Test = "wilcoxon",
    layer: str | None = None,
) -> Steps[pd.DataFrame]:
    """`marker_table` as a stream: one event for each block of genes."""
    if test not in ("wilcoxon", "t-test"):
        raise ParameterError(f"there is no test '{test}'", "use wilcoxon or t-test")
    if n_genes is not None and n_genes < 1:
        raise ParameterError(f"n_genes is {n_genes}", "use at least 1, or None for all genes")
    groups = groups_of(domains, section.adata.obs_names, at_least=2)
    single = groups.sizes < 2
    if single.all():
        raise DataError("every domain has a single spot", "give larger domains")
    yield Progress(0, 1, "normalising")
    known = groups.codes >= 0
    values = expression_of(section, layer)[known]
    shown = np.flatnonzero(np.asarray(abs(values).sum(axis=0)).ravel() > 0)
    if not shown.size:
        raise DataError(f"{section.where}: no gene is seen in a domain", "check the layer")
    values, codes = values[:, shown], groups.codes[known]
    score, p = yield from _tested(values, codes, groups, test)
    k, sizes = len(groups.names), groups.sizes[:, None]
    mean, _ = group_means(values, codes, k)
    share = group_shares(values, codes, k)
    names = section.adata.var_names[shown]
    tables = [
        _rows(
            groups.names[g], names, score[g], p[g], (mean[g] - rest_of(mean, sizes, g)) / np.log(2),
            share[g], rest_of(share, sizes, g), n_genes,
        )
        for g in map(int, np.flatnonzero(~single))
    ]  # fmt: skip
    table = pd.concat(tables, ignore_index=True)
    table.attrs["notes"] = [
        f"Domain '{groups.names[g]}' has a single spot and was not tested."
        for g in np.flatnonzero(single)
    ]
    return table


def _tested(
    values: sp.csr_matrix, codes: NDArray[np.intp], groups: Groups, test: Test
) -> Steps[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Scores and p-values, (n_domains, n_genes) each."""
    k = len(groups.names)
    if test == "wilcoxon":
        ranks = yield from rank_sum_steps(values, codes, k)
        both = [ranks.against_rest(g) for g in range(k)]
        return np.stack([z for z, _ in both]), np.stack([p for _, p in both])
    score, p = np.zeros((k, values.shape[1])), np.ones((k, values.shape[1]))
    for g in range(k):
        score[g], p[g] = _welch(values, codes == g)
        yield Progress(g + 1, k, "testing domains")
    return score, p


def _welch(
    values: sp.csr_matrix, inside: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Welch's t of the spots ``inside`` against the others; t = 0 and p = 1 where undefined."""
    mean, variance = group_means(values, (~inside).astype(np.intp), 2)
    n = int(inside.sum()), int((~inside).sum())
    t, p = np.zeros(values.shape[1]), np.ones(values.shape[1])
    usable = variance[0] / n[0] + variance[1] / n[1] > 1e-20
    if usable.any():
        t[usable], p[usable] = ttest_ind_from_stats(
            mean[0][usable], np.sqrt(variance[0][usable]), n[0],
            mean[1][usable], np.sqrt(variance[1][usable]), n[1], equal_var=False,
        )  # fmt: skip
    return t, p


def rest_of(
    per_group: NDArray[np.float64], sizes: NDArray[np.intp], group: int
) -> NDArray[np.float64]:
    """Mean over all spots outside ``group``, from the means of the groups.

    Parameters
    ----------
    per_group
        (n_groups, n_genes) means or shares.
    sizes
        (n_groups, 1) spots.
    group
        The one that is left out.
    """
    others = np.arange(len(per_group)) != group
    return np.asarray((per_group * sizes)[others].sum(axis=0) / max(sizes[others].sum(), 1))


def _rows(
    domain: str,
    genes: pd.Index,
    score: NDArray[np.float64],
    p: NDArray[np.float64],
    fold: NDArray[np.float64],
    share_in: NDArray[np.float64],
    share_out: NDArray[np.float64],
    n_genes: int | None,
) -> pd.DataFrame:
    """The table of one domain, best first."""
    adjusted = false_discovery_control(p)
    best = np.argsort(-score, kind="stable")[:n_genes]
    columns = (domain, genes[best], *(c[best] for c in (score, fold, p, adjusted)))
    return pd.DataFrame(
        dict(zip(COLUMNS, (*columns, share_in[best], share_out[best]), strict=True))
    )
