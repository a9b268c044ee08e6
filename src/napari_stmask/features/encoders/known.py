"""Published encoders that can be fetched from the Hugging Face hub, on request only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from .base import IMAGENET, Triple

__all__ = ["KNOWN", "HubEncoder", "Pooling"]

Pooling = Literal["cls", "cls+mean", "pooled"]

_NC = "CC-BY-NC-ND 4.0: no commercial use, no derivatives"
_NC_UNI = f"{_NC}; models trained on its outputs count as derivatives"
_HALF: tuple[Triple, Triple] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_OPTIMUS: tuple[Triple, Triple] = (
    (0.707223, 0.578729, 0.703617),
    (0.211883, 0.230117, 0.177517),
)


@dataclass(frozen=True)
class HubEncoder:
    """An encoder on the hub, as its model card describes it.

    Attributes
    ----------
    id
        How it is asked for: ``"hub:ID"``.
    hub_id
        Repository on the hub.
    title
        One line for a person.
    licence
        As the model card stated it when this table was made; licences change.
    gated
        Whether one has to be granted access, and be logged in.
    dim
        Length of a vector.
    loader
        Library that builds the network.
    pooling
        ``"cls"``: the class token; ``"cls+mean"``: followed by the mean of the patch tokens;
        ``"pooled"``: what the network itself returns.
    prefix
        Tokens before the first patch token: the class token and the registers.
    input_px, norm, um_per_px
        Side of the input; mean and standard deviation of colours; resolution of its training.
    options
        Arguments of ``timm.create_model`` beside the architecture.
    architecture
        Name in timm; empty where the repository itself says it.
    """

    id: str
    hub_id: str
    title: str
    licence: str
    gated: bool
    dim: int
    loader: Literal["timm", "transformers"] = "timm"
    pooling: Pooling = "pooled"
    prefix: int = 1
    input_px: int = 224
    norm: tuple[Triple, Triple] = IMAGENET
    um_per_px: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    architecture: str = ""


_SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}
"""Names of layers that the loader replaces by the classes."""
_UNI2 = {
    "img_size": 224, "patch_size": 14, "depth": 24, "num_heads": 24, "init_values": 1e-5,
    "embed_dim": 1536, "mlp_ratio": 2.66667 * 2, "no_embed_class": True, "reg_tokens": 8,
    "dynamic_img_size": True, **_SWIGLU,
}  # fmt: skip
_UNI = {"init_values": 1e-5, "dynamic_img_size": True}
_APACHE = "Apache-2.0"
_KAIKO = "kaiko.ai licence: no commercial use"
_LUNIT = "Lunit licence: no commercial use"
_OWKIN = "Owkin licence: no commercial use"

_ENTRIES = (
    HubEncoder(
        "midnight-12k", "kaiko-ai/midnight", "Midnight-12k, pathology ViT-g", "MIT", False, 3072,
        "transformers", "cls+mean", norm=_HALF,
    ),
    HubEncoder(
        "h-optimus-0", "bioptimus/H-optimus-0", "H-optimus-0, pathology ViT-g", _APACHE, False,
        1536, norm=_OPTIMUS, um_per_px=0.5,
        options={"init_values": 1e-5, "dynamic_img_size": False},
    ),
    HubEncoder(
        "uni", "MahmoodLab/UNI", "UNI, pathology ViT-L", _NC_UNI, True, 1024,
        options=_UNI, architecture="vit_large_patch16_224",
    ),
    HubEncoder(
        "uni2-h", "MahmoodLab/UNI2-h", "UNI2-h, pathology ViT-H", _NC_UNI, True, 1536, prefix=9,
        options=_UNI2, architecture="vit_giant_patch14_224",
    ),
    HubEncoder(
        "virchow", "paige-ai/Virchow", "Virchow, pathology ViT-H",
        f"{_APACHE} with terms of access", True, 2560, pooling="cls+mean", options=_SWIGLU,
    ),
    HubEncoder(
        "virchow2", "paige-ai/Virchow2", "Virchow2, pathology ViT-H", _NC, True, 2560,
        pooling="cls+mean", prefix=5, options=_SWIGLU,
    ),
    HubEncoder(
        "prov-gigapath", "prov-gigapath/prov-gigapath", "Prov-GigaPath tile encoder, ViT-g",
        f"{_APACHE} with terms of access", True, 1536,
    ),
    HubEncoder(
        "phikon", "owkin/phikon", "Phikon, pathology ViT-B", _OWKIN, False, 768, "transformers",
        "cls",
    ),
    HubEncoder(
        "phikon-v2", "owkin/phikon-v2", "Phikon-v2, pathology ViT-L", _OWKIN, False, 1024,
        "transformers", "cls",
    ),
    *(
        HubEncoder(
            f"kaiko-{name}", f"1aurent/vit_{size}_patch16_224.kaiko_ai_towards_large_pathology_fms",
            f"Kaiko ViT-{name[0].upper()}/16, pathology", _KAIKO, False, dim, norm=_HALF,
        )
        for name, size, dim in (("s16", "small", 384), ("b16", "base", 768))
    ),
    HubEncoder(
        "lunit-dino-s16", "1aurent/vit_small_patch16_224.lunit_dino", "Lunit DINO ViT-S/16",
        _LUNIT, False, 384,
        norm=((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464)),
    ),
    *(
        HubEncoder(name, f"timm/{hub}", title, _APACHE, False, dim)
        for name, hub, title, dim in (
            ("resnet50", "resnet50.a1_in1k", "ResNet50, photographs", 2048),
            ("resnet18", "resnet18.a1_in1k", "ResNet18, photographs", 512),
            ("densenet121", "densenet121.ra_in1k", "DenseNet121, photographs", 1024),
            ("efficientnet-b0", "efficientnet_b0.ra_in1k", "EfficientNet-B0, photographs", 1280),
            ("convnext-t", "convnext_tiny.in12k", "ConvNeXt-T, photographs", 768),
        )
    ),
    *(
        HubEncoder(
            f"dinov2-{name[0]}", f"timm/vit_{name}_patch14_dinov2.lvd142m",
            f"DINOv2 ViT-{name[0].upper()}, photographs", _APACHE, False, dim,
            options={"dynamic_img_size": True},
        )
        for name, dim in (("small", 384), ("base", 768))
    ),
)  # fmt: skip

KNOWN: Mapping[str, HubEncoder] = MappingProxyType({entry.id: entry for entry in _ENTRIES})
"""Encoders on the hub by the name to ask for; weights are never part of this package."""
