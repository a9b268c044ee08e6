"""Self-training of a linear map over the tissue: what SpaGCN does after its first clustering.

Hu et al., SpaGCN, Nature Methods 18, 1342 (2021). ``Z = K (X W) + b`` with a spatial kernel ``K``
and principal components ``X``; ``W``, ``b`` and the domains' centres learn to make soft
assignments sharper.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.errors import DataError, ParameterError
from ..core.progress import Progress, Steps
from .layers import linear
from .self_training import kl, sharpen, t_kernel

__all__ = ["deep_clustering_steps"]

ALPHA = 0.2
"""SpaGCN's degrees of freedom."""
RENEW = 3
"""Epochs between two targets."""
_SILENCE = 0.4


def deep_clustering_steps(
    x: NDArray[np.floating[Any]],
    kernel: sp.csr_matrix,
    labels: NDArray[np.integer[Any]],
    *,
    epochs: int = 200,
    lr: float = 0.05,
    tol: float = 5e-3,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Steps[NDArray[np.float32]]:
    """Sharpen given domains and return the representation that they are sharp in.

    Parameters
    ----------
    x
        (n_spots, d) principal components.
    kernel
        (n_spots, n_spots) spatial kernel with its diagonal.
    labels
        (n_spots,) domains to start from, 0 .. k - 1, each with a spot.
    epochs
        Most passes.
    lr
        Adam's learning rate.
    tol
        Share of spots that may change their domain between two targets when training ends.
    seed
        Of the weights at the start.
    device
        Where to compute.

    Returns
    -------
    numpy.ndarray
        (n_spots, d) float32 representation ``Z``.

    Raises
    ------
    ParameterError
        If shapes do not fit, there are fewer than two domains, or one has no spot.
    DataError
        If the loss stops being finite.
    """
    codes = _checked(x, kernel, labels)
    # K (X W) = (K X) W: the product over the tissue is needed once.
    smooth = torch.from_numpy(np.asarray(kernel @ x, dtype=np.float32)).to(device)
    layer = linear(
        x.shape[1], x.shape[1], torch.Generator().manual_seed(seed), random_bias=True
    ).to(device)
    now = torch.from_numpy(codes).to(device)
    with torch.no_grad():
        centres = _means(layer(smooth), now).requires_grad_()
    opt = torch.optim.Adam([*layer.parameters(), centres], lr=lr)
    target, said = torch.empty(0), time.monotonic()
    for epoch in range(epochs):
        q = _assignment(layer(smooth), centres)
        if epoch % RENEW == 0:
            target, before, now = sharpen(q), now, q.detach().argmax(dim=1)
            if epoch and float((now != before).float().mean()) < tol:
                break
        loss = kl(target, q)
        if not torch.isfinite(loss):
            raise DataError(
                f"the loss is no longer finite in epoch {epoch + 1}", "lower the learning rate"
            )
        opt.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        opt.step()
        if epoch == 0 or time.monotonic() - said > _SILENCE:
            said = time.monotonic()
            yield Progress(epoch + 1, epochs, "sharpening domains", {"kl": float(loss.detach())})
    with torch.no_grad():
        return np.asarray(layer(smooth).cpu().numpy(), dtype=np.float32)


def _assignment(z: Tensor, centres: Tensor) -> Tensor:
    """SpaGCN's exponent is ``-(alpha + 1)``, twice that of the t kernel."""
    square = t_kernel(z, centres, ALPHA).pow(2)
    return square / square.sum(dim=1, keepdim=True)


def _means(z: Tensor, codes: Tensor) -> Tensor:
    """(k, d) mean of each domain."""
    member = torch.nn.functional.one_hot(codes).to(z.dtype)
    return member.T @ z / member.sum(dim=0)[:, None]


def _checked(x: NDArray[Any], kernel: sp.csr_matrix, labels: NDArray[Any]) -> NDArray[np.int64]:
    codes = np.asarray(labels, dtype=np.int64)
    if x.ndim != 2 or kernel.shape != (len(x), len(x)) or codes.shape != (len(x),):
        raise ParameterError(
            f"features have shape {x.shape}, the kernel {kernel.shape}, labels {codes.shape}",
            "give one row of each for every spot",
        )
    if codes.min(initial=0) < 0 or np.unique(codes).size != codes.max(initial=0) + 1:
        raise ParameterError(
            "a spot has no domain or a domain has no spot", "number domains 0, 1, 2, ..."
        )
    if codes.max(initial=0) < 1:
        raise ParameterError("there is only one domain", "start from at least two")
    return codes
