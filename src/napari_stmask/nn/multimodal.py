"""MMSRL's network: a linear graph encoder per modality, attention, interaction, gated fusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Landmarks, attend
from .layers import dropped, linear
from .pair_losses import unit_rows
from .sparse import Operator

__all__ = ["Encoded", "GraphEncoder", "MultimodalNet"]

_FIRST_SHARES = {1: (0.3, 0.3), 2: (0.3, -0.7, 0.3)}
"""Where the gate starts, expression, (image,) interaction: the image has to earn its share."""
_TEMPERATURE = 10.0


@dataclass(frozen=True)
class Encoded:
    """What a forward pass gives.

    Attributes
    ----------
    embedding
        (n_spots, latent) fused representation Z.
    encoded
        Per modality E, (n_spots, latent).
    shared
        Per modality Q, the interaction's hidden layer, (n_spots, width).
    weights
        (n_spots, n_branches) fusion weights, rows sum to 1: each modality, then the interaction.
        None where a constant sum fuses.
    branches
        The branches that were fused, (n_spots, latent) each.
    """

    embedding: Tensor
    encoded: list[Tensor]
    shared: list[Tensor]
    weights: Tensor | None
    branches: list[Tensor]


class GraphEncoder(nn.Module):
    """``E = A f(A X W1 + b1) W2 + b2`` with ``f`` the identity or a PReLU.

    A linear encoder is a single affine map of ``A^2 X``, because the rows of A sum to 1. The
    first weights make E an isometry of ``A^2 X``, so that training starts from the smoothed data
    and not from a random projection of them.

    Parameters
    ----------
    d_in, hidden, latent
        Widths.
    prelu
        Put a PReLU between the layers.
    generator
        Of the initial weights.
    """

    def __init__(
        self, d_in: int, hidden: int, latent: int, *, prelu: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        turn = _semi_orthogonal(d_in, hidden, generator)
        self.w1 = nn.Parameter(turn)
        self.b1 = nn.Parameter(torch.zeros(hidden))
        self.w2 = nn.Parameter(turn.T @ _semi_orthogonal(d_in, latent, generator))
        self.b2 = nn.Parameter(torch.zeros(latent))
        self.token = nn.Parameter(torch.zeros(d_in))
        self.slope = nn.Parameter(torch.tensor([0.25])) if prelu else None

    def forward(self, walk: Operator, x: Tensor, hidden_rows: Tensor | None) -> Tensor:
        """Encode (n, d_in) ``x``, the rows ``hidden_rows`` replaced by the token."""
        mark = None
        if hidden_rows is not None:
            x = x.index_fill(0, hidden_rows, 0.0)
            mark = x.new_zeros(len(x), 1).index_fill(0, hidden_rows, 1.0)
        if self.slope is not None:
            if mark is not None:
                x = x + mark * self.token
            inner = F.prelu(walk @ (x @ self.w1) + self.b1, self.slope)
            return walk @ (inner @ self.w2) + self.b2
        # x takes no gradient and the token enters through one column: no product with the
        # graph has to be differentiated.
        smooth = walk @ (walk @ x)
        if mark is not None:
            smooth = smooth + (walk @ (walk @ mark)) * self.token
        return (smooth @ self.w1 + self.b1) @ self.w2 + self.b2


def _semi_orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Rows of length 1 and orthogonal, or columns where there are fewer of these."""
    flat = torch.randn(max(rows, columns), min(rows, columns), generator=generator)
    q: Tensor = torch.linalg.qr(flat)[0]
    return q if rows >= columns else q.T.contiguous()


class MultimodalNet(nn.Module):
    """Encoders, attention, interaction and fusion of one or two modalities.

    Parameters
    ----------
    widths
        Input width of each modality.
    hidden, latent
        Widths of the encoders.
    interaction
        Width of the layer that the modalities share.
    dropout
        Of the shared layer.
    prelu
        See `GraphEncoder`.
    attention
        Let spots attend to one another.
    generator
        Of the initial weights.
    """

    def __init__(
        self,
        widths: Sequence[int],
        hidden: int,
        latent: int,
        *,
        interaction: int = 64,
        dropout: float = 0.1,
        prelu: bool = False,
        attention: bool = True,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(
            GraphEncoder(d, hidden, latent, prelu=prelu, generator=generator) for d in widths
        )
        scale = torch.full((len(widths),), _TEMPERATURE).log()
        self.log_scale = nn.Parameter(scale) if attention else None
        self.share = linear(latent, interaction, generator)
        self.join = linear(interaction * len(widths), latent, generator)
        self.gate = linear(latent, latent, generator)
        self.gate_direction = nn.Parameter(torch.zeros(latent))
        self.gate_bias = nn.Parameter(torch.tensor(_FIRST_SHARES[len(widths)]))
        self.recover = nn.ModuleList(linear(latent, d, generator) for d in widths)
        self.dropout = dropout

    def forward(
        self,
        walk: Operator,
        inputs: Sequence[Tensor],
        landmarks: Landmarks | None,
        *,
        hidden_rows: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Encoded:
        """Encode all spots.

        Parameters
        ----------
        walk
            (n, n) averaging over the neighbourhood, rows sum to 1.
        inputs
            (n, d) of each modality.
        landmarks
            Groups that stand for the spots in the attention; None is exact.
        hidden_rows
            Spots whose input the encoders must not see.
        generator
            Of the dropout, in training mode.
        """
        encoded = [
            encoder(walk, x, hidden_rows) for encoder, x in zip(self.encoders, inputs, strict=True)
        ]
        shared = [self._dropped(F.relu(self.share(e)), generator) for e in encoded]
        branches = [e + self._attended(e, i, landmarks) for i, e in enumerate(encoded)]
        branches.append(self.join(torch.cat(shared, dim=1)))
        level = [_levelled(branch) for branch in branches]
        scores = [torch.tanh(self.gate(one)) @ self.gate_direction for one in level]
        weights = torch.softmax(torch.stack(scores, dim=1) + self.gate_bias, dim=1)
        joint = sum(weights[:, i, None] * one for i, one in enumerate(level))
        return Encoded(cast("Tensor", joint), encoded, shared, weights, level)

    def _attended(self, e: Tensor, i: int, landmarks: Landmarks | None) -> Tensor:
        """What the other spots say: the mean of E, weighted by how alike they are."""
        if self.log_scale is None:
            return torch.zeros_like(e)
        u, scale = unit_rows(e), self.log_scale[i].exp()
        if landmarks is None:
            return attend(u, u, e, scale, None)
        means = landmarks.mean @ e
        return attend(u, unit_rows(means), means, scale, landmarks.log_size)

    def _dropped(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.training or not self.dropout:
            return x
        return dropped(x, self.dropout, generator)


def _levelled(branch: Tensor) -> Tensor:
    """The branch centred over the spots, with a mean squared row length of 1."""
    centred = branch - branch.mean(dim=0)
    # Bounded before the root, whose slope at 0 is infinite: a constant branch stays 0.
    return centred / centred.square().sum(dim=1).mean().clamp_min(1e-24).sqrt()
