"""Parameters of ViMST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..dual_params import DualMaskParams
from ..image_params import ImageParams

__all__ = ["TRANSFORMER", "ViMSTParams"]

TRANSFORMER = "transformer"
"""The encoder that is trained on the section itself."""

_ADVANCED: dict[str, Any] = {"advanced": True}


class ViMSTParams(ImageParams, DualMaskParams):
    """Settings of one ViMST run; the defaults are the recommended ones for Visium."""

    OWN_ENCODERS: ClassVar[tuple[str, ...]] = (TRANSFORMER,)

    image_encoder: str = Field(
        "descriptor",
        min_length=1,
        title="Image encoder",
        description="How patches become numbers: descriptor, transformer, or a model of yours.",
        json_schema_extra={"editor": "encoder"},
    )

    image_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Image weight",
        description="Share of the image in the embedding that is split into domains.",
    )
    image_mask_rate: float = Field(
        0.5,
        ge=0,
        le=0.9,
        title="Image mask rate",
        description="Share of patches hidden in each round.",
        json_schema_extra=_ADVANCED,
    )
    loss_gene: float = Field(
        1.0,
        ge=0,
        le=10,
        title="Loss weight of expression",
        description="Weight of the reconstruction of expression.",
        json_schema_extra=_ADVANCED,
    )
    loss_image: float = Field(
        0.3,
        ge=0,
        le=10,
        title="Loss weight of the image",
        description="Weight of the reconstruction of patch features.",
        json_schema_extra=_ADVANCED,
    )
    link_mix_image: float = Field(
        0.3,
        ge=0,
        le=3,
        title="Image in the link task",
        description="How much the image counts when links are scored; expression counts 1.",
        json_schema_extra=_ADVANCED,
    )
    learn_mix: bool = Field(
        False,
        title="Learn the mix",
        description="Train the shares of expression and image in the link task.",
        json_schema_extra=_ADVANCED,
    )
    edge_mode: Literal["pairs", "released"] = Field(
        "pairs",
        title="Edge mode",
        description="Hide links in both directions, or each direction on its own (as released).",
        json_schema_extra=_ADVANCED,
    )
    fusion: Literal["scaled", "original"] = Field(
        "scaled",
        title="Fusion",
        description="Bring expression and image to one variance first, or not (as released).",
        json_schema_extra=_ADVANCED,
    )
    graph_mode: Literal["knn", "radius"] = Field(
        "knn",
        title="Links by",
        description="Link the nearest spots, or all within a radius.",
        json_schema_extra=_ADVANCED,
    )
    radius: float = Field(
        1.5,
        ge=0.5,
        le=20,
        title="Radius",
        description="Reach of a link in distances between spots, where links go by radius.",
        json_schema_extra=_ADVANCED,
    )
    link_sections: bool = Field(
        True,
        title="Link joined sections",
        description="Link spots of different sections that were joined in one frame.",
        json_schema_extra=_ADVANCED,
    )
    position_features: bool = Field(
        False,
        title="Position features",
        description="Feed smooth functions of the position beside the image, as published.",
        json_schema_extra=_ADVANCED,
    )
    cross_fit: bool = Field(
        True,
        title="Cross-fit",
        description="The transformer predicts each part of the tissue from the other parts.",
        json_schema_extra=_ADVANCED,
    )
    transformer_epochs: int = Field(
        30,
        ge=1,
        le=2000,
        title="Transformer epochs",
        description="Training rounds of the spot transformer, where it is the encoder.",
        json_schema_extra=_ADVANCED,
    )

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "visium": {},
        "st": {
            "neighbours": 4,
            "epochs": 60,
            "replicates": 15,
            "n_pcs_in": 10,
            "scale_genes": False,
            "own_weight": 1.0,
            "n_pcs_out": 6,
            "transformer_epochs": 150,
        },
        "stereoseq": {"replicates": 1},
        "imaging": {},
        "paper": {
            "neighbours": 12,
            "epochs": 500,
            "n_hvg": 2000,
            "log_transform": False,
            "n_pcs_in": 200,
            "n_pcs_image": 200,
            "node_mask_rate": 0.2,
            "image_mask_rate": 0.3,
            "edge_mask_rate": 0.2,
            "link_weight": 1.2,
            "loss_gene": 0.7,
            "loss_image": 0.3,
            "hidden": 512,
            "latent": 256,
            "replicates": 1,
            "clustering": "kmeans",
            "n_pcs_out": 40,
            "smooth_labels": True,
            "image_encoder": "transformer",
            "image_weight": 0.3,
            "patch_size": 0.52,
            "mask_mode": "released",
            "edge_mode": "released",
            "fusion": "original",
            "cross_fit": False,
            "transformer_epochs": 200,
        },
    }
