"""What a network that predicts genes from histology has to beat, fitted on references only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..core.errors import DataError, ParameterError
from ..core.progress import Progress, Steps, drain
from ..features.graph import knn_graph, neighbour_mean
from ..features.retrieval import retrieve
from .ridge import ridge_steps

__all__ = [
    "BASELINES",
    "References",
    "baseline_predictions",
    "baseline_steps",
    "depth_oracle",
    "knn_mean",
    "neighbour_features",
    "position_only",
]

BASELINES = ("mean", "k-NN (7)", "k-NN (50)", "ridge", "ridge + neighbours", "x-y only")
"""Names of what `baseline_predictions` gives, in its order."""
_FEW, _MANY = 7, 50
Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class References:
    """Measured sections to learn from, as plain arrays, one entry a section.

    Attributes
    ----------
    features
        (n_i, d) image features, standardised as those of the target.
    coords
        (n_i, 2) positions, any unit.
    expression
        (n_i, n_genes) values of the genes, in the units that are wanted.
    groups
        Code of the patient of each section, to be left out together when the penalty of the
        ridge is chosen; None takes every section for itself.
    """

    features: Sequence[NDArray[np.floating[Any]]]
    coords: Sequence[NDArray[np.floating[Any]]]
    expression: Sequence[NDArray[np.floating[Any]]]
    groups: Sequence[int] | None = None

    def __post_init__(self) -> None:
        groups = range(len(self.features)) if self.groups is None else self.groups
        parts = (self.features, self.coords, self.expression, groups)
        if not len(self.features) or len({len(part) for part in parts}) > 1:
            raise ParameterError(
                f"features, coordinates, genes and groups are of "
                f"{', '.join(str(len(part)) for part in parts)} references",
                "give all of them for at least one reference",
            )
        for i, (z, xy, y) in enumerate(zip(*parts[:3], strict=True)):
            if not len(z) == len(xy) == len(y) or not len(z):
                raise ParameterError(
                    f"reference {i + 1} has {len(z)} spots with features, {len(xy)} with "
                    f"coordinates and {len(y)} with genes",
                    "give one row of each for every spot",
                )

    @property
    def codes(self) -> NDArray[np.intp]:
        """(n,) group of every spot of the pool."""
        groups = range(len(self.features)) if self.groups is None else self.groups
        return np.repeat(np.asarray(groups, dtype=np.intp), [len(z) for z in self.features])


def knn_mean(
    index: NDArray[np.integer[Any]],
    reference_y: NDArray[np.floating[Any]],
    weights: NDArray[np.floating[Any]] | None = None,
) -> Float:
    """Mean of the genes over the spots that were retrieved.

    Parameters
    ----------
    index
        (n, k) rows of ``reference_y``.
    reference_y
        (m, n_genes).
    weights
        (n, k), not negative, for a weighted mean; None weighs all alike.

    Returns
    -------
    numpy.ndarray
        (n, n_genes) float32.

    Raises
    ------
    ParameterError
        If the weights have another shape, or a row of them is negative or adds up to nothing.
    """
    n, k = index.shape
    share = np.ones((n, k)) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != (n, k) or not (share >= 0).all() or not (share.sum(axis=1) > 0).all():
        raise ParameterError(
            f"the weights of {n} x {k} neighbours have shape {share.shape} or are not positive",
            "give weights from 0, not all 0 for a spot",
        )
    share = share / share.sum(axis=1, keepdims=True)
    mean = sp.csr_matrix(
        (share.ravel(), index.ravel(), np.arange(0, n * k + 1, k)), shape=(n, len(reference_y))
    )
    return np.asarray(mean @ reference_y, dtype=np.float32)


def position_only(
    target_coords: NDArray[np.floating[Any]],
    reference_coords: Sequence[NDArray[np.floating[Any]]],
    reference_y: Sequence[NDArray[np.floating[Any]]],
    *,
    k: int = _FEW,
) -> Float:
    """Mean over the ``k`` reference spots at the most similar place of their section.

    It sees no image: x and y of each section are standardised, and all references are pooled.
    Where sections are serial cuts in one frame it predicts well, and a method that does no better
    there shows that the cuts are alike, not that it reads the image.

    Parameters
    ----------
    target_coords
        (n, 2) positions in any unit.
    reference_coords
        (n_i, 2) of each reference.
    reference_y
        (n_i, n_genes) of each reference.
    k
        Spots that are averaged; all there are where the pool has fewer.

    Returns
    -------
    numpy.ndarray
        (n, n_genes) float32.
    """
    pool = np.concatenate([_placed(coords) for coords in reference_coords])
    k = min(k, len(pool))
    _, index = cKDTree(pool).query(_placed(target_coords), k=np.arange(1, k + 1))
    return knn_mean(index, np.concatenate(reference_y))


def _placed(coords: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Coordinates with mean 0 and standard deviation 1 each; a line of spots keeps its 0."""
    centred = np.asarray(coords, dtype=np.float64) - np.mean(coords, axis=0)
    sd = centred.std(axis=0)
    return np.asarray(centred / np.where(sd > 0, sd, 1.0))


def depth_oracle(totals: NDArray[Any]) -> NDArray[np.float64]:
    """Logarithm of the molecules of each spot, as a prediction of any gene.

    No baseline but an oracle: it is read off the *target's* measurement. Its correlation with the
    genes shows how much of theirs may be sequencing depth alone.

    Parameters
    ----------
    totals
        (n,) molecules of each spot.

    Returns
    -------
    numpy.ndarray
        (n,) float64 ``log(1 + total)``.
    """
    return np.log1p(np.asarray(totals, dtype=np.float64))


def neighbour_features(
    coords: NDArray[np.floating[Any]], z: NDArray[np.floating[Any]], k: int
) -> Float:
    """Features of each spot, and the mean of those of its neighbours.

    Parameters
    ----------
    coords
        (n, 2) positions.
    z
        (n, d) features.
    k
        Neighbours of a spot, those of the first ring: 4 on a square, 6 on a hexagonal lattice.

    Returns
    -------
    numpy.ndarray
        (n, 2 d) float32; a spot without neighbours stands for them itself.

    Raises
    ------
    ParameterError
        If ``k`` is below 1.
    """
    return np.hstack([z, neighbour_mean(knn_graph(coords, k), z)]).astype(np.float32)


def baseline_predictions(
    features: NDArray[np.floating[Any]],
    coords: NDArray[np.floating[Any]],
    references: References,
    *,
    ring: int,
) -> dict[str, Float]:
    """Predictions of a target section that need no training.

    ``mean`` of the reference spots; ``k-NN``, the mean over the 7 and the 50 reference spots with
    the most similar features by cosine (fewer where the pool is smaller); ``ridge`` on the
    features, and on them together with their mean over a spot's neighbours; ``x-y only``, see
    `position_only`. Nothing measured in the target takes part.

    Parameters
    ----------
    features
        (n, d) of the target.
    coords
        (n, 2) of the target.
    references
        What to learn from.
    ring
        Neighbours of a spot, see `neighbour_features`.

    Returns
    -------
    dict
        Name of `BASELINES` -> (n, n_genes) float32 in the units of the references' expression.

    Raises
    ------
    ParameterError
        If target and references have features of different widths.
    DataError
        If a value is not finite.
    """
    return drain(baseline_steps(features, coords, references, ring=ring))


def baseline_steps(
    features: NDArray[np.floating[Any]],
    coords: NDArray[np.floating[Any]],
    references: References,
    *,
    ring: int,
) -> Steps[dict[str, Float]]:
    """`baseline_predictions` as a stream."""
    if {z.shape[1] for z in references.features} != {features.shape[1]}:
        raise ParameterError(
            f"the target has {features.shape[1]} features a spot, the references have "
            f"{', '.join(str(z.shape[1]) for z in references.features)}",
            "use one encoder for all sections",
        )
    if not np.isfinite(features).all():
        raise DataError("features of the target are not finite", "compute them again")
    pool = np.concatenate(references.features).astype(np.float32)
    y = np.concatenate(references.expression).astype(np.float32)
    yield Progress(0, len(BASELINES), "baselines")
    mean = np.tile(y.mean(axis=0, dtype=np.float64).astype(np.float32), (len(features), 1))
    many = min(_MANY, len(pool))
    found = yield from retrieve(np.asarray(features, dtype=np.float32), pool, many)
    near = [knn_mean(found.index[:, :k], y) for k in (_FEW, _MANY)]
    ridge = yield from ridge_steps(pool, y, references.codes)
    around = [
        neighbour_features(xy, z, ring)
        for xy, z in zip(references.coords, references.features, strict=True)
    ]
    wide = yield from ridge_steps(np.concatenate(around), y, references.codes)
    predictions = (
        mean,
        *near,
        ridge.predict(features),
        wide.predict(neighbour_features(coords, features, ring)),
        position_only(coords, references.coords, references.expression),
    )
    return dict(zip(BASELINES, predictions, strict=True))
