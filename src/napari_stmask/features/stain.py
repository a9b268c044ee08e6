"""Where the tissue is, and colours brought to one standard stain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from ..core.histology import Histology

__all__ = ["OVERVIEW", "Stain", "normaliser", "optical_density", "tissue_mask"]

Stain = Literal["none", "macenko", "reinhard"]
Pixels = NDArray[np.uint8]

OVERVIEW = 2048
"""Longest side, in pixels, of the copy of the image that tissue and stains are looked up in."""
_COLOUR = (8, 40)
"""Range of the threshold on max(R, G, B) - min(R, G, B): with no background at all in sight,
Otsu's threshold would part pale tissue from dark."""
_GREY = 12
"""An image whose colours differ by less than this between channels is a grey one."""
_LEAST_TISSUE = 500
_BLACK = 10
"""Value up to which all channels are a painted background, which stays as it is."""
_OD = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)
_SEEN = 0.15
"""Optical density below which a pixel carries no stain (Macenko's beta); here of the mean of the
channels, because pale eosin takes hardly any red away."""
_APART = 0.1
"""Angle, in radians, that two stains are apart at least."""
_TARGET_STAINS = np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]])
"""Rows: haematoxylin and eosin as optical density in R, G, B, of unit length."""
_TARGET_TOP = np.array([1.3, 0.7])
"""Haematoxylin and eosin that 99 % of the tissue stay below (natural logarithm)."""
_TARGET_LAB = np.array([[68.0, 18.0, -12.0], [14.0, 8.0, 6.0]])
"""Mean and standard deviation of tissue in CIE L*a*b*."""


def optical_density(pixels: Pixels) -> NDArray[np.float32]:
    """``-ln((v + 1) / 256)`` of 8-bit values, same shape, float32 in [0, 5.55]."""
    return _OD[pixels]


def tissue_mask(pixels: Pixels) -> NDArray[np.bool_]:
    """Which pixels show tissue, on a white as well as on a black background.

    Background of either kind has no colour, so Otsu's threshold is put on the difference
    between the largest and the smallest channel. A grey image is thresholded on how far it is
    from the brightness of its border.

    Parameters
    ----------
    pixels
        (rows, columns, 3) uint8.

    Returns
    -------
    numpy.ndarray
        (rows, columns) bool.
    """
    from skimage.filters import threshold_otsu

    otsu: Any = threshold_otsu
    colour = pixels.max(axis=2) - pixels.min(axis=2)
    if np.percentile(colour, 99) >= _GREY:
        return np.asarray(colour > np.clip(otsu(colour), *_COLOUR))
    grey = pixels[..., 1].astype(np.int16)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    away = np.abs(grey - int(np.median(border)))
    if away.max() < _GREY:
        return np.zeros(grey.shape, dtype=bool)
    return np.asarray(away > max(_COLOUR[0], otsu(away)))


def normaliser(image: Histology, stain: Stain) -> Callable[[Pixels], Pixels] | None:
    """A function that brings pixels (..., 3) uint8 of ``image`` to the standard stain.

    The statistics come once from the tissue of a coarse copy of the whole image, so that all
    patches are changed alike; the target is fixed, so that sections become comparable.

    Parameters
    ----------
    image
        Histology of the section.
    stain
        ``"macenko"``: stain vectors from the plane of optical densities (Macenko et al.,
        ISBI 2009). ``"reinhard"``: mean and spread in L*a*b* (Reinhard et al., IEEE CG&A 2001).
        ``"none"``: None is returned.

    Raises
    ------
    ParameterError
        For another name.
    DataError
        If the image shows too little stained tissue to estimate from.
    """
    if stain not in get_args(Stain):
        raise ParameterError(
            f"stain is '{stain}'", f"use one of {', '.join(map(repr, get_args(Stain)))}"
        )
    if stain == "none":
        return None
    pixels = image.picture(OVERVIEW)[0]
    tissue = pixels[tissue_mask(pixels)]
    if len(tissue) < _LEAST_TISSUE:
        raise DataError(
            f"The histology image {image.name} shows too little tissue to normalise its stain",
            "use stain='none' or check the image",
        )
    change = _macenko(tissue, image.name) if stain == "macenko" else _reinhard(tissue)

    def apply(pixels: Pixels) -> Pixels:
        black = (pixels <= _BLACK).all(axis=-1, keepdims=True)
        return np.where(black, pixels, change(pixels))

    return apply


def _macenko(tissue: Pixels, name: str) -> Callable[[Pixels], Pixels]:
    density = optical_density(tissue).astype(np.float64)
    density = density[density.mean(axis=1) > _SEEN]
    unusable = DataError(
        f"The histology image {name} does not show the two stains of Macenko's normalisation",
        "use stain='none' or 'reinhard'",
    )
    if len(density) < _LEAST_TISSUE:
        raise unusable
    # The two stains span a plane; they are its robust extreme directions.
    plane = np.linalg.eigh(np.cov(density.T))[1][:, 1:]
    plane *= np.where(plane.sum(axis=0) < 0, -1, 1)
    along = density @ plane
    angles = np.percentile(np.arctan2(along[:, 0], along[:, 1]), [1, 99])
    if np.ptp(angles) < _APART:
        raise unusable
    found = np.stack([np.sin(angles), np.cos(angles)], axis=1) @ plane.T
    # Haematoxylin absorbs more red than eosin does.
    found = found[np.argsort(-found[:, 0])]
    source = _with_rest(found)
    top = np.percentile(density @ np.linalg.inv(source), 99, axis=0)[:2]
    gain = np.append(_TARGET_TOP / np.maximum(top, 0.05), 1.0)
    change = np.linalg.inv(source) @ np.diag(gain) @ _with_rest(_TARGET_STAINS)
    change = change.astype(np.float32)

    def apply(pixels: Pixels) -> Pixels:
        light = 256 * np.exp(-(optical_density(pixels) @ change)) - 1
        return np.asarray(np.clip(np.rint(light), 0, 255), dtype=np.uint8)

    return apply


def _with_rest(stains: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) unit rows: two stains and what is orthogonal to both."""
    rest = np.cross(stains[0], stains[1])
    rows = np.vstack([stains, rest])
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6))


def _reinhard(tissue: Pixels) -> Callable[[Pixels], Pixels]:
    from skimage.color import lab2rgb, rgb2lab

    lab = rgb2lab(tissue)
    mean, spread = lab.mean(axis=0), np.maximum(lab.std(axis=0), 1e-3)

    def apply(pixels: Pixels) -> Pixels:
        moved = (rgb2lab(pixels) - mean) / spread * _TARGET_LAB[1] + _TARGET_LAB[0]
        # Outside of what a screen shows: clipped, without the warning for each patch.
        moved[..., 0] = np.clip(moved[..., 0], 0, 100)
        return np.asarray(np.rint(255 * np.clip(lab2rgb(moved), 0, 1)), dtype=np.uint8)

    return apply
