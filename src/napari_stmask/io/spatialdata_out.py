"""A section as a SpatialData store: histology, spots or cells, and the table with all results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import OutputError
from ..core.histology import Histology, inverse
from .metadata import with_metadata

if TYPE_CHECKING:
    from spatialdata import SpatialData

    from ..core.section import Section

__all__ = ["CELL_POLYGONS", "require_spatialdata", "to_spatialdata", "write_store"]

CELL_POLYGONS = "cell_polygons"
"""Key of ``obsm`` with (n, corners, 2) outlines of cells, NaN behind the last corner."""
_LARGE = 2048
_REGION, _INSTANCE = "region", "instance_id"


def write_store(section: Section, path: Path) -> None:
    """Write `to_spatialdata` of the section.

    Raises
    ------
    OutputError
        If the extra ``spatialdata`` is not installed.
    """
    to_spatialdata(section).write(path)


def require_spatialdata() -> Any:
    """The package.

    Raises
    ------
    OutputError
        If it is not installed.
    """
    try:
        import spatialdata
    except ImportError as error:
        raise OutputError(
            "SpatialData stores need the package spatialdata, which is not installed",
            "pip install 'napari-stmask[spatialdata]', or use .h5ad or .anndata.zarr",
        ) from error
    return spatialdata


def to_spatialdata(section: Section) -> SpatialData:
    """The section as SpatialData.

    Elements are ``<name>_image`` (multi-scale where it is large), ``<name>_spots`` (circles, or
    the outlines of cells) and the table ``table``. The coordinate system ``global`` is the
    section's own; ``um`` is in micrometres where the scale is known.

    Parameters
    ----------
    section
        Not changed; arrays are shared.

    Raises
    ------
    OutputError
        If the extra ``spatialdata`` is not installed.
    """
    spatialdata = require_spatialdata()
    from spatialdata.models import TableModel

    name = re.sub(r"[^A-Za-z0-9_.-]", "_", section.name).lstrip("_") or "section"
    region = f"{name}_spots"
    adata = with_metadata(section)
    import pandas as pd

    # The columns that joined table and shapes where this was read may be written anew; others of
    # these names are the user's.
    before = adata.uns.pop("spatialdata_attrs", {})
    region_key, instance_key = (
        before.get(key) or _free(name, adata.obs.columns)
        for key, name in (("region_key", _REGION), ("instance_key", _INSTANCE))
    )
    adata.obs[region_key] = pd.Categorical([region] * adata.n_obs)
    adata.obs[instance_key] = np.arange(adata.n_obs)
    table = TableModel.parse(adata, region=region, region_key=region_key, instance_key=instance_key)
    images = {}
    if section.image is not None:
        images[f"{name}_image"] = _image(section.image, section.um_per_px)
    found: SpatialData = spatialdata.SpatialData(
        images=images, shapes={region: _shapes(section)}, tables={"table": table}
    )
    return found


def _free(name: str, taken: Any) -> str:
    return name if name not in taken else _free(f"spots_{name}", taken)


def _shapes(section: Section) -> Any:
    """Circles of the spots' size, or the outlines of cells."""
    from spatialdata.models import ShapesModel

    steps = _systems(np.eye(3), section.um_per_px)
    outlines = section.adata.obsm.get(CELL_POLYGONS)
    if outlines is not None:
        import geopandas

        corners = np.asarray(outlines, dtype=np.float64)
        frame = geopandas.GeoDataFrame(geometry=[_polygon(c) for c in corners])
        return ShapesModel.parse(frame, transformations=steps)
    diameter = section.spot_diameter or 0.55 * section.lattice.pitch
    return ShapesModel.parse(section.coords, geometry=0, radius=diameter / 2, transformations=steps)


def _polygon(corners: Any) -> Any:
    from shapely import Point, Polygon

    kept = corners[np.isfinite(corners).all(axis=1)]
    if len(kept) >= 3:
        return Polygon(kept)
    # Cells of one or two DNB have no area; SpatialData takes polygons only.
    return Point(kept.mean(axis=0)).buffer(0.5)


def _image(image: Histology, um_per_px: float | None) -> Any:
    import dask.array as da
    from spatialdata.models import Image2DModel

    finest: Any = image.levels[0]
    wrap: Any = da.from_array
    pixels = finest if isinstance(finest, da.Array) else wrap(finest)
    factors = [2] * max(0, int(np.ceil(np.log2(max(image.shape) / _LARGE))))
    return Image2DModel.parse(
        pixels.transpose(2, 0, 1),
        dims=("c", "y", "x"),
        c_coords=["r", "g", "b"],
        scale_factors=factors or None,
        transformations=_systems(inverse(image.matrix), um_per_px),
    )


def _systems(matrix: Any, um_per_px: float | None) -> dict[str, Any]:
    """Transforms into the section's coordinates and, where known, into micrometres."""
    from spatialdata.transformations import Affine

    axes: dict[str, Any] = {"input_axes": ("x", "y"), "output_axes": ("x", "y")}
    found = {"global": Affine(matrix, **axes)}
    if um_per_px is not None:
        found["um"] = Affine(np.diag([um_per_px, um_per_px, 1.0]) @ matrix, **axes)
    return found
