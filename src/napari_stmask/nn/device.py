"""Which device computes, and how many CPU threads it may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from ..core.errors import ResourceError
from ..core.progress import Steps

T = TypeVar("T")

__all__ = ["choose_device", "cpu_threads", "in_threads", "release"]


def _usable(name: str) -> bool:
    """Whether sparse products, which every method needs, work on the device."""
    try:
        eye = torch.eye(2).to_sparse_csr().to(name)
        return bool(torch.isfinite(eye @ torch.ones(2, 2, device=name)).all())
    except (RuntimeError, NotImplementedError, AssertionError):
        return False


def choose_device(name: str = "auto") -> torch.device:
    """The torch device for ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    ``"auto"`` takes CUDA, then Apple's MPS, then the CPU; a device counts only if it can
    multiply sparse matrices.

    Raises
    ------
    ResourceError
        If a device was asked for by name and cannot be used.
    """
    if name == "cpu":
        return torch.device("cpu")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        found = next((d for d, here in present.items() if here and _usable(d)), "cpu")
        return torch.device(found)
    if not (present[name] and _usable(name)):
        raise ResourceError(
            f"device '{name}' was asked for but cannot be used on this computer",
            "use device='auto' or 'cpu'",
        )
    return torch.device(name)


@contextmanager
def cpu_threads(count: int) -> Iterator[int]:
    """Use ``count`` CPU threads inside the block and restore the former number after it.

    ``count`` 0 takes all cores but one, so that a window stays responsive.
    """
    before = torch.get_num_threads()
    wanted = count or max(1, (os.cpu_count() or 2) - 1)
    torch.set_num_threads(wanted)
    try:
        yield wanted
    finally:
        torch.set_num_threads(before)


def in_threads(steps: Steps[T], count: int) -> Steps[T]:
    """``steps`` with ``count`` CPU threads in each step and the caller's number between them."""
    try:
        while True:
            with cpu_threads(count):
                try:
                    event = next(steps)
                except StopIteration as stop:
                    return stop.value  # type: ignore[no-any-return]
            yield event
    finally:
        steps.close()


def release(device: torch.device) -> None:
    """Give cached memory of a GPU back to the system."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
