"""How much of each section's own expression an embedding of several still tells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold

from ..core.progress import Progress, Steps, drain

__all__ = ["biology_kept", "biology_kept_steps"]

_FOLDS = 5
_LEAST = 10
"""Spots of a section that five folds need."""
_PENALTIES = np.logspace(-6, 0, 7)
"""In units of the summed variance of a feature over the training spots."""

Values = NDArray[np.floating[Any]]


def biology_kept(
    values: Values, before: Values, batches: NDArray[np.integer[Any]], *, seed: int = 0
) -> float:
    """Share of the variance within sections that a linear map from the embedding explains.

    In each section alone, ``before`` is predicted by ridge regression for spots that the
    regression has not seen (five folds, the penalty by leave-one-out among the other four).
    Differences between sections count nowhere, so that removing them costs nothing, while an
    embedding that mixes sections by forgetting the tissue scores near 0.

    Parameters
    ----------
    values
        (n_spots, width) embedding.
    before
        (n_spots, p) what each section said before integration, as its expression PCs.
    batches
        (n_spots,) section of each spot.
    seed
        Of the folds.

    Returns
    -------
    float
        Mean over sections, in [0, 1]: 1 for ``before`` itself, 0 for an embedding whose rows
        were exchanged within sections. NaN where no section has ten spots and any variance.
        Much of the variance of single spots is noise, which smoothing removes: compare with the
        control that is smoothed within sections, not with 1.
    """
    return drain(biology_kept_steps(values, before, batches, seed=seed))


def biology_kept_steps(
    values: Values, before: Values, batches: NDArray[np.integer[Any]], *, seed: int = 0
) -> Steps[float]:
    """`biology_kept` as a stream: one event a section."""
    sections = np.unique(batches)
    shares = []
    for done, section in enumerate(sections):
        inside = batches == section
        x = np.asarray(values[inside], dtype=np.float64)
        y = np.asarray(before[inside], dtype=np.float64)
        if len(x) >= _LEAST and y.var(axis=0).sum() > 0:
            shares.append(max(0.0, _explained(x, y, seed)))
        yield Progress(done + 1, len(sections), "comparing with the sections alone")
    return float(np.mean(shares)) if shares else float("nan")


def _explained(x: NDArray[np.float64], y: NDArray[np.float64], seed: int) -> float:
    """Out of fold, 1 - squared errors / squared deviations from the mean, over all columns."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    variance = x.var(axis=0).mean()
    if variance == 0:
        return 0.0
    error = 0.0
    for train, test in KFold(_FOLDS, shuffle=True, random_state=seed).split(x):
        model = RidgeCV(alphas=_PENALTIES * len(train) * variance).fit(x[train], y[train])
        error += float(((y[test] - model.predict(x[test])) ** 2).sum())
    return 1 - error / float((y**2).sum())
