"""Graph autoencoders with masked inputs, and the scorer of links between their codes.

The encoder and decoder of SpaMask (Min, Fang et al., PLOS Computational Biology 21(4), e1012881,
2025) and of both branches of ViMST.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .sparse import propagate

__all__ = ["DualMaskNet", "GraphAutoencoder", "LinkScorer"]


class _SharedPReLU(torch.autograd.Function):
    """PReLU with one slope; torch's own backward pass takes 30 times as long on the CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = float(slope)
        return F.leaky_relu(x, ctx.slope)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (x,), grad = ctx.saved_tensors, grads[0]
        below = (grad * x.clamp(max=0)).sum()
        return torch.ops.aten.leaky_relu_backward(grad, x, ctx.slope, False), below


def _glorot(generator: torch.Generator, *shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(*shape), generator=generator))


class GraphAutoencoder(nn.Module):
    """Two propagation steps in, one out.

    With ``A`` the normalised adjacency, ``BN`` batch normalisation and ``phi`` a PReLU of one
    slope that both layers share::

        H = phi(BN1(A X W1 + b1))      Z = phi(BN2(A H W2 + b2))
        X' = A (mask(Z We) Wd) + bd

    The input is handed in already propagated (``A X``): it carries no gradient, so the caller
    can cache it, and the mask token enters as a rank-one term.

    Parameters
    ----------
    n_features, hidden, latent
        Widths d, h and l of the input, the first and the second layer.
    generator
        Source of the initial weights.
    """

    def __init__(
        self, n_features: int, hidden: int, latent: int, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, n_features))
        self.w1 = _glorot(generator, n_features, hidden)
        self.b1 = nn.Parameter(torch.zeros(hidden))
        self.w2 = _glorot(generator, hidden, latent)
        self.b2 = nn.Parameter(torch.zeros(latent))
        self.norm1 = nn.BatchNorm1d(hidden)
        self.norm2 = nn.BatchNorm1d(latent)
        self.slope = nn.Parameter(torch.tensor(0.25))
        self.w_bridge = _glorot(generator, latent, latent)
        self.w_out = _glorot(generator, latent, n_features)
        self.b_out = nn.Parameter(torch.zeros(n_features))

    def _act(self, x: Tensor) -> Tensor:
        return _SharedPReLU.apply(x, self.slope)  # type: ignore[no-any-return, no-untyped-call]

    def encode(self, adjacency: Tensor, propagated: Tensor) -> Tensor:
        """Latent (n, l) from the propagated features ``A X`` (n, d)."""
        hidden = self._act(self.norm1(propagated @ self.w1 + self.b1))
        return self._act(self.norm2(propagate(adjacency, hidden @ self.w2) + self.b2))

    def decode(self, adjacency: Tensor, latent: Tensor, hidden_rows: Tensor | None) -> Tensor:
        """Reconstruction (n, d); rows in ``hidden_rows`` send nothing (re-masking)."""
        # Nothing but the re-masking stands between the two linear maps, and it acts on whole
        # rows: multiplying the two small matrices first saves a product over all spots.
        code = latent @ (self.w_bridge @ self.w_out)
        if hidden_rows is not None:
            code = code.index_fill(0, hidden_rows, 0.0)
        return propagate(adjacency, code) + self.b_out

    @torch.no_grad()
    def calibrate(self, adjacency: Tensor, propagated: Tensor) -> None:
        """Set the running statistics to those of the clean graph.

        During training they mix the two masked views; inference sees neither.
        """
        was_training = self.training
        self.train()
        momenta = [norm.momentum for norm in (self.norm1, self.norm2)]
        for norm in (self.norm1, self.norm2):
            norm.momentum = 1.0
        self.encode(adjacency, propagated)
        for norm, momentum in zip((self.norm1, self.norm2), momenta, strict=True):
            norm.momentum = momentum
        self.train(was_training)


class LinkScorer(nn.Module):
    """Whether two spots are linked: ``s = w2 . relu(Wf p + bf) + b`` of a pair's product ``p``.

    Parameters
    ----------
    latent
        Width of the product.
    generator
        Source of the initial weights.
    dropout
        Share of the product that is zeroed while training.
    """

    def __init__(self, latent: int, *, generator: torch.Generator, dropout: float = 0.5) -> None:
        super().__init__()
        self.dropout = dropout

        def uniform(bound: float, *shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound, generator=generator))

        self.w_link = uniform(1 / math.sqrt(latent), latent, 2 * latent)
        self.b_link = uniform(1 / math.sqrt(latent), 2 * latent)
        self.w_score = uniform(1 / math.sqrt(2 * latent), 2 * latent)
        self.b_score = uniform(1 / math.sqrt(2 * latent), 1)

    def forward(self, product: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        """Logits (m,) of (m, latent) products; drops features while an ``rng`` is given."""
        if rng is not None and self.dropout > 0:
            # numpy draws these several times faster than torch's CPU generator.
            drawn = torch.from_numpy(rng.random(tuple(product.shape), dtype=np.float32))
            keep = (drawn >= self.dropout).to(product.device, product.dtype)
            product = product * keep / (1 - self.dropout)
        return torch.relu(product @ self.w_link + self.b_link) @ self.w_score + self.b_score


class DualMaskNet(nn.Module):
    """One autoencoder per modality and the scorer of links that they share.

    The product of a pair is ``sum_q mix_q z_q[i] * z_q[j]`` over the modalities q: the joint
    topology decoder of ViMST, and with a single modality the link decoder of SpaMask.

    Parameters
    ----------
    widths
        Input width of each modality.
    hidden, latent
        Widths of both layers, the same in each modality.
    generator
        Source of the initial weights.
    dropout
        Of the link scorer.
    mix
        Weight of each modality in the product; ones by default.
    learn_mix
        Train these weights too, from the given values on.
    """

    def __init__(
        self,
        widths: Sequence[int],
        hidden: int,
        latent: int,
        *,
        generator: torch.Generator,
        dropout: float = 0.5,
        mix: Sequence[float] | None = None,
        learn_mix: bool = False,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            GraphAutoencoder(width, hidden, latent, generator=generator) for width in widths
        )
        self.links = LinkScorer(latent, generator=generator, dropout=dropout)
        weights = torch.tensor(list(mix or [1.0] * len(widths)), dtype=torch.float32)
        self.mix = nn.Parameter(weights, requires_grad=learn_mix)

    def score_links(
        self, latents: Sequence[Tensor], pairs: Tensor, rng: np.random.Generator | None = None
    ) -> Tensor:
        """Logits (m,) of the (m, 2) pairs from one latent (n, l) per modality."""
        first, second = pairs[:, 0], pairs[:, 1]
        parts = [z.index_select(0, first) * z.index_select(0, second) for z in latents]
        product = parts[0]
        # A single modality of weight 1 needs no product with its weight.
        if len(parts) > 1 or self.mix.requires_grad:
            product = torch.stack(
                [weight * part for weight, part in zip(self.mix, parts, strict=True)]
            ).sum(dim=0)
        return self.links(product, rng)  # type: ignore[no-any-return]
