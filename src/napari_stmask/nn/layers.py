"""Pieces of networks whose random numbers come from a given generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init
from torch.utils.checkpoint import checkpoint

__all__ = ["dropped", "linear", "recomputed"]


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
    """``x`` with a share ``rate`` of its numbers set to 0, the others divided by ``1 - rate``.

    Drawn on the device of the generator, or on the CPU, so that a seed means the same anywhere.
    """
    device = "cpu" if generator is None else generator.device
    keep = torch.rand(x.shape, generator=generator, device=device) >= rate
    return x * keep.to(x.device) / (1 - rate)


def recomputed(form: Callable[..., Tensor], *inputs: object) -> Tensor:
    """``form(*inputs)``, computed again for the gradient instead of kept.

    ``form`` draws no random numbers but from a generator of its own.
    """
    return cast("Tensor", checkpoint(form, *inputs, use_reentrant=False, preserve_rng_state=False))
