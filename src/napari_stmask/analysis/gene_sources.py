"""What a section can say of one gene: counts, normalised, and every variant that it carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from ..core.memory import densify
from ..core.prediction import prediction_record
from ..core.provenance import read_record, records
from ..core.section import Section
from .coverage import COVERAGE
from .enhancement import gene_values as column_values

__all__ = ["LOG", "GeneSource", "gene_sources", "gene_values", "has_gene"]

LOG = "log1p CP10k"
"""Unit: logarithm of one plus molecules per 10,000 of the spot."""
_DENOISED = "_denoised"
_ENHANCED = {"log1p": LOG, "counts": "expected counts", "row_max": "share of the spot's highest"}


@dataclass(frozen=True)
class GeneSource:
    """One kind of values that a section has of its genes.

    Attributes
    ----------
    name
        For `gene_values`: ``"counts"``, ``"normalised"``, ``"predicted"``, ``"imputed"``,
        ``"values"``, or the name of a layer.
    title
        A few words for a person.
    unit
        What the numbers are; sources of one unit can be compared.
    method
        Of the run that made them; empty for measured ones.
    """

    name: str
    title: str
    unit: str
    method: str = ""


def gene_sources(section: Section) -> list[GeneSource]:
    """Every kind of values that the section has of its genes, measured ones first.

    A section with predicted genes has ``"predicted"`` and the layer ``"spread"``; one with an
    imputed panel ``"imputed"``, whose measured genes are log-normalised counts. Values in ``X``
    that are neither counts nor known to this package are ``"values"``.
    """
    found, skipped = _own(section), {section.counts_layer}
    for name, matrix in section.adata.layers.items():
        if name in skipped or getattr(matrix, "shape", None) != section.adata.shape:
            continue
        found.append(_layer(section, str(name)))
    return found


def _own(section: Section) -> list[GeneSource]:
    """What the matrix itself holds."""
    record = prediction_record(section)
    if record is not None:
        params = record.get("params") or {}
        unit = LOG if params.get("expression", "normalised") == "normalised" else "log1p counts"
        return [GeneSource("predicted", "predicted", unit, str(record.get("method", "spahgc")))]
    if _is_imputed(section):
        return [GeneSource("imputed", "measured or imputed", LOG, "spacex")]
    try:
        section.counts()
    except DataError:
        return [GeneSource("values", "values of X", "as stored")]
    return [
        GeneSource("counts", "raw counts", "molecules"),
        GeneSource("normalised", "normalised", LOG),
    ]


def _is_imputed(section: Section) -> bool:
    return COVERAGE in section.adata.uns and "imputed" in section.adata.var


def _layer(section: Section, name: str) -> GeneSource:
    if name == "spread" and prediction_record(section) is not None:
        return GeneSource(name, "spread of the prediction", "standard deviation", "spahgc")
    key = name.removesuffix(_DENOISED)
    if key == name or key not in records(section.adata):
        return GeneSource(name, f"layer {name}", f"as in layer {name}")
    record = read_record(section.adata, key)
    params, method = record.get("params") or {}, str(record.get("method", key))
    unit = LOG if params.get("log_transform", True) else "molecules per million"
    if "enhanced_as" in params:
        unit = _ENHANCED.get(str(params["enhanced_as"]), str(params["enhanced_as"]))
        return GeneSource(name, "enhanced", unit, method)
    return GeneSource(name, "denoised", unit, method)


def has_gene(section: Section, gene: str, source: str) -> bool:
    """Whether a source knows a gene: runs denoise the genes that they were trained on only."""
    var = section.adata.var
    if gene not in var.index:
        return False
    if source.endswith(_DENOISED) and source in var:
        return bool(var[source].to_numpy(dtype=bool)[var.index.get_loc(gene)])
    return True


def gene_values(section: Section, gene: str, source: str = "normalised") -> NDArray[np.float32]:
    """(n_spots,) float32 values of one gene; only its column is made dense.

    Parameters
    ----------
    section
        Any section, predicted and imputed ones included.
    gene
        A name of ``var``.
    source
        ``name`` of one of `gene_sources`; a layer of that name comes last.

    Raises
    ------
    ParameterError
        If the section has no such gene or source, or the source does not know the gene.
    """
    names = section.adata.var_names
    if gene not in names:
        raise ParameterError(f"{section.where} has no gene '{gene}'", "choose another gene")
    if source == "normalised":
        return column_values(section, gene)
    own: Any = None
    if source == "counts":
        own = section.counts()
    elif source in ("predicted", "imputed", "values") and _holds(section, source):
        own = section.adata.X
    if own is not None:
        column = own[:, [int(names.get_loc(gene))]]
        return np.asarray(densify(column, what="one gene"), dtype=np.float32).ravel()
    if source not in section.adata.layers:
        known = ", ".join(f"'{s.name}'" for s in gene_sources(section))
        raise ParameterError(f"{section.where} has no values '{source}'", f"use one of {known}")
    if not has_gene(section, gene, source):
        raise ParameterError(
            f"gene '{gene}' is not among those of '{source}'",
            "choose another gene, or run with more variable genes (n_hvg)",
        )
    return column_values(section, gene, source)


def _holds(section: Section, source: str) -> bool:
    """Whether ``X`` is what a source of that name says."""
    if source == "predicted":
        return prediction_record(section) is not None
    if source == "imputed":
        return _is_imputed(section)
    return source not in section.adata.layers
