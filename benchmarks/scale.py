"""Time and memory of a Stereo-seq-sized run on generated bins.

    python benchmarks/scale.py [--sides 100 200 330] [--method mmsrl] [--set name=value ...]

Each size runs in a fresh process on one thread: square bins in five rings, 400 genes, about 250
counts a bin. Prints CPU seconds (with and without the two controls), seconds per epoch and
thousand bins, which stay level where the cost is linear, the peak memory and the ARI.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score

import napari_stmask as stm
from napari_stmask.core.memory import peak_rss_bytes

GENES, RINGS, RAISED = 400, 5, 40


def rings(side: int) -> tuple[stm.Section, np.ndarray]:
    """``side`` x ``side`` bins; in ring r genes 40 r to 40 r + 39 are raised 1.5-fold."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side].reshape(2, -1).astype(float)
    radius = np.hypot(x - side / 2, y - side / 2) / side + 0.03 * np.sin(9 * x / side)
    ring = np.digitize(radius, [0.15, 0.3, 0.42, 0.52])
    rate = np.tile(rng.lognormal(0, 1, GENES), (RINGS, 1))
    for r in range(RINGS):
        rate[r, RAISED * r : RAISED * (r + 1)] *= 1.5
    rate /= rate.sum(axis=1, keepdims=True)
    depth = rng.lognormal(np.log(250), 0.4, len(ring))
    blocks = [
        sp.csr_matrix(rng.poisson(rate[ring[i]] * depth[i, None]).astype(np.float32))
        for i in np.array_split(np.arange(len(ring)), max(1, len(ring) // 10_000))
    ]
    adata = AnnData(sp.vstack(blocks, format="csr"))
    adata.obsm["spatial"] = np.column_stack([x, y])
    return stm.Section(adata, platform="stereoseq", name="rings"), ring


def measure(side: int, method: str, values: dict) -> dict[str, float]:
    section, truth = rings(side)
    start, epochs, training = time.process_time(), 0, 0.0
    steps = stm.iter_run(method, section, n_domains=RINGS, threads=1, **values)
    controls = 0.0
    while True:
        before = time.process_time()
        try:
            event = next(steps)
        except StopIteration as stop:
            result = stop.value
            break
        if event.phase == "training":
            training += time.process_time() - before
            epochs = event.step
        if event.phase == "baselines":
            controls = time.process_time()
    return {
        "bins": section.n_spots,
        "cpu": time.process_time() - start,
        "controls": time.process_time() - controls,
        "per_epoch": training / max(epochs, 1),
        "peak": peak_rss_bytes() / 1e9,
        "ari": adjusted_rand_score(truth, result.domains.codes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[100, 200, 330])
    parser.add_argument("--method", default="spamask")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        values = dict(item.split("=", 1) for item in options.set)
        parsed = {name: json.loads(value) for name, value in values.items()}
        print(json.dumps(measure(options.one, options.method, parsed)))
        return
    for side in options.sides:
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--one", str(side)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        row = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{row['bins']:>7.0f} bins: {row['cpu']:.0f} CPU-s, {row['controls']:.0f} of them for "
            f"the controls; {1e6 * row['per_epoch'] / row['bins']:.2f} ms per epoch and thousand "
            f"bins; peak {row['peak']:.2f} GB; ARI {row['ari']:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
