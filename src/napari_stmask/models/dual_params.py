"""Parameters that the methods with masked graph autoencoders share."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from .trained_params import TrainedParams

__all__ = ["DualMaskParams"]

_ADVANCED: dict[str, Any] = {"advanced": True}


class DualMaskParams(TrainedParams):
    """Graph, masks and tasks of a dual-masking graph autoencoder."""

    # The published program trains 1000 epochs on several sections and 500 on one.
    SEVERAL_EPOCHS: ClassVar[int] = 2

    neighbours: int = Field(
        6,
        ge=1,
        le=50,
        title="Neighbours",
        description="Nearby spots that each spot exchanges information with.",
    )
    features: Literal["pca", "hvg"] = Field(
        "pca",
        title="Features",
        description="Input of the network: principal components, or the variable genes themselves.",
        json_schema_extra=_ADVANCED,
    )
    log_transform: bool = Field(
        True,
        title="Log-transform",
        description="log1p of 10,000 counts per spot; off: per million, no log, as published.",
        json_schema_extra=_ADVANCED,
    )
    node_mask_rate: float = Field(
        0.5,
        ge=0,
        le=0.9,
        title="Node mask rate",
        description="Share of spots hidden in each round.",
        json_schema_extra=_ADVANCED,
    )
    edge_mask_rate: float = Field(
        0.5,
        ge=0.05,
        le=0.9,
        title="Edge mask rate",
        description="Share of links hidden in each round.",
        json_schema_extra=_ADVANCED,
    )
    mask_mode: Literal["replace", "zero", "released"] = Field(
        "replace",
        title="Mask mode",
        description="Hidden spots become a learned token or zeros, or gain a token (as released).",
        json_schema_extra=_ADVANCED,
    )
    link_weight: float = Field(
        1.5,
        ge=0,
        le=10,
        title="Link weight (lambda)",
        description="Weight of the link task against the reconstruction.",
        json_schema_extra=_ADVANCED,
    )
    alpha: float = Field(
        2.0,
        ge=1,
        le=5,
        title="Cosine exponent (alpha)",
        description="Exponent of the scaled cosine error; larger ignores easy spots more.",
        json_schema_extra=_ADVANCED,
    )
    link_dropout: float = Field(
        0.5,
        ge=0,
        le=0.9,
        title="Link dropout",
        description="Share of features dropped when links are scored.",
        json_schema_extra=_ADVANCED,
    )
    patience: int = Field(
        0,
        ge=0,
        le=1000,
        title="Patience",
        description="Stop after so many epochs without progress on held-out spots; 0 never does.",
        json_schema_extra=_ADVANCED,
    )
    scored_pairs: int = Field(
        4096,
        ge=64,
        le=10_000_000,
        title="Scored pairs",
        description="Pairs of spots scored in a step, half of them links; fewer is faster.",
        json_schema_extra=_ADVANCED,
    )
    tile_spots: int = Field(
        20_000,
        ge=500,
        le=1_000_000,
        title="Tile size",
        description="Larger sections are trained in compact tiles of so many spots.",
        json_schema_extra=_ADVANCED,
    )

    @property
    def takes_log(self) -> bool:
        """Of ``log_transform``."""
        return self.log_transform

    @property
    def projects(self) -> bool:
        """Of ``features``."""
        return self.features == "pca"
