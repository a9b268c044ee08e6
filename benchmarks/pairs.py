"""MMSRL's losses and attention without N x N matrices, against their dense form.

    python benchmarks/pairs.py [--sizes 4000 8000 20000 100000] [--section 151673]

Random inputs of the recommended widths on a hexagonal lattice, one thread, the losses of one
modality pair. ``dense`` writes attention, consistency and adjacency with N x N tensors, in this
process, at the smallest size only. Prints CPU seconds of a step and the ratio to dense, the growth
with N, and, on a real section, what the landmarks change in the embedding and the domains.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

import napari_stmask as stm
from napari_stmask.features.graph import gaussian_graph, random_walk
from napari_stmask.nn.attention import attend, landmarks_of
from napari_stmask.nn.pair_losses import adjacency_loss, consistency_loss, unit_rows
from napari_stmask.nn.sparse import Operator
from sections import labelled_sections

WIDTH, LANDMARKS, SCALE = 64, 512, 10.0


def lattice(n: int) -> np.ndarray:
    """``n`` positions of a hexagonal lattice of pitch 1."""
    side = int(np.ceil(np.sqrt(n)))
    row, column = np.divmod(np.arange(n), side)
    return np.column_stack([column + 0.5 * (row % 2), row * np.sqrt(3) / 2])


def dense_attend(u: Tensor, e: Tensor) -> Tensor:
    return torch.softmax(SCALE * u @ u.T, dim=1) @ e


def dense_consistency(q: Tensor, p: Tensor) -> Tensor:
    q, p = unit_rows(q - q.mean(dim=0)), unit_rows(p - p.mean(dim=0))
    return (q @ q.T - p @ p.T).square().mean()


def dense_adjacency(z: Tensor, a: Tensor) -> Tensor:
    u = unit_rows(z)
    cosine = u @ u.T
    cosine = cosine - torch.diag(torch.diag(cosine))
    return (torch.sigmoid(cosine) - a).square().mean()


def seconds(step: Callable[[], Tensor], leaves: list[Tensor], repeats: int = 3) -> float:
    """CPU seconds of the fastest forward and backward pass."""
    times = []
    for _ in range(repeats):
        for leaf in leaves:
            leaf.grad = None
        start = time.process_time()
        step().backward()
        times.append(time.process_time() - start)
    return min(times)


def measure(n: int, *, with_exact: bool, with_dense: bool) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(n, WIDTH, generator=generator).requires_grad_() for _ in range(2))
    walk = random_walk(gaussian_graph(lattice(n), 1.0))
    pairs = walk.tocoo()
    row, column = (torch.from_numpy(i.astype(np.int64)) for i in (pairs.row, pairs.col))
    weight = torch.from_numpy(pairs.data)
    landmarks = landmarks_of(first.detach().numpy(), LANDMARKS, seed=0, device=torch.device("cpu"))
    both = [first, second]

    def exact() -> Tensor:
        out = [attend(unit_rows(e), unit_rows(e), e, SCALE, None) for e in both]
        return (
            sum(x.square().mean() for x in out)
            + consistency_loss(*both)
            + adjacency_loss(first, row, column, weight)
        )

    def grouped() -> Tensor:
        total = consistency_loss(*both) + adjacency_loss(first, row, column, weight, exact=False)
        for e in both:
            means = landmarks.mean @ e
            out = attend(unit_rows(e), unit_rows(means), means, SCALE, landmarks.log_size)
            total = total + out.square().mean()
        return total

    found = {"landmarks": seconds(grouped, both)}
    if with_exact:
        found["exact"] = seconds(exact, both)
    if with_dense:
        a = Operator.of(walk).matrix.to_dense()

        def dense() -> Tensor:
            out = [dense_attend(unit_rows(e), e) for e in both]
            return (
                sum(x.square().mean() for x in out)
                + dense_consistency(*both)
                + dense_adjacency(first, a)
            )

        found["dense"] = seconds(dense, both)
    return found


def difference(name: str) -> None:
    """Exact attention against landmarks on a real section: embedding and domains."""
    (section, truth) = labelled_sections([name])[name]
    runs = {}
    for form in ("exact", "landmarks"):
        start = time.process_time()
        result = stm.run(
            "mmsrl", section, n_domains=truth.nunique(), attention=form, threads=1,
            baselines=False, use_image="no",
        )  # fmt: skip
        p = result.fit.params
        epoch = (time.process_time() - start) / (p.epochs * p.replicates)
        runs[form] = result
        ari = adjusted_rand_score(truth[truth.notna()], result.domains.codes[truth.notna()])
        print(f"{name}, {form}: {epoch:.3f} CPU-s an epoch, all included; ARI {ari:.3f}")
    a, b = (runs[form].embedding for form in ("exact", "landmarks"))
    gap = np.linalg.norm(a - b) / np.linalg.norm(a)
    same = adjusted_rand_score(runs["exact"].domains.codes, runs["landmarks"].domains.codes)
    print(
        f"{name}: embeddings differ by {gap:.3f} of their length, domains agree at ARI {same:.3f}"
    )


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4000, 8000, 20000, 100000])
    parser.add_argument("--exact-to", type=int, default=20000)
    parser.add_argument("--section", default="151673")
    options = parser.parse_args()
    rows: dict[int, dict[str, float]] = {}
    for i, n in enumerate(options.sizes):
        rows[n] = measure(n, with_exact=n <= options.exact_to, with_dense=i == 0)
        text = ", ".join(f"{name} {value:.3f} s" for name, value in rows[n].items())
        print(f"{n:>7} spots: {text}", flush=True)
    smallest = rows[options.sizes[0]]
    for form in ("exact", "landmarks"):
        print(
            f"{form} / dense at {options.sizes[0]} spots: {smallest[form] / smallest['dense']:.2f}"
        )
    largest = options.sizes[-1]
    growth = rows[largest]["landmarks"] / smallest["landmarks"]
    print(f"landmarks: time x {growth:.1f} for spots x {largest / options.sizes[0]:.1f}")
    if options.section:
        difference(options.section)


if __name__ == "__main__":
    main()
