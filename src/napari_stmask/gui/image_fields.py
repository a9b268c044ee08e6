"""Which fields of a method that reads the image matter, and why the others do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.section import Section
from .encoder_field import PRECOMPUTED

__all__ = ["idle_image_fields", "uses_image"]

_PATCH = ("patch_size", "patch_unit", "n_scales", "stain")
_TRANSFORMER = ("cross_fit", "transformer_epochs")
_BRANCH = (
    "image_weight",
    "compare_views",
    "n_pcs_image",
    "image_mask_rate",
    "loss_image",
    "loss_consistency",
    "link_mix_image",
    "learn_mix",
    "fusion",
    "position_features",
)
_NO_IMAGE = "The section has no image."


def _kind(values: Mapping[str, Any]) -> str:
    return str(values.get("image_encoder") or "").partition(":")[0]


def uses_image(values: Mapping[str, Any], section: Section | None) -> bool:
    """Whether a run with these parameters would have an image branch."""
    if "image_encoder" not in values or values.get("use_image") == "no":
        return False
    here = section is None or section.image is not None
    return here or _kind(values) in PRECOMPUTED


def idle_image_fields(values: Mapping[str, Any], section: Section | None) -> dict[str, str]:
    """Fields about the image that would change nothing, with the reason.

    The encoder stays free to be chosen: without an image it is the choice of finished features
    that brings the others back.
    """
    if "image_encoder" not in values:
        return {}
    if not uses_image(values, section):
        off = values.get("use_image") == "no"
        reason = "Use the image is set to no." if off else _NO_IMAGE
        idle = dict.fromkeys((*_BRANCH, *_PATCH, *_TRANSFORMER), reason)
        if off:
            idle["image_encoder"] = reason
    else:
        idle = {}
        if _kind(values) in PRECOMPUTED:
            idle = dict.fromkeys(_PATCH, "Finished features need no patches.")
        if _kind(values) != "transformer":
            idle |= dict.fromkeys(_TRANSFORMER, "Only the spot transformer is trained.")
    return {name: reason for name, reason in idle.items() if name in values}
