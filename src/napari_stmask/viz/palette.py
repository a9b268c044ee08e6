"""Colours for domains that stay apart for colour-blind readers.

Okabe and Ito's colours without black, extended greedily by the largest minimum distance in
CAM02-UCS over normal, deuteranopic, protanopic and tritanopic vision (Machado et al., 2009).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..core.result import UNASSIGNED_COLOUR

__all__ = [
    "PALETTE",
    "UNASSIGNED_COLOUR",
    "domain_colors",
    "readable_text",
    "stored_colors",
    "to_rgb",
    "unused_colors",
]

PALETTE: tuple[str, ...] = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#694B69",
    "#B4F0D2", "#A569FF", "#962D2D", "#96B469", "#6900F0", "#69784B", "#A53C96", "#E1D2FF",
    "#FFB4D2", "#4BF078", "#1E694B", "#870FB4", "#D20000", "#B496C3", "#F00FE1", "#A5874B",
    "#D2F0A5", "#875A1E", "#A5C3FF", "#78A596", "#96D24B", "#FF7896", "#7878D2", "#C30078",
)  # fmt: skip


def to_rgb(colors: list[str] | tuple[str, ...]) -> NDArray[np.float64]:
    """(n, 3) float in [0, 1] from ``#RRGGBB`` strings."""
    return np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colors])


def readable_text(color: str) -> str:
    """``"#000000"`` or ``"#ffffff"``, whichever contrasts more with ``color`` (WCAG 2)."""
    channel = to_rgb([color])[0]
    linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ np.array([0.2126, 0.7152, 0.0722]))
    return "#000000" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "#ffffff"


def domain_colors(
    codes: NDArray[np.integer[Any]], graph: sp.csr_matrix, n_domains: int
) -> list[str]:
    """One colour per domain, so that domains that touch differ most.

    Starts with the palette in order and swaps pairs of colours as long as the summed colour
    distance over touching domains grows. Above 32 domains colours repeat.

    Parameters
    ----------
    codes
        (n_spots,) int, 0 .. n_domains - 1; negative where unassigned.
    graph
        (n_spots, n_spots) spatial neighbours.
    n_domains
        Number of colours wanted.

    Returns
    -------
    list of str
        ``#RRGGBB``.
    """
    chosen = np.arange(n_domains) % len(PALETTE)
    rgb = to_rgb(PALETTE)
    distance = np.linalg.norm(_opponent(rgb)[:, None] - _opponent(rgb)[None], axis=2)
    pair = sp.triu(graph, k=1).tocoo()
    a, b = codes[pair.row], codes[pair.col]
    known = (a >= 0) & (b >= 0) & (a != b)
    touching = np.zeros((n_domains, n_domains))
    np.add.at(touching, (a[known], b[known]), 1.0)
    # The square root keeps one long border from deciding alone.
    touching = np.sqrt(touching + touching.T)
    improved = True
    while improved:
        improved = False
        for i in range(n_domains):
            for j in range(i + 1, n_domains):
                # Only the rows of i and j change; their own border keeps its distance.
                border = touching[i] - touching[j]
                border[[i, j]] = 0
                gain = border @ (distance[chosen[j], chosen] - distance[chosen[i], chosen])
                if gain > 1e-9:
                    chosen[[i, j]] = chosen[[j, i]]
                    improved = True
    return [PALETTE[c] for c in chosen]


def _opponent(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lightness-weighted opponent coordinates (CIELAB) of sRGB colours."""
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(rgb[None])[0])


def stored_colors(stored: Any, names: list[str]) -> list[str]:
    """Colours that ``uns["<column>_colors"]`` holds, as scanpy writes them.

    Parameters
    ----------
    stored
        List in the order of ``names``, dictionary by name, or None.
    names
        Categories.

    Returns
    -------
    list of str
        One ``#RRGGBB`` a name; the palette's where one is missing or no such colour.
    """
    if isinstance(stored, Mapping):
        stored = [stored.get(name, UNASSIGNED_COLOUR) for name in names]
    given = [] if stored is None else [str(c) for c in stored]
    out = []
    for i in range(len(names)):
        color = given[i][:7] if i < len(given) else ""
        out.append(color if _is_hex(color) else PALETTE[i % len(PALETTE)])
    return out


def unused_colors(taken: Collection[str], count: int) -> list[str]:
    """``count`` colours of the palette, those that are not in ``taken`` first."""
    used = {color.upper() for color in taken}
    fresh = [color for color in PALETTE if color not in used]
    return (fresh + list(PALETTE) * (count // len(PALETTE) + 1))[:count]


def _is_hex(color: str) -> bool:
    digits = "0123456789abcdefABCDEF"
    return len(color) == 7 and color[0] == "#" and all(c in digits for c in color[1:])
