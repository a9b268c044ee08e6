"""Loss functions that several methods share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["link_loss", "scaled_cosine_error"]


def scaled_cosine_error(target: Tensor, output: Tensor, alpha: float = 2.0) -> Tensor:
    """Mean of ``(1 - cos(target_i, output_i)) ** alpha`` over rows.

    Hou et al., GraphMAE, 2022, equation 3. 0 for equal directions, 1 for orthogonal rows,
    ``2 ** alpha`` for opposite ones; the length of either row does not matter.

    Parameters
    ----------
    target, output
        (m, d) float.
    alpha
        Exponent, at least 1; larger values down-weight easy rows.
    """
    cosine = F.cosine_similarity(target, output, dim=1, eps=1e-8)
    return (1 - cosine).clamp_min(0).pow(alpha).mean()


def link_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """``-mean log sigma(positive) - mean log(1 - sigma(negative))`` on logits.

    The edge reconstruction loss of masked graph autoencoders (Li et al., MaskGAE, 2023);
    2 ln 2 when all logits are 0.

    Parameters
    ----------
    positive, negative
        (m,) logits of hidden links and of non-links; an empty set contributes 0.
    """
    loss = positive.new_zeros(())
    if len(positive):
        loss = loss + F.softplus(-positive).mean()
    if len(negative):
        loss = loss + F.softplus(negative).mean()
    return loss
