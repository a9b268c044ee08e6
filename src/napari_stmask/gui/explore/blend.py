"""Two or three genes as added colours: one picture over the tissue; no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...viz.palette import to_rgb
from ...viz.raster import SpotRaster
from ..limits import apart, default_limits, ordered

__all__ = ["BLEND_COLOURS", "Part", "colour_name", "mixed", "picture"]

BLEND_COLOURS = ("#FF00FF", "#00FF00", "#0080FF")
"""Magenta and green add up to white, and differ to people with red-green blindness."""
_NAMES = {
    "#FF00FF": "magenta", "#00FF00": "green", "#0080FF": "blue", "#FFFF00": "yellow",
    "#00FFFF": "cyan", "#FF8000": "orange", "#FF0000": "red", "#FFFFFF": "white",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Part:
    """One gene of a blend: (n_spots,) values, and the colour of its strongest spots."""

    gene: str
    values: NDArray[np.floating[Any]]
    colour: str


def colour_name(colour: str) -> str:
    """A word for a colour, for those who cannot tell it; the code where there is none."""
    return _NAMES.get(colour.upper(), colour)


def mixed(parts: Sequence[Part]) -> NDArray[np.float64]:
    """(n_spots, 3) sum of the colours in [0, 1], each as strong as its gene.

    A gene is as strong as its place between its median over all spots and its 99th percentile:
    from 0 on, genes that are found everywhere would turn all of the tissue white.
    """
    total = np.zeros((len(parts[0].values), 3))
    for part in parts:
        _, high = default_limits(ordered(part.values))
        low = float(np.nanmedian(part.values)) if np.isfinite(part.values).any() else 0.0
        low, high = apart(low, high)
        share = np.clip((np.nan_to_num(part.values) - low) / (high - low), 0, 1)
        total += share[:, None] * np.asarray(to_rgb([part.colour]))[0][:3]
    return np.clip(total, 0, 1)


def picture(raster: SpotRaster, parts: Sequence[Part]) -> NDArray[np.uint8]:
    """(rows, columns, 4) uint8 picture of the section's index map, clear off the tissue."""
    table = np.zeros((len(parts[0].values) + 1, 4), dtype=np.uint8)
    table[:-1, :3] = np.rint(mixed(parts) * 255)
    table[:-1, 3] = 255
    return np.asarray(table[raster.index])
