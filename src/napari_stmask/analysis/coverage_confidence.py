"""How well a gene that was never measured is likely to be predicted."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from .coverage_data import Exact, Maps, Panel, Rows, directions

__all__ = ["Confidence", "evidence", "fit_confidence"]

_NEAR = 10
_FOLDS = 5


class Confidence:
    """Expected correlation of a predicted gene with its measurement.

    Parameters
    ----------
    features
        (n_shared, d) evidence of genes that were left out.
    achieved
        (n_shared,) correlation of their prediction with their measurement.
    """

    def __init__(self, features: Exact, achieved: Exact, seed: int) -> None:
        self._order = _ranker(len(features), seed).fit(features, achieved)
        self._scale = IsotonicRegression(out_of_bounds="clip", y_min=-1, y_max=1)
        self._scale.fit(self._order.predict(features), achieved)

    def expected(self, features: Exact) -> Exact:
        """(n,) expected Pearson correlation."""
        return np.asarray(self._scale.predict(self._order.predict(features)))


def _ranker(n: int, seed: int) -> Pipeline:
    spread = QuantileTransformer(
        n_quantiles=min(n, 200), output_distribution="normal", random_state=seed
    )
    return make_pipeline(spread, StandardScaler(), RidgeCV(np.logspace(-1, 4, 11)))


def evidence(panel: Panel, maps: Maps, train: Rows, rows: Rows) -> Exact:
    """(k, d) what speaks for a prediction, none of it from the target's gene itself.

    The predicted map's standard deviation and mean, the correlation of the gene's vector with
    the nearest and the ten nearest shared genes' vectors, the length of the vector and, where
    known, mean and standard deviation in the reference.
    """
    mean, sd = np.maximum(maps.moments(rows), 1e-12).T
    pointing = directions(panel.vectors)
    known = pointing[panel.rows[train]].T
    near = min(_NEAR, known.shape[1])
    support = np.empty((len(rows), 2))
    width = max(1, 8_000_000 // known.shape[1])
    for start in range(0, len(rows), width):
        part = pointing[rows[start : start + width]] @ known
        top = np.partition(part, -near, axis=1)[:, -near:]
        support[start : start + width] = np.column_stack([top.max(axis=1), top.mean(axis=1)])
    length = np.linalg.norm(panel.vectors[rows], axis=1)
    columns = [np.log(sd), np.log(sd) - 0.5 * np.log(mean), support, np.log(length + 1e-12)]
    if panel.levels is not None:
        columns.append(np.log(np.maximum(panel.levels[rows], 1e-12)))
    return np.column_stack(columns)


def fit_confidence(features: Exact, achieved: Exact, *, seed: int) -> tuple[Confidence, float]:
    """The model for genes without a measurement, and how well it ranks genes left out of it.

    Returns
    -------
    confidence
        Fitted on all shared genes.
    spearman
        Rank correlation of expected and achieved, each gene expected by a model that has not
        seen it.
    """
    guess = np.empty(len(achieved))
    parts = KFold(min(_FOLDS, len(achieved)), shuffle=True, random_state=seed)
    for train, test in parts.split(features):
        guess[test] = Confidence(features[train], achieved[train], seed).expected(features[test])
    rank = float(spearmanr(guess, achieved).statistic) if np.ptp(guess) > 0 else 0.0
    return Confidence(features, achieved, seed), rank
