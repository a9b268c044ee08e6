"""SpaHGC's network against a form of torch-geometric, and the cost of large references.

    python benchmarks/hetero.py [--hidden 128 256] [--scale] [--visium]

Generated features and links, one thread, CPU seconds. By default one training step of the network
(4,000 targets of 7 links, 12,000 references, 708 features, 500 genes) against the same network
under the same weights on edge lists, as the release writes it: queries, keys and values gathered
for each link, and a correlation gene by gene. Prints both, their ratio, how far the answers are
apart and the peak memory of each in a process of its own.

``--scale``: 20,000 targets and three references of 20,000. ``--visium``: a whole training on
three references of 4,000 spots under the preset, and the prediction of 4,000 spots.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from anndata import AnnData
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing, SAGEConv
from torch_geometric.utils import softmax

import napari_stmask as stm
from napari_stmask.core.memory import peak_rss_bytes
from napari_stmask.core.progress import Steps, drain
from napari_stmask.features.graph import knn_graph
from napari_stmask.models import predictor
from napari_stmask.models.spahgc.graph import Pool, find_references, graph_of
from napari_stmask.models.spahgc.inputs import Side, blind
from napari_stmask.models.spahgc.params import SpaHGCParams
from napari_stmask.models.spahgc.training import Task, Tensors, batches_of, train_net, whole_batch
from napari_stmask.nn.agreement import correlation_loss
from napari_stmask.nn.heterogeneous import HeteroNet, Linked
from napari_stmask.nn.linked import Links
from napari_stmask.nn.sparse import Operator

N, R, K, D, G, HEADS, LAYERS = 4000, 12_000, 7, 708, 500, 4, 4
CPU = torch.device("cpu")
FORMS = ("ours", "edge_list")


def square(n: int) -> np.ndarray:
    """``n`` positions of a square lattice of pitch 1."""
    return np.column_stack(np.divmod(np.arange(n), int(np.ceil(np.sqrt(n))))).astype(np.float64)


def edges_of(graph: sp.csr_matrix) -> np.ndarray:
    pairs = graph.tocoo()
    return np.stack([pairs.col, pairs.row]).astype(np.int64)


def mean_of(edges: np.ndarray, n: int) -> sp.csr_matrix:
    source, target = edges
    weight = (1 / np.bincount(target, minlength=n)[target]).astype(np.float32)
    return sp.csr_matrix((weight, (target, source)), shape=(n, n))


class Attend(MessagePassing):
    """Listeners' queries on sources' keys, link by link."""

    def __init__(self, width: int) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.width = width

    def forward(self, query: Tensor, key: Tensor, value: Tensor, edges: Tensor) -> Tensor:
        """(n, width) for (n, width) queries."""
        q, k, v = (t.view(-1, HEADS, self.width // HEADS) for t in (query, key, value))
        out = self.propagate(edges, q=q, k=k, v=v, size=(len(k), len(q)))
        return out.view(-1, self.width)

    def message(self, q_i: Tensor, k_j: Tensor, v_j: Tensor, index: Tensor, size_i: int) -> Tensor:
        """What each link brings."""
        logits = (q_i * k_j).sum(-1) / q_i.shape[-1] ** 0.5
        weights = softmax(F.leaky_relu(logits, 0.2), index, num_nodes=size_i)
        return weights[..., None] * v_j


class Problem:
    """A network, its inputs and links, and a training step in both forms."""

    def __init__(self, hidden: int) -> None:
        rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
        self.x, self.z = (torch.randn(n, D, generator=generator) for n in (N, R))
        self.y = torch.randn(R, G, generator=generator)
        self.measured = torch.randn(N, G, generator=generator)
        rows = rng.integers(0, R, (N, K))
        near, close = edges_of(knn_graph(square(N), 6)), edges_of(knn_graph(rng.random((R, 2)), 3))
        targets = np.repeat(np.arange(N), K)
        self.refers = torch.from_numpy(np.stack([rows.ravel(), targets]))
        self.near, self.close = torch.from_numpy(near), torch.from_numpy(close)
        self.graph = Linked(
            Operator.of(mean_of(near, N)), Operator.of(mean_of(close, R)), Links.of(rows, R)
        )
        self.net = HeteroNet(
            D, G, G, hidden=hidden, layers=LAYERS, heads=HEADS, dropout=0.0, generator=generator
        )
        self.net.eval()
        self.attend = Attend(hidden)
        self.sage = [[_sage(part) for part in (one.near, one.close)] for one in self.net.layers]

    def ours(self) -> tuple[Tensor, Tensor]:
        """Prediction and loss."""
        states = self.net.encode(self.x, self.z, self.y, self.graph)
        predicted = self.net.decode(states, self.graph)[0]
        error = (predicted - self.measured).square().mean()
        return predicted, error + 0.5 * correlation_loss(predicted, self.measured)

    def edge_list(self) -> tuple[Tensor, Tensor]:
        """The same, link by link."""
        net, back = self.net, self.refers.flip(0)
        h_y = net.expression_in(self.y)
        h_t = _lifted(net, net.target_in(self.x))
        h_r = _lifted(net, net.reference_in(torch.cat([self.z, self.y], 1)))
        for layer, (near, close) in zip(net.layers, self.sage, strict=True):
            across = layer.across
            u = torch.cat([h_r, across.norm(h_y)], 1)
            k, v, q_back = across.of_reference(u).chunk(3, 1)
            q, k_back, v_back = across.of_target(h_t).chunk(3, 1)
            c_t = across.to_target(self.attend(q, k, v, self.refers))
            c_r = across.to_reference(self.attend(q_back, k_back, v_back, back))
            h_t = F.leaky_relu((near(h_t, self.near) + c_t) / 2, 0.2)
            h_r = F.leaky_relu((close(h_r, self.close) + c_r) / 2, 0.2)
            h_y = F.leaky_relu(h_y, 0.2)
        g = net.pooling.own(h_t)
        k, v = net.pooling.keys_values(h_r).chunk(2, 1)
        predicted = net.head(g + self.attend(net.pooling.query(g), k, v, self.refers))
        return predicted, self._released_loss(predicted)

    def _released_loss(self, predicted: Tensor) -> Tensor:
        total = predicted.new_zeros(())
        for p, y in zip(predicted.T, self.measured.T, strict=True):
            a, b = p - p.mean(), y - y.mean()
            total = total + (a * b).sum() / (a.norm() * b.norm() + 1e-8)
        return F.mse_loss(predicted, self.measured) + 0.5 * (1 - total / len(predicted.T))

    def seconds(self, repeats: int = 5) -> dict[str, float]:
        """CPU seconds of the fastest forward and backward pass of each form, taken in turn."""
        best = dict.fromkeys(FORMS, np.inf)
        for _ in range(repeats):
            for form in FORMS:
                self.net.zero_grad()
                start = time.process_time()
                getattr(self, form)()[1].backward()
                best[form] = min(best[form], time.process_time() - start)
        return best


def _sage(part: nn.Module) -> SAGEConv:
    width = part.root.weight.shape[0]
    conv = SAGEConv(width, width, aggr="mean")
    conv.lin_l, conv.lin_r = part.neighbours, part.root
    return conv


def _lifted(net: HeteroNet, u: Tensor) -> Tensor:
    return F.leaky_relu(net.norm(net.lift(F.leaky_relu(u, 0.2))), 0.2)


def steps(hidden: int) -> None:
    problem = Problem(hidden)
    with torch.no_grad():
        gap = float((problem.ours()[0] - problem.edge_list()[0]).abs().max())
    ours, plain = problem.seconds().values()
    memory = {form: _child("--memory", form, "--hidden", str(hidden)) for form in FORMS}
    peaks = ", ".join(f"{form} {found['grown']:.2f} GB" for form, found in memory.items())
    print(
        f"hidden {hidden}: {ours:.2f} CPU-s a step, edge lists {plain:.2f}; "
        f"ratio {ours / plain:.2f}, answers apart by {gap:.1e}; memory of a step: {peaks}",
        flush=True,
    )


def _child(*arguments: str) -> dict[str, float]:
    """What a fresh process of this file measures."""
    out = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(out.stdout.splitlines()[-1])
    return found


def memory(form: str, hidden: int) -> None:
    problem = Problem(hidden)
    before = peak_rss_bytes()
    getattr(problem, form)()[1].backward()
    print(json.dumps({"grown": (peak_rss_bytes() - before) / 1e9}))


# Large references


def clustered(n: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Features around 30 centres that all sections share."""
    centres = 2 * np.random.default_rng(9).normal(size=(30, width))
    return (centres[rng.integers(0, 30, n)] + rng.normal(size=(n, width))).astype(np.float32)


def timed(run: Steps) -> tuple[object, float]:
    start = time.process_time()
    return drain(run), time.process_time() - start


def scale(n: int = 20_000, genes: int = 200) -> None:
    rng = np.random.default_rng(0)
    sides = []
    for i in range(4):
        expression = rng.normal(size=(n, genes)).astype(np.float32)
        sides.append(Side(i, i, square(n), clustered(n, D, rng), 1.0, expression))
    target, references = sides[3], sides[:3]
    params = SpaHGCParams(epochs=1, n_genes=genes)
    pool = Pool.of(references, [side.expression for side in references])
    found, searching = timed(find_references(target, pool, params, more=50))
    data, building = timed(graph_of(target, pool, found.index[:, :K], params))
    start = time.process_time()
    batches = batches_of(data, target, params, CPU)
    cutting = time.process_time() - start
    tensors = Tensors(*map(torch.from_numpy, (target.features, pool.features, pool.expression)))
    whole = whole_batch(data, CPU)
    task = Task(tensors, torch.from_numpy(target.expression), np.zeros(n, np.intp), whole, batches)
    _, training = timed(train_net([task], params, 0, CPU, without=None, total=1))
    halo = sum(len(b.targets) for b in batches) / n
    print(
        f"{n} targets, 3 references of {n}: retrieval {searching:.1f} CPU-s, graph {building:.1f}, "
        f"{len(batches)} pieces {cutting:.1f} (spots x {halo:.2f} with halo), "
        f"one epoch {training:.1f}, peak {peak_rss_bytes() / 1e9:.2f} GB",
        flush=True,
    )


def visium(n: int = 4000, genes: int = 600) -> None:
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(n)))
    row, column = np.divmod(np.arange(n), side)
    coords = 100 * np.column_stack([column + 0.5 * (row % 2), row * np.sqrt(3) / 2])
    loading = 0.3 * rng.normal(size=(8, genes)) * (rng.random(genes) < 0.5)
    base = rng.lognormal(0, 0.7, genes)
    sections = []
    for i in range(4):
        waves = np.sin(coords @ rng.normal(0, 1 / 900, (2, 8)) + rng.uniform(0, 6, 8))
        rate = base * np.exp(waves @ loading)
        depth = rng.lognormal(np.log(4000), 0.4, n)[:, None]
        counts = rng.poisson(rate / rate.sum(axis=1, keepdims=True) * depth)
        adata = AnnData(sp.csr_matrix(counts.astype(np.float32)))
        adata.obs_names = [f"spot{j}" for j in range(n)]
        adata.obsm["spatial"] = coords
        mixed = np.random.default_rng(5).normal(size=(8, D // 2))
        adata.obsm["patches"] = (waves @ mixed + rng.normal(size=(n, D // 2))).astype(np.float32)
        sections.append(stm.Section(adata, name=f"section{i}", platform="visium"))
    params = SpaHGCParams.preset("visium", image_encoder="obsm:patches", threads=1)
    method = predictor("spahgc")
    expected = method.estimate(sections[3], sections[:3], params)
    phases: dict[str, float] = {}
    start = last = time.process_time()
    fitting = method.fit(sections[:3], [0, 1, 2], params)
    while True:
        try:
            event = next(fitting)
        except StopIteration as stop:
            state = stop.value
            break
        now = time.process_time()
        phases[event.phase] = phases.get(event.phase, 0.0) + now - last
        last = now
    training = time.process_time() - start
    _, predicting = timed(method.predict(state, blind(sections[3], params.image_encoder), params))
    told = ", ".join(f"{name} {value:.0f}" for name, value in phases.items() if value > 1)
    print(
        f"{n} targets, 3 references of {n}, preset visium: fit {training:.0f} CPU-s ({told}), "
        f"prediction {predicting:.0f}, estimated {expected.seconds:.0f}; "
        f"peak {peak_rss_bytes() / 1e9:.2f} GB",
        flush=True,
    )


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--scale", action="store_true")
    parser.add_argument("--visium", action="store_true")
    parser.add_argument("--memory", choices=FORMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        memory(options.memory, options.hidden[0])
    elif options.scale or options.visium:
        # Each in this process alone, so that the peak is its own.
        if options.scale == options.visium:
            parser.error("--scale and --visium are measured one at a time")
        scale() if options.scale else visium()
    else:
        for hidden in options.hidden:
            steps(hidden)


if __name__ == "__main__":
    main()
