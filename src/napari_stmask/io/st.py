"""Read legacy Spatial Transcriptomics: a table of counts, with tables of spots beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, FileFormatError
from ..core.histology import Histology
from .folders import first_entries
from .guard import JPEG, PNG, TIFF, kind_of
from .options import ReadOptions
from .positions import MIN_MATCH, ST_PITCH_UM, um_per_px
from .st_tables import (
    SpotTable,
    array_index,
    is_label_table,
    is_spot_table,
    mirrored_height,
    parse_ids,
    read_spot_table,
    same_section,
    share_of_ids,
    tells_apart,
)
from .symbols import gene_table
from .text import Dialect, is_text_table, sniff, stem_of
from .wide import read_wide

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse as sp

    from ..core.section import Section

__all__ = ["OPTIONS", "TITLE", "load", "matches"]

TITLE = "a legacy Spatial Transcriptomics table of counts (spots named COLxROW), or its folder"
OPTIONS = frozenset({"filtered", "spots", "symbols"})

_SPOT_UM = 100.0
_STAGGERED_UM = 100.0
"""One array unit of the arrays with 2,000 spots, which fill every second place of the grid."""
_WIDEST = 40.0
"""Largest row or column of the arrays that fill every place: they have 33 x 35 spots."""
_GLANCE, _MAX_FILES = 24, 400
"""Text tables of a folder that are looked at to recognise it, and to read it."""
_IMAGES = (PNG, JPEG, TIFF)


@dataclass(frozen=True)
class _Counts:
    """Counts as the file holds them, spots in rows."""

    matrix: sp.csr_matrix
    ids: NDArray[np.object_]
    genes: NDArray[np.object_]


def matches(path: Path) -> bool:
    """Whether ``path`` is a table with ids ``COLxROW`` along one side, or a folder with one."""
    if path.is_file():
        return is_text_table(path) and _is_counts(sniff(path))
    return path.is_dir() and any(_is_counts(found) for _, found in _tables(path, _GLANCE))


def load(path: Path, options: ReadOptions) -> Section:
    """Read one section.

    Spots are joined with the table of spots by their rounded array position. Positions are that
    table's pixels, else positions on the array.

    Parameters
    ----------
    path
        Table of counts, spots x genes or genes x spots, or the folder that holds one.
    options
        ``name`` (the file's by default), ``filtered`` (keep spots that are selected), ``spots``
        (the table of spots, where it does not lie beside the counts) and ``symbols``.

    Raises
    ------
    FileFormatError, MissingFileError, DataError
        Each with a sentence that names the file.
    """
    from anndata import AnnData

    from ..core.section import Section

    counts_path, dialect = _find_counts(path)
    counts = _read_counts(counts_path, dialect)
    notes: list[str] = []
    spots, labels = _find_spots(counts_path, options.spots, notes)
    array = parse_ids(counts.ids)
    rows, table = _join(array, spots, counts_path, notes)
    if options.filtered and "selected" in table:
        rows, table = _selected(rows, table, spots, notes)
    obs = _spot_columns(counts.ids[rows], array[rows], table)
    if labels is not None and "label" in labels.table:
        obs["ground_truth"] = _labels(labels, obs, notes)
    position, pixels = _positions(table, array[rows])
    adata = AnnData(counts.matrix[rows], obs, gene_table(counts.genes, options.symbols, notes))
    adata.obsm["spatial"] = position
    unit = _unit_um(array if spots is None else _array_of(spots.table), notes)
    scale = unit
    if pixels and unit is not None:
        scale = _um_per_px(table, array[rows], position, unit)
    section = Section(
        adata,
        name=options.name or stem_of(counts_path),
        image=None,
        um_per_px=scale,
        platform="unknown" if unit is None else "st",
        source=str(path),
        notes=notes,
    )
    if section.um_per_px is not None:
        section.spot_diameter = _SPOT_UM / section.um_per_px
    section.counts()
    if pixels:
        _set_image(section, counts_path, spots, labels)
    return section


def _tables(folder: Path, limit: int = _MAX_FILES) -> Iterator[tuple[Path, Dialect | None]]:
    """Text tables of a folder; of a folder with very many, the first ones."""
    found = first_entries(folder, is_text_table)
    return ((entry, sniff(entry)) for entry in found[:limit] if entry.is_file())


def _is_counts(dialect: Dialect | None) -> bool:
    """Whether identifiers ``COLxROW`` name the columns or the rows of a matrix."""
    if dialect is None or is_spot_table(dialect) or is_label_table(dialect):
        return False
    if not dialect.headed or not dialect.sample:
        return False
    across = len(dialect.first) > 2 and share_of_ids(dialect.first[1:]) > 0.9
    return across or share_of_ids(row[0] for row in dialect.sample) > 0.9


def _find_counts(path: Path) -> tuple[Path, Dialect]:
    tables = [(path, sniff(path))] if path.is_file() else list(_tables(path))
    found = [(p, dialect) for p, dialect in tables if dialect is not None and _is_counts(dialect)]
    if len(found) > 1:
        raise FileFormatError(
            f"{path} holds several tables of counts: {', '.join(p.name for p, _ in found[:4])}",
            "give the path of the one to read",
        )
    if not found:
        raise FileFormatError(f"{path} is not {TITLE}", "give the table of counts")
    return found[0]


def _read_counts(path: Path, dialect: Dialect) -> _Counts:
    wide = read_wide(path, dialect, [0])
    names = wide.text[0]
    across = share_of_ids(list(wide.columns[:2000]))
    down = share_of_ids(list(names[:2000]))
    matrix, ids, genes = wide.matrix, names, wide.columns
    if across > down:
        matrix, ids, genes = wide.matrix.T.tocsr(), wide.columns, names
    bad = np.flatnonzero(np.isnan(parse_ids(ids)).any(axis=1))
    if bad.size:
        raise FileFormatError(
            f"{path}: '{ids[bad[0]]}' is no spot; spots are named COLxROW, such as 10x13",
            "correct or remove this line",
        )
    return _Counts(matrix, ids, genes)


def _find_spots(
    counts: Path, given: Path | None, notes: list[str]
) -> tuple[SpotTable | None, SpotTable | None]:
    """The table of spots and the table of labels: given, else beside the counts."""
    beside = [(p, d) for p, d in _tables(counts.parent) if d is not None and p != counts]
    label_files = [p for p, d in beside if is_label_table(d)]
    spot_files = [p for p, d in beside if is_spot_table(d) and p not in label_files]
    label_files = _not_of_others(counts, label_files, beside)
    label_path = _fitting(counts, label_files, "labels")
    labels = None if label_path is None else read_spot_table(label_path)
    if given is not None:
        return read_spot_table(given), labels
    spot_path = _fitting(counts, _not_of_others(counts, spot_files, beside), "spots")
    if spot_path is not None:
        if tells_apart(counts, spot_path):
            notes.append(f"{spot_path.name} was taken for the spots, though its name is another.")
        return read_spot_table(spot_path), labels
    if labels is not None and labels.has("pixel_x", "pixel_y"):
        notes.append(f"Pixel positions are those of {labels.path.name}: there is no spot table.")
        return labels, labels
    notes.append(
        f"There is no table of spots beside {counts.name}; positions are those on the array."
    )
    return None, labels


def _not_of_others(
    counts: Path, files: list[Path], beside: list[tuple[Path, Dialect]]
) -> list[Path]:
    """Without the tables that are named after other counts: all arrays have the same spots."""
    others = [path for path, dialect in beside if _is_counts(dialect)]
    return [
        path
        for path in files
        if same_section(counts, path) or not any(same_section(other, path) for other in others)
    ]


def _fitting(counts: Path, files: list[Path], what: str) -> Path | None:
    """The file whose name shares most with that of the counts, or the only one."""
    if len(files) < 2:
        return files[0] if files else None
    scores = [same_section(counts, path) for path in files]
    best = [path for path, score in zip(files, scores, strict=True) if score == max(scores)]
    if len(best) > 1:
        raise FileFormatError(
            f"Several tables of {what} lie beside {counts}: "
            f"{', '.join(path.name for path in best[:4])}",
            "give the path of the table of spots with spots=, or move the others away",
        )
    return best[0]


def _join(
    array: NDArray[np.float64], spots: SpotTable | None, counts: Path, notes: list[str]
) -> tuple[NDArray[np.intp], pd.DataFrame]:
    """Rows of the counts that have a row in the table of spots, and these rows."""
    import pandas as pd

    index = array_index(array)
    twice = index[index.duplicated()]
    if len(twice):
        raise FileFormatError(
            f"{counts} holds spot {twice[0][0]}x{twice[0][1]} twice (positions are rounded)",
            "give the counts of one section",
        )
    if spots is None:
        return np.arange(len(array)), pd.DataFrame(index=index)
    places = spots.table.index.get_indexer(index)
    rows = np.flatnonzero(places >= 0)
    # A table that lists the spots under tissue only is complete, however many others there are.
    listed = len(rows) / max(1, len(spots.table))
    if not rows.size or (len(rows) < MIN_MATCH * len(array) and listed < 0.95):
        raise DataError(
            f"Only {len(rows)} of {len(array)} spots of {counts.name} are in {spots.path}",
            "take counts and table of spots from the same section",
        )
    if len(rows) < len(array):
        notes.append(
            f"{len(array) - len(rows)} of {len(array)} spots are not in {spots.path.name} and were "
            "left out."
        )
    return rows, spots.table.iloc[places[rows]]


def _selected(
    rows: NDArray[np.intp], table: pd.DataFrame, spots: SpotTable | None, notes: list[str]
) -> tuple[NDArray[np.intp], pd.DataFrame]:
    kept = (table["selected"] == 1).to_numpy()
    if not kept.any():
        where = spots.path if spots is not None else "The table of spots"
        raise DataError(
            f"{where}: none of {len(kept)} spots is selected",
            "set selected to 1 for the spots under tissue, or read with filtered=False",
        )
    if not kept.all():
        notes.append(
            f"{int((~kept).sum())} spots outside the tissue (selected is 0) were left out."
        )
    return rows[kept], table[kept]


def _spot_columns(
    ids: NDArray[np.object_], array: NDArray[np.float64], table: pd.DataFrame
) -> pd.DataFrame:
    import pandas as pd

    whole = np.rint(array).astype(np.int64)
    obs = pd.DataFrame({"array_row": whole[:, 1], "array_col": whole[:, 0]}, index=ids)
    if "selected" in table:
        obs["in_tissue"] = (table["selected"] == 1).to_numpy().astype(np.int64)
    if {"new_x", "new_y"} <= set(table):
        obs["array_row_adjusted"] = table["new_y"].to_numpy()
        obs["array_col_adjusted"] = table["new_x"].to_numpy()
    return obs


def _labels(labels: SpotTable, obs: pd.DataFrame, notes: list[str]) -> Any:
    """Label of each spot, by array position alone: pixels of label tables lie elsewhere."""
    import pandas as pd

    wanted = pd.MultiIndex.from_arrays([obs["array_col"], obs["array_row"]])
    found = labels.table["label"].reindex(wanted)
    missing = int(found.isna().sum())
    if missing:
        notes.append(f"{missing} of {len(found)} spots have no label in {labels.path.name}.")
    return pd.Categorical(found)


def _positions(table: pd.DataFrame, array: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Pixels where the table has them, else positions on the array; and which of both."""
    for columns in (["pixel_x", "pixel_y"], ["new_x", "new_y"]):
        if set(columns) <= set(table):
            return table[columns].to_numpy(dtype=np.float64), columns[0] == "pixel_x"
    return array, False


def _array_of(table: pd.DataFrame) -> NDArray[np.float64]:
    return np.asarray(table[["x", "y"]], dtype=np.float64)


def _unit_um(array: NDArray[np.float64], notes: list[str]) -> float | None:
    """Micrometres per array unit: the denser arrays use every second place of the grid.

    None for arrays of other makes, such as DBiT-seq, which name their spots in the same way.
    """
    odd = np.rint(array).astype(np.int64).sum(axis=1) % 2
    if len(odd) > 10 and odd.min() == odd.max():
        notes.append("Spots fill every second place of the array, so 100 µm per place are assumed.")
        return _STAGGERED_UM
    if array.max() > _WIDEST:
        notes.append(
            f"The array is {array.max():.0f} spots wide, more than legacy ST has, so its platform "
            "and its scale in µm are not known."
        )
        return None
    return ST_PITCH_UM


def _um_per_px(
    table: pd.DataFrame, array: NDArray[np.float64], pixels: NDArray[np.float64], unit: float
) -> float | None:
    """Micrometres per pixel, from how array and pixels relate."""
    import pandas as pd

    if not np.isfinite(pixels).all():
        return None
    adjusted = {"new_x", "new_y"} <= set(table)
    place = table[["new_x", "new_y"]].to_numpy() if adjusted else array
    columns = ["array_col", "array_row", "pxl_col_in_fullres", "pxl_row_in_fullres"]
    return um_per_px(pd.DataFrame(np.hstack([place, pixels]), columns=columns), unit)


def _set_image(
    section: Section, counts: Path, spots: SpotTable | None, labels: SpotTable | None
) -> None:
    """The image beside the counts, at full resolution or at a scale that the tables prove."""
    from .images import open_histology

    found = _images(counts)
    for path in found:
        image = open_histology(path)
        if image.contains(section.coords).all():
            section.image = image
            return
        height = None if spots is None or labels is None else mirrored_height(spots, labels)
        if height is None or labels is None:
            continue
        scaled = Histology(image.levels, image.shape[0] / height, image.name, image.source)
        if scaled.contains(section.coords).all():
            section.image = scaled
            section.notes.append(
                f"{path.name} was placed at scale {scaled.scale:.4g}: {labels.path.name} counts "
                f"pixels from the bottom of an image {height:.0f} pixels high."
            )
            return
    if found:
        section.notes.append(
            f"{found[0].name} was left out: the spots do not lie inside it at full resolution. "
            "Give it with image= and alignment=."
        )
    else:
        section.notes.append("There is no tissue image; the section is shown without histology.")


def _images(counts: Path) -> list[Path]:
    """Images beside the counts, by name: those of the section, else those named ``HE``."""
    ends = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
    images = first_entries(counts.parent, lambda name: name.lower().endswith(ends))
    images = [p for p in images if kind_of(p) in _IMAGES]
    same = [p for p in images if same_section(counts, p)]
    return same or [p for p in images if p.name.lower().startswith("he")]
