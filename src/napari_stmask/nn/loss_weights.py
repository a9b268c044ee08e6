"""Weights of losses that are learned with them, as the release of SpaCEX does."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LearnedWeights"]


class LearnedWeights(nn.Module):
    """``sum_i L_i / (2 w_i) + ln(1 + w_i)`` with positive ``w_i`` that start at 1.

    Liebel & Koerner, Auxiliary tasks in multi-task learning (2018), equation 6, with ``w =
    theta^2``. For a fixed loss the best weight is ``w = (L/2 + sqrt(L^2/4 + 2 L)) / 2``. Losses
    must not be negative, as the sum would have no lower bound; ``w`` is a softplus, so it is
    never 0.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.full((n,), math.log(math.e - 1)))

    def forward(self, losses: Sequence[Tensor]) -> Tensor:
        """The weighted sum of scalars."""
        w = F.softplus(self.raw)
        return (torch.stack(list(losses)) / (2 * w) + torch.log1p(w)).sum()
