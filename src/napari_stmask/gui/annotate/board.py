"""The regions of one section and column: picked up, edited with undo, written to obs; no Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...annotations import (
    Annotation,
    check_column,
    stored_annotation,
    write_annotation,
)
from ..model import Item
from . import shapes_layer
from .regions import Regions, Shape

if TYPE_CHECKING:
    from napari.layers import Shapes

__all__ = ["Board"]

_MOST = 60
"""Edits that can be taken back."""
_HAIR = 1e-4
"""Of the distance between spots: what moving coordinates to the world and back may lose."""


class Board:
    """What is edited.

    Parameters
    ----------
    item
        The section.
    column
        Column of its ``obs``.
    layer
        Shapes that were drawn for it before, or None.

    Attributes
    ----------
    state
        The regions as they are.
    source
        File that says the same as ``obs`` does now, or None.
    """

    def __init__(self, item: Item, column: str, layer: Shapes | None = None) -> None:
        # A layer that was drawn for it proves whose the column is.
        self._proved = layer is not None
        if not self._proved:
            check_column(item.section.adata, column)
        self.item, self.column, self.section = item, column, item.section
        self.source: str | None = None
        self.state = self._picked_up(layer)
        self._past: list[Regions] = []
        self._future: list[Regions] = []

    def _picked_up(self, layer: Shapes | None) -> Regions:
        """From the layer and ``obs`` alone, as they come back from a file."""
        adata, coords = self.section.adata, self.section.coords
        state = Regions.empty(self.section.n_spots)
        stored = stored_annotation(adata, self.column)
        for name, color in zip(stored.names, stored.colors, strict=True) if stored else ():
            state = state.with_class(name, color)
        if layer is not None:
            state = state.with_shapes(shapes_layer.read(layer, self.item), coords)
        return state.taken_up(stored.codes) if stored is not None else state

    @property
    def coords(self) -> NDArray[np.floating]:
        """(n_spots, 2) positions."""
        return self.section.coords

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether an edit was taken back."""
        return bool(self._future)

    def edit(self, state: Regions) -> None:
        """Make ``state`` current; `undo` brings the present one back."""
        if state is self.state:
            return
        self._past = [*self._past[-_MOST:], self.state]
        self._future.clear()
        self._take(state)

    def undo(self) -> None:
        """Take the last edit back."""
        if self._past:
            self._future.append(self.state)
            self._take(self._past.pop())

    def redo(self) -> None:
        """Make the edit again that was taken back last."""
        if self._future:
            self._past.append(self.state)
            self._take(self._future.pop())

    def _take(self, state: Regions) -> None:
        self.state, self.source = state, None

    def knows(self, shapes: list[Shape]) -> bool:
        """Whether these are the shapes of the present state."""
        return self.state.same_shapes(shapes, _HAIR * self.section.lattice.pitch)

    @property
    def answer(self) -> Annotation:
        """The classes of the spots as they are now."""
        state = self.state
        return Annotation(state.codes, state.names, state.colors)

    @property
    def current(self) -> bool:
        """Whether ``obs`` says what the regions say."""
        stored, answer = stored_annotation(self.section.adata, self.column), self.answer
        if stored is None:
            return not (answer.codes >= 0).any()
        return (
            stored.names == answer.names
            and stored.colors == answer.colors
            and bool(np.array_equal(stored.codes, answer.codes))
        )

    def write(self) -> bool:
        """Bring ``obs`` up to date; whether something was written.

        A column comes into being with its first annotated spot.

        Raises
        ------
        ParameterError
            If the column has become another's.
        """
        adata = self.section.adata
        if not self._proved:
            check_column(adata, self.column)
        if self.current:
            return False
        write_annotation(adata, self.column, self.answer, source=self.source)
        return True
