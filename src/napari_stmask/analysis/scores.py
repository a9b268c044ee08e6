"""How good a partition is: against labels, and by its spatial shape alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
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

__all__ = ["against_truth", "chaos", "morans_i", "pas", "spatial_scores"]

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

    Shang & Zhou, SpatialPCA, 2022. Lower is smoother. On a lattice the k-th distance is shared
    by several spots: all of them count, so that the order of ties cannot change the score.
    """
    n = len(coords)
    if n < 2:
        return 0.0
    neighbours = nearest(coords, k)
    differs = labels[neighbours.row] != labels[neighbours.col]
    among = np.bincount(neighbours.row, minlength=n)
    other = np.bincount(neighbours.row, weights=differs, minlength=n)
    return float((other > among / 2).mean())


def spatial_scores(coords: NDArray[np.floating[Any]], labels: Labels) -> dict[str, float]:
    """`PAS` and `CHAOS`, and their mean ``DIS``; all lower for smoother domains."""
    first, second = pas(coords, labels), chaos(coords, labels)
    return {"PAS": first, "CHAOS": second, "DIS": (first + second) / 2}


def morans_i(values: NDArray[np.floating[Any]], graph: sp.csr_matrix) -> NDArray[np.float64]:
    """Moran's I of each column: spatial autocorrelation over ``graph``.

    Moran, Biometrika 37, 1950: ``n / W * sum_ij w_ij z_i z_j / sum_i z_i^2``.

    Parameters
    ----------
    values
        (n_spots, n_columns) float.
    graph
        (n_spots, n_spots) CSR of non-negative weights, zero diagonal.

    Returns
    -------
    numpy.ndarray
        (n_columns,) float64; 0 for constant columns.
    """
    z = np.asarray(values, dtype=np.float64)
    z = z - z.mean(axis=0)
    square = (z**2).sum(axis=0)
    cross = np.einsum("ij,ij->j", z, graph @ z)
    factor = len(z) / graph.sum()
    return np.asarray(
        np.divide(factor * cross, square, out=np.zeros_like(square), where=square > 0)
    )
