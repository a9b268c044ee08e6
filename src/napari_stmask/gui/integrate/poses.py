"""Where chosen sections lie in one frame, as found and as corrected by hand; no Qt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...core.errors import DataError
from ...core.histology import inverse
from ...core.joining import common_scales, section_labels
from ...core.section import Section
from ...features.alignment import Alignment, given
from ...features.outline_alignment import outline_residual
from ...features.pair_alignment import Pair
from ...features.rigid import Matrix, is_mirrored, moved, rigid_about

__all__ = ["BY_HAND", "Chain", "Turn"]

BY_HAND = ("given", "landmarks")
"""Methods of alignments that no run would find again."""
_DOUBTFUL = 0.5
"""Pitches between the outlines from which a pose set by hand is doubtful."""


@dataclass(frozen=True)
class Turn:
    """A pose in numbers that a person can set.

    Attributes
    ----------
    angle
        Degrees, from x to y.
    dx, dy
        From the middle of the fixed section to that of the moving one, in µm (units of the
        coordinates where no scale is known).
    mirrored
        Whether the section is turned over, left to right, before it is turned.
    """

    angle: float = 0.0
    dx: float = 0.0
    dy: float = 0.0
    mirrored: bool = False

    @classmethod
    def of(cls, matrix: Matrix, middle: NDArray[Any], target: NDArray[Any]) -> Turn:
        """The turn nearest to a (3, 3) affine; ``middle`` (2,) moves, ``target`` (2,) stays."""
        mirrored = is_mirrored(matrix)
        linear = matrix[:2, :2] @ np.diag([-1.0 if mirrored else 1.0, 1.0])
        angle = math.atan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1])
        dx, dy = moved(matrix, middle[None])[0] - target
        return cls(math.degrees(angle), float(dx), float(dy), mirrored)

    def matrix(self, middle: NDArray[Any], target: NDArray[Any]) -> Matrix:
        """(3, 3) from coordinates of the moving section to those of the fixed one."""
        flip = np.diag([-1.0 if self.mirrored else 1.0, 1.0, 1.0])
        flip[0, 2] = 2 * middle[0] if self.mirrored else 0.0
        shift = target + np.array([self.dx, self.dy]) - middle
        return np.asarray(rigid_about(middle, math.radians(self.angle), shift) @ flip)


class Chain:
    """Sections in the order of a block, each laid on the one before it; the first one stays.

    Attributes
    ----------
    found
        Alignments as they were found.
    now
        As they are, with what was set by hand.
    """

    def __init__(self, sections: Sequence[Section], alignments: Sequence[Alignment]) -> None:
        self.sections = list(sections)
        self.found = tuple(alignments)
        self.now = list(alignments)
        self.labels = section_labels(self.sections)
        self.scales, _ = common_scales(self.sections, self.labels)
        self.unit = "\u00b5m" if self.sections[0].um_per_px is not None else "units"
        self._pairs: dict[int, tuple[Pair, list[NDArray[np.float64]]]] = {}

    def places(self, i: int) -> NDArray[np.float64]:
        """(n_spots, 2) x and y of a section in its own frame, in the common unit."""
        return np.asarray(self.sections[i].coords * self.scales[i], dtype=np.float64)

    def pitch(self, i: int) -> float:
        """The larger pitch of a section and the one that it is laid on."""
        both = (i, max(i - 1, 0))
        return max(self.sections[j].lattice.pitch * self.scales[j] for j in both)

    @property
    def doubts(self) -> list[str]:
        """Why the alignment should not be trusted, by section; empty where nothing says so."""
        pairs = zip(self.labels, self.now, strict=True)
        return [f"{label}: {one.problem}" for label, one in pairs if one.problem]

    @property
    def by_hand(self) -> bool:
        """Whether a pose was set that no run would find again."""
        return any(a is not b for a, b in zip(self.now, self.found, strict=True)) or any(
            one.method in BY_HAND for one in self.now
        )

    def middles(self, i: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(2,) middle of a section in its own frame, and of its neighbour in the common one."""
        fixed = self.now[i - 1].apply(self.places(i - 1))
        return self.places(i).mean(axis=0), fixed.mean(axis=0)

    def turn(self, i: int) -> Turn:
        """The present pose of a section in numbers."""
        return Turn.of(self.now[i].matrix, *self.middles(i))

    def measure(self, i: int, matrix: Matrix) -> tuple[float, float]:
        """Residual of the outlines in the common unit, and overlap, of a section at ``matrix``.

        Raises
        ------
        DataError
            If a section has no outline.
        """
        if i not in self._pairs:
            sections = (self.sections[i], self.sections[i - 1])
            pair = Pair(sections, (self.scales[i], self.scales[i - 1]))
            self._pairs[i] = pair, pair.outlines()
        pair, outlines = self._pairs[i]
        if min(map(len, outlines)) == 0:
            raise DataError(
                f"{self.labels[i]} or {self.labels[i - 1]} has no outline",
                "use sections with more spots",
            )
        relative = inverse(self.now[i - 1].matrix) @ matrix
        return outline_residual(relative, *outlines), pair.overlap(relative)

    def place(self, i: int, matrix: Matrix, *, method: str = "given") -> None:
        """Put a section by hand; those after it keep their place on it.

        Raises
        ------
        ParameterError
            If ``matrix`` is no affine that can be inverted.
        DataError
            If a section has no outline.
        """
        checked = given(matrix)
        residual, overlap = self.measure(i, checked.matrix)
        pitches = residual / self.pitch(i)
        problem = checked.problem
        if pitches > _DOUBTFUL:
            problem = f"{problem} The outlines are {pitches:.2f} pitches apart.".strip()
        follow = checked.matrix @ inverse(self.now[i].matrix)
        others = self.now[i].alternatives
        self.now[i] = replace(
            checked, method=method, residual=residual, overlap=overlap, problem=problem,
            alternatives=others,
        )  # fmt: skip
        self._carry(i, follow)

    def restore(self, i: int) -> None:
        """Put a section back on the one before it, as it was found."""
        found = self.found[i]
        matrix = self.now[i - 1].matrix @ inverse(self.found[i - 1].matrix) @ found.matrix
        follow = matrix @ inverse(self.now[i].matrix)
        same = np.allclose(matrix, found.matrix)
        self.now[i] = found if same else _moved(found, matrix)
        self._carry(i, follow)

    def _carry(self, i: int, follow: Matrix) -> None:
        """Move the sections after the i-th along with it."""
        for j in range(i + 1, len(self.now)):
            matrix = follow @ self.now[j].matrix
            same = np.allclose(matrix, self.found[j].matrix)
            self.now[j] = self.found[j] if same else _moved(self.now[j], matrix)

    def frame(self) -> pd.DataFrame:
        """One row a section: how well it lies on the one before it."""
        rows = []
        for i, (label, one) in enumerate(zip(self.labels, self.now, strict=True)):
            known = one.residual is not None
            rows.append(
                {
                    "section": label,
                    "method": one.method,
                    "residual": one.residual if known else np.nan,
                    "pitches": (one.residual or 0.0) / self.pitch(i) if known else np.nan,
                    "overlap": np.nan if one.overlap is None else one.overlap,
                    "mirrored": "yes" if one.mirrored else "no",
                    "fit": "doubtful" if one.problem else "good" if known else "\u2013",
                    "problem": one.problem,
                }
            )
        return pd.DataFrame(rows)


def _moved(alignment: Alignment, matrix: Matrix) -> Alignment:
    """The same fit to a neighbour that lies elsewhere."""
    change = matrix @ inverse(alignment.matrix)
    others = tuple(replace(p, matrix=change @ p.matrix) for p in alignment.alternatives)
    mirrored = is_mirrored(matrix)
    return replace(alignment, matrix=matrix, mirrored=mirrored, alternatives=others)
