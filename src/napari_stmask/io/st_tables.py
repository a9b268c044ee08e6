"""Tables of spots of legacy Spatial Transcriptomics: selections, alignments, labels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.errors import FileFormatError
from .guard import guarded
from .text import Dialect, is_number, read_frame, sniff, stem_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "NUMBERS",
    "is_label_table",
    "is_spot_table",
    "mirrored_height",
    "parse_ids",
    "read_spot_table",
    "same_section",
    "share_of_ids",
    "tells_apart",
]

NUMBERS = ("x", "y", "new_x", "new_y", "pixel_x", "pixel_y", "selected")
"""Columns of a spot table, in the order of those without a header."""
MAX_ARRAY = 10_000
"""Largest row or column of an array that is taken for one."""
_LABELS = ("label", "labels", "annotation", "ground_truth", "region")
_ID = re.compile(r"(?:[A-Za-z0-9.-]{1,40}_)?X?(\d{1,6}(?:\.\d+)?)x(\d{1,6}(?:\.\d+)?)(?:_\d{1,4})?")
"""``COLxROW``, with the name of a section before or a number of one after it."""
_FEW, _MANY = 6, 7
_MAX_SPOTS = 1_000_000
_WORDS = re.compile(r"[^a-z0-9]+")
# fmt: off
_COMMON = frozenset((
    "a", "aligned", "alignment", "adjusted", "count", "counts", "coordinates", "csv", "dark",
    "data", "file", "full", "gz", "he", "hires", "image", "img", "in", "jpg", "labeled", "labels",
    "lbl", "matrix", "new", "norm", "raw", "selected", "selection", "spot", "spots", "st",
    "stdata", "table", "tif", "tiff", "tissue", "transformation", "tsv", "txt", "png",
))
# fmt: on
"""Words of file names that tell no section apart."""


def parse_ids(ids: Iterable[str]) -> NDArray[np.float64]:
    """(n, 2) float64 column and row of identifiers ``COLxROW``; NaN where one is none."""
    found = (_ID.fullmatch(str(text).strip()) for text in ids)
    pairs = [(float(m[1]), float(m[2])) if m else (np.nan, np.nan) for m in found]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def share_of_ids(texts: Iterable[str]) -> float:
    """Share of ``texts`` that are identifiers ``COLxROW``; 0 for none."""
    texts = [text for text in texts if text.strip()]
    return sum(bool(_ID.fullmatch(text.strip())) for text in texts) / len(texts) if texts else 0.0


def same_section(a: Path, b: Path) -> int:
    """How many words two file names share that tell sections apart."""
    return len(_words(a) & _words(b))


def tells_apart(a: Path, b: Path) -> bool:
    """Whether two file names name two sections, as far as words can tell."""
    return bool(_words(a)) and bool(_words(b)) and not same_section(a, b)


def _words(path: Path) -> set[str]:
    return set(_WORDS.split(stem_of(path).lower())) - _COMMON - {""}


def is_spot_table(dialect: Dialect) -> bool:
    """Whether a table holds spots: array positions, and pixels, adjusted positions or choices."""
    names = set(dialect.names())
    if dialect.headed:
        placed = {"x", "y"} <= names or share_of_ids(row[0] for row in dialect.sample) > 0.9
        return placed and (bool(names & {"new_x", "selected"}) or {"pixel_x", "pixel_y"} <= names)
    rows = (dialect.first, *dialect.sample)
    return len(dialect.first) in (_FEW, _MANY) and all(all(map(is_number, row)) for row in rows)


def is_label_table(dialect: Dialect) -> bool:
    """Whether a table gives spots a label, such as a pathologist's regions."""
    names = set(dialect.names())
    return dialect.headed and {"x", "y"} <= names and bool(names & set(_LABELS))


@dataclass(frozen=True)
class SpotTable:
    """Spots by their rounded array position.

    Attributes
    ----------
    path
        File.
    table
        Indexed by (column, row) of the array; float64 columns of `NUMBERS` that the file has,
        and ``label`` (text, missing where there is none).
    """

    path: Path
    table: pd.DataFrame

    def has(self, *names: str) -> bool:
        """Whether the file has these columns, with a number for each spot."""
        return all(name in self.table and bool(self.table[name].notna().all()) for name in names)


def read_spot_table(path: Path) -> SpotTable:
    """Read a table of spots, or of their labels.

    Raises
    ------
    MissingFileError, FileFormatError
        If there is no such table, a number is missing, or two spots share an array position.
    """
    import pandas as pd

    with guarded(path, "a table of spots"):
        with path.open("rb"):
            dialect = sniff(path)
        if dialect is None or not (is_spot_table(dialect) or is_label_table(dialect)):
            raise FileFormatError(
                f"{path} is not a table of spots",
                f"give a table with the columns {', '.join(NUMBERS)}, with or without a header",
            )
        raw = read_frame(path, dialect, header=dialect.headed, max_rows=_MAX_SPOTS)
        names = dialect.names() if dialect.headed else list(NUMBERS[: raw.shape[1]])
        found = {name: raw[i] for i, name in reversed(list(enumerate(names)))}
        if not {"x", "y"} <= set(found):
            array = parse_ids(raw[0].fillna(""))
            found["x"], found["y"] = (pd.Series(array[:, i]) for i in (0, 1))
        table = pd.DataFrame(
            {n: pd.to_numeric(found[n], errors="coerce") for n in NUMBERS if n in found},
            dtype=np.float64,
        )
        array = table[["x", "y"]].to_numpy()
        outside = np.asarray(~(np.abs(array) <= MAX_ARRAY).all(axis=1))
        label = next((name for name in _LABELS if name in found), None)
        if label is not None:
            text = found[label].str.strip()
            table["label"] = text.mask(text == "")
            # Label tables keep spots that lost their position.
            kept = np.flatnonzero(~outside)
            table, array, outside = table.iloc[kept], array[kept], np.zeros(kept.size, dtype=bool)
        if outside.any():
            row = int(np.flatnonzero(outside)[0]) + 1
            raise FileFormatError(
                f"{path}: spot {row} has no array position from 0 to {MAX_ARRAY}",
                "correct this line or copy the file again",
            )
        table.index = array_index(array)
        twice = table.index[table.index.duplicated()]
        if len(twice):
            raise FileFormatError(
                f"{path} holds spot {twice[0][0]}x{twice[0][1]} twice",
                "give the table of one section",
            )
    return SpotTable(path, table)


def array_index(array: NDArray[np.float64]) -> pd.MultiIndex:
    """Array positions, rounded, to join by."""
    import pandas as pd

    whole = np.rint(array).astype(np.int64)
    return pd.MultiIndex.from_arrays([whole[:, 0], whole[:, 1]])


def mirrored_height(spots: SpotTable, labels: SpotTable) -> float | None:
    """Height of the full-resolution image, where the labels count their pixels from its bottom.

    Label tables of the same section may hold pixels of a smaller copy of the image whose rows
    run upwards. Where both tables agree exactly in this way, ``y = height - factor * y_label``
    and ``x = factor * x_label``, the constant is the height of the image.

    Returns
    -------
    float or None
        None where the tables are not related in this way, to a pixel.
    """
    pixels = ("pixel_x", "pixel_y")
    if not (spots.has(*pixels) and labels.has(*pixels)):
        return None
    both = spots.table[list(pixels)].join(labels.table[list(pixels)], rsuffix="_label", how="inner")
    if len(both) < 10:
        return None
    values = both.to_numpy(dtype=np.float64)
    if (np.ptp(values, axis=0) == 0).any():
        return None
    (a, b), (c, d) = (np.polyfit(values[:, i + 2], values[:, i], 1) for i in (0, 1))
    fit = np.column_stack([a * values[:, 2] + b, c * values[:, 3] + d])
    error = float(np.abs(fit - values[:, :2]).max())
    exact = error < 1 and abs(b) < 1 and a > 0 and abs(a + c) < 1e-3 * a
    return float(d) if exact and d > values[:, 1].max() else None
