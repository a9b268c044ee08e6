"""What trained networks of MMSRL say: embeddings, shares of the branches, enhanced genes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from ...nn.pair_losses import unit_rows
from ..dual_inference import beside
from ..expression_input import gene_layer
from .params import MMSRLParams
from .training import MMSRLTraining

__all__ = ["Answer", "embeddings", "enhanced_layer"]

_BLOCK = 2048
_TARGET = 1e4
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
        interaction; ``attention`` and ``attention_image`` (n_spots, latent), whose inner
        products are the logits of the attention.
    """

    joint: Float
    replicates: list[Float]
    views: dict[str, list[Float]]
    obsm: dict[str, Float]


def embeddings(run: MMSRLTraining, params: MMSRLParams) -> Answer:
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
    shares = torch.stack([out.weights for out in run.encoded]).mean(dim=0)
    obsm = {"fusion_weights": shares.cpu().numpy()}
    scale = run.models[0].net.log_scale
    if scale is not None:
        names = ("attention", "attention_image")
        for name, e, log_scale in zip(names, run.encoded[0].encoded, scale, strict=False):
            obsm[name] = (unit_rows(e) * (0.5 * log_scale).exp()).detach().cpu().numpy()
    return Answer(whole, single, views, obsm)


def enhanced_layer(
    run: MMSRLTraining, genes: NDArray[np.intp], n_genes: int, params: MMSRLParams
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
    return gene_layer(_blocks(run, params), genes, n_genes)


@torch.no_grad()
def _blocks(run: MMSRLTraining, params: MMSRLParams) -> Iterator[Float]:
    """Rows of the selected genes, a block of spots at a time."""
    counts = run.counts
    for start in range(0, len(counts.size), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(counts.size)))
        columns = run.batch_columns(rows)
        total = torch.zeros((), device=run.device)
        for model, out in zip(run.models, run.encoded, strict=True):
            z = torch.cat([out.embedding[start : start + len(rows)], columns], dim=1)
            rate, _, dropout = model.decoder.eval()(z)
            total = total + (rate * (1 - dropout) if params.enhanced_zeros else rate)
        mean = np.asarray((total / len(run.models)).cpu().numpy(), dtype=np.float32)
        if params.enhanced_as == "log1p":
            yield np.log1p(mean * np.float32(_TARGET / counts.median))
        elif params.enhanced_as == "counts":
            yield mean * counts.size[rows, None]
        else:
            yield mean / mean.max(axis=1, keepdims=True)
