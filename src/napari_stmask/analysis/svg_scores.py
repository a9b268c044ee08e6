"""Spatially variable genes: how far a gene's vector lies from those of its own null images.

SIGEL (Genome Biology 26, 287, 2025) ranks genes by the mean squared distance to simulated
replicas. Here the spread of the replicas is taken off, and distances become p-values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from ..core.errors import DataError, ParameterError

__all__ = ["MIN_DRAWS", "SvgScores", "svg_scores"]

MIN_DRAWS = 3
"""Null images of a gene: one is compared, two others give a mean and a spread."""
_BLOCK = 1024
_FEWEST_GENES = 200
"""Genes that are pooled at least, as far as there are so many."""
_ROUNDING = 1e-12
Exact = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SvgScores:
    """Scores of genes, all (n_genes,).

    Attributes
    ----------
    score
        Squared distance of the vector to the mean of its null vectors, without the part that the
        mean's own scatter adds: ``|z - mean|^2 - tr(V) / T``.
    effect
        ``score / tr(V)``: in units of the null's variance, near 1 for genes without a pattern;
        free of the scale of the vectors. Infinite where the null has no spread.
    p
        Chance that a null image lies as far from the others of its gene.
    q
        Benjamini & Hochberg over all genes.
    rank
        1 is the most spatial: by ``p``, then by ``effect``.
    """

    score: Exact
    effect: Exact
    p: Exact
    q: Exact
    rank: NDArray[np.intp]

    def table(self, genes: Sequence[str]) -> pd.DataFrame:
        """One row a gene, the first rank first: ``gene``, ``score``, ``effect``, ``p``, ``q``,
        ``rank``.

        Raises
        ------
        ParameterError
            If there is not one name for each gene.
        """
        if len(genes) != self.score.size:
            raise ParameterError(
                f"{len(genes)} names were given for {self.score.size} genes", "give one for each"
            )
        table = pd.DataFrame(
            {"gene": [str(g) for g in genes], "score": self.score, "effect": self.effect,
             "p": self.p, "q": self.q, "rank": self.rank}
        )  # fmt: skip
        return table.sort_values("rank", ignore_index=True)


def svg_scores(
    vectors: NDArray[np.floating[Any]],
    null: NDArray[np.floating[Any]],
    level: NDArray[np.floating[Any]],
    *,
    resolution: int = 10_000,
) -> SvgScores:
    """Compare each gene's vector with vectors of null images of the same gene.

    The statistic of a vector is its squared distance to the mean of ``T - 1`` null vectors over
    their summed variance. For a null vector these are the others of its gene; for the gene
    itself all but the last, so that under the null hypothesis both are the same function of
    exchangeable vectors, for any number of draws and any scale of a gene. Null statistics are
    pooled over the genes nearest in expression, since their law changes with it; ``p`` is
    ``(1 + those at least as large) / (1 + all)``.

    Parameters
    ----------
    vectors
        (n_genes, width) vectors of the genes.
    null
        (T, n_genes, width) vectors of null images of the same genes, ``T`` at least 3.
    level
        (n_genes,) mean expression, any monotone unit.
    resolution
        Null statistics that a gene is compared with: ``resolution / T`` genes are pooled, but no
        more than a quarter of them or 200.

    Raises
    ------
    ParameterError
        If shapes differ, ``T`` is below 3 or ``resolution`` below 1.
    DataError
        If a value is not finite.
    """
    draws, n_genes = _checked(vectors, null, level, resolution)
    score, effect, observed = (np.empty(n_genes) for _ in range(3))
    pooled = np.empty((n_genes, draws))
    for start in range(0, n_genes, _BLOCK):
        part = slice(start, start + _BLOCK)
        score[part], effect[part], observed[part], pooled[part] = _compare(
            np.asarray(vectors[part], dtype=np.float64),
            np.asarray(null[:, part], dtype=np.float64),
        )
    p = _pooled_p(observed, pooled, np.argsort(level, kind="stable"), resolution)
    rank = np.empty(n_genes, dtype=np.intp)
    rank[np.lexsort((-effect, p))] = np.arange(1, n_genes + 1)
    return SvgScores(score, effect, p, false_discovery_control(p), rank)


def _checked(
    vectors: NDArray[Any], null: NDArray[Any], level: NDArray[Any], resolution: int
) -> tuple[int, int]:
    """Number of draws and of genes."""
    if vectors.ndim != 2 or not vectors.size or null.ndim != 3 or null.shape[1:] != vectors.shape:
        raise ParameterError(
            f"vectors have shape {vectors.shape} and null vectors {null.shape}",
            "give (genes, width) and (draws, genes, width)",
        )
    if len(null) < MIN_DRAWS:
        raise ParameterError(
            f"{len(null)} null images a gene were given",
            f"give at least {MIN_DRAWS}, 20 or more for small p-values",
        )
    if np.shape(level) != vectors.shape[:1]:
        raise ParameterError(
            f"level has shape {np.shape(level)} for {len(vectors)} genes",
            "give the mean expression of each gene",
        )
    if resolution < 1:
        raise ParameterError(f"resolution is {resolution}", "use at least 1")
    for values, what in ((vectors, "vectors"), (null, "null vectors"), (level, "level")):
        if not np.isfinite(values).all():
            raise DataError(f"the {what} hold values that are not finite", "train again")
    return len(null), len(vectors)


def _compare(vectors: Exact, null: Exact) -> tuple[Exact, Exact, Exact, Exact]:
    """Score, effect, statistic and (n_genes, T) null statistics of one block of genes."""
    draws = len(null)
    mean = null.mean(axis=0)
    apart = ((null - mean) ** 2).sum(axis=2).T  # (n_genes, T)
    size = (null**2).sum(axis=2).mean(axis=0) + (vectors**2).sum(axis=1)
    none = _ROUNDING * size
    spread = apart.sum(axis=1) / (draws - 1)
    spread[spread <= none] = 0.0
    score = ((vectors - mean) ** 2).sum(axis=1) - spread / draws
    score[np.abs(score) <= none] = 0.0
    # Mean and variance without draw t follow from those of all draws.
    others = draws / (draws - 1)
    rest = np.maximum(apart.sum(axis=1)[:, None] - others * apart, 0.0) / (draws - 2)
    shorter = mean - (null[-1] - mean) / (draws - 1)
    distance = ((vectors - shorter) ** 2).sum(axis=1)
    observed = _ratio(distance, rest[:, -1], none)
    return score, _ratio(score, spread, none), observed, _ratio(others**2 * apart, rest, none)


def _ratio(distance: Exact, spread: Exact, none: Exact) -> Exact:
    """``distance / spread``; 0 without a distance, infinite without a spread."""
    limit = none if distance.ndim == 1 else none[:, None]
    out = np.where(np.abs(distance) <= limit, 0.0, np.copysign(np.inf, distance))
    return np.divide(distance, spread, out=out, where=spread > limit)


def _pooled_p(observed: Exact, pooled: Exact, order: NDArray[np.intp], resolution: int) -> Exact:
    """p-values against the null statistics of the genes around in ``order``."""
    n, draws = pooled.shape
    width = min(n, -(-resolution // draws), max(_FEWEST_GENES, n // 4))
    ranked = pooled[order]
    p = np.empty(n)
    for place, gene in enumerate(order):
        left = min(max(place - width // 2, 0), n - width)
        reached = np.count_nonzero(ranked[left : left + width] >= observed[gene])
        p[gene] = (1 + reached) / (1 + width * draws)
    return p
