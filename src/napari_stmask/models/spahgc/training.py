"""Training of one network of SpaHGC on the references, each in turn the target of the others."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.progress import Progress, Steps
from ...nn.agreement import agreement, complementary, correlation_loss, follow
from ...nn.heterogeneous import HeteroNet, Linked
from ...nn.tiles import split_into_tiles
from ...nn.train import Optimisation, train
from .graph import linked, near_graph
from .inputs import Side
from .params import SpaHGCParams

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

__all__ = ["Batch", "Task", "Tensors", "new_net", "predict_steps", "train_net"]

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Tensors:
    """Features and expression of all references, and features of one target, on the device."""

    target: Tensor
    reference: Tensor
    expression: Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Targets that are trained together, with the references that they are linked to.

    Attributes
    ----------
    targets
        (n,) rows of the section, its own ``n_core`` first, then the halo.
    references
        (m,) rows of the pool.
    graph
        How they are linked.
    n_core
        Targets whose error counts.
    """

    targets: Tensor
    references: Tensor
    graph: Linked
    n_core: int


@dataclass(frozen=True, eq=False)
class Task:
    """A reference section in the role of the target.

    Attributes
    ----------
    tensors
        What the network sees.
    measured
        (n, n_genes) what it should say.
    part
        (n,) code of the part of each spot; one of them is left out by each network.
    whole
        All spots at once, for predictions.
    batches
        Spots that are trained together.
    """

    tensors: Tensors
    measured: Tensor
    part: NDArray[np.intp]
    whole: Batch
    batches: Sequence[Batch]


def batches_of(
    data: HeteroData, side: Side, params: SpaHGCParams, device: torch.device
) -> list[Batch]:
    """The section in compact pieces of at most ``batch_spots``, with as many rings as layers."""
    tiles = split_into_tiles(
        side.coords, near_graph(side, params), size=params.batch_spots, hops=params.layers
    )
    rows = data["reference"].row
    if len(tiles) == 1:
        return [Batch(_all(len(side)), rows, linked(data, device), len(side))]
    refers = data["reference", "refers", "target"].edge_index
    out = []
    for tile in tiles:
        targets = torch.from_numpy(tile.index)
        wanted = torch.zeros(len(side), dtype=torch.bool)
        wanted[targets] = True
        used = torch.unique(refers[0, wanted[refers[1]]])
        part = data.subgraph({"target": targets, "reference": used})
        out.append(Batch(targets, rows[used], linked(part, device), tile.n_core))
    return out


def whole_batch(data: HeteroData, device: torch.device) -> Batch:
    """All targets of a graph."""
    n = int(data["target"].num_nodes)
    return Batch(_all(n), data["reference"].row, linked(data, device), n)


def _all(n: int) -> Tensor:
    return torch.arange(n)


def new_net(
    d_image: int, n_genes: int, params: SpaHGCParams, generator: torch.Generator
) -> HeteroNet:
    """An untrained network."""
    return HeteroNet(
        d_image,
        n_genes,
        n_genes,
        hidden=params.hidden,
        layers=params.layers,
        heads=params.heads,
        dropout=params.dropout,
        generator=generator,
    )


class _Objective:
    """What a step of training minimises; the second encoder follows from step to step."""

    def __init__(
        self, net: HeteroNet, params: SpaHGCParams, generator: torch.Generator, seed: list[int]
    ) -> None:
        self.net, self.params, self.generator = net, params, generator
        self.rng = np.random.default_rng(seed)
        self.agrees = params.loss_agreement_target > 0 or params.loss_agreement_reference > 0
        # Follows by its own copy of the weights, unless it is the same encoder (momentum 0).
        self.second = copy.deepcopy(net).requires_grad_(requires_grad=False).eval()
        self.clean_share = params.clean_share if params.mode == "improved" else 0.0

    def __call__(self, one: tuple[Task, Batch, Tensor]) -> tuple[Tensor, Mapping[str, Tensor]]:
        task, batch, rows = one
        t, p, net = task.tensors, self.params, self.net
        x = t.target[batch.targets]
        z, y = t.reference[batch.references], t.expression[batch.references]
        if self.agrees:
            follow(self.second, net, p.momentum)
        if self.rng.random() < self.clean_share:
            states, other = net.encode(x, z, y, batch.graph, self.generator), None
        else:
            x1, x2 = complementary(x, p.mask_target, self.generator)
            z1, z2 = complementary(z, p.mask_reference, self.generator)
            y1, y2 = complementary(y, p.mask_reference, self.generator)
            states = net.encode(x1, z1, y1, batch.graph, self.generator)
            other = None
            if self.agrees:
                with torch.no_grad():
                    other = self.second.encode(x2, z2, y2, batch.graph)
        predicted = net.decode(states, batch.graph)[0][rows]
        measured = task.measured[batch.targets[rows]]
        error = (predicted - measured).square().mean()
        terms = {"error": error, "correlation": correlation_loss(predicted, measured)}
        loss = error + p.loss_correlation * terms["correlation"]
        if other is not None:
            terms["agreement"] = agreement(states.target, other.target)
            terms["agreement of references"] = agreement(states.reference, other.reference)
            loss = (
                loss
                + p.loss_agreement_target * terms["agreement"]
                + p.loss_agreement_reference * terms["agreement of references"]
            )
        return loss, terms


def train_net(
    tasks: Sequence[Task],
    params: SpaHGCParams,
    number: int,
    device: torch.device,
    *,
    without: int | None,
    total: int,
) -> Steps[tuple[HeteroNet, dict[str, list[float]]]]:
    """Train a network on all tasks.

    Parameters
    ----------
    tasks
        The references, each with those that it may learn from.
    params
        Settings.
    number, total
        Which of how many networks this is.
    device
        Where.
    without
        Part of the spots whose error does not count; None for all count.
    """
    generator = torch.Generator().manual_seed(params.seed * 1000 + number)
    first = tasks[0]
    net = new_net(first.tensors.target.shape[1], first.measured.shape[1], params, generator).to(
        device
    )
    work = [
        (task, batch, rows)
        for task in tasks
        for batch in task.batches
        if len(rows := _counted(task, batch, without)) > 1
    ]
    rng = np.random.default_rng([params.seed, number])
    history = yield from train(
        net,
        lambda _: (work[i] for i in rng.permutation(len(work))),
        _Objective(net, params, generator, [params.seed, number, 1]),
        Optimisation(
            params.epochs, params.learning_rate, params.weight_decay, clip=0.0, decoupled=True
        ),
        offset=number * params.epochs,
        total=total * params.epochs,
    )
    return net.eval(), history


def _counted(task: Task, batch: Batch, without: int | None) -> Tensor:
    """Places in the batch whose error counts."""
    rows = torch.arange(batch.n_core)
    if without is None:
        return rows
    part = torch.from_numpy(task.part)[batch.targets[: batch.n_core]]
    return rows[part != without]


@torch.no_grad()
def predict_steps(
    net: HeteroNet, tensors: Tensors, batch: Batch
) -> Steps[tuple[Float, Float, Float]]:
    """Prediction (n, n_genes), pooled state (n, hidden) and weights (n, links) of all targets.

    One event for each layer.
    """
    x = tensors.target[batch.targets]
    z, y = tensors.reference[batch.references], tensors.expression[batch.references]
    for state in net.encoding(x, z, y, batch.graph):
        states = state
        yield Progress(0, 0, "predicting")
    predicted, pooled, weights = net.decode(states, batch.graph)
    return (
        predicted.cpu().numpy(),
        pooled.cpu().numpy(),
        weights.mean(dim=2).cpu().numpy(),
    )
