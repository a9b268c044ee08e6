"""What spots are coloured by: domains, a column of ``obs``, or the gene that was chosen; no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...analysis.gene_sources import gene_values
from ...core.errors import ParameterError
from ...core.section import Section
from ...viz.palette import UNASSIGNED_COLOUR, stored_colors
from ..model import DomainState

__all__ = ["DOMAINS", "GENE", "Colouring", "choices", "colouring", "of_values"]

DOMAINS, GENE = "\0domains", "\0gene"
"""Choices that no column of ``obs`` can be called."""
_SHADES = 64
MOST = 100
"""Most categories that have a colour each."""


@dataclass(frozen=True, eq=False)
class Colouring:
    """Colours of the spots, and what they mean.

    Attributes
    ----------
    title
        What is shown.
    codes
        (n_spots,) index into ``colors``; the last colour is for spots without a value.
    colors
        Of the categories, or from low to high.
    names
        Of the categories; empty where values are numbers.
    values
        (n_spots,) numbers, NaN where unknown; None where they are categories.
    limits
        Numbers of the first and the last shade.
    """

    title: str
    codes: NDArray[np.intp]
    colors: tuple[str, ...]
    names: tuple[str, ...] = ()
    values: NDArray[np.float64] | None = None
    limits: tuple[float, float] = (0.0, 1.0)


def choices(section: Section) -> dict[str, list[str]]:
    """Columns of ``obs`` that spots can be coloured by: ``"categories"`` and ``"numbers"``."""
    found: dict[str, list[str]] = {"categories": [], "numbers": []}
    for name, values in section.adata.obs.items():
        if values.dtype.kind in "fiu":
            found["numbers"].append(str(name))
        elif 0 < values.nunique() <= MOST:
            found["categories"].append(str(name))
    return found


def colouring(
    section: Section, state: DomainState | None, by: str, gene: str = "", source: str = "normalised"
) -> Colouring:
    """Colours of the spots by a choice.

    Parameters
    ----------
    section
        Whose spots.
    state
        The domains that are shown, for `DOMAINS`.
    by
        `DOMAINS`, `GENE`, or a column of ``obs``.
    gene, source
        For `GENE`.

    Raises
    ------
    ParameterError
        If there are no domains, no gene was chosen or there is no such column.
    """
    if by == DOMAINS:
        if state is None:
            raise ParameterError("There are no domains to colour by", "find domains first")
        return _categories("Domains", state.codes, state.names, state.colors)
    if by == GENE:
        if not gene:
            raise ParameterError("No gene was chosen", "choose one in Explore genes")
        return of_values(gene, gene_values(section, gene, source))
    obs = section.adata.obs
    if by not in obs:
        raise ParameterError(f"There is no column '{by}' in obs", "choose another")
    if obs[by].dtype.kind in "fiu":
        return of_values(by, pd.to_numeric(obs[by]).to_numpy(dtype=float))
    column = obs[by].astype("category").cat
    names = [str(name) for name in column.categories]
    colors = stored_colors(section.adata.uns.get(f"{by}_colors"), names)
    return _categories(by, column.codes.to_numpy().astype(np.intp), tuple(names), tuple(colors))


def of_values(title: str, values: NDArray[Any]) -> Colouring:
    """Numbers from the 1st to the 99th percentile in shades of viridis."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    values = np.asarray(values, dtype=np.float64)
    known = np.isfinite(values)
    low, high = np.percentile(values[known], (1, 99)) if known.any() else (0.0, 1.0)
    high = max(float(high), float(low) + 1e-9)
    share = np.clip((np.where(known, values, low) - low) / (high - low), 0, 1)
    codes = np.where(known, np.rint(share * (_SHADES - 1)), _SHADES).astype(np.intp)
    shades = tuple(to_hex(c) for c in colormaps["viridis"](np.linspace(0, 1, _SHADES)))
    return Colouring(
        title, codes, (*shades, UNASSIGNED_COLOUR), values=values, limits=(float(low), high)
    )


def _categories(
    title: str, codes: NDArray[np.intp], names: tuple[str, ...], colors: tuple[str, ...]
) -> Colouring:
    placed = np.where(codes >= 0, codes, len(colors))
    return Colouring(title, placed, (*colors, UNASSIGNED_COLOUR), names)
