"""Numbers of genes that the dock shows: measured, predicted, detected; no Qt, for workers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...analysis.region_transfer import predicted_values
from ...core.section import Section
from ...features.gene_scale import log_expression
from .gene_maps import GeneMaps
from .known import Known

__all__ = ["detected", "gene_maps", "gene_table", "measured_values"]

_SHOWN = ("pcc", "spearman", "rmse", "ceiling", "expected_pcc", "expected_error")


def gene_table(known: Known) -> pd.DataFrame:
    """One row a gene, the best first: by correlation where measured, else by the expected one.

    Columns gene, ``pcc``, ``spearman``, ``rmse``, ``ceiling``, ``expected_pcc``,
    ``expected_error`` and ``detected``; NaN where unknown.
    """
    var = known.section.adata.var
    table = pd.DataFrame({"gene": known.genes.astype(str)})
    for name in _SHOWN:
        table[name] = var[name].to_numpy(dtype=float) if name in var else np.nan
    table["detected"] = detected(known)
    order = "pcc" if known.measured else "expected_pcc"
    return table.sort_values(order, ascending=False, kind="stable", ignore_index=True)


def detected(known: Known) -> NDArray[np.float64]:
    """(n_genes,) share of the target's spots that show each gene; NaN where it is not measured."""
    target = known.prediction.target
    place = target.adata.var_names.get_indexer(known.genes)
    out = np.full(len(place), np.nan)
    if known.measured and (place >= 0).any():
        counts = target.counts()[:, place[place >= 0]]
        out[place >= 0] = counts.getnnz(axis=0) / target.n_spots
    return out


def gene_maps(known: Known, gene: str) -> GeneMaps:
    """One gene of the prediction beside its measurement."""
    adata = known.section.adata
    column = adata.var_names.get_loc(gene)
    spread = adata.layers["spread"][:, column] if "spread" in adata.layers else None
    pcc = float(adata.var["pcc"].iloc[column]) if known.measured else float("nan")
    values = predicted_values(known.section)[:, column]
    target = known.prediction.target
    here = known.measured and gene in target.adata.var_names
    measured = measured_values(known, target, gene) if here else None
    return GeneMaps(gene, values, None if spread is None else np.asarray(spread), measured, pcc)


def measured_values(known: Known, section: Section, gene: str) -> NDArray[np.float32]:
    """(n_spots,) measured logarithms of a gene, in the units of the prediction.

    Raises
    ------
    DataError
        If the section lacks the gene or holds no counts.
    """
    kind: Any = known.params.get("expression", "normalised")
    return np.asarray(log_expression(section, [gene], kind)[:, 0])
