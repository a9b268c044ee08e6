"""The network of the released MMSRL: no gate, no learned attention, a decoder of log values.

Kept to compare with; `multimodal` is the corrected one. Every layer after the encoders is as
wide as there are genes, because the release compares a hidden layer of the decoder with the
genes. The modules are evaluated without the dropout and the mask that the release leaves on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import attend
from .layers import dropped, linear, recomputed
from .multimodal import Encoded
from .zinb import zinb_parameters

__all__ = ["Draws", "ReferenceDecoder", "ReferenceNet", "attend_dropped"]

_BLOCK = 512
_RATE = 0.1
_SHARES = {1: (20.0, 10.0), 2: (20.0, 1.0, 10.0)}
"""Constant factors of expression, (image,) and interaction in the fused embedding."""


@dataclass(frozen=True)
class Draws:
    """Where a training step takes its random numbers from.

    Attributes
    ----------
    generator
        Of the dropout of the shared layer.
    seeds
        One per modality, of the dropout of its attention.
    rate
        Share that is dropped.
    """

    generator: torch.Generator
    seeds: Sequence[int]
    rate: float = _RATE


def attend_dropped(e: Tensor, scale: float, rate: float, seed: int) -> Tensor:
    """``Drop(softmax(scale * E E^T)) E`` in memory linear in the number of rows.

    Blocks of rows are computed again for the gradient. Each has a generator of its own, so that
    both passes drop the same weights.

    Parameters
    ----------
    e
        (n, d).
    scale
        Factor of the logits.
    rate
        Share of the weights that is dropped; the others are divided by ``1 - rate``.
    seed
        Of the first block; the others count on from it.
    """
    parts = [
        recomputed(_dropped_rows, e[start : start + _BLOCK], e, scale, rate, seed + start)
        for start in range(0, len(e), _BLOCK)
    ]
    return torch.cat(parts)


def _dropped_rows(rows: Tensor, e: Tensor, scale: float, rate: float, seed: int) -> Tensor:
    weights = torch.softmax(scale * rows @ e.T, dim=1)
    generator = torch.Generator(weights.device).manual_seed(seed)
    return dropped(weights, rate, generator) @ e


class _TwoLayers(nn.Module):
    """``E = A(A X W1 + b1) W2 + b2`` from ``A^2 X``, which is the same as A's rows sum to 1."""

    def __init__(self, d_in: int, hidden: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.empty(d_in, hidden))
        self.b1 = nn.Parameter(torch.empty(hidden))
        self.w2 = nn.Parameter(torch.empty(hidden, width))
        self.b2 = nn.Parameter(torch.empty(width))
        with torch.no_grad():
            for weight in (self.w1, self.b1, self.w2, self.b2):
                bound = weight.shape[-1] ** -0.5
                weight.uniform_(-bound, bound, generator=generator)

    def forward(self, smooth: Tensor) -> Tensor:
        return (smooth @ self.w1 + self.b1) @ self.w2 + self.b2


class ReferenceNet(nn.Module):
    """Encoders, unprojected attention, shared layer, and a sum with constant factors.

    Parameters
    ----------
    widths
        Input width of each modality; the first is the number of genes and of all outputs.
    hidden
        Width of the encoders' first layer.
    generator
        Of the initial weights.
    """

    def __init__(self, widths: Sequence[int], hidden: int, *, generator: torch.Generator) -> None:
        super().__init__()
        width = widths[0]
        self.token = nn.Parameter(torch.zeros(width))
        self.encoders = nn.ModuleList(_TwoLayers(d, hidden, width, generator) for d in widths)
        self.share = linear(width, width, generator, random_bias=True)
        self.join = linear(len(widths) * width, width, generator, random_bias=True)
        self.scale = 1 / math.sqrt(width)

    def forward(
        self, smooth: Sequence[Tensor], marked: Tensor | None = None, draws: Draws | None = None
    ) -> Encoded:
        """Encode all spots.

        Parameters
        ----------
        smooth
            (n, d) of each modality, averaged twice over the neighbourhood (A^2 X).
        marked
            (n, 1) ``A^2 m`` with m 1 for the spots to whose expression the token is added.
        draws
            Of the dropout; None leaves nothing out.
        """
        first = smooth[0] if marked is None else smooth[0] + marked * self.token
        encoded = [
            encoder(x) for encoder, x in zip(self.encoders, [first, *smooth[1:]], strict=True)
        ]
        shared = [F.relu(self.share(e)) for e in encoded]
        if draws is None:
            branches = [attend(e, e, e, self.scale, None) for e in encoded]
        else:
            shared = [dropped(q, draws.rate, draws.generator) for q in shared]
            branches = [
                attend_dropped(e, self.scale, draws.rate, seed)
                for e, seed in zip(encoded, draws.seeds, strict=True)
            ]
        branches.append(self.join(torch.cat(shared, dim=1)))
        shares = _SHARES[len(encoded)]
        branches = [share * branch for share, branch in zip(shares, branches, strict=True)]
        return Encoded(torch.stack(branches).sum(dim=0), encoded, shared, None, branches)


class ReferenceDecoder(nn.Module):
    """From Z to a hidden layer R of the genes' width, and to the ZINB of log values.

    ``R = ReLU(BatchNorm(Z P + p))``, and linear maps of R give the ZINB (`zinb_parameters`).
    """

    def __init__(self, width: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.lift = linear(width, width, generator, random_bias=True)
        self.norm = nn.BatchNorm1d(width)
        self.heads = linear(width, 3 * width, generator, random_bias=True)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(n, width) each: R, mu, theta, pi."""
        hidden = F.relu(self.norm(self.lift(z)))
        return hidden, *zinb_parameters(self.heads(hidden), least=1e-5)
