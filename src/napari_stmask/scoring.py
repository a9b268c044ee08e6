"""Scores against an annotation or held-out molecules, with the controls beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from . import models
from .analysis.denoising import (
    held_out_score,
    neighbour_mean_prediction,
    pca_of_neighbour_mean,
    thin_section,
)
from .analysis.scores import against_truth, spatial_scores
from .core.errors import DataError, ParameterError
from .core.joint import joint_of
from .core.params import DomainParams
from .core.progress import Progress, Steps, drain
from .core.provenance import read_record, records
from .core.section import Section
from .features.expression import log_normalise
from .pipeline import baseline_codes, iter_run

__all__ = ["denoising_steps", "score_section"]


def score_section(
    section: Section, *, truth: str, pred: str | None = None
) -> dict[str, dict[str, float]]:
    """ARI, NMI, AMI, PAS, CHAOS of domain columns and of both training-free controls.

    Of joined sections, each has rows of its own too.
    Annotation scores count annotated spots only, spatial scores all assigned ones. The controls
    use as many domains as the first column scored.

    Parameters
    ----------
    section
        With ``obs[truth]`` and at least one column of domains.
    truth
        Column of ``obs`` with the annotation.
    pred
        Column of ``obs`` with the domains; None takes every run that left a record.

    Returns
    -------
    dict
        Column or control -> score -> value.

    Raises
    ------
    ParameterError
        If a column is missing.
    DataError
        If no spot is annotated.
    """
    obs = section.adata.obs
    runs = sorted(records(section.adata))
    columns = [pred] if pred else [c for r in runs for c in (r, f"{r}_refined") if c in obs]
    if not columns:
        raise ParameterError(
            f"{section.where} holds no run", "name the column of domains with --pred"
        )
    for column in (truth, *columns):
        if column not in obs:
            raise ParameterError(
                f"{section.where} has no column '{column}' in obs",
                f"use one of: {', '.join(map(str, obs.columns))}",
            )
    if not obs[truth].notna().any():
        raise DataError(f"{section.where}: column '{truth}' is empty", "give an annotated column")
    labelings = {column: obs[column] for column in columns}
    seed = read_record(section.adata, columns[0])["params"]["seed"] if columns[0] in runs else 0
    k = obs[columns[0]].nunique()
    for name, codes in drain(baseline_codes(section, k, seed)).items():
        labelings[name] = pd.Series(codes, index=obs.index)
    out = {}
    for name, labels in labelings.items():
        known = labels.notna().to_numpy()
        if not (known & obs[truth].notna().to_numpy()).any():
            raise DataError(
                f"{section.where}: no spot has both '{truth}' and '{name}'",
                "give columns that overlap",
            )
        for part, rows in _parts(section):
            inside = known & rows
            if (inside & obs[truth].notna().to_numpy()).any():
                spatial = spatial_scores(
                    section.coords[inside], labels[inside].astype(str).to_numpy()
                )
                out[name + part] = against_truth(obs[truth][rows], labels[rows]) | spatial
    return out


def _parts(section: Section) -> list[tuple[str, NDArray[np.bool_]]]:
    """All spots, and of joined sections those of each."""
    whole = [("", np.ones(section.n_spots, dtype=bool))]
    joint = joint_of(section.adata)
    if joint is None:
        return whole
    names = section.adata.obs["section"].astype(str).to_numpy()
    return whole + [(f", {name}", names == name) for name in dict.fromkeys(names)]


def denoising_steps(
    method: str, section: Section, params: DomainParams, *, share: float = 0.8
) -> Steps[pd.DataFrame]:
    """How well denoised genes tell molecules that the method has not seen; needs no truth.

    The molecules of every spot are divided at random (binomial thinning), the method and the
    controls see the larger part, and each gene is correlated over the spots with the smaller
    one (count splitting: Neufeld et al., Biostatistics 2022; molecular cross-validation:
    Batson, Royer & Webber 2019).

    Parameters
    ----------
    method
        A method that denoises.
    section
        With raw counts; it is left as it is.
    params
        Parameters of the run; ``denoise`` is switched on.
    share
        Part of the molecules that is seen.

    Returns
    -------
    pandas.DataFrame
        One row each for the method, raw counts, the neighbour mean, and its reconstruction
        from 20 principal components: ``prediction``, ``median``, ``mean`` (Pearson correlation
        over genes), ``top_median`` (over the 500 genes with most molecules) and ``genes``.

    Raises
    ------
    ParameterError
        If the method does not denoise.
    """
    if "denoise" not in type(params).model_fields:
        raise ParameterError(f"{method} does not denoise genes", "use a method that does")
    seen, held = thin_section(section, share, seed=params.seed)
    for name, values in models.get(method).extras(section, params).items():
        seen.adata.obsm[name] = values
    settings = params.model_copy(update={"denoise": True, "clustering": "kmeans"})
    result = yield from iter_run(method, seen, params=settings, baselines=False)
    genes = np.flatnonzero(result.fit.var["denoised"])
    names = [str(name) for name in seen.adata.var_names[genes]]
    totals = np.asarray(held.sum(axis=1)).ravel()
    counts = seen.counts()
    library = np.asarray(counts.sum(axis=1)).ravel()
    most = np.argsort(-np.asarray(counts[:, genes].sum(axis=0)).ravel())[:500]
    rows = []
    predictions: dict[str, Any] = {
        method: lambda: result.fit.layers["denoised"][:, genes],
        "raw counts": lambda: log_normalise(sp.csr_matrix(counts[:, genes]), library),
        "neighbour mean": lambda: neighbour_mean_prediction(seen, names),
        "20 PCs of the neighbour mean": lambda: pca_of_neighbour_mean(seen, names),
    }
    for i, (name, predict) in enumerate(predictions.items()):
        yield Progress(i, len(predictions), "scoring", message="")
        found = held_out_score(predict(), held[:, genes], totals=totals)
        top = float(np.nanmedian(found.correlation[most]))
        rows.append((name, found.median, found.mean, top, found.genes))
    return pd.DataFrame(rows, columns=["prediction", "median", "mean", "top_median", "genes"])
