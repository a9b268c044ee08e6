"""Read segmented cells of Visium HD, as Space Ranger 4 writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, FileFormatError, MissingFileError
from .guard import guarded
from .mtx import is_mtx_folder, read_mtx
from .names import named_genes
from .positions import MIN_MATCH
from .scalefactors import read_scalefactors
from .tenx import GENE_EXPRESSION, TenxMatrix, read_h5
from .tissue_images import read_tissue_images

if TYPE_CHECKING:
    from ..core.section import Section
    from .options import ReadOptions

__all__ = ["find_segmented", "load_cells", "read_outlines"]

FOLDER, MATRIX = "segmented_outputs", "feature_cell_matrix"
OUTLINES = "cell_segmentations.geojson"
MAX_CELLS = 10_000_000
_CHUNK = 4 * 1024**2
_MAX_FEATURE = 16 * 1024**2
"""Most characters of one outline."""
_BATCH = 20_000
_CELL = re.compile(r"(?:cellid_)?0*(\d+)(?:-\d+)?")
_START = re.compile(r'"features"\s*:\s*\[')


def find_segmented(path: Path) -> Path | None:
    """The folder of segmented cells that ``path`` is, is a part of, or holds.

    Returns
    -------
    Path or None
        ``segmented_outputs``; None where there is none. Looks at names only.
    """
    folder = path
    if path.is_file():
        if MATRIX not in path.name and path.name != OUTLINES:
            return None
        folder = path.parent
    elif path.name == "spatial" or MATRIX in path.name:
        folder = path.parent
    for candidate in (folder, folder / FOLDER, folder / "outs" / FOLDER):
        if candidate.is_dir() and _matrix_path(candidate, True) is not None:
            return candidate
        if (candidate / OUTLINES).is_file():
            return candidate
    return None


def load_cells(folder: Path, path: Path, options: ReadOptions) -> Section:
    """Read the cells of one section; each lies at the centroid of its outline.

    Parameters
    ----------
    folder
        As `find_segmented` returns it.
    path
        What the user gave.
    options
        ``name`` and ``filtered``.

    Raises
    ------
    FileFormatError, MissingFileError, DataError
        Each with a sentence that names the file.
    """
    from anndata import AnnData

    from ..core.section import Section

    notes: list[str] = []
    matrix = _read_matrix(folder, options.filtered)
    outlines = folder / OUTLINES
    ids, centres, areas = read_outlines(outlines)
    rows, found = _join(matrix.barcodes, ids, folder, notes)
    genes = np.flatnonzero(matrix.types == GENE_EXPRESSION)
    if not genes.size:
        raise DataError(f"{folder} has no '{GENE_EXPRESSION}' features", "give another output")
    var = named_genes(matrix.names[genes], matrix.ids[genes], notes)
    counts = matrix.counts if rows.size == len(matrix.barcodes) else matrix.counts[rows]
    counts = counts if genes.size == counts.shape[1] else counts[:, genes]
    adata = AnnData(counts, {"area": areas[found]}, var)
    adata.obs_names = matrix.barcodes[rows]
    adata.obsm["spatial"] = centres[found]
    factors = read_scalefactors(_spatial(folder, "scalefactors_json.json"), notes)
    images = read_tissue_images(lambda *names: _spatial(folder, *names), factors, notes)
    name = options.name or matrix.library or f"{_name(folder)} cells"
    adata.uns["spatial"] = {
        name: {
            "images": {key: np.asarray(image.levels[0]) for key, image in images.items()},
            "scalefactors": dict(factors),
        }
    }
    section = Section(
        adata,
        name=name,
        image=images.get("hires") or images.get("lowres"),
        um_per_px=factors.get("microns_per_pixel"),
        platform="visium_hd",
        source=str(path),
        spot_diameter=float(2 * np.sqrt(np.median(areas[found]) / np.pi)) or None,
        notes=notes,
    )
    section.counts()
    return section


def _matrix_path(folder: Path, filtered: bool) -> Path | None:
    for kind in ("filtered", "raw") if filtered else ("raw", "filtered"):
        if (folder / f"{kind}_{MATRIX}.h5").is_file():
            return folder / f"{kind}_{MATRIX}.h5"
        if is_mtx_folder(folder / f"{kind}_{MATRIX}"):
            return folder / f"{kind}_{MATRIX}"
    return None


def _read_matrix(folder: Path, filtered: bool) -> TenxMatrix:
    path = _matrix_path(folder, filtered)
    if path is None:
        raise MissingFileError(
            f"{folder} has no filtered_{MATRIX}.h5", "copy the whole folder of the run"
        )
    return read_mtx(path) if path.is_dir() else read_h5(path)


def _spatial(folder: Path, *names: str) -> Path | None:
    found = (folder / "spatial" / name for name in names)
    return next((path for path in found if path.is_file()), None)


def _name(folder: Path) -> str:
    parents = (p.name for p in folder.resolve().parents)
    return next((name for name in parents if name and name != "outs"), "section")


def _join(
    barcodes: NDArray[np.object_], ids: NDArray[np.int64], folder: Path, notes: list[str]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the matrix that have an outline, and these outlines."""
    import pandas as pd

    numbers = [_CELL.fullmatch(str(code)) for code in barcodes]
    wanted = np.array([int(m[1]) if m and len(m[1]) < 18 else -1 for m in numbers], np.int64)
    index = pd.Index(ids)
    if not index.is_unique:
        raise FileFormatError(
            f"{folder / OUTLINES} holds cell {index[index.duplicated()][0]} twice",
            "give the file as Space Ranger writes it",
        )
    found = index.get_indexer(pd.Index(wanted))
    rows = np.flatnonzero(found >= 0)
    if not rows.size or rows.size < MIN_MATCH * len(barcodes):
        raise DataError(
            f"Only {rows.size} of {len(barcodes)} cells of the matrix have an outline in "
            f"{folder / OUTLINES}",
            "take matrix and outlines from the same run",
        )
    if rows.size < len(barcodes):
        notes.append(f"{len(barcodes) - rows.size} of {len(barcodes)} cells have no outline.")
    return rows, found[rows]


def read_outlines(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Number, centroid and area of each outline; only some thousand outlines are held at a time.

    Parameters
    ----------
    path
        GeoJSON file of polygons with the property ``cell_id``.

    Returns
    -------
    ids
        (n_cells,) int64.
    centres
        (n_cells, 2) float64 (x, y), in full-resolution pixels.
    areas
        (n_cells,) float64, in square pixels.

    Raises
    ------
    MissingFileError, FileFormatError
        If there is no such file, or it holds something else.
    """
    ids: list[int] = []
    centres: list[NDArray[np.float64]] = []
    areas: list[NDArray[np.float64]] = []
    with guarded(path, "a GeoJSON file of cell outlines"):
        batch: list[Any] = []
        for feature in _features(path):
            ids.append(int(feature["properties"]["cell_id"]))
            batch.append(feature["geometry"])
            if len(batch) == _BATCH:
                _measure(batch, centres, areas)
                batch = []
            if len(ids) > MAX_CELLS:
                raise FileFormatError(f"{path} has more than {MAX_CELLS} cells", "split it")
        if batch:
            _measure(batch, centres, areas)
        if not ids:
            raise FileFormatError(f"{path} holds no outlines", "give the file of the run")
    return np.array(ids, dtype=np.int64), np.concatenate(centres), np.concatenate(areas)


def _measure(
    batch: list[Any], centres: list[NDArray[np.float64]], areas: list[NDArray[np.float64]]
) -> None:
    import shapely
    from shapely.geometry import shape

    if all(g["type"] == "Polygon" and len(g["coordinates"]) == 1 for g in batch):
        rings = [np.asarray(g["coordinates"][0], dtype=np.float64)[:, :2] for g in batch]
        owner = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
        polygons = shapely.polygons(shapely.linearrings(np.concatenate(rings), indices=owner))
    else:
        polygons = np.array([shape(g) for g in batch], dtype=object)
    points = shapely.centroid(polygons)
    centres.append(np.column_stack([shapely.get_x(points), shapely.get_y(points)]))
    areas.append(np.asarray(shapely.area(polygons), dtype=np.float64))


def _features(path: Path) -> Iterator[Any]:
    """Features of a collection, decoded one by one: whole files are hundreds of megabytes."""
    decoder = json.JSONDecoder()
    with path.open(encoding="utf-8") as stream:
        text = stream.read(_CHUNK)
        start = _START.search(text)
        if start is None:
            raise FileFormatError(f"{path} has no list of features", "give the file of the run")
        at = start.end()
        while True:
            while at < len(text) and text[at] in " \t\r\n,":
                at += 1
            if at < len(text) and text[at] == "]":
                return
            try:
                feature, at = decoder.raw_decode(text, at)
            except ValueError:
                more = stream.read(_CHUNK)
                if not more or len(text) - at > _MAX_FEATURE:
                    raise
                text, at = text[at:] + more, 0
                continue
            yield feature
