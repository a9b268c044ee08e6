"""What stereopy and spateo leave in an AnnData of a Stereo-seq section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .stereoseq import NM

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["StereoFacts", "stereo_facts"]

_BIN_TYPES = ("bins", "cell_bins")
_UM = ("um", "µm", "μm")


@dataclass(frozen=True)
class StereoFacts:
    """A Stereo-seq section as its file describes it.

    Attributes
    ----------
    um_per_px
        Micrometres per unit of the coordinates (DNB).
    bin_side
        Side of a bin in DNB, or None for cells.
    chip
        Serial number of the chip, or None.
    notes
        What had to be assumed.
    """

    um_per_px: float
    bin_side: float | None = None
    chip: str | None = None
    notes: tuple[str, ...] = ()


def stereo_facts(adata: AnnData) -> StereoFacts | None:
    """What stereopy or spateo wrote into ``uns``; None for files of anything else.

    Spateo also writes sections of other platforms. Its files are taken for Stereo-seq if they state
    a scale in micrometres, as it does for this platform only, or no scale at all.
    """
    uns = adata.uns
    if _text(uns.get("bin_type")) in _BIN_TYPES:
        nm = _number(uns.get("resolution"))
        side = None if _text(uns["bin_type"]) == "cell_bins" else _number(uns.get("bin_size"))
        note = f"The file states no resolution; {NM:g} nm between DNB were assumed."
        return StereoFacts((nm or NM) / 1000, side, _chip(uns.get("sn")), () if nm else (note,))
    if _text(uns.get("__type")) != "UMI":
        return None
    space = uns.get("spatial")
    space = space if isinstance(space, Mapping) else {}
    scale = _number(space.get("scale"))
    if scale is None:
        note = "The file was taken for Stereo-seq, because spateo wrote it and it names no scale."
        return StereoFacts(NM / 1000, notes=(note,))
    if _text(space.get("scale_unit")) not in _UM:
        return None
    cells = "area" in adata.obs
    return StereoFacts(scale, None if cells else _number(space.get("binsize")))


def _chip(value: Any) -> str | None:
    """The serial number, which stereopy stores as text or as a table of batches."""
    if hasattr(value, "columns") and "sn" in value.columns:
        numbers = value["sn"].astype(str).unique()
        return str(numbers[0]) if len(numbers) == 1 else None
    return _text(value) or None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    """A positive finite number, stored alone or as a list of one."""
    try:
        number = float(np.asarray(value, dtype=np.float64).reshape(-1)[0])
    except (TypeError, ValueError, IndexError):
        return None
    return number if np.isfinite(number) and number > 0 else None
