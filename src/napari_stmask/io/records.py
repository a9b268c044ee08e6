"""Tables with one row per gene and position, gathered into a matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import FileFormatError
from .guard import guarded
from .roles import table_dialect
from .text import MAX_LINE, open_text

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse as sp

__all__ = ["MAX_RECORDS", "Records", "read_records"]

MAX_RECORDS = 40_000_000
"""Most rows of a table of records; 24 bytes are held for each."""
_CHUNK = 1_000_000


@dataclass(frozen=True)
class Records:
    """What a table of records adds up to.

    Attributes
    ----------
    matrix
        (n_places, n_genes) float32 CSR: sums over equal gene and place.
    places
        (n_places, 2) float64 (x, y), sorted by x, then y.
    genes
        (n_genes,) names, in the order in which they occur.
    n_records
        Rows of the table.
    """

    matrix: sp.csr_matrix
    places: NDArray[np.float64]
    genes: NDArray[np.object_]
    n_records: int


def read_records(path: Path, columns: Sequence[int]) -> Records:
    """Read a table of records.

    Parameters
    ----------
    path
        Text table with a header, or ``.parquet``.
    columns
        Places of gene, x, y and count.

    Raises
    ------
    FileFormatError
        If a field is missing or no number, or there are too many rows.
    """
    import pandas as pd
    import scipy.sparse as sp

    codes: dict[str, int] = {}
    parts: list[tuple[NDArray[Any], ...]] = []
    seen = 0
    with guarded(path, "a table of records"):
        for chunk in _chunks(path, columns):
            local, names = pd.factorize(chunk.iloc[:, 0].astype("string"))
            if (local < 0).any():
                raise FileFormatError(
                    f"{path}: record {seen + int(np.argmax(local < 0)) + 1} has no gene",
                    "correct this line",
                )
            known = np.array([codes.setdefault(str(n), len(codes)) for n in names], np.int32)
            numbers = [_numbers(chunk.iloc[:, i], path, seen) for i in (1, 2, 3)]
            parts.append((known[local], *numbers[:2], numbers[2].astype(np.float32)))
            seen += len(chunk)
            if seen > MAX_RECORDS:
                raise FileFormatError(
                    f"{path} has more than {MAX_RECORDS} records", "bin them or split the table"
                )
        if not seen:
            raise FileFormatError(f"{path} holds no records", "give a table with rows")
    genes, x, y, counts = (np.concatenate([part[i] for part in parts]) for i in range(4))
    parts.clear()
    xs, column = np.unique(x, return_inverse=True)
    ys, row = np.unique(y, return_inverse=True)
    spot, at = np.unique(column.astype(np.int64) * len(ys) + row, return_inverse=True)
    places = np.column_stack([xs[spot // len(ys)], ys[spot % len(ys)]])
    matrix = sp.csr_matrix((counts, (at, genes)), shape=(len(spot), len(codes)))
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return Records(matrix, places, np.array(list(codes), dtype=object), seen)


def _chunks(path: Path, columns: Sequence[int]) -> Iterator[pd.DataFrame]:
    """Gene, x, y and count of some rows at a time."""
    import pandas as pd

    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            names = [file.schema_arrow.names[i] for i in columns]
            for batch in file.iter_batches(batch_size=_CHUNK, columns=list(dict.fromkeys(names))):
                yield batch.to_pandas()[names]
        return
    dialect = table_dialect(path)
    assert dialect is not None, "table_columns has read its header"
    with open_text(path) as stream:
        for _ in range(dialect.skip + 1):
            stream.readline(MAX_LINE)
        chunks = pd.read_csv(
            stream,
            sep=dialect.delimiter,
            header=None,
            names=range(len(dialect.first)),
            index_col=False,
            usecols=sorted(set(columns)),
            dtype={columns[0]: str},
            keep_default_na=False,
            chunksize=_CHUNK,
            encoding_errors="replace",
        )
        for chunk in chunks:
            yield chunk[list(columns)]


def _numbers(values: pd.Series, path: Path, seen: int) -> NDArray[np.float64]:
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise FileFormatError(
            f"{path}: record {seen + int(bad[0]) + 1} holds '{values.iloc[bad[0]]}', "
            "expected a number",
            "correct this line, or name other columns",
        )
    return numbers
