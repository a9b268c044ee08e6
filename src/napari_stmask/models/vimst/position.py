"""Smooth functions of the position, which the published ViMST feeds beside the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...core.section import Section
from .params import ViMSTParams

__all__ = ["waves", "with_position"]

_WAVES = 4
Float = NDArray[np.float32]


def waves(coords: NDArray[np.float64]) -> Float:
    """(n_spots, 4 * 4) sines and cosines of the position, from half a period per section on."""
    unit = (coords - coords.min(axis=0)) / max(float(np.ptp(coords, axis=0).max()), 1e-12)
    angles = np.concatenate([np.pi * 2.0**i * unit for i in range(_WAVES)], axis=1)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def with_position(features: Float, section: Section, params: ViMSTParams) -> Float:
    """The features, and smooth functions of the position where these were asked for."""
    if not params.position_features:
        return features
    return np.concatenate([features, waves(section.coords)], axis=1)
