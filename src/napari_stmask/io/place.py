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
    of one of these or at the ratio of the pixel sizes that image and section state. On Stereo-seq
    sections it begins at the file's origin where more spots lie inside there than at the chip's.

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
    inside = plain.contains(section.coords).mean()
    shifted = _in_frame_of_file(section, histology)
    if shifted is not None and shifted.contains(section.coords).mean() > inside:
        section.notes.append(f"{path} was placed at the origin of the file, not of the chip.")
        return shifted
    if inside >= 0.5:
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


def _in_frame_of_file(section: Section, histology: Histology) -> Histology | None:
    """At the origin of a Stereo-seq file that does not begin at the chip's; None for others.

    Registered images are made for the file's matrix, whose smallest coordinate is their first
    pixel.
    """
    offset = section.adata.uns.get("stereoseq", {}).get("offset")
    if offset is None or not np.any(offset):
        return None
    x, y = (float(v) for v in offset)
    return histology.placed(transform=np.array([[1.0, 0, -x], [0, 1.0, -y], [0, 0, 1.0]]))


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
