"""Regions of a section as a column of ``obs``: read from a file, or handed over by the window."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .core.errors import DataError, ParameterError
from .core.provenance import now
from .core.result import MAX_DOMAINS
from .features.regions import covering
from .io.read_regions import Region, match_labels, read_geojson, read_labels, takes_outlines
from .viz.palette import stored_colors, unused_colors

if TYPE_CHECKING:
    from anndata import AnnData

    from .core.section import Section
    from .pipeline import Data

__all__ = [
    "COLUMN",
    "OVERLAPS",
    "RECORD",
    "Annotation",
    "annotate",
    "annotation_columns",
    "check_column",
    "read_annotation",
    "stored_annotation",
    "with_colors",
    "write_annotation",
]

COLUMN = "annotation"
"""Column of ``obs`` unless another is asked for."""
RECORD = "stmask_annotations"
"""Entry of ``uns`` with a record, as JSON text, for each column that was written here."""
OVERLAPS = ("last", "first", "smallest")


@dataclass(frozen=True, eq=False)
class Annotation:
    """Classes of the spots of one section.

    Attributes
    ----------
    codes
        (n_spots,) intp, index into ``names``; -1 for spots of no class.
    names, colors
        One name and one ``#RRGGBB`` a class.
    regions
        Outlines that they were read from; none for a table of barcodes.
    matched
        Spots that the file says something about.
    column
        Name that the file suggests.
    """

    codes: NDArray[np.intp]
    names: tuple[str, ...]
    colors: tuple[str, ...]
    regions: tuple[Region, ...] = ()
    matched: int = 0
    column: str = COLUMN


def annotate(
    section: Data,
    path: str | Path,
    *,
    column: str | None = None,
    overlap: str = "last",
) -> pd.Series[Any]:
    """Read regions from a file and keep the class of each spot in ``obs``.

    Parameters
    ----------
    section
        Section, AnnData or path.
    path
        GeoJSON of QuPath (``.geojson``, ``.json``), in full-resolution pixels of the image; or a
        table of barcode and label (csv, tsv or Parquet), such as Loupe Browser exports.
    column
        Column of ``obs`` to write; by default ``"annotation"``, or the column of labels of a
        table. One that was written by this function before is replaced. In a table with several
        columns it also names the one that is read.
    overlap
        Which outline counts where several cover a spot: the ``"last"`` in the file, the
        ``"first"``, or the ``"smallest"``.

    Returns
    -------
    pandas.Series
        The column: categories in the order of the file, missing outside all regions. Colours are
        in ``uns["<column>_colors"]``.

    Raises
    ------
    ParameterError
        If the column exists and was not written here.
    StmaskError
        If the file cannot be read, or none of its barcodes or outlines meets the section.
    """
    from .pipeline import as_section

    of = as_section(section)
    found = read_annotation(of, path, label=column, overlap=overlap)
    name = column or found.column
    check_column(of.adata, name)
    write_annotation(of.adata, name, found, source=str(path), overlap=overlap)
    column_of_spots: pd.Series[Any] = of.adata.obs[name]
    return column_of_spots


def read_annotation(
    section: Section, path: str | Path, *, label: str | None = None, overlap: str = "last"
) -> Annotation:
    """What a file of regions says of the spots; nothing is written. See `annotate`."""
    path = Path(path).expanduser()
    if overlap not in OVERLAPS:
        raise ParameterError(f"overlap is '{overlap}'", f"use one of: {', '.join(OVERLAPS)}")
    if takes_outlines(path):
        return _outlined(section, path, overlap)
    return _listed(section, path, label)


def _outlined(section: Section, path: Path, overlap: str) -> Annotation:
    regions = read_geojson(path, section.image)
    names = tuple(dict.fromkeys(region.name for region in regions))
    _check_count(names, path)
    order = list(range(len(regions)))
    if overlap == "first":
        order.reverse()
    elif overlap == "smallest":
        order.sort(key=lambda i: -regions[i].area.area)
    area, spot = covering(section.coords, [regions[i].area for i in order])
    if not spot.size:
        raise DataError(
            f"No spot of '{section.name}' lies in a region of {path}",
            "give outlines in full-resolution pixels of the image of this section",
        )
    code = np.array([names.index(regions[i].name) for i in order], dtype=np.intp)
    codes = np.full(section.n_spots, -1, dtype=np.intp)
    # Sorted by area: of several the last one stays.
    codes[spot] = code[area]
    given: dict[str, str] = {}
    for region in regions:
        if region.color is not None:
            given.setdefault(region.name, region.color)
    colors = with_colors(names, given)
    return Annotation(codes, names, colors, tuple(regions), int(np.unique(spot).size))


def _listed(section: Section, path: Path, label: str | None) -> Annotation:
    table = read_labels(path, label)
    labels, matched = match_labels(section.adata.obs_names, table, path)
    values = pd.Series(labels, dtype=object)
    names = tuple(sorted(values.dropna().unique(), key=_natural))
    _check_count(names, path)
    codes = pd.Categorical(values, categories=list(names)).codes.astype(np.intp)
    return Annotation(codes, names, with_colors(names, {}), (), matched, table.column)


def _natural(name: str) -> tuple[Any, ...]:
    """Numbers inside names by size: 2 comes before 10."""
    return tuple(
        (0, int(p), "") if p.isdecimal() else (1, 0, p) for p in re.split(r"(\d+)", name) if p
    )


def _check_count(names: Sequence[str], path: Path) -> None:
    if len(names) > MAX_DOMAINS:
        raise DataError(
            f"{path} has {len(names):,} classes", f"give a file of at most {MAX_DOMAINS} classes"
        )


def with_colors(names: Sequence[str], given: Mapping[str, str]) -> tuple[str, ...]:
    """One colour a class: the given one, else one of the palette that no other has."""
    free = iter(unused_colors(list(given.values()), len(names)))
    return tuple(given.get(name) or next(free) for name in names)


def annotation_columns(adata: AnnData) -> list[str]:
    """Columns of ``obs`` that were written here and are still there."""
    return [name for name in _records(adata) if name in adata.obs]


def check_column(adata: AnnData, column: str) -> None:
    """Refuse a column of ``obs`` that holds something else.

    Raises
    ------
    ParameterError
        If it exists and was not written here, or has no name.
    """
    if not column.strip() or "/" in column:
        raise ParameterError(
            f"'{column}' is no name of a column", "type a name without a slash, such as annotation"
        )
    if column in adata.obs and column not in _records(adata):
        raise ParameterError(
            f"obs['{column}'] exists already and holds no regions that were annotated here",
            "choose another name for the regions; it stays as it is",
        )


def stored_annotation(adata: AnnData, column: str) -> Annotation | None:
    """The classes that ``obs[column]`` holds; None where there is no such column."""
    if column not in adata.obs:
        return None
    values = adata.obs[column].astype("category").cat
    names = [str(name) for name in values.categories]
    codes = values.codes.to_numpy().astype(np.intp)
    colors = stored_colors(adata.uns.get(f"{column}_colors"), names)
    return Annotation(codes, tuple(names), tuple(colors), matched=int((codes >= 0).sum()))


def write_annotation(
    adata: AnnData, column: str, found: Annotation, *, source: str | None = None, **how: Any
) -> None:
    """Write classes to ``obs[column]``, colours and a record to ``uns``; nothing is checked."""
    names = pd.Index(list(found.names), dtype=object)
    adata.obs[column] = pd.Categorical.from_codes(found.codes, names)
    adata.uns[f"{column}_colors"] = list(found.colors)
    record = {"schema": 1, "source": source, "finished": now(), **how}
    adata.uns[RECORD] = {**_records(adata), column: json.dumps(record)}


def _records(adata: AnnData) -> dict[str, str]:
    found = adata.uns.get(RECORD)
    if not isinstance(found, Mapping):
        return {}
    return {str(k): v for k, v in found.items() if isinstance(v, str)}
