"""Parameters of SpaHGC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ...core.params import Device, Seed, Threads
from ..image_params import EncoderParams

__all__ = ["FREE", "RELEASE_IGNORES", "SpaHGCParams"]

_ADVANCED: dict[str, Any] = {"advanced": True}
RELEASE_IGNORES = (
    "balance",
    "calibrate",
    "clean_share",
    "replicates",
    "standardise",
)
"""Settings of the improved form that the released one has nothing to do with."""
FREE = ("accept_licence", "device", "seed", "smoothing", "threads", "uncertainty")
"""Settings that a prediction with a trained model may change; the others are the model's."""


class SpaHGCParams(EncoderParams):
    """Settings of one prediction; the defaults are the recommended ones for Visium."""

    panel: Literal["svg", "hvg", "list"] = Field(
        "svg",
        title="Genes",
        description="Spatially variable genes, highly variable ones, or a list from a file.",
    )
    n_genes: int = Field(
        200, ge=2, le=10_000, title="Number of genes", description="Chosen on the references only."
    )
    gene_list: str = Field(
        "",
        title="Gene list",
        description="File with one gene a line, for genes from a list.",
        json_schema_extra={"editor": "file"},
    )
    expression: Literal["normalised", "counts"] = Field(
        "normalised",
        title="Expression",
        description="Library-normalised logarithms, or logarithms of counts, which mix in depth.",
    )
    patch_size: float = Field(
        112.0,
        ge=0.1,
        le=1000,
        title="Patch size",
        description="Side of the square around each spot that the encoder sees.",
    )
    patch_unit: Literal["spots", "um"] = Field(
        "um",
        title="Patch unit",
        description="Patch size in spot diameters or in micrometres.",
    )
    n_scales: int = Field(
        3,
        ge=1,
        le=4,
        title="Patch scales",
        description="Patches of one spot, each twice as wide as the one before.",
    )
    standardise: Literal["section", "references"] = Field(
        "section",
        title="Standardise features",
        description="By each section's own spots, against stain and scanner, or by all references.",
    )
    epochs: int = Field(
        60, ge=1, le=5000, title="Epochs", description="Training rounds; more is slower."
    )
    replicates: int = Field(
        3,
        ge=2,
        le=10,
        title="Replicates",
        description="Networks, each trained without another part of the references.",
    )
    calibrate: bool = Field(
        True,
        title="Calibrate genes",
        description="Set level and spread of each gene by predictions of spots left out.",
    )
    uncertainty: int = Field(
        8,
        ge=0,
        le=100,
        title="Uncertainty draws",
        description="Predictions with random masks and sections left out, 2 or more; 0 is off.",
    )
    seed: Seed = 0
    mode: Literal["improved", "release"] = Field(
        "improved",
        title="Form",
        description="The corrected form, or the published choices for comparison.",
        json_schema_extra=_ADVANCED,
    )
    n_references: int = Field(
        7,
        ge=1,
        le=100,
        title="References per spot",
        description="Most similar reference spots that each spot is linked to.",
        json_schema_extra=_ADVANCED,
    )
    balance: bool = Field(
        False,
        title="Balance sections",
        description="Take no more than an equal share of them from any one section.",
        json_schema_extra=_ADVANCED,
    )
    similarity: Literal["cosine", "l1", "l2"] = Field(
        "cosine",
        title="Similarity",
        description="How alike two patches are; the release takes L1.",
        json_schema_extra=_ADVANCED,
    )
    n_neighbors: int = Field(
        6,
        ge=1,
        le=20,
        title="Neighbours in space",
        description="Nearest spots that each spot of the target is linked to.",
        json_schema_extra=_ADVANCED,
    )
    n_close: int = Field(
        3,
        ge=1,
        le=20,
        title="Close references",
        description="References that each reference is linked to, by image and expression.",
        json_schema_extra=_ADVANCED,
    )
    hidden: int = Field(
        128,
        ge=32,
        le=1024,
        title="Hidden width",
        description="Units of the network.",
        json_schema_extra=_ADVANCED,
    )
    layers: int = Field(
        4,
        ge=1,
        le=8,
        title="Layers",
        description="Rounds of passing messages.",
        json_schema_extra=_ADVANCED,
    )
    heads: int = Field(
        4,
        ge=1,
        le=8,
        title="Heads",
        description="Parallel attentions; they divide the hidden width.",
        json_schema_extra=_ADVANCED,
    )
    dropout: float = Field(
        0.2,
        ge=0,
        le=0.6,
        title="Dropout",
        description="Part of the input layer that is dropped in training.",
        json_schema_extra=_ADVANCED,
    )
    mask_target: float = Field(
        0.1,
        ge=0,
        le=0.95,
        title="Target mask",
        description="Part of the targets' features that is hidden in training.",
        json_schema_extra=_ADVANCED,
    )
    mask_reference: float = Field(
        0.9,
        ge=0,
        le=0.95,
        title="Reference mask",
        description="Part of the references' features and genes that is hidden in training.",
        json_schema_extra=_ADVANCED,
    )
    clean_share: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Unmasked steps",
        description="Share of the training steps that hide nothing.",
        json_schema_extra=_ADVANCED,
    )
    loss_correlation: float = Field(
        0.5,
        ge=0,
        le=5,
        title="Weight of correlation",
        description="How much the correlation of each gene counts beside its error.",
        json_schema_extra=_ADVANCED,
    )
    loss_agreement_target: float = Field(
        0.2,
        ge=0,
        le=5,
        title="Weight of target agreement",
        description="How much the two views of the targets should agree.",
        json_schema_extra=_ADVANCED,
    )
    loss_agreement_reference: float = Field(
        0.1,
        ge=0,
        le=5,
        title="Weight of reference agreement",
        description="How much the two views of the references should agree.",
        json_schema_extra=_ADVANCED,
    )
    momentum: float = Field(
        0.99,
        ge=0,
        le=1,
        title="Momentum",
        description="How slowly the second encoder follows; 0 is the same one, 1 never moves.",
        json_schema_extra=_ADVANCED,
    )
    learning_rate: float = Field(
        5e-4,
        ge=1e-6,
        le=1e-2,
        title="Learning rate",
        description="Step size of AdamW.",
        json_schema_extra=_ADVANCED,
    )
    weight_decay: float = Field(
        1e-4,
        ge=0,
        le=0.1,
        title="Weight decay",
        description="Decoupled weight decay of AdamW.",
        json_schema_extra=_ADVANCED,
    )
    batch_spots: int = Field(
        1500,
        ge=100,
        le=100_000,
        title="Spots per step",
        description="Larger sections train in compact pieces of this many spots.",
        json_schema_extra=_ADVANCED,
    )
    smoothing: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Smoothing",
        description="Share of each predicted value that is its neighbours' mean.",
        json_schema_extra=_ADVANCED,
    )
    device: Device = "auto"
    threads: Threads = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hidden % self.heads:
            raise PydanticCustomError(
                "heads",
                "{hidden} units cannot be divided among {heads} heads",
                {"hidden": self.hidden, "heads": self.heads, "remedy": "choose a multiple"},
            )
        if self.uncertainty == 1:
            raise PydanticCustomError(
                "uncertainty",
                "a single draw does not scatter",
                {"remedy": "use 0, or 2 and more"},
            )
        if (self.panel == "list") != bool(self.gene_list):
            raise PydanticCustomError(
                "panel",
                "genes from a list need a gene list, and a gene list is for these only",
                {"remedy": "set panel to list and gene_list to a file, or neither"},
            )
        return self

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "visium": {"epochs": 25},
        "st": {"n_neighbors": 4},
        "stereoseq": {"epochs": 20, "n_neighbors": 8, "patch_size": 64.0, "n_references": 10},
        "imaging": {"epochs": 25, "n_neighbors": 8},
        "paper": {
            "mode": "release",
            "expression": "counts",
            "n_scales": 1,
            "patch_size": 112.0,
            "similarity": "l1",
            "n_neighbors": 5,
            "hidden": 256,
            "epochs": 200,
            "learning_rate": 1e-4,
            "momentum": 1.0,
        },
    }
    PLATFORM_PRESET: ClassVar[Mapping[str, str]] = {
        "visium": "visium",
        "visium_hd": "stereoseq",
        "stereoseq": "stereoseq",
        "st": "st",
        "imaging": "imaging",
        "unknown": "visium",
    }
