"""Relations between genes that differ between two samples.

Vectors of two networks, or of two samples, have different axes and cannot be compared; how alike
two genes are can. What two samples of the same tissue differ by anyway is learnt from the pairs
themselves, most of which are taken to be unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from ..core.errors import DataError, ParameterError
from ..core.progress import Progress, Steps
from .gene_relations import check_names, unit_vectors

__all__ = ["MIN_COMMON", "Rewiring", "compare_relations_steps"]

MIN_COMMON = 20
"""Genes that both samples must have: 190 pairs, from which the null law is learnt."""
_LARGEST = 0.999
"""Similarities beyond are taken for this one; their Fisher z has no bound."""
_LEVELS, _LEVEL_WIDTH = 160, 0.05
_CHANGES, _CHANGE_WIDTH = 3200, 0.005
"""Bins of the mean Fisher z of a pair and of its change, both around 0."""
_TELLING = 20
"""Pairs of one level from which its scale is taken."""
_REACH = 0.4
"""Standard deviation of the mean over levels, in Fisher's z."""
_ENTRIES = 2_000_000
"""Pairs that are looked at at once."""
_FREEDOM = np.r_[np.geomspace(2.05, 200, 200), 1e6]
_MIDDLE, _OUTER = 0.5, 0.8
"""Shares of the pairs whose changes decide scale and tail; the rest may be real changes."""
Exact = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Rewiring:
    """How the relations of genes changed.

    Attributes
    ----------
    pairs
        The changed pairs, the surest first: ``gene_a``, ``gene_b``, ``before``, ``after`` (the
        similarities), ``difference`` (of their Fisher z), ``p``, ``q`` (Benjamini & Hochberg
        over all pairs).
    n_changed
        Changed pairs in all; ``pairs`` may hold fewer.
    n_pairs
        Pairs that were compared.
    genes
        One row a common gene, the most rewired first: ``gene``, ``rewiring`` (mean over its
        pairs of the change of Fisher z beyond the usual one, without sign), ``changed`` (pairs
        of it), ``rank``.
    freedom
        Degrees of freedom of the null law; small where some pairs vary far more than others.
    """

    pairs: pd.DataFrame
    n_changed: int
    n_pairs: int
    genes: pd.DataFrame
    freedom: float


@dataclass(frozen=True, eq=False)
class _Law:
    """Null law of the change in every bin: what is usual, p and q."""

    usual: Exact
    p: Exact
    q: Exact
    freedom: float


def compare_relations_steps(
    vectors_a: NDArray[np.floating[Any]],
    genes_a: Sequence[str],
    vectors_b: NDArray[np.floating[Any]],
    genes_b: Sequence[str],
    *,
    q: float = 0.05,
    max_pairs: int = 10_000,
) -> Steps[Rewiring]:
    """Find pairs of the common genes that are more or less alike in the second sample.

    The change of a pair is the difference of its Fisher-transformed similarities. Its textbook
    variance ``2 / (width - 3)`` is that of independent dimensions, which a network's are not.
    The null law is taken from the pairs that are similarly alike on average (Efron, JASA 99, 96,
    2004): their median change is the usual one, the middle half of the changes gives the scale,
    and the middle four fifths the degrees of freedom of a Student law, since genes differ in how
    well they are measured. So most pairs must be unchanged; the more changed, and the more
    unequally genes are measured, the fewer pairs are found. ``rewiring`` has no such limit.
    Genes that one sample hardly shows have to be left out before: their images are all alike.

    Parameters
    ----------
    vectors_a, vectors_b
        (n_genes, width) vectors of the genes before and after; widths may differ.
    genes_a, genes_b
        Their names. Genes are matched by name, as written; the order does not matter.
    q
        False discovery rate below which a pair counts as changed.
    max_pairs
        Rows of the table of pairs.

    Raises
    ------
    ParameterError
        If shapes differ, ``q`` is no share, ``max_pairs`` is below 1 or a name occurs twice.
    DataError
        If fewer than 20 genes are common, or a value is not finite.
    """
    if not 0 < q <= 1 or max_pairs < 1:
        raise ParameterError(
            f"q is {q} and max_pairs {max_pairs}", "use q up to 1 and max_pairs of at least 1"
        )
    before, after, names = _common(vectors_a, genes_a, vectors_b, genes_b)
    n = len(names)
    counted = np.zeros(_LEVELS * _CHANGES, dtype=np.int64)
    for row, _, change, level in _pairs(before, after):
        counted += np.bincount(_bin(level, change), minlength=counted.size)
        yield Progress(int(row[-1]), n, "comparing relations")
    law = _null_law(counted.reshape(_LEVELS, _CHANGES))
    table = np.empty((0, 3))
    sums, changed = np.zeros(n), np.zeros(n, dtype=np.intp)
    for row, column, change, level in _pairs(before, after):
        place = _bin(level, change)
        beyond = np.abs(change - law.usual[place // _CHANGES])
        hit = np.flatnonzero(law.q[place] < q)
        for end in (row, column):
            sums += np.bincount(end, weights=beyond, minlength=n)
            changed += np.bincount(end[hit], minlength=n)
        table = np.vstack([table, np.column_stack([row[hit], column[hit], place[hit]])])
        if len(table) > 4 * max_pairs:
            table = _surest(table, law, max_pairs)
        yield Progress(int(row[-1]), n, "listing changed relations")
    found = _surest(table, law, max_pairs).astype(np.intp)
    return Rewiring(
        _pair_table(found, names, before, after, law), int(changed.sum() // 2), n * (n - 1) // 2,
        _gene_table(names, sums / (n - 1), changed), law.freedom,
    )  # fmt: skip


def _common(
    vectors_a: NDArray[Any], genes_a: Sequence[str], vectors_b: NDArray[Any], genes_b: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32], pd.Index]:
    """Unit vectors of the genes that both have, in the order of the first, and their names."""
    first, second = check_names(vectors_a, genes_a), check_names(vectors_b, genes_b)
    for names in (first, second):
        if not names.is_unique:
            raise ParameterError(
                f"gene '{names[names.duplicated()][0]}' is there twice", "give each gene once"
            )
    common = first[first.isin(second)]
    if len(common) < MIN_COMMON:
        raise DataError(
            f"the samples have {len(common)} genes in common",
            f"compare samples with at least {MIN_COMMON} common genes",
        )
    a = unit_vectors(np.asarray(vectors_a)[first.get_indexer(common)])
    b = unit_vectors(np.asarray(vectors_b)[second.get_indexer(common)])
    return a, b, common


def _pairs(
    before: NDArray[np.float32], after: NDArray[np.float32]
) -> Iterator[tuple[Codes, Codes, NDArray[np.float32], NDArray[np.float32]]]:
    """Blocks of pairs: row, column, change and mean of Fisher's z."""
    n = len(before)
    start = 0
    while start < n - 1:
        stop = min(start + max(1, _ENTRIES // (n - start)), n - 1)
        z = [
            np.arctanh(np.clip(unit[start:stop] @ unit[start:].T, -_LARGEST, _LARGEST))
            for unit in (before, after)
        ]
        row, column = np.nonzero(np.arange(n - start) > np.arange(stop - start)[:, None])
        one, other = (values[row, column] for values in z)
        yield row + start, column + start, other - one, (one + other) / 2
        start = stop


def _bin(level: NDArray[np.float32], change: NDArray[np.float32]) -> Codes:
    """Number of the bin of each pair; bins of the change are centred, one of them on 0."""
    i = np.clip(np.floor(level / _LEVEL_WIDTH) + _LEVELS // 2, 0, _LEVELS - 1)
    j = np.clip(np.rint(change / _CHANGE_WIDTH) + _CHANGES // 2, 0, _CHANGES - 1)
    return np.asarray(i * _CHANGES + j, dtype=np.intp)


def _null_law(counted: NDArray[np.int64]) -> _Law:
    """What the pairs of similar level say about an unchanged pair."""
    offsets = np.arange(_CHANGES, dtype=np.float64)
    centre: Exact = (offsets - _CHANGES // 2) * _CHANGE_WIDTH
    pairs = counted.sum(axis=1)
    telling = np.flatnonzero(pairs >= min(_TELLING, pairs.max()))
    weight = pairs[telling].astype(np.float64)
    usual = np.array([_quantiles(counted[i], centre, (0.5,))[0] for i in telling])
    spread = np.empty((telling.size, 2))
    for place, i in enumerate(telling):
        apart = np.rint(np.abs(centre - usual[place]) / _CHANGE_WIDTH).astype(np.intp)
        folded = np.bincount(apart, weights=counted[i])
        size = offsets[: folded.size] * _CHANGE_WIDTH
        # Changes within a bin cannot be told apart.
        spread[place] = np.maximum(_quantiles(folded, size, (_MIDDLE, _OUTER)), _CHANGE_WIDTH)
    ratio = float(np.average(spread[:, 1] / spread[:, 0], weights=weight))
    wide = student.ppf((1 + _OUTER) / 2, _FREEDOM) / student.ppf((1 + _MIDDLE) / 2, _FREEDOM)
    freedom = float(np.exp(np.interp(-ratio, -wide, np.log(_FREEDOM))))
    smooth = _smoother(telling, weight)
    typical = smooth @ usual
    unit = np.exp(smooth @ np.log(spread[:, 0])) / student.ppf((1 + _MIDDLE) / 2, freedom)
    p = 2 * student.sf(np.abs(centre - typical[:, None]) / unit[:, None], freedom)
    return _Law(typical, p.ravel(), _adjusted(p.ravel(), counted.ravel()), freedom)


def _smoother(telling: Codes, weight: Exact) -> Exact:
    """(n_levels, n_telling) weights of the levels that tell something in the mean of each level.

    Levels count by their pairs: those between two crowded ones hold few but the changed pairs,
    which were alike in one sample only, and must not be measured by themselves.
    """
    gap = (np.arange(_LEVELS)[:, None] - telling) * _LEVEL_WIDTH / _REACH
    log_weight = np.log(weight) - gap**2 / 2
    out = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return np.asarray(out / out.sum(axis=1, keepdims=True))


def _quantiles(counts: NDArray[Any], centre: Exact, shares: Sequence[float]) -> Exact:
    """Quantiles of values that fall ``counts`` times into the bins around ``centre``."""
    edges = np.append(centre, centre[-1] + _CHANGE_WIDTH) - _CHANGE_WIDTH / 2
    below = np.append(0.0, np.cumsum(counts))
    return np.asarray(np.interp(np.asarray(shares) * below[-1], below, edges), dtype=np.float64)


def _adjusted(p: Exact, counts: NDArray[np.int64]) -> Exact:
    """Benjamini & Hochberg for p-values that occur ``counts`` times."""
    order = np.argsort(p, kind="stable")
    rank = np.cumsum(counts[order])
    rate = np.minimum(p[order] * counts.sum() / np.maximum(rank, 1), 1.0)
    out = np.empty_like(p)
    out[order] = np.minimum.accumulate(rate[::-1])[::-1]
    return out


def _surest(table: Exact, law: _Law, n: int) -> Exact:
    """The ``n`` rows of (row, column, bin) with the smallest p-values."""
    order = np.argsort(law.p[table[:, 2].astype(np.intp)], kind="stable")
    return np.asarray(table[order[:n]])


def _pair_table(
    found: Codes, names: pd.Index, before: NDArray[Any], after: NDArray[Any], law: _Law
) -> pd.DataFrame:
    a, b, place = found.T
    alike = [np.clip(np.einsum("ij,ij->i", u[a], u[b]), -1, 1) for u in (before, after)]
    fisher = [np.arctanh(np.clip(s, -_LARGEST, _LARGEST)) for s in alike]
    return pd.DataFrame(
        {"gene_a": names[a], "gene_b": names[b], "before": alike[0], "after": alike[1],
         "difference": fisher[1] - fisher[0], "p": law.p[place], "q": law.q[place]}
    )  # fmt: skip


def _gene_table(names: pd.Index, rewiring: Exact, changed: Codes) -> pd.DataFrame:
    table = pd.DataFrame({"gene": names, "rewiring": rewiring, "changed": changed})
    table = table.sort_values("rewiring", ascending=False, kind="stable", ignore_index=True)
    table["rank"] = np.arange(1, len(table) + 1)
    return table
