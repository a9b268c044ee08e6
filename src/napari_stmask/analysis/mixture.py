"""Gaussian mixture with one shared covariance: the multi-start recipe that replaces mclust EEE.

The model is affine-equivariant, so it is fitted in whitened space, where k-means starts are
informative also along directions of small variance. Starts come from k-means in the raw and in
the whitened space and from Ward trees of a subsample (Scrucca & Raftery, 2015, give the
transformations used to seed model-based clustering). The best likelihood wins among the fits
whose components all hold more points than there are dimensions; smaller ones reach spuriously
high likelihoods in sections of a few hundred spots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cut_tree, ward
from scipy.linalg import solve_triangular
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from ..core.errors import ParameterError
from ..core.progress import Progress, Steps, drain

__all__ = ["MixtureFit", "fit_tied_mixture", "tied_mixture_steps"]

_WARD_POINTS = 2000
_EIGEN_FLOOR = 1e-14


@dataclass(frozen=True)
class MixtureFit:
    """A fitted mixture of ``k`` Gaussians with a common covariance.

    Attributes
    ----------
    posterior
        (n, k) float64, rows sum to 1.
    log_likelihood
        Of the data in their original units.
    bic
        ``2 log L - p log n`` (larger is better), as mclust writes it.
    hits
        How many starts ended within 1e-6 (relative) of the best likelihood.
    parameters
        Free parameters: weights, means and the covariance, in the directions that vary.
    """

    posterior: NDArray[np.float64]
    log_likelihood: float
    bic: float
    hits: int
    parameters: int

    @property
    def labels(self) -> NDArray[np.intp]:
        """(n,) most probable component of each point."""
        return np.asarray(self.posterior.argmax(axis=1))


def _whiten(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Rotate and scale to unit covariance; return also the SVD-scaled data and log|det|."""
    centred = x - x.mean(axis=0)
    value, vector = np.linalg.eigh(centred.T @ centred / len(x))
    # At least one direction stays, so that identical rows are one component and no crash.
    keep = value >= max(value.max(), 1e-300) * _EIGEN_FLOOR
    keep[-1] = True
    value = np.maximum(value, 1e-300)
    value, vector = value[keep], vector[:, keep]
    rotated = centred @ vector
    return rotated / np.sqrt(value), rotated, float(0.5 * np.log(value).sum())


def _log_density(
    y: NDArray[np.float64], mean: NDArray[np.float64], cov: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n, k) log N(y | mean_j, cov) without building n x k x d."""
    chol = np.linalg.cholesky(cov)
    a = solve_triangular(chol, y.T, lower=True)
    b = solve_triangular(chol, mean.T, lower=True)
    square = (a**2).sum(axis=0)[:, None] - 2 * (a.T @ b) + (b**2).sum(axis=0)
    return np.asarray(
        -0.5 * (square + y.shape[1] * np.log(2 * np.pi)) - np.log(np.diag(chol)).sum()
    )


def _em(
    y: NDArray[np.float64], labels: NDArray[Any], k: int, *, tol: float, max_iter: int
) -> tuple[NDArray[np.float64], float]:
    """EM from hard labels until the relative gain of the likelihood is below ``tol``."""
    n, d = y.shape
    z = np.zeros((n, k))
    z[np.arange(n), labels] = 1
    second = y.T @ y
    last = -np.inf
    for _ in range(max_iter):
        weight = z.sum(axis=0) + 1e-10
        mean = (z.T @ y) / weight[:, None]
        cov = (second - (mean * weight[:, None]).T @ mean) / n
        cov[np.diag_indices(d)] += 1e-9
        joint = _log_density(y, mean, cov) + np.log(weight / n)
        top = joint.max(axis=1)
        z = np.exp(joint - top[:, None])
        norm = z.sum(axis=1)
        z /= norm[:, None]
        current = float((top + np.log(norm)).sum())
        if current - last < tol * abs(current):
            break
        last = current
    return z, current


def _ward_labels(
    points: NDArray[np.float64], y: NDArray[np.float64], k: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Cut a Ward tree of a random subsample and give every point its nearest centre."""
    n = len(points)
    pick = rng.choice(n, min(n, _WARD_POINTS), replace=False)
    cut = cut_tree(ward(points[pick]), n_clusters=k).ravel()
    centre = np.stack([y[pick][cut == j].mean(axis=0) for j in range(k)])
    square = -2 * y @ centre.T + (centre**2).sum(axis=1)
    return np.asarray(square.argmin(axis=1))


def _first_labels(
    start: int, white: NDArray[Any], raw: NDArray[Any], k: int, rng: np.random.Generator
) -> NDArray[Any]:
    """Hard labels that a start of the EM begins from; kinds of starts take turns."""
    kind = start % 4
    # A tree costs as much as ten k-means starts, and three of them find what trees find.
    if (kind == 3 and start < 12) or k == len(white):
        return _ward_labels(white if start % 8 == 7 else raw, white, k, rng)
    model = KMeans(k, n_init=1, max_iter=50, random_state=int(rng.integers(2**31)))
    return np.asarray(model.fit_predict(raw if kind == 1 else white))


def tied_mixture_steps(
    x: NDArray[np.floating[Any]],
    k: int,
    *,
    seed: int = 0,
    max_starts: int = 30,
    min_starts: int = 12,
    tol: float = 1e-6,
    max_iter: int = 500,
) -> Steps[MixtureFit]:
    """`fit_tied_mixture` as a stream: one event a start."""
    n, d = x.shape
    if not 1 <= k <= n:
        raise ParameterError(
            f"{k} domains were asked of {n} spots", f"choose between 1 and {n} domains"
        )
    rng = np.random.default_rng(seed)
    white, raw, log_det = _whiten(np.asarray(x, dtype=np.float64))
    best: tuple[bool, float, NDArray[np.float64]] | None = None
    hits = 0
    for start in range(max_starts if k > 1 else 1):
        # The matrices are a dozen columns wide: threads would only wait for each
        # other, and on a busy computer that costs ten times the work itself.
        with threadpool_limits(1):
            labels = _first_labels(start, white, raw, k, rng)
            z, value = _em(white, labels, k, tol=tol, max_iter=max_iter)
        # A mean of d numbers takes more than d points; fewer fit themselves, whatever they are.
        supported = bool(np.bincount(z.argmax(axis=1), minlength=k).min() > white.shape[1])
        if best is not None and supported == best[0] and np.isclose(value, best[1], rtol=1e-6):
            hits += 1
            best = max(best, (supported, value, z), key=lambda fit: fit[1])
        elif best is None or (supported, value) > best[:2]:
            best, hits = (supported, value, z), 1
        yield Progress(start + 1, max_starts, "clustering")
        if start + 1 >= min_starts and hits >= 2:
            break
    assert best is not None
    log_likelihood = best[1] - n * log_det
    d = white.shape[1]
    parameters = k - 1 + k * d + d * (d + 1) // 2
    bic = 2 * log_likelihood - parameters * np.log(n)
    return MixtureFit(best[2], log_likelihood, bic, hits, parameters)


def fit_tied_mixture(x: NDArray[np.floating[Any]], k: int, **options: Any) -> MixtureFit:
    """Fit ``k`` Gaussians with a common full covariance to the rows of ``x``.

    Parameters
    ----------
    x
        (n, d) float, n > d for a usable covariance.
    k
        Number of components, 1 to n.
    **options
        ``seed``, ``max_starts``, ``min_starts``, ``tol`` (relative gain that ends EM),
        ``max_iter``. Starts end early once the best likelihood was reached twice.

    Raises
    ------
    ParameterError
        If ``k`` is not between 1 and n.
    """
    return drain(tied_mixture_steps(x, k, **options))
