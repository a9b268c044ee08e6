"""What trained networks of MMSRL say: embeddings, shares of the branches, enhanced genes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from ..dual_inference import beside
from ..expression_input import gene_layer
from .common import Training
from .params import MMSRLParams

__all__ = ["Answer", "embeddings", "enhanced_layer"]

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """Embeddings that are split into domains, and what explains them.

    Attributes
    ----------
    joint
        (n_spots, width) float32 over all networks.
    replicates
        One per network where they vote, else empty.
    views
        What expression and the image say alone; empty without an image.
    obsm
        ``fusion_weights`` (n_spots, n_branches): share of each modality and of their
        interaction, where the network learns them; ``attention`` and ``attention_image``
        (n_spots, width), whose inner products are the logits of the attention.
    """

    joint: Float
    replicates: list[Float]
    views: dict[str, list[Float]]
    obsm: dict[str, Float]


def embeddings(run: Training, params: MMSRLParams) -> Answer:
    """Join what the networks say; the spot's own expression beside it where asked."""
    vote = params.consensus == "vote" and len(run.encoded) > 1

    def joined(parts: list[Float]) -> tuple[Float, list[Float]]:
        single = [beside(part, run.inputs[0], params.own_weight) for part in parts]
        together = np.concatenate(parts, axis=1)
        return beside(together, run.inputs[0], params.own_weight), single if vote else []

    whole, single = joined([out.embedding.cpu().numpy() for out in run.encoded])
    views: dict[str, list[Float]] = {}
    if len(run.inputs) > 1 and params.compare_views:
        for i, name in enumerate(("gene", "image")):
            parts = [out.branches[i].cpu().numpy() for out in run.encoded]
            alone, each = (
                joined(parts) if name == "gene" else (np.concatenate(parts, axis=1), parts)
            )
            views[name] = each if vote else [alone]
    obsm = {}
    shares = [out.weights for out in run.encoded if out.weights is not None]
    if shares:
        obsm["fusion_weights"] = torch.stack(shares).mean(dim=0).cpu().numpy()
    names = ("attention", "attention_image")
    for name, features in zip(names, run.attention_features(), strict=False):
        obsm[name] = features.detach().cpu().numpy()
    return Answer(whole, single, views, obsm)


def enhanced_layer(
    run: Training, genes: NDArray[np.intp], n_genes: int
) -> tuple[sp.csr_matrix, NDArray[np.bool_]]:
    """Mean of the ZINB over all networks, in the unit that ``enhanced_as`` names.

    Returns
    -------
    layer
        (n_spots, n_genes) CSR float32, non-negative; columns of genes that were not selected
        are empty.
    enhanced
        (n_genes,) True for the genes that have values.
    """
    return gene_layer(run.blocks(), genes, n_genes)
