"""Spots as a table: CSV, Parquet, and the categories that Loupe Browser imports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ParameterError
from .domains_of import domains_of

if TYPE_CHECKING:
    import pandas as pd

    from ..core.section import Section

__all__ = ["safe_text", "write_csv", "write_loupe", "write_parquet"]

_RISKY = ("=", "+", "-", "@", "\t", "\r")


def write_csv(section: Section, path: Path, *, embedding: bool = False) -> None:
    """Write barcode, x, y, the columns of ``obs`` and, if asked, the embeddings.

    Text that a spreadsheet would run as a formula gets a leading apostrophe.
    """
    import pandas as pd

    table = _table(section, embedding)
    safe = {safe_text(name): _cells(column) for name, column in table.items()}
    pd.DataFrame(safe).to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


def write_parquet(section: Section, path: Path, *, embedding: bool = False) -> None:
    """Write the same table with its types: categories stay categories, text stays as it is."""
    import pandas as pd

    pd.DataFrame(_table(section, embedding)).to_parquet(path, index=False)


def write_loupe(section: Section, path: Path, column: str | None = None) -> None:
    """Write barcode and domain, as Loupe Browser imports categories; spots without one stay out.

    Raises
    ------
    ParameterError
        See `domains_of`.
    """
    import pandas as pd

    found = domains_of(section, column)
    known = found.codes >= 0
    names = np.array([safe_text(name) for name in found.names], dtype=object)
    columns = {
        "Barcode": section.adata.obs_names.to_numpy().astype(str)[known],
        safe_text(found.column): names[found.codes[known]],
    }
    pd.DataFrame(columns).to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


def _table(section: Section, embedding: bool) -> dict[str, pd.Series[Any]]:
    """Columns by unique name, aligned by position."""
    import pandas as pd

    adata = section.adata
    columns: dict[str, Any] = {
        "barcode": pd.Series(adata.obs_names.astype(str)),
        "x": pd.Series(section.coords[:, 0]),
        "y": pd.Series(section.coords[:, 1]),
    }
    for place, name in enumerate(adata.obs.columns):
        label = str(name)
        while label in columns:
            label = f"obs.{label}"
        columns[label] = adata.obs.iloc[:, place].reset_index(drop=True)
    if embedding:
        found = [key for key in adata.obsm if str(key).startswith("X_")]
        if not found:
            raise ParameterError(
                f"{section.where} has no embedding (no X_... in obsm)",
                "run a method first, or write without embedding",
            )
        for key in found:
            for i, values in enumerate(np.asarray(adata.obsm[key]).T, start=1):
                columns[f"{key}_{i}"] = pd.Series(values)
    return columns


def _cells(column: pd.Series[Any]) -> pd.Series[Any]:
    """Text made safe; numbers, truth values and dates as they are; missing stays missing."""
    if column.dtype.kind in "biufcmM":
        return column
    return column.astype(object).map(
        lambda cell: safe_text(cell) if isinstance(cell, str) else cell, na_action="ignore"
    )


def safe_text(text: str) -> str:
    """``text`` with a leading apostrophe where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(_RISKY) else text
