"""Read the output folder of Xenium: cells, counts and positions in micrometres."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import DataError, FileFormatError
from .cells import cell_section, read_cells, require
from .guard import guarded
from .mtx import is_mtx_folder, read_mtx
from .names import named_genes
from .options import ReadOptions
from .tenx import GENE_EXPRESSION, TenxMatrix, read_h5

if TYPE_CHECKING:
    import pandas as pd

    from ..core.section import Section

__all__ = ["OPTIONS", "TITLE", "load", "matches"]

TITLE = "a Xenium output (folder with cell_feature_matrix and cells)"
OPTIONS: frozenset[str] = frozenset()

_MATRIX = "cell_feature_matrix"
_CELLS = ("cells.parquet", "cells.csv.gz", "cells.csv")
_EXPERIMENT = "experiment.xenium"
_PLACE = ("x_centroid", "y_centroid")
_MAX_JSON = 1 << 20


def matches(path: Path) -> bool:
    """Whether ``path`` is a Xenium output, or one of its files or its matrix folder."""
    folder = _folder(path)
    named = path == folder or path.name.startswith((_MATRIX, _EXPERIMENT, "cells."))
    if not named or not folder.is_dir():
        return False
    matrix = (folder / f"{_MATRIX}.h5").is_file() or is_mtx_folder(folder / _MATRIX)
    cells = any((folder / name).is_file() for name in _CELLS)
    return (matrix and cells) or ((folder / _EXPERIMENT).is_file() and (matrix or cells))


def load(path: Path, options: ReadOptions) -> Section:
    """Read one Xenium section.

    Features other than genes (control probes and codewords) are left out. The stains of the
    instrument are fluorescence and are not opened.

    Parameters
    ----------
    path
        Anything that `matches` accepts.
    options
        ``name`` (that of the run's region by default).

    Raises
    ------
    FileFormatError, MissingFileError, DataError
        Each with a sentence that names the file.
    """
    folder = _folder(path)
    notes: list[str] = []
    matrix = _read_matrix(folder)
    cells = _read_cells(folder)
    facts = _experiment(folder)
    genes = np.flatnonzero(matrix.types == GENE_EXPRESSION)
    if not genes.size:
        raise DataError(f"{folder} has no '{GENE_EXPRESSION}' features", "give another output")
    counts = matrix.counts
    if genes.size < counts.shape[1]:
        kinds = sorted({str(kind) for kind in matrix.types if kind != GENE_EXPRESSION})
        notes.append(
            f"{counts.shape[1] - genes.size} features other than genes were left out: "
            f"{', '.join(kinds)}."
        )
        counts = counts[:, genes]
    var = named_genes(matrix.names[genes], matrix.ids[genes], notes)
    notes.append(
        "Stains of the instrument are not shown; an H&E image of the section can be added with "
        "image= and its transform (*_imagealignment.csv) with alignment=."
    )
    name = options.name or facts.get("region_name") or facts.get("run_name") or _name(folder)
    section = cell_section(
        counts, matrix.barcodes, var, cells, _PLACE, path, notes, name=str(name), um_per_px=1.0
    )
    if isinstance(facts.get("pixel_size"), int | float):
        section.adata.uns["xenium"] = {"pixel_size": float(facts["pixel_size"])}
    section.counts()
    return section


def _folder(path: Path) -> Path:
    if path.is_dir() and path.name != _MATRIX:
        return path
    return path.parent


def _name(folder: Path) -> str:
    resolved = folder.resolve()
    return resolved.parent.name if resolved.name == "outs" else resolved.name


def _read_matrix(folder: Path) -> TenxMatrix:
    h5, mtx = folder / f"{_MATRIX}.h5", folder / _MATRIX
    if h5.is_file():
        return read_h5(h5)
    found = require(mtx if is_mtx_folder(mtx) else None, folder, f"{_MATRIX}.h5")
    return read_mtx(found)


def _read_cells(folder: Path) -> pd.DataFrame:
    found = next((folder / name for name in _CELLS if (folder / name).is_file()), None)
    path = require(found, folder, "cells.parquet and no cells.csv.gz")
    table = read_cells(path, "the table of cells of Xenium")
    if "cell_id" not in table:
        raise FileFormatError(
            f"{path} has no column 'cell_id', found: {', '.join(map(str, table.columns[:12]))}",
            "give the file as Xenium writes it",
        )
    table.index = table["cell_id"].map(_text).to_numpy()
    return table.drop(columns="cell_id")


def _text(value: Any) -> str:
    """Cell ids are bytes, text or whole numbers, by version."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value).strip()


def _experiment(folder: Path) -> dict[str, Any]:
    path = folder / _EXPERIMENT
    if not path.is_file():
        return {}
    with guarded(path, "the description of a Xenium run"):
        if path.stat().st_size > _MAX_JSON:
            raise FileFormatError(f"{path} is larger than 1 MB", "give the file of the run")
        content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
