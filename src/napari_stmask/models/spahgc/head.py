"""What is made of the networks: a weighted sum with ridge regression and near references.

Each network is trained without one part of the reference spots, and so is a ridge regression; what
they say of that part tells how much each deserves to count, how far level and spread of a gene
are off, and how well each gene will be predicted. The target has no say in any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from ...analysis.correlation import pearson_columns
from ...core.errors import ParameterError
from ...features.regions import spatial_pieces
from .inputs import Side

__all__ = ["PARTS", "Head", "fit_head", "parts_of"]

Float = NDArray[np.float32]
PARTS = ("ridge", "references", "network")
"""What is summed up."""
_PRIOR = np.array([0.5, 0.0, 0.5])
_BELIEF = 100
"""Spots that the prior weights count for."""
_LEAST = 0.05
"""Sum of the weights below which nothing is predicted."""
_SHRINK = 0.25
"""Weight of "no correction" beside the evidence of a gene, in units of its predicted variance."""
_SLOPE = (0.2, 3.0)


@dataclass(frozen=True, eq=False)
class Head:
    """How predictions become an answer.

    Attributes
    ----------
    weights
        (3,) float32 >= 0, of ridge, near references and network.
    slope, level
        (n_genes,) float32: the answer is ``level + slope * sum``.
    expected_pcc
        (n_genes,) float32 correlation with the reference spots that were left out; NaN where a
        gene is constant there, or nothing was left out.
    expected_error
        (n_genes,) float32 root of the mean squared error there, in scaled units.
    """

    weights: Float
    slope: Float
    level: Float
    expected_pcc: Float
    expected_error: Float

    @classmethod
    def network_only(cls, n_genes: int) -> Head:
        """The network as it is."""
        unknown = np.full(n_genes, np.nan, dtype=np.float32)
        one, zero = np.ones(n_genes, np.float32), np.zeros(n_genes, np.float32)
        return cls(np.array([0, 0, 1], np.float32), one, zero, unknown, unknown.copy())

    def __call__(self, parts: Sequence[Float]) -> Float:
        """(n, n_genes) answer from the predictions of `PARTS`, in scaled units."""
        total = sum(w * part for w, part in zip(self.weights, parts, strict=True))
        return np.asarray(self.level + self.slope * total, dtype=np.float32)


def fit_head(parts: Sequence[Float], measured: Float, *, calibrate: bool) -> Head:
    """Weights and corrections from predictions of spots that were left out.

    The weights solve non-negative least squares over all genes, drawn towards half ridge and
    half network as if a hundred spots had said so: a few spots left out say little. Where ridge
    regression alone comes closer to the measurement of these spots, it is taken alone. Where
    none of them says anything of them the two count half each, so that there is a map to look
    at; ``expected_pcc`` says what it is worth.

    Parameters
    ----------
    parts
        Predictions of `PARTS`, (n, n_genes) each.
    measured
        (n, n_genes), on the same scale.
    calibrate
        Correct level and spread of each gene too; this leaves its correlation as it is.
    """
    weights = _weights(parts, measured)
    total = np.asarray(sum(w * part for w, part in zip(weights, parts, strict=True)))
    slope, level = np.ones(total.shape[1]), np.zeros(total.shape[1])
    if calibrate:
        mean = total.mean(axis=0)
        off = total - mean
        power = np.maximum((off**2).sum(axis=0), 1e-9)
        agreement = (off * (measured - measured.mean(axis=0))).sum(axis=0)
        slope = np.clip((agreement + _SHRINK * power) / ((1 + _SHRINK) * power), *_SLOPE)
        level = measured.mean(axis=0) - slope * mean
    answer = level + slope * total
    return Head(
        weights.astype(np.float32),
        slope.astype(np.float32),
        level.astype(np.float32),
        pearson_columns(answer, measured).astype(np.float32),
        np.sqrt(np.square(answer - measured).mean(axis=0)).astype(np.float32),
    )


def _weights(parts: Sequence[Float], measured: Float) -> NDArray[np.float64]:
    """From products of the tables alone, which are long."""
    flat = [np.ravel(table) for table in (*parts, measured)]
    gram = np.array([[np.einsum("i,i", a, b, dtype=np.float64) for b in flat] for a in flat])
    products, agreement = gram[:-1, :-1], gram[:-1, -1]
    belief = np.diag(products) * (_BELIEF / len(measured)) + 1e-9
    # Least squares of the root of the products are those of the tables.
    root = np.linalg.cholesky(products + np.diag(belief))
    found = nnls(root.T, np.linalg.solve(root, agreement + belief * _PRIOR))[0]

    def error(w: NDArray[np.float64]) -> float:
        return float(w @ products @ w - 2 * w @ agreement)

    if found.sum() < _LEAST:
        return _PRIOR
    alone = np.array([1.0, 0.0, 0.0])
    return np.asarray(found if error(found) <= error(alone) else alone)


def parts_of(sides: Sequence[Side], n: int) -> list[NDArray[np.intp]]:
    """Which of ``n`` parts each spot belongs to, (n_spots,) for each reference.

    Whole groups where there are as many; else compact pieces of each section.

    Raises
    ------
    ParameterError
        If a section has too few spots to be cut.
    """
    groups = sorted({side.group for side in sides})
    if len(groups) >= n:
        return [np.full(len(side), groups.index(side.group) % n, dtype=np.intp) for side in sides]
    for side in sides:
        if len(side) < 2 * n:
            raise ParameterError(
                f"a reference of {len(side)} spots cannot be cut into {n} parts",
                "give references with more spots or lower replicates",
            )
    return [spatial_pieces(side.coords, n, 0.0) for side in sides]
