"""The network of genes with alike vectors, against what null images bring about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.errors import ParameterError
from ..core.progress import Progress, Steps
from .gene_relations import check_names, unit_vectors

__all__ = ["Network", "gene_network_steps"]

_BINS = 20_000
"""Steps between similarities of -1 and 1 in which pairs are counted."""
_NULL_PAIRS = 50_000_000
"""Similarities of null vectors that are looked at, as far as there are so many."""
_ENTRIES = 4_000_000
"""Similarities that exist at once."""
Float = NDArray[np.float32]
Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Network:
    """Pairs of genes that are among each other's most alike, beyond chance.

    Attributes
    ----------
    genes
        (n_genes,) all names, in order.
    edges
        One row a pair, the most alike first: ``gene_a``, ``gene_b``, ``similarity``, ``p`` (share
        of null pairs as alike), ``q`` (false discovery rate over *all* pairs of genes).
    degree
        (n_genes,) edges of each gene.
    unit
        (n_genes, width) float32 centred vectors of length 1.
    """

    genes: tuple[str, ...]
    edges: pd.DataFrame
    degree: NDArray[np.intp]
    unit: Float

    def hubs(self, codes: NDArray[np.integer[Any]], *, n: int = 5) -> pd.DataFrame:
        """Genes that are most alike to the others of their module.

        Parameters
        ----------
        codes
            (n_genes,) module of each gene; negative for none.
        n
            Rows for each module.

        Returns
        -------
        pandas.DataFrame
            ``module``, ``gene``, ``strength`` (sum of the similarities to the other members),
            ``mean_similarity``, ``degree``.

        Raises
        ------
        ParameterError
            If there is not one code for each gene or ``n`` is below 1.
        """
        codes = np.asarray(codes)
        if codes.shape != self.degree.shape:
            raise ParameterError(
                f"{codes.size} modules were given for {len(self.genes)} genes",
                "give the module of each gene",
            )
        if n < 1:
            raise ParameterError(f"n is {n}", "use at least 1")
        rows = []
        for code in np.unique(codes[codes >= 0]):
            inside = np.flatnonzero(codes == code)
            own = self.unit[inside].astype(np.float64)
            # The sum over all members, less the gene itself: no table of pairs.
            strength = own @ own.sum(axis=0) - (own**2).sum(axis=1)
            for best in np.argsort(-strength, kind="stable")[:n]:
                gene = inside[best]
                mean = strength[best] / max(inside.size - 1, 1)
                rows.append((int(code), self.genes[gene], strength[best], mean, self.degree[gene]))
        return pd.DataFrame(
            rows, columns=["module", "gene", "strength", "mean_similarity", "degree"]
        )


def gene_network_steps(
    vectors: NDArray[np.floating[Any]],
    genes: Sequence[str],
    null: NDArray[np.floating[Any]],
    *,
    k: int = 10,
    q: float = 0.05,
) -> Steps[Network]:
    """Link genes that are in each other's top ``k`` and more alike than null images are.

    The null law of the similarity is that of pairs of null vectors from different draws, so that
    it holds even where one draw shuffles all genes alike. Edges are the most alike of all pairs:
    were only they counted, nearly every one would pass. The false discovery rate of a similarity
    is therefore the expected number of null pairs above it, among as many pairs as there are,
    over the number of pairs above it.

    Parameters
    ----------
    vectors
        (n_genes, width) vectors.
    genes
        (n_genes,) names.
    null
        (T, n_genes, width) vectors of null images, ``T`` at least 2.
    k
        Length of a gene's list.
    q
        False discovery rate below which a pair is linked.

    Raises
    ------
    ParameterError
        If shapes differ, ``k`` is below 1 or ``q`` is no share.
    DataError
        If a value is not finite.
    """
    names = check_names(vectors, genes)
    if null.ndim != 3 or null.shape[1:] != np.shape(vectors) or len(null) < 2:
        raise ParameterError(
            f"vectors have shape {np.shape(vectors)} and null vectors {null.shape}",
            "give (genes, width) and (draws, genes, width) with two draws or more",
        )
    if k < 1 or not 0 < q <= 1:
        raise ParameterError(f"k is {k} and q is {q}", "use k of at least 1 and q up to 1")
    if len(names) < 3:
        raise ParameterError(f"there are {len(names)} genes", "give at least 3")
    unit = unit_vectors(vectors)
    links, counted = yield from _nearest_steps(unit, min(k, len(names) - 1))
    by_chance = yield from _null_steps(null)
    a, b, alike = links
    p_of, q_of = _rates(counted, by_chance)
    bins = _bin_of(alike)
    kept = np.flatnonzero(q_of[bins] < q)
    kept = kept[np.argsort(-alike[kept], kind="stable")]
    edges = pd.DataFrame(
        {"gene_a": names[a[kept]], "gene_b": names[b[kept]], "similarity": alike[kept],
         "p": p_of[bins[kept]], "q": q_of[bins[kept]]}
    )  # fmt: skip
    degree = np.bincount(np.r_[a[kept], b[kept]], minlength=len(names))
    return Network(tuple(names), edges, degree, unit)


def _nearest_steps(
    unit: Float, k: int
) -> Steps[tuple[tuple[NDArray[np.intp], NDArray[np.intp], Float], Whole]]:
    """Pairs in each other's top ``k``, and how many pairs there are in each bin."""
    n = len(unit)
    counted = np.zeros(_BINS, dtype=np.int64)
    top = np.empty((n, k), dtype=np.intp)
    for rows in _blocks(n, n):
        alike = np.clip(unit[rows] @ unit.T, -1, 1)
        here = np.arange(n)[rows]
        alike[np.arange(len(here)), here] = -2.0  # below every pair
        top[rows] = np.argpartition(-alike, k - 1, axis=1)[:, :k]
        others = np.arange(n) > here[:, None]
        counted += np.bincount(_bin_of(alike[others]), minlength=_BINS)
        yield Progress(int(here[-1]) + 1, n, "comparing genes")
    a, b = np.repeat(np.arange(n), k), top.ravel()
    code = np.minimum(a, b) * n + np.maximum(a, b)
    pair, times = np.unique(code, return_counts=True)
    low, high = np.divmod(pair[times == 2], n)
    alike = np.einsum("ij,ij->i", unit[low], unit[high])
    return (low, high, np.clip(alike, -1, 1)), counted


def _null_steps(null: NDArray[np.floating[Any]]) -> Steps[Whole]:
    """How many pairs of null vectors, of different genes and draws, there are in each bin."""
    draws, n, _ = null.shape
    counted = np.zeros(_BINS, dtype=np.int64)
    # Every pair of neighbouring draws; those farther apart only where genes are few.
    lags = min(draws - 1, -(-_NULL_PAIRS // (draws * n * n)))
    step = max(1, draws * lags * n * n // _NULL_PAIRS)
    total = draws * lags
    for done in range(total):
        first, lag = done % draws, done // draws + 1
        rows = np.arange(done % step, n, step)
        one, other = unit_vectors(null[first, rows]), unit_vectors(null[(first + lag) % draws])
        for part in _blocks(rows.size, n):
            alike = np.clip(one[part] @ other.T, -1, 1)
            different = np.arange(n) != rows[part][:, None]
            counted += np.bincount(_bin_of(alike[different]), minlength=_BINS)
            yield Progress(done, total, "comparing null images")
    return counted


def _rates(counted: Whole, by_chance: Whole) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """p-value and false discovery rate of a similarity in each bin."""
    above = np.cumsum(counted[::-1])[::-1]
    p = (1 + np.cumsum(by_chance[::-1])[::-1]) / (1 + by_chance.sum())
    rate = np.minimum(p * counted.sum() / np.maximum(above, 1), 1.0)
    # The rate of the smallest set that holds the pair, as in Benjamini & Hochberg.
    return p, np.minimum.accumulate(rate)


def _bin_of(alike: Float) -> NDArray[np.intp]:
    return np.asarray(np.minimum((alike + 1) * (_BINS / 2), _BINS - 1), dtype=np.intp)


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of ``rows`` that keep a block of similarities small."""
    width = max(1, _ENTRIES // columns)
    return (slice(start, min(start + width, rows)) for start in range(0, rows, width))
