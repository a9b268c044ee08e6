"""Soft assignment to centres that sharpens itself.

Xie et al., Unsupervised deep embedding for clustering analysis, ICML 2016, equations 1 to 3, as
SpaCEX and SpaGCN use them.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["kl", "sharpen", "t_kernel"]


def t_kernel(z: Tensor, centres: Tensor, alpha: float) -> Tensor:
    """``q_ik ~ (1 + |z_i - c_k|^2 / alpha)^(-(alpha + 1) / 2)``, rows sum to 1.

    Parameters
    ----------
    z
        (n, d).
    centres
        (k, d).
    alpha
        Degrees of freedom, above 0.

    Returns
    -------
    torch.Tensor
        (n, k).
    """
    # Without the product of matrices, which loses close pairs far from the origin.
    mode = "donot_use_mm_for_euclid_dist"
    square = torch.cdist(z, centres, compute_mode=mode).pow(2)
    return torch.softmax(-(alpha + 1) / 2 * torch.log1p(square / alpha), dim=1)


def sharpen(q: Tensor) -> Tensor:
    """(n, k) target ``p_ik ~ q_ik^2 / sum_i q_ik``, rows sum to 1, without a gradient."""
    with torch.no_grad():
        weight = q.pow(2) / q.sum(dim=0).clamp_min(torch.finfo(q.dtype).tiny)
        return weight / weight.sum(dim=1, keepdim=True)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """Kullback-Leibler divergence of ``q`` from ``p``, both (n, k), mean over the rows."""
    tiny = torch.finfo(q.dtype).tiny
    return (torch.xlogy(p, p) - p * q.clamp_min(tiny).log()).sum(dim=1).mean()
