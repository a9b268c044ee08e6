"""The SpaMask network: one graph encoder, a feature decoder and a link scorer.

Min, Fang, Chen & Zhang, PLOS Computational Biology 21(4), e1012881 (2025).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...nn.sparse import propagate

__all__ = ["SpaMaskNet"]


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


class SpaMaskNet(nn.Module):
    """Dual-masking graph autoencoder.

    With ``A`` the normalised adjacency, ``BN`` batch normalisation and ``phi`` a PReLU of one
    slope that both layers share::

        H = phi(BN1(A X W1 + b1))      Z = phi(BN2(A H W2 + b2))
        X' = A (mask(Z We) Wd) + bd    s(i, j) = w2 . relu(Wf (z_i * z_j) + bf) + b

    The input is handed in already propagated (``A X``): it carries no gradient, so the caller
    can cache it, and the mask token enters as a rank-one term.

    Parameters
    ----------
    n_features, hidden, latent
        Widths d, h and l of the input, the first and the second layer.
    generator
        Source of the initial weights.
    dropout
        Share of ``z_i * z_j`` that is zeroed while training.
    """

    def __init__(
        self,
        n_features: int,
        hidden: int,
        latent: int,
        *,
        generator: torch.Generator,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.dropout = dropout

        def glorot(*shape: int) -> nn.Parameter:
            return nn.Parameter(nn.init.xavier_uniform_(torch.empty(*shape), generator=generator))

        def uniform(bound: float, *shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound, generator=generator))

        self.token = nn.Parameter(torch.zeros(1, n_features))
        self.w1 = glorot(n_features, hidden)
        self.b1 = nn.Parameter(torch.zeros(hidden))
        self.w2 = glorot(hidden, latent)
        self.b2 = nn.Parameter(torch.zeros(latent))
        self.norm1 = nn.BatchNorm1d(hidden)
        self.norm2 = nn.BatchNorm1d(latent)
        self.slope = nn.Parameter(torch.tensor(0.25))
        self.w_bridge = glorot(latent, latent)
        self.w_out = glorot(latent, n_features)
        self.b_out = nn.Parameter(torch.zeros(n_features))
        self.w_link = uniform(1 / math.sqrt(latent), latent, 2 * latent)
        self.b_link = uniform(1 / math.sqrt(latent), 2 * latent)
        self.w_score = uniform(1 / math.sqrt(2 * latent), 2 * latent)
        self.b_score = uniform(1 / math.sqrt(2 * latent), 1)

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

    def score_links(
        self, latent: Tensor, pairs: Tensor, rng: np.random.Generator | None = None
    ) -> Tensor:
        """Logits (m,) of the (m, 2) pairs; drops features while an ``rng`` is given."""
        product = latent.index_select(0, pairs[:, 0]) * latent.index_select(0, pairs[:, 1])
        if rng is not None and self.dropout > 0:
            # numpy draws these several times faster than torch's CPU generator.
            drawn = torch.from_numpy(rng.random(tuple(product.shape), dtype=np.float32))
            keep = (drawn >= self.dropout).to(product.device, product.dtype)
            product = product * keep / (1 - self.dropout)
        return torch.relu(product @ self.w_link + self.b_link) @ self.w_score + self.b_score

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
