"""Find a region, such as the tumour, in expression that was predicted from an image.

Where a measured reference is annotated, a classifier learns the region from its expression and is
asked about the predicted expression; elsewhere spots are parted into groups for the user to name.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from ..core.errors import DataError, ParameterError

__all__ = [
    "RegionModel",
    "probability",
    "region_classifier",
    "region_codes",
    "region_scores",
    "unlabelled_regions",
]

Standardise = Literal["own", "reference"]
_CONSTANT = 1e-6
_N_PCS = 10


@dataclass(frozen=True, eq=False)
class RegionModel:
    """A logistic regression on standardised genes.

    Attributes
    ----------
    mean, sd
        (n_genes,) float32 of the reference's genes; 1 for genes that do not vary there.
    weights
        (n_genes,) float32 per standard deviation, 0 for genes that do not vary.
    intercept
        Log odds of a spot at the mean, both classes weighing the same.
    """

    mean: NDArray[np.float32]
    sd: NDArray[np.float32]
    weights: NDArray[np.float32]
    intercept: float


def region_codes(labels: Any, *, positive: Collection[Any] | None = None) -> NDArray[np.int8]:
    """Which spots are in the region, which are not, and which are not annotated.

    Parameters
    ----------
    labels
        (n,) yes or no (True, False, 1, 0), or names of regions; missing values are allowed.
    positive
        Names that make up the region; None for labels of yes and no.

    Returns
    -------
    numpy.ndarray
        (n,) int8: 1 inside, 0 outside, -1 without a label.

    Raises
    ------
    ParameterError
        If ``positive`` is missing for names, or none of it occurs.
    """
    column = pd.Series(labels).reset_index(drop=True).astype(object)
    known = column.notna().to_numpy()
    found = sorted({str(v) for v in column[known]})
    listed = f"found: {', '.join(found[:20]) or 'none'}"
    if positive is None:
        if not column[known].isin([True, False]).all():
            raise ParameterError(
                "labels that are names do not say which of them are the region",
                f"name those in positive ({listed})",
            )
        inside = column[known].astype(bool)
    else:
        wanted = {str(v) for v in positive}
        if not wanted & set(found):
            raise ParameterError(
                f"no spot is labelled {' or '.join(sorted(wanted)) or 'anything'}",
                f"name labels that occur ({listed})",
            )
        inside = column[known].astype(str).isin(wanted)
    codes = np.full(len(column), -1, dtype=np.int8)
    codes[known] = inside.to_numpy()
    return codes


def region_classifier(
    expression: NDArray[np.floating[Any]],
    labels: Any,
    *,
    positive: Collection[Any] | None = None,
    penalty: float = 10.0,
) -> RegionModel:
    """Learn a region from measured expression of the panel.

    A logistic regression with squared penalty on genes of mean 0 and standard deviation 1, in
    which both classes weigh the same however many spots they have.

    Parameters
    ----------
    expression
        (n, n_genes) measured values of the references, in log units.
    labels, positive
        Of the same spots, see `region_codes`; spots without a label are left out.
    penalty
        Strength of the penalty on the weights, the inverse of scikit-learn's ``C``.

    Raises
    ------
    ParameterError
        If lengths differ, the penalty is not positive or the labels say no region.
    DataError
        If all labelled spots are inside or all outside, no gene varies or a value is not finite.
    """
    codes = region_codes(labels, positive=positive)
    expression = _finite(expression, codes.size)
    if not penalty > 0:
        raise ParameterError(f"penalty is {penalty}", "use a positive number")
    known = codes >= 0
    _both_classes(codes[known])
    x = expression[known]
    mean, sd = x.mean(axis=0), x.std(axis=0)
    varies = sd > _CONSTANT
    if not varies.any():
        raise DataError("no gene varies in the labelled spots", "choose another panel")
    sd[~varies] = 1.0
    model = LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=2000)
    model.fit((x - mean) / sd, codes[known])
    weights = np.where(varies, model.coef_[0], 0.0)
    return RegionModel(
        mean.astype(np.float32),
        sd.astype(np.float32),
        weights.astype(np.float32),
        float(model.intercept_[0]),
    )


def probability(
    model: RegionModel,
    predicted: NDArray[np.floating[Any]],
    *,
    standardise: Standardise = "reference",
) -> NDArray[np.float32]:
    """Probability of each spot to be in the region.

    Parameters
    ----------
    model
        From `region_classifier`.
    predicted
        (n, n_genes) values in log units, of the same genes in the same order.
    standardise
        ``"reference"``: by the mean and standard deviation that the model was fitted with, right
        for values on the scale of the references, as what was learnt from them is. ``"own"``: by
        those of ``predicted``, for values of another level or spread; it takes for granted that
        the region has the same share of both sections, and finds one where there is none.

    Returns
    -------
    numpy.ndarray
        (n,) float32 in [0, 1]. No calibrated probability, as both classes weighed the same.

    Raises
    ------
    ParameterError
        If the number of genes is another one or the way to standardise is unknown.
    DataError
        If a value is not finite.
    """
    if standardise not in ("own", "reference"):
        raise ParameterError(f"standardise is '{standardise}'", "use own or reference")
    x = _finite(predicted, len(predicted))
    if x.shape[1] != model.weights.size:
        raise ParameterError(
            f"{x.shape[1]} genes were predicted, the classifier knows {model.weights.size}",
            "predict the panel that it was fitted with",
        )
    if standardise == "own":
        sd = x.std(axis=0)
        z = (x - x.mean(axis=0)) / np.where(sd > _CONSTANT, sd, 1.0)
    else:
        z = (x - model.mean) / model.sd
    return np.asarray(expit(z @ model.weights + model.intercept), dtype=np.float32)


def unlabelled_regions(
    predicted: NDArray[np.floating[Any]], *, n: int = 2, seed: int = 0
) -> NDArray[np.intp]:
    """Part spots into groups by predicted expression, for the user to name.

    k-means on the first ten principal components of the genes, centred, not scaled.

    Parameters
    ----------
    predicted
        (n_spots, n_genes) values in log units.
    n
        Groups.
    seed
        Of the starts.

    Returns
    -------
    numpy.ndarray
        (n_spots,) intp from 0, the largest group first.

    Raises
    ------
    ParameterError
        If ``n`` is below 2 or above the number of spots.
    DataError
        If a value is not finite or all spots are alike.
    """
    x = _finite(predicted, len(predicted))
    if not 2 <= n <= len(x):
        raise ParameterError(f"n is {n} for {len(x)} spots", "use 2 or more, not above the spots")
    if not (x.std(axis=0) > _CONSTANT).any():
        raise DataError("predicted expression is the same in all spots", "predict again")
    scores = PCA(min(_N_PCS, *x.shape), svd_solver="full").fit_transform(x)
    groups = KMeans(n, n_init=10, random_state=seed).fit_predict(scores)
    order = np.argsort(-np.bincount(groups, minlength=n), kind="stable")
    return np.asarray(np.argsort(order)[groups], dtype=np.intp)


def region_scores(
    found: NDArray[Any], truth: Any, *, positive: Collection[Any] | None = None
) -> dict[str, float]:
    """Score a region against an annotation, over the annotated spots.

    Parameters
    ----------
    found
        (n,) float probabilities, or whole numbers of groups.
    truth, positive
        Labels of the same spots, see `region_codes`.

    Returns
    -------
    dict
        ``ari`` (of the probabilities cut at 0.5), ``labelled`` spots that were compared, and for
        probabilities ``auroc``. Spots without a label or a finite probability are left out.

    Raises
    ------
    ParameterError
        If lengths differ or the labels say no region.
    DataError
        If all spots that are left are inside or all outside.
    """
    found, codes = np.asarray(found), region_codes(truth, positive=positive)
    if found.shape != codes.shape:
        raise ParameterError(
            f"{found.size} spots were predicted, {codes.size} are labelled",
            "give one label for each spot",
        )
    used = (codes >= 0) & np.isfinite(found)
    value, inside = found[used], codes[used]
    _both_classes(inside)
    if np.issubdtype(found.dtype, np.floating):
        scores = {"auroc": float(roc_auc_score(inside, value)),
                  "ari": float(adjusted_rand_score(inside, value > 0.5))}  # fmt: skip
    else:
        scores = {"ari": float(adjusted_rand_score(inside, value))}
    return {**scores, "labelled": float(used.sum())}


def _both_classes(codes: NDArray[np.int8]) -> None:
    inside = int(codes.sum())
    if not 0 < inside < codes.size:
        raise DataError(
            f"{inside} of {codes.size} labelled spots are in the region",
            "give labels with spots inside and outside",
        )


def _finite(expression: NDArray[Any], n: int) -> NDArray[np.float64]:
    x = np.asarray(expression, dtype=np.float64)
    if x.ndim != 2 or len(x) != n:
        raise ParameterError(
            f"expression has shape {x.shape} for {n} labels", "give one row for each spot"
        )
    if not np.isfinite(x).all():
        raise DataError("expression holds values that are not finite", "leave those spots out")
    return x
