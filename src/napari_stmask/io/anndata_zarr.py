"""AnnData as a Zarr folder, in and out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .guard import guarded
from .h5ad import sections_of
from .metadata import with_image
from .options import ReadOptions
from .zarr_store import audit_store, root_attributes

if TYPE_CHECKING:
    from ..core.section import Section

__all__ = ["OPTIONS", "TITLE", "load", "matches", "write_zarr"]

TITLE = "an AnnData Zarr folder"
OPTIONS = frozenset({"counts_layer", "filtered"})


def matches(path: Path) -> bool:
    """Whether ``path`` is a folder whose root says that it is an AnnData."""
    return root_attributes(path).get("encoding-type") == "anndata"


def load(path: Path, options: ReadOptions) -> Section | list[Section]:
    """Read an AnnData Zarr folder; see `h5ad.load`, which shares all but the file.

    Raises
    ------
    FileFormatError
        If it is damaged, points outside itself or claims impossible sizes.
    DataError
        If there are no coordinates or no such layer.
    """
    from anndata import read_zarr

    audit_store(path)
    with guarded(path, TITLE):
        adata = read_zarr(path)
    return sections_of(adata, path, options)


def write_zarr(section: Section, path: Path) -> None:
    """Write everything that `h5ad.write_h5ad` writes."""
    with_image(section).write_zarr(path)
