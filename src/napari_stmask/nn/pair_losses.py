"""Losses over all pairs of spots, computed without the pairs.

Each is a polynomial of cosines, so that sums over N x N pairs become norms of small d x d
products; what is no polynomial is summed in blocks of rows that are recomputed for the gradient.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import recomputed

__all__ = ["adjacency_loss", "consistency_loss", "prototype_loss", "unit_rows"]

_BLOCK, _LINKS = 1024, 16_384
_FIT = (0.250769, 0.238317, 0.054513)
"""Least-squares parabola of the squared logistic function on [-1, 1]; largest error 0.0092."""


def unit_rows(x: Tensor) -> Tensor:
    """Rows of length 1; a row of zeros stays."""
    return F.normalize(x, dim=1, eps=1e-12)


def consistency_loss(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference of the two modalities' cosines over all pairs of spots.

    Rows are centred over the spots and brought to length 1 (Q', P'); then
    ``mean_ij ((Q' Q'^T - P' P'^T)_ij)^2 = (|Q'^T Q'|^2 + |P'^T P'|^2 - 2 |Q'^T P'|^2) / n^2``.
    The consistency loss of MMSRL and stMMR (GigaScience, 2024) in its Gram form; as it is
    written where there are fewer spots than dimensions, since that is then the smaller table.

    Parameters
    ----------
    first, second
        (n, d) and (n, e).
    """
    q = unit_rows(first - first.mean(dim=0))
    p = unit_rows(second - second.mean(dim=0))
    n = len(q)
    if n < max(q.shape[1], p.shape[1]):
        return (q @ q.T - p @ p.T).square().mean()

    def square(a: Tensor, b: Tensor) -> Tensor:
        return (a.T @ b).square().sum()

    return (square(q, q) + square(p, p) - 2 * square(q, p)) / n**2


def adjacency_loss(
    z: Tensor, row: Tensor, column: Tensor, weight: Tensor, *, exact: bool = True
) -> Tensor:
    """``mean_ij (sigmoid(C_ij) - A_ij)^2`` with the cosines C of ``z``, their diagonal 0.

    The regularisation of the released MMSRL, ``sigmoid(C)^2`` over all pairs less a sum over
    the links. The former is summed in blocks of rows, or taken as a parabola in C, whose sums
    are norms.

    Parameters
    ----------
    z
        (n, d).
    row, column, weight
        (n_links,) entries of the adjacency A in any order, each position once.
    exact
        Sum in blocks, O(n^2 d) time and O(n d) memory; else the parabola, O(n d^2).
    """
    u, n = unit_rows(z), len(z)
    total = weight.square().sum() + 0.25 * n
    if exact:
        order = torch.argsort(row, stable=True)
        starts = torch.arange(0, n + _BLOCK, _BLOCK, device=row.device)
        ends = torch.searchsorted(row[order], starts).tolist()
        for i, start in enumerate(range(0, n, _BLOCK)):
            own = order[ends[i] : ends[i + 1]]
            links = row[own] - start, column[own], weight[own]
            total = total + recomputed(_block_sum, u[start : start + _BLOCK], u, start, *links)
        # The diagonal was summed as sigmoid(|u_i|^2)^2 and is sigmoid(0)^2.
        total = total - torch.sigmoid(u.square().sum(dim=1)).square().sum()
    else:
        lengths = u.square().sum(dim=1)
        first = u.sum(dim=0).square().sum() - lengths.sum()
        second = (u.T @ u).square().sum() - lengths.square().sum()
        total = total + _FIT[0] * n * (n - 1) + _FIT[1] * first + _FIT[2] * second
        for start in range(0, len(row), _LINKS):
            part = slice(start, start + _LINKS)
            total = total - 2 * recomputed(_link_sum, u, row[part], column[part], weight[part])
    return total / n**2


def _block_sum(
    rows: Tensor, u: Tensor, start: int, row: Tensor, column: Tensor, weight: Tensor
) -> Tensor:
    """``sum (s(C)^2 - 2 A s(C))`` over a block of rows, whose first is ``start``."""
    cosine = rows @ u.T
    linked = cosine[row, column] * (row + start != column)
    return torch.sigmoid(cosine).square().sum() - 2 * (weight * torch.sigmoid(linked)).sum()


def _link_sum(u: Tensor, row: Tensor, column: Tensor, weight: Tensor) -> Tensor:
    cosine = (u[row] * u[column]).sum(dim=1) * (row != column)
    return (weight * torch.sigmoid(cosine)).sum()


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
