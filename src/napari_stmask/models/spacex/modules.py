"""Gene modules in the space of the vectors: the mixture of the paper, the kernel of the release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from ...nn.self_training import t_kernel
from ...nn.t_mixture import Prior, TMixture
from .params import SpaCEXParams

__all__ = [
    "Kernel",
    "Modules",
    "in_order",
    "modules_from",
    "prior_of",
    "start_labels",
    "tensors_of",
]

_KMEANS_STARTS = 10
_STRENGTH = 100.0
"""Genes' worth of belief in the spread that k-means finds."""


@dataclass(frozen=True)
class Kernel:
    """Centres alone: ``q ~ (1 + |z - c|^2 / alpha)^(-(alpha + 1) / 2)``.

    Attributes
    ----------
    centres
        (K, d).
    alpha
        () degrees of freedom.
    """

    centres: Tensor
    alpha: Tensor

    def log_posterior(self, z: Tensor) -> Tensor:
        """(n, K) logarithms; gradients reach ``z`` and the centres."""
        q = t_kernel(z, self.centres.to(z.dtype), float(self.alpha))
        return q.clamp_min(torch.finfo(q.dtype).tiny).log()


Modules: TypeAlias = TMixture | Kernel


def start_labels(z: NDArray[np.float32], n_modules: int, seed: int) -> NDArray[np.int64]:
    """(n_genes,) k-means labels, on one thread so that a seed gives one answer."""
    with threadpool_limits(1):
        means = KMeans(n_modules, n_init=_KMEANS_STARTS, random_state=seed).fit(z)
    return np.asarray(means.labels_, dtype=np.int64)


def prior_of(z: Tensor, labels: Tensor, n_modules: int, params: SpaCEXParams) -> Prior:
    """What is believed of the spread of a module.

    ``"section"`` is the prior of the release, whose scale is that of all genes. A module is far
    narrower, so that genes of every pattern end in one broad component; ``"members"`` expects
    the mean spread around the centres of k-means, the same in every direction.
    """
    if params.prior == "section":
        return Prior.of(z, n_modules)
    z = z.double()
    d = z.shape[1]
    hard = torch.nn.functional.one_hot(labels, n_modules).double()
    centres = (hard.T @ z) / hard.sum(dim=0).clamp_min(1)[:, None]
    within = (z - centres[labels]).square().mean().clamp_min(1e-12)
    scale = torch.full((d,), float(within), dtype=torch.float64, device=z.device)
    return Prior(1.0, 0.0, z.mean(dim=0), scale * (_STRENGTH + d + 2), _STRENGTH)


def tensors_of(modules: Modules) -> dict[str, Tensor]:
    """What the modules consist of, by name."""
    return {f.name: getattr(modules, f.name).detach().cpu() for f in fields(modules)}


def modules_from(tensors: Mapping[str, Tensor]) -> Modules:
    """Modules from `tensors_of`.

    Raises
    ------
    KeyError
        If a tensor is missing.
    """
    kind = Kernel if "centres" in tensors else TMixture
    return kind(**{f.name: tensors[f.name] for f in fields(kind)})


def in_order(modules: Modules, order: NDArray[np.intp]) -> Modules:
    """The modules at ``order``, which may leave some out; weights sum to 1 again."""
    place = torch.from_numpy(np.ascontiguousarray(order))
    parts = tensors_of(modules)
    # All tensors but alpha have a row for each module.
    parts = {k: v[place] if v.ndim else v for k, v in parts.items()}
    if "weight" in parts:
        parts["weight"] = parts["weight"] / parts["weight"].sum()
    return modules_from(parts)
