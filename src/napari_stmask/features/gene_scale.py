"""Expression as a network learns it: logarithms on a scale that the reference sections set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from ..core.memory import densify
from ..core.section import Section
from .expression import log_normalise

__all__ = ["GeneScale", "ScaleKind", "ScaleUnit", "log_expression", "to_counts"]

ScaleKind = Literal["normalised", "counts"]
ScaleUnit = Literal["range", "robust", "deviation"]
Float = NDArray[np.float32]

_TARGET = 1e4
_ROBUST = (0.005, 0.995)
_NAMED = 5


@dataclass(frozen=True, eq=False)
class GeneScale:
    """Two values of each gene over the references that become 0 and 1.

    Attributes
    ----------
    kind
        What the logarithms are of, see `log_expression`.
    low, high
        (n_genes,) float32 in log units.
    """

    kind: ScaleKind
    low: Float
    high: Float

    @classmethod
    def fit(
        cls, kind: ScaleKind, values: Sequence[Float], *, unit: ScaleUnit = "range"
    ) -> GeneScale:
        """Ranges over all spots of the references together.

        Parameters
        ----------
        kind
            What the values are.
        values
            Of each reference (n_i, n_genes) in log units.
        unit
            ``"range"``: from the smallest to the largest value, as published. ``"robust"``: the
            0.5 and 99.5 % points of each gene instead. A gene between which nothing lies, as one
            that hardly any spot shows, counts as constant. ``"deviation"``: the mean, and one
            standard deviation above it, so that all genes weigh alike.

        Raises
        ------
        ParameterError
            If there is no such kind.
        DataError
            If there are no spots, or the references have different numbers of genes.
        """
        _check_kind(kind)
        if len({v.shape[1] for v in values}) != 1 or not sum(map(len, values)):
            raise DataError(
                f"The range of genes cannot be taken over tables of {[v.shape for v in values]}",
                "give reference sections with spots and the same genes",
            )
        low: NDArray[Any]
        high: NDArray[Any]
        if unit == "deviation":
            every = np.concatenate(values)
            low, spread = every.mean(axis=0, dtype=np.float64), every.std(axis=0, dtype=np.float64)
            # Rounding of a constant is no variation.
            high = low + np.where(spread > 1e-6 * np.maximum(np.abs(low), 1e-6), spread, 0)
        elif unit == "robust":
            columns = range(values[0].shape[1])
            # Gene by gene: no copy of all sections together.
            ends = [
                np.quantile(np.concatenate([v[:, g] for v in values]), _ROBUST) for g in columns
            ]
            low, high = np.asarray(ends, dtype=np.float32).reshape(-1, 2).T
        else:
            spots = [v for v in values if len(v)]
            low = np.min([v.min(axis=0) for v in spots], axis=0)
            high = np.max([v.max(axis=0) for v in spots], axis=0)
        return cls(kind, low.astype(np.float32), high.astype(np.float32))

    @property
    def span(self) -> Float:
        """(n_genes,) ``high - low``."""
        return np.asarray(self.high - self.low)

    def scaled(self, values: Float) -> Float:
        """(n, n_genes) ``(e - low) / (high - low)``, 0 for a constant gene.

        What lies outside the references' range stays outside of [0, 1].
        """
        out = np.zeros(values.shape, dtype=np.float32)
        np.divide(values - self.low, self.span, out=out, where=self.span > 0)
        return out

    def unscaled(self, values: Float) -> Float:
        """Log units from `scaled` ones; a constant gene comes back as its constant."""
        return np.asarray(values * self.span + self.low, dtype=np.float32)


def log_expression(section: Section, genes: Sequence[str], kind: ScaleKind) -> Float:
    """Logarithms of the expression of some genes, dense.

    Parameters
    ----------
    section
        With raw counts.
    genes
        Names; the columns of the answer, in this order.
    kind
        ``"normalised"``: ``ln(1 + 10^4 c / total)``, the total over all genes of the section.
        ``"counts"``: ``log10(c + 1)`` as the release of SpaHGC takes it, which mixes expression
        with sequencing depth.

    Returns
    -------
    numpy.ndarray
        (n_spots, n_genes) float32 >= 0; a spot without counts is 0.

    Raises
    ------
    ParameterError
        If there is no such kind.
    DataError
        If the section lacks a gene or its counts are unusable.
    ResourceError
        If the table would be too large.
    """
    _check_kind(kind)
    place = section.adata.var_names.get_indexer(list(genes))
    absent = [gene for gene, at in zip(genes, place, strict=True) if at < 0]
    if absent:
        raise DataError(
            f"{section.where} lacks {len(absent)} of {len(genes)} genes: "
            + ", ".join(absent[:_NAMED]),
            "choose genes that every section has",
        )
    counts = section.counts()
    chosen = counts[:, place]
    what = f"the expression of {section.where}"
    if kind == "normalised":
        totals = np.asarray(counts.sum(axis=1)).ravel()
        return densify(log_normalise(chosen, totals, target=_TARGET), what=what)
    dense = densify(chosen, what=what)
    dense += 1
    return np.asarray(np.log10(dense, out=dense))


def to_counts(
    values: Float, kind: ScaleKind, totals: NDArray[Any] | None = None
) -> NDArray[np.float32]:
    """Counts, not rounded, from the logarithms of `log_expression`.

    Parameters
    ----------
    values
        (n, n_genes) in log units.
    kind
        What they are.
    totals
        (n,) molecules of each spot over all genes of the section; for ``"normalised"`` only.

    Returns
    -------
    numpy.ndarray
        (n, n_genes) float32; negative ones are 0.

    Raises
    ------
    ParameterError
        If there is no such kind, or ``totals`` is missing, too many or not wanted.
    """
    _check_kind(kind)
    wide = np.asarray(values, dtype=np.float64)
    if kind == "counts":
        if totals is not None:
            raise ParameterError("totals mean nothing for counts", "leave them out")
        return np.asarray(np.maximum(np.power(10.0, wide) - 1, 0), dtype=np.float32)
    if totals is None or np.shape(totals) != (len(wide),):
        raise ParameterError(
            f"normalised values of {len(wide)} spots need one total for each", "give totals"
        )
    share = np.expm1(wide) / _TARGET
    return np.asarray(np.maximum(share * np.asarray(totals)[:, None], 0), dtype=np.float32)


def _check_kind(kind: str) -> None:
    if kind not in get_args(ScaleKind):
        raise ParameterError(f"the scale of expression is '{kind}'", "use 'normalised' or 'counts'")
