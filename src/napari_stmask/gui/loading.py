"""From a path, a sample or napari's selected layers to sections; no Qt, runs in workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData

from ..core.errors import DataError
from ..core.histology import Histology, checked_affine, inverse, swap_axes
from ..core.section import PLATFORM_NAMES, Section
from ..viz.raster import SpotRaster, rasterise
from .layer_tuples import our_meta

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["Loaded", "inside_image", "layer_to_histology", "load_path", "load_sample", "report"]

Loaded = list[tuple[Section, SpotRaster]]
INSIDE_ENOUGH = 0.95
_TIMES = "\u00d7"


def load_path(path: str | Path, options: Mapping[str, Any] | None = None) -> Loaded:
    """Read a file or folder with options of `io.read.read`, and make the index maps."""
    from ..io.read import read_sections

    return _with_rasters(read_sections(path, **(options or {})))


def load_sample() -> Loaded:
    """The generated example."""
    from ..io.sample import sample_section

    return _with_rasters([sample_section()])


def load_adata(adata: AnnData) -> Loaded:
    """The section around an AnnData; answers land on this very object."""
    from ..pipeline import as_section

    return _with_rasters([as_section(adata)])


def _with_rasters(sections: Iterable[Section]) -> Loaded:
    return [(section, rasterise(section.coords, section.lattice)) for section in sections]


def report(section: Section) -> list[tuple[str, str]]:
    """What was found, as rows of (label, text)."""
    scale = f"{section.um_per_px:.4g} µm per pixel" if section.um_per_px else "unknown scale"
    rows = [
        ("Section", section.name),
        ("Platform", PLATFORM_NAMES[section.platform]),
        ("Size", f"{section.n_spots:,} spots {_TIMES} {section.n_genes:,} genes"),
        ("Scale", scale),
    ]
    if section.image is None:
        rows.append(("Image", "none; use Add histology image"))
    else:
        height, width = section.image.shape
        rows.append(("Image", f"{section.image.name}, {width:,} {_TIMES} {height:,} pixels"))
    return rows


def inside_image(section: Section) -> float:
    """Share of the spots that lie inside the image, in [0, 1]; 1 without an image."""
    if section.image is None:
        return 1.0
    return float(section.image.contains(section.coords).mean())


def adata_of(layer: Layer) -> AnnData | None:
    """The AnnData that another plugin keeps on a layer."""
    found = layer.metadata.get("adata")
    return found if isinstance(found, AnnData) else None


def layer_to_histology(
    layer: Layer, section: Section, offset: tuple[float, float] = (0.0, 0.0)
) -> Histology:
    """An RGB image layer as histology of ``section``, where the user has put it in the viewer.

    Scale, shift, rotation, shear and affine of the layer count, however they were set: by hand,
    by landmarks or by code. A layer that nobody has placed is taken for the full-resolution
    image, whose pixels are the section's coordinates.

    Parameters
    ----------
    layer
        RGB image of 8 bit, multi-scale or not.
    section
        Whose coordinates are meant.
    offset
        (row, column) of the section's origin in the viewer, in world units.

    Raises
    ------
    DataError
        If the layer is no such image.
    """
    levels: list[Any] = list(layer.data) if getattr(layer, "multiscale", False) else [layer.data]
    if not getattr(layer, "rgb", False) or np.asarray(levels[0][:1, :1]).dtype != np.uint8:
        raise DataError(
            f"The layer '{layer.name}' is not an 8-bit RGB image", "select a colour image layer"
        )
    unit = section.um_per_px or 1.0
    world = np.array([layer.data_to_world(p)[-2:] for p in ((0, 0), (1, 0), (0, 1))])
    if np.allclose(world, [[0, 0], [1, 0], [0, 1]]) and not our_meta(layer):
        return Histology([level[..., :3] for level in levels], name=layer.name)
    # A step down, a step right and the centre of the first pixel, in rows and columns.
    steps = np.column_stack([world[1] - world[0], world[2] - world[0], world[0] - offset])
    forward = swap_axes(np.vstack([steps, [0.0, 0.0, 1.0]]))
    corner = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    to_coords = np.diag([1 / unit, 1 / unit, 1.0]) @ forward @ corner
    matrix = inverse(checked_affine(to_coords, f"the layer '{layer.name}'"))
    return Histology([level[..., :3] for level in levels], name=layer.name, transform=matrix)
