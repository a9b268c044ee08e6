"""Ridge regression of genes on image features, its penalty chosen on sections left out.

A linear map of good features is a strong competitor of networks that predict expression from
histology (HEST-1k: Jaume et al., NeurIPS 2024).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.model_selection import GroupKFold

from ..core.errors import DataError, ParameterError
from ..core.progress import Progress, Steps, drain

__all__ = ["ALPHAS", "Ridge", "fit_ridge", "ridge_steps"]

ALPHAS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5)
"""Penalties that are tried, in units of the mean variance of a feature."""
_MOST_FOLDS = 8
_WORK = 1e9
"""Products between two events."""
_EMPTY = 1e-10
"""Eigenvalues below this share of the largest are rounding."""
Exact = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ridge:
    """A linear map from features to genes.

    Attributes
    ----------
    weights
        (d, n_genes) float32.
    centre
        (d,) float32 mean of the features.
    intercept
        (n_genes,) float32 mean of the genes.
    alpha
        Penalty that was chosen, in units of the mean variance of a feature.
    """

    weights: NDArray[np.float32]
    centre: NDArray[np.float32]
    intercept: NDArray[np.float32]
    alpha: float

    def predict(self, x: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Genes of spots with features ``x``, (n, d) -> (n, n_genes) float32.

        Raises
        ------
        ParameterError
            If the width of ``x`` is not the one that was fitted.
        """
        if x.ndim != 2 or x.shape[1] != self.centre.size:
            raise ParameterError(
                f"features have shape {x.shape}, the regression takes {self.centre.size} columns",
                "use the encoder that it was fitted with",
            )
        centred = np.asarray(x, dtype=np.float32) - self.centre
        return np.asarray(centred @ self.weights + self.intercept, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class _Solved:
    """All penalties' solutions at once: ``W(alpha) = basis @ (target / (eigen + alpha))``."""

    centre: Exact
    intercept: Exact
    basis: Exact
    eigen: Exact
    target: Exact
    unit: float

    def weights(self, alpha: float) -> Exact:
        return self.basis @ (self.target / (self.eigen + alpha * self.unit)[:, None])


def fit_ridge(
    x: NDArray[np.floating[Any]],
    y: NDArray[np.floating[Any]],
    groups: NDArray[Any],
    *,
    alphas: Sequence[float] = ALPHAS,
) -> Ridge:
    """Fit ``y`` on ``x`` with the penalty that predicts left-out groups best.

    Each group is left out in turn, all its spots together, because spots of a section resemble
    each other more than those of a new one (more than eight groups are left out in eight parts).
    The penalty with the lowest mean squared error over all of them is taken, every gene divided
    by its standard deviation. With a single group single spots are left out, which favours too
    small a penalty where neighbours are alike.

    Parameters
    ----------
    x
        (n, d) features, best standardised per section.
    y
        (n, n_genes) values of the genes.
    groups
        (n,) code of the section or the patient of each spot.
    alphas
        Penalties to choose from, in units of the mean variance of a feature, so that the unit
        of ``x`` does not matter: for standardised features they are those of the textbook.

    Raises
    ------
    ParameterError
        If shapes differ or a penalty is not positive.
    DataError
        If a value is not finite, or the features are the same in all spots.
    """
    return drain(ridge_steps(x, y, groups, alphas=alphas))


def ridge_steps(
    x: NDArray[np.floating[Any]],
    y: NDArray[np.floating[Any]],
    groups: NDArray[Any],
    *,
    alphas: Sequence[float] = ALPHAS,
) -> Steps[Ridge]:
    """`fit_ridge` as a stream: one event for each fold."""
    _check(x, y, groups, alphas)
    sd = y.std(axis=0, dtype=np.float64)
    sd[sd < 1e-12] = 1.0
    y = np.asarray(y / sd, dtype=np.float32)
    every, n_groups = np.arange(len(x)), np.unique(groups).size
    folds = min(n_groups, _MOST_FOLDS)
    error = np.zeros(len(alphas))
    choose = len(alphas) > 1
    if choose and n_groups > 1:
        for done, (train, test) in enumerate(GroupKFold(folds).split(x, groups=groups)):
            yield Progress(done, folds + 1, "fitting ridge")
            part = yield from _solved(x, y, train)
            weights = [part.weights(alpha) for alpha in alphas]
            for a, b in _centred(x, y, test, part.centre, part.intercept):
                error += [((b - a @ w) ** 2).sum() for w in weights]
                yield Progress(done, folds + 1, "fitting ridge")
    yield Progress(folds, folds + 1, "fitting ridge")
    whole = yield from _solved(x, y, every)
    if choose and n_groups == 1:
        for a, b in _centred(x, y, every, whole.centre, whole.intercept):
            error += [_leave_one_out(whole, a, b, alpha, len(x)) for alpha in alphas]
    alpha = float(alphas[int(np.argmin(error))])
    return Ridge(
        (whole.weights(alpha) * sd).astype(np.float32),
        whole.centre.astype(np.float32),
        (whole.intercept * sd).astype(np.float32),
        alpha,
    )


def _centred(
    x: NDArray[Any], y: NDArray[Any], rows: NDArray[np.intp], centre: Exact, intercept: Exact
) -> Iterator[tuple[Exact, Exact]]:
    """Blocks of rows without the means, in double precision."""
    size = max(128, int(_WORK / x.shape[1] ** 2))
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        yield x[block] - centre, y[block] - intercept


def _solved(x: NDArray[Any], y: NDArray[Any], rows: NDArray[np.intp]) -> Steps[_Solved]:
    """One eigendecomposition of the smaller of ``X'X`` and ``XX'``."""
    n, d = len(rows), x.shape[1]
    centre, intercept = (m[rows].mean(axis=0, dtype=np.float64) for m in (x, y))
    if d > n:
        a, b = x[rows] - centre, y[rows] - intercept
        eigen, vectors = _spectrum(a @ a.T)
        root = np.sqrt(eigen)
        basis, target = a.T @ (vectors / root), (vectors * root).T @ b
    else:
        gram, cross = np.zeros((d, d)), np.zeros((d, y.shape[1]))
        for a, b in _centred(x, y, rows, centre, intercept):
            gram += a.T @ a
            cross += a.T @ b
            yield Progress(0, 0, "fitting ridge")
        eigen, basis = _spectrum(gram)
        target = basis.T @ cross
    return _Solved(
        centre, intercept, basis, eigen, target, max(float(eigen.sum()) / (n * d), 1e-30)
    )


def _spectrum(gram: Exact) -> tuple[Exact, Exact]:
    """Eigenvalues above rounding, and their vectors."""
    eigen, vectors = eigh(gram)
    kept = eigen > _EMPTY * eigen[-1]
    return eigen[kept], vectors[:, kept]


def _leave_one_out(solved: _Solved, a: Exact, b: Exact, alpha: float, n: int) -> float:
    """Squared error of centred spots, each predicted from all others, out of the one fit."""
    turned = a @ solved.basis
    damped = turned / (solved.eigen + alpha * solved.unit)
    leverage = (turned * damped).sum(axis=1) + 1 / n
    left = b - damped @ solved.target
    return float(((left / np.maximum(1 - leverage, 1e-12)[:, None]) ** 2).sum())


def _check(x: NDArray[Any], y: NDArray[Any], groups: NDArray[Any], alphas: Sequence[float]) -> None:
    if x.ndim != 2 or y.ndim != 2 or not len(x) == len(y) == len(groups):
        raise ParameterError(
            f"features have shape {x.shape}, genes {y.shape}, groups {np.shape(groups)}",
            "give one row of each for every spot",
        )
    if not len(alphas) or not all(alpha > 0 for alpha in alphas):
        raise ParameterError(f"the penalties are {tuple(alphas)}", "give positive numbers")
    if len(x) < 2:
        raise DataError(f"{len(x)} reference spots are too few", "give larger references")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError(
            "features or genes of the references hold values that are not finite",
            "leave those spots out",
        )
    if not np.ptp(x, axis=0).any():
        raise DataError("the features are the same in all spots", "choose other features")
