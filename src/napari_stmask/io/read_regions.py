"""Regions that were annotated elsewhere: GeoJSON of QuPath, and tables of barcode and label."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, FileFormatError, MissingFileError
from .guard import guarded
from .roles import guess_roles
from .text import is_text_table, read_frame, sniff

if TYPE_CHECKING:
    import pandas as pd

    from ..core.histology import Histology

__all__ = ["Region", "Table", "match_labels", "read_geojson", "read_labels", "takes_outlines"]

_OUTLINES = (".geojson", ".json")
_MAX_BYTES = 2 * 1024**3
UNCLASSIFIED = "unclassified"
_LABELS = ("annotation", "label", "labels", "class", "region", "cluster", "domain", "layer")
"""Names of the column of labels where a table has several."""
_SPOT = re.compile(r"(?<![ACGT])[ACGT]{14,24}(?![ACGT])")
"""The letters of a barcode, whatever a program has put around them."""


@dataclass(frozen=True, eq=False)
class Region:
    """One outline and what it was called.

    Attributes
    ----------
    name
        Of its class.
    color
        ``#RRGGBB``, or None where the file says none.
    area
        Shapely polygon or multi-polygon, holes included, in the section's coordinates.
    """

    name: str
    color: str | None
    area: Any


@dataclass(frozen=True, eq=False)
class Table:
    """Labels of spots by barcode.

    Attributes
    ----------
    column
        Name of the column that they stand in.
    labels
        Indexed by barcode; text, missing where there is none.
    """

    column: str
    labels: pd.Series[Any]


def takes_outlines(path: Path | str) -> bool:
    """Whether the name is that of a file of outlines rather than of a table."""
    return str(path).lower().endswith(_OUTLINES)


def read_geojson(path: Path, image: Histology | None = None) -> list[Region]:
    """Read the outlines of a GeoJSON as QuPath writes it.

    Points and lines have no area and are left out.

    Parameters
    ----------
    path
        A collection of features, a list of them, one feature or one geometry.
    image
        Histology of the section. Where it is not upright, coordinates are pixels of that image,
        as `write_geojson.write_geojson` writes them; else full-resolution pixels.

    Returns
    -------
    list of Region
        In the order of the file; one at least.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FileFormatError
        If it is no GeoJSON or holds no area.
    """
    import shapely

    from ..core.histology import inverse

    with guarded(path, "GeoJSON", "export the annotations again, as GeoJSON"):
        if path.stat().st_size > _MAX_BYTES:
            raise FileFormatError(f"{path} is larger than 2 GB", "export fewer objects")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        found = [
            Region(name, color, area)
            for feature in _features(content)
            for name, color in [_class_of(feature)]
            for area in [_area(feature.get("geometry"))]
            if not area.is_empty
        ]
    if not found:
        raise FileFormatError(
            f"{path} holds no polygon", "export annotations that are areas, as GeoJSON"
        )
    if image is None or image.upright:
        return found
    back = inverse(image.matrix)

    def home(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(pixels @ back[:2, :2].T + back[:2, 2])

    return [Region(r.name, r.color, shapely.transform(r.area, home)) for r in found]


def _features(content: Any) -> Iterator[dict[str, Any]]:
    """Every feature, however they are nested."""
    if isinstance(content, list):
        for part in content:
            yield from _features(part)
    elif isinstance(content, dict):
        if isinstance(content.get("features"), list):
            yield from _features(content["features"])
        elif content.get("type") == "Feature":
            yield content
        elif "coordinates" in content or "geometries" in content:
            yield {"geometry": content}


def _area(geometry: Any) -> Any:
    """What a geometry encloses; empty for points and lines."""
    import shapely
    from shapely.geometry import shape

    if not isinstance(geometry, dict):
        return shapely.Polygon()
    if geometry.get("type") == "GeometryCollection":
        return shapely.union_all([_area(part) for part in geometry.get("geometries", [])])
    if geometry.get("type") not in ("Polygon", "MultiPolygon"):
        return shapely.Polygon()
    made = shapely.force_2d(shape(geometry))
    if not np.isfinite(shapely.get_coordinates(made)).all():
        raise ValueError("a corner is not a number")
    if not made.is_valid:
        # Drawn by hand, an outline may cross itself.
        made = shapely.make_valid(made, method="structure", keep_collapsed=False)
    flat = [p for p in shapely.get_parts(made) if p.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.union_all(flat) if len(flat) != 1 else flat[0]


def _class_of(feature: dict[str, Any]) -> tuple[str, str | None]:
    """Name and colour: of the classification, else of the object itself."""
    about = feature.get("properties")
    about = about if isinstance(about, dict) else {}
    given = about.get("classification")
    if isinstance(given, str):
        given = {"name": given}
    given = given if isinstance(given, dict) else {}
    name = given.get("name")
    if name is None and isinstance(given.get("names"), list):
        # QuPath 0.4 and later: one name for each level.
        name = ": ".join(str(part) for part in given["names"])
    name = name or about.get("name") or UNCLASSIFIED
    color = _color(given) or _color(about)
    return " ".join(str(name).split()) or UNCLASSIFIED, color


def _color(about: dict[str, Any]) -> str | None:
    """``#RRGGBB`` from three numbers, or from the one number that older QuPath writes."""
    packed, three = about.get("colorRGB"), about.get("color")
    if isinstance(three, list) and len(three) >= 3:
        return "#" + "".join(f"{min(255, max(0, int(c))):02X}" for c in three[:3])
    if isinstance(packed, int):
        # A signed 32-bit number with opacity in front.
        return f"#{packed & 0xFFFFFF:06X}"
    return None


def read_labels(path: Path, column: str | None = None) -> Table:
    """Read a table with one row a spot: barcode and label, as Loupe Browser exports it.

    Parameters
    ----------
    path
        Text (csv, tsv, txt, gzipped or not) or Parquet.
    column
        Column of labels; by default the only one beside the barcode, or one whose name says so.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FileFormatError
        If it is no such table, or which column holds the labels is not clear.
    """
    if not path.exists():
        raise MissingFileError(f"{path} does not exist", "check the path")
    table = _frame(path)
    names = [str(name) for name in table.columns]
    if len(names) < 2:
        raise FileFormatError(
            f"{path} has {len(names)} column", "give a table of barcode and label"
        )
    place = next((i for i, n in enumerate(names) if guess_roles([(n, "text")]).get("id")), 0)
    others = [i for i in range(len(names)) if i != place]
    at = _label_column(path, names, others, column)
    values = table.iloc[:, at].map(_as_label)
    values.index = table.iloc[:, place].astype(str).str.strip()
    return Table(names[at].strip(), values[values.index.notna()])


def _frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    if path.suffix.lower() == ".parquet":
        with guarded(path, "a Parquet table"):
            found = pd.read_parquet(path)
            # Barcodes may be the index, a number per row is none.
            numbered = pd.api.types.is_numeric_dtype(found.index)
            return found if numbered else found.reset_index()
    if not is_text_table(path):
        raise FileFormatError(
            f"{path} is no file of regions by its name",
            "give .geojson of QuPath, or .csv, .tsv or .parquet of barcode and label",
        )
    dialect = sniff(path)
    if dialect is None:
        raise FileFormatError(
            f"{path} is not a table with rows of equal length", "export it again as csv"
        )
    found = read_frame(path, dialect)
    return found.set_axis([name.strip() for name in dialect.first], axis=1)


def _label_column(path: Path, names: list[str], others: list[int], column: str | None) -> int:
    if column is not None and column in names:
        return names.index(column)
    known = [i for word in _LABELS for i in others if names[i].lower() == word]
    if len(others) == 1 or known:
        return others[0] if len(others) == 1 else known[0]
    listed = ", ".join(names[i] for i in others[:12])
    raise FileFormatError(
        f"{path} has several columns ({listed})",
        "name the annotation like the column that holds the labels",
    )


def _as_label(value: Any) -> str | None:
    """Text without blanks around it; None for what is empty; whole numbers without a point."""
    if value is None or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).split()) or None


def match_labels(barcodes: Any, table: Table, path: Path | str) -> tuple[NDArray[np.object_], int]:
    """Labels of a table for the spots of a section, by barcode; never by order.

    Barcodes match as they are, else without a suffix such as ``-1``, else by their letters
    alone, without what a program has put around them.

    Parameters
    ----------
    barcodes
        (n_spots,) names of the spots.
    table
        What was read.
    path
        Its file, for messages.

    Returns
    -------
    labels
        (n_spots,) text, None where there is none.
    matched
        Number of spots that the table names.

    Raises
    ------
    DataError
        If no barcode matches, or one has two labels.
    """
    import pandas as pd

    best: tuple[int, Any, Any] = (0, None, None)
    clash = ""
    for key in (str.strip, _bare, _letters):
        own = pd.Index([key(str(b)) for b in barcodes])
        there = pd.Index([key(str(b)) for b in table.labels.index])
        rows = pd.Series(table.labels.to_numpy(dtype=object), index=there)
        if not own.is_unique:
            continue
        rows = rows[rows.index.isin(own)]
        twice = rows.groupby(level=0, sort=False).nunique(dropna=False)
        if (twice > 1).any():
            clash = clash or str(twice.index[twice > 1][0])
            continue
        rows = rows[~rows.index.duplicated()]
        if len(rows) > best[0]:
            best = (len(rows), own, rows)
        if best[0] == len(own):
            break
    matched, own, rows = best
    if matched:
        return np.asarray(rows.reindex(own).where(lambda v: v.notna(), None), dtype=object), matched
    if clash:
        raise DataError(
            f"{path} has several labels for barcode '{clash}'", "give the rows of one section only"
        )
    seen = f"'{table.labels.index[0]}'" if len(table.labels) else "nothing"
    mine = f"'{barcodes[0]}'" if len(barcodes) else "nothing"
    raise DataError(
        f"No barcode of {path} is one of the section: it has {seen}, the section {mine}",
        "give the table of this section",
    )


def _bare(barcode: str) -> str:
    return re.sub(r"-\d+$", "", barcode.strip())


def _letters(barcode: str) -> str:
    found = _SPOT.findall(barcode.upper())
    return found[0] if len(found) == 1 else barcode.strip()
