"""Several sections as one run: quality beside single runs, mixing, time and memory.

    python benchmarks/integration.py dlpfc|starmap|scale [--seeds 5] [--methods spamask ...]
                                     [--sections 1 2 4 8] [--set name=value ...]

``dlpfc``: 151673 and 151674, aligned as serial sections 10 µm apart, and as separate ones.
``starmap``: mPFC BZ5 and BZ9, two animals, as separate ones. Both print the ARI of each section,
alone and together, that of all spots, and the table of mixing with its controls. Settings never
depend on the labels, which are off the sections; the number of domains is the annotated one.

``scale``: replicas of 151673 and 151674 with 4,600 spots each and counts drawn anew, laid on one
another, each number of sections in a process of its own on one thread. Prints CPU seconds in all
and an epoch, as a multiple of one section's, and the peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

import napari_stmask as stm
from napari_stmask.analysis.scores import against_truth
from napari_stmask.analysis.section_scores import per_section_scores
from napari_stmask.core.memory import peak_rss_bytes
from napari_stmask.core.progress import Progress
from sections import labelled_sections

QUALITY = {
    "dlpfc": (["151673", "151674"], ["serial", "separate"]),
    "starmap": (["mPFC BZ5", "mPFC BZ9"], ["separate"]),
}
SPOTS = 4600


def codes_of(result: stm.Result) -> np.ndarray:
    return result.domains.codes if result.refined is None else result.refined


def alone(
    method: str, given: dict[str, tuple[stm.Section, pd.Series]], k: int, seed: int, values: dict
) -> pd.DataFrame:
    """ARI of each section by a run of its own; of all spots it says nothing."""
    rows = []
    for name, (section, truth) in given.items():
        result = stm.run(
            method, section, n_domains=k, seed=seed, threads=1, baselines=False, **values
        )
        found = against_truth(truth, pd.Series(codes_of(result), index=truth.index))
        rows.append({"section": name, "ARI": found["ARI"]})
    return pd.DataFrame(rows).set_index("section")


def together(
    method: str,
    given: dict[str, tuple[stm.Section, pd.Series]],
    arrangement: str,
    k: int,
    seed: int,
    values: dict,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """ARI of each section and of all spots by one run, and the table of mixing."""
    out = stm.integrate(
        method, [section for section, _ in given.values()], arrangement=arrangement, n_domains=k,
        seed=seed, threads=1, baselines=False, **values,
    )  # fmt: skip
    truth = pd.concat([truth for _, truth in given.values()], ignore_index=True)
    of = pd.Series(np.repeat(list(given), [s.n_spots for s, _ in given.values()]))
    return per_section_scores(truth, pd.Series(codes_of(out.result)), of), out.table


def quality(which: str, methods: list[str], seeds: int, values: dict) -> None:
    names, arrangements = QUALITY[which]
    given = labelled_sections(names)
    k = pd.concat([truth for _, truth in given.values()]).nunique()
    for method in methods:
        ari: dict[tuple[str, str], list[float]] = {}
        tables: dict[str, list[pd.DataFrame]] = {a: [] for a in arrangements}
        cpu = time.process_time()
        for seed in range(seeds):
            found = {"alone": alone(method, given, k, seed, values)}
            for arrangement in arrangements:
                found[arrangement], table = together(method, given, arrangement, k, seed, values)
                tables[arrangement].append(table)
            for how, scores in found.items():
                for section, value in scores["ARI"].items():
                    ari.setdefault((how, str(section)), []).append(value)
        spent = (time.process_time() - cpu) / seeds
        rows = {
            key: {"median": np.median(v), "min": min(v), "max": max(v)} for key, v in ari.items()
        }
        print(f"\n{method}: ARI over {seeds} seeds, {k} domains; {spent:.0f} CPU-s a seed")
        print(pd.DataFrame.from_dict(rows, orient="index").round(3).to_string(), flush=True)
        for arrangement, parts in tables.items():
            mean = sum(parts) / len(parts)
            print(
                f"\n{method}, {arrangement}: mixing, mean over seeds\n{mean.round(3).to_string()}"
            )


def replica(section: stm.Section, number: int) -> stm.Section:
    """``SPOTS`` spots: those of the section, and its first rows once more below; new counts."""
    rng = np.random.default_rng(number)
    scale = section.um_per_px or 1.0
    coords = section.coords * scale
    more = np.argsort(coords[:, 1], kind="stable")[: SPOTS - section.n_spots]
    below = coords[more] + (0.0, np.ptp(coords[:, 1]) + section.lattice.pitch * scale)
    counts = sp.vstack([section.counts(), section.counts()[more]], format="csr")
    counts.data = rng.binomial(2 * counts.data.astype(np.int64), 0.5).astype(np.float32)
    counts.eliminate_zeros()
    adata = AnnData(counts)
    adata.obs_names = [f"r{number}_{i}" for i in range(SPOTS)]
    adata.var_names = section.adata.var_names
    adata.obsm["spatial"] = np.concatenate([coords, below])
    return stm.Section(adata, name=f"r{number}", um_per_px=1.0, platform="visium")


def stream(method: str, n: int, values: dict) -> Iterator[Progress]:
    given = [section for section, _ in labelled_sections(["151673", "151674"]).values()]
    sections = [replica(given[i % 2], i) for i in range(n)]
    values = {"n_domains": 7, "threads": 1, "baselines": False, **values}
    arrangement = values.pop("arrangement", "serial")
    if n == 1:
        return stm.iter_run(method, sections[0], **values)
    asked = values | {"arrangement": arrangement}
    serial = arrangement == "serial"
    return stm.iter_integrate(
        method, sections, transforms=[np.eye(3)] * n if serial else None, **asked
    )


def measure(method: str, n: int, values: dict) -> dict[str, float]:
    steps = stream(method, n, values)
    start = time.process_time()
    spent: dict[str, float] = {}
    trained: list[tuple[int, float]] = []
    while True:
        before = time.process_time()
        try:
            event = next(steps)
        except StopIteration:
            break
        spent[event.phase] = spent.get(event.phase, 0.0) + time.process_time() - before
        if event.phase == "training":
            trained.append((event.step, time.process_time()))
    # From the first epoch's end on: before it libraries are loaded.
    (first, began), (last, ended) = (pick(t for t in trained if t[0]) for pick in (min, max))
    return {
        "sections": n,
        "spots": n * SPOTS,
        "cpu": time.process_time() - start,
        "epoch": (ended - began) / (last - first),
        "peak": peak_rss_bytes() / 1e9,
        **{f"s {phase}": seconds for phase, seconds in spent.items() if seconds > 1},
    }


def scale(methods: list[str], numbers: list[int]) -> None:
    for method in methods:
        rows: list[dict[str, float]] = []
        for n in numbers:
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--one", method, str(n)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            row = rows[-1]
            parts = ", ".join(f"{k[2:]} {v:.0f}" for k, v in row.items() if k.startswith("s "))
            print(
                f"{method}, {n} sections, {row['spots']} spots: {row['cpu']:.0f} CPU-s ({parts}); "
                f"{row['epoch']:.3f} CPU-s an epoch, {row['epoch'] / rows[0]['epoch']:.2f} times "
                f"{rows[0]['sections']}; peak {row['peak']:.2f} GB",
                flush=True,
            )


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=[*QUALITY, "scale"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=["spamask"])
    parser.add_argument("--sections", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    values = {key: json.loads(value) for key, value in (item.split("=", 1) for item in options.set)}
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]), values)))
    elif options.what == "scale":
        scale(options.methods, options.sections)
    else:
        quality(options.what, options.methods, options.seeds, values)


if __name__ == "__main__":
    main()
