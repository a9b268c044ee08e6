"""What regular grid the spots of a section lie on, and how far apart they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["Lattice", "detect_lattice"]

Kind = Literal["hexagonal", "square", "irregular"]


@dataclass(frozen=True)
class Lattice:
    """Geometry of the spots.

    Attributes
    ----------
    kind
        ``"hexagonal"`` (Visium), ``"square"`` (legacy ST, bins) or ``"irregular"`` (cells).
    pitch
        Centre-to-centre distance of neighbouring spots, in units of the coordinates.
    """

    kind: Kind
    pitch: float

    @property
    def ring(self) -> int:
        """Spots in the first ring of a regular lattice; 6 for irregular positions."""
        return 4 if self.kind == "square" else 6

    @property
    def reach(self) -> float:
        """Farthest a point of the tissue can be from the spot whose tile covers it.

        Centre-to-corner distance of the lattice cell: ``pitch / sqrt(3)`` for hexagons,
        ``pitch / sqrt(2)`` for squares; 1.5 pitches for irregular positions.
        """
        if self.kind == "hexagonal":
            return self.pitch / math.sqrt(3)
        if self.kind == "square":
            return self.pitch / math.sqrt(2)
        return 1.5 * self.pitch


def detect_lattice(coords: NDArray[np.floating[Any]]) -> Lattice:
    """Tell hexagonal, square and irregular layouts apart by the shells around each spot.

    In a hexagonal lattice the six nearest spots are one pitch away and the next six
    sqrt(3); in a square lattice four are one pitch away and the next four sqrt(2).

    Parameters
    ----------
    coords
        (n_spots, 2) float, finite.

    Returns
    -------
    Lattice
        Irregular where fewer than half of the spots fit a lattice; pitch 1 for a single spot.
    """
    points = np.unique(np.asarray(coords, dtype=np.float64), axis=0)
    if len(points) < 2:
        return Lattice("irregular", 1.0)
    tree = cKDTree(points)
    nearest = tree.query(points, k=2)[0][:, 1]
    pitch = float(np.median(nearest))
    if len(points) < 7 or np.mean(np.abs(nearest - pitch) < 0.15 * pitch) < 0.8:
        return Lattice("irregular", pitch)
    near, far = (
        tree.query_ball_point(points, r * pitch, return_length=True) - 1 for r in (1.2, 1.58)
    )
    # Counts of a whole cell; spots at the outline have fewer and are not counted against it.
    hexagonal = np.mean((near == 6) & (far == 6))
    square = np.mean((near == 4) & (far == 8))
    if max(hexagonal, square) < 0.25:
        # Strips and small or torn sections: no spot has a whole cell, the densest pattern decides.
        return _from_angles(points, tree, pitch)
    return Lattice(
        "hexagonal" if hexagonal >= square else "square", _fine_pitch(points, tree, pitch)
    )


def _fine_pitch(points: NDArray[np.float64], tree: cKDTree, pitch: float) -> float:
    """Mean length of first-ring links: finer than the median when positions are rounded."""
    pairs = tree.query_pairs(1.2 * pitch, output_type="ndarray")
    return float(np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1).mean())


def _from_angles(points: NDArray[np.float64], tree: cKDTree, pitch: float) -> Lattice:
    """Decide by the direction of first-ring links, modulo 60 or 90 degrees."""
    pairs = tree.query_pairs(1.2 * pitch, output_type="ndarray")
    delta = points[pairs[:, 1]] - points[pairs[:, 0]]
    angle = np.arctan2(delta[:, 1], delta[:, 0])
    order = {fold: float(np.abs(np.exp(1j * fold * angle).mean())) for fold in (4, 6)}
    best = max(order, key=lambda fold: order[fold])
    if order[best] < 0.9:
        return Lattice("irregular", pitch)
    return Lattice("square" if best == 4 else "hexagonal", _fine_pitch(points, tree, pitch))
