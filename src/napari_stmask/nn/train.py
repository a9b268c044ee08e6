"""The one training loop.

A method supplies its batches and the losses of a batch; the loop owns the optimiser, clipping,
early stop, history and cancellation. It is a generator: closing it stops the training before
the next optimiser step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..core.errors import DataError, ParameterError, ResourceError
from ..core.progress import Progress, Steps
from .device import release

__all__ = ["Optimisation", "retry_smaller", "train"]

T = TypeVar("T")
B = TypeVar("B")
_SILENCE = 0.4
"""Longest time, in seconds, that the loop lets pass without an event."""


@dataclass(frozen=True)
class Optimisation:
    """How to optimise.

    Attributes
    ----------
    epochs
        Passes over all batches at most.
    lr, weight_decay
        Adam's learning rate and L2 penalty.
    decoupled
        Take the penalty off the weights (AdamW) instead of adding it to the gradient.
    fused
        Step over all weights in one kernel: for networks whose step is mostly the optimiser's.
    clip
        Largest global gradient norm; 0 switches clipping off.
    patience
        Epochs without a better ``monitor`` value after which training ends; 0 never.
    """

    epochs: int
    lr: float = 1e-3
    weight_decay: float = 0.0
    clip: float = 5.0
    patience: int = 0
    decoupled: bool = False
    fused: bool = False


def train(
    model: nn.Module,
    batches: Callable[[int], Iterable[B]],
    losses: Callable[[B], tuple[Tensor, Mapping[str, Tensor]]],
    optimisation: Optimisation,
    *,
    monitor: Callable[[], float] | None = None,
    after_epoch: Callable[[int], Steps[None]] | None = None,
    stop: Callable[[], bool] | None = None,
    label: str = "training",
    offset: int = 0,
    total: int | None = None,
) -> Steps[dict[str, list[float]]]:
    """Minimise ``losses`` over ``batches`` with Adam.

    Parameters
    ----------
    model
        Put into training mode before each epoch.
    batches
        Epoch number (from 0) to the batches of that epoch.
    losses
        A batch to the scalar that is minimised and the named terms to record.
    optimisation
        Step sizes and stopping.
    monitor
        Label-free quantity to keep low, evaluated once an epoch when ``patience`` is set. The
        weights of its best epoch are restored at the end.
    after_epoch
        Steps to run between epochs, from the number of finished ones.
    stop
        Asked after these; True ends the training.
    label, offset, total
        How the events count, where a run trains several models in a row.

    Returns
    -------
    dict
        Term -> mean over the steps of each epoch that had it.

    Raises
    ------
    DataError
        If the loss stops being finite.
    ParameterError
        If the loss depends on nothing that is trained.
    """
    form = torch.optim.AdamW if optimisation.decoupled else torch.optim.Adam
    opt = form(
        model.parameters(),
        lr=optimisation.lr,
        weight_decay=optimisation.weight_decay,
        fused=optimisation.fused or None,
    )
    history: dict[str, list[float]] = {}
    means: dict[str, float] = {}
    best, best_epoch, best_state = math.inf, 0, None
    total = total or optimisation.epochs
    for epoch in range(optimisation.epochs):
        model.train()
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        said = time.monotonic()
        for batch in batches(epoch):
            terms = _step(model, opt, losses, batch, optimisation.clip)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
                counts[name] = counts.get(name, 0) + 1
            if time.monotonic() - said > _SILENCE:
                said = time.monotonic()
                yield Progress(offset + epoch, total, label)
        # A term that no step of this epoch had: its curve goes on level.
        means |= {name: value / counts[name] for name, value in sums.items()}
        if not all(map(math.isfinite, means.values())):
            raise DataError(
                f"the loss is no longer finite in epoch {epoch + 1}",
                "lower the learning rate, or check the matrix for extreme values",
            )
        for name, value in means.items():
            history.setdefault(name, []).append(value)
        if after_epoch is not None:
            yield from after_epoch(epoch + 1)
        yield Progress(offset + epoch + 1, total, label, dict(means))
        if stop is not None and stop():
            break
        if monitor is not None and optimisation.patience:
            value = monitor()
            history.setdefault("monitor", []).append(value)
            if value < best:
                best, best_epoch = value, epoch
                best_state = {k: v.detach().clone() for k, v in model.state_dict().items()}
            elif epoch - best_epoch >= optimisation.patience:
                break
    if best_state is not None:
        model.load_state_dict(best_state)
    return history


def _step(
    model: nn.Module,
    opt: torch.optim.Optimizer,
    losses: Callable[[B], tuple[Tensor, Mapping[str, Tensor]]],
    batch: B,
    clip: float,
) -> dict[str, float]:
    """One optimiser step; the values of its loss terms."""
    loss, terms = losses(batch)
    if not loss.requires_grad:
        raise ParameterError(
            "there is nothing to learn from: each loss has weight 0 or nothing to act on",
            "give another loss a weight above 0",
        )
    opt.zero_grad(set_to_none=True)
    loss.backward()
    if clip > 0:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    opt.step()
    return {name: float(value.detach()) for name, value in terms.items()}


def retry_smaller(
    attempt: Callable[[int], Steps[T]], size: int, *, device: torch.device, tries: int = 4
) -> Steps[T]:
    """Run ``attempt(size)``; when the device is out of memory, again with half the tile size.

    Raises
    ------
    ResourceError
        If the smallest tiles do not fit either.
    """
    sizes: Sequence[int] = [max(1, size >> i) for i in range(tries)]
    for smaller in sizes:
        try:
            return (yield from attempt(smaller))
        except torch.OutOfMemoryError:
            release(device)
            yield Progress(
                0, 0, "training", message=f"Memory is short: tiles of {smaller // 2} spots."
            )
        finally:
            release(device)
    raise ResourceError(
        f"{device} runs out of memory even with tiles of {sizes[-1]} spots",
        "use device='cpu' or close other programs",
    )
