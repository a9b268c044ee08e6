"""Spots of an embedding laid out in a plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from ..core.progress import Progress, Steps
from .sampling import stratified_sample

__all__ = ["umap_layout", "umap_positions"]

_LEAST = 4
"""Spots below which the starting layout by eigenvectors does not exist."""


def umap_layout(
    values: NDArray[np.floating[Any]],
    *,
    groups: NDArray[np.integer[Any]] | None = None,
    n_neighbors: int = 15,
    seed: int = 0,
    max_spots: int = 20_000,
) -> Steps[NDArray[np.float32]]:
    """UMAP (McInnes et al., 2018), alike spots near each other, through scanpy.

    Parameters
    ----------
    values
        (n_spots, width) embedding.
    groups
        (n_spots,) codes of the sections, each of which keeps its share where spots are drawn.
    n_neighbors
        Nearest spots that a spot is held by, itself included; at most one less than the spots.
    seed
        Of the draw and the layout.
    max_spots
        Of more spots only a random sample is laid out.

    Returns
    -------
    numpy.ndarray
        (n_spots, 2) float32 without unit; NaN for spots that were not drawn.

    Raises
    ------
    DataError
        If there are fewer than four spots or values are not finite.
    ParameterError
        If ``n_neighbors`` is below 2 or ``max_spots`` below four.

    Notes
    -----
    scanpy lays out in one call: closing the stream takes effect before it or after it. Two events
    are all there is.
    """
    values = np.asarray(values)
    n = len(values)
    if n < _LEAST or not np.isfinite(values).all():
        raise DataError(
            f"a layout was asked of {n} spots"
            + ("" if np.isfinite(values).all() else " with values that are not finite"),
            f"use at least {_LEAST} spots with finite values",
        )
    if n_neighbors < 2 or max_spots < _LEAST:
        raise ParameterError(
            f"a layout was asked with {n_neighbors} neighbours of at most {max_spots} spots",
            f"use at least 2 neighbours and {_LEAST} spots",
        )
    codes = np.zeros(n, dtype=np.intp) if groups is None else groups
    rows = stratified_sample(codes, max_spots, seed=seed)
    yield Progress(0, 1, "laying out spots", message="This step cannot be interrupted.")
    out = np.full((n, 2), np.nan, dtype=np.float32)
    out[rows] = umap_positions(values[rows], n_neighbors=n_neighbors, seed=seed)
    yield Progress(1, 1, "laying out spots")
    return out


def umap_positions(
    values: NDArray[np.floating[Any]], *, n_neighbors: int = 15, seed: int = 0
) -> NDArray[np.float32]:
    """(n, 2) float32 UMAP of all rows at once; neighbours are found exactly.

    Parameters
    ----------
    values
        (n, width), finite, at least four rows.
    n_neighbors
        As in `umap_layout`.
    seed
        Of the layout.
    """
    import scanpy as sc
    from anndata import AnnData

    table = AnnData(np.asarray(values, dtype=np.float32))
    sc.pp.neighbors(
        table,
        min(n_neighbors, len(values) - 1),
        use_rep="X",
        transformer="sklearn",  # exact, so that the answer depends on no order
        random_state=seed,
    )
    sc.tl.umap(table, random_state=seed)
    return np.asarray(table.obsm["X_umap"], dtype=np.float32)
