"""What a translator of gene vectors has to beat, on the same genes left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.sparsefuncs import mean_variance_axis

from ..core.errors import ParameterError
from ..core.memory import densify
from ..core.progress import Progress, Steps
from .correlation import pearson_columns
from .coverage_data import Panel, Rows, directions

__all__ = ["baselines_steps", "nearest_weights", "partner_weights"]

_BLOCK = 256
_PHASE = "baselines"


def baselines_steps(
    panel: Panel,
    *,
    reference: Any = None,
    neighbours: int = 50,
    folds: int = 5,
    seed: int = 0,
) -> Steps[pd.DataFrame]:
    """Correlation that simple predictions of genes left out reach.

    ``nearest genes``: weighted mean of the standardised maps of the ``neighbours`` shared genes
    whose vectors are most correlated with the gene's. ``mean map``: mean of all of them.
    ``reference partner``: the one shared gene whose expression is most correlated in the
    reference.

    Parameters
    ----------
    panel
        Shared genes.
    reference
        (n_spots, n_genes) log-normalised values of the reference for the third baseline, in the
        order of ``panel.genes``; None leaves it out.
    neighbours
        Of the first baseline.
    folds, seed
        As for the translator: the same genes are left out together.

    Returns
    -------
    pandas.DataFrame
        (n_shared, 2 or 3), Pearson r by gene and baseline.

    Raises
    ------
    ParameterError
        If ``neighbours`` is below 1, or ``reference`` has another number of genes.
    """
    if neighbours < 1:
        raise ParameterError(f"neighbours is {neighbours}", "use a number of at least 1")
    if reference is not None and reference.shape[1] != len(panel.genes):
        raise ParameterError(
            f"the reference has {reference.shape[1]} columns and {len(panel.genes)} vectors",
            "give one column for each vector",
        )
    known = None if reference is None else sp.csc_matrix(reference, dtype=np.float32)[:, panel.rows]
    out = pd.DataFrame(index=panel.names)
    for done, (train, test) in enumerate(panel.parts(folds, seed)):
        maps = panel.scaled(train)
        overall = np.asarray(maps.sum(axis=1))
        for start in range(0, test.size, _BLOCK):
            yield Progress(done, folds, _PHASE)
            part = test[start : start + _BLOCK]
            names, measured = panel.names[part], panel.measured(part)
            weights = {"nearest genes": nearest_weights(panel, train, part, neighbours)}
            if known is not None:
                weights["reference partner"] = partner_weights(known, train, part)
            for baseline, w in weights.items():
                got = densify(maps @ w, what="a baseline")
                out.loc[names, baseline] = pearson_columns(got, measured)
            spread = np.broadcast_to(overall, (panel.n_cells, part.size))
            out.loc[names, "mean map"] = pearson_columns(spread, measured)
    return out


def nearest_weights(panel: Panel, train: Rows, wanted: Rows, neighbours: int) -> sp.csr_matrix:
    """(n_train, n_wanted) weights of the genes with the most correlated vectors, summing to 1.

    A negative correlation has weight 0; a gene without any positive one takes its neighbours
    as equals.
    """
    pointing = directions(panel.vectors[panel.rows])
    near = pointing[train] @ pointing[wanted].T
    k = min(neighbours, len(train))
    best = np.argpartition(-near, k - 1, axis=0)[:k]
    weight = np.maximum(np.take_along_axis(near, best, axis=0), 0)
    weight[:, weight.sum(axis=0) <= 0] = 1.0
    weight /= weight.sum(axis=0)
    columns = np.broadcast_to(np.arange(len(wanted)), best.shape)
    shape = (len(train), len(wanted))
    return sp.csr_matrix((weight.ravel(), (best.ravel(), columns.ravel())), shape=shape)


def partner_weights(reference: sp.csc_matrix, train: Rows, wanted: Rows) -> sp.csr_matrix:
    """(n_train, n_wanted) a single 1 in each column: the gene most correlated there."""
    mean, variance = (m.astype(np.float64) for m in mean_variance_axis(reference, axis=0))
    sd = np.sqrt(np.maximum(variance, 1e-24))
    product = densify(reference[:, train].T @ reference[:, wanted], what="a baseline")
    product = product / reference.shape[0] - np.outer(mean[train], mean[wanted])
    r: NDArray[np.float64] = product / np.outer(sd[train], sd[wanted])
    columns = np.arange(len(wanted))
    shape = (len(train), len(wanted))
    return sp.csr_matrix((np.ones(len(wanted)), (r.argmax(axis=0), columns)), shape=shape)
