"""Where the spots of a Space Ranger run lie, and which barcode belongs to which spot."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, FileFormatError, ResourceError
from .guard import guarded
from .text import open_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS",
    "NAMES",
    "ST_PITCH_UM",
    "Match",
    "match_barcodes",
    "read_positions",
    "um_per_px",
]

NAMES = ("tissue_positions.parquet", "tissue_positions.csv", "tissue_positions_list.csv")
"""Names by which Space Ranger has called the file, newest first."""

COLUMNS = (
    "barcode",
    "in_tissue",
    "array_row",
    "array_col",
    "pxl_row_in_fullres",
    "pxl_col_in_fullres",
)

MAX_PIXELS = 1e8
"""Largest coordinate that is taken for a pixel position."""
_MAX_LINE = 1 << 16
ST_PITCH_UM = 200.0
"""Between the spots of a legacy ST array."""
_HALF_PITCH_UM, _ROW_UM = 50.0, 100.0 * 0.75**0.5
MIN_MATCH = 0.5
"""Share of a matrix's barcodes that must have a position."""


def read_positions(path: Path) -> pd.DataFrame:
    """Read any of the three forms of tissue positions.

    Parameters
    ----------
    path
        ``tissue_positions_list.csv`` (no header, or one), ``tissue_positions.csv`` (header,
        pixels as fractions) or ``tissue_positions.parquet``.

    Returns
    -------
    pandas.DataFrame
        Indexed by barcode; ``in_tissue`` bool, ``array_row`` and ``array_col`` int64,
        ``pxl_row_in_fullres`` and ``pxl_col_in_fullres`` float64 (NaN where the file has none).

    Raises
    ------
    FileFormatError
        If columns are missing, a number is not a number or a barcode occurs twice.
    ResourceError
        If a parquet file is given and pyarrow is not installed.
    """
    with guarded(path, "a table of tissue positions"):
        table = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
        numbers = {name: _numbers(table, name, path) for name in COLUMNS[1:]}
        for name in ("array_row", "array_col"):
            numbers[name] = numbers[name].astype(np.int64)
        numbers["in_tissue"] = numbers["in_tissue"] == 1
        barcodes = table["barcode"].astype(str)
        twice = barcodes[barcodes.duplicated()]
        if len(twice):
            raise FileFormatError(
                f"{path}: barcode '{twice.iloc[0]}' occurs twice", "give the file of one section"
            )
        import pandas as pd

        return pd.DataFrame(numbers, index=pd.Index(barcodes.to_numpy(), name="barcode"))


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    if find_spec("pyarrow") is None:
        raise ResourceError(
            f"{path} is a parquet file and pyarrow is not installed", "run: pip install pyarrow"
        )
    table = pd.read_parquet(path, engine="pyarrow")
    if "barcode" not in table.columns:
        table = table.reset_index()
    return _require_columns(table, path)


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    with open_text(path) as stream:
        line = stream.readline(_MAX_LINE).decode("utf-8-sig", "replace")
    head = [cell.strip().strip('"').lower() for cell in line.split(",")]
    if len(head) < len(COLUMNS):
        raise FileFormatError(
            f"{path} has {len(head)} columns, expected {len(COLUMNS)}: {', '.join(COLUMNS)}",
            "give the file as Space Ranger writes it",
        )
    named = "barcode" in head
    names = head if named else [*COLUMNS, *map(str, range(len(COLUMNS), len(head)))]
    # Text first would take twice as long; what is no number comes as text by itself.
    with open_text(path) as stream:
        table = pd.read_csv(
            stream,
            header=None,
            names=names,
            skiprows=int(named),
            dtype={"barcode": str},
            low_memory=False,
        )
    return _require_columns(table, path)


def _require_columns(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise FileFormatError(
            f"{path} has no column '{missing[0]}', found: {', '.join(map(str, table.columns))}",
            "give the file as Space Ranger writes it",
        )
    return table[list(COLUMNS)]


def _numbers(table: pd.DataFrame, name: str, path: Path) -> NDArray[np.float64]:
    """Column ``name`` as float64; only pixel positions may be missing."""
    import pandas as pd

    if table[name].dtype.kind in "iuf":
        plain = table[name].to_numpy(dtype=np.float64)
        if (np.abs(plain) <= MAX_PIXELS).all():
            return plain
    values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
    pixels = name.startswith("pxl")
    given = table[name].notna().to_numpy() if pixels else np.ones(len(table), dtype=bool)
    bad = given & (np.isnan(values) | (np.abs(values) > MAX_PIXELS))
    if pixels and bad.any():
        # "nan" and "inf" are numbers that the section refuses with a sentence of its own.
        words = table[name].astype(str).str.strip().str.lower().isin(["nan", "inf", "-inf"])
        bad &= ~words.to_numpy()
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise FileFormatError(
            f"{path}: column {name} holds '{str(table[name].iloc[row])[:40]}' at spot {row + 1}, "
            "expected a number in range",
            "correct this line or copy the file again",
        )
    return values


def um_per_px(positions: pd.DataFrame, bin_size_um: float | None = None) -> float | None:
    """Micrometres per pixel, from how far apart the array's rows and columns lie in pixels.

    Needs no neighbouring spots, so that it also holds for scattered subsets of an array.

    Parameters
    ----------
    positions
        As `read_positions` returns them.
    bin_size_um
        Side of a bin of Visium HD; None for the hexagonal array of Visium, whose spots are
        100 µm apart and whose columns count by two.

    Returns
    -------
    float or None
        None where the positions do not follow an array.
    """
    columns = ["array_col", "array_row", "pxl_col_in_fullres", "pxl_row_in_fullres"]
    table = positions[columns].to_numpy(dtype=np.float64)
    table = table[np.isfinite(table).all(axis=1)]
    step = (_HALF_PITCH_UM, _ROW_UM) if bin_size_um is None else (bin_size_um, bin_size_um)
    if len(table) < 3:
        return None
    um, pixels = table[:, :2] * step, table[:, 2:]
    um, pixels = um - um.mean(axis=0), pixels - pixels.mean(axis=0)
    if np.linalg.matrix_rank(um) < 2:
        return None
    fit, _, _, _ = np.linalg.lstsq(um, pixels, rcond=None)
    scale = float(np.sqrt(abs(np.linalg.det(fit))))
    residual = float(np.sqrt(np.mean((um @ fit - pixels) ** 2)))
    return 1 / scale if scale > 0 and residual < 10.0 * scale else None


@dataclass(frozen=True)
class Match:
    """Which rows of a matrix have which rows of the positions.

    Attributes
    ----------
    rows
        (n_matched,) rows of the matrix, ascending.
    places
        (n_matched,) their rows in the positions.
    stripped
        Whether the suffix ``-1`` had to be ignored.
    """

    rows: NDArray[np.intp]
    places: NDArray[np.intp]
    stripped: bool


def match_barcodes(barcodes: NDArray[np.object_], positions: pd.DataFrame, path: Path) -> Match:
    """Join by barcode: exactly, else without the suffix ``-1``; never by order.

    Parameters
    ----------
    barcodes
        (n_barcodes,) of the matrix.
    positions
        Indexed by barcode.
    path
        File of the positions, for the message.

    Raises
    ------
    DataError
        If fewer than half of the matrix's barcodes have a position.
    FileFormatError
        If the matrix lists a barcode twice.
    """
    import pandas as pd

    wanted = pd.Index(barcodes)
    if not wanted.is_unique:
        raise FileFormatError(
            f"The matrix beside {path} lists barcode '{wanted[wanted.duplicated()][0]}' twice",
            "give the matrix of one section",
        )
    places = positions.index.get_indexer(wanted)
    stripped = False
    if (places < 0).any():
        bare, bare_positions = _strip(wanted), _strip(positions.index)
        if bare.is_unique and bare_positions.is_unique:
            again = bare_positions.get_indexer(bare)
            if (again >= 0).sum() > (places >= 0).sum():
                places, stripped = again, True
    found = int((places >= 0).sum())
    if found < MIN_MATCH * len(wanted) or found == 0:
        raise DataError(
            f"Only {found} of {len(wanted)} barcodes of the matrix have a position in {path}",
            "take matrix and positions from the same run",
        )
    rows = np.flatnonzero(places >= 0)
    return Match(rows, places[rows], stripped)


def _strip(index: pd.Index) -> pd.Index:
    return index.astype(str).str.strip().str.replace(r"-\d+$", "", regex=True)
