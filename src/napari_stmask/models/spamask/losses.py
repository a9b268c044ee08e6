"""The two SpaMask losses on one tile of the graph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...nn.losses import link_loss, scaled_cosine_error
from ...nn.masking import EdgeMasker, sample_nodes
from ...nn.sparse import torch_csr
from ...nn.tiles import Tile
from .model import SpaMaskNet
from .params import SpaMaskParams

__all__ = ["DualMaskObjective"]


class DualMaskObjective:
    """Draws both masks for a tile and evaluates ``L = L_SCE + lambda L_NCE``.

    Parameters
    ----------
    features
        (n_spots, d) float32 of the whole section.
    graph
        (n_spots, n_spots) symmetric CSR without self-loops.
    adjacency
        Its normalised form. A tile takes its part of it, so that a halo spot does not weigh
        more because its outer links are cut.
    tile
        Spots of this batch; losses count its own spots only, the halo lends its messages.
    params
        Rates, weights and mask mode.
    held_out
        Spots (section numbers) that are always hidden and never scored in training, so that
        their reconstruction error is a label-free measure of progress.
    device
        Where the tensors live.
    """

    def __init__(
        self,
        features: NDArray[np.float32],
        graph: sp.csr_matrix,
        adjacency: sp.csr_matrix,
        tile: Tile,
        params: SpaMaskParams,
        *,
        held_out: NDArray[np.int64],
        device: torch.device,
    ) -> None:
        self.params, self.device, self.n_core = params, device, tile.n_core
        self.x = torch.from_numpy(features[tile.index]).to(device)
        whole = len(tile.index) == graph.shape[0]
        if not whole:
            graph, adjacency = (m[tile.index][:, tile.index].tocsr() for m in (graph, adjacency))
        self.adjacency = torch_csr(adjacency, device)
        self.masker = EdgeMasker(graph)
        local = np.flatnonzero(np.isin(tile.index, held_out))
        self.held_out = torch.from_numpy(local[local < tile.n_core]).to(device)
        self._always = local

    def losses(
        self, net: SpaMaskNet, rng: np.random.Generator
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Total loss and its two terms for fresh masks."""
        feature = self._feature_loss(net, rng)
        link = self._link_loss(net, rng)
        total = feature + self.params.link_weight * link
        return total, {"reconstruction": feature, "links": link}

    def _masked_input(self, net: SpaMaskNet, hidden: Tensor) -> Tensor:
        """``A X`` with the rows in ``hidden`` masked; the token enters as a rank-one term."""
        indicator = torch.zeros(len(self.x), 1, device=self.device).index_fill_(0, hidden, 1.0)
        mode = self.params.mask_mode
        visible = self.x if mode == "released" else self.x * (1 - indicator)
        propagated = self.adjacency @ visible
        if mode == "zero":
            return propagated
        return propagated + (self.adjacency @ indicator) * net.token

    def _feature_loss(self, net: SpaMaskNet, rng: np.random.Generator) -> Tensor:
        drawn = sample_nodes(len(self.x), self.params.node_mask_rate, rng)
        scored = np.setdiff1d(drawn[drawn < self.n_core], self._always, assume_unique=True)
        hidden = torch.from_numpy(np.union1d(drawn, self._always)).to(self.device)
        output = self._reconstruct(net, hidden)
        # With rate 0 nothing is hidden and every own spot is reconstructed.
        if not len(drawn):
            scored = np.setdiff1d(np.arange(self.n_core), self._always)
        rows = torch.from_numpy(scored).to(self.device)
        if not len(rows):
            return output.sum() * 0
        return scaled_cosine_error(self.x[rows], output[rows], self.params.alpha)

    def _reconstruct(self, net: SpaMaskNet, hidden: Tensor) -> Tensor:
        latent = net.encode(self.adjacency, self._masked_input(net, hidden))
        return net.decode(self.adjacency, latent, hidden)

    def _link_loss(self, net: SpaMaskNet, rng: np.random.Generator) -> Tensor:
        hidden = self.masker.mask(self.params.edge_mask_rate, rng)
        kept = torch_csr(self.masker.adjacency_without(hidden), self.device)
        latent = net.encode(kept, kept @ self.x)
        positive = self.masker.edges[hidden]
        positive = positive[(positive < self.n_core).any(axis=1)]
        limit = self.params.scored_pairs // 2
        if len(positive) > limit:
            positive = positive[rng.choice(len(positive), limit, replace=False)]
        negative = self.masker.non_edges(len(positive), rng, n_first=self.n_core)
        pairs = (torch.from_numpy(p).to(self.device) for p in (positive, negative))
        return link_loss(*(net.score_links(latent, p, rng) for p in pairs))

    @torch.no_grad()
    def held_out_error(self, net: SpaMaskNet) -> tuple[float, int]:
        """Sum of the held-out spots' reconstruction errors, and their number."""
        if not len(self.held_out):
            return 0.0, 0
        net.eval()
        always = torch.from_numpy(self._always).to(self.device)
        output = self._reconstruct(net, always)
        rows = self.held_out
        error = scaled_cosine_error(self.x[rows], output[rows], self.params.alpha)
        return float(error) * len(rows), len(rows)
