"""Which spots inform a spot over long distances, from what a run of MMSRL stored.

A spot attends to another with a weight ``softmax(<f_i, f_j>)`` over all spots j; the features
``f`` that a run stores carry the root of the attention's scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.errors import DataError, ParameterError
from ..core.provenance import read_record, records
from ..core.section import Section
from .inputs import groups_of, spot_number

__all__ = [
    "PARTS",
    "Attention",
    "attention_from",
    "attention_of",
    "attention_parts",
    "spread",
    "why_no_attention",
]

PARTS = {"expression": "attention", "image": "attention_image"}
"""Parts of the input that have an attention of their own, and their tables in ``obsm``."""
_REACHES = (2, 5, 10)
"""Distances, in distances between spots, within which the weight is summed."""


@dataclass(frozen=True, eq=False)
class Attention:
    """Where a spot looks.

    Attributes
    ----------
    spot
        Position of the spot that looks.
    part
        ``"expression"`` or ``"image"``.
    weights
        (n_spots,) float64, sums to 1.
    effective
        ``exp`` of the entropy of the weights: over how many spots they are spread, from 1 to
        the number of spots.
    reach
        Distance in distances between spots -> (share of the weight within it, share of the
        spots within it).
    table
        One row a domain: ``domain``, ``spots``, ``weight`` (its share), ``relative`` (the share
        over that of its spots; 1 is what a spot that looks everywhere alike gives).
    """

    spot: int
    part: str
    weights: NDArray[np.float64]
    effective: float
    reach: Mapping[int, tuple[float, float]]
    table: pd.DataFrame

    @property
    def shares(self) -> NDArray[np.float64]:
        """(2, n_domains) shares of the domains in the weight and among the spots."""
        return np.array([self.table["weight"], self.table["spots"] / len(self.weights)])

    @property
    def log2_relative(self) -> NDArray[np.float64]:
        """(n_spots,) log2 of the weight over that of looking at all spots alike.

        Minus infinity where the weight is 0.
        """
        with np.errstate(divide="ignore"):
            return np.asarray(np.log2(self.weights * (self.weights > 0).sum()))


def attention_of(features: NDArray[np.floating[Any]], spot: int) -> NDArray[np.float64]:
    """How much ``spot`` attends to every spot, (n_spots,) float64 that sums to 1.

    Parameters
    ----------
    features
        (n_spots, d) vectors as a run stores them, whose inner products are the logits; rows that
        are not finite get 0.
    spot
        Position of the spot that looks.

    Raises
    ------
    ParameterError
        If there is no such spot.
    DataError
        If the row of the spot is not finite.
    """
    if not 0 <= spot < len(features):
        raise ParameterError(
            f"spot is {spot} for {len(features)} spots", f"use 0 to {len(features) - 1}"
        )
    if not np.isfinite(features[spot]).all():
        raise DataError(f"spot {spot} has no attention of its own", "choose another spot")
    # One product, no copy of the table: it is asked for at every click.
    with np.errstate(invalid="ignore"):
        logits = np.asarray(features @ features[spot], dtype=np.float64)
    there = np.isfinite(logits)
    weights = np.zeros(len(logits))
    weights[there] = np.exp(logits[there] - logits[there].max())
    return np.asarray(weights / weights.sum())


def attention_parts(section: Section, key: str) -> list[str]:
    """Which of `PARTS` the result ``key`` has an attention of."""
    obsm = section.adata.obsm
    return [part for part, name in PARTS.items() if f"{key}_{name}" in obsm]


def why_no_attention(section: Section, key: str) -> str:
    """Why the result has no attention, one sentence; empty where it has."""
    if attention_parts(section, key):
        return ""
    record = read_record(section.adata, key) if key in records(section.adata) else {}
    if record.get("method") == "mmsrl" and record.get("params", {}).get("attention") != "none":
        return f"The result '{key}' has lost its attention (obsm has no '{key}_attention')."
    if record.get("params", {}).get("attention") == "none":
        return f"The result '{key}' was made without long-range attention (attention = none)."
    return f"The result '{key}' has no long-range attention, which only MMSRL has."


def attention_from(
    section: Section,
    key: str,
    spot: int | str,
    *,
    part: str = "expression",
    domains: pd.Series | None = None,
) -> Attention:
    """Where a spot looks, and how the weight is spread over distances and domains.

    Parameters
    ----------
    section
        With ``obsm["<key>_attention"]`` of a run.
    key
        Name of the run.
    spot
        The spot that looks: its position or its name.
    part
        ``"expression"`` or, where the run had an image, ``"image"``.
    domains
        (n_spots,) labels that the weight is summed over; ``obs[key]`` by default.

    Raises
    ------
    ParameterError
        If the result has no attention of that part, or there is no such spot.
    DataError
        If the spot has no attention of its own.
    """
    parts = attention_parts(section, key)
    if not parts:
        problem = why_no_attention(section, key)
        raise ParameterError(problem[0].lower() + problem[1:], "run MMSRL with its attention")
    if part not in parts:
        raise ParameterError(
            f"the result '{key}' has no attention of '{part}'", f"use one of: {', '.join(parts)}"
        )
    names = section.adata.obs_names
    if isinstance(spot, str):
        spot = spot_number(names, spot, section.where)
    features = np.asarray(section.adata.obsm[f"{key}_{PARTS[part]}"])
    weights = attention_of(features, spot)
    known = weights[weights > 0]
    away = np.linalg.norm(section.coords - section.coords[spot], axis=1) / section.lattice.pitch
    # Spots on a lattice lie at exactly these distances.
    within = {reach: away <= reach * (1 + 1e-6) for reach in _REACHES}
    labels = section.adata.obs[key] if domains is None else domains
    return Attention(
        spot,
        part,
        weights,
        float(np.exp(-(known * np.log(known)).sum())),
        {r: (float(weights[near].sum()), float(near.mean())) for r, near in within.items()},
        _by_domain(weights, labels, names),
    )


def spread(found: Attention) -> list[str]:
    """How the weight is spread, one sentence each."""
    near = ", ".join(
        f"{weight:.0%} within {reach} ({spots:.1%} of the spots)"
        for reach, (weight, spots) in found.reach.items()
    )
    return [
        f"The weight is spread as over {found.effective:,.0f} of {len(found.weights):,} spots.",
        f"In distances between spots: {near}.",
    ]


def _by_domain(weights: NDArray[np.float64], labels: pd.Series, names: pd.Index) -> pd.DataFrame:
    groups = groups_of(labels, names)
    inside = groups.codes >= 0
    share = np.bincount(groups.codes[inside], weights[inside], minlength=len(groups.names))
    return pd.DataFrame(
        {
            "domain": groups.names,
            "spots": groups.sizes,
            "weight": share,
            "relative": share / (groups.sizes / len(weights)),
        }
    )
