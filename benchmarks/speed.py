"""CPU time per epoch against a straightforward PyG implementation of the same equations.

    python benchmarks/speed.py [--epochs 20] [--methods spamask vimst]
                               [--preset paper recommended] [--runs]

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
from napari_stmask.models.spamask.method import masking_of as spamask_masking
from napari_stmask.models.vimst.method import masking_of as vimst_masking
from napari_stmask.models.vimst.params import ViMSTParams
from napari_stmask.nn.device import cpu_threads
from napari_stmask.nn.dual_mask import DualMaskObjective, Masking
from napari_stmask.nn.graph_autoencoder import DualMaskNet
from napari_stmask.nn.losses import scaled_cosine_error
from napari_stmask.nn.tiles import Tile
from sections import labelled_sections


class Branch(nn.Module):
    """Encoder and decoder of one modality, written with PyG's layers."""

    def __init__(self, d: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.first, self.second = GCNConv(d, hidden), GCNConv(hidden, latent)
        self.norms = nn.ModuleList([nn.BatchNorm1d(hidden), nn.BatchNorm1d(latent)])
        self.act = nn.PReLU()
        self.bridge = nn.Linear(latent, latent, bias=False)
        self.out = GCNConv(latent, d)
        self.token = nn.Parameter(torch.zeros(1, d))

    def encode(self, x: Tensor, edges: Tensor) -> Tensor:
        """Latent of all spots."""
        x = self.act(self.norms[0](self.first(x, edges)))
        return self.act(self.norms[1](self.second(x, edges)))

    def loss(self, x: Tensor, edges: Tensor, rate: float, alpha: float) -> Tensor:
        """Reconstruction of hidden spots."""
        hidden = torch.randperm(len(x))[: int(rate * len(x))]
        masked = x.clone()
        masked[hidden] = self.token
        code = self.bridge(self.encode(masked, edges))
        code[hidden] = 0
        return scaled_cosine_error(x[hidden], self.out(code, edges)[hidden], alpha)


class Reference(nn.Module):
    """The network of the papers: one branch (SpaMask) or two (ViMST), and the link decoder."""

    def __init__(self, widths: list[int], hidden: int, latent: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Branch(d, hidden, latent) for d in widths)
        self.scorer = nn.Sequential(
            nn.Dropout(0.5), nn.Linear(latent, 2 * latent), nn.ReLU(), nn.Linear(2 * latent, 1)
        )

    def loss(self, inputs: list[Tensor], edges: Tensor, m: Masking, mix: list[float]) -> Tensor:
        """All losses for fresh masks, all pairs scored."""
        total = sum(
            weight * branch.loss(x, edges, rate, m.alpha)
            for weight, branch, x, rate in zip(
                m.loss_weights, self.branches, inputs, m.node_mask_rates, strict=True
            )
        )
        once = edges[:, edges[0] < edges[1]]
        drop = torch.rand(once.shape[1]) < m.edge_mask_rate
        kept, positive = once[:, ~drop], once[:, drop]
        kept = torch.cat([kept, kept.flip(0)], dim=1)
        latents = [b.encode(x, kept) for b, x in zip(self.branches, inputs, strict=True)]
        negative = torch.randint(len(inputs[0]), positive.shape)
        pos, neg = (
            self.scorer(sum(w * z[i] * z[j] for w, z in zip(mix, latents, strict=True)))
            for i, j in (positive, negative)
        )
        return total + m.link_weight * (F.softplus(-pos).mean() + F.softplus(neg).mean())


def per_epoch(step, epochs: int) -> float:
    step()
    start = time.process_time()
    for _ in range(epochs):
        step()
    return 1000 * (time.process_time() - start) / epochs


def optimised(net: nn.Module, loss, p):
    optimiser = torch.optim.Adam(net.parameters(), lr=p.learning_rate, weight_decay=p.weight_decay)

    def step() -> None:
        value = loss()
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), p.clip)
        optimiser.step()

    return step


def compare(section: stm.Section, method: str, preset: str, epochs: int) -> str:
    """One line: milliseconds per epoch of both, and their ratio."""
    p = stm.params(method, platform=section.platform, preset=preset)
    x = drain(prepare(section, p)).x
    inputs, mix, masking = [x], [1.0], None
    rng = np.random.default_rng(0)
    if isinstance(p, ViMSTParams):
        # What a patch shows does not matter for speed.
        inputs.append(rng.normal(size=(len(x), p.n_pcs_image)).astype(np.float32))
        mix, masking = [1.0, p.link_mix_image], vimst_masking(p, with_image=True)
    masking = masking or spamask_masking(p)
    graph = knn_graph(section.coords, p.neighbours)
    whole = DualMaskObjective(
        inputs,
        graph,
        normalised_adjacency(graph),
        Tile(np.arange(len(x)), len(x)),
        masking,
        held_out=np.arange(0),
        device=torch.device("cpu"),
    )
    widths = [one.shape[1] for one in inputs]
    net = DualMaskNet(widths, p.hidden, p.latent, generator=torch.Generator(), mix=mix)
    reference = Reference(widths, p.hidden, p.latent)
    edges = torch.from_numpy(np.stack(graph.nonzero())).long()
    features = [torch.from_numpy(one) for one in inputs]
    with cpu_threads(1):
        ours = per_epoch(optimised(net, lambda: whole.losses(net, rng)[0], p), epochs)
        theirs = per_epoch(
            optimised(reference, lambda: reference.loss(features, edges, masking, mix), p), epochs
        )
    size = f"{p.hidden}/{p.latent}, inputs {widths}, {graph.nnz // 2} links"
    times = f"{ours:.1f} ms per epoch, PyG {theirs:.1f} ms, ratio {ours / theirs:.3f}"
    return f"{method} {preset:12s} {size}: {times}"


def whole_runs(section: stm.Section) -> str:
    """CPU seconds of ViMST with an image over those of SpaMask, recommended presets."""
    rng = np.random.default_rng(0)
    section.adata.obsm["patches"] = rng.normal(size=(section.n_spots, 118)).astype(np.float32)
    cpu = {}
    for method, values in (("spamask", {}), ("vimst", {"image_encoder": "obsm:patches"})):
        start = time.process_time()
        stm.run(method, section, n_domains=7, threads=1, baselines=False, **values)
        cpu[method] = time.process_time() - start
    ratio = cpu["vimst"] / cpu["spamask"]
    return f"runs: SpaMask {cpu['spamask']:.1f} s, ViMST {cpu['vimst']:.1f} s, ratio {ratio:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--methods", nargs="+", default=["spamask", "vimst"])
    parser.add_argument("--preset", nargs="+", default=["paper", "recommended"])
    parser.add_argument("--runs", action="store_true", help="compare whole runs too")
    options = parser.parse_args()
    section, _ = labelled_sections(["151673"])["151673"]
    for method in options.methods:
        for preset in options.preset:
            print(compare(section, method, preset, options.epochs), flush=True)
    if options.runs:
        print(whole_runs(section))


if __name__ == "__main__":
    main()
