"""Losses over all pairs of spots, computed without the pairs.

Each is a polynomial of cosines, so that sums over N x N pairs become norms of small d x d
products; what is no polynomial is summed in blocks of rows that are recomputed for the gradient.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = ["adjacency_loss", "consistency_loss", "prototype_loss", "unit_rows"]

_BLOCK = 1024
_FIT = (0.250769, 0.238317, 0.054513)
"""Least-squares parabola of the squared logistic function on [-1, 1]; largest error 0.0092."""


def unit_rows(x: Tensor) -> Tensor:
    """Rows of length 1; a row of zeros stays."""
    return F.normalize(x, dim=1, eps=1e-12)


def consistency_loss(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference of the two modalities' cosines over all pairs of spots.

    Rows are centred over the spots and brought to length 1 (Q', P'); then
    ``mean_ij ((Q' Q'^T - P' P'^T)_ij)^2 = (|Q'^T Q'|^2 + |P'^T P'|^2 - 2 |Q'^T P'|^2) / n^2``.
    The consistency loss of MMSRL and stMMR (GigaScience, 2024) in its Gram form.

    Parameters
    ----------
    first, second
        (n, d) and (n, e).
    """
    q = unit_rows(first - first.mean(dim=0))
    p = unit_rows(second - second.mean(dim=0))
    n = len(q)

    def square(a: Tensor, b: Tensor) -> Tensor:
        return (a.T @ b).square().sum()

    return (square(q, q) + square(p, p) - 2 * square(q, p)) / n**2


def adjacency_loss(
    z: Tensor, row: Tensor, column: Tensor, weight: Tensor, *, exact: bool = True
) -> Tensor:
    """``mean_ij (sigmoid(C_ij) - A_ij)^2`` with the cosines C of ``z``, their diagonal 0.

    The regularisation of the released MMSRL. Links are summed one by one; of the other pairs
    only ``sigmoid(C)^2`` is left, which is summed in blocks of rows, or taken as a parabola in
    C, whose sums are norms.

    Parameters
    ----------
    z
        (n, d).
    row, column, weight
        (n_links,) entries of the adjacency A, each position once.
    exact
        Sum in blocks, O(n^2 d) time and O(n d) memory; else the parabola, O(n d^2).
    """
    u, n = unit_rows(z), len(z)
    if exact:
        total = u.new_zeros(())
        for start in range(0, n, _BLOCK):
            total = total + cast(
                "Tensor", checkpoint(_block_sum, u[start : start + _BLOCK], u, use_reentrant=False)
            )
        # The diagonal was summed as sigmoid(|u_i|^2)^2 and is sigmoid(0)^2.
        total = total - torch.sigmoid(u.square().sum(dim=1)).square().sum() + 0.25 * n
    else:
        lengths = u.square().sum(dim=1)
        first = u.sum(dim=0).square().sum() - lengths.sum()
        second = (u.T @ u).square().sum() - lengths.square().sum()
        total = _FIT[0] * n * (n - 1) + _FIT[1] * first + _FIT[2] * second + 0.25 * n
    cosine = (u[row] * u[column]).sum(dim=1) * (row != column)
    linked = (weight * torch.sigmoid(cosine)).sum()
    return (total - 2 * linked + weight.square().sum()) / n**2


def _block_sum(rows: Tensor, u: Tensor) -> Tensor:
    return torch.sigmoid(rows @ u.T).square().sum()


def prototype_loss(
    z: Tensor, prototypes: Tensor, codes: Tensor, weights: Tensor, temperature: float
) -> Tensor:
    """Weighted mean of ``-log softmax_k(z_i . c_k / temperature)`` at each spot's own prototype.

    The prototype form of InfoNCE (Li et al., Prototypical contrastive learning, ICLR 2021).

    Parameters
    ----------
    z
        (n, d), brought to unit length.
    prototypes
        (k, d), brought to unit length.
    codes
        (n,) int64, the prototype of each spot.
    weights
        (n,) how much a spot counts; all 0 gives a loss of 0.
    temperature
        Smaller is stricter.
    """
    logits = unit_rows(z) @ unit_rows(prototypes).T / temperature
    each = F.cross_entropy(logits, codes, reduction="none")
    return (weights * each).sum() / weights.sum().clamp_min(1e-12)
