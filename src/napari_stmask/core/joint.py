"""What a run knows of the sections that a joined one is made of, and how they go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from pydantic import Field

from .errors import ParameterError
from .params import Params

__all__ = ["JOINED", "Joint", "JointParams", "Links", "joint_of"]

JOINED = "stmask_joined"
"""Entry of ``uns`` with the names of the sections that a joined one is made of."""

Links = Literal["quota", "depth", "plane", "expression", "none"]
_ADVANCED: dict[str, Any] = {"advanced": True}


class JointParams(Params):
    """How several sections are placed, linked and brought to one level."""

    arrangement: Literal["separate", "serial", "adjoining"] = Field(
        "separate",
        title="Sections are",
        description="Separate pieces or donors, serial slices of one block, or adjoining parts.",
    )
    align_by: Literal["outline", "histology", "none"] = Field(
        "outline",
        title="Align serial sections by",
        description="Their outline and expression, their histology, or not at all.",
    )
    flip: Literal["auto", "never"] = Field(
        "auto",
        title="Mirrored sections",
        description="Whether a section may have been mounted upside down.",
        json_schema_extra=_ADVANCED,
    )
    spacing_um: float = Field(
        10.0,
        ge=0,
        le=100_000,
        title="Spacing (\u00b5m)",
        description="Distance between neighbouring serial sections.",
    )
    links: Literal["auto", "quota", "depth", "plane", "expression", "none"] = Field(
        "auto",
        title="Links across",
        description="Spots of other sections that a spot sees: above and below it (quota), nearest "
        "in space (depth, plane), alike in expression, or none.",
    )
    cross_neighbours: int = Field(
        2,
        ge=1,
        le=50,
        title="Links to another section",
        description="Spots of each neighbouring section that a spot is linked to.",
    )
    cross_weight: float = Field(
        1.0,
        ge=0.01,
        le=1,
        title="Weight of links across",
        description="How much a quota or expression link counts beside one within a section.",
        json_schema_extra=_ADVANCED,
    )
    cross_reach: float = Field(
        1.5,
        ge=0.1,
        le=100,
        title="Reach across",
        description="Farthest a quota link goes in the plane, in distances between spots.",
        json_schema_extra=_ADVANCED,
    )
    max_gap_um: float | None = Field(
        None,
        ge=0,
        le=1e6,
        title="Largest gap (\u00b5m)",
        description="Serial sections farther apart are not linked; automatic: only neighbours are.",
        json_schema_extra=_ADVANCED,
    )
    depth_neighbours: int | None = Field(
        None,
        ge=1,
        le=500,
        title="Neighbours in space",
        description="Nearest spots of all sections together, for links by depth; automatic: those "
        "within a section and the links across. MMSRL takes all within its kernel, ViMST by radius "
        "all within that.",
        json_schema_extra=_ADVANCED,
    )
    refresh: int = Field(
        50,
        ge=0,
        le=5000,
        title="Refresh links every",
        description="Epochs after which links by expression are found anew; 0 never.",
        json_schema_extra=_ADVANCED,
    )
    standardise: Literal["section", "joint"] = Field(
        "section",
        title="Standardise genes",
        description="Mean and variance of each gene within each section, or over all of them.",
    )
    correction: Literal["none", "harmony_input", "harmony_embedding"] = Field(
        "none",
        title="Harmony",
        description="Correct the network's input or its embedding with Harmony (harmonypy).",
    )

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "separate": {},
        "serial": {"arrangement": "serial"},
        "adjoining": {"arrangement": "adjoining"},
        "paper": {"arrangement": "serial", "links": "depth", "depth_neighbours": 21},
    }

    @property
    def linked_by(self) -> Links:
        """Of ``links``, with ``"auto"`` resolved by the arrangement."""
        if self.links != "auto":
            return self.links
        by: dict[str, Links] = {
            "serial": "quota",
            "adjoining": "plane",
            "separate": "expression",
        }
        return by[self.arrangement]

    def check(self) -> None:
        """Refuse links that have no frame to be found in.

        Raises
        ------
        ParameterError
            If separate sections are to be linked by position.
        """
        if self.in_space and self.arrangement == "separate":
            raise ParameterError(
                f"links are '{self.linked_by}', but separate sections have no common frame",
                "choose arrangement serial or adjoining, or links expression or none",
            )

    @property
    def in_space(self) -> bool:
        """Whether links across sections need positions in one frame."""
        return self.linked_by in ("quota", "depth", "plane")


@dataclass(frozen=True, eq=False)
class Joint:
    """Which section each spot is of, and what is done about it.

    Attributes
    ----------
    codes
        (n_spots,) int64, 0 .. n_sections - 1, numbered in the order given.
    positions
        (n_spots, 3) float64 in one frame, in units of the joined coordinates; None where the
        sections have no common frame.
    settings
        None for sections that were only put side by side.
    """

    codes: NDArray[np.int64]
    positions: NDArray[np.float64] | None = None
    settings: JointParams | None = None

    @property
    def n_sections(self) -> int:
        """Number of sections."""
        return int(self.codes.max()) + 1

    @property
    def per_section(self) -> bool:
        """Whether genes are standardised within each section."""
        return self.settings is not None and self.settings.standardise == "section"

    def take(self, rows: NDArray[np.bool_]) -> Self:
        """That of the spots ``rows`` alone, (n_spots,) True where kept."""
        positions = None if self.positions is None else self.positions[rows]
        return replace(self, codes=self.codes[rows], positions=positions)


def joint_of(adata: AnnData) -> Joint | None:
    """Which section each spot is of, in a table that `join_sections` made; None of others."""
    # A column of that name that came from elsewhere may be an annotation, which no run may see.
    if JOINED not in adata.uns or "section" not in adata.obs:
        return None
    labels = [str(name) for name in np.ravel(adata.uns[JOINED])]
    codes = pd.Index(labels).get_indexer(adata.obs["section"].astype(str))
    return None if (codes < 0).any() else Joint(codes.astype(np.int64))
