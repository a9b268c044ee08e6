"""Regions as they are edited: classes, shapes, spots given by hand; no Qt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ParameterError
from ...core.result import MAX_DOMAINS
from ...features.regions import covering, enclosed
from ...viz.palette import unused_colors
from ..predict.drawn_region import outline_of

__all__ = ["NO_CLASS", "UNCOVERED", "Regions", "Shape"]

NO_CLASS = ""
"""Class of shapes that take spots out of every class."""
UNCOVERED = -2
"""Where no shape lies; -1 is inside one of no class."""
Codes = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Shape:
    """One shape.

    Attributes
    ----------
    corners
        (m, 2) as napari keeps them, but (x, y) in the section's coordinates.
    kind
        napari's name of the type, such as ``"polygon"``.
    name
        Of its class, or `NO_CLASS`.
    """

    corners: NDArray[np.float64]
    kind: str
    name: str

    def same(self, other: Shape, hair: float) -> bool:
        """Whether two are equal, corners to ``hair``."""
        return (
            (self.kind, self.name) == (other.kind, other.name)
            and self.corners.shape == other.corners.shape
            and bool(np.allclose(self.corners, other.corners, rtol=0, atol=hair))
        )


@dataclass(frozen=True, eq=False)
class Regions:
    """Classes of the spots of a section; edits make a new one, so that undo keeps the old.

    Attributes
    ----------
    names, colors
        One name and one ``#RRGGBB`` a class.
    spots
        (n_spots,) int16 class of each spot without regard to shapes, -1 for none.
    over
        (n_spots,) True where that counts although a shape lies there.
    shapes
        The later one counts where two overlap.
    drawn
        (n_spots,) int16 class by the shapes alone; see `UNCOVERED`.
    """

    names: tuple[str, ...]
    colors: tuple[str, ...]
    spots: Codes
    over: NDArray[np.bool_]
    shapes: tuple[Shape, ...] = ()
    drawn: Codes = field(default_factory=lambda: np.zeros(0, dtype=np.int16))

    @classmethod
    def empty(cls, n: int) -> Regions:
        """Nothing annotated in ``n`` spots."""
        none = np.full(n, -1, dtype=np.int16)
        return cls((), (), none, np.zeros(n, dtype=bool), (), np.full(n, UNCOVERED, np.int16))

    @property
    def codes(self) -> NDArray[np.intp]:
        """(n_spots,) class of each spot, -1 for none."""
        by_shape = (self.drawn != UNCOVERED) & ~self.over
        return np.where(by_shape, self.drawn, self.spots).astype(np.intp)

    @property
    def counts(self) -> NDArray[np.intp]:
        """Spots per class."""
        codes = self.codes
        return np.bincount(codes[codes >= 0], minlength=len(self.names))

    def color_of(self, name: str) -> str | None:
        """Colour of a class, None for `NO_CLASS`."""
        return self.colors[self.names.index(name)] if name in self.names else None

    def with_class(self, name: str = "", color: str | None = None) -> Regions:
        """With one more class; its name and colour are chosen where none are given.

        Raises
        ------
        ParameterError
            If the name is taken, or there are too many.
        """
        if not name:
            number = len(self.names) + 1
            while f"Class {number}" in self.names:
                number += 1
            name = f"Class {number}"
        self._check(name)
        if len(self.names) >= MAX_DOMAINS:
            raise ParameterError(f"There are {len(self.names)} classes", "delete one first")
        color = color or unused_colors(self.colors, 1)[0]
        return replace(self, names=(*self.names, name), colors=(*self.colors, color))

    def renamed(self, row: int, name: str) -> Regions:
        """With another name for one class.

        Raises
        ------
        ParameterError
            If the name is empty or taken.
        """
        name, old = " ".join(name.split()), self.names[row]
        if name == old:
            return self
        self._check(name)
        shapes = tuple(replace(s, name=name) if s.name == old else s for s in self.shapes)
        names = (*self.names[:row], name, *self.names[row + 1 :])
        return replace(self, names=names, shapes=shapes)

    def _check(self, name: str) -> None:
        if not name:
            raise ParameterError("A class needs a name", "type one")
        if name in self.names:
            raise ParameterError(f"There is a class '{name}' already", "choose another name")

    def recoloured(self, row: int, color: str) -> Regions:
        """With another colour for one class."""
        colors = (*self.colors[:row], color, *self.colors[row + 1 :])
        return replace(self, colors=colors)

    def without_class(self, row: int, coords: Any) -> Regions:
        """Without one class, its shapes and its spots."""
        table = np.full(len(self.names) + 1, -1, dtype=np.int16)
        keep = [i for i in range(len(self.names)) if i != row]
        # The last entry is hit by the code -1.
        table[keep] = np.arange(len(keep))
        gone = self.names[row]
        fewer = replace(
            self,
            names=tuple(self.names[i] for i in keep),
            colors=tuple(self.colors[i] for i in keep),
            spots=table[self.spots],
            over=self.over & (self.spots != row),
        )
        return fewer._drawing([s for s in self.shapes if s.name != gone], coords)

    def given(self, rows: Any, code: int) -> Regions:
        """With spots of one class, or of none for -1, whatever shapes say."""
        codes = np.full(len(self.spots), UNCOVERED, dtype=np.int16)
        codes[rows] = code
        return self.listed(codes)

    def listed(self, codes: NDArray[Any]) -> Regions:
        """With a class for each spot where ``codes`` is not `UNCOVERED`."""
        told = codes != UNCOVERED
        spots = np.where(told, codes, self.spots).astype(np.int16)
        return replace(self, spots=spots, over=self.over | (told & (self.drawn != UNCOVERED)))

    def with_shapes(self, shapes: Iterable[Shape], coords: Any) -> Regions:
        """With other shapes; where they say something new, that counts.

        Parameters
        ----------
        shapes
            All of them; classes that are unknown are added.
        coords
            (n_spots, 2) positions of the spots.
        """
        shapes, known = tuple(shapes), self
        for name in dict.fromkeys(s.name for s in shapes):
            if name != NO_CLASS and name not in known.names:
                known = known.with_class(name)
        made = known._drawing(shapes, coords)
        return replace(made, over=made.over & (made.drawn == known.drawn))

    def _drawing(self, shapes: Sequence[Shape], coords: Any) -> Regions:
        """With these shapes and what they cover."""
        codes = {name: i for i, name in enumerate(self.names)} | {NO_CLASS: -1}
        closed = [(outline, s) for s in shapes if (outline := _outline(s)) is not None]
        drawn = np.full(len(self.spots), UNCOVERED, dtype=np.int16)
        if closed:
            area, spot = covering(coords, [outline for outline, _ in closed])
            # Sorted by shape: of several the last one stays.
            drawn[spot] = np.array([codes[s.name] for _, s in closed], dtype=np.int16)[area]
        over = self.over & (drawn != UNCOVERED)
        return replace(self, shapes=tuple(shapes), drawn=drawn, over=over)

    def taken_up(self, codes: NDArray[Any]) -> Regions:
        """The regions that ``codes`` are of: what the shapes do not explain was given by hand."""
        covered = self.drawn != UNCOVERED
        differs = ~covered | (codes != self.drawn)
        spots = np.where(differs, codes, -1).astype(np.int16)
        return replace(self, spots=spots, over=covered & differs)

    def same_shapes(self, shapes: Sequence[Shape], hair: float) -> bool:
        """Whether these are the shapes, corners to ``hair``."""
        return len(shapes) == len(self.shapes) and all(
            a.same(b, hair) for a, b in zip(self.shapes, shapes, strict=True)
        )


def _outline(shape: Shape) -> Any:
    """What a shape encloses; None for lines and for what has no area."""
    corners = outline_of(shape.corners, shape.kind)
    if corners is None or len(corners) < 3 or not np.isfinite(corners).all():
        return None
    return enclosed(corners)
