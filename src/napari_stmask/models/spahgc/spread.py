"""How far predictions scatter: over networks, random masks and reference sections left out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.progress import Progress, Steps
from ...nn.agreement import complementary
from .graph import Pool, look_around
from .inputs import Side
from .state import SpaHGCState
from .training import Batch, Tensors, predict_steps, whole_batch

__all__ = ["spread_steps"]

Float = NDArray[np.float32]


def spread_steps(
    state: SpaHGCState, side: Side, pool: Pool, tensors: Tensors, draws: int, seed: int
) -> Steps[Float]:
    """Standard deviation of each predicted value over ``draws`` predictions, in scaled units.

    Each draw takes another network with the regression that belongs to it, hides features and
    genes as in training, and where there are several reference sections leaves one of them out.

    Returns
    -------
    numpy.ndarray
        (n, n_genes) float32.
    """
    params, device = state.params, tensors.target.device
    generator = torch.Generator().manual_seed(seed)
    codes, sizes = np.unique(pool.section, return_counts=True)
    # A section without which too few references remain stays in.
    spare = codes[len(pool.section) - sizes >= params.n_references]
    views: dict[int | None, tuple[Float, Batch]] = {}
    total = np.zeros((len(side), len(state.genes)))
    square = np.zeros_like(total)
    for draw in range(draws):
        yield Progress(draw, draws, "uncertainty")
        without = int(spare[draw % len(spare)]) if len(spare) else None
        if without not in views:
            around = yield from look_around(side, pool, params, without=without)
            views[without] = around.near, whole_batch(around.data, device)
        near, batch = views[without]
        i = draw % len(state.nets)
        hidden = Tensors(
            complementary(tensors.target, params.mask_target, generator)[0],
            complementary(tensors.reference, params.mask_reference, generator)[0],
            complementary(tensors.expression, params.mask_reference, generator)[0],
        )
        network, _, _ = yield from predict_steps(state.nets[i], hidden, batch)
        linear = state.ridges[i + 1].predict(side.features) if state.ridges else near
        value = state.head((linear, near, network)).astype(np.float64)
        total += value
        square += value**2
    mean = total / draws
    return np.sqrt(np.maximum(square / draws - mean**2, 0)).astype(np.float32)
