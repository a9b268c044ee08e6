"""A picture of the domains over the histology, for files; draws without a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import OutputError
from ..core.section import Section
from ..io.atomic import atomic_path
from .palette import to_rgb
from .raster import SpotRaster, rasterise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FIGURE_SUFFIXES", "draw_domains", "nice_length", "save_domains_figure"]

FIGURE_SUFFIXES = (".png", ".pdf", ".svg", ".tif", ".tiff", ".jpg", ".jpeg")
"""Endings of the formats that figures are written in."""
_MAX_SIDE = 3000


def save_domains_figure(
    section: Section,
    codes: NDArray[np.integer[Any]],
    names: Sequence[str],
    colors: Sequence[str],
    path: str | Path,
    *,
    dpi: int = 200,
    opacity: float = 0.8,
) -> Path:
    """Write the domains over the histology, with legend and scale bar, to ``path``.

    Parameters
    ----------
    section
        Positions, image and physical scale.
    codes
        (n_spots,) int, index into ``names``; negative where unassigned.
    names, colors
        One name and one ``#RRGGBB`` per domain.
    path
        ``.png``, ``.pdf``, ``.svg``, ``.tif`` or ``.jpg``; appears complete or not at all.
    dpi
        Pixels per inch of the 7 inch wide figure.
    opacity
        Of the domains over the histology, in [0, 1].

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    OutputError
        If the suffix is unknown or the path cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in FIGURE_SUFFIXES:
        raise OutputError(
            f"{path} has the suffix '{path.suffix}', which is not one of a figure",
            f"use one of: {', '.join(FIGURE_SUFFIXES)}",
        )
    figure = draw_domains(section, codes, names, colors, opacity=opacity)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format=path.suffix.lower().lstrip("."))
    return path


def draw_domains(
    section: Section,
    codes: NDArray[np.integer[Any]],
    names: Sequence[str],
    colors: Sequence[str],
    *,
    opacity: float = 0.8,
    raster: SpotRaster | None = None,
) -> Figure:
    """The figure that `save_domains_figure` writes; needs no window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    raster = raster or rasterise(section.coords, section.lattice)
    unit = section.um_per_px or 1.0
    left, right, top, bottom = _view(section, raster)
    shape = (bottom - top) / (right - left)
    figure = Figure(figsize=(7.0, float(np.clip(5.2 * shape, 2.5, 12.0)) + 0.3))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.02, 0.72, 0.96))
    if section.image is not None:
        pixels, scale, (x, y) = section.image.picture(_MAX_SIDE)
        rows, columns = pixels.shape[:2]
        axes.imshow(
            pixels,
            extent=(x, x + columns / scale, y + rows / scale, y),
            interpolation="antialiased",
        )
    rows, columns = raster.index.shape
    x, y = raster.origin
    axes.imshow(
        raster.rgba(codes, to_rgb(list(colors))),
        extent=(x, x + columns * raster.step, y + rows * raster.step, y),
        interpolation="nearest",
        alpha=opacity if section.image is not None else 1.0,
    )
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axes.axis("off")
    _scale_bar(axes, right - left, unit, "µm" if section.um_per_px else "units")
    _legend(figure, codes, names, colors)
    return figure


def nice_length(longest: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above ``longest``."""
    power = 10.0 ** np.floor(np.log10(longest))
    return float(max(m * power for m in (1, 2, 5) if m * power <= longest * (1 + 1e-9)))


def _view(section: Section, raster: SpotRaster) -> tuple[float, float, float, float]:
    """Left, right, top, bottom of the shown field: the spots and a margin of two pitches."""
    rows, columns = raster.index.shape
    margin = 2 * section.lattice.pitch
    x, y = raster.origin
    return (
        x - margin,
        x + columns * raster.step + margin,
        y - margin,
        y + rows * raster.step + margin,
    )


def _scale_bar(axes: Axes, width: float, unit: float, label: str) -> None:
    """A bar of round length at the lower left, in axes fractions."""
    from matplotlib.patches import Rectangle

    length = nice_length(0.22 * width * unit)
    share = length / unit / width
    text = f"{length / 1000:g} mm" if label == "µm" and length >= 1000 else f"{length:g} {label}"
    back = Rectangle(
        (0.015, 0.012), share + 0.03, 0.062, transform=axes.transAxes, color="white", alpha=0.85
    )
    bar = Rectangle((0.03, 0.024), share, 0.008, transform=axes.transAxes, color="black")
    bar.set_gid("scale-bar")
    axes.add_patch(back)
    axes.add_patch(bar)
    axes.text(
        0.03 + share / 2, 0.04, text, transform=axes.transAxes, ha="center", va="bottom", fontsize=8
    )


def _legend(
    figure: Figure, codes: NDArray[np.integer[Any]], names: Sequence[str], colors: Sequence[str]
) -> None:
    from matplotlib.patches import Patch

    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    handles = [
        Patch(color=color, label=f"{name}  ({count:,})")
        for name, color, count in zip(names, colors, counts, strict=True)
    ]
    figure.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(0.75, 0.5),
        frameon=False,
        fontsize=9 if len(names) <= 24 else 6,
        title="Domain (spots)",
        title_fontsize=9,
        alignment="left",
    )
