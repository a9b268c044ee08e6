"""Gene sets among chosen genes: which are there more often than by chance."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, hypergeom

from ..core.errors import DataError, ParameterError
from ..core.progress import Steps, drain
from .ranksum import group_means, rank_sum_steps
from .signatures import MIN_GENES, gene_places

__all__ = [
    "over_representation",
    "region_genes",
    "region_genes_steps",
    "top_genes",
]

FEWEST = 3
"""Spots that a region and its outside must have."""


def over_representation(
    genes: Collection[str],
    sets: Mapping[str, Collection[str]],
    background: Sequence[str],
    *,
    min_size: int = MIN_GENES,
) -> pd.DataFrame:
    """Test each gene set for more of the chosen genes than by chance.

    Drawing the chosen genes from the background without replacement, the overlap with a set is
    hypergeometric; ``p`` is the chance of this overlap or a larger one (Fisher's exact test, one
    side). The background is the *panel* that the genes were chosen from, not the genome: against
    the genome every set of the tissue at hand would seem enriched before anything was chosen.

    Parameters
    ----------
    genes
        Chosen genes, of the background as it writes them; doubles count once.
    sets
        Name -> symbols, for example of `signatures.read_gene_sets`. They are matched as written,
        then without regard to case; symbols beyond the background do not count.
    background
        All genes that could have been chosen.
    min_size
        Genes of the background that a set must have to be tested.

    Returns
    -------
    pandas.DataFrame
        One row a set, the smallest ``p`` first: ``set``, ``overlap``, ``set_size`` within the
        background, ``chosen``, ``background``, ``expected`` overlap, ``fold`` (overlap over
        expected), ``p``, ``q`` (Benjamini & Hochberg over the sets tested), ``genes`` of the
        overlap. ``attrs["left_out"]`` is how many sets had too few genes.

    Raises
    ------
    ParameterError
        If no gene was chosen, one is not of the background or ``min_size`` is below 1.
    DataError
        If no set has enough genes of the background.
    """
    panel = pd.Index(background).unique()
    inside = _chosen(genes, panel)
    if min_size < 1:
        raise ParameterError(f"min_size is {min_size}", "use at least 1")
    # Once for all sets: a collection names most symbols many times.
    places = gene_places(panel, sorted({g for members in sets.values() for g in members}))
    rows, left_out = [], 0
    for name, members in sets.items():
        place = np.array(sorted({places[g] for g in members if g in places}), dtype=np.intp)
        if place.size < min_size:
            left_out += 1
            continue
        hits = place[inside[place]]
        rows.append((name, hits.size, place.size, ", ".join(map(str, panel[hits]))))
    if not rows:
        raise DataError(
            f"none of the {len(sets)} gene sets has {min_size} genes of the panel",
            "give sets with symbols as in the panel, or predict a larger panel",
        )
    table = pd.DataFrame(rows, columns=["set", "overlap", "set_size", "genes"])
    chosen, total = int(inside.sum()), len(panel)
    table["chosen"], table["background"] = chosen, total
    table["expected"] = table["set_size"] * (chosen / total)
    table["fold"] = table["overlap"] / table["expected"]
    table["p"] = hypergeom.sf(table["overlap"] - 1, total, table["set_size"], chosen)
    table["q"] = false_discovery_control(table["p"].to_numpy())
    order = ("set", "overlap", "set_size", "chosen", "background", "expected", "fold", "p", "q")
    table = table[[*order, "genes"]].sort_values("p", kind="stable", ignore_index=True)
    table.attrs["left_out"] = left_out
    return table


def _chosen(genes: Collection[str], panel: pd.Index) -> NDArray[np.bool_]:
    """(n_panel,) which genes of the panel were chosen."""
    if not len(genes):
        raise ParameterError("no gene was chosen", "choose genes of the panel")
    unknown = [g for g in genes if g not in panel]
    if unknown:
        raise ParameterError(
            f"{len(unknown)} chosen genes are not in the panel, such as '{unknown[0]}'",
            "choose genes of the panel, which is the background",
        )
    return np.asarray(panel.isin(list(genes)))


def region_genes(
    expression: NDArray[np.floating[Any]] | sp.csr_matrix,
    mask: NDArray[np.bool_],
    genes: Sequence[str],
) -> pd.DataFrame:
    """Compare a region with all other spots, gene by gene, by Wilcoxon's rank sums.

    Predicted values are smooth, and a region that was found in them separates them by design:
    take the order of the genes from here, not evidence.

    Parameters
    ----------
    expression
        (n_spots, n_genes) dense or sparse, in log units.
    mask
        (n_spots,) True inside the region.
    genes
        (n_genes,) names.

    Returns
    -------
    pandas.DataFrame
        One row a gene, the highest score first: ``gene``, ``score`` (z, positive where the gene
        is higher inside), ``difference`` of the means in the units given, ``mean_in``,
        ``mean_out``, ``p``, ``q`` (Benjamini & Hochberg).

    Raises
    ------
    ParameterError
        If lengths differ.
    DataError
        If there are fewer than three spots inside or outside, or a value is not finite.
    """
    return drain(region_genes_steps(expression, mask, genes))


def region_genes_steps(
    expression: NDArray[np.floating[Any]] | sp.csr_matrix,
    mask: NDArray[np.bool_],
    genes: Sequence[str],
) -> Steps[pd.DataFrame]:
    """`region_genes` as a stream: one event for each block of genes."""
    mask = np.asarray(mask, dtype=bool)
    if expression.shape != (mask.size, len(genes)):
        raise ParameterError(
            f"expression has shape {expression.shape} for {mask.size} spots and {len(genes)} genes",
            "give one row for each spot and one column for each gene",
        )
    if min(mask.sum(), (~mask).sum()) < FEWEST:
        raise DataError(
            f"{mask.sum()} spots are inside the region and {(~mask).sum()} outside",
            f"give a region with at least {FEWEST} of both",
        )
    values = sp.csr_matrix(expression)
    if not np.isfinite(values.data).all():
        raise DataError("expression holds values that are not finite", "leave those spots out")
    codes = (~mask).astype(np.intp)
    ranks = yield from rank_sum_steps(values, codes, 2)
    score, p = ranks.against_rest(0)
    mean, _ = group_means(values, codes, 2)
    table = pd.DataFrame(
        {"gene": list(genes), "score": score, "difference": mean[0] - mean[1],
         "mean_in": mean[0], "mean_out": mean[1], "p": p, "q": false_discovery_control(p)}
    )  # fmt: skip
    return table.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def top_genes(
    table: pd.DataFrame, *, n: int = 50, max_q: float = 0.05, min_difference: float = 0.0
) -> list[str]:
    """Genes that are higher in the region, best first.

    Parameters
    ----------
    table
        From `region_genes`.
    n
        Most genes that are given.
    max_q
        Largest adjusted p-value.
    min_difference
        Difference of the means that must be exceeded, in the units of the table.

    Raises
    ------
    ParameterError
        If ``n`` is below 1.
    """
    if n < 1:
        raise ParameterError(f"n is {n}", "use at least 1")
    kept = table[(table["q"] <= max_q) & (table["difference"] > min_difference)]
    return [str(g) for g in kept["gene"][:n]]
