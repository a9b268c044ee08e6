"""Features that somebody computed already, matched to the spots of a section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...core.errors import DataError, FileFormatError
from ...core.memory import densify
from ...core.section import Section
from ...io.guard import guarded
from ...io.hdf5 import open_hdf5
from .base import existing

__all__ = ["MAX_DIM", "from_file", "from_obsm"]

MAX_DIM = 16_384
"""Largest number of features for each spot that is taken for an embedding."""


def from_obsm(section: Section, key: str) -> NDArray[np.float32]:
    """(n_spots, dim) float32 of ``section.adata.obsm[key]``.

    Raises
    ------
    DataError
        If there is no such entry, or it is no table of finite numbers.
    """
    if key not in section.adata.obsm:
        known = ", ".join(map(str, section.adata.obsm)) or "none"
        raise DataError(f"{section.where}: obsm has no '{key}'", f"entries of obsm are: {known}")
    return _checked(section.adata.obsm[key], section, f"obsm['{key}'] of {section.where}")


def from_file(section: Section, path: str) -> NDArray[np.float32]:
    """(n_spots, dim) float32 of a file.

    Parameters
    ----------
    section
        Its spots say which rows are wanted.
    path
        ``.npy``: one row for each spot, in their order. ``.h5``: ``embeddings`` (rows, dim) and
        ``barcodes`` (rows,), matched by the names of the spots; further rows are left out.

    Raises
    ------
    MissingFileError, FileFormatError
        If it is not there, or is neither.
    DataError
        If rows are missing, doubled or not finite.
    """
    file = existing(path, "precomputed features")
    if file.suffix.lower() == ".npy":
        with guarded(file, "a .npy table"):
            table = np.load(file, mmap_mode="r", allow_pickle=False)
            return _checked(table, section, str(file))
    if file.suffix.lower() in (".h5", ".hdf5"):
        with open_hdf5(file, "an HDF5 file with 'embeddings' and 'barcodes'") as store:
            return _by_name(store, section, file)
    raise FileFormatError(f"{file} is neither .npy nor .h5", "save the features as one of these")


def _by_name(store: Any, section: Section, file: Path) -> NDArray[np.float32]:
    for key in ("embeddings", "barcodes"):
        if key not in store or not hasattr(store[key], "shape"):
            raise FileFormatError(
                f"{file} has no dataset '{key}'", "save 'embeddings' and 'barcodes' in it"
            )
    table, raw = store["embeddings"], np.ravel(store["barcodes"][()])
    names = pd.Index([v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in raw])
    if table.ndim != 2 or len(names) != len(table):
        raise DataError(
            f"{file}: 'embeddings' has shape {table.shape} for {len(names)} barcodes",
            "save one row for each barcode",
        )
    if not names.is_unique:
        raise DataError(
            f"{file}: the barcode '{names[names.duplicated()][0]}' occurs twice", "keep one row"
        )
    rows = names.get_indexer(section.adata.obs_names)
    if (rows < 0).any():
        lost = section.adata.obs_names[rows < 0]
        raise DataError(
            f"{file} has no row for {len(lost)} of {section.n_spots} spots, such as '{lost[0]}'",
            "save embeddings under the names of the section's spots",
        )
    _check_columns(table, str(file))
    return _checked(table[()][rows], section, str(file))


def _check_columns(table: Any, what: str) -> None:
    if table.ndim != 2 or not 1 <= table.shape[1] <= MAX_DIM or table.dtype.kind not in "fiub":
        raise DataError(
            f"{what} has shape {table.shape} and type {table.dtype}, expected spots x features, "
            f"at most {MAX_DIM} numbers each",
            "give a table of numbers",
        )


def _checked(table: Any, section: Section, what: str) -> NDArray[np.float32]:
    if isinstance(table, pd.DataFrame):
        table = table.to_numpy()
    _check_columns(table, what)
    if table.shape[0] != section.n_spots:
        raise DataError(
            f"{what} has {table.shape[0]} rows, the section has {section.n_spots} spots",
            "give one row for each spot, in their order",
        )
    # A copy: neither the caller's own table nor a file that stays open.
    found = np.array(densify(table, what=what))
    bad = int((~np.isfinite(found)).any(axis=1).sum())
    if bad:
        raise DataError(
            f"{what}: {bad} of {len(found)} rows hold values that are not finite",
            "complete them or remove these spots",
        )
    return found
