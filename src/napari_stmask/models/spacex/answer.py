"""What a trained SpaCEX says of a section: modules, spatial genes, and features for domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from ...analysis.module_domains import domain_features_steps, select_genes, surrounded
from ...analysis.module_scores import module_scores_steps
from ...analysis.svg_scores import SvgScores
from ...core.progress import Progress, Steps
from ...core.result import Fit
from ...core.section import Section
from ...features.gene_images import ImageMaker
from ...features.graph import knn_graph, morans_i
from ...nn.deep_clustering import deep_clustering_steps
from ...nn.device import choose_device
from .modules import in_order
from .params import SpaCEXParams
from .spatial import spatial_genes_steps
from .state import GeneModel

__all__ = ["answer_steps", "gene_columns", "members"]

UNSURE = 0.5
"""Probability below which a gene is not counted as belonging to its module."""
_STARTS = 10


def answer_steps(
    model: GeneModel,
    section: Section,
    maker: ImageMaker,
    values: sp.csc_matrix,
    vectors: NDArray[np.float32],
    pictures: NDArray[np.float32],
    params: SpaCEXParams,
) -> Steps[Fit]:
    """Modules, their scores, spatial genes and features for domains.

    Parameters
    ----------
    model
        Trained; its genes are the columns of ``values``.
    section
        Counts and positions.
    maker
        Draws pictures of this section's genes.
    values
        (n_spots, n_genes) log-normalised.
    vectors
        (n_genes, width) of the genes.
    pictures
        (n_genes, n_occupied) float32 of the genes.
    params
        Settings of the answer.
    """
    model, codes, probability = _ordered(model, vectors, pictures)
    genes = model.genes
    by_module = members(genes, codes)
    weights = {name: probability[codes == int(name) - 1] for name in by_module}
    scores = yield from module_scores_steps(section, by_module, weights=weights)
    columns: dict[str, Any] = {"module": codes, "module_prob": probability}
    if params.svg_draws:
        found = yield from spatial_genes_steps(
            model,
            maker,
            values,
            pictures,
            vectors,
            draws=params.svg_draws,
            null=params.svg_null,
            seed=params.seed,
        )
        columns |= svg_columns(found)
        spatial = -found.rank.astype(np.float64)
    else:
        yield Progress(0, 1, "scoring genes")
        spatial = morans_i(knn_graph(section.coords, section.lattice.ring), values)
    features, chosen = yield from _features(section, scores, genes, codes, spatial, params)
    place = section.adata.var_names.get_indexer(genes)
    notes = _notes(codes, probability, params, model)
    varm = np.full((section.n_genes, vectors.shape[1]), np.nan, dtype=np.float32)
    varm[place] = vectors
    return Fit(
        embedding=features,
        obsm={"modules": scores},
        var=gene_columns(columns, place, section.n_genes),
        varm=varm,
        model=model.to_arrays(),
        params=params,
        details={
            "n_genes": len(genes),
            "n_modules": int(codes.max()) + 1,
            "n_unsure": int((probability < UNSURE).sum()),
            "n_domain_genes": chosen,
            "notes": notes,
        },
        state=model,
    )


def members(genes: Sequence[str], codes: NDArray[np.intp]) -> dict[str, list[str]]:
    """Module (``"1"``, ``"2"`` ...) -> names of its genes."""
    table = pd.Series(np.asarray(genes, dtype=object)).groupby(codes + 1).agg(list)
    return {str(name): list(found) for name, found in table.items() if int(str(name)) > 0}


def svg_columns(found: SvgScores) -> dict[str, Any]:
    """Columns of `gene_columns` for scores of spatial genes."""
    return {
        "svg_score": found.score,
        "svg_effect": found.effect,
        "svg_p": found.p,
        "svg_q": found.q,
        "svg_rank": found.rank,
    }


def gene_columns(columns: dict[str, Any], place: NDArray[np.intp], n_genes: int) -> dict[str, Any]:
    """Columns over all genes of the section from those of the genes at ``place``.

    Modules become categories, ranks and scores floats; genes without a value have none.
    """
    out: dict[str, Any] = {}
    for name, given in columns.items():
        if name == "module":
            codes = np.full(n_genes, -1)
            codes[place] = given
            names = [str(i + 1) for i in range(int(given.max()) + 1)]
            out[name] = pd.Categorical.from_codes(codes, pd.Index(names))
            continue
        exact = np.float64 if name in ("svg_p", "svg_q") else np.float32
        filled = np.full(n_genes, np.nan, dtype=exact)
        filled[place] = given
        out[name] = filled
    return out


def _ordered(
    model: GeneModel, vectors: NDArray[np.float32], pictures: NDArray[np.float32]
) -> tuple[GeneModel, NDArray[np.intp], NDArray[np.float32]]:
    """The model with its modules ordered by how clear their mean picture is, and their genes.

    A module that no gene of this section belongs to is left out.
    """
    held, codes = np.unique(model.posterior(vectors).argmax(axis=1), return_inverse=True)
    clear = np.array([pictures[codes == k].mean(axis=0).var() for k in range(len(held))])
    order = np.argsort(-clear, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    kept = model.with_modules(in_order(model.modules, held[order]))
    return kept, rank[codes], kept.posterior(vectors).max(axis=1)


def _features(
    section: Section,
    scores: NDArray[np.float32],
    genes: tuple[str, ...],
    codes: NDArray[np.intp],
    spatial: NDArray[np.float64],
    params: SpaCEXParams,
) -> Steps[tuple[NDArray[np.float32], int]]:
    """(n_spots, width) features that domains are found in, and how many genes they rest on."""
    if params.domains_from == "scores":
        features, n = surrounded(section, scores, params.spot_weight), len(genes)
    else:
        chosen = select_genes(genes, codes, spatial, fraction=params.gene_fraction)
        features, n = (
            (
                yield from domain_features_steps(
                    section, chosen, p=params.spot_weight, seed=params.seed
                )
            ),
            len(chosen),
        )
    if params.domain_epochs:
        k = min(params.n_domains, section.n_spots)
        with threadpool_limits(1):
            start = KMeans(k, n_init=_STARTS, random_state=params.seed).fit(features)
        features = yield from deep_clustering_steps(
            features,
            sp.identity(section.n_spots, dtype=np.float32, format="csr"),
            start.labels_,
            epochs=params.domain_epochs,
            seed=params.seed,
            device=choose_device(params.device),
        )
    return features, n


def _notes(
    codes: NDArray[np.intp],
    probability: NDArray[np.float32],
    params: SpaCEXParams,
    model: GeneModel,
) -> list[str]:
    notes = []
    found, asked = int(codes.max()) + 1, params.gene_modules
    if asked is not None and found < asked:
        notes.append(f"{asked} gene modules were asked for, {found} hold genes.")
    unsure = int((probability < UNSURE).sum())
    if unsure:
        notes.append(
            f"{unsure} of {len(model.genes)} genes belong to no module with a probability of "
            f"{UNSURE:g} or more."
        )
    return notes
