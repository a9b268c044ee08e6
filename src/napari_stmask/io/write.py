"""Write a section with its results, by the suffix of the path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import OutputError, ParameterError
from .atomic import atomic_folder, atomic_path, check_folder_target, check_target

if TYPE_CHECKING:
    from ..core.section import Section

__all__ = ["WRITERS", "Writer", "check_writable", "write", "writer_of"]


@dataclass(frozen=True)
class Writer:
    """One format.

    Attributes
    ----------
    title
        What it is, for dialogs and messages.
    home
        Module beside this one and the function in it; it fills the path that it is given.
    options
        Which of ``column`` and ``embedding`` it follows.
    folder
        Whether it makes a folder.
    """

    title: str
    home: tuple[str, str]
    options: frozenset[str] = frozenset()
    folder: bool = False

    def function(self) -> Callable[..., None]:
        """The function; imports its module."""
        module, name = self.home
        found: Callable[..., None] = getattr(import_module(f".{module}", __package__), name)
        return found


_TABLE, _DOMAINS = frozenset({"embedding"}), frozenset({"column"})
WRITERS: dict[str, Writer] = {
    ".h5ad": Writer("AnnData with all results", ("h5ad", "write_h5ad")),
    ".anndata.zarr": Writer(
        "AnnData with all results, as Zarr", ("anndata_zarr", "write_zarr"), folder=True
    ),
    ".zarr": Writer("SpatialData store", ("spatialdata_out", "write_store"), folder=True),
    ".loupe.csv": Writer("categories for Loupe Browser", ("write_table", "write_loupe"), _DOMAINS),
    ".csv": Writer("table of spots", ("write_table", "write_csv"), _TABLE),
    ".parquet": Writer("table of spots", ("write_table", "write_parquet"), _TABLE),
    ".geojson": Writer(
        "outlines of domains for QuPath", ("write_geojson", "write_geojson"), _DOMAINS
    ),
    ".ome.tif": Writer("domains as label image", ("write_labels", "write_labels"), _DOMAINS),
    ".ome.tiff": Writer("domains as label image", ("write_labels", "write_labels"), _DOMAINS),
}
"""Writers by the end of the name; of several that fit, the first counts."""


def write(
    section: Section, path: str | Path, *, column: str | None = None, embedding: bool = False
) -> Path:
    """Write ``section`` to ``path``; the end of the name picks the format.

    The file or folder appears complete or not at all; what was there survives any failure.

    Parameters
    ----------
    section
        With its results; not changed.
    path
        ``.h5ad``, ``.anndata.zarr``: everything, readable by scanpy and by `read`, with the
        histology in at most 2000 pixels. ``.zarr``: SpatialData with full histology, spots and
        table. ``.csv``, ``.parquet``: barcode, x, y and the columns of ``obs``. ``.loupe.csv``:
        domains as categories for Loupe Browser. ``.geojson``: outlines of domains for QuPath.
        ``.ome.tif``: domains as labels in the pixels of the histology.
    column
        Column of ``obs`` with the domains, for the last three; by default what the latest run
        wrote.
    embedding
        Add the embeddings to a table.

    Returns
    -------
    Path
        The path that was written.

    Raises
    ------
    OutputError
        If the suffix is unknown, the folder is missing or not writable, the disk is full or a
        column cannot be stored.
    ParameterError
        If an option means nothing for this format, or there are no domains to write.
    """
    path = Path(path)
    writer = writer_of(path)
    options: dict[str, Any] = {}
    for name, value in (("column", column), ("embedding", embedding)):
        if not value:
            continue
        if name not in writer.options:
            raise ParameterError(f"{name} means nothing for a {writer.title}", "leave it out")
        options[name] = value
    with (atomic_folder if writer.folder else atomic_path)(path) as temporary:
        writer.function()(section, temporary, **options)
    return path


def writer_of(path: str | Path) -> Writer:
    """The writer for the end of the name.

    Raises
    ------
    OutputError
        If there is none.
    """
    name = Path(path).name.lower()
    for end, writer in WRITERS.items():
        if name.endswith(end):
            return writer
    raise OutputError(
        f"{path} has the suffix '{Path(path).suffix}', which is not one that can be written",
        f"use one of: {', '.join(WRITERS)}",
    )


def check_writable(path: str | Path) -> None:
    """Refuse a target that `write` could not write, before the work that leads to it.

    Raises
    ------
    OutputError
        If the suffix is unknown or the path cannot be written.
    """
    (check_folder_target if writer_of(path).folder else check_target)(path)
