"""How compact and separate the domains are in the embedding, without any annotation.

These numbers compare partitions of one embedding. They must not choose its size: fewer
dimensions raise the silhouette of any partition, whether it follows the tissue or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

from ..core.errors import ParameterError
from .inputs import groups_of, usable_rows

__all__ = ["EmbeddingQuality", "embedding_quality", "s_dbw"]


@dataclass(frozen=True)
class EmbeddingQuality:
    """Internal validity of a partition; dimensionless, None where it cannot be computed.

    Attributes
    ----------
    silhouette
        In [-1, 1], higher is better (Rousseeuw, 1987).
    davies_bouldin
        From 0, lower is better (Davies & Bouldin, 1979).
    calinski_harabasz
        From 0, higher is better (Calinski & Harabasz, 1974).
    s_dbw
        From 0, lower is better (Halkidi & Vazirgiannis, 2001).
    spots, domains
        What the numbers are over.
    notes
        What was left out, one sentence each.
    """

    silhouette: float | None
    davies_bouldin: float | None
    calinski_harabasz: float | None
    s_dbw: float | None
    spots: int
    domains: int
    notes: tuple[str, ...] = ()


def embedding_quality(
    embedding: NDArray[np.floating[Any]],
    domains: pd.Series,
    *,
    seed: int = 0,
    max_spots: int = 5000,
) -> EmbeddingQuality:
    """Four measures of a partition in the space that it was found in.

    Parameters
    ----------
    embedding
        (n_spots, width); rows with values that are not finite are left out.
    domains
        (n_spots,) labels in the same order; spots without one are left out.
    seed
        Of the sample that the silhouette is computed on.
    max_spots
        Largest sample for the silhouette, whose cost grows with the square of it. The other
        three use all spots.

    Returns
    -------
    EmbeddingQuality
        All four are None for a single domain, or where every spot is a domain of its own.

    Raises
    ------
    ParameterError
        If lengths differ or ``max_spots`` is below 10.
    DataError
        If no row of the embedding is finite.
    """
    if max_spots < 10:
        raise ParameterError(f"max_spots is {max_spots}", "use at least 10")
    groups = groups_of(domains)
    used = usable_rows(embedding, len(groups.codes)) & (groups.codes >= 0)
    points = np.asarray(embedding[used], dtype=np.float64)
    names, codes = np.unique(groups.codes[used], return_inverse=True)
    n, k = len(points), len(names)
    notes = []
    if n < len(used):
        notes.append(f"{len(used) - n} spots without a domain or an embedding were left out.")
    if not 2 <= k < n:
        notes.append(f"{k} domains of {n} spots cannot be compared.")
        return EmbeddingQuality(None, None, None, None, n, k, tuple(notes))
    pick = np.sort(np.random.default_rng(seed).choice(n, min(n, max_spots), replace=False))
    if pick.size < n:
        notes.append(f"The silhouette is that of {pick.size} spots drawn at random.")
    silhouette = None
    if 2 <= np.unique(codes[pick]).size < pick.size:
        silhouette = float(silhouette_score(points[pick], codes[pick]))
    return EmbeddingQuality(
        silhouette,
        float(davies_bouldin_score(points, codes)),
        float(calinski_harabasz_score(points, codes)),
        s_dbw(points, codes),
        n,
        k,
        tuple(notes),
    )


def s_dbw(points: NDArray[np.float64], codes: NDArray[np.intp]) -> float | None:
    """Scatter within domains plus density between them.

    Halkidi & Vazirgiannis, ICDM 2001: with the vector of variances of a
    domain, ``Scat`` is the mean ratio of its length to that of all points, ``stdev`` the root of
    the summed lengths over the number of domains, and ``Dens_bw`` the mean over pairs of
    domains of the points within ``stdev`` of the midpoint of their centres, divided by the
    larger count around the two centres. Only points of the pair are counted.

    Parameters
    ----------
    points
        (n, width) float.
    codes
        (n,) int, 0 .. k - 1, k at least 2, each in use.

    Returns
    -------
    float or None
        None where all points coincide. A pair whose centres have no point near adds 0.
    """
    k = int(codes.max()) + 1
    whole = float(np.linalg.norm(points.var(axis=0)))
    if not whole > 0:
        return None
    members = [points[codes == j] for j in range(k)]
    centre = np.stack([m.mean(axis=0) for m in members])
    lengths = np.array([np.linalg.norm(m.var(axis=0)) for m in members])
    radius = np.sqrt(lengths.sum()) / k

    def density(place: NDArray[np.float64], i: int, j: int) -> int:
        near = (np.linalg.norm(members[m] - place, axis=1) <= radius for m in (i, j))
        return int(sum(one.sum() for one in near))

    between = 0.0
    for i in range(k):
        for j in range(i + 1, k):
            top = max(density(centre[i], i, j), density(centre[j], i, j))
            if top:
                between += 2 * density((centre[i] + centre[j]) / 2, i, j) / top
    return float(lengths.mean() / whole + between / (k * (k - 1)))
