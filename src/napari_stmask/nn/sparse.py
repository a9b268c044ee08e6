"""Sparse propagation over a symmetric graph, deterministic on the CPU.

One CSR product serves forward and backward: for a symmetric matrix the gradient of ``A x`` is
``A g``, so no transposed copy is kept and no scatter with its unordered sums is needed.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

__all__ = ["propagate", "torch_csr"]


@cache
def _accept_beta() -> None:
    """Hear torch's one remark that CSR tensors are in beta, so that no user has to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.eye(1).to_sparse_csr()


def torch_csr(matrix: sp.csr_matrix, device: torch.device | str = "cpu") -> Tensor:
    """Copy a scipy CSR matrix to a torch CSR tensor (float32 values)."""
    _accept_beta()
    # int32 indices are what MKL and cuSPARSE take without a conversion at every product.
    return torch.sparse_csr_tensor(
        torch.from_numpy(np.ascontiguousarray(matrix.indptr, dtype=np.int32)),
        torch.from_numpy(np.ascontiguousarray(matrix.indices, dtype=np.int32)),
        torch.from_numpy(np.ascontiguousarray(matrix.data, dtype=np.float32)),
        size=matrix.shape,
        check_invariants=False,
    ).to(device)


class _SymmetricProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, adjacency: Tensor, x: Tensor) -> Tensor:
        ctx.adjacency = adjacency
        return adjacency @ x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, ctx.adjacency @ grads[0].contiguous()


def propagate(adjacency: Tensor, x: Tensor) -> Tensor:
    """``adjacency @ x`` for a symmetric CSR ``adjacency``.

    Parameters
    ----------
    adjacency
        (n, n) sparse CSR, symmetric (not checked), no gradient.
    x
        (n, d) dense, same dtype.

    Returns
    -------
    torch.Tensor
        (n, d).
    """
    if x.requires_grad:
        return _SymmetricProduct.apply(adjacency, x)  # type: ignore[no-any-return, no-untyped-call]
    return adjacency @ x
