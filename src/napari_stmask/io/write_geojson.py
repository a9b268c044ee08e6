"""Outlines of domains as GeoJSON that QuPath imports as annotations."""

from __future__ import annotations

import json
import math
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .domains_of import domains_of

if TYPE_CHECKING:
    from ..core.section import Section

__all__ = ["write_geojson"]

_DECIMALS = 2
"""Hundredths of a pixel, finer than any microscope; more where spots are closer than 10 units."""
_NAMESPACE = uuid.UUID("6f1c0c52-2a5e-4b0e-9a39-2f8f2b3f7c11")


def write_geojson(section: Section, path: Path, column: str | None = None) -> None:
    """Write one feature a domain, with its name and colour as QuPath's classification.

    Coordinates are those of the section: full-resolution pixels (x, y) where it has any. On a
    section whose histology was aligned by a transform they are pixels of that image.

    Parameters
    ----------
    section
        With domains.
    path
        File to write.
    column
        Column of ``obs``; what the latest run wrote by default.

    Raises
    ------
    ParameterError
        See `domains_of`.
    """
    from shapely import orient_polygons, set_precision, transform
    from shapely.geometry import mapping

    from ..viz.outlines import domain_outlines, tile_polygons

    found = domains_of(section, column)
    image = section.image
    turned = image is not None and not image.upright
    outlines = domain_outlines(tile_polygons(section.coords, section.lattice), found.codes)
    counts = np.bincount(found.codes[found.codes >= 0], minlength=len(found.names))
    decimals = _decimals(
        section.lattice.pitch * (image.scale if image is not None and turned else 1)
    )
    features = []
    for code, outline in outlines.items():
        if turned:
            assert image is not None
            outline = transform(outline, image.to_pixels)
        # Outer rings in the order that RFC 7946 asks for, holes in the other.
        outline = orient_polygons(set_precision(outline, 10.0**-decimals))
        color = [int(found.colors[code][i : i + 2], 16) for i in (1, 3, 5)]
        name = found.names[code]
        features.append(
            {
                "type": "Feature",
                # The same for the same content, so that files of two runs can be compared.
                "id": str(uuid.uuid5(_NAMESPACE, f"{section.name}/{found.column}/{name}")),
                "geometry": _rounded(mapping(outline), decimals),
                "properties": {
                    "objectType": "annotation",
                    "name": name,
                    "classification": {"name": name, "color": color},
                    "measurements": {"spots": int(counts[code])},
                },
            }
        )
    content = {"type": "FeatureCollection", "features": features}
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _decimals(pitch: float) -> int:
    """Digits that keep a thousandth of the distance between spots."""
    return max(_DECIMALS, 3 - math.floor(math.log10(pitch)))


def _rounded(geometry: Any, decimals: int) -> Any:
    """Nested coordinates with so many decimals; the geometry's kind as it is."""
    if isinstance(geometry, dict):
        return {key: _rounded(value, decimals) for key, value in geometry.items()}
    if isinstance(geometry, tuple | list):
        return [_rounded(value, decimals) for value in geometry]
    return round(geometry, decimals) if isinstance(geometry, float) else geometry
