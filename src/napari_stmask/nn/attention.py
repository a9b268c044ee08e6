"""Attention between all spots of a section without an N x N matrix.

Two forms of one formula: exact, by torch's fused kernel, whose memory grows with N only; and with
the keys gathered into groups, each counted as often as it has members, whose time does too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from .sparse import Operator

__all__ = ["Landmarks", "attend", "landmarks_of"]


@dataclass(frozen=True)
class Landmarks:
    """Groups of spots that stand for their members as keys and values.

    Attributes
    ----------
    mean
        (n_groups, n_spots), each row the mean over a group.
    log_size
        (n_groups,) float32.
    """

    mean: Operator
    log_size: Tensor


def landmarks_of(
    points: NDArray[np.float32], count: int, *, seed: int, device: torch.device
) -> Landmarks:
    """Group spots that lie close together in ``points`` by k-means.

    Parameters
    ----------
    points
        (n_spots, d), fixed over the training.
    count
        Groups wanted; empty ones are left out.
    seed
        Of the starts.
    device
        Where the groups are used.
    """
    n = len(points)
    count = min(count, n)
    if count == n:
        codes = np.arange(n)
    else:
        model = MiniBatchKMeans(count, n_init=1, batch_size=4096, random_state=seed)
        codes = np.unique(model.fit_predict(points), return_inverse=True)[1]
    size = np.bincount(codes)
    weights = (1.0 / size)[codes].astype(np.float32)
    mean = sp.csr_matrix((weights, (codes, np.arange(n))), shape=(len(size), n))
    return Landmarks(
        Operator.of(mean, device), torch.from_numpy(np.log(size).astype(np.float32)).to(device)
    )


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, scale: Tensor | float, log_size: Tensor | None
) -> Tensor:
    """``softmax(scale * Q K^T + log_size) V`` in memory linear in the number of rows.

    Parameters
    ----------
    queries, keys, values
        (n, d), (m, d), (m, d_v).
    scale
        Factor of the logits.
    log_size
        (m,) logarithm of how many spots each key stands for; None where each is one. Enters as
        a further coordinate, since the fused kernel without a mask is the faster one.

    Returns
    -------
    torch.Tensor
        (n, d_v). Equal to attention over all n spots where the keys of a group coincide.
    """
    q = queries * scale
    if log_size is not None:
        q = torch.cat([q, q.new_ones(len(q), 1)], dim=1)
        keys = torch.cat([keys, log_size[:, None]], dim=1)
    # The kernel wants keys and values of one width.
    d, width = q.shape[1], values.shape[1]
    if width < d:
        values = F.pad(values, (0, d - width))
    out = F.scaled_dot_product_attention(
        q[None, None], keys[None, None], values[None, None], scale=1
    )
    return out[0, 0, :, :width]
