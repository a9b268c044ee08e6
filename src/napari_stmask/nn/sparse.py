"""Sparse propagation over a symmetric graph, deterministic on the CPU.

The gradient of ``A x`` is ``A^T g``: a CSR copy of the transpose is kept, so that no scatter with
its unordered sums is needed. A symmetric matrix serves as its own.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

__all__ = ["Operator", "propagate", "torch_csr"]


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


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, x: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.transposed @ grads[0].contiguous()


@dataclass(frozen=True)
class Operator:
    """A fixed sparse matrix that multiplies, and its transpose for the gradient.

    Attributes
    ----------
    matrix, transposed
        (m, n) and (n, m) sparse CSR.
    """

    matrix: Tensor
    transposed: Tensor

    @classmethod
    def of(cls, matrix: sp.csr_matrix, device: torch.device | str = "cpu") -> Self:
        """Copy a scipy matrix to the device."""
        return cls(torch_csr(matrix, device), torch_csr(matrix.T.tocsr(), device))

    def __matmul__(self, x: Tensor) -> Tensor:
        """``matrix @ x``, (m, d) from (n, d) dense."""
        if x.requires_grad:
            return _Product.apply(self.matrix, self.transposed, x)  # type: ignore[no-any-return, no-untyped-call]
        return self.matrix @ x


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
    return Operator(adjacency, adjacency) @ x
