"""Modules of genes over the section: their scores, what is in them, and their gene sets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import false_discovery_control
from sklearn.utils.sparsefuncs import mean_variance_axis

from ..core.errors import DataError, ParameterError
from ..core.memory import densify
from ..core.progress import Progress, Steps
from ..core.section import Section
from ..features.graph import morans_i
from .enrichment import over_representation
from .gene_relations import unit_vectors
from .inputs import expression_of
from .signatures import MIN_GENES, gene_places

__all__ = ["module_enrichment_steps", "module_scores_steps", "module_table"]

_ENTRIES = 4_000_000
"""Values of the scores that are made at once."""


def module_scores_steps(
    section: Section,
    genes_by_module: Mapping[str, Sequence[str]],
    *,
    weights: Mapping[str, Sequence[float]] | None = None,
) -> Steps[NDArray[np.float32]]:
    """Score of every module in every spot: the mean z-score of its genes.

    ``(1 / sum w_g) sum_g w_g (x_ig - mean_g) / sd_g`` over log-normalised counts. Genes that are
    constant or missing in the section are left out. Centring is implicit: counts stay sparse.

    Parameters
    ----------
    section
        With raw counts.
    genes_by_module
        Module -> its genes, matched as written and then without regard to case.
    weights
        Module -> a weight, not negative, for each of its genes in order, such as the probability
        of the module; None weighs all alike.

    Returns
    -------
    numpy.ndarray
        (n_spots, n_modules) float32, columns in the order of the modules.

    Raises
    ------
    ParameterError
        If there is no module, or weights do not fit.
    DataError
        If no gene of a module can be used in this section.
    """
    if not genes_by_module:
        raise ParameterError("no module was given", "give at least one")
    yield Progress(0, section.n_spots, "scoring modules")
    values = expression_of(section)
    mean, variance = mean_variance_axis(values.astype(np.float64), axis=0)
    sd = np.sqrt(np.where(variance > 1e-12, variance, np.inf))
    table = _weights(section, genes_by_module, weights, sd)
    offset = table.T @ mean
    out = np.empty((values.shape[0], table.shape[1]), dtype=np.float32)
    rows = max(1, _ENTRIES // table.shape[1])
    for start in range(0, len(out), rows):
        block = densify(values[start : start + rows] @ table, what="scores of the modules")
        out[start : start + rows] = block - offset
        yield Progress(min(start + rows, len(out)), len(out), "scoring modules")
    return out


def _weights(
    section: Section,
    modules: Mapping[str, Sequence[str]],
    weights: Mapping[str, Sequence[float]] | None,
    sd: NDArray[np.float64],
) -> sp.csc_matrix:
    """(n_genes, n_modules) weight over standard deviation, columns of weights sum to 1."""
    places = gene_places(
        section.adata.var_names, sorted({g for members in modules.values() for g in members})
    )
    row, column, data = [], [], []
    for k, (name, members) in enumerate(modules.items()):
        given = np.ones(len(members))
        if weights is not None:
            given = np.asarray(weights.get(name, ()), dtype=np.float64)
        if given.shape != (len(members),) or not (given >= 0).all() or np.isinf(given).any():
            raise ParameterError(
                f"module '{name}' has {len(members)} genes and {given.size} weights",
                "give one weight for each gene, none of them negative",
            )
        # A gene that two symbols stand for counts once.
        found = {places[g]: w for g, w in zip(members, given, strict=True) if g in places}
        place = np.array([p for p, w in found.items() if w and np.isfinite(sd[p])], dtype=np.intp)
        if not place.size:
            raise DataError(
                f"{section.where} has no usable gene of module '{name}' ({len(members)} genes)",
                "leave the module out or give a section with its genes",
            )
        share = np.array([found[p] for p in place])
        row.append(place)
        column.append(np.full(place.size, k))
        data.append(share / share.sum() / sd[place])
    shape = (sd.size, len(modules))
    where = (np.concatenate(row), np.concatenate(column))
    return sp.csc_matrix((np.concatenate(data), where), shape=shape)


def module_table(
    vectors: NDArray[np.floating[Any]],
    genes: Sequence[str],
    codes: NDArray[np.integer[Any]],
    scores: NDArray[np.floating[Any]],
    graph: sp.csr_matrix,
    *,
    probability: NDArray[np.floating[Any]] | None = None,
    n_top: int = 10,
) -> pd.DataFrame:
    """Size, leading genes and spatial coherence of every module.

    Parameters
    ----------
    vectors
        (n_genes, width) vectors of the genes.
    genes
        (n_genes,) names.
    codes
        (n_genes,) module of each gene, 0 .. n_modules - 1; -1 for none.
    scores
        (n_spots, n_modules) of `module_scores_steps`.
    graph
        (n_spots, n_spots) spatial links.
    probability
        (n_genes,) of the gene's module; None takes 1 for all.
    n_top
        Leading genes: those with the highest probability times Pearson correlation of the vector
        with the module's mean vector.

    Returns
    -------
    pandas.DataFrame
        One row a module: ``module``, ``genes`` (how many), ``top_genes``, ``morans_i`` of the
        score.

    Raises
    ------
    ParameterError
        If shapes or codes do not fit, or ``n_top`` is below 1.
    """
    codes = np.asarray(codes)
    n_modules = scores.shape[1]
    weight = np.ones(len(codes)) if probability is None else np.asarray(probability)
    if not len(vectors) == len(genes) == codes.size == weight.size:
        raise ParameterError(
            f"{len(vectors)} vectors, {len(genes)} names, {codes.size} modules and {weight.size} "
            "probabilities were given",
            "give one of each for each gene",
        )
    if codes.size and not (codes.min() >= -1 and codes.max() < n_modules):
        raise ParameterError(
            f"modules are numbered {codes.min()} to {codes.max()} for {n_modules} scores",
            "number them from 0, with -1 for genes without one",
        )
    if graph.shape != (len(scores), len(scores)):
        raise ParameterError(
            f"the graph has shape {graph.shape} for {len(scores)} spots", "give links of all spots"
        )
    if n_top < 1:
        raise ParameterError(f"n_top is {n_top}", "use at least 1")
    rows = []
    for k in range(n_modules):
        inside = np.flatnonzero(codes == k)
        near = np.zeros(0)
        if inside.size:
            centre = unit_vectors(np.asarray(vectors)[inside].mean(axis=0, keepdims=True))[0]
            near = weight[inside] * (unit_vectors(vectors[inside]) @ centre)
        top = inside[np.argsort(-near, kind="stable")[:n_top]]
        rows.append((k, inside.size, ", ".join(str(genes[g]) for g in top)))
    table = pd.DataFrame(rows, columns=["module", "genes", "top_genes"])
    table["morans_i"] = morans_i(graph, np.asarray(scores))
    return table


def module_enrichment_steps(
    genes_by_module: Mapping[str, Collection[str]],
    sets: Mapping[str, Collection[str]],
    background: Sequence[str],
    *,
    min_size: int = MIN_GENES,
) -> Steps[pd.DataFrame]:
    """Gene sets that are enriched in each module; one event for each module.

    Parameters
    ----------
    genes_by_module
        Module -> its genes, of the background as it writes them.
    sets
        Name -> symbols, for example of `signatures.read_gene_sets`.
    background
        All genes that were sorted into modules.
    min_size
        Genes of the background that a set must have.

    Returns
    -------
    pandas.DataFrame
        ``module`` and the columns of `enrichment.over_representation`, the smallest ``p`` first;
        ``q`` is Benjamini & Hochberg over all modules and sets. ``attrs["left_out"]`` is how many
        sets had too few genes.

    Raises
    ------
    ParameterError
        If there is no module, a module has no gene or one that is not of the background.
    DataError
        If no set has enough genes of the background.
    """
    if not genes_by_module:
        raise ParameterError("no module was given", "give at least one")
    parts = []
    for done, (name, members) in enumerate(genes_by_module.items()):
        yield Progress(done, len(genes_by_module), "testing gene sets")
        part = over_representation(members, sets, background, min_size=min_size)
        part.insert(0, "module", name)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table["q"] = false_discovery_control(table["p"].to_numpy())
    table = table.sort_values("p", kind="stable", ignore_index=True)
    table.attrs["left_out"] = parts[0].attrs["left_out"]
    return table
