"""The losses of one training step of MMSRL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...core.memory import densify
from ...nn.attention import Landmarks
from ...nn.losses import link_loss, scaled_cosine_error
from ...nn.masking import EdgeMasker, sample_nodes
from ...nn.multimodal import MultimodalNet
from ...nn.pair_losses import consistency_loss, prototype_loss, unit_rows
from ...nn.sparse import Operator
from ...nn.zinb import ZINBDecoder, zinb_loss

__all__ = ["Counts", "MMSRLModel", "Objective", "PseudoLabels", "Shares"]

_SCORED = 4096
"""Links, and as many other pairs, that a step scores."""
_SHARPNESS = 4.0
"""Factor of the cosines that the link task scores, so that they reach the ends of a logistic."""


class MMSRLModel(nn.Module):
    """Encoder and decoder that are trained together."""

    def __init__(self, net: MultimodalNet, decoder: ZINBDecoder) -> None:
        super().__init__()
        self.net = net
        self.decoder = decoder


@dataclass(frozen=True)
class Counts:
    """Raw counts of the selected genes, and how many molecules each spot has.

    Attributes
    ----------
    matrix
        (n_spots, n_selected) CSR.
    size
        (n_spots,) float32 molecules of all genes over ``median``: the size factor.
    median
        Molecules of the median spot, of the section that was trained on.
    """

    matrix: sp.csr_matrix
    size: NDArray[np.float32]
    median: float

    def rates(self) -> Tensor:
        """(n_selected,) molecules of each gene per unit of size factor."""
        total = np.asarray(self.matrix.sum(axis=0), dtype=np.float64).ravel()
        return torch.from_numpy((total / float(self.size.sum())).astype(np.float32))

    def block(self, rows: NDArray[np.integer], device: torch.device) -> tuple[Tensor, Tensor]:
        """Dense counts (m, n_selected) and size factors (m, 1) of some spots."""
        dense = densify(self.matrix[rows], what="a block of counts")
        return (
            torch.from_numpy(dense).to(device),
            torch.from_numpy(self.size[rows])[:, None].to(device),
        )


@dataclass(frozen=True)
class PseudoLabels:
    """Domains found in the embedding so far.

    Attributes
    ----------
    codes
        (n_spots,) int64.
    weights
        (n_spots,) float32, 0 where a spot lies between domains.
    """

    codes: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Shares:
    """Weights of the loss terms."""

    zinb: float
    consistency: float
    mask: float
    edge: float
    contrast: float


@dataclass
class Objective:
    """What every step of one training shares.

    Attributes
    ----------
    inputs
        (n_spots, d) of each modality.
    walk
        Averaging over the neighbourhood.
    landmarks
        For the attention; None is exact.
    links
        Undirected links, for the edge task.
    counts
        What the decoder explains.
    columns
        (n_spots, n_batches) that the decoder sees beside the embedding.
    weights
        Of the terms; a term of weight 0 is not computed.
    mask_rate
        Share of spots hidden in a step.
    temperature
        Of the prototype contrast.
    decoded
        Spots that the decoder is trained on in a step.
    labels
        Present pseudo-labels, or None.
    """

    inputs: Sequence[Tensor]
    walk: Operator
    landmarks: Landmarks | None
    links: EdgeMasker
    counts: Counts
    columns: Tensor
    weights: Shares
    mask_rate: float
    temperature: float
    decoded: int
    labels: PseudoLabels | None = None

    def losses(
        self, model: MMSRLModel, rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of one step over the whole section, and its terms before weighting."""
        device, n = self.inputs[0].device, len(self.inputs[0])
        hidden = torch.from_numpy(sample_nodes(n, self.mask_rate, rng)).to(device)
        out = model.net(
            self.walk,
            self.inputs,
            self.landmarks,
            hidden_rows=hidden if len(hidden) else None,
            generator=generator,
        )
        z, w = out.embedding, self.weights
        terms: dict[str, Tensor] = {}
        if w.mask and len(hidden):
            terms["mask"] = sum(  # type: ignore[assignment]
                scaled_cosine_error(x[hidden], recover(z[hidden]))
                for x, recover in zip(self.inputs, model.net.recover, strict=True)
            )
        if w.consistency and len(self.inputs) > 1:
            terms["consistency"] = consistency_loss(*out.shared)
        if w.edge and len(self.links.edges):
            terms["edge"] = self._edge(unit_rows(z), rng)
        if w.contrast:
            terms["contrast"] = self._contrast(z)
        if w.zinb:
            terms["zinb"] = self._zinb(model, z, rng)
        total = sum((getattr(w, name) * value for name, value in terms.items()), z.new_zeros(()))
        return total, {"loss": total, **terms}

    def _edge(self, u: Tensor, rng: np.random.Generator) -> Tensor:
        """Links against as many other pairs, on sharpened cosines."""
        edges = self.links.edges
        if len(edges) > _SCORED:
            edges = edges[rng.integers(len(edges), size=_SCORED)]
        others = self.links.non_edges(len(edges), rng)

        def cosine(pairs: NDArray[np.int64]) -> Tensor:
            i, j = torch.from_numpy(np.ascontiguousarray(pairs.T)).to(u.device)
            return _SHARPNESS * (u[i] * u[j]).sum(dim=1)

        return link_loss(cosine(edges), cosine(others))

    def _contrast(self, z: Tensor) -> Tensor:
        """Prototypes are the weighted mean directions of their members; 0 before there are any."""
        labels = self.labels
        if labels is None:
            return z.new_zeros(())
        u = unit_rows(z)
        k = int(labels.codes.max()) + 1
        members = torch.nn.functional.one_hot(labels.codes, k) * labels.weights[:, None]
        return prototype_loss(z, members.T @ u, labels.codes, labels.weights, self.temperature)

    def _zinb(self, model: MMSRLModel, z: Tensor, rng: np.random.Generator) -> Tensor:
        n = len(z)
        rows = np.sort(rng.permutation(n)[: self.decoded])
        x, size = self.counts.block(rows, z.device)
        at = torch.from_numpy(rows).to(z.device)
        given = torch.cat([z[at], self.columns[at]], dim=1)
        rate, dispersion, dropout = model.decoder(given)
        return zinb_loss(x, rate * size, dispersion, dropout)
