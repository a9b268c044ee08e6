"""Parameters of SpaCEX (SIGEL)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from ...core.params import DomainParams

__all__ = ["SpaCEXParams", "automatic_modules"]

_ADVANCED: dict[str, Any] = {"advanced": True}
_FEWEST_DRAWS = 3
"""Null pictures that `svg_scores` needs."""


def automatic_modules(n_genes: int) -> int:
    """Number of gene modules where none is asked for: one for 32 genes, up to 500.

    Of panels one for 15 genes, up to 20; at least 5, and never more than a quarter of the genes.
    """
    return max(min(5, n_genes // 4), min(20, n_genes // 15), min(500, n_genes // 32), 2)


class SpaCEXParams(DomainParams):
    """Settings of one SpaCEX run; the defaults are the recommended ones for Visium."""

    n_genes: int = Field(
        3000,
        ge=20,
        le=40_000,
        title="Genes",
        description="How many genes to learn from; all where fewer are seen often enough.",
    )
    gene_choice: Literal["spatial", "variable"] = Field(
        "spatial",
        title="Genes chosen by",
        description="The most spatial genes (Moran's I) or the most variable ones.",
    )
    keep_genes: str = Field(
        "",
        title="Always keep",
        description="Genes that are learned in any case: names with commas, or a text file.",
    )
    gene_modules: int | None = Field(
        None,
        ge=2,
        le=2000,
        title="Gene modules",
        description="Groups of genes with a common pattern; empty: one for 32 genes.",
    )
    svg_draws: int = Field(
        20,
        ge=0,
        le=1000,
        title="Null pictures",
        description="Random pictures of each gene, to score how spatial it is; 0: none.",
    )
    svg_null: Literal["permutation", "zinb"] = Field(
        "permutation",
        title="Null model",
        description="Random pictures: the gene's own values shuffled, or fitted ZINB counts.",
    )
    domains_from: Literal["genes", "scores"] = Field(
        "genes",
        title="Domains from",
        description="The most spatial genes of every module, or the scores of the modules.",
    )
    gene_fraction: float = Field(
        0.5,
        ge=0.05,
        le=1,
        title="Share of each module",
        description="Part of each module's genes, the most spatial ones, that domains rest on.",
    )
    spot_weight: float = Field(
        4.0,
        gt=0,
        le=20,
        title="Weight of surroundings",
        description="How much all neighbours together count beside the spot itself, for domains.",
        json_schema_extra=_ADVANCED,
    )
    domain_epochs: int = Field(
        0,
        ge=0,
        le=2000,
        title="Domain self-training",
        description="Epochs in which the features of spots sharpen their domains, as in SpaGCN.",
        json_schema_extra=_ADVANCED,
    )
    epochs_pretrain: int = Field(
        30,
        ge=1,
        le=1000,
        title="Epochs, pictures",
        description="Passes over all gene pictures at least, before modules are learned.",
        json_schema_extra=_ADVANCED,
    )
    min_steps: int = Field(
        1500,
        ge=0,
        le=100_000,
        title="Steps at least",
        description="Few genes get more passes, until this many steps were made.",
        json_schema_extra=_ADVANCED,
    )
    epochs_cluster: int = Field(
        5,
        ge=0,
        le=500,
        title="Epochs, modules",
        description="Passes over all genes in which vectors and modules sharpen each other.",
        json_schema_extra=_ADVANCED,
    )
    pixel_size: float | None = Field(
        None,
        gt=0,
        le=1e6,
        title="Picture element",
        description="Side of a picture element in coordinate units; empty follows the spots.",
        json_schema_extra=_ADVANCED,
    )
    max_side: int = Field(
        96,
        ge=8,
        le=512,
        title="Largest side",
        description="Rows or columns of a picture at most; larger sections are pooled.",
        json_schema_extra=_ADVANCED,
    )
    smooth_sigma: float = Field(
        1.0,
        ge=0,
        le=5,
        title="Blur",
        description="Blur of each gene picture against dropout, in picture elements; 0 is off.",
        json_schema_extra=_ADVANCED,
    )
    standardise: bool = Field(
        True,
        title="Compare patterns",
        description="Bring all genes to one variance, so that abundance does not decide.",
        json_schema_extra=_ADVANCED,
    )
    tile: int | None = Field(
        None,
        ge=1,
        le=32,
        title="Side of a tile",
        description="Picture elements along a tile, the transformer's token; empty: by the size.",
        json_schema_extra=_ADVANCED,
    )
    mask_ratio: float = Field(
        0.3,
        ge=0.05,
        le=0.95,
        title="Hidden tiles",
        description="Share of the tiles that are hidden while learning.",
        json_schema_extra=_ADVANCED,
    )
    token_dim: int = Field(
        32,
        ge=4,
        le=256,
        title="Width of the network",
        description="Width of a token, and of the gene vector where there is no head.",
        json_schema_extra=_ADVANCED,
    )
    loss_on: Literal["all", "hidden"] = Field(
        "all",
        title="Learn from",
        description="Redraw the whole picture from what is visible, or the hidden tiles only.",
        json_schema_extra=_ADVANCED,
    )
    head: Literal["pictures", "none", "mlp"] = Field(
        "pictures",
        title="Head",
        description="Vector: components of the redrawn picture, pooled tokens, or as released.",
        json_schema_extra=_ADVANCED,
    )
    embed_dim: int = Field(
        8,
        ge=2,
        le=256,
        title="Width of the head",
        description="Width of the network's part of a gene vector, where it has a head.",
        json_schema_extra=_ADVANCED,
    )
    n_linear: int = Field(
        8,
        ge=0,
        le=128,
        title="Linear part",
        description="Principal components of the pictures beside the network; 0 as published.",
        json_schema_extra=_ADVANCED,
    )
    network_weight: float = Field(
        1.0,
        gt=0,
        le=10,
        title="Weight of the network",
        description="Size of the network's part of a gene vector beside the linear part.",
        json_schema_extra=_ADVANCED,
    )
    positions: Literal["sincos", "zero"] = Field(
        "sincos",
        title="Positions start as",
        description="Sines of row and column, or zeros as released, which learn layout slowly.",
        json_schema_extra=_ADVANCED,
    )
    mixture: Literal["t_mixture", "t_kernel"] = Field(
        "t_mixture",
        title="Modules modelled by",
        description="Mixture of Student's t distributions (paper), or centres alone (release).",
        json_schema_extra=_ADVANCED,
    )
    prior: Literal["members", "section"] = Field(
        "members",
        title="Expected spread",
        description="Spread of a module before it has genes: as k-means finds it, or of all genes.",
        json_schema_extra=_ADVANCED,
    )
    cluster_weight: float = Field(
        0.01,
        ge=0,
        le=10,
        title="Weight of modules",
        description="How strongly modules are sharpened while pictures are learned on.",
        json_schema_extra=_ADVANCED,
    )
    size_weight: float = Field(
        0.0,
        ge=0,
        le=10,
        title="Weight of equal sizes",
        description="How strongly modules are drawn to equal sizes.",
        json_schema_extra=_ADVANCED,
    )
    likeness_weight: float = Field(
        0.0,
        ge=0,
        le=10,
        title="Weight of likeness",
        description="How strongly alike pictures are drawn together at first; fades.",
        json_schema_extra=_ADVANCED,
    )
    loss_weights: Literal["fixed", "learned"] = Field(
        "fixed",
        title="Weights of losses",
        description="The weights above, or weights that learn themselves as released.",
        json_schema_extra=_ADVANCED,
    )
    alpha: float = Field(
        0.8,
        gt=0,
        le=100,
        title="Tail of the kernel",
        description="Degrees of freedom of the t kernel.",
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
    batch: int = Field(
        64,
        ge=2,
        le=4096,
        title="Batch",
        description="Gene pictures in one step of the pre-training.",
        json_schema_extra=_ADVANCED,
    )
    batch_cluster: int = Field(
        64,
        ge=2,
        le=4096,
        title="Batch, modules",
        description="Gene pictures in one step while modules are learned.",
        json_schema_extra=_ADVANCED,
    )

    @field_validator("svg_draws")
    @classmethod
    def _enough(cls, draws: int) -> int:
        if 0 < draws < _FEWEST_DRAWS:
            raise PydanticCustomError(
                "svg_draws",
                "so few random pictures have no spread",
                {"remedy": f"use 0, or {_FEWEST_DRAWS} and more"},
            )
        return draws

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "visium": {"smooth_labels": True, "n_pcs_out": 20},
        "st": {"smooth_sigma": 0.7, "spot_weight": 0.5, "n_pcs_out": 10},
        "stereoseq": {"smooth_labels": True, "n_pcs_out": 20},
        "imaging": {"smooth_labels": True, "n_pcs_out": 20},
        "original": {
            "standardise": False,
            "smooth_sigma": 0.0,
            "token_dim": 16,
            "loss_on": "hidden",
            "n_linear": 0,
            "head": "mlp",
            "embed_dim": 32,
            "positions": "zero",
            "mixture": "t_kernel",
            "loss_weights": "learned",
            "tile": 4,
            "n_genes": 40_000,
            "gene_modules": 500,
            "epochs_pretrain": 50,
            "min_steps": 0,
            "epochs_cluster": 30,
            "batch": 320,
            "svg_null": "zinb",
            "svg_draws": 10,
            "spot_weight": 0.5,
            "domain_epochs": 200,
            "smooth_labels": True,
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
