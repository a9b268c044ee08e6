"""From the vector of a gene to its map in another section, in closed form.

The maps of the shared genes are reduced to a few scores by a singular value decomposition, and
the scores are regressed on the vectors: ridge regression on the vectors themselves, on their
correlations with the vectors of the shared genes (as in SpaCEX's growth of coverage), on a
Gaussian kernel, or on vectors and kernel. What is best is decided on genes left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from ..core.progress import Progress, Steps
from ..features.expression import pca_scores
from .coverage_data import Exact, Float, Panel, Rows, best_supported, directions

__all__ = ["ALPHAS", "KERNELS", "Choice", "LowRankMaps", "RidgeEngine"]

ALPHAS = (1e-3, 1e-2, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Penalties that are tried, in units of the mean squared length of a gene's features."""
KERNELS = ("linear", "correlation", "gaussian", "linear + gaussian")
RANKS = (2, 5, 10, 20, 50, 100)
_LANDMARKS = 400
"""Genes that the Gaussian kernel is spanned by; with fewer shared genes it is exact."""
_PHASE = "fitting the translator"


@dataclass(frozen=True)
class Choice:
    """What the genes left out decided.

    Attributes
    ----------
    kernel
        One of `KERNELS`.
    alpha
        Penalty, in units of the mean squared length of a gene's features.
    rank
        Scores of a map.
    slope
        Factor that takes predicted maps to the scale of the measured ones.
    """

    kernel: str
    alpha: float
    rank: int
    slope: float


@dataclass(frozen=True, eq=False)
class LowRankMaps:
    """Maps as products of a few spatial patterns and the scores of the genes.

    Attributes
    ----------
    basis
        (n_cells, rank) float32 orthonormal columns with mean 0.
    translate
        Rows of the reference's genes to their (k, rank) scores, of a map with variance 1.
    level
        The same rows to (k, 2) mean and standard deviation expected in the target.
    slope
        Of `Choice`.
    """

    basis: Float
    translate: Callable[[Rows], Exact]
    level: Callable[[Rows], Exact]
    slope: float

    def values(self, rows: Rows) -> Float:
        """(n_cells, k) expected values, those below 0 set to 0."""
        mean, sd = self.level(rows).T
        scores = self.translate(rows) * (self.slope * sd)[:, None]
        out = self.basis @ scores.T.astype(np.float32)
        out += mean.astype(np.float32)
        return np.asarray(np.maximum(out, 0, out=out), dtype=np.float32)

    def moments(self, rows: Rows) -> Exact:
        """(k, 2) mean and standard deviation, before values below 0 are set to 0."""
        mean, sd = self.level(rows).T
        length = np.linalg.norm(self.translate(rows), axis=1)
        return np.column_stack([mean, self.slope * sd * length / np.sqrt(len(self.basis))])


class RidgeEngine:
    """Learns `LowRankMaps` from shared genes.

    Parameters
    ----------
    panel
        Shared genes.
    rank
        Most scores of a map.
    seed
        Of the decomposition and of the kernel's landmarks.
    rounds
        Rounds of growth: before each but the first, genes without a measurement join the shared
        ones with the maps predicted so far.
    genes_per_round
        Genes that join, those most correlated with a gene of the panel by their vectors.
    """

    def __init__(
        self, panel: Panel, *, rank: int, seed: int, rounds: int = 1, genes_per_round: int = 110
    ) -> None:
        self.panel, self.rank, self.seed = panel, rank, seed
        self.rounds, self.genes_per_round = rounds, genes_per_round
        self.choice: Choice | None = None
        # Decompositions cost the most: the check after the choice is of the same parts.
        self._ready: dict[bytes, tuple[Float, Exact]] = {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """Kernel, penalty, rank, slope and rounds."""
        chosen = asdict(self.choice) if self.choice else {}
        return {"engine": "ridge", **chosen, "rounds": self.rounds}

    def choose(self, parts: Sequence[tuple[Rows, Rows]]) -> Steps[None]:
        """Kernel, penalty and rank with the highest mean correlation of genes left out."""
        found: dict[tuple[str, float, int], list[Exact]] = {}
        for done, (train, test) in enumerate(parts):
            yield Progress(done, len(parts), _PHASE)
            basis, scores = self._ready[train.tobytes()] = self._scores(train)
            truth = np.asarray(self.panel.scaled(test).T @ basis, dtype=np.float64)
            ranks = sorted({min(r, scores.shape[1], self.rank) for r in (*RANKS, self.rank)})
            for kernel in KERNELS:
                yield Progress(done, len(parts), _PHASE)
                x = _features(kernel, self.panel.vectors, self.panel.rows[train], self.seed)
                solved = _Solved(x(self.panel.rows[train]), scores)
                wanted = x(self.panel.rows[test])
                for alpha in ALPHAS:
                    got = solved.predict(wanted, alpha)
                    for rank, sums in _agreement(got, truth, ranks):
                        found.setdefault((kernel, alpha, rank), []).append(sums)
        # A part with fewer genes may lack the highest rank.
        whole = {key: sums for key, sums in found.items() if len(sums) == len(parts)}
        best = max(whole, key=lambda key: float(np.concatenate(whole[key], axis=1)[0].mean()))
        _, shared, size = np.concatenate(whole[best], axis=1)
        slope = max(float(shared.sum()) / max(float(size.sum()), 1e-12), 0.0)
        self.choice = Choice(*best, slope=slope)

    def fit(self, train: Rows) -> Steps[LowRankMaps]:
        """Learn from the shared genes ``train``, with the growth that was asked for."""
        choice, panel = self.choice, self.panel
        if choice is None:
            raise RuntimeError("call choose() first")
        key = train.tobytes()
        basis, scores = self._ready.pop(key) if key in self._ready else self._scores(train)
        basis, scores = basis[:, : choice.rank].copy(), scores[:, : choice.rank]
        rows = panel.rows[train]
        x = _features(choice.kernel, panel.vectors, rows, self.seed)
        solved = _Solved(x(rows), scores)
        for done in range(1, self.rounds):
            yield Progress(done, self.rounds, _PHASE)
            added = best_supported(panel.vectors, rows, self.genes_per_round)
            scores = np.vstack([scores, solved.predict(x(added), choice.alpha)])
            rows = np.concatenate([rows, added])
            solved = _Solved(x(rows), scores)
        yield Progress(self.rounds, self.rounds, _PHASE)
        weights = solved.weights(choice.alpha)
        return LowRankMaps(
            basis,
            lambda wanted: (x(wanted) - solved.centre) @ weights + solved.intercept,
            _levels(panel, train),
            choice.slope,
        )

    def _scores(self, train: Rows) -> tuple[Float, Exact]:
        """Spatial patterns (n_cells, r) and how much of each is in the genes (k, r)."""
        matrix = self.panel.scaled(train)
        scores, _ = pca_scores(matrix, self.rank, seed=self.seed)
        length = np.linalg.norm(scores, axis=0)
        basis = scores[:, length > 1e-6 * length[0]] / length[length > 1e-6 * length[0]]
        return basis, np.asarray(matrix.T @ basis, dtype=np.float64)


class _Solved:
    """Ridge regression with all penalties out of one eigendecomposition."""

    def __init__(self, x: Exact, y: Exact) -> None:
        self.centre, self.intercept = x.mean(axis=0), y.mean(axis=0)
        x = x - self.centre
        eigen, self.basis = eigh(x.T @ x)
        self.eigen = np.maximum(eigen, 0)
        self.target = self.basis.T @ (x.T @ (y - self.intercept))
        self.unit = max(float((x**2).sum(axis=1).mean()), 1e-30)

    def weights(self, alpha: float) -> Exact:
        """(d, r) for the penalty ``alpha`` times the mean squared length of a row."""
        return np.asarray(self.basis @ (self.target / (self.eigen + alpha * self.unit)[:, None]))

    def predict(self, x: Exact, alpha: float) -> Exact:
        """(n, r)."""
        return np.asarray((x - self.centre) @ self.weights(alpha) + self.intercept)


def _agreement(got: Exact, truth: Exact, ranks: Sequence[int]) -> Iterator[tuple[int, Exact]]:
    """For each rank (3, n_genes): r up to a constant, ``<got, truth>`` and ``<got, got>``."""
    shared, size = np.cumsum(got * truth, axis=1), np.cumsum(got**2, axis=1)
    for rank in ranks:
        a, b = shared[:, rank - 1], size[:, rank - 1]
        yield rank, np.stack([a / np.sqrt(np.maximum(b, 1e-24)), a, b])


def _features(kernel: str, vectors: Exact, rows: Rows, seed: int) -> Callable[[Rows], Exact]:
    """Features of any gene; what they refer to are the genes ``rows``."""
    known = vectors[rows]
    if kernel == "linear":
        return lambda wanted: vectors[wanted]
    if kernel == "correlation":
        # Correlations with all known genes span no more than `width` dimensions: keep those.
        _, size, turned = np.linalg.svd(directions(known), full_matrices=False)
        turn = turned.T * size
        return lambda wanted: directions(vectors[wanted]) @ turn
    # Two random genes are sqrt(2) apart: one standard deviation of the kernel.
    spread = float((known**2).sum(axis=1).mean() - (known.mean(axis=0) ** 2).sum())
    model = Nystroem(
        gamma=1 / (4 * max(spread, 1e-12)),
        n_components=min(_LANDMARKS, len(known)),
        random_state=seed,
    ).fit(known)
    if kernel == "gaussian":
        return lambda wanted: np.asarray(model.transform(vectors[wanted]))
    return lambda wanted: np.hstack([vectors[wanted], model.transform(vectors[wanted])])


def _levels(panel: Panel, train: Rows) -> Callable[[Rows], Exact]:
    """Mean and standard deviation in the target, from the reference's or from the vectors."""
    known: NDArray[Any] = panel.vectors
    if panel.levels is not None:
        floor = 1e-3 * np.maximum(panel.levels[panel.rows].mean(axis=0), 1e-12)
        known = PolynomialFeatures(2).fit_transform(np.log(np.maximum(panel.levels, 0) + floor))
    truth = np.log(np.column_stack([panel.mean, panel.sd])[train])
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    model.fit(known[panel.rows[train]], truth)
    low, high = truth.min(axis=0), truth.max(axis=0)

    def level(rows: Rows) -> Exact:
        # A level beyond those that were measured would be a guess of the regression.
        return np.asarray(np.exp(np.clip(model.predict(known[rows]), low, high)))

    return level
