"""A moving section over a fixed one on the canvas: two layers of points that leave again."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.histology import swap_axes
from ...features.rigid import Matrix
from ..layer_tuples import META, our_meta, to_rows_columns
from ..session import Session

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Points

__all__ = ["FIXED", "MOVING", "Overlay", "add_points", "affine_of", "selection_kept"]

FIXED, MOVING = "#56B4E9", "#E69F00"
_MOST = 20_000
"""Points of a section that are drawn; more would be slow to drag."""


class Overlay:
    """Points of two sections in the frame of the first one, whose place in the world is known."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._layers: list[weakref.ref[Layer]] = []
        self._origin: tuple[float, float] = (0.0, 0.0)

    @property
    def moving(self) -> Layer | None:
        """The layer of the moving section, unless the user has deleted it."""
        layers = self._present()
        return layers[-1] if len(layers) == 2 else None

    def _present(self) -> list[Layer]:
        viewer = self._session.viewer
        found = [layer() for layer in self._layers]
        return [x for x in found if viewer is not None and x is not None and x in viewer.layers]

    def show(
        self,
        parts: list[tuple[str, NDArray[np.float64], Matrix, float]],
        origin: tuple[float, float],
    ) -> None:
        """Draw two sections anew.

        Parameters
        ----------
        parts
            Of the fixed and of the moving section: name, (n, 2) x and y, (3, 3) pose, and the
            diameter of its points.
        origin
            Row and column in the world of the frame that poses lead to.
        """
        self.remove()
        viewer = self._session.viewer
        if viewer is None:
            return
        self._origin = origin
        for (name, places, matrix, size), color in zip(parts, (FIXED, MOVING), strict=True):
            layer = add_points(
                viewer,
                to_rows_columns(places[:: -(-len(places) // _MOST)]),
                name=f"{name} \u00b7 alignment",
                size=size,
                face_color=color,
                opacity=0.6,
                affine=self._affine(matrix),
            )
            self._layers.append(weakref.ref(layer))

    def move(self, matrix: Matrix) -> None:
        """Put the moving section elsewhere; a layer that was deleted stays so."""
        layer = self.moving
        if layer is not None:
            layer.affine = self._affine(matrix)

    def follow(self, origin: tuple[float, float]) -> None:
        """The frame lies elsewhere in the world; a layer that was dragged stays so."""
        step = origin[0] - self._origin[0], origin[1] - self._origin[1]
        self._origin = origin
        for layer in self._present():
            affine = np.array(layer.affine.affine_matrix)
            affine[:2, 2] += step
            layer.affine = affine

    def matrix(self) -> Matrix | None:
        """(3, 3) pose of the moving section as its layer lies now; None without the layer."""
        layer = self.moving
        return None if layer is None else affine_of(layer, self._origin)

    def remove(self) -> None:
        """Draw nothing."""
        layers, self._layers = self._present(), []
        viewer = self._session.viewer
        for layer in layers:
            assert viewer is not None
            viewer.layers.remove(layer)

    def _affine(self, matrix: Matrix) -> NDArray[np.float64]:
        affine = swap_axes(matrix)
        affine[:2, 2] += self._origin
        return affine


def affine_of(layer: Layer, origin: tuple[float, float]) -> Matrix:
    """(3, 3) from x and y of a layer's data to those of a frame whose ``origin`` is given.

    Whatever of scale, turn, shift and affine the layer's own transform is made of.
    """
    probe = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    world = np.array([layer.data_to_world(point)[-2:] for point in probe]) - origin
    affine = np.eye(3)
    affine[:2, :2] = (world[1:] - world[0]).T
    affine[:2, 2] = world[0]
    return swap_axes(affine)


def add_points(viewer: ViewerModel, places: NDArray[np.float64], **options: object) -> Points:
    """Points of this dock in (row, column); what the user has selected stays so."""
    ours = [layer for layer in viewer.layers if our_meta(layer)]
    with selection_kept(viewer):
        return viewer.add_points(
            places,
            border_width=0,
            units=tuple(map(str, ours[-1].units[-2:])) if ours else None,
            metadata={META: {"schema": 1, "role": "integrate"}},
            **options,
        )


@contextmanager
def selection_kept(viewer: ViewerModel) -> Iterator[None]:
    """Layers may come, and those that the user has selected stay selected."""
    chosen, active = set(viewer.layers.selection), viewer.layers.selection.active
    yield
    viewer.layers.selection = chosen
    viewer.layers.selection.active = active
