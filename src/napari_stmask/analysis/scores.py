"""How good a partition is: against labels, and by its spatial shape alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    completeness_score,
    homogeneity_score,
    normalized_mutual_info_score,
)

from ..features.graph import nearest

__all__ = ["against_truth", "chaos", "pas", "spatial_scores"]

Labels = NDArray[Any]


def against_truth(truth: pd.Series, predicted: pd.Series) -> dict[str, float]:
    """Agreement with an annotation, over annotated spots only.

    Parameters
    ----------
    truth, predicted
        (n_spots,) labels in the same order; missing values of either are left out.

    Returns
    -------
    dict
        ``ARI``, ``NMI``, ``AMI``, ``homogeneity``, ``completeness``, ``ACC`` (mean of NMI,
        homogeneity and completeness, as SpaMask's tutorial defines it) and ``spots``.
    """
    known = truth.notna().to_numpy() & predicted.notna().to_numpy()
    a, b = truth[known].astype(str), predicted[known].astype(str)
    nmi = normalized_mutual_info_score(a, b)
    homogeneity, completeness = homogeneity_score(a, b), completeness_score(a, b)
    return {
        "ARI": float(adjusted_rand_score(a, b)),
        "NMI": float(nmi),
        "AMI": float(adjusted_mutual_info_score(a, b)),
        "homogeneity": float(homogeneity),
        "completeness": float(completeness),
        "ACC": float((nmi + homogeneity + completeness) / 3),
        "spots": float(known.sum()),
    }


def chaos(coords: NDArray[np.floating[Any]], labels: Labels) -> float:
    """Mean distance to the nearest spot of the same domain, in standardised coordinates.

    Shang & Zhou, SpatialPCA, 2022. Coordinates are scaled to unit variance per axis, domains of
    one or two spots are left out of the sum; lower is smoother.
    """
    scale = coords.std(axis=0)
    points = (coords - coords.mean(axis=0)) / np.where(scale > 0, scale, 1)
    total = 0.0
    for label in np.unique(labels):
        inside = points[labels == label]
        if len(inside) > 2:
            total += float(cKDTree(inside).query(inside, k=2)[0][:, 1].sum())
    return total / len(points)


def pas(coords: NDArray[np.floating[Any]], labels: Labels, *, k: int = 10) -> float:
    """Share of spots for which more than half of the ``k`` nearest spots lie in other domains.

    Shang & Zhou, SpatialPCA, 2022. Lower is smoother. On a lattice several spots share the
    k-th distance: they share the places that are left among the ``k`` in equal parts, so that
    the order of ties cannot change the score.
    """
    n = len(coords)
    if n < 2:
        return 0.0
    k = min(k, n - 1)
    near = nearest(coords, k)
    farthest = np.zeros(n)
    np.maximum.at(farthest, near.row, near.data)
    tied = near.data >= farthest[near.row] * (1 - 1e-6)
    strict = np.bincount(near.row[~tied], minlength=n)
    share = (k - strict) / np.bincount(near.row[tied], minlength=n)
    weight = np.where(tied, share[near.row], 1.0)
    differs = labels[near.row] != labels[near.col]
    other = np.bincount(near.row, weights=weight * differs, minlength=n)
    return float((other > k / 2 + 1e-9).mean())


def spatial_scores(coords: NDArray[np.floating[Any]], labels: Labels) -> dict[str, float]:
    """`PAS` and `CHAOS`, and their mean ``DIS``; all lower for smoother domains."""
    first, second = pas(coords, labels), chaos(coords, labels)
    return {"PAS": first, "CHAOS": second, "DIS": (first + second) / 2}
