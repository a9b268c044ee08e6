"""The partition of a section that a file of domains shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ParameterError
from ..core.provenance import read_record, records
from ..core.result import MAX_DOMAINS

if TYPE_CHECKING:
    from anndata import AnnData

    from ..core.section import Section

__all__ = ["Partition", "domains_of"]


@dataclass(frozen=True, eq=False)
class Partition:
    """Domains of the spots of one section.

    Attributes
    ----------
    column
        Column of ``obs`` that they come from.
    codes
        (n_spots,) intp, index into ``names``; -1 for spots without a domain.
    names, colors
        One name and one ``#RRGGBB`` a domain.
    """

    column: str
    codes: NDArray[np.intp]
    names: list[str]
    colors: list[str]


def domains_of(section: Section, column: str | None = None) -> Partition:
    """The domains in ``obs[column]``, with the colours of ``uns``.

    Parameters
    ----------
    section
        With the column.
    column
        Text or categories; by default what the latest run wrote, smoothed where it smoothed.

    Raises
    ------
    ParameterError
        If there is no such column, or none can be chosen, or it holds no categories or is empty.
    """
    from ..viz.palette import stored_colors

    obs = section.adata.obs
    column = column or _latest(section.adata)
    if column is None or column not in obs:
        found = ", ".join(str(c) for c in obs.columns if obs[c].dtype.kind not in "fc") or "none"
        missing = "no run has written domains" if column is None else f"there is no '{column}'"
        raise ParameterError(
            f"{section.where}: {missing} in obs", f"name a column of domains (found: {found})"
        )
    values: Any = obs[column]
    if values.dtype.kind in "fc" or values.nunique() > MAX_DOMAINS:
        raise ParameterError(
            f"{section.where}: obs['{column}'] has {values.nunique()} values of type "
            f"{values.dtype}, which are no domains",
            f"name a column of at most {MAX_DOMAINS} categories",
        )
    kept = values.astype("category").cat.remove_unused_categories().cat
    names = [str(name) for name in kept.categories]
    if not names:
        raise ParameterError(
            f"{section.where}: no spot has a value in obs['{column}']",
            "name a column of domains",
        )
    uns = section.adata.uns
    stored = uns.get(f"{column}_colors", uns.get(f"{column.removesuffix('_refined')}_colors"))
    if stored is not None and not hasattr(stored, "keys"):
        # As scanpy keeps them: one for each category, used or not.
        every = [str(name) for name in values.astype("category").cat.categories]
        stored = dict(zip(every, stored, strict=False))
    return Partition(
        column, kept.codes.to_numpy().astype(np.intp), names, stored_colors(stored, names)
    )


def _latest(adata: AnnData) -> str | None:
    """The column that the latest run wrote."""
    finished = {}
    for key in records(adata):
        try:
            finished[key] = str(read_record(adata, key).get("finished", ""))
        except ValueError:
            continue
    for key in sorted(finished, key=lambda k: finished[k], reverse=True):
        for name in (f"{key}_refined", key):
            if name in adata.obs:
                return name
    return None
