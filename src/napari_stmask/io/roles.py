"""Which column of a plain table means what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.errors import FileFormatError, ParameterError
from .guard import guarded
from .text import Dialect, is_number, is_text_table, sniff

__all__ = [
    "NUMBER",
    "ROLES",
    "TEXT",
    "genes_of",
    "guess_roles",
    "is_usable",
    "resolve_roles",
    "table_columns",
    "table_dialect",
]

ROLES = ("id", "x", "y", "gene", "count")
NUMBER, TEXT = "number", "text"

_PLACES = (
    ("pxl_col_in_fullres", "pxl_row_in_fullres"),
    ("imagecol", "imagerow"),
    ("pixel_x", "pixel_y"),
    ("x_centroid", "y_centroid"),
    ("center_x", "center_y"),
    ("centerx_global_px", "centery_global_px"),
    ("global_x", "global_y"),
    ("spatial_x", "spatial_y"),
    ("coord_x", "coord_y"),
    ("x_coord", "y_coord"),
    ("xcoord", "ycoord"),
    ("x_um", "y_um"),
    ("x", "y"),
    ("array_col", "array_row"),
    ("col", "row"),
)
"""Pairs of names for (x, y), the most telling ones first."""
# fmt: off
_IDS = (
    "", "barcode", "barcodes", "cell_id", "cellid", "spot_id", "spot", "cell", "bin", "id",
    "index", "entityid",
)
_GENES = (
    "gene", "geneid", "gene_id", "genename", "gene_name", "gene_symbol", "symbol", "feature_name",
    "target",
)
# fmt: on
_COUNTS = ("count", "counts", "midcount", "midcounts", "umicount", "umi_count", "umi", "umis", "n")
# fmt: off
_FACTS = frozenset((
    "in_tissue", "array_row", "array_col", "row", "col", "imagerow", "imagecol",
    "pxl_row_in_fullres", "pxl_col_in_fullres", "x", "y", "z", "new_x", "new_y", "pixel_x",
    "pixel_y", "selected", "label", "labels", "layer", "cluster", "fov", "volume", "area",
    "cell_area", "nucleus_area", "transcript_counts", "total_counts", "control_probe_counts",
    "control_codeword_counts", "unassigned_codeword_counts", "deprecated_codeword_counts",
    "genomic_control_counts", "n_counts", "n_genes", "sum_umi", "sum_gene", "center_x", "center_y",
    "min_x", "max_x", "min_y", "max_y", "x_centroid", "y_centroid", "cell_id", "cellid",
    "entityid", "width", "height", "radius", "diameter", "sample", "nucleus_count", "z_level",
    "qv", "size", "tissue", "in_nucleus", "overlaps_nucleus", "batch",
))
# fmt: on
"""Names that are no genes wherever they stand, in lower case."""
_FACT = re.compile(
    r"unnamed: \d+|orig\.ident|leiden.*|louvain.*|.*clusters?|.*_res\.[\d.]+|percent[._].*|pct_.*"
    r"|log1p_.*|n_genes_by_counts|n(count|feature)_.*|transcripts?_count|transcript_id|barcode_id"
    r"|(mean|max)\.\w+|\w+_(raw|high_pass)|center[xy]_(local|global)_px|[xyz]_(location|local_px"
    r"|global_px)|global_[xyz]|aspect_?ratio|anisotropy|solidity|eccentricity"
    r"|array_\w+|confidence|\w+_(confidence|adjusted)|spamask|instance_id"
    r"|perimeter(_area_ratio)?|\w+_distance|cell_?comp"
)
"""Further ones, as scanpy, Seurat and the instruments write them for cells and molecules."""
_MIN_GENES = 3


def table_dialect(path: Path) -> Dialect | None:
    """How the text table ``path`` is written; None where it is none or has no header."""
    dialect = sniff(path) if is_text_table(path) and path.is_file() else None
    return dialect if dialect is not None and dialect.headed and dialect.sample else None


def table_columns(path: str | Path) -> list[tuple[str, str]]:
    """Name and kind of each column of a table, from its first rows.

    Parameters
    ----------
    path
        Text table with a header (``.csv``, ``.tsv``, ``.txt``, gzipped or not), or ``.parquet``.

    Returns
    -------
    list of (name, kind)
        In the order of the table; the kind is ``"number"`` or ``"text"``.

    Raises
    ------
    FileFormatError
        If it is no such table.
    MissingFileError
        If there is no such file.
    """
    path = Path(path).expanduser()
    with guarded(path, "a table with a header"):
        with path.open("rb"):
            pass
        if path.suffix.lower() == ".parquet":
            return _parquet_columns(path)
        dialect = table_dialect(path)
        if dialect is None:
            raise FileFormatError(
                f"{path} is not a table with a header and rows of equal length",
                "give a csv or tsv file whose first line names the columns",
            )
    columns = zip(dialect.first, zip(*dialect.sample, strict=True), strict=True)
    return [(name.strip(), _kind(values)) for name, values in columns]


def _kind(values: Sequence[str]) -> str:
    filled = [value for value in values if value.strip()]
    return NUMBER if filled and all(is_number(value) for value in filled) else TEXT


def _parquet_columns(path: Path) -> list[tuple[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return [
        (field.name, NUMBER if any(test(field.type) for test in numeric) else TEXT)
        for field in schema
    ]


def guess_roles(columns: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Which column has which role, by name and kind; roles without a column are left out.

    Parameters
    ----------
    columns
        As `table_columns` returns them.

    Returns
    -------
    dict
        From some of `ROLES` to a column's name. ``gene`` and ``count`` are given together, for
        tables with one row per gene and position.
    """
    named = {name.lower(): name for name, _ in reversed(columns)}
    numeric = {name.lower() for name, kind in columns if kind == NUMBER}
    roles: dict[str, str] = {}
    for x, y in _PLACES:
        if {x, y} <= numeric:
            roles |= {"x": named[x], "y": named[y]}
            break
    gene = next((named[n] for n in _GENES if n in named and n not in numeric), None)
    count = next((named[n] for n in _COUNTS if n in numeric), None)
    if gene is not None and count is not None:
        return roles | {"gene": gene, "count": count}
    identifier = next((named[n] for n in _IDS if n in named), None)
    return roles if identifier is None else {"id": identifier} | roles


def resolve_roles(
    path: Path, columns: Sequence[tuple[str, str]], given: Mapping[str, str], *, need: Sequence[str]
) -> dict[str, str]:
    """Roles as the user said them, completed by `guess_roles`.

    Parameters
    ----------
    path
        The table, for messages.
    columns
        As `table_columns` returns them.
    given
        From roles to names of columns.
    need
        Roles that must have a column.

    Raises
    ------
    ParameterError
        If a role or a column does not exist, or a needed role has no column. The message lists
        the columns.
    """
    names = [name for name, _ in columns]
    found = ", ".join(names[:15]) + (f" and {len(names) - 15} more" if len(names) > 15 else "")
    for role, name in given.items():
        if role not in ROLES:
            raise ParameterError(
                f"columns names the role '{role}'", f"use some of: {', '.join(ROLES)}"
            )
        if name not in names:
            raise ParameterError(
                f"{path} has no column '{name}' for the role '{role}', found: {found}",
                "give the name of a column",
            )
    roles = guess_roles(columns) | dict(given)
    if ("gene" in given) != ("count" in given) and not {"gene", "count"} <= set(roles):
        need = [*need, "gene", "count"]
    missing = [role for role in need if role not in roles]
    if missing:
        hint = ", ".join(f"'{role}': '...'" for role in missing)
        raise ParameterError(
            f"{path}: no column is known to be {' or '.join(missing)}; its columns are {found}",
            f"say which with columns={{{hint}}}",
        )
    kinds = dict(columns)
    for role in ("x", "y", "count"):
        if role in roles and role in need and kinds[roles[role]] != NUMBER:
            raise ParameterError(
                f"{path}: column '{roles[role]}' holds text, but the role '{role}' needs numbers",
                f"give another column as '{role}'; found: {found}",
            )
    return roles


def genes_of(columns: Sequence[tuple[str, str]], roles: Mapping[str, str]) -> list[str]:
    """Columns that are genes: numbers without a role, whose name means nothing else."""
    taken = set(roles.values())
    return [
        name
        for name, kind in columns
        if kind == NUMBER and name and name not in taken and not _is_fact(name.lower())
    ]


def _is_fact(name: str) -> bool:
    return name in _FACTS or _FACT.fullmatch(name) is not None


def is_usable(columns: Sequence[tuple[str, str]]) -> bool:
    """Whether a table can be read as a section without being told what its columns mean.

    Tables of single molecules, with a gene but no count on each line, cannot.
    """
    roles = guess_roles(columns)
    if not {"x", "y"} <= set(roles):
        return False
    if "gene" not in roles and any(n.lower() in _GENES and k == TEXT for n, k in columns):
        return False
    return "gene" in roles or len(genes_of(columns, roles)) >= _MIN_GENES
