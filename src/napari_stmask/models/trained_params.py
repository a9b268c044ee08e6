"""Parameters that all methods share which train networks on a section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..core.params import DomainParams

__all__ = ["TrainedParams"]

_ADVANCED: dict[str, Any] = {"advanced": True}


class TrainedParams(DomainParams):
    """Genes, components, width of the network, optimiser, and how replicates are combined."""

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
    n_hvg: int = Field(
        3000,
        ge=2,
        le=20000,
        title="Variable genes",
        description="Most variable genes that are kept; all where a panel has fewer.",
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

    PLATFORM_PRESET: ClassVar[Mapping[str, str]] = {
        "visium": "visium",
        "visium_hd": "stereoseq",
        "stereoseq": "stereoseq",
        "st": "st",
        "imaging": "imaging",
        "unknown": "visium",
    }

    SEVERAL_EPOCHS: ClassVar[int] = 1
    """Epochs of a run over several sections, beside those of one."""

    @classmethod
    def preset_values(cls, name: str, platform: str = "unknown") -> dict[str, Any]:
        """Values of preset ``name``; ``"several"`` is the recommended one for several sections.

        Raises
        ------
        ParameterError
            If there is no such preset.
        """
        if name != "several":
            return super().preset_values(name, platform)
        values = super().preset_values("recommended", platform)
        epochs = values.get("epochs", cls.model_fields["epochs"].default)
        return values | {"epochs": cls.SEVERAL_EPOCHS * epochs}

    @property
    def takes_log(self) -> bool:
        """Whether counts are brought to 10,000 a spot and log-transformed, or to a million."""
        return True

    @property
    def projects(self) -> bool:
        """Whether the network sees principal components, or the genes themselves."""
        return True
