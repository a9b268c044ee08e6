"""The feature-barcode matrix of 10x Genomics, as Matrix Market triplets."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import FileFormatError, MissingFileError
from .guard import guarded
from .tenx import GENE_EXPRESSION, MAX_NONZEROS, TenxMatrix

if TYPE_CHECKING:
    import scipy.sparse as sp

__all__ = ["is_mtx_folder", "read_mtx", "read_table"]

_MAX_TEXT_BYTES = 1 << 30
_DEFLATE = 1100
"""A little above the best ratio that deflate can reach."""
_AGAIN = "the file is damaged; copy or download it again"


def is_mtx_folder(path: Path) -> bool:
    """Whether ``path`` is a folder with a Matrix Market file of 10x."""
    return any((path / name).is_file() for name in ("matrix.mtx.gz", "matrix.mtx"))


def read_mtx(folder: Path) -> TenxMatrix:
    """Read ``matrix.mtx``, ``barcodes.tsv`` and ``features.tsv`` (or ``genes.tsv``), or ``.gz``.

    Raises
    ------
    FileFormatError
        If the sizes do not agree with each other, or a file is damaged.
    MissingFileError
        If one of the three files is absent.
    """
    matrix_path = _member(folder, "matrix.mtx")
    barcodes = np.array([row[0] for row in read_table(_member(folder, "barcodes.tsv"), 1)], object)
    feature_path = _member(folder, "features.tsv", "genes.tsv")
    rows = read_table(feature_path, 2)
    ids, names = (np.array([row[i] for row in rows], dtype=object) for i in (0, 1))
    types = np.array([row[2] if len(row) > 2 else GENE_EXPRESSION for row in rows], object)
    counts = _triplets(matrix_path, (len(rows), len(barcodes)), feature_path.name)
    return TenxMatrix(counts, barcodes, ids, names, types, None, {})


def _member(folder: Path, *names: str) -> Path:
    for name in names:
        for candidate in (folder / f"{name}.gz", folder / name):
            if candidate.is_file():
                return candidate
    raise MissingFileError(
        f"{folder} has no {' or '.join(names)} (nor .gz)",
        "copy the whole matrix folder of the Space Ranger run",
    )


def read_table(path: Path, columns: int) -> list[list[str]]:
    """Rows of a tab-separated file, gzipped or not, with at least ``columns`` fields each.

    Raises
    ------
    FileFormatError
        If a row is too short or the file is damaged.
    """
    with guarded(path, "a tab-separated table"):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            raw = stream.read(_MAX_TEXT_BYTES + 1)
        if len(raw) > _MAX_TEXT_BYTES:
            raise FileFormatError(f"{path} is larger than 1 GB", "give the file as 10x writes it")
        rows = [line.split("\t") for line in raw.decode("utf-8").splitlines() if line]
        short = next((i for i, row in enumerate(rows) if len(row) < columns), None)
        if short is not None:
            raise FileFormatError(
                f"{path}, line {short + 1}: expected {columns} columns separated by tabs", _AGAIN
            )
    return rows


def _triplets(path: Path, expected: tuple[int, int], features_name: str) -> sp.csr_matrix:
    """The transposed matrix of a Matrix Market file, checked against the tables beside it."""
    import scipy.sparse as sp
    from scipy.io import mminfo, mmread

    with guarded(path, "a Matrix Market file"):
        rows, columns, entries, layout = mminfo(path)[:4]
        if (rows, columns) != expected:
            raise FileFormatError(
                f"{path} is {rows} x {columns}, but {features_name} and barcodes.tsv list "
                f"{expected[0]} features and {expected[1]} barcodes",
                "take all three files from the same run",
            )
        # The shortest entry is "1 1 1\n", and deflate packs at most about 1000 to 1.
        room = path.stat().st_size * (_DEFLATE if path.suffix == ".gz" else 1) / 6 + 1
        if layout != "coordinate" or entries > min(room, MAX_NONZEROS):
            raise FileFormatError(
                f"{path} declares {entries} entries ({layout}), which cannot be true", _AGAIN
            )
        triplets = mmread(path)
        counts = sp.csr_matrix(triplets.T.astype(np.float32))
        counts.sum_duplicates()
    return counts
