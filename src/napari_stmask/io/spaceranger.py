"""Read the output of Space Ranger 1 to 4: Visium, CytAssist and Visium HD bins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import DataError, FileFormatError
from ..core.histology import Histology
from . import positions as pos
from .layout import Layout, find_layout
from .scalefactors import read_scalefactors
from .tenx import GENE_EXPRESSION, TenxMatrix, read_h5

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from ..core.section import Platform, Section

__all__ = ["TITLE", "load", "matches"]

TITLE = "a Space Ranger output (outs folder, or its feature_bc_matrix.h5)"

_SPOT_UM = 55.0


def matches(path: Path) -> bool:
    """Whether ``path`` is an outs folder, its parent, a part of it or a 10x matrix file."""
    return find_layout(path) is not None


def load(
    path: Path, *, name: str | None = None, counts_layer: str | None = None, filtered: bool = True
) -> Section:
    """Read a Space Ranger run.

    Spots outside the tissue and features other than genes are dropped. What had to be assumed
    because a file is missing is listed in ``Section.notes``.

    Parameters
    ----------
    path
        Anything that `matches` accepts.
    name
        Name of the section; the library id or the folder's name by default.
    counts_layer
        Must be None: the counts are in ``X``.
    filtered
        Prefer the filtered matrix over the raw one.

    Raises
    ------
    FileFormatError, MissingFileError, DataError
        Each with a sentence that names the file.
    """
    from ..core.section import Section

    layout = find_layout(path)
    if layout is None:
        raise FileFormatError(f"{path} is not {TITLE}", "give the outs folder of the run")
    if counts_layer is not None:
        raise DataError(
            f"{layout.folder}: a Space Ranger matrix has no layer '{counts_layer}'",
            "leave counts_layer out; the counts are in X",
        )
    notes = list(layout.notes)
    matrix = _read_matrix(layout.matrix(filtered, notes))
    position_path = layout.positions()
    table = pos.read_positions(position_path)
    adata = _assemble(matrix, table, position_path, notes)
    name = name or matrix.library or layout.name
    factors = read_scalefactors(layout.find("scalefactors_json.json"), notes)
    images = _read_images(layout, factors, notes)
    adata.uns["spatial"] = {
        name: {
            "images": {key: np.asarray(image.levels[0]) for key, image in images.items()},
            "scalefactors": dict(factors),
            "metadata": {
                key: matrix.attrs[key]
                for key in ("chemistry_description", "software_version")
                if key in matrix.attrs
            },
        }
    }
    platform: Platform = "visium_hd" if "bin_size_um" in factors else "visium"
    um_per_px = factors.get("microns_per_pixel") or pos.um_per_px(table, factors.get("bin_size_um"))
    section = Section(
        adata,
        name=name,
        image=images.get("hires") or images.get("lowres"),
        um_per_px=um_per_px,
        platform=platform,
        source=str(path),
        spot_diameter=factors.get("spot_diameter_fullres"),
        notes=notes,
    )
    if section.spot_diameter is None and section.um_per_px is not None:
        section.spot_diameter = factors.get("bin_size_um", _SPOT_UM) / section.um_per_px
    section.counts()
    return section


def _read_matrix(path: Path) -> TenxMatrix:
    if path.is_dir():
        from .mtx import read_mtx

        return read_mtx(path)
    return read_h5(path)


def _assemble(
    matrix: TenxMatrix, table: pd.DataFrame, position_path: Path, notes: list[str]
) -> AnnData:
    """Join counts and positions; keep genes and the spots under tissue."""
    import pandas as pd
    from anndata import AnnData
    from anndata.utils import make_index_unique

    match = pos.match_barcodes(matrix.barcodes, table, position_path)
    n_barcodes = len(matrix.barcodes)
    if match.stripped:
        notes.append(
            f"{len(match.rows)} of {n_barcodes} barcodes match the positions only without their "
            "suffix '-1'."
        )
    if len(match.rows) < n_barcodes:
        notes.append(
            f"{n_barcodes - len(match.rows)} of {n_barcodes} barcodes have no position and were "
            "left out."
        )
    spots = table.iloc[match.places]
    inside = spots["in_tissue"].to_numpy()
    if not inside.any():
        raise DataError(
            f"{position_path}: none of {len(spots)} spots lies under tissue (in_tissue is 0)",
            "check the tissue detection of the run, or set in_tissue to 1 for the spots to keep",
        )
    genes = _gene_columns(matrix, position_path)
    spots = spots[inside]
    counts = matrix.counts[match.rows[inside]]
    obs = _spot_table(spots, matrix.barcodes[match.rows[inside]])
    names = pd.Index(matrix.names[genes], dtype=object)
    repeated = int(names.duplicated().sum())
    if repeated:
        notes.append(f"{repeated} repeated gene symbols were made unique by a number ('-1').")
        names = make_index_unique(names)
    var = pd.DataFrame(
        {"gene_ids": matrix.ids[genes], "feature_types": matrix.types[genes]}, index=names
    )
    adata = AnnData(counts if len(genes) == counts.shape[1] else counts[:, genes], obs, var)
    adata.obsm["spatial"] = spots[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(np.float64)
    return adata


def _spot_table(spots: pd.DataFrame, barcodes: Any) -> pd.DataFrame:
    table = spots[["in_tissue", "array_row", "array_col"]].astype(np.int64)
    table.index = barcodes
    table.index.name = None
    return table


def _gene_columns(matrix: TenxMatrix, path: Path) -> Any:
    genes = np.flatnonzero(matrix.types == GENE_EXPRESSION)
    if not genes.size:
        kinds = ", ".join(sorted(set(matrix.types))[:5]) or "none"
        raise DataError(
            f"The matrix beside {path} has no '{GENE_EXPRESSION}' features (found: {kinds})",
            "give a matrix of gene expression",
        )
    return genes


def _read_images(
    layout: Layout, factors: dict[str, float], notes: list[str]
) -> dict[str, Histology]:
    """The high- and low-resolution images that exist and whose scale factor is known."""
    from .images import open_histology

    images: dict[str, Histology] = {}
    for key in ("hires", "lowres"):
        path = layout.find(f"tissue_{key}_image.png", f"tissue_{key}_image.jpg")
        if path is None:
            continue
        scale = factors.get(f"tissue_{key}_scalef")
        if scale is None:
            notes.append(
                f"{path.name} was left out: scalefactors_json.json has no tissue_{key}_scalef."
            )
            continue
        images[key] = open_histology(path, scale=scale, name=key)
    if not images:
        notes.append("There is no tissue image; the section is shown without histology.")
    elif "hires" not in images:
        notes.append("There is no high-resolution image; the low-resolution one is shown.")
    return images
