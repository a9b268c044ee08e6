"""Pieces of networks whose random numbers come from a given generator."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

__all__ = ["dropped", "linear"]


def linear(
    d_in: int, d_out: int, generator: torch.Generator, *, random_bias: bool = False
) -> nn.Linear:
    """A linear layer with weights uniform within ``d_in ** -0.5``, the bound that torch takes.

    Parameters
    ----------
    d_in, d_out
        Widths.
    generator
        Of the weights; the global one is not touched.
    random_bias
        Draw the bias likewise, as torch does; else it is 0.
    """
    layer = cast("nn.Linear", skip_init(nn.Linear, d_in, d_out))  # type: ignore[no-untyped-call]
    bound = d_in**-0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        if random_bias:
            layer.bias.uniform_(-bound, bound, generator=generator)
        else:
            layer.bias.zero_()
    return layer


def dropped(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """``x`` with a share ``rate`` of its numbers set to 0, the others divided by ``1 - rate``."""
    keep = torch.rand(x.shape, generator=generator) >= rate
    return x * keep.to(x.device) / (1 - rate)
