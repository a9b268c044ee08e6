"""One section aligned to another, and whether the fit can be trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..core.errors import DataError
from ..core.progress import Steps
from ..core.section import Section
from .histology_alignment import histology_poses
from .outline_alignment import outline_poses, outline_residual, outline_spots
from .pose_agreement import Agreement, refined_poses
from .rigid import Matrix, Pose, moved

__all__ = ["Fit", "Pair", "fit_pair"]

_EXPRESSION = (0.35, 0.25)
"""Agreement of expression that is asked for, and how much more for each ``max_residual`` that the
outlines are farther apart than the first. Different tissues reach 0.24, neighbouring sections 0.75
to 0.91; but layers that are laid on one another the wrong way reach 0.78, then with outlines two
pitches apart."""
_IMAGES = (0.6, 0.6)
"""The same for images, which mostly agree where the outlines do: real neighbours reach 0.75 at
0.52 pitches, sections on mirror images 0.72 at 0.62 and 0.74 at 0.89 pitches."""
_SURE = 0.85
"""Agreement that is enough however far the outlines are apart."""
_MARGIN = 0.1
"""Agreement, or pitches of residual without it, that the next best pose must be worse by."""
_OTHERS = 4


@dataclass(frozen=True, eq=False)
class Pair:
    """The section to be moved and the one that stays, with factors to their common unit."""

    sections: tuple[Section, Section]
    scales: tuple[float, float]

    def __post_init__(self) -> None:
        both = list(zip(self.sections, self.scales, strict=True))
        places = [np.asarray(s.coords * scale, dtype=np.float64) for s, scale in both]
        object.__setattr__(self, "_places", places)
        object.__setattr__(self, "_pitches", [s.lattice.pitch * scale for s, scale in both])

    @property
    def places(self) -> list[NDArray[np.float64]]:
        """(n, 2) spots of each in the common unit."""
        return self._places  # type: ignore[attr-defined,no-any-return]

    @property
    def pitches(self) -> list[float]:
        """Pitch of each in the common unit."""
        return self._pitches  # type: ignore[attr-defined,no-any-return]

    @property
    def pitch(self) -> float:
        """The larger pitch: nothing can be told more finely than by the coarser lattice."""
        return max(self.pitches)

    def overlap(self, matrix: Matrix) -> float:
        """Share of the moved spots within one pitch of a spot of the other section."""
        distance = cKDTree(self.places[1]).query(moved(matrix, self.places[0]))[0]
        return float((distance <= self.pitch * (1 + 1e-6)).mean())

    def outlines(self) -> list[NDArray[np.float64]]:
        """(n, 2) spots of each outline."""
        return [
            place[outline_spots(place, replace(s.lattice, pitch=pitch))]
            for place, s, pitch in zip(self.places, self.sections, self.pitches, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Fit:
    """The pose that was chosen, why it is doubtful (or nothing), and other poses."""

    pose: Pose
    problem: str
    others: tuple[Pose, ...]


def fit_pair(
    pair: Pair,
    *,
    histology: bool,
    mirrors: bool,
    use_expression: bool,
    max_residual: float,
    seed: int,
) -> Steps[Fit]:
    """Lay the first section of ``pair`` on the second; see `align_sections`."""
    outlines = pair.outlines()
    try:
        poses = yield from outline_poses(outlines[0], outlines[1], pair.pitch, mirrors=mirrors)
    except DataError as error:
        names = " or ".join(s.where for s in pair.sections)
        raise DataError(f"{names}: {error.problem}", error.remedy) from None
    if histology:
        poses = yield from histology_poses(pair.sections, pair.scales, poses, pair.pitch)
    if use_expression:
        agreement = yield from Agreement.of(pair.sections, pair.places, pair.pitches, seed=seed)
        if histology:
            # The images are finer evidence of the place than spots are.
            poses = [replace(pose, agreement=agreement(pose.matrix)) for pose in poses]
            poses.sort(key=lambda pose: -(pose.agreement or 0.0))
        else:
            poses = yield from refined_poses(poses, agreement)
    poses = [
        replace(pose, residual=outline_residual(pose.matrix, *outlines))
        if math.isnan(pose.residual)
        else pose
        for pose in poses
    ]
    bar = _EXPRESSION if use_expression else _IMAGES
    return _chosen(poses, pair.pitch, max_residual, bar)


def _chosen(poses: list[Pose], pitch: float, max_residual: float, bar: tuple[float, float]) -> Fit:
    """The first pose, by what agrees or else by the outline, that holds; else the nearest to it."""
    lacks = [_lack(pose, pitch, max_residual, bar) for pose in poses]
    holding = [pose for pose, lack in zip(poses, lacks, strict=True) if lack <= 0]
    best = holding[0] if holding else poses[int(np.argmin(lacks))]
    problem = "" if holding else _doubt(best, pitch, min(lacks))
    if best.agreement is None:
        rivals = [p for p in poses if p.residual < best.residual + _MARGIN * pitch]
    else:
        rivals = [p for p in holding if (p.agreement or 0.0) > best.agreement - _MARGIN]
    count = sum(pose is not best for pose in rivals)
    if count:
        word = "Another pose fits" if count == 1 else f"{count} other poses fit"
        problem += (
            f" {word} about as well as this one (residual {best.residual / pitch:.2f} pitches)."
        )
    others = tuple(pose for pose in poses if pose is not best)
    return Fit(best, problem.strip(), others[:_OTHERS])


def _lack(pose: Pose, pitch: float, max_residual: float, bar: tuple[float, float]) -> float:
    """Agreement (else pitches) that a pose lacks to be trusted by itself; above 0 if it is not."""
    pitches = pose.residual / pitch
    if pose.agreement is None:
        return pitches - max_residual
    asked = min(_SURE, bar[0] + bar[1] * max(0.0, pitches / max_residual - 1))
    return asked - pose.agreement


def _doubt(pose: Pose, pitch: float, lack: float) -> str:
    text = f"The outlines are {pose.residual / pitch:.2f} pitches apart"
    if pose.agreement is None:
        return f"{text}."
    return (
        f"{text}, and what lies on one another agrees by {pose.agreement:.2f} only "
        f"({pose.agreement + lack:.2f} is asked for)."
    )
