"""How well genes were predicted from an image, and how well they could have been."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import rankdata

from ..core.errors import DataError, ParameterError
from ..core.memory import densify
from ..core.progress import Progress, Steps, drain
from ..features.expression import log_normalise
from .correlation import pearson_columns, varying_columns
from .denoising import thin_counts

__all__ = [
    "SplitHalf",
    "gene_scores",
    "split_half_ceiling",
    "split_half_steps",
    "summary",
]

_BLOCK = 2_000_000
"""Entries of a block of genes that are worked on at a time."""
_FEWEST = 3
"""Spots below which every correlation is 1 or -1."""


@dataclass(frozen=True, eq=False)
class SplitHalf:
    """How far a measurement agrees with itself, gene by gene.

    Attributes
    ----------
    split_half
        (n_genes,) float64 mean Pearson correlation of two halves of the molecules.
    ceiling
        (n_genes,) float64 in [0, 1]: the correlation that a prediction of the true values could
        reach with the whole measurement.

    Both are NaN for genes that are constant in the measurement.
    """

    split_half: NDArray[np.float64]
    ceiling: NDArray[np.float64]


def gene_scores(
    predicted: NDArray[np.floating[Any]],
    measured: NDArray[np.floating[Any]],
    *,
    genes: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Score every predicted gene over the spots of a section.

    Parameters
    ----------
    predicted, measured
        (n_spots, n_genes) in the same units. The correlations are blind to the scale and the
        offset of a gene, the errors are not.
    genes
        (n_genes,) names for the index; None numbers the genes.

    Returns
    -------
    pandas.DataFrame
        One row a gene, float64: ``pcc`` (Pearson), ``spearman`` (Pearson of average ranks),
        ``rmse`` and ``mae`` in the units given. The correlations are NaN where the measurement is
        constant, and 0 where only the prediction is.

    Raises
    ------
    ParameterError
        If shapes differ or the names are not as many as the genes.
    DataError
        If a value is not finite or there are fewer than three spots.
    """
    _check_pair(predicted, measured, genes)
    n, width = measured.shape
    out = np.empty((width, 4))
    for block in _blocks(n, width):
        a, b = (np.asarray(x[:, block], dtype=np.float64) for x in (predicted, measured))
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise DataError(
                "predicted or measured genes hold values that are not finite",
                "score spots that have both",
            )
        out[block, 0] = pearson_columns(a, b)
        # The ranks of rounding errors vary, their values do not.
        ranked = pearson_columns(rankdata(a, axis=0), rankdata(b, axis=0))
        ranked[~varying_columns(a)] = 0.0
        ranked[~varying_columns(b)] = np.nan
        out[block, 1] = ranked
        error = a - b
        out[block, 2] = np.sqrt((error**2).mean(axis=0))
        out[block, 3] = np.abs(error).mean(axis=0)
    index = pd.RangeIndex(width) if genes is None else pd.Index(list(genes))
    return pd.DataFrame(out, index=index, columns=["pcc", "spearman", "rmse", "mae"])


def summary(scores: pd.DataFrame) -> dict[str, float]:
    """One number for each score of `gene_scores`.

    Parameters
    ----------
    scores
        The table.

    Returns
    -------
    dict
        ``pcc_mean``, ``pcc_median`` and ``spearman_mean`` over the genes that vary in the
        measurement; ``rmse``, the root of the mean squared error over all spots and genes, and
        ``mae``, over all genes; ``genes`` that vary, and ``genes_constant`` that do not.

    Raises
    ------
    DataError
        If no gene varies.
    """
    found = scores[scores["pcc"].notna()]
    if found.empty:
        raise DataError(
            "no gene varies in the measurement", "score a section in which the genes are seen"
        )
    return {
        "pcc_mean": float(found["pcc"].mean()),
        "pcc_median": float(found["pcc"].median()),
        "spearman_mean": float(found["spearman"].mean()),
        "rmse": float(np.sqrt((scores["rmse"] ** 2).mean())),
        "mae": float(scores["mae"].mean()),
        "genes": float(len(found)),
        "genes_constant": float(len(scores) - len(found)),
    }


def split_half_ceiling(
    counts: sp.csr_matrix,
    totals: NDArray[Any],
    *,
    kind: Literal["normalised", "counts"] = "normalised",
    seed: int = 0,
    repeats: int = 3,
) -> SplitHalf:
    """How high the correlation of a prediction with a noisy measurement can be.

    The molecules of every spot are dealt to two halves at random (see `denoising.thin_counts`),
    each half is brought to log units, and the halves are correlated gene by gene: ``r``. By the
    formula of Spearman and Brown (1910) the whole measurement has the reliability
    ``R = 2 r / (1 + r)``, the share of its variance that is no counting noise. A prediction that
    is the true value correlates with a measurement of reliability ``R`` by ``sqrt(R)``: the
    ceiling, 0 where ``r`` is not positive.

    It is assumed that the halves are independent given the truth, as those of Poisson counts are,
    and that they measure the same as the whole with twice its noise variance. The logarithm bends
    this: where a gene has less than about one molecule a spot, a half is less linear than the
    whole. What is shared by the halves counts as truth, also what no image can tell, such as
    permeabilisation; in units of counts sequencing depth is most of it.

    Parameters
    ----------
    counts
        (n_spots, n_genes) CSR raw counts of the genes that were predicted.
    totals
        (n_spots,) molecules of each spot over all genes of the section.
    kind
        Units: ``"normalised"`` is ``log(1 + 10,000 c / total)``, where the molecules of the
        other genes are dealt too, so that each half has its own total; ``"counts"`` is
        ``log(1 + c)``.
    seed
        Of the dealing.
    repeats
        Dealings whose correlations are averaged.

    Raises
    ------
    ParameterError
        If the kind is unknown, ``repeats`` is below 1 or ``totals`` do not fit.
    DataError
        If values are no counts, or there are fewer than three spots.
    """
    return drain(split_half_steps(counts, totals, kind=kind, seed=seed, repeats=repeats))


def split_half_steps(
    counts: sp.csr_matrix,
    totals: NDArray[Any],
    *,
    kind: Literal["normalised", "counts"] = "normalised",
    seed: int = 0,
    repeats: int = 3,
) -> Steps[SplitHalf]:
    """`split_half_ceiling` as a stream: one event for each dealing and block of genes."""
    if kind not in ("normalised", "counts"):
        raise ParameterError(f"there is no kind '{kind}'", "use normalised or counts")
    if repeats < 1:
        raise ParameterError(f"repeats is {repeats}", "use at least 1")
    rest = _rest(counts, totals)
    rng = np.random.default_rng(seed)
    n, width = counts.shape
    found = np.zeros(width)
    for done in range(repeats):
        halves = _halves(counts, rest, kind, rng)
        for block in _blocks(n, width):
            a, b = (densify(half[:, block], what="half of the molecules") for half in halves)
            # A single molecule leaves one half empty; which one is chance.
            found[block] += np.nan_to_num(pearson_columns(a, b)) / repeats
            yield Progress(done, repeats, "splitting molecules")
    whole = sp.csc_matrix(_units(counts, np.asarray(totals), kind))
    for block in _blocks(n, width):
        varies = varying_columns(densify(whole[:, block], what="measured genes"))
        found[block] = np.where(varies, found[block], np.nan)
    positive = np.maximum(found, 0.0)
    return SplitHalf(found, np.sqrt(2 * positive / (1 + positive)))


def _rest(counts: sp.csr_matrix, totals: NDArray[Any]) -> NDArray[np.int64]:
    """Molecules of the genes that are not in the panel, (n_spots,)."""
    if counts.shape[0] < _FEWEST:
        raise DataError(f"{counts.shape[0]} spots cannot be correlated", "give more spots")
    own = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    totals = np.asarray(totals, dtype=np.float64)
    if totals.shape != own.shape or not (totals >= own).all():
        raise ParameterError(
            "the totals are no molecules over all genes of each spot",
            "give one number for each spot, not below the sum of its counts",
        )
    return np.asarray(np.rint(totals - own), dtype=np.int64)


def _halves(
    counts: sp.csr_matrix, rest: NDArray[np.int64], kind: str, rng: np.random.Generator
) -> list[sp.csc_matrix]:
    parts = thin_counts(counts, 0.5, rng)
    others = rng.binomial(rest, 0.5)
    return [
        sp.csc_matrix(_units(part, np.asarray(part.sum(axis=1)).ravel() + other, kind))
        for part, other in zip(parts, (others, rest - others), strict=True)
    ]


def _units(counts: sp.csr_matrix, totals: NDArray[Any], kind: str) -> sp.csr_matrix:
    if kind == "normalised":
        return log_normalise(counts, totals)
    return sp.csr_matrix(counts, dtype=np.float32).log1p()


def _blocks(n: int, width: int) -> Iterator[slice]:
    """Columns of about `_BLOCK` entries."""
    step = max(1, _BLOCK // max(n, 1))
    return (slice(left, min(left + step, width)) for left in range(0, width, step))


def _check_pair(
    predicted: NDArray[Any], measured: NDArray[Any], genes: Sequence[str] | None
) -> None:
    if predicted.shape != measured.shape or measured.ndim != 2:
        raise ParameterError(
            f"the prediction has shape {predicted.shape}, the measurement {measured.shape}",
            "give the same spots and genes",
        )
    if genes is not None and len(genes) != measured.shape[1]:
        raise ParameterError(
            f"{len(genes)} names were given for {measured.shape[1]} genes",
            "give one name for each gene",
        )
    if len(measured) < _FEWEST:
        raise DataError(f"{len(measured)} spots cannot be correlated", "give more spots")
