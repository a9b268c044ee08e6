"""Wilcoxon rank-sum tests of all genes at once, on sparse values.

Only stored values are sorted; the zeros of a gene are one run of ties whose rank follows from
their number. The answers are those of scanpy's ``rank_genes_groups`` with tie correction, which
turns blocks of genes into dense tables and cannot be stopped on the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import norm

from ..core.progress import Progress, Steps
from .inputs import one_hot

__all__ = ["RankSums", "group_means", "group_shares", "rank_sum_steps"]

_BLOCK = 1_000_000
"""Stored values that are sorted at a time."""


@dataclass(frozen=True, eq=False)
class RankSums:
    """Rank sums of every gene and group.

    Attributes
    ----------
    sums
        (n_genes, n_groups) sum of the ranks of the group's spots among all spots.
    ties
        (n_genes,) sum of ``t^3 - t`` over runs of ``t`` equal values.
    sizes
        (n_groups,) spots of each group.
    """

    sums: NDArray[np.float64]
    ties: NDArray[np.float64]
    sizes: NDArray[np.intp]

    def against_rest(self, group: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Standardised rank sum of ``group`` against all others, and its two-sided p-value.

        Normal approximation with tie correction, no continuity correction. Genes without any
        variation have z = 0 and p = 1.
        """
        n = float(self.sizes.sum())
        inside = float(self.sizes[group])
        spread = (n + 1) - self.ties / max(n * (n - 1), 1.0)
        variance = np.maximum(inside * (n - inside) / 12 * spread, 0.0)
        distance = self.sums[:, group] - inside * (n + 1) / 2
        usable = variance > 1e-12
        z = np.divide(distance, np.sqrt(variance), out=np.zeros_like(distance), where=usable)
        return z, 2 * norm.sf(np.abs(z))


def rank_sum_steps(matrix: sp.csr_matrix, codes: NDArray[np.intp], k: int) -> Steps[RankSums]:
    """Rank every gene over all spots and add the ranks up by group.

    Parameters
    ----------
    matrix
        (n_spots, n_genes) sparse, finite; values may be negative.
    codes
        (n_spots,) int, 0 .. k - 1.
    k
        Number of groups.
    """
    columns = sp.csc_matrix(matrix, copy=True)
    columns.eliminate_zeros()
    n, n_genes = columns.shape
    sizes = np.bincount(codes, minlength=k)
    sums, ties = np.zeros((n_genes, k)), np.zeros(n_genes)
    left = 0
    while left < n_genes:
        # At least one gene, and as many as fit the block.
        reach = np.searchsorted(columns.indptr, columns.indptr[left] + _BLOCK, side="right") - 1
        right = min(max(int(reach), left + 1), n_genes)
        span = slice(columns.indptr[left], columns.indptr[right])
        stored = np.diff(columns.indptr[left : right + 1])
        sums[left:right], ties[left:right] = _ranked(
            columns.data[span], stored, codes[columns.indices[span]], sizes, n
        )
        left = right
        yield Progress(left, n_genes, "ranking genes")
    return RankSums(sums, ties, sizes)


def _ranked(
    data: NDArray[np.float32],
    stored: NDArray[np.integer],
    group: NDArray[np.intp],
    sizes: NDArray[np.intp],
    n: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rank sums and tie terms of one block of genes."""
    width, k = len(stored), len(sizes)
    gene = np.repeat(np.arange(width), stored)
    order = np.lexsort((data, gene))
    data, group = data[order], group[order]  # ``gene`` is sorted already
    first = np.ones(data.size, dtype=bool)
    first[1:] = (data[1:] != data[:-1]) | (gene[1:] != gene[:-1])
    start = np.flatnonzero(first)
    length = np.diff(np.append(start, data.size))
    within = start - np.repeat(np.cumsum(stored) - stored, stored)[start]
    zeros = (n - stored).astype(np.float64)
    negative = np.bincount(gene, weights=data < 0, minlength=width)
    # Zeros stand between the negative and the positive values.
    rank = within + (length + 1) / 2 + np.where(data[start] > 0, zeros[gene[start]], 0.0)
    every = np.repeat(rank, length)
    sums = np.asarray(
        np.bincount(gene * k + group, weights=every, minlength=width * k), dtype=np.float64
    ).reshape(width, k)
    seen = np.bincount(gene * k + group, minlength=width * k).reshape(width, k)
    sums += (sizes - seen) * (negative + (zeros + 1) / 2)[:, None]
    cube = length.astype(np.float64)
    ties = np.bincount(gene[start], weights=cube**3 - cube, minlength=width)
    return sums, ties + zeros**3 - zeros


def group_means(
    matrix: sp.csr_matrix, codes: NDArray[np.intp], k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and unbiased variance of every gene in every group, (k, n_genes) each.

    The variance of groups of one spot is NaN.
    """
    member = one_hot(codes, k)
    sizes = np.asarray(member.sum(axis=0)).ravel()[:, None]
    values = sp.csr_matrix(matrix, dtype=np.float64)
    total = _dense(member.T @ values)
    square = _dense(member.T @ values.multiply(values))
    mean = total / np.maximum(sizes, 1)
    left = np.maximum(square - sizes * mean**2, 0.0)
    variance = np.divide(left, sizes - 1, out=np.full_like(left, np.nan), where=sizes > 1)
    return mean, variance


def group_shares(matrix: sp.csr_matrix, codes: NDArray[np.intp], k: int) -> NDArray[np.float64]:
    """(k, n_genes) share of the group's spots in which the gene is above 0."""
    member = one_hot(codes, k)
    seen = sp.csr_matrix(matrix, copy=True)
    seen.data = (seen.data > 0).astype(np.float64)
    sizes = np.asarray(member.sum(axis=0)).ravel()[:, None]
    return np.asarray(_dense(member.T @ seen) / np.maximum(sizes, 1))


def _dense(small: sp.spmatrix) -> NDArray[np.float64]:
    """Groups x genes in double precision; `densify` would round the sums to float32."""
    rows = small.tocoo()
    out = np.zeros(rows.shape)
    np.add.at(out, (rows.row, rows.col), rows.data)
    return out
