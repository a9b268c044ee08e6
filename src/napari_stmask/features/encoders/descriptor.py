"""Colour and texture of a patch as 118 numbers, without weights."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .base import Triple

__all__ = ["DESCRIPTOR_DIM", "Descriptor"]

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_PIXELS_AT_ONCE = 224**2
"""Pixels of the patches worked on together: their planes stay in the processor's cache."""
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LOW, _STEP = -0.5, 0.01
"""First value and width of the 256 classes of stain, in optical density (natural logarithm)."""
_OCTAVES = 4
_HAEMATOXYLIN = (0.2, 0.4, 0.7)
"""Amounts above which a pixel counts as nucleus, faint to dark."""
_NUCLEUS = 0.03
"""Least response of the Laplacian at the middle of a nucleus."""
_PALE = 0.1
"""Optical density up to which a pixel is background."""
_RADII = (1, 2, 4)
_GRID = 8
DESCRIPTOR_DIM = 118
"""6 x 8 statistics of colour, 4 x 8 of texture, 3 x 10 local binary patterns, 8 of structure."""


class Descriptor:
    """The built-in encoder: colour statistics, edges, blobs and local binary patterns.

    Stains by colour deconvolution (Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 2001),
    uniform local binary patterns after Ojala et al. (IEEE PAMI 2002), edges and blobs over four
    octaves of a Gaussian pyramid (sigma 1, 2.2, 4.6 and 9.2 pixels).

    The numbers, in their order: mean, standard deviation, skewness and the 5, 25, 50, 75 and
    95 % points of haematoxylin, eosin, red, green, blue and saturation (48); for each octave
    mean and standard deviation of the gradient, and standard deviation and 2 % point of the
    Laplacian, of haematoxylin and eosin (32); for radii 1, 2 and 4 the shares of the ten
    uniform patterns of haematoxylin (30); shares of the patch above three amounts of
    haematoxylin, number of nuclei, share of background, and over an 8 x 8 grid the spread of
    haematoxylin between the cells, the mean and the spread of the spread within them (8).
    """

    id = "descriptor-v1"
    dim = DESCRIPTOR_DIM
    input_px: int | None = None
    um_per_px: float | None = None
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    licence = "BSD-3-Clause, part of napari-stmask; no weights"
    gated = False

    def encode(self, patches: Bytes) -> Float:
        """(n, 118) float32, finite, from (n, height, width, 3) uint8; sides of 8 pixels or more."""
        found = np.empty((len(patches), self.dim), dtype=np.float32)
        together = max(1, _PIXELS_AT_ONCE // max(1, patches.shape[1] * patches.shape[2]))
        for start in range(0, len(patches), together):
            rows = slice(start, start + together)
            found[rows] = _describe(patches[rows])
        return found


@cache
def _tables() -> tuple[Float, Bytes]:
    """(3, 2, 256) stains of each channel's values; (256,) class of each binary pattern."""
    from skimage.color import hed_from_rgb

    density = -np.log((np.arange(256) + 1) / 256)
    stains = np.einsum("v,cs->csv", density, hed_from_rgb[:, :2]).astype(np.float32)
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    turns = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    pattern = np.where(turns <= 2, bits.sum(axis=1), 9).astype(np.uint8)
    return stains, pattern


def _describe(patches: Bytes) -> Float:
    n = len(patches)
    stains = _tables()[0]
    planes = np.ascontiguousarray(np.moveaxis(patches, 3, 0))
    amounts = [sum(stains[c, s][planes[c]] for c in range(3)) for s in range(2)]
    classes = [
        np.clip((amount - _LOW) * (1 / _STEP), 0, 255).astype(np.uint8) for amount in amounts
    ]
    top, bottom = planes.max(axis=0), planes.min(axis=0)
    saturation = _ratio(top - bottom, top)
    histograms = [_histogram(p.reshape(n, -1)) for p in (*classes, *planes, saturation)]
    units = [(_LOW + _STEP / 2, _STEP)] * 2 + [(0.0, 1 / 255)] * 4
    colour = [_statistics(h, *unit) for h, unit in zip(histograms, units, strict=True)]
    texture, blobs = zip(*(_octaves(amount) for amount in amounts), strict=True)
    patterns = [_patterns(classes[0], radius) for radius in _RADII]
    structure = _structure(amounts[0], histograms[0], bottom, blobs[0])
    return np.concatenate([*colour, *texture, *patterns, structure], axis=1)


def _ratio(part: Bytes, whole: Bytes) -> Bytes:
    """``255 part / whole`` of bytes, 0 where ``whole`` is 0."""
    inverse = np.zeros(256, dtype=np.float32)
    inverse[1:] = 255 / np.arange(1, 256)
    return (part * inverse[whole]).astype(np.uint8)


def _histogram(values: Bytes) -> NDArray[np.int64]:
    """(n, 256) counts of each row of (n, pixels) bytes."""
    return np.stack([np.bincount(row, minlength=256) for row in values])


def _statistics(histogram: NDArray[np.int64], first: float, step: float) -> Float:
    """(n, 8): mean, standard deviation, skewness and five quantiles of what was counted."""
    value = first + step * np.arange(256)
    share = histogram / histogram.sum(axis=1, keepdims=True)
    mean = share @ value
    away = value - mean[:, None]
    spread = np.sqrt((share * away**2).sum(axis=1))
    # Flat patches have no skewness; rounding must not invent one.
    skew = (share * away**3).sum(axis=1) / np.maximum(spread, step) ** 3
    below = share.cumsum(axis=1)
    points = [value[(below < q - 1e-12).sum(axis=1).clip(0, 255)] for q in _QUANTILES]
    return np.stack([mean, spread, skew, *points], axis=1).astype(np.float32)


def _octaves(amount: Float) -> tuple[Float, list[Float]]:
    """(n, 16) statistics of edges and blobs, and the Laplacians of all octaves."""
    found, blobs = [], []
    for octave in range(_OCTAVES):
        smooth = _smooth(amount)
        across = smooth[:, 1:-1, 2:] - smooth[:, 1:-1, :-2]
        down = smooth[:, 2:, 1:-1] - smooth[:, :-2, 1:-1]
        edge = np.sqrt(across * across + down * down).reshape(len(amount), -1)
        blob = smooth[:, 1:-1, 2:] + smooth[:, 1:-1, :-2]
        blob += smooth[:, 2:, 1:-1]
        blob += smooth[:, :-2, 1:-1]
        blob -= 4 * smooth[:, 1:-1, 1:-1]
        flat = blob.reshape(len(amount), -1)
        second = int(0.02 * (flat.shape[1] - 1))
        low = np.partition(flat, second, axis=1)[:, second]
        found += [edge.mean(axis=1), edge.std(axis=1), flat.std(axis=1), low]
        blobs.append(blob)
        if octave + 1 < _OCTAVES:
            inner = smooth[:, 1:-1, 1:-1]
            amount = inner[:, ::2, ::2]
    return np.stack(found, axis=1), blobs


def _smooth(plane: Float) -> Float:
    """Binomial 1 4 6 4 1 along both axes (sigma 1), one pixel wider on each side."""
    # The border is repeated, three pixels deep: two for the filter, one for the derivatives.
    wide = np.pad(plane, ((0, 0), (3, 3), (3, 3)), mode="edge")
    for _ in range(4):
        wide = wide[:, 1:] + wide[:, :-1]
    for _ in range(4):
        wide = wide[:, :, 1:] + wide[:, :, :-1]
    wide *= 1 / 256
    return wide


def _patterns(classes: Bytes, radius: int) -> Float:
    """(n, 10) shares of the uniform binary patterns on a ring of eight pixels."""
    pattern = _tables()[1]
    n, rows, columns = classes.shape
    radius = min(radius, (min(rows, columns) - 1) // 2)
    diagonal = max(1, round(radius * 0.7071))
    middle = classes[:, radius:-radius, radius:-radius]
    ring = [(0, radius), (diagonal, diagonal), (radius, 0), (diagonal, -diagonal)]
    ring += [(-y, -x) for y, x in ring]
    code = np.zeros(middle.shape, dtype=np.uint8)
    for bit, (y, x) in enumerate(ring):
        other = classes[:, radius + y : rows - radius + y, radius + x : columns - radius + x]
        code |= (other >= middle).view(np.uint8) << np.uint8(bit)
    counts = _histogram(code.reshape(n, -1))
    found = np.zeros((n, 10), dtype=np.float32)
    np.add.at(found.T, pattern, counts.T)
    return found / np.float32(middle.shape[1] * middle.shape[2])


def _structure(
    amount: Float, histogram: NDArray[np.int64], bottom: Bytes, blobs: list[Float]
) -> Float:
    """(n, 8) nuclei, background and how evenly haematoxylin is spread."""
    n, rows, columns = amount.shape
    above = histogram[:, ::-1].cumsum(axis=1)[:, ::-1] / (rows * columns)
    areas = [above[:, round((t - _LOW) / _STEP)] for t in _HAEMATOXYLIN]
    # A nucleus is about an eighth of a patch of one spot, whatever its pixels.
    octave = int(np.clip(np.log2(max(rows, 1) / 28), 0, _OCTAVES - 1))
    nuclei = _peaks(-blobs[octave])
    pale = (bottom >= 255 * np.exp(-_PALE)).reshape(n, -1).mean(axis=1)
    high, wide = max(1, rows // _GRID), max(1, columns // _GRID)
    down, across = rows // high, columns // wide
    cells = amount[:, : down * high, : across * wide].reshape(n, down, high, across, wide)
    mean = cells.mean(axis=(2, 4))
    square = np.square(cells).mean(axis=(2, 4))
    within = np.sqrt(np.maximum(square - mean**2, 0)).reshape(n, -1)
    between = mean.reshape(n, -1).std(axis=1)
    spread = [between, within.mean(axis=1), within.std(axis=1)]
    return np.stack([*areas, nuclei, pale, *spread], axis=1).astype(np.float32)


def _peaks(height: Float) -> NDArray[np.float64]:
    """(n,) number of local maxima above `_NUCLEUS`; of equal neighbours the first one counts."""
    if min(height.shape[1:]) < 3:
        return np.zeros(len(height))
    row = np.maximum(np.maximum(height[:, :, 2:], height[:, :, :-2]), height[:, :, 1:-1])
    middle = height[:, 1:-1, 1:-1]
    before = np.maximum(row[:, :-2], height[:, 1:-1, :-2])
    after = np.maximum(row[:, 2:], height[:, 1:-1, 2:])
    tops = (middle > before) & (middle >= after) & (middle > _NUCLEUS)
    return np.asarray(tops.sum(axis=(1, 2)), dtype=np.float64)
