"""Parameters that the methods with masked graph autoencoders share."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ..core.params import DomainParams

__all__ = ["DualMaskParams"]

_ADVANCED: dict[str, Any] = {"advanced": True}


class DualMaskParams(DomainParams):
    """Features, masks, network and training of a dual-masking graph autoencoder."""

    neighbours: int = Field(
        6,
        ge=1,
        le=50,
        title="Neighbours",
        description="Nearby spots that each spot exchanges information with.",
    )
    epochs: int = Field(
        300, ge=1, le=5000, title="Epochs", description="Training rounds; more is slower."
    )
    denoise: bool = Field(
        False, title="Denoise genes", description="Also store smoothed expression as a layer."
    )
    replicates: int = Field(
        5,
        ge=1,
        le=20,
        title="Replicates",
        description="Networks trained from different starts, whose answers are combined.",
    )
    consensus: Literal["vote", "joint"] = Field(
        "vote",
        title="Consensus",
        description="Combine replicates by a vote of their domains, or cluster them side by side.",
        json_schema_extra=_ADVANCED,
    )
    own_weight: float = Field(
        0.0,
        ge=0,
        le=10,
        title="Weight of the spot itself",
        description="How much a spot's own expression counts beside the embedding.",
        json_schema_extra=_ADVANCED,
    )
    features: Literal["pca", "hvg"] = Field(
        "pca",
        title="Features",
        description="Input of the network: principal components, or the variable genes themselves.",
        json_schema_extra=_ADVANCED,
    )
    n_hvg: int = Field(
        3000,
        ge=2,
        le=20000,
        title="Variable genes",
        description="Most variable genes that are kept; all where a panel has fewer.",
        json_schema_extra=_ADVANCED,
    )
    log_transform: bool = Field(
        True,
        title="Log-transform",
        description="log1p of 10,000 counts per spot; off: per million, no log, as published.",
        json_schema_extra=_ADVANCED,
    )
    scale_genes: bool = Field(
        True,
        title="Scale genes",
        description="Bring every gene to unit variance before the principal components.",
        json_schema_extra=_ADVANCED,
    )
    n_pcs_in: int = Field(
        50,
        ge=2,
        le=300,
        title="Components fed in",
        description="Principal components that the network sees.",
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
    hidden: int = Field(
        64,
        ge=4,
        le=1024,
        title="Hidden width",
        description="Units of the first layer.",
        json_schema_extra=_ADVANCED,
    )
    latent: int = Field(
        32,
        ge=2,
        le=1024,
        title="Latent width",
        description="Units of the embedding.",
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
    learning_rate: float = Field(
        1e-3,
        ge=1e-6,
        le=0.1,
        title="Learning rate",
        description="Step size of Adam.",
        json_schema_extra=_ADVANCED,
    )
    weight_decay: float = Field(
        2e-4,
        ge=0,
        le=0.1,
        title="Weight decay",
        description="L2 penalty of Adam.",
        json_schema_extra=_ADVANCED,
    )
    clip: float = Field(
        5.0,
        ge=0,
        le=100,
        title="Gradient clip",
        description="Largest gradient norm; 0 is off.",
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
