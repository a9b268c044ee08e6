"""Markers in the layout that scanpy's plots and tables read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["rank_genes_groups"]

_FIELDS = {
    "names": ("gene", object),
    "scores": ("score", np.float32),
    "pvals": ("p", np.float64),
    "pvals_adj": ("p_adjusted", np.float64),
    "logfoldchanges": ("log2_fold_change", np.float32),
}


def rank_genes_groups(
    table: pd.DataFrame, *, column: str, test: str, reference: str = "rest"
) -> dict[str, Any]:
    """What ``uns["rank_genes_groups"]`` holds after `scanpy.tl.rank_genes_groups`.

    Fold changes are those of `marker_table` (differences of mean log values), not scanpy's
    quotient of back-transformed means.

    Parameters
    ----------
    table
        Of `marker_table`; domains with fewer genes than others cut the others off.
    column
        Of ``obs``, with the domains.
    test, reference
        What was computed, for the parameters that scanpy's plots read.

    Returns
    -------
    dict
        ``params`` and five record arrays with one field a domain. p-values are left out where
        there are none, as scanpy does for a regression.
    """
    parts = {str(d): p for d, p in table.groupby("domain", sort=False, observed=True)}
    rows = min((len(part) for part in parts.values()), default=0)
    out: dict[str, Any] = {
        "params": {
            "groupby": column,
            "reference": reference,
            "method": test,
            "use_raw": False,
            "layer": None,
            "corr_method": "benjamini-hochberg",
        }
    }
    for field, (name, dtype) in _FIELDS.items():
        if field.startswith("pvals") and table["p"].isna().all():
            continue
        records = np.empty(rows, dtype=[(domain, dtype) for domain in parts])
        for domain, part in parts.items():
            records[domain] = part[name].to_numpy()[:rows]
        out[field] = records
    return out
