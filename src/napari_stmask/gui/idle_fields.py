"""Which fields of a form would change nothing as the others stand, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.section import Section
from ..models.mmsrl.params import RELEASED_IGNORES
from ..models.spahgc.params import RELEASE_IGNORES
from .image_fields import idle_image_fields

__all__ = ["idle_fields"]

_CONTRAST = ("contrast_temperature", "contrast_from", "contrast_every")
_SHARPENED = ("batch_cluster", "cluster_weight", "size_weight", "likeness_weight", "loss_weights")
_ENHANCED = ("enhanced_as", "enhanced_zeros", "decoder_epochs")


def idle_fields(values: Mapping[str, Any], section: Section | None) -> dict[str, str]:
    """Fields that would change nothing, with the reason.

    Parameters
    ----------
    values
        What all fields of a form hold; rules about fields that it lacks do not apply.
    section
        The section that a run would be on, if one is open.
    """
    idle = idle_image_fields(values, section)
    if not values.get("auto_domains"):
        idle["granularity"] = "Only for a number of domains that is chosen automatically."
    if not values.get("denoise"):
        idle |= dict.fromkeys(_ENHANCED, "Only where genes are denoised.")
    if not values.get("loss_contrast"):
        idle |= dict.fromkeys(_CONTRAST, "The loss weight of domains is 0.")
    idle |= _attention(values, section)
    if "svg_draws" in values:
        idle |= _genes(values)
    if values.get("mode") == "reference":
        idle |= dict.fromkeys(
            ("attention", *RELEASED_IGNORES), "The released network leaves no choice here."
        )
    if values.get("mode") == "release":
        idle |= dict.fromkeys(RELEASE_IGNORES, "The released form leaves no choice here.")
    if values.get("panel") == "list":
        idle["n_genes"] = "The list says which genes."
    else:
        idle["gene_list"] = "Only for genes from a list."
    return {name: reason for name, reason in idle.items() if name in values}


def _genes(values: Mapping[str, Any]) -> dict[str, str]:
    """Fields of SpaCEX; some of their names are those of other methods too."""
    idle = {}
    if not values["svg_draws"]:
        idle["svg_null"] = "No random pictures are drawn."
    if values["domains_from"] == "scores":
        idle["gene_fraction"] = "Domains rest on the scores of all modules."
    if values["mixture"] == "t_mixture":
        idle["alpha"] = "Only for centres alone."
    else:
        idle["prior"] = "Only for a mixture."
    if values["head"] == "none":
        idle["embed_dim"] = "There is no head."
    if not values["epochs_cluster"]:
        idle |= dict.fromkeys(_SHARPENED, "Modules are not learned on.")
    elif values["loss_weights"] == "learned":
        idle["cluster_weight"] = idle["size_weight"] = idle["likeness_weight"] = "Weights learn."
    return idle


def _attention(values: Mapping[str, Any], section: Section | None) -> dict[str, str]:
    form = values.get("attention")
    if form == "none":
        return dict.fromkeys(("landmarks", "exact_up_to"), "Long-range attention is off.")
    if form == "exact":
        return dict.fromkeys(("landmarks", "exact_up_to"), "Exact attention forms no groups.")
    if form == "landmarks":
        return {"exact_up_to": "Only for automatic attention."}
    if form == "auto" and section is not None and section.n_spots <= values.get("exact_up_to", 0):
        return {"landmarks": "The section is small enough for exact attention."}
    return {}
