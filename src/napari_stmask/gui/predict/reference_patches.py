"""What a predicted spot was read from: patches and measured values of references; no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.section import Section
from ...features.patches import Patches, patch_side
from .gene_values import measured_values
from .known import Known

__all__ = ["Looked", "ReferenceSpot", "look_up", "patch_of"]

MOST = 12
"""References that are shown."""


@dataclass(frozen=True, eq=False)
class ReferenceSpot:
    """One reference of a predicted spot.

    Attributes
    ----------
    section, spot
        Names.
    weight
        Share of the attention, in [0, 1].
    patch
        (side, side, 3) uint8, or None where the section is not open or has no image.
    value
        Measured value of the gene in log units, NaN where unknown.
    row
        Of the spot in its open section, -1 without one.
    """

    section: str
    spot: str
    weight: float
    patch: NDArray[np.uint8] | None
    value: float
    row: int


@dataclass(frozen=True, eq=False)
class Looked:
    """A predicted spot and what it was read from.

    Attributes
    ----------
    index, name
        Of the spot.
    gene
        Whose values are given; empty for none.
    patch
        Of the spot itself, None without an image.
    predicted
        Value of the gene, NaN without one.
    novelty, novel
        How unlike the references its tissue is, and whether too much.
    references
        Largest weight first, at most `MOST`.
    left_out
        Weight of the others.
    """

    index: int
    name: str
    gene: str
    patch: NDArray[np.uint8] | None
    predicted: float
    novelty: float
    novel: bool
    references: tuple[ReferenceSpot, ...]
    left_out: float


def look_up(known: Known, index: int, gene: str, sections: Mapping[str, Section]) -> Looked:
    """Read the references of a spot.

    Parameters
    ----------
    known
        The prediction.
    index
        Row of the predicted spot.
    gene
        Whose values are wanted; empty for none.
    sections
        Open reference sections by name.

    Raises
    ------
    StmaskError
        If an image or counts cannot be read.
    """
    prediction, adata = known.prediction, known.section.adata
    rows = np.asarray(adata.obsm[f"{prediction.key}_references"])[index]
    weights = np.asarray(adata.obsm[f"{prediction.key}_weights"], dtype=float)[index]
    table = prediction.references.iloc[rows[:MOST]]
    # A gene is read once for each section, not for each spot.
    values = {
        name: measured_values(known, section, gene)
        for name, section in sections.items()
        if gene and gene in section.adata.var_names and name in set(table["section"])
    }
    found = []
    for (section, spot, x, y), weight in zip(
        table[["section", "spot", "x", "y"]].itertuples(index=False), weights, strict=False
    ):
        here = sections.get(str(section))
        row = int(here.adata.obs_names.get_indexer([spot])[0]) if here is not None else -1
        value = float(values[section][row]) if section in values and row >= 0 else float("nan")
        patch = patch_of(known, here, (float(x), float(y))) if here is not None else None
        found.append(ReferenceSpot(str(section), str(spot), float(weight), patch, value, row))
    column = adata.var_names.get_indexer([gene])[0] if gene else -1
    predicted = float(adata.X[index, column]) if column >= 0 else float("nan")
    x, y = known.section.coords[index]
    return Looked(
        index,
        str(adata.obs_names[index]),
        gene,
        patch_of(known, prediction.target, (float(x), float(y))),
        predicted,
        float(adata.obs["novelty"].iloc[index]),
        bool(adata.obs["novel"].iloc[index]),
        tuple(found),
        float(max(0.0, 1.0 - weights[:MOST].sum())),
    )


def patch_of(
    known: Known, section: Section, place: tuple[float, float]
) -> NDArray[np.uint8] | None:
    """The patch around (x, y) as large as the encoder saw it; None without an image."""
    if section.image is None:
        return None
    params: Mapping[str, Any] = known.params
    side = patch_side(section, params.get("patch_size", 112.0), params.get("patch_unit", "um"))
    return Patches(section.image, np.array([place]), side=side).one(0)
