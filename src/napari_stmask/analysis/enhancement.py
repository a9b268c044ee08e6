"""Enhanced genes beside the counts that they were made from: values, and contrast of domains.

The contrast of a gene is the area under the ROC curve: the probability that a spot inside a
domain shows more of it than one outside, ties counted half (Mann & Whitney, 1947). It knows only
the order of the spots, so that counts and enhanced values of any unit can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from ..core.memory import densify
from ..core.progress import Progress, Steps, drain
from ..core.section import Section
from ..features.expression import log_normalise
from .inputs import Groups, groups_of
from .ranksum import RankSums, rank_sum_steps

__all__ = [
    "contrast",
    "contrast_steps",
    "contrasts",
    "enhanced_genes",
    "enhanced_layer",
    "gene_values",
]

_BLOCK = 20_000_000
"""Spots times genes that are ranked at a time."""


def enhanced_layer(section: Section, key: str) -> str:
    """Name of the layer with the enhanced genes of the result ``key``.

    Raises
    ------
    ParameterError
        If the result has none.
    """
    name = f"{key}_denoised"
    if name not in section.adata.layers:
        raise ParameterError(
            f"the result '{key}' has no enhanced genes (layers has no '{name}')",
            "run the method again with 'denoise'",
        )
    return name


def enhanced_genes(section: Section, key: str) -> NDArray[np.bool_]:
    """(n_genes,) True for genes that have enhanced values.

    Raises
    ------
    ParameterError
        If the result has none.
    """
    name = enhanced_layer(section, key)
    if name in section.adata.var:
        return np.asarray(section.adata.var[name], dtype=bool)
    layer = section.adata.layers[name]
    return np.asarray(abs(layer).sum(axis=0) > 0).ravel()


def gene_values(section: Section, gene: str, layer: str | None = None) -> NDArray[np.float32]:
    """(n_spots,) log-normalised counts of one gene, or its column of ``layer`` as it is.

    Raises
    ------
    ParameterError
        If there is no such gene or layer.
    """
    names = section.adata.var_names
    if gene not in names:
        raise ParameterError(f"{section.where} has no gene '{gene}'", "choose another gene")
    place = [int(names.get_loc(gene))]
    if layer is None:
        counts = section.counts()
        column = log_normalise(counts[:, place], np.asarray(counts.sum(axis=1)).ravel())
    elif layer in section.adata.layers:
        column = section.adata.layers[layer][:, place]
    else:
        raise ParameterError(f"{section.where} has no layer '{layer}'", "name one that it has")
    return np.asarray(densify(column, what="one gene"), dtype=np.float32).ravel()


def contrast(matrix: Any, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n_genes,) float64 area under the ROC curve of every gene, 0 to 1.

    Parameters
    ----------
    matrix
        (n_spots, n_genes) sparse or dense, finite; zeros that are not stored are never filled in.
    inside
        (n_spots,) True for the spots that should show more.

    Raises
    ------
    ParameterError
        If all spots are inside, or none.
    """
    inside = np.asarray(inside, dtype=bool)
    if inside.all() or not inside.any():
        raise ParameterError("one side holds no spot", "choose a domain that others surround")
    sums = drain(rank_sum_steps(sp.csc_matrix(matrix), inside.astype(np.intp), 2))
    return _areas(sums)[:, 1]


def _areas(ranks: RankSums) -> NDArray[np.float64]:
    """(n_genes, n_groups) area of each group against all others."""
    own = ranks.sizes.astype(np.float64)
    others = own.sum() - own
    return np.asarray((ranks.sums - own * (own + 1) / 2) / np.maximum(own * others, 1.0))


def contrasts(
    section: Section, domains: pd.Series, *, key: str, genes: Sequence[str] | None = None
) -> pd.DataFrame:
    """Contrast of every domain against all other spots, before and after the enhancement.

    Parameters
    ----------
    section
        With ``layers["<key>_denoised"]``.
    domains
        (n_spots,) labels; spots without one are left out.
    key
        Name of the run that enhanced the genes.
    genes
        Which of them; all enhanced ones by default.

    Returns
    -------
    pandas.DataFrame
        One row for each domain and gene: ``domain``, ``gene``, ``raw`` (area of the
        log-normalised counts), ``enhanced`` (of the layer), ``gain`` (their difference); within a
        domain by ``raw``, largest first, since the enhanced values are no evidence of their own.

    Raises
    ------
    ParameterError
        If the result has no enhanced genes, or not of a gene that is named.
    DataError
        If fewer than two domains occur.
    """
    return drain(contrast_steps(section, domains, key=key, genes=genes))


def contrast_steps(
    section: Section, domains: pd.Series, *, key: str, genes: Sequence[str] | None = None
) -> Steps[pd.DataFrame]:
    """`contrasts` as a stream of progress."""
    layer = enhanced_layer(section, key)
    places = _chosen(section, key, genes)
    names = section.adata.var_names[places]
    groups = groups_of(domains, section.adata.obs_names, at_least=2)
    k = len(groups.names)
    found = []
    for kind, name in (("raw", None), ("enhanced", layer)):
        found.append(
            (yield from _area_steps(section, name, places, groups, f"ranking {kind} genes"))
        )
    table = pd.DataFrame(
        {
            "domain": np.repeat(groups.names, len(places)),
            "gene": np.tile(names.to_numpy(), k),
            "raw": found[0].T.ravel(),
            "enhanced": found[1].T.ravel(),
        }
    )
    table["gain"] = table["enhanced"] - table["raw"]
    place = np.repeat(np.arange(k), len(places))
    order = np.lexsort((-table["raw"].to_numpy(), place))
    return table.iloc[order].reset_index(drop=True)


def _area_steps(
    section: Section, layer: str | None, places: NDArray[np.intp], groups: Groups, phase: str
) -> Steps[NDArray[np.float64]]:
    """(n_places, n_groups) areas of some genes, a block of genes at a time.

    An enhanced layer has no zeros: as a whole, copied and by columns, it would take gigabytes.
    """
    matrix = section.counts() if layer is None else section.adata.layers[layer]
    totals = np.asarray(matrix.sum(axis=1)).ravel() if layer is None else None
    rows = np.flatnonzero(groups.codes >= 0)
    width = max(_BLOCK // max(section.n_spots, 1), 1)
    found = [np.zeros((0, len(groups.names)))]
    for left in range(0, len(places), width):
        yield Progress(left, len(places), phase)
        block = matrix[:, places[left : left + width]]
        if totals is not None:
            block = log_normalise(block, totals)
        block = sp.csr_matrix(block, dtype=np.float32)
        if not np.isfinite(block.data).all():
            raise DataError(
                f"{section.where}: layer '{layer}' holds values that are not finite",
                "run the method again",
            )
        steps = rank_sum_steps(block[rows], groups.codes[rows], len(groups.names))
        ranks = yield from _within(steps, left, len(places), phase)
        found.append(_areas(ranks))
    return np.concatenate(found)


def _within(steps: Steps[RankSums], before: int, total: int, phase: str) -> Steps[RankSums]:
    """Progress of a block as that of all genes."""
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            return cast("RankSums", stop.value)
        yield Progress(before + event.step, total, phase)


def _chosen(section: Section, key: str, genes: Sequence[str] | None) -> NDArray[np.intp]:
    """Positions of the genes that are compared."""
    has = enhanced_genes(section, key)
    if not has.any():
        raise DataError(f"the layer of '{key}' is empty", "run the method again with 'denoise'")
    if genes is None:
        return np.flatnonzero(has)
    places = section.adata.var_names.get_indexer(pd.Index(genes))
    for gene, place in zip(genes, places, strict=True):
        if place < 0:
            raise ParameterError(f"{section.where} has no gene '{gene}'", "choose another gene")
        if not has[place]:
            raise ParameterError(
                f"gene '{gene}' was not among those that '{key}' enhanced",
                "choose another gene, or run with more variable genes (n_hvg)",
            )
    return np.asarray(places, dtype=np.intp)
