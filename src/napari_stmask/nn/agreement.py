"""Two views of one graph that should agree, and the losses of a prediction.

The agreement is that of BYOL (Grill et al., NeurIPS 2020) and BGRL (Thakoor et al., ICLR 2022)
without their predictor: one view goes through the trained encoder, the other through one that
follows it slowly and gets no gradient.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["agreement", "complementary", "correlation_loss", "follow"]


def complementary(
    x: Tensor, ratio: float, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """``x`` as two tables of the same shape, each number in one of them and 0 in the other.

    Parameters
    ----------
    x
        Any shape.
    ratio
        Probability with which a number is missing from the first.
    generator
        Source of chance; on its own device, so that a seed means the same anywhere.
    """
    device = "cpu" if generator is None else generator.device
    hidden = (torch.rand(x.shape, generator=generator, device=device) < ratio).to(x.device)
    return x.masked_fill(hidden, 0), x.masked_fill(~hidden, 0)


def agreement(first: Tensor, second: Tensor) -> Tensor:
    """``2 - 2 mean_i cos(first_i, second_i)``, from 0 for equal directions to 4."""
    return 2 - 2 * F.cosine_similarity(first, second, dim=1).mean()


def correlation_loss(predicted: Tensor, measured: Tensor) -> Tensor:
    """1 minus the mean over genes of Pearson's correlation over spots; from (n, n_genes) each.

    A gene that is constant counts with correlation 0, and with no gradient that is not finite.
    """
    a = predicted - predicted.mean(dim=0)
    b = measured - measured.mean(dim=0)
    # The root of a square of 0 has no gradient; a hair inside it does.
    size = (a.square().sum(dim=0) + 1e-6).sqrt() * (b.square().sum(dim=0) + 1e-6).sqrt()
    return 1 - ((a * b).sum(dim=0) / (size + 1e-8)).mean()


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """Move the weights of ``slow`` towards those of ``fast``: ``s <- m s + (1 - m) f``."""
    for s, f in zip(slow.parameters(), fast.parameters(), strict=True):
        s.lerp_(f, 1 - momentum)
