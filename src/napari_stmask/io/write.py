"""Write a section with its results, by the suffix of the path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import OutputError
from .atomic import atomic_path, check_target

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from ..core.section import Section

__all__ = ["SECTION_KEY", "WRITERS", "atomic_path", "check_writable", "safe_text", "write"]

SECTION_KEY = "stmask_section"
"""Where ``uns`` of a written file holds what a section knows beyond its AnnData."""
_MAX_IMAGE_SIDE = 2000
_RISKY = ("=", "+", "-", "@", "\t", "\r")


def write(section: Section, path: str | Path) -> Path:
    """Write ``section`` to ``path``; the suffix picks the format.

    The file appears complete or not at all; an older file of that name survives any failure.

    Parameters
    ----------
    section
        With its results; not changed.
    path
        ``.h5ad``: everything, readable by scanpy and by `read`, with the histology in at most
        2000 pixels. ``.csv``: barcode, x, y and the columns of ``obs``.

    Returns
    -------
    Path
        The path that was written.

    Raises
    ------
    OutputError
        If the suffix is unknown, the folder is missing or not writable, the disk is full or a
        column cannot be stored.
    """
    path = Path(path)
    check_writable(path)
    with atomic_path(path) as temporary:
        WRITERS[path.suffix.lower()](section, temporary)
    return path


def check_writable(path: str | Path) -> None:
    """Refuse a target that `write` could not write, before the work that leads to it.

    Raises
    ------
    OutputError
        If the suffix is unknown or the path cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise OutputError(
            f"{path} has the suffix '{path.suffix}', which is not one that can be written",
            f"use one of: {', '.join(WRITERS)}",
        )
    check_target(path)


def _write_h5ad(section: Section, path: Path) -> None:
    adata = _with_metadata(section)
    adata.write_h5ad(path, compression="gzip", compression_opts=2)


def _with_metadata(section: Section) -> AnnData:
    """A new AnnData over the same arrays, with ``uns`` completed."""
    from ..core.section import shallow_copy

    old = section.adata
    uns = dict(old.uns)
    known = {
        "name": section.name,
        "platform": section.platform,
        "um_per_px": section.um_per_px,
        "counts_layer": section.counts_layer,
        "spot_diameter": section.spot_diameter,
    }
    uns[SECTION_KEY] = {key: value for key, value in known.items() if value is not None}
    if section.image is not None:
        uns["spatial"] = _with_image(section, uns.get("spatial"))
    adata = shallow_copy(old)
    adata.uns = uns
    return adata


def _with_image(section: Section, spatial: Any) -> dict[str, Any]:
    """``uns["spatial"]`` with a small copy of the histology, unless it holds an image already."""
    image = section.image
    assert image is not None
    libraries: dict[str, Any] = dict(spatial) if isinstance(spatial, dict) else {}
    key = section.name.replace("/", "_")
    if key not in libraries and len(libraries) == 1:
        key = next(iter(libraries))
    entry = dict(libraries.get(key) or {})
    if not entry.get("images"):
        pixels, scale = image.level_for(_MAX_IMAGE_SIDE)
        factors = dict(entry.get("scalefactors") or {})
        factors["tissue_hires_scalef"] = scale
        if section.spot_diameter is not None:
            factors.setdefault("spot_diameter_fullres", section.spot_diameter)
        entry |= {"images": {"hires": np.ascontiguousarray(pixels)}, "scalefactors": factors}
    return libraries | {key: entry}


def _write_csv(section: Section, path: Path) -> None:
    import pandas as pd

    obs = section.adata.obs
    taken = ("barcode", "x", "y")
    columns: dict[str, Any] = {
        "barcode": _cells(pd.Series(section.adata.obs_names.astype(str))).to_numpy(),
        "x": section.coords[:, 0],
        "y": section.coords[:, 1],
    }
    for name in obs.columns:
        label = safe_text(f"obs.{name}" if name in taken else str(name))
        columns[label] = _cells(obs[name]).to_numpy()
    pd.DataFrame(columns).to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


def _cells(column: pd.Series[Any]) -> pd.Series[Any]:
    """Text made safe; numbers, truth values and dates as they are; missing stays missing."""
    if column.dtype.kind in "biufcmM":
        return column
    return column.astype(object).map(
        lambda cell: safe_text(cell) if isinstance(cell, str) else cell, na_action="ignore"
    )


def safe_text(text: str) -> str:
    """``text`` with a leading apostrophe where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(_RISKY) else text


WRITERS: dict[str, Callable[[Section, Path], None]] = {".h5ad": _write_h5ad, ".csv": _write_csv}
"""Writers by suffix; each fills the path that it is given."""
