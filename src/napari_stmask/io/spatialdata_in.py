"""Read SpatialData stores, of this package and of others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import DataError
from ..core.histology import Histology, inverse
from .guard import brief, guarded
from .h5ad import section_of
from .ome_zarr import rgb_levels
from .options import ReadOptions
from .spatialdata_out import require_spatialdata
from .zarr_store import audit_store, root_attributes

if TYPE_CHECKING:
    from anndata import AnnData
    from spatialdata import SpatialData

    from ..core.section import Section

__all__ = ["OPTIONS", "TITLE", "load", "matches", "sections_of_spatialdata"]

TITLE = "a SpatialData Zarr folder"
OPTIONS = frozenset({"counts_layer"})
_GLOBAL = "global"


def matches(path: Path) -> bool:
    """Whether ``path`` is a Zarr folder of SpatialData, by its attributes or its rooms."""
    if "spatialdata_attrs" in root_attributes(path):
        return True
    zarr = (path / ".zgroup").is_file() or (path / "zarr.json").is_file()
    return zarr and (path / "tables").is_dir() and not (path / "X").exists()


def load(path: Path, options: ReadOptions) -> Section | list[Section]:
    """Read the sections of a SpatialData store; see `sections_of_spatialdata`.

    Raises
    ------
    OutputError
        If the extra ``spatialdata`` is not installed.
    FileFormatError
        If the store is damaged, points outside itself or claims impossible sizes.
    DataError
        If it has no table that annotates spots or cells.
    """
    spatialdata = require_spatialdata()
    audit_store(path)
    with guarded(path, TITLE):
        store = spatialdata.read_zarr(path)
    sections = sections_of_spatialdata(store, path, options)
    return sections if len(sections) > 1 else sections[0]


def sections_of_spatialdata(
    store: SpatialData, path: Path | None = None, options: ReadOptions | None = None
) -> list[Section]:
    """One section for each region that a table annotates.

    Spots are at the centroids of the region's circles, polygons or labels, in the coordinate
    system ``global`` or, without it, the first of the region. The histology is the largest RGB
    image in that system, with its transform.

    Parameters
    ----------
    store
        In memory or on disk.
    path
        Where it was read from.
    options
        ``name`` and ``counts_layer``.

    Raises
    ------
    DataError
        If no table annotates spots or cells.
    """
    options = options or ReadOptions()
    where = str(path) if path is not None else "The SpatialData object"
    sections = []
    for key, table in store.tables.items():
        attributes = table.uns.get("spatialdata_attrs")
        if not attributes:
            continue
        regions = np.atleast_1d(attributes["region"]).tolist()
        for region in regions:
            rows = (table.obs[attributes["region_key"]].astype(str) == region).to_numpy()
            if not rows.any() or region not in store:
                continue
            with guarded(where, TITLE):
                part = table[rows].copy()
                made = _section(store, part, region, attributes["instance_key"], path, options)
            several = len(store.tables) > 1 or len(regions) > 1
            if several and options.name is None:
                made.name = region if len(store.tables) == 1 else f"{key} {region}"
            sections.append(made)
    if not sections:
        raise DataError(
            f"{where} has no table that annotates spots or cells",
            "give a store with a table whose regions are shapes or labels in it",
        )
    return sections


def _section(
    store: SpatialData,
    adata: AnnData,
    region: str,
    instance_key: str,
    path: Path | None,
    options: ReadOptions,
) -> Section:
    from spatialdata import get_centroids
    from spatialdata.transformations import get_transformation

    element = store[region]
    systems = get_transformation(element, get_all=True)
    system = _GLOBAL if _GLOBAL in systems else next(iter(systems))
    centroids = get_centroids(element, coordinate_system=system).compute()
    places = centroids.reindex(adata.obs[instance_key].to_numpy())
    notes: list[str] = []
    known = places[["x", "y"]].notna().all(axis=1).to_numpy()
    if not known.all():
        notes.append(
            f"{int((~known).sum())} of {len(known)} rows of the table have no shape and were left "
            "out."
        )
        adata, places = adata[known].copy(), places[known]
    adata.obsm["spatial"] = places[["x", "y"]].to_numpy(np.float64)
    section = section_of(adata, path, options.name, options.counts_layer, notes)
    image = _image(store, system, path, notes)
    diameter = section.spot_diameter or _diameter(element, systems[system])
    return replace(section, image=image or section.image, spot_diameter=diameter)


def _diameter(element: Any, step: Any) -> float | None:
    """Median diameter of circles in the coordinate system; None for other shapes."""
    if "radius" not in getattr(element, "columns", ()):
        return None
    matrix = step.to_affine_matrix(("x", "y"), ("x", "y"))
    scale: float = abs(float(np.linalg.det(matrix[:2, :2]))) ** 0.5
    return 2 * float(np.median(element["radius"])) * scale


def _image(
    store: SpatialData, system: str, path: Path | None, notes: list[str]
) -> Histology | None:
    """The largest image of three or four channels in a coordinate system."""
    from spatialdata.transformations import get_transformation

    best: tuple[int, str, list[Any], Any] | None = None
    for name, element in store.images.items():
        steps = get_transformation(element, get_all=True)
        levels = _levels(element)
        if system not in steps or levels[0].shape[2] not in (3, 4):
            continue
        size = levels[0].shape[0] * levels[0].shape[1]
        if best is None or size > best[0]:
            best = size, name, levels, steps[system]
    if best is None:
        return None
    _, name, levels, step = best
    try:
        matrix = step.to_affine_matrix(("x", "y"), ("x", "y"))
        return Histology(
            rgb_levels(levels), 1.0, name, None if path is None else str(path), inverse(matrix)
        )
    except (DataError, ValueError, TypeError) as error:
        notes.append(f"The image {name} was left out: {brief(error)}.")
        return None


def _levels(element: Any) -> list[Any]:
    """(rows, columns, channels) Dask arrays of an image, finest first."""
    if hasattr(element, "children"):
        arrays = [next(iter(node.ds.values())) for node in element.children.values()]
    else:
        arrays = [element]
    return [array.transpose("y", "x", "c").data for array in arrays]
