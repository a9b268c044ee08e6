"""One embedding from what both branches have learned, and each branch's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...analysis.domains import reduce
from ..dual_inference import beside, unit
from .params import ViMSTParams

__all__ = ["Fused", "fused"]

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Fused:
    """Embeddings that are split into domains.

    Attributes
    ----------
    joint
        (n_spots, width) float32 over all networks.
    replicates
        One per network where they vote, else empty.
    views
        What expression and the image say alone; empty without an image.
    """

    joint: Float
    replicates: list[Float]
    views: dict[str, list[Float]]


def fused(
    latents: Sequence[Sequence[Float]], inputs: Sequence[Float], params: ViMSTParams
) -> Fused:
    """Join what the networks say.

    Parameters
    ----------
    latents
        For each network one (n_spots, latent) array per modality.
    inputs
        (n_spots, d_q) input of each modality, for `beside`.
    params
        ``image_weight``, ``fusion``, ``own_weight``, ``consensus``, ``compare_views``.
    """
    blocks = [_each(parts, inputs, params) for parts in latents]
    vote = params.consensus == "vote" and len(latents) > 1
    together = [np.concatenate(parts, axis=1) for parts in zip(*latents, strict=True)]
    whole = _each(together, inputs, params)
    views = {}
    if len(inputs) > 1 and params.compare_views:
        for name, part in (("gene", 0), ("image", 1)):
            views[name] = [block[part] for block in blocks] if vote else [whole[part]]
    joined = [_join(parts, params) for parts in blocks] if vote else []
    return Fused(_join(whole, params), joined, views)


def _each(parts: Sequence[Float], inputs: Sequence[Float], params: ViMSTParams) -> list[Float]:
    return [beside(z, x, params.own_weight) for z, x in zip(parts, inputs, strict=True)]


def _join(parts: Sequence[Float], params: ViMSTParams) -> Float:
    """Both blocks side by side, each with its share.

    ``"scaled"``: shares of the variance, after both were brought to one. ``"original"``: factors
    of the blocks' own components, whatever their variance, as in the published program.
    """
    if len(parts) == 1:
        return parts[0]
    weight = params.image_weight
    if params.fusion == "original":
        gene, image = (reduce(p, params.n_pcs_out // 2, seed=params.seed) for p in parts)
        return np.concatenate([(1 - weight) * gene, weight * image], axis=1)
    gene, image = (unit(p) for p in parts)
    return np.concatenate(
        [np.float32(np.sqrt(1 - weight)) * gene, np.float32(np.sqrt(weight)) * image], axis=1
    )
