"""A prediction against the measurement, with everything beside it that it has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .analysis.prediction_baselines import baseline_steps, depth_oracle
from .analysis.prediction_scores import gene_scores, split_half_steps, summary
from .core.errors import DataError
from .core.progress import Progress, Steps
from .core.section import Section
from .features.gene_scale import log_expression
from .models.base import Predicted, PredictorState

__all__ = ["DEPTH", "Scored", "score_steps"]

DEPTH = "depth (oracle)"
Float = NDArray[np.float32]
_NO_ERROR = ("rmse", "mae")


@dataclass(frozen=True, eq=False)
class Scored:
    """How good a prediction is.

    Attributes
    ----------
    table
        Rows: the method and the baselines; columns of `analysis.prediction_scores.summary`.
    genes
        Rows: genes; columns pcc, spearman, rmse, mae of the method, split_half and ceiling.
    by_prediction
        Rows: genes; columns: the method and the baselines; correlation of each gene.
    """

    table: pd.DataFrame
    genes: pd.DataFrame
    by_prediction: pd.DataFrame


def score_steps(
    title: str, state: PredictorState, predicted: Predicted, target: Section, *, baselines: bool
) -> Steps[Scored]:
    """Score a prediction on the spots of its own target.

    Parameters
    ----------
    title
        Name of the method's row.
    state, predicted
        What was trained, and what it said.
    target
        The same spots with their counts. Genes of the panel that it lacks are left out.
    baselines
        Also the predictors without training, and the depth of the spots, which knows the
        measurement and shows how much of a correlation is depth.

    Raises
    ------
    DataError
        If the target's matrix holds no counts, or shares no gene with the panel.
    """
    yield Progress(0, 1, "scoring")
    place = target.adata.var_names.get_indexer(list(state.genes))
    here = np.flatnonzero(place >= 0)
    genes = [gene for gene, at in zip(state.genes, place, strict=True) if at >= 0]
    if not genes:
        raise DataError(
            f"{target.where} measured none of the {len(state.genes)} predicted genes",
            "compare gene names, or choose a panel that it has",
        )
    kind = state.params.expression
    measured = log_expression(target, genes, kind)
    said: dict[str, Float] = {title: predicted.values[:, here]}
    if baselines:
        others = yield from baseline_steps(
            predicted.features,
            target.coords,
            state.baseline_references(),
            ring=target.lattice.ring,
        )
        said |= {name: values[:, here] for name, values in others.items()}
        totals = np.asarray(target.counts().sum(axis=1)).ravel()
        depth = depth_oracle(totals).astype(np.float32)
        said[DEPTH] = np.repeat(depth[:, None], len(genes), axis=1)
    scores: dict[str, pd.DataFrame] = {}
    for name, values in said.items():
        yield Progress(len(scores), len(said), "scoring")
        scores[name] = gene_scores(values, measured, genes=genes)
    table = pd.DataFrame({name: summary(found) for name, found in scores.items()}).T
    if baselines:
        # It is in units of its own.
        table.loc[DEPTH, list(_NO_ERROR)] = np.nan
    halves = yield from _halves(target, place[here], kind, state.params.seed)
    own = scores[title].assign(**halves)
    return Scored(table, own, pd.DataFrame({name: found["pcc"] for name, found in scores.items()}))


def _halves(
    target: Section, place: NDArray[np.intp], kind: str, seed: int
) -> Steps[Mapping[str, NDArray[np.float64]]]:
    counts = target.counts()
    totals = np.asarray(counts.sum(axis=1)).ravel()
    found = yield from split_half_steps(counts[:, place], totals, kind=kind, seed=seed)  # type: ignore[arg-type]
    return {"split_half": found.split_half, "ceiling": found.ceiling}
