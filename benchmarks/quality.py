"""ARI of the methods and their controls on the labelled sections, over seeds.

    python benchmarks/quality.py [--seeds 5] [--only NAME ...] [--set name=value ...]
                                 [--methods spamask vimst mmsrl vimst-genes spamask:paper ...]

A method may name a preset; ``vimst-genes`` is ViMST without the image, and so with MMSRL.

Settings never depend on the labels: one preset per platform. The number of domains is the
number of annotated ones, as in the papers. ``strong`` repeats the training-free recipe: log1p of
10,000 per spot, 3,000 most variable genes, centred, 20 PCs, mean over the first ring, tied
Gaussian mixture of scikit-learn with 10 starts.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.mixture import GaussianMixture

import napari_stmask as stm
from napari_stmask.analysis.baselines import baseline_features, neighbour_mean
from napari_stmask.analysis.domains import cluster
from napari_stmask.analysis.scores import against_truth
from napari_stmask.features.graph import knn_graph
from sections import LABELLED, labelled_sections

Codes = Callable[[stm.Section, int, int], np.ndarray]


def method(name: str, overrides: dict) -> Codes:
    name, _, preset = name.partition(":")
    if name.endswith("-genes"):
        name, overrides = name.removesuffix("-genes"), overrides | {"use_image": "no"}
    if name in ("vimst", "mmsrl"):
        overrides = overrides | {"compare_views": False}

    def run(section: stm.Section, k: int, seed: int) -> np.ndarray:
        result = stm.run(
            name, section, preset=preset or "recommended", n_domains=k, seed=seed, threads=1,
            baselines=False, **overrides,
        )  # fmt: skip
        return result.domains.codes if result.refined is None else result.refined

    return run


def control(which: str) -> Codes:
    def run(section: stm.Section, k: int, seed: int) -> np.ndarray:
        values = getattr(baseline_features(section, seed=seed), which)
        return cluster(values, k, seed=seed).codes

    return run


def strong(section: stm.Section, k: int, seed: int) -> np.ndarray:
    features = baseline_features(section, seed=0).pca
    smoothed = neighbour_mean(features, knn_graph(section.coords, section.lattice.ring))
    mixture = GaussianMixture(k, covariance_type="tied", n_init=10, random_state=seed)
    return mixture.fit_predict(smoothed)


def measure(names: list[str], methods: dict[str, Codes], seeds: int) -> pd.DataFrame:
    rows = []
    for name, (section, truth) in labelled_sections(names).items():
        k = truth.nunique()
        for title, codes_of in methods.items():
            values, cpu = [], time.process_time()
            for seed in range(seeds):
                codes = pd.Series(codes_of(section, k, seed), index=truth.index)
                values.append(against_truth(truth, codes)["ARI"])
            rows.append(
                {
                    "section": name,
                    "method": title,
                    "median": np.median(values),
                    "mean": np.mean(values),
                    "min": min(values),
                    "max": max(values),
                    "sd": np.std(values, ddof=1) if seeds > 1 else 0.0,
                    "cpu_s": (time.process_time() - cpu) / seeds,
                }
            )
            print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False, header=False), flush=True)
    return pd.DataFrame(rows)


def report(table: pd.DataFrame) -> None:
    medians = table.pivot(index="section", columns="method", values="median")
    medians = medians.reindex(index=[n for n in LABELLED if n in medians.index])
    medians["strong, listed"] = [LABELLED[n].listed for n in medians.index]
    print("\nmedian ARI over seeds\n" + medians.round(3).to_string())
    print("\nmean over sections\n" + medians.mean().round(3).to_string())
    controls = ("strong", "strong, listed", "pca", "neighbour_pca")
    for name in (m for m in medians if m not in controls):
        for against in ("spamask", "strong", "strong, listed"):
            if against not in medians or against == name:
                continue
            gap = medians[name] - medians[against]
            worst = f"worst section {gap.min():+.3f} ({gap.idxmin()})"
            print(f"{name} - {against}: mean {gap.mean():+.3f}, {worst}")


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=list(LABELLED), choices=list(LABELLED))
    parser.add_argument("--methods", nargs="*", default=["spamask", "vimst", "mmsrl"])
    parser.add_argument("--no-controls", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    overrides = {
        key: json.loads(value) for key, value in (item.split("=", 1) for item in options.set)
    }
    methods = {name: method(name, overrides) for name in options.methods}
    methods["strong"] = strong
    if not options.no_controls:
        methods |= {"pca": control("pca"), "neighbour_pca": control("neighbour_pca")}
    report(measure(options.only, methods, options.seeds))


if __name__ == "__main__":
    sys.exit(main())
