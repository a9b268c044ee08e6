"""Parameters of MMSRL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..image_params import ImageParams

__all__ = ["MMSRLParams"]

_ADVANCED: dict[str, Any] = {"advanced": True}
RELEASED_IGNORES = (
    "activation",
    "contrast_every",
    "contrast_from",
    "contrast_temperature",
    "decoded_spots",
    "decoder_epochs",
    "exact_up_to",
    "landmarks",
    "latent",
    "loss_contrast",
    "n_pcs_in",
    "scale_genes",
)
"""Settings of the corrected form that the released one has nothing to do with."""


class MMSRLParams(ImageParams):
    """Settings of one MMSRL run; the defaults are the recommended ones for Visium."""

    auto_domains: bool = Field(
        False,
        title="Choose number automatically",
        description="Choose the number (2 to 20) that explains the smoothed section best.",
    )
    kernel_width: float = Field(
        1.0,
        ge=0.2,
        le=6,
        title="Neighbourhood width",
        description="Distance over which neighbours are averaged, in distances between spots.",
    )
    attention: Literal["auto", "exact", "landmarks", "none"] = Field(
        "auto",
        title="Long-range attention",
        description="Let alike distant spots inform each other; auto groups large sections.",
    )
    epochs: int = Field(
        60, ge=1, le=5000, title="Epochs", description="Training rounds; more is slower."
    )
    replicates: int = Field(
        5,
        ge=1,
        le=20,
        title="Replicates",
        description="Networks trained from different starts, whose answers are combined.",
    )
    enhanced_as: Literal["log1p", "counts", "row_max"] = Field(
        "log1p",
        title="Unit of enhanced genes",
        description="log1p of 10,000 per spot, counts, or shares of the spot's maximum (released).",
    )
    enhanced_zeros: bool = Field(
        False,
        title="Count dropouts",
        description="Lower enhanced genes by the estimated probability of missing them.",
        json_schema_extra=_ADVANCED,
    )
    granularity: float = Field(
        1.0,
        ge=0.1,
        le=20,
        title="Granularity",
        description="For an automatic number of domains: higher finds more, smaller ones.",
        json_schema_extra=_ADVANCED,
    )
    mode: Literal["default", "reference"] = Field(
        "default",
        title="Mathematics",
        description="Corrected form, or the released network and losses (fewer settings count).",
        json_schema_extra=_ADVANCED,
    )
    exact_up_to: int = Field(
        2000,
        ge=100,
        le=30_000,
        title="Exact attention up to",
        description="Larger sections are attended to in groups where attention is auto.",
        json_schema_extra=_ADVANCED,
    )
    landmarks: int = Field(
        512,
        ge=16,
        le=4096,
        title="Landmarks",
        description="Groups of alike spots that stand for their members in the attention.",
        json_schema_extra=_ADVANCED,
    )
    kernel_cut: float = Field(
        3.0,
        ge=1,
        le=10,
        title="Kernel cut",
        description="Reach of the neighbourhood in widths; farther spots are not linked.",
        json_schema_extra=_ADVANCED,
    )
    activation: Literal["linear", "prelu"] = Field(
        "linear",
        title="Encoder",
        description="Linear graph encoder, as released, or one with a PReLU between its layers.",
        json_schema_extra=_ADVANCED,
    )
    hidden: int = Field(
        256,
        ge=4,
        le=3000,
        title="Hidden width",
        description="Units of the first layer.",
        json_schema_extra=_ADVANCED,
    )
    latent: int = Field(
        64,
        ge=2,
        le=1024,
        title="Latent width",
        description="Units of the embedding.",
        json_schema_extra=_ADVANCED,
    )
    node_mask_rate: float = Field(
        0.3,
        ge=0,
        le=0.9,
        title="Node mask rate",
        description="Share of spots hidden in each round.",
        json_schema_extra=_ADVANCED,
    )
    loss_zinb: float = Field(
        1.0,
        ge=0,
        le=100,
        title="Loss weight of counts",
        description="Weight of the zero-inflated negative binomial likelihood.",
        json_schema_extra=_ADVANCED,
    )
    loss_consistency: float = Field(
        1.0,
        ge=0,
        le=100,
        title="Loss weight of consistency",
        description="Weight of the agreement between expression and image; none without an image.",
        json_schema_extra=_ADVANCED,
    )
    loss_mask: float = Field(
        1.0,
        ge=0,
        le=100,
        title="Loss weight of hidden spots",
        description="Weight of the reconstruction of hidden spots.",
        json_schema_extra=_ADVANCED,
    )
    loss_edge: float = Field(
        0.1,
        ge=0,
        le=100,
        title="Loss weight of links",
        description="Weight of telling links from other pairs of spots.",
        json_schema_extra=_ADVANCED,
    )
    loss_contrast: float = Field(
        0.05,
        ge=0,
        le=100,
        title="Loss weight of domains",
        description="Weight of the domains found so far, towards which spots are drawn.",
        json_schema_extra=_ADVANCED,
    )
    contrast_temperature: float = Field(
        0.2,
        ge=0.01,
        le=10,
        title="Temperature of domains",
        description="Smaller draws spots more strictly to their own domain.",
        json_schema_extra=_ADVANCED,
    )
    contrast_from: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Domains from",
        description="Share of the epochs after which the domains found so far take part.",
        json_schema_extra=_ADVANCED,
    )
    contrast_every: int = Field(
        15,
        ge=1,
        le=5000,
        title="Domains refreshed every",
        description="Epochs after which the domains are found anew.",
        json_schema_extra=_ADVANCED,
    )
    decoded_spots: int = Field(
        512,
        ge=32,
        le=100_000,
        title="Spots decoded",
        description="Spots on which the gene decoder is trained in a step.",
        json_schema_extra=_ADVANCED,
    )
    decoder_epochs: int = Field(
        8,
        ge=1,
        le=2000,
        title="Decoder epochs",
        description="Passes of the gene decoder over the finished embedding, for enhanced genes.",
        json_schema_extra=_ADVANCED,
    )
    learning_rate: float = Field(
        5e-4,
        ge=1e-7,
        le=0.1,
        title="Learning rate",
        description="Step size of Adam.",
        json_schema_extra=_ADVANCED,
    )
    weight_decay: float = Field(
        1e-4,
        ge=0,
        le=0.1,
        title="Weight decay",
        description="L2 penalty of Adam.",
        json_schema_extra=_ADVANCED,
    )

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "visium": {},
        "st": {
            "kernel_width": 0.7,
            "n_pcs_in": 20,
            "scale_genes": False,
            "own_weight": 1.0,
            "n_pcs_out": 6,
        },
        "stereoseq": {"replicates": 1, "kernel_width": 2.0, "landmarks": 1024},
        "imaging": {"kernel_width": 2.0},
        "paper": {
            "mode": "reference",
            "kernel_width": 1.32,
            "kernel_cut": 5.0,
            "attention": "exact",
            "epochs": 200,
            "replicates": 1,
            "hidden": 3000,
            "node_mask_rate": 0.8,
            "loss_zinb": 10.0,
            "loss_consistency": 1.0,
            "loss_mask": 1.0,
            "loss_edge": 10.0,
            "loss_contrast": 0.0,
            "learning_rate": 1e-4,
            "clip": 0.0,
            "clustering": "kmeans",
            "n_pcs_out": 200,
            "enhanced_as": "row_max",
        },
    }

    def keys(self, n_spots: int) -> int:
        """Rows that a spot attends to in the corrected form: all spots, landmarks, or 0."""
        if self.attention == "none":
            return 0
        exact = self.attention == "exact"
        exact |= self.attention == "auto" and n_spots <= self.exact_up_to
        return n_spots if exact else min(self.landmarks, n_spots)

    @property
    def projects(self) -> bool:
        """The corrected form sees principal components, the released one the genes."""
        return self.mode == "default"
