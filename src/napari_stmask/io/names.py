"""Gene names that occur once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["as_text", "named_genes", "unique_names"]


def unique_names(names: Any, notes: list[str], what: str = "gene symbols") -> pd.Index:
    """``names`` with ``-1``, ``-2`` ... behind those that occurred before, as anndata names them.

    Parameters
    ----------
    names
        (n,) text.
    notes
        Gets a sentence where names were changed.
    what
        What is named, for the sentence.
    """
    import pandas as pd
    from anndata.utils import make_index_unique

    index: pd.Index[Any] = pd.Index(names, dtype=object)
    again = np.flatnonzero(index.duplicated())
    if not again.size:
        return index
    notes.append(f"{again.size} repeated {what} were made unique by a number ('-1').")
    repeated = index[index.duplicated(keep=False)]
    number = pd.Series(repeated).groupby(repeated, sort=False).cumcount().to_numpy()
    changed = index.to_numpy().copy()
    changed[again] = [f"{changed[i]}-{n}" for i, n in zip(again, number[number > 0], strict=True)]
    quick: pd.Index[Any] = pd.Index(changed, dtype=object)
    if not quick.is_unique:
        # A name of that kind exists already; anndata counts on, which takes longer.
        quick = make_index_unique(index)
    return quick


def named_genes(symbols: Any, ids: Any, notes: list[str]) -> pd.DataFrame:
    """The table of genes: unique symbols as index, identifiers in ``gene_ids``.

    Parameters
    ----------
    symbols, ids
        (n_genes,) text.
    notes
        Gets a sentence where symbols were changed.
    """
    import pandas as pd

    return pd.DataFrame({"gene_ids": ids}, index=unique_names(symbols, notes))


def as_text(raw: NDArray[Any]) -> NDArray[np.object_]:
    """(n,) str objects from bytes or objects; undecodable bytes stay visible.

    Names are labels: they are kept rather than refused.
    """
    if raw.size > 1 and (raw == raw[0]).all():
        return np.full(raw.shape, as_text(raw[:1])[0], dtype=object)
    if raw.dtype.kind == "S":
        try:
            return np.asarray(raw.astype(np.str_).astype(object))
        except UnicodeDecodeError:
            pass
    return np.array(
        [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in raw],
        dtype=object,
    )
