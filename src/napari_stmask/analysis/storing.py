"""Answers of analyses on the AnnData, beside those of the run that they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from ..core.errors import ParameterError
from ..core.provenance import read_record, records

__all__ = ["store_values"]


def store_values(adata: AnnData, key: str, values: Mapping[str, NDArray[np.floating]]) -> list[str]:
    """Write one number a spot as ``obs["<key>_<name>"]``, or one row a spot to ``obsm``.

    The names are added to what the record of the run ``key`` says it wrote: a new run of that
    key takes them away, as they no longer fit, and a repeated analysis replaces its own.

    Parameters
    ----------
    adata
        Changed in place, completely or not at all.
    key
        Of the run, or any prefix where no run left a record.
    values
        Name -> (n_spots,) or (n_spots, width) numbers; the latter become
        ``obsm["X_<key>_<name>"]``.

    Returns
    -------
    list of str
        Names of the columns and tables written.

    Raises
    ------
    ParameterError
        If a column of that name holds something that this key did not write.
    """
    runs = records(adata)
    record = read_record(adata, key) if key in runs else None
    slots = [(str(s), str(n)) for s, n in (record or {}).get("slots", [])]
    new = {
        ("obs", f"{key}_{name}") if value.ndim == 1 else ("obsm", f"X_{key}_{name}"): value
        for name, value in values.items()
    }
    for slot, name in new:
        if name in getattr(adata, slot) and (slot, name) not in slots:
            raise ParameterError(
                f"{slot}['{name}'] holds something that '{key}' did not write",
                "remove it, or write to a file without it",
            )
    for (slot, name), value in new.items():
        getattr(adata, slot)[name] = np.asarray(value, dtype=np.float32)
    if record is not None:
        record["slots"] = [list(s) for s in dict.fromkeys([*slots, *new])]
        # A new dictionary, so that a copy of the AnnData never shares it.
        adata.uns["stmask"] = {**runs, key: json.dumps(record, allow_nan=False)}
    return [name for _, name in new]
