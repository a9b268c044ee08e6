"""Any kind of pixel to 8-bit RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["cmyk_to_rgb", "to_rgb8", "white_level"]


def white_level(sample: NDArray[Any]) -> float:
    """The value that stands for white, guessed from some of the pixels.

    Parameters
    ----------
    sample
        Pixels of any shape.

    Returns
    -------
    float
        255 for uint8 and 1 for bool; for wider integers the smallest of 8, 10, 12, 14, 16, 32
        bits that holds the sample; for fractions 1, or the same steps where values exceed 1.
    """
    if sample.dtype == np.uint8:
        return 255.0
    if sample.dtype == bool:
        return 1.0
    finite = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    largest = float(finite.max()) if finite.size else 1.0
    if sample.dtype.kind == "f" and largest <= 1.0 + 1e-6:
        return 1.0
    return next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if largest < 2.0**bits), 2.0**32 - 1)


def to_rgb8(pixels: NDArray[Any], white: float | None = None) -> NDArray[np.uint8]:
    """Grey, grey with alpha, RGB or RGBA pixels as RGB; transparency shows white.

    Parameters
    ----------
    pixels
        (rows, columns) or (rows, columns, 1 to 4) of any numeric type.
    white
        Value that stands for white; guessed from ``pixels`` where None.

    Returns
    -------
    (rows, columns, 3) uint8

    Raises
    ------
    ValueError
        If the shape is none of these.
    """
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4:
        raise ValueError(f"shape {pixels.shape} is neither grey nor RGB")
    eight = _to_eight(pixels, white_level(pixels) if white is None else white)
    channels = eight.shape[2]
    if channels in (2, 4):
        eight = _over_white(eight[:, :, :-1], eight[:, :, -1:])
    if eight.shape[2] == 1:
        eight = np.repeat(eight, 3, axis=2)
    return np.ascontiguousarray(eight)


def cmyk_to_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Inks (rows, columns, 4), 255 = full ink, as RGB."""
    paper = 255 - pixels.astype(np.uint16)
    return ((paper[:, :, :3] * paper[:, :, 3:] + 127) // 255).astype(np.uint8)


def _to_eight(pixels: NDArray[Any], white: float) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8 and white == 255:
        return pixels
    scaled = pixels.astype(np.float32) * np.float32(255.0 / white)
    whole = np.rint(np.nan_to_num(scaled, nan=0.0)).clip(0, 255)
    return np.asarray(whole, dtype=np.uint8)


def _over_white(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if (alpha == 255).all():
        return colour
    cover = alpha.astype(np.uint16)
    blended: NDArray[np.uint16] = colour * cover + 255 * (255 - cover)
    return np.asarray((blended + 127) // 255, dtype=np.uint8)
