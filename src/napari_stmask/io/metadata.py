"""What a section knows beyond its AnnData, kept in ``uns`` of written files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData

    from ..core.section import Section

__all__ = ["SECTION_KEY", "with_image", "with_metadata"]

SECTION_KEY = "stmask_section"
_MAX_IMAGE_SIDE = 2000


def with_metadata(section: Section) -> AnnData:
    """A new AnnData over the same arrays, with name, platform and units in ``uns``."""
    from ..core.section import shallow_copy

    known = {
        "name": section.name,
        "platform": section.platform,
        "um_per_px": section.um_per_px,
        "counts_layer": section.counts_layer,
        "spot_diameter": section.spot_diameter,
    }
    adata = shallow_copy(section.adata)
    adata.uns[SECTION_KEY] = {key: value for key, value in known.items() if value is not None}
    return adata


def with_image(section: Section) -> AnnData:
    """`with_metadata`, and a small copy of the histology unless ``uns`` holds it already."""
    adata = with_metadata(section)
    # scanpy's images begin at coordinate 0; one that ends before has no place there.
    if section.image is not None and section.image.corners().max(axis=0).min() > 0:
        adata.uns["spatial"] = _with_image(section, adata.uns.get("spatial"))
    return adata


def _with_image(section: Section, spatial: Any) -> dict[str, Any]:
    """``uns["spatial"]`` in scanpy's layout, which knows a scale and no other transform."""
    image = section.image
    assert image is not None
    libraries: dict[str, Any] = dict(spatial) if isinstance(spatial, dict) else {}
    key = section.name.replace("/", "_")
    if key not in libraries and len(libraries) == 1:
        key = next(iter(libraries))
    entry = dict(libraries.get(key) or {})
    factors = dict(entry.get("scalefactors") or {})
    if not _is_stored(section, entry.get("images"), factors):
        pixels, scale = image.level_for(_MAX_IMAGE_SIDE)
        factors["tissue_hires_scalef"] = scale
        if section.spot_diameter is not None:
            factors.setdefault("spot_diameter_fullres", section.spot_diameter)
        images = dict(entry.get("images") or {}) | {"hires": np.ascontiguousarray(pixels)}
        entry |= {"images": images, "scalefactors": factors}
    return libraries | {key: entry}


def _is_stored(section: Section, images: Any, factors: dict[str, Any]) -> bool:
    """Whether the section's image is the platform's, at the place that its scale factor gives."""
    image = section.image
    if not images or image is None or image.source != section.source or not image.upright:
        return False
    known = [factors.get(f"tissue_{key}_scalef") for key in images]
    return any(value is not None and np.isclose(float(value), image.scale) for value in known)
