"""Scores of finished runs against an annotation, with the controls beside them."""

from __future__ import annotations

import pandas as pd

from .analysis.scores import against_truth, spatial_scores
from .core.errors import DataError, ParameterError
from .core.progress import drain
from .core.provenance import read_record, records
from .core.section import Section
from .pipeline import baseline_codes

__all__ = ["score_section"]


def score_section(
    section: Section, *, truth: str, pred: str | None = None
) -> dict[str, dict[str, float]]:
    """ARI, NMI, AMI, PAS, CHAOS of domain columns and of both training-free controls.

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
        spatial = spatial_scores(section.coords[known], labels[known].astype(str).to_numpy())
        out[name] = against_truth(obs[truth], labels) | spatial
    return out
