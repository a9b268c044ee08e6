"""Write a section with its results, by the suffix of the path."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import OutputError, ParameterError
from ..core.memory import human
from .atomic import atomic_folder, atomic_path, check_folder_target, check_target
from .originals import check_originals

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
_WHOLE = (".h5ad", ".anndata.zarr")
"""Ends of the formats that hold everything that an AnnData held."""
_FOR_IMAGE = 16_000_000
"""Bytes of the small histology in an AnnData."""
_OF_LIBRARIES = (
    "Writing zarr v2 data will no longer be the default",
    "zarr v3 autosharding will be the default",
    "Call to deprecated class Scaler",
)
"""Warnings about the future of libraries, which tell a user nothing about the file."""


def write(
    section: Section, path: str | Path, *, column: str | None = None, embedding: bool = False
) -> Path:
    """Write ``section`` to ``path``; the end of the name picks the format.

    The file or folder appears complete or not at all; what was there survives any failure. What
    the section was read from is not replaced, except an AnnData by the same with all its spots.

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
        If the suffix is unknown, the folder is missing or not writable, the disk is full, a
        column cannot be stored or an original would be lost.
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
    check_originals(section, path, adata=_is_whole(path))
    if path.name.lower().endswith(".h5ad"):
        _require_room(section, path)
    with (atomic_folder if writer.folder else atomic_path)(path) as temporary, _quiet():
        writer.function()(section, temporary, **options)
    return path


def _require_room(section: Section, path: Path) -> None:
    """Refuse a disk that may fill up: the HDF5 library would end the process over it."""
    adata = section.adata
    parts = [adata.X, adata.obs, adata.var, adata.layers, adata.obsm, adata.obsp, adata.uns]
    parts += [] if adata.raw is None else [adata.raw.X, adata.raw.var]
    need = sum(map(_size, parts)) + _FOR_IMAGE
    free = shutil.disk_usage(path.resolve().parent).free
    if need > free:
        raise OutputError(
            f"{path} may need up to {human(need)}, and {human(free)} are free there",
            "free some space or choose another folder",
        )


def _size(part: Any) -> int:
    """Bytes in memory of a matrix, a table or a dictionary of them; more than on disk."""
    if isinstance(part, Mapping):
        return sum(map(_size, part.values()))
    if hasattr(part, "indptr"):
        return int(part.data.nbytes + part.indices.nbytes + part.indptr.nbytes)
    if hasattr(part, "memory_usage"):
        return int(part.memory_usage(deep=True).sum())
    return int(getattr(part, "nbytes", 0))


def _is_whole(path: str | Path) -> bool:
    return Path(path).name.lower().endswith(_WHOLE)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        for message in _OF_LIBRARIES:
            warnings.filterwarnings("ignore", message)
        yield


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


def check_writable(path: str | Path, section: Section | None = None) -> None:
    """Refuse a target that `write` could not write, before the work that leads to it.

    Parameters
    ----------
    path
        Where `write` is to write.
    section
        What it is to write, as soon as that is known.

    Raises
    ------
    OutputError
        If the suffix is unknown, the path cannot be written or an original would be lost.
    """
    (check_folder_target if writer_of(path).folder else check_target)(path)
    if section is not None:
        check_originals(section, path, adata=_is_whole(path))
