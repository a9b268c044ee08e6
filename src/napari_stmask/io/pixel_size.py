"""Micrometres per pixel, as an image file states it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    import tifffile

__all__ = ["MAX_UM", "MIN_UM", "plausible", "tiff_um_per_px", "unit_um"]

MIN_UM, MAX_UM = 0.01, 50.0
"""Sizes outside are those of screens and printers (72 dpi is 353 µm), not of microscopes."""
_UM = {
    "nm": 1e-3,
    "nanometer": 1e-3,
    "um": 1.0,
    "\u00b5m": 1.0,
    "\u03bcm": 1.0,
    "micrometer": 1.0,
    "micron": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
}
_MAX_XML = 16_000_000


def plausible(value: Any) -> float | None:
    """``value`` as a pixel's side in µm, or None where no microscope has such pixels."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and MIN_UM <= number <= MAX_UM else None


def unit_um(name: Any) -> float | None:
    """Micrometres in a unit of length, by its symbol or English name; None for others."""
    return _UM.get(str(name).strip()) if name else None


def tiff_um_per_px(file: tifffile.TiffFile, level: Any) -> float | None:
    """Micrometres per pixel of ``level``, or None where the file does not say.

    Asked in this order: the OME description (``PhysicalSizeX``), the Aperio description (``MPP``)
    and the resolution tags where they have a metric or inch unit. Where x and y differ by more
    than 1 %, the file is not believed.

    Parameters
    ----------
    file
        Open file.
    level
        Series or level whose pixels are meant.
    """
    page = level.keyframe
    found: tuple[Any, Any] | None = None
    if file.is_ome:
        found = _from_ome(file.ome_metadata)
    elif page.is_svs:
        found = _from_aperio(page.description)
    if found is None:
        found = _from_tags(page)
    if found is None:
        return None
    x, y = plausible(found[0]), plausible(found[1])
    return x if x and y and abs(x - y) <= 0.01 * x else None


def _from_ome(text: str | None) -> tuple[Any, Any] | None:
    """Sizes of the first image of an OME-XML text."""
    if not text or len(text) > _MAX_XML or "<!" in text.replace("<!--", ""):
        # Entities could blow the text up; OME never declares any.
        return None
    try:
        root = ET.fromstring(text)  # noqa: S314, declarations were refused above
    except ET.ParseError:
        return None
    pixels = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return None
    sizes = []
    for axis in ("X", "Y"):
        unit = unit_um(pixels.get(f"PhysicalSize{axis}Unit", "um"))
        size = pixels.get(f"PhysicalSize{axis}")
        if unit is None or size is None:
            return None
        try:
            sizes.append(float(size) * unit)
        except ValueError:
            return None
    return sizes[0], sizes[1]


def _from_aperio(text: str) -> tuple[Any, Any] | None:
    """``MPP = 0.499`` among the fields of a description, which bars separate."""
    for part in text.split("|"):
        key, _, value = part.partition("=")
        if key.strip() == "MPP":
            return value.strip(), value.strip()
    return None


def _from_tags(page: Any) -> tuple[Any, Any] | None:
    if "XResolution" not in page.tags or int(page.resolutionunit) not in (2, 3):
        return None
    x, y = page.get_resolution("micrometer")
    return (1 / x, 1 / y) if x > 0 and y > 0 else None
