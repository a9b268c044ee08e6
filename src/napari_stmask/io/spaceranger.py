"""Read the output of Space Ranger 1 to 4: Visium, CytAssist and Visium HD bins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import DataError, FileFormatError, ParameterError
from . import positions as pos
from .layout import Layout, find_layout
from .names import named_genes
from .options import CELL, ReadOptions
from .scalefactors import read_scalefactors
from .segmented import find_segmented, load_cells
from .tenx import GENE_EXPRESSION, TenxMatrix, read_h5
from .tissue_images import read_tissue_images

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from ..core.section import Platform, Section

__all__ = ["OPTIONS", "TITLE", "load", "matches"]

TITLE = "a Space Ranger output (outs folder, or its feature_bc_matrix.h5)"

OPTIONS = frozenset({"bin", "filtered"})

_SPOT_UM = 55.0
_MAX_OUTSIDE = 0.05
"""Share of a filtered matrix that may lie outside the tissue; a run leaves none there."""


def matches(path: Path) -> bool:
    """Whether ``path`` is an outs folder, its parent, a part of it or a 10x matrix file."""
    return find_layout(path) is not None or find_segmented(path) is not None


def load(path: Path, options: ReadOptions) -> Section:
    """Read a Space Ranger run.

    Spots outside the tissue and features other than genes are dropped. What had to be assumed
    because a file is missing is listed in ``Section.notes``.

    Parameters
    ----------
    path
        Anything that `matches` accepts.
    options
        ``name`` (the library id or the folder's name by default), ``filtered`` (prefer the
        filtered matrix over the raw one), and for Visium HD ``bin``: the side of a bin in µm, or
        ``"cell"`` for segmented cells.

    Raises
    ------
    FileFormatError, MissingFileError, DataError
        Each with a sentence that names the file.
    ParameterError
        If the run has no such bins or cells.
    """
    from ..core.section import Section

    cells = _cells(path, options)
    if cells is not None:
        return load_cells(cells, path, options)
    layout = _find(path, options)
    notes = list(layout.notes)
    matrix_path, position_path = layout.matrix(options.filtered, notes), layout.positions()
    matrix = _read_matrix(matrix_path)
    table = pos.read_positions(position_path)
    adata = _assemble(matrix, table, position_path, notes)
    if "filtered" in matrix_path.name:
        _note_outside(matrix, table, adata.n_obs, position_path, notes)
    name = options.name or matrix.library or layout.name
    factors = read_scalefactors(layout.find("scalefactors_json.json"), notes)
    images = read_tissue_images(layout.find, factors, notes)
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
    if not matrix.whole:
        section.counts()
    return section


def _cells(path: Path, options: ReadOptions) -> Path | None:
    """The folder of segmented cells, where these are asked for or nothing else is there."""
    folder = find_segmented(path)
    if options.bin == CELL and folder is None:
        raise ParameterError(
            f"{path} has no segmented cells (segmented_outputs)", "leave bin='cell' out"
        )
    itself = folder is not None and folder in (path, path.parent)
    wanted = options.bin == CELL or (options.bin is None and itself)
    return folder if wanted or (options.bin is None and find_layout(path) is None) else None


def _find(path: Path, options: ReadOptions) -> Layout:
    size = options.bin if isinstance(options.bin, int) else None
    layout = find_layout(path, size)
    if layout is None:
        raise FileFormatError(f"{path} is not {TITLE}", "give the outs folder of the run")
    if size is not None and layout.bin_um != size:
        raise ParameterError(
            f"{path} has no bins of {size} µm",
            f"give one of bin={', '.join(map(str, layout.sizes))}"
            if layout.sizes
            else "leave bin out: it is for Visium HD",
        )
    return layout


def _read_matrix(path: Path) -> TenxMatrix:
    if path.is_dir():
        from .mtx import read_mtx

        return read_mtx(path)
    return read_h5(path)


def _assemble(
    matrix: TenxMatrix, table: pd.DataFrame, position_path: Path, notes: list[str]
) -> AnnData:
    """Join counts and positions; keep genes and the spots under tissue."""
    from anndata import AnnData

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
    if str(matrix.ids[0]).count("|") == 2:
        raise FileFormatError(
            f"The matrix beside {position_path} counts single probes (such as '{matrix.ids[0]}')",
            "give filtered_feature_bc_matrix.h5 of the same run, which counts genes",
        )
    genes = _gene_columns(matrix, position_path)
    spots = spots[inside]
    rows = match.rows[inside]
    # Filtered matrices hold these spots only: a second copy of the counts would serve nobody.
    counts = matrix.counts if rows.size == n_barcodes else matrix.counts[rows]
    obs = _spot_table(spots, matrix.barcodes[match.rows[inside]])
    var = named_genes(matrix.names[genes], matrix.ids[genes], notes)
    var["feature_types"] = matrix.types[genes]
    adata = AnnData(counts if len(genes) == counts.shape[1] else counts[:, genes], obs, var)
    adata.obsm["spatial"] = spots[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(np.float64)
    return adata


def _note_outside(
    matrix: TenxMatrix, table: pd.DataFrame, n_inside: int, path: Path, notes: list[str]
) -> None:
    """Say where a filtered matrix and the positions differ about what is tissue.

    All slides have the same barcodes, so the positions of another section join without a gap.
    """
    n_placed = len(pos.match_barcodes(matrix.barcodes, table, path).rows)
    if n_placed - n_inside > _MAX_OUTSIDE * n_placed:
        notes.append(
            f"{n_placed - n_inside} of {n_placed} spots of the filtered matrix are not under "
            f"tissue in {path.name}: it may be that of another section."
        )


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
