"""How well expression agrees where two sections lie on one another.

Outlines cut off by the border of the array fit in several ways; the tissue in only one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial import cKDTree

from ..core.errors import DataError
from ..core.progress import Progress, Steps
from ..core.section import Section
from .expression import log_normalise, min_cells_for, select_genes
from .graph import knn_graph, neighbour_mean
from .rigid import APART, Matrix, Points, Pose, distinct, moved, rigid_about
from .section_scaling import pca_within

__all__ = ["Agreement", "refined_poses", "shared_components"]

Float = NDArray[np.float32]

N_GENES, N_COMPONENTS = 2000, 15
_MOST_SPOTS = 3000
"""Spots of the moving section that the agreement is measured on."""
_LEAST_OVERLAP = 0.5
"""Share of the smaller section that must lie on the other."""
_WIDTH, _NEAR = 0.6, 7
"""Values between spots: a Gaussian of 0.6 pitches over the seven nearest spots."""
_TRIES = 4
"""Poses, by agreement, that are moved on until it is largest."""
_GAIN = 0.01
"""Less is gained by chance: two good poses of real neighbours, half a pitch apart, differ by it."""
_FIRST_STEP = 4.0
"""Pitches of the first steps: a section cropped otherwise is some pitches off by its outline."""


def shared_components(moving: Section, fixed: Section, *, seed: int) -> Steps[tuple[Float, Float]]:
    """Principal components of both sections together, each about its own mean.

    Log-normalised values of up to 2,000 genes that vary in both, centred within each section
    (levels differ between slides), and the mean over each spot and its first ring.

    Returns
    -------
    (n_moving, c) float32, (n_fixed, c) float32
        ``c`` is 15, or fewer where there are few genes or spots.

    Raises
    ------
    DataError
        If a section holds no counts, or too few genes are common.
    """
    sections = (moving, fixed)
    common = moving.adata.var_names[moving.adata.var_names.isin(fixed.adata.var_names)]
    names = f"{moving.where} and {fixed.where}"
    if len(common) < 2:
        raise DataError(
            f"{names} have {len(common)} genes in common",
            "name genes the same way in both, or align without expression",
        )
    try:
        whole = [s.counts() for s in sections]
    except DataError as error:
        raise DataError(error.problem, f"{error.remedy}, or align without expression") from None
    totals = np.concatenate([np.asarray(c.sum(axis=1)).ravel() for c in whole])
    counts = sp.vstack(
        [c[:, s.adata.var_names.get_indexer(common)] for c, s in zip(whole, sections, strict=True)],
        format="csr",
    )
    codes = np.repeat([0, 1], [s.n_spots for s in sections])
    yield Progress(0, 3, "expression", message="Selecting genes that vary in both sections")
    least = min_cells_for(min(s.n_spots for s in sections))
    genes = select_genes(counts, n_top=N_GENES, min_cells=least, where=names, batches=codes)
    yield Progress(1, 3, "expression", message="Finding what varies in both sections")
    values = log_normalise(counts[:, genes], totals)
    mean = np.vstack([np.asarray(values[codes == code].mean(axis=0)) for code in (0, 1)])
    scores, _ = pca_within(values, codes, mean.astype(np.float32), N_COMPONENTS, seed=seed)
    yield Progress(2, 3, "expression")
    first, second = (_smoothed(scores[codes == code], s) for code, s in enumerate(sections))
    return first, second


def _smoothed(values: Float, section: Section) -> Float:
    ring = knn_graph(section.coords, section.lattice.ring)
    own = sp.identity(section.n_spots, dtype=np.float32, format="csr")
    return np.asarray(neighbour_mean((ring + own).tocsr(), values), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Agreement:
    """Measures, for any pose, how alike spots are that lie on one another.

    Parameters
    ----------
    moving, fixed
        (n, 2) spots in one unit.
    moving_values, fixed_values
        (n, c) components of `shared_components`.
    pitch
        Distance of neighbouring spots, the larger one where they differ.
    least
        Share of the moving spots that must lie on the other section.
    """

    moving: NDArray[np.float64]
    moving_values: Float
    fixed: NDArray[np.float64]
    fixed_values: Float
    pitch: float
    least: float

    @classmethod
    def of(
        cls,
        sections: Sequence[Section],
        places: Sequence[NDArray[np.float64]],
        pitches: Sequence[float],
        *,
        seed: int,
    ) -> Steps[Agreement]:
        """That of two sections, moving and fixed, whose spots are at ``places`` (n, 2).

        Large sections are thinned to 3,000 spots, drawn with ``seed``.
        """
        first, second = yield from shared_components(sections[0], sections[1], seed=seed)
        area = [len(place) * pitch**2 for place, pitch in zip(places, pitches, strict=True)]
        rows = np.arange(len(places[0]))
        if len(rows) > _MOST_SPOTS:
            chosen = np.random.default_rng(seed).choice(rows, _MOST_SPOTS, replace=False)
            rows = np.sort(chosen)
        least = _LEAST_OVERLAP * min(1.0, area[1] / area[0])
        return cls(places[0][rows], first[rows], places[1], second, max(pitches), least)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tree", cKDTree(self.fixed))

    def __call__(self, matrix: Matrix, *, smooth: bool = False) -> float:
        """Mean correlation over the components, each weighted by its standard deviations.

        Of each spot and the nearest one of the other section, if that is within a pitch; with
        ``smooth``, and the values between its spots. In [-1, 1]; -1 if too few spots meet.
        """
        place = moved(matrix, self.moving)
        near = min(_NEAR, len(self.fixed)) if smooth else 1
        tree: cKDTree = self._tree  # type: ignore[attr-defined]
        distance, index = tree.query(place, k=np.arange(1, near + 1))
        met = distance[:, 0] <= self.pitch * (1 + 1e-6)
        if met.mean() < self.least or met.sum() < 3:
            return -1.0
        distance, index = distance[met], index[met]
        weight = np.exp(-(distance**2 - distance[:, :1] ** 2) / (2 * (_WIDTH * self.pitch) ** 2))
        weight = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
        there = np.einsum("nk,nkc->nc", weight, self.fixed_values[index])
        return _correlation(self.moving_values[met], there)


def _correlation(a: Float, b: Float) -> float:
    """``sum_c cov_c / sum_c sd_c(a) sd_c(b)``: correlations weighted by both spreads."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    spread = float(np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0)).sum())
    return float((a * b).sum() / spread) if spread > 0 else 0.0


def refined_poses(poses: Sequence[Pose], agreement: Agreement) -> Steps[list[Pose]]:
    """``poses`` with their agreement, the best first, moved on where it then is larger.

    The four that agree best are turned and shifted until agreement is largest (Nelder-Mead). What
    comes out takes the place of a pose that it gains 0.01 on; its residual is NaN. Of poses less
    than two pitches apart that agree about as well, the one that fits the outline stays.
    """
    scored = [replace(pose, agreement=agreement(pose.matrix)) for pose in poses]
    scored.sort(key=_disagreement)
    for i, pose in enumerate(scored[:_TRIES]):
        yield Progress(i, _TRIES, "poses")
        matrix = _climbed(pose.matrix, agreement)
        climbed = replace(pose, matrix=matrix, agreement=agreement(matrix), residual=math.nan)
        if _disagreement(climbed) <= _disagreement(pose) - _GAIN:
            scored[i] = climbed
    # Those that climbed must be better by a step that is not chance.
    scored.sort(key=lambda pose: _disagreement(pose) + _GAIN * math.isnan(pose.residual))
    return distinct(scored, agreement.moving, APART * agreement.pitch)


def _disagreement(pose: Pose) -> float:
    assert pose.agreement is not None
    return -pose.agreement


def _climbed(matrix: Matrix, agreement: Agreement) -> Matrix:
    """The pose near ``matrix`` at which smooth agreement is largest."""
    centre = moved(matrix, agreement.moving).mean(axis=0)
    length = agreement.pitch
    # One step turns the ends of the section about as far as it shifts them.
    turn = length / max(float(np.ptp(agreement.moving, axis=0).max()), length)

    def pose(v: Points) -> Matrix:
        return np.asarray(rigid_about(centre, v[2] * turn, length * v[:2]) @ matrix)

    simplex = _FIRST_STEP * np.array([[-0.5, -0.5, -1], [1, -0.5, 0], [-0.5, 1, 0], [0, 0, 2]])
    best = minimize(
        lambda v: -agreement(pose(v), smooth=True),
        np.zeros(3),
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 0.01, "fatol": 1e-4, "maxfev": 200},
    )
    return pose(best.x)
