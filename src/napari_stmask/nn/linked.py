"""Sums over the links of a fixed graph whose gradient is a gather, and the other way round.

A gather's gradient adds up what comes back along equal indices. Done by a scatter these sums have
no fixed order; here they are products with a sparse matrix of ones, which are deterministic on
the CPU and faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from .sparse import torch_csr

__all__ = ["Links"]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, incidence: Tensor) -> Tensor:
        ctx.incidence = incidence
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.incidence @ grads[0].contiguous(), None, None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, incidence: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        return incidence @ x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0].index_select(0, ctx.saved_tensors[0]), None, None


@dataclass(frozen=True)
class Links:
    """From each of n targets to k of m references, by position.

    Attributes
    ----------
    index
        (n * k,) int64: link ``i * k + j`` joins target ``i`` to reference ``index[i * k + j]``.
    incidence
        (m, n * k) sparse CSR of ones.
    k
        Links of a target.
    """

    index: Tensor
    incidence: Tensor
    k: int

    @classmethod
    def of(cls, index: np.ndarray, n_references: int, device: torch.device | str = "cpu") -> Self:
        """Links from an (n, k) table of rows of the references.

        Raises
        ------
        IndexError
            If a row is not below ``n_references``.
        """
        n, k = index.shape
        flat = np.ascontiguousarray(index, dtype=np.int64).ravel()
        if flat.size and (flat.min() < 0 or flat.max() >= n_references):
            raise IndexError(f"links reach beyond {n_references} references")
        incidence = sp.csr_matrix(
            (np.ones(n * k, np.float32), (flat, np.arange(n * k))), shape=(n_references, n * k)
        )
        return cls(torch.from_numpy(flat).to(device), torch_csr(incidence, device), k)

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return len(self.index) // self.k

    @property
    def n_references(self) -> int:
        """Number of references."""
        return int(self.incidence.shape[0])

    def gather(self, x: Tensor) -> Tensor:
        """(n * k, d): for each link the row of its reference, from (m, d)."""
        return _Gather.apply(x, self.index, self.incidence)  # type: ignore[no-any-return, no-untyped-call]

    def sum(self, x: Tensor) -> Tensor:
        """(m, d): for each reference the sum over its links, from (n * k, d); 0 without links."""
        return _Sum.apply(x, self.index, self.incidence)  # type: ignore[no-any-return, no-untyped-call]

    def softmax(self, logits: Tensor) -> Tensor:
        """Softmax over the links of each reference, from and to (n * k, h)."""
        with torch.no_grad():
            rows = self.index[:, None].expand_as(logits)
            top = logits.new_full((self.n_references, logits.shape[1]), -torch.inf)
            top = top.scatter_reduce(0, rows, logits, "amax").index_select(0, self.index)
        share = (logits - top).exp()
        return share / self.gather(self.sum(share))
