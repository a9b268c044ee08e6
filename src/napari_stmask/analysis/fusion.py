"""How much expression, image and their interaction count at each spot, as a run stored it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..core.errors import DataError, ParameterError
from ..core.section import Section
from .inputs import groups_of

__all__ = ["BRANCHES", "fusion_by_domain", "fusion_shares", "why_no_fusion"]

BRANCHES = ("expression", "image", "interaction")
"""Columns of ``obsm["<key>_fusion_weights"]``."""


def why_no_fusion(section: Section, key: str) -> str:
    """Why the result has no shares, one sentence; empty where it has."""
    if f"{key}_fusion_weights" in section.adata.obsm:
        return ""
    return (
        f"The result '{key}' has no shares of expression and image: only MMSRL has them, on "
        "sections with an image."
    )


def fusion_shares(section: Section, key: str) -> pd.DataFrame:
    """(n_spots, 3) shares of `BRANCHES`, float64; rows sum to 1, their index names the spots.

    Raises
    ------
    ParameterError
        If the result has none.
    DataError
        If the stored table has another shape.
    """
    problem = why_no_fusion(section, key)
    if problem:
        raise ParameterError(problem[0].lower() + problem[1:], "run MMSRL with its image")
    weights = np.asarray(section.adata.obsm[f"{key}_fusion_weights"], dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] != len(BRANCHES):
        raise DataError(
            f"obsm['{key}_fusion_weights'] has shape {weights.shape}, expected one column each "
            f"for {', '.join(BRANCHES)}",
            "run the method again",
        )
    return pd.DataFrame(weights, index=section.adata.obs_names, columns=list(BRANCHES))


def fusion_by_domain(shares: pd.DataFrame, domains: pd.Series) -> pd.DataFrame:
    """Mean shares of the domains.

    Parameters
    ----------
    shares
        (n_spots, 3) as `fusion_shares` gives them.
    domains
        (n_spots,) labels; spots without one are left out.

    Returns
    -------
    pandas.DataFrame
        One row a domain: ``domain``, ``spots`` and `BRANCHES`; spots whose shares are not finite
        do not count.
    """
    groups = groups_of(domains, shares.index)
    inside = groups.codes >= 0
    means = shares[inside].groupby(groups.codes[inside]).mean()
    means.insert(0, "spots", groups.sizes)
    means.insert(0, "domain", groups.names)
    return means.reset_index(drop=True)
