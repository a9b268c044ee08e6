"""Put a separately given histology image where it belongs on a section."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.histology import Histology
from .alignment import read_alignment
from .images import open_histology

if TYPE_CHECKING:
    from ..core.section import Section

__all__ = ["place_image"]

_SAME_SIZE = 0.05


def place_image(section: Section, path: str | Path, alignment: str | Path | None = None) -> None:
    """Open a separately given image and put it on ``section`` where it fits.

    Without an alignment file the image is taken for the full-resolution one, unless its size is
    that of the section's high- or low-resolution image, or the spots lie inside only at the scale
    of one of these or at the ratio of the pixel sizes that image and section state.

    Parameters
    ----------
    section
        Receives the image, its pixel size where the section knew none, and a note where the fit
        is doubtful.
    path
        Image file, or OME-Zarr folder.
    alignment
        File with the transform; see `read_alignment`.

    Raises
    ------
    FileFormatError, MissingFileError
        See `open_histology` and `read_alignment`.
    DataError
        If the alignment does not belong to this section.
    """
    histology = open_histology(path)
    if alignment is not None:
        section.image = histology.placed(transform=read_alignment(alignment, section, histology))
    else:
        section.image = _at_best_scale(section, histology, str(path))
        _take_pixel_size(section, section.image, str(path))
    inside = float(section.image.contains(section.coords).mean())
    if inside < 0.9:
        section.notes.append(
            f"Only {inside:.0%} of the spots lie inside {path}: it may be another section's image "
            "or have another scale."
        )


def _at_best_scale(section: Section, histology: Histology, path: str) -> Histology:
    entry = (section.adata.uns.get("spatial") or {}).get(section.name) or {}
    factors = {
        key: float(entry["scalefactors"][f"tissue_{key}_scalef"])
        for key in ("hires", "lowres")
        if f"tissue_{key}_scalef" in entry.get("scalefactors", {})
    }
    scale = _scale_by_size(histology.shape, entry.get("images", {}), factors)
    if scale is not None:
        return histology.placed(scale=scale)
    plain = histology.placed(scale=1.0)
    if plain.contains(section.coords).mean() >= 0.5:
        return plain
    candidates = {f"the scale of the {key} image": factor for key, factor in factors.items()}
    if section.um_per_px and histology.um_per_px:
        stated = section.um_per_px / histology.um_per_px
        candidates[f"its stated {histology.um_per_px:.4g} µm per pixel"] = stated
    for reason, factor in candidates.items():
        scaled = histology.placed(scale=factor)
        if scaled.contains(section.coords).mean() > 0.99:
            section.notes.append(f"{path} was placed at {reason}.")
            return scaled
    return plain


def _take_pixel_size(section: Section, image: Histology, path: str) -> None:
    """Give the section the image's pixel size, or say that the two disagree."""
    if image.um_per_px is None:
        return
    stated = image.um_per_px * image.scale
    if section.um_per_px is None:
        section.um_per_px = stated
        section.notes.append(f"The scale of {stated:.4g} µm per unit was taken from {path}.")
    elif abs(stated - section.um_per_px) > _SAME_SIZE * section.um_per_px:
        section.notes.append(
            f"{path} states {stated:.4g} µm per unit, the section {section.um_per_px:.4g}; the "
            "section's is used."
        )


def _scale_by_size(shape: tuple[int, int], images: Any, factors: dict[str, float]) -> float | None:
    """The factor of the known image, or of its other resolution, that has this size."""
    for known, pixels in images.items():
        if known not in factors:
            continue
        full = np.asarray(np.shape(pixels)[:2]) / factors[known]
        for factor in factors.values():
            expected = full * factor
            if np.all(np.abs(expected - shape) <= 2 + 0.01 * expected):
                return factor
    return None
