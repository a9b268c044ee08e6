"""Both masking losses on one tile of the graph, for one or several modalities.

Hidden spots are to be reconstructed from their neighbours, hidden links to be told from
non-links. With one modality these are the losses of SpaMask, with expression and image those
of ViMST.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from .graph_autoencoder import DualMaskNet, GraphAutoencoder
from .losses import link_loss, scaled_cosine_error
from .masking import EdgeMasker, sample_nodes
from .sparse import torch_csr
from .tiles import Tile

__all__ = ["DualMaskObjective", "Masking"]


@dataclass(frozen=True)
class Masking:
    """What is hidden and how its errors are weighed.

    Attributes
    ----------
    names
        One name per modality, for the loss curves.
    node_mask_rates, loss_weights
        Share of spots hidden and weight of the reconstruction, one per modality.
    edge_mask_rate
        Share of links hidden in each step.
    link_weight
        Weight (lambda) of the link loss.
    alpha
        Exponent of the scaled cosine error.
    scored_pairs
        Pairs scored in a step at most, half of them links.
    mask_mode
        Hidden rows become the token (``"replace"``) or zeros (``"zero"``), or keep their
        features and gain the token (``"released"``, as both published programs do).
    edge_mode
        ``"pairs"`` hides links in both directions and scores true non-links; ``"released"``
        drops each direction on its own, so that most dropped links stay in the graph, scores
        self-loops too and draws any pair as a non-link, as the published program of ViMST does.
    """

    names: tuple[str, ...]
    node_mask_rates: tuple[float, ...]
    loss_weights: tuple[float, ...]
    edge_mask_rate: float
    link_weight: float
    alpha: float = 2.0
    scored_pairs: int = 4096
    mask_mode: Literal["replace", "zero", "released"] = "replace"
    edge_mode: Literal["pairs", "released"] = "pairs"


class DualMaskObjective:
    """Draws the masks for a tile and evaluates ``L = sum_q w_q L_SCE,q + lambda L_link``.

    Parameters
    ----------
    features
        (n_spots, d_q) float32 of the whole section, one array per modality.
    graph
        (n_spots, n_spots) symmetric CSR without self-loops.
    adjacency
        Its normalised form. A tile takes its part of it, so that a halo spot does not weigh
        more because its outer links are cut.
    tile
        Spots of this batch; losses count its own spots only, the halo lends its messages.
    masking
        Rates, weights and modes.
    held_out
        Spots (section numbers) that are always hidden and never scored in training, so that
        their reconstruction error is a label-free measure of progress.
    device
        Where the tensors live.
    """

    def __init__(
        self,
        features: Sequence[NDArray[np.float32]],
        graph: sp.csr_matrix,
        adjacency: sp.csr_matrix,
        tile: Tile,
        masking: Masking,
        *,
        held_out: NDArray[np.int64],
        device: torch.device,
    ) -> None:
        self.masking, self.device, self.n_core = masking, device, tile.n_core
        self.x = [torch.from_numpy(values[tile.index]).to(device) for values in features]
        self.n = len(tile.index)
        if self.n != graph.shape[0]:
            graph, adjacency = (m[tile.index][:, tile.index].tocsr() for m in (graph, adjacency))
        self.adjacency = torch_csr(adjacency, device)
        self.masker = EdgeMasker(graph)
        local = np.flatnonzero(np.isin(tile.index, held_out))
        self.held_out = torch.from_numpy(local[local < tile.n_core]).to(device)
        self._always = local

    def losses(
        self, net: DualMaskNet, rng: np.random.Generator
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Total loss and its terms for fresh masks."""
        m = self.masking
        terms = {
            name: self._feature_loss(branch, x, rate, rng)
            for name, branch, x, rate in zip(
                m.names, self._branches(net), self.x, m.node_mask_rates, strict=True
            )
        }
        link = self._link_loss(net, rng)
        total = m.link_weight * link
        for weight, term in zip(m.loss_weights, terms.values(), strict=True):
            total = total + weight * term
        return total, {**terms, "links": link}

    def _branches(self, net: DualMaskNet) -> Iterator[GraphAutoencoder]:
        return cast("Iterator[GraphAutoencoder]", iter(net.branches))

    def _masked_input(self, branch: GraphAutoencoder, x: Tensor, hidden: Tensor) -> Tensor:
        """``A X`` with the rows in ``hidden`` masked; the token enters as a rank-one term."""
        indicator = torch.zeros(len(x), 1, device=self.device).index_fill_(0, hidden, 1.0)
        mode = self.masking.mask_mode
        visible = x if mode == "released" else x * (1 - indicator)
        propagated = self.adjacency @ visible
        if mode == "zero":
            return propagated
        return propagated + (self.adjacency @ indicator) * branch.token

    def _feature_loss(
        self, branch: GraphAutoencoder, x: Tensor, rate: float, rng: np.random.Generator
    ) -> Tensor:
        drawn = sample_nodes(self.n, rate, rng)
        scored = np.setdiff1d(drawn[drawn < self.n_core], self._always, assume_unique=True)
        hidden = torch.from_numpy(np.union1d(drawn, self._always)).to(self.device)
        output = self._reconstruct(branch, x, hidden)
        # With rate 0 nothing is hidden and every own spot is reconstructed.
        if not len(drawn):
            scored = np.setdiff1d(np.arange(self.n_core), self._always)
        rows = torch.from_numpy(scored).to(self.device)
        if not len(rows):
            return output.sum() * 0
        return scaled_cosine_error(x[rows], output[rows], self.masking.alpha)

    def _reconstruct(self, branch: GraphAutoencoder, x: Tensor, hidden: Tensor) -> Tensor:
        latent = branch.encode(self.adjacency, self._masked_input(branch, x, hidden))
        return branch.decode(self.adjacency, latent, hidden)

    def _link_loss(self, net: DualMaskNet, rng: np.random.Generator) -> Tensor:
        m = self.masking
        kept_graph, positive = self.masker.drop(
            m.edge_mask_rate, rng, released=m.edge_mode == "released"
        )
        kept = torch_csr(kept_graph, self.device)
        latents = [
            branch.encode(kept, kept @ x)
            for branch, x in zip(self._branches(net), self.x, strict=True)
        ]
        positive = positive[(positive < self.n_core).any(axis=1)]
        limit = m.scored_pairs // 2
        if len(positive) > limit:
            positive = positive[rng.choice(len(positive), limit, replace=False)]
        if m.edge_mode == "released":
            negative: NDArray[Any] = rng.integers(self.n, size=positive.shape)
        else:
            negative = self.masker.non_edges(len(positive), rng, n_first=self.n_core)
        pairs = (torch.from_numpy(p).to(self.device) for p in (positive, negative))
        return link_loss(*(net.score_links(latents, p, rng) for p in pairs))

    @torch.no_grad()
    def held_out_error(self, net: DualMaskNet) -> tuple[float, int]:
        """Weighted sum of the held-out spots' reconstruction errors, and their number."""
        if not len(self.held_out):
            return 0.0, 0
        net.eval()
        always = torch.from_numpy(self._always).to(self.device)
        rows, error = self.held_out, 0.0
        for weight, branch, x in zip(
            self.masking.loss_weights, self._branches(net), self.x, strict=True
        ):
            output = self._reconstruct(branch, x, always)
            error += weight * float(scaled_cosine_error(x[rows], output[rows], self.masking.alpha))
        return error * len(rows), len(rows)
