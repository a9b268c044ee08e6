"""CPU time per epoch against a straightforward PyG implementation of the same equations.

    python benchmarks/speed.py [--epochs 20] [--preset paper recommended]

Both run in this process on one thread, on the same inputs: the reference uses full-batch
`GCNConv` layers and scores all masked links and as many random pairs, as in the published
description. Prints CPU milliseconds per epoch and their ratio.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

import napari_stmask as stm
from napari_stmask.core.progress import drain
from napari_stmask.features.graph import knn_graph, normalised_adjacency
from napari_stmask.models.expression_input import prepare
from napari_stmask.models.spamask.method import masking_of
from napari_stmask.models.spamask.params import SpaMaskParams
from napari_stmask.nn.device import cpu_threads
from napari_stmask.nn.dual_mask import DualMaskObjective
from napari_stmask.nn.graph_autoencoder import DualMaskNet
from napari_stmask.nn.losses import scaled_cosine_error
from napari_stmask.nn.tiles import Tile
from sections import labelled_sections


class Reference(nn.Module):
    """The network of the paper, written with PyG's layers."""

    def __init__(self, d: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.first, self.second = GCNConv(d, hidden), GCNConv(hidden, latent)
        self.norms = nn.ModuleList([nn.BatchNorm1d(hidden), nn.BatchNorm1d(latent)])
        self.act = nn.PReLU()
        self.bridge = nn.Linear(latent, latent, bias=False)
        self.out = GCNConv(latent, d)
        self.token = nn.Parameter(torch.zeros(1, d))
        self.scorer = nn.Sequential(
            nn.Dropout(0.5), nn.Linear(latent, 2 * latent), nn.ReLU(), nn.Linear(2 * latent, 1)
        )

    def encode(self, x: Tensor, edges: Tensor) -> Tensor:
        """Latent of all spots."""
        x = self.act(self.norms[0](self.first(x, edges)))
        return self.act(self.norms[1](self.second(x, edges)))

    def loss(self, x: Tensor, edges: Tensor, p: SpaMaskParams) -> Tensor:
        """Both losses for fresh masks, all pairs scored."""
        n = len(x)
        hidden = torch.randperm(n)[: int(p.node_mask_rate * n)]
        masked = x.clone()
        masked[hidden] = self.token
        code = self.bridge(self.encode(masked, edges))
        code[hidden] = 0
        feature = scaled_cosine_error(x[hidden], self.out(code, edges)[hidden], p.alpha)
        once = edges[:, edges[0] < edges[1]]
        drop = torch.rand(once.shape[1]) < p.edge_mask_rate
        kept, positive = once[:, ~drop], once[:, drop]
        latent = self.encode(x, torch.cat([kept, kept.flip(0)], dim=1))
        negative = torch.randint(n, positive.shape)
        pos, neg = (self.scorer(latent[a] * latent[b]) for a, b in (positive, negative))
        return feature + p.link_weight * (F.softplus(-pos).mean() + F.softplus(neg).mean())


def per_epoch(step, epochs: int) -> float:
    step()
    start = time.process_time()
    for _ in range(epochs):
        step()
    return 1000 * (time.process_time() - start) / epochs


def optimised(net: nn.Module, loss, p: SpaMaskParams):
    optimiser = torch.optim.Adam(net.parameters(), lr=p.learning_rate, weight_decay=p.weight_decay)

    def step() -> None:
        value = loss()
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), p.clip)
        optimiser.step()

    return step


def compare(section: stm.Section, preset: str, epochs: int) -> str:
    """One line: milliseconds per epoch of both, and their ratio."""
    p = stm.params("spamask", platform=section.platform, preset=preset)
    assert isinstance(p, SpaMaskParams)
    x = drain(prepare(section, p)).x
    graph = knn_graph(section.coords, p.neighbours)
    rng = np.random.default_rng(0)
    whole = DualMaskObjective(
        [x],
        graph,
        normalised_adjacency(graph),
        Tile(np.arange(len(x)), len(x)),
        masking_of(p),
        held_out=np.arange(0),
        device=torch.device("cpu"),
    )
    net = DualMaskNet([x.shape[1]], p.hidden, p.latent, generator=torch.Generator())
    reference = Reference(x.shape[1], p.hidden, p.latent)
    edges, features = torch.from_numpy(np.stack(graph.nonzero())).long(), torch.from_numpy(x)
    with cpu_threads(1):
        ours = per_epoch(optimised(net, lambda: whole.losses(net, rng)[0], p), epochs)
        theirs = per_epoch(
            optimised(reference, lambda: reference.loss(features, edges, p), p), epochs
        )
    size = f"{p.hidden}/{p.latent}, {x.shape[1]} inputs, {graph.nnz // 2} links"
    times = f"{ours:.1f} ms per epoch, PyG {theirs:.1f} ms, ratio {ours / theirs:.3f}"
    return f"{preset:12s} {size}: {times}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--preset", nargs="+", default=["paper", "recommended"])
    options = parser.parse_args()
    section, _ = labelled_sections(["151673"])["151673"]
    for preset in options.preset:
        print(compare(section, preset, options.epochs))


if __name__ == "__main__":
    main()
