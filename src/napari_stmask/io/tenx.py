"""The feature-barcode matrix of 10x Genomics, as HDF5."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import FileFormatError
from .hdf5 import open_hdf5
from .names import as_text

if TYPE_CHECKING:
    import h5py
    import scipy.sparse as sp

__all__ = ["GENE_EXPRESSION", "TenxMatrix", "read_h5"]

GENE_EXPRESSION = "Gene Expression"
MAX_NONZEROS = 4_000_000_000
"""Most non-zero entries that a matrix may declare."""
_PIECE = 1 << 18
"""Entries that are read at a time: meanwhile h5py lets no other thread run, nor the window's."""
_AGAIN = "the file is damaged; copy or download it again"
_FACTS = ("library_ids", "chemistry_description", "software_version")
_H5 = "a 10x feature-barcode matrix"


@dataclass
class TenxMatrix:
    """Counts with their names, as the file holds them.

    Attributes
    ----------
    counts
        (n_barcodes, n_features) float32 CSR with sorted indices.
    barcodes
        (n_barcodes,) text.
    ids, names, types
        (n_features,) text each: stable identifiers, symbols and feature types.
    library
        Library id that the file states, or None.
    attrs
        Further facts that the file states (software version, chemistry).
    whole
        Whether the file can hold nothing but counts: whole numbers, none of them negative.
    """

    counts: sp.csr_matrix
    barcodes: NDArray[np.object_]
    ids: NDArray[np.object_]
    names: NDArray[np.object_]
    types: NDArray[np.object_]
    library: str | None
    attrs: dict[str, str]
    whole: bool = False


def read_h5(path: Path) -> TenxMatrix:
    """Read the layouts of Cell Ranger 2 (one group per genome) and of 3 and later (``matrix``).

    Raises
    ------
    FileFormatError
        If sizes, indices or names do not agree with each other, or the file is damaged.
    """
    with open_hdf5(path, _H5) as file:
        group = _matrix_group(file, path)
        n_features, n_barcodes = (int(n) for n in _vector(group, "shape", path, "iu", 2))
        features = group.get("features", group)
        legacy = features is group
        ids = _text(features, "genes" if legacy else "id", path, n_features)
        names = _text(features, "gene_names" if legacy else "name", path, n_features)
        if legacy:
            types = np.full(n_features, GENE_EXPRESSION, dtype=object)
        else:
            types = _text(features, "feature_type", path, n_features)
        barcodes = _text(group, "barcodes", path, n_barcodes)
        indptr = _vector(group, "indptr", path, "iu", n_barcodes + 1)
        indices = _dataset(group, "indices", path, "iu")
        data = _dataset(group, "data", path, "iufb", indices.shape[0])
        counts = _assemble(data, indices, indptr, (n_barcodes, n_features), path)
        attrs = {key: _attr_text(file.attrs[key]) for key in _FACTS if key in file.attrs}
        kind = data.dtype.kind
    library = attrs.get("library_ids") or None
    whole = kind in "ub" or (kind == "i" and not (counts.data < 0).any())
    return TenxMatrix(counts, barcodes, ids, names, types, library, attrs, whole)


def _matrix_group(file: h5py.File, path: Path) -> h5py.Group:
    """The group with the triplets: ``matrix``, or the only genome of an old file."""
    import h5py

    groups = [
        name for name, item in file.items() if isinstance(item, h5py.Group) and "indptr" in item
    ]
    if "matrix" in groups:
        return file["matrix"]
    if len(groups) == 1:
        return file[groups[0]]
    found = ", ".join(groups) if groups else "none"
    raise FileFormatError(
        f"{path} is not {_H5}: expected one group 'matrix', found {found}",
        "give filtered_feature_bc_matrix.h5 of a Space Ranger run",
    )


def _vector(
    group: h5py.Group, name: str, path: Path, kinds: str, size: int | None = None
) -> NDArray[Any]:
    """All values of `_dataset`."""
    return np.asarray(_dataset(group, name, path, kinds, size)[()])


def _dataset(
    group: h5py.Group, name: str, path: Path, kinds: str, size: int | None = None
) -> h5py.Dataset:
    """A one-dimensional dataset, with its type (numpy kinds) and length checked."""
    item = group.get(name)
    if item is None or not hasattr(item, "shape") or item.shape is None or len(item.shape) != 1:
        raise FileFormatError(f"{path} has no list '{group.name}/{name}'", _AGAIN)
    if size is not None and item.shape[0] != size:
        raise FileFormatError(
            f"{path}: '{group.name}/{name}' has {item.shape[0]} entries, expected {size}", _AGAIN
        )
    if item.shape[0] > MAX_NONZEROS:
        raise FileFormatError(
            f"{path}: '{name}' declares {item.shape[0]} entries, the limit is {MAX_NONZEROS}",
            "give a smaller matrix",
        )
    if item.dtype.kind not in kinds:
        raise FileFormatError(
            f"{path}: '{group.name}/{name}' has type {item.dtype}, expected numbers", _AGAIN
        )
    return item


def _text(group: h5py.Group, name: str, path: Path, size: int) -> NDArray[np.object_]:
    return as_text(_vector(group, name, path, "SOU", size))


def _attr_text(value: Any) -> str:
    item = np.asarray(value).ravel()
    first = item[0] if item.size else ""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)


def _assemble(
    data: h5py.Dataset,
    indices: h5py.Dataset,
    indptr: NDArray[Any],
    shape: tuple[int, int],
    path: Path,
) -> sp.csr_matrix:
    """CSR of barcodes x features from columns stored one after the other.

    Read in pieces into the types that are kept: the file's own take twice the memory.
    """
    import scipy.sparse as sp

    size = int(indices.shape[0])
    # Unsigned pointers would hide a decrease in their difference.
    indptr = indptr.astype(np.int64)
    if indptr[0] != 0 or indptr[-1] != size or (np.diff(indptr) < 0).any():
        raise FileFormatError(f"{path}: 'indptr' does not fit {size} entries", _AGAIN)
    narrow = np.int32 if max(size, *shape) < 2**31 else np.int64
    columns, values = np.empty(size, dtype=narrow), np.empty(size, dtype=np.float32)
    # Whole chunks, so that none is unpacked twice.
    chunk = indices.chunks[0] if indices.chunks else _PIECE
    step = chunk * max(1, _PIECE // chunk)
    for start in range(0, size, step):
        piece = slice(start, start + step)
        part = indices[piece]
        if int(part.min()) < 0 or int(part.max()) >= shape[1]:
            raise FileFormatError(
                f"{path}: 'indices' points outside the {shape[1]} features", _AGAIN
            )
        columns[piece] = part
        with np.errstate(over="ignore", invalid="ignore"):
            values[piece] = data[piece]
    counts = sp.csr_matrix((values, columns, indptr.astype(narrow)), shape=shape)
    counts.sum_duplicates()
    return counts
