"""What a trained network says: embeddings and denoised genes, on the unmasked graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..nn.graph_autoencoder import DualMaskNet, GraphAutoencoder
from ..nn.sparse import torch_csr
from .dual_params import DualMaskParams
from .expression_input import Prepared, gene_layer

__all__ = ["beside", "denoised_layer", "embed", "net_from", "reconstruct", "unit"]

_BLOCK = 2048
Float = NDArray[np.float32]


def net_from(tensors: Mapping[str, Tensor], params: DualMaskParams, _: int) -> DualMaskNet:
    """A network from its tensors, in evaluation mode."""
    widths = [tensors[f"branches.{i}.w1"].shape[0] for i in range(len(tensors["mix"]))]
    hidden, latent = tensors["branches.0.w2"].shape
    net = DualMaskNet(
        widths, hidden, latent, generator=torch.Generator(), dropout=params.link_dropout
    )
    net.load_state_dict(dict(tensors))
    return net.eval()


@torch.no_grad()
def embed(
    net: DualMaskNet, inputs: Sequence[Float], adjacency: sp.csr_matrix, device: torch.device
) -> list[Float]:
    """(n_spots, latent) float32 of each modality, exact over the whole graph.

    The normalisation statistics are first set to those of the clean graph.
    """
    a = torch_csr(adjacency, device)
    out = []
    for branch, x in zip(_branches(net), inputs, strict=True):
        propagated = a @ torch.from_numpy(x).to(device)
        branch.calibrate(a, propagated)
        branch.eval()
        out.append(np.asarray(branch.encode(a, propagated).cpu().numpy(), dtype=np.float32))
    net.eval()
    return out


def _branches(net: DualMaskNet) -> list[GraphAutoencoder]:
    return [cast("GraphAutoencoder", branch) for branch in net.branches]


@torch.no_grad()
def reconstruct(
    net: DualMaskNet, latent: Float, x: Float, adjacency: sp.csr_matrix, device: torch.device
) -> Float:
    """(n_spots, d) reconstruction of the first modality, each row scaled to fit its input.

    The cosine loss fixes only the direction of a row, so its length is set to the least-squares
    factor ``max(0, <x, x'> / <x', x'>)``.
    """
    a = torch_csr(adjacency, device)
    out = _branches(net)[0].decode(a, torch.from_numpy(latent).to(device), None)
    rows = out.cpu().numpy()
    inner = np.einsum("ij,ij->i", x, rows)
    square = np.einsum("ij,ij->i", rows, rows)
    factor = np.maximum(np.divide(inner, square, out=np.zeros_like(inner), where=square > 0), 0)
    return np.asarray(rows * factor[:, None], dtype=np.float32)


def unit(block: Float) -> Float:
    """``block`` centred and brought to a mean squared row length of 1."""
    centred = block - block.mean(axis=0)
    length = float(np.sqrt((centred**2).sum(axis=1).mean()))
    return np.asarray(centred / max(length, 1e-12), dtype=np.float32)


def beside(latent: Float, x: Float, own_weight: float) -> Float:
    """The latent representation with the spot's own input next to it.

    Both blocks are centred and brought to a mean squared row length of 1 (the latent) and of
    ``own_weight ** 2`` (the input), so that the weight means the same whatever their widths.
    Propagation blurs sections of a few hundred large spots; their own expression restores
    what lies within a single spot.

    Returns
    -------
    numpy.ndarray
        (n_spots, latent) for weight 0, which leaves the latent as it is, else
        (n_spots, latent + d) float32.
    """
    if own_weight == 0:
        return latent
    return np.concatenate([unit(latent), np.float32(own_weight) * unit(x)], axis=1)


def denoised_layer(
    nets: Sequence[DualMaskNet],
    latents: Sequence[Float],
    prepared: Prepared,
    adjacency: sp.csr_matrix,
    n_genes: int,
    device: torch.device,
) -> tuple[sp.csr_matrix, NDArray[np.bool_]]:
    """Mean denoised expression of all replicates, in the units of the network's input.

    Returns
    -------
    layer
        (n_spots, n_genes) CSR float32, non-negative; columns of genes that were not selected
        are empty.
    denoised
        (n_genes,) True for the genes that have values.
    """
    mean = np.zeros_like(prepared.x)
    for net, latent in zip(nets, latents, strict=True):
        mean += reconstruct(net, latent, prepared.x, adjacency, device) / len(nets)
    parts = (slice(i, i + _BLOCK) for i in range(0, len(mean), _BLOCK))
    rows = (prepared.to_genes(mean[part], part) for part in parts)
    return gene_layer(rows, prepared.genes, n_genes)
