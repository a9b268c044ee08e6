"""Places on the tissue where nothing was measured, and spots that lie beside it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from ..core.histology import Histology
from ..core.section import Section
from .patches import tissue_fraction

__all__ = ["MAX_POINTS", "spots_off_tissue", "tissue_grid"]

MAX_POINTS = 1_000_000
"""Most points of a grid over the whole image."""


def tissue_grid(
    section: Section,
    pitch: float,
    *,
    unit: Literal["um", "coords"] = "um",
    min_tissue: float = 0.5,
) -> NDArray[np.float64]:
    """Centres of the cells of a square grid that show tissue in the histology image.

    The grid covers the whole image, its rest halved between the borders, and is upright in the
    frame of the section.

    Parameters
    ----------
    section
        With an image.
    pitch
        Distance of neighbouring points, and the side of a cell.
    unit
        ``"um"``: micrometres. ``"coords"``: the unit of the section's coordinates.
    min_tissue
        Share of a cell, in (0, 1], that must show tissue.

    Returns
    -------
    numpy.ndarray
        (m, 2) float64 (x, y) in the section's coordinates, row by row.

    Raises
    ------
    ParameterError
        If pitch, unit or min_tissue are impossible, or the grid has more than `MAX_POINTS`.
    DataError
        If there is no image, micrometres are unknown, or no cell shows tissue.
    """
    image = _image(section)
    step = _step(section, pitch, unit)
    low, high = image.corners().min(axis=0), image.corners().max(axis=0)
    number = np.maximum(1, np.floor((high - low) / step * (1 + 1e-9)))
    if number.prod() > MAX_POINTS:
        least = np.sqrt((high - low).prod() / MAX_POINTS) * pitch / step
        raise ParameterError(
            f"{section.where}: a grid of pitch {pitch:g} has {number.prod():.0f} points, "
            f"the limit is {MAX_POINTS}",
            f"use a pitch of {least * 1.01:.3g} or more",
        )
    x, y = (
        a + (b - a - n * step) / 2 + step * (np.arange(int(n)) + 0.5)
        for a, b, n in zip(low, high, number, strict=True)
    )
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    on = _enough(image, points, step, min_tissue)
    if not on.any():
        raise DataError(
            f"The histology image {image.name} of {section.where} shows no tissue in a grid of "
            f"pitch {pitch:g}",
            "check the image, or use a smaller pitch or min_tissue",
        )
    return np.asarray(points[on])


def spots_off_tissue(
    section: Section, side: float, *, min_tissue: float = 0.5
) -> NDArray[np.bool_]:
    """(n_spots,) True for spots whose square shows too little tissue to say much.

    Parameters
    ----------
    section
        With an image.
    side
        Side of the square around a spot, in coordinate units.
    min_tissue
        Share of the square, in (0, 1], below which a spot is off the tissue.

    Raises
    ------
    ParameterError
        If side or min_tissue are impossible.
    DataError
        If there is no image.
    """
    image = _image(section)
    if not (np.isfinite(side) and side > 0):
        raise ParameterError(f"the side of a patch is {side}", "give a positive number")
    return ~_enough(image, section.coords, side, min_tissue)


def _enough(
    image: Histology, coords: NDArray[np.float64], side: float, min_tissue: float
) -> NDArray[np.bool_]:
    if not 0 < min_tissue <= 1:
        raise ParameterError(f"min_tissue is {min_tissue}", "use a share above 0 and up to 1")
    return np.asarray(tissue_fraction(image, coords, side) >= min_tissue)


def _image(section: Section) -> Histology:
    if section.image is None:
        raise DataError(
            f"{section.where} has no histology image", "add the H&E image of the section"
        )
    return section.image


def _step(section: Section, pitch: float, unit: str) -> float:
    """The pitch in coordinate units."""
    if not (np.isfinite(pitch) and pitch > 0):
        raise ParameterError(f"the pitch of the grid is {pitch}", "give a positive number")
    if unit == "coords":
        return float(pitch)
    if unit != "um":
        raise ParameterError(f"the unit of the pitch is '{unit}'", "use 'um' or 'coords'")
    if section.um_per_px is None:
        raise DataError(
            f"{section.where}: micrometres per coordinate unit are unknown",
            "set um_per_px of the section, or give the pitch in coordinate units",
        )
    return pitch / section.um_per_px
