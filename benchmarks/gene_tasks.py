"""What vectors of genes are good for: spatial genes, marker sets, genes that a panel lacks.

    python benchmarks/gene_tasks.py svgs RUN.h5ad
    python benchmarks/gene_tasks.py markers RUN.h5ad --labelled OTHER.h5ad
    python benchmarks/gene_tasks.py coverage RUN.h5ad --target OTHER.h5ad
    python benchmarks/gene_tasks.py halves SECTION.h5ad

RUN.h5ad is a section with a run of SpaCEX (``napari-stmask run spacex SECTION --out RUN.h5ad``).
Labels are used to score, and to simulate genes of a layer, never to train.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import kstest, spearmanr
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

import napari_stmask as stm
from napari_stmask.analysis.correlation import pearson_columns
from napari_stmask.analysis.gene_relations import pair_list_scores, unit_vectors
from napari_stmask.analysis.inputs import expression_of
from napari_stmask.analysis.markers import marker_steps
from napari_stmask.core.progress import drain
from napari_stmask.features.expression import log_normalise
from napari_stmask.features.gene_images import median_library, picture_values
from napari_stmask.features.graph import knn_graph, morans_i
from napari_stmask.gene_atlas import GeneAtlas
from napari_stmask.models.spacex.nulls import shuffled
from napari_stmask.models.spacex.spatial import spatial_genes_steps

DRAWS = 20
TRUTH = "ground_truth"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["svgs", "markers", "coverage", "halves"])
    parser.add_argument("run")
    parser.add_argument("--labelled")
    parser.add_argument("--target")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    if args.task == "halves":
        halves(args.run, args.seeds)
        return
    atlas = stm.genes_of(stm.read(args.run))
    if args.task == "svgs":
        spatial_genes(atlas)
    elif args.task == "markers":
        marker_pairs(atlas, args.labelled)
    else:
        coverage(atlas, stm.read(args.target), args.seeds)


def scored(atlas: GeneAtlas, values: sp.csc_matrix, seed: int) -> tuple[NDArray, NDArray]:
    """Effect and p of any genes of the section, measured or made."""
    _, maker = atlas.drawing
    pictures = drain(maker.draw_steps(values))
    vectors = drain(atlas.model.encode_steps(maker, values))
    steps = spatial_genes_steps(
        atlas.model, maker, values, pictures, vectors, draws=DRAWS, seed=seed
    )
    found = drain(steps)
    return found.effect, found.p


def spatial_genes(atlas: GeneAtlas) -> None:
    """AUROC against Moran's I and simulated genes; uniform p of genes without a pattern."""
    section, _ = atlas.drawing
    graph = knn_graph(section.coords, section.lattice.ring)
    counts = section.counts()
    seen = np.flatnonzero(counts.getnnz(axis=0) >= 0.01 * section.n_spots)
    values = picture_values(section, seen)
    moran = morans_i(graph, values)
    effect, p = scored(atlas, values, 0)
    low, high = np.quantile(moran, [0.1, 0.9])
    ends = (moran <= low) | (moran >= high)
    print(f"{len(seen)} genes; Moran's I deciles at {low:.4f} and {high:.4f}")
    auroc = roc_auc_score(moran[ends] >= high, effect[ends])
    print(f"AUROC of top against bottom decile: {auroc:.4f}")
    level = np.asarray(values.mean(axis=0)).ravel()
    print(
        f"Spearman of effect with Moran's I {spearmanr(effect, moran)[0]:.3f}, "
        f"with mean expression {spearmanr(effect, level)[0]:.3f}"
    )
    for seed in range(3):
        rng = np.random.default_rng(seed)
        learned = picture_values(section, atlas.place)
        plain = shuffled(values[:, rng.choice(len(seen), 500, replace=False)], rng)
        # Among the real ones, as somebody would meet them.
        e, p = (v[-500:] for v in scored(atlas, sp.hstack([learned, plain]).tocsc(), seed + 1))
        level = np.asarray(plain.mean(axis=0)).ravel()
        print(
            f"500 permuted genes: KS p {kstest(p, 'uniform').pvalue:.3f}, "
            f"Spearman of effect with mean expression {spearmanr(e, level)[0]:.3f}"
        )
        made, spatial = simulated(section, rng)
        e, _ = (v[-500:] for v in scored(atlas, sp.hstack([learned, made]).tocsc(), seed + 1))
        print(
            f"simulated genes: AUROC {roc_auc_score(spatial, e):.3f}, Moran's I "
            f"{roc_auc_score(spatial, morans_i(graph, made)):.3f}"
        )


def simulated(section: stm.Section, rng: np.random.Generator) -> tuple[sp.csc_matrix, NDArray]:
    """500 negative binomial genes; every second one is 1.5 times higher in a random half-plane
    band, a disc or a gradient over the tissue.
    """
    counts = section.counts()
    totals = np.asarray(counts.sum(axis=1)).ravel()
    xy = (section.coords - section.coords.mean(axis=0)) / section.coords.std(axis=0)
    out = np.empty((section.n_spots, 500))
    for gene in range(500):
        mean = np.exp(rng.normal(-1.5, 1.0)) * totals / totals.mean()
        if gene % 2:
            angle = rng.uniform(0, 2 * np.pi)
            along = xy @ [np.cos(angle), np.sin(angle)]
            where = rng.normal(0, 0.8, 2)
            shape = gene // 2 % 3
            high = (
                np.abs(along - where[0]) < 0.4
                if shape == 0
                else ((xy - where) ** 2).sum(axis=1) < 0.6
                if shape == 1
                else (along - along.min()) / np.ptp(along)
            )
            mean = mean * (1 + 0.5 * high)
        size = rng.uniform(1, 5)
        out[:, gene] = rng.poisson(rng.gamma(size, mean / size))
    values = log_normalise(sp.csr_matrix(out), totals, target=median_library(totals))
    return values.tocsc(), np.arange(500) % 2 == 1


def marker_pairs(atlas: GeneAtlas, path: str) -> None:
    """Pairs of genes that mark the same layer of another section against all other pairs."""
    labelled = stm.read(path)
    domains = labelled.adata.obs[TRUTH].astype("category")
    table = drain(marker_steps(labelled, domains, n_genes=15))
    known = set(atlas.genes)
    table = table[table["gene"].isin(known)].drop_duplicates("gene", keep=False)
    pairs = [
        (a, b)
        for _, part in table.groupby("domain", observed=True)
        for i, a in enumerate(part["gene"])
        for b in list(part["gene"])[i + 1 :]
    ]
    print(f"{len(table)} markers of {table['domain'].nunique()} layers, {len(pairs)} pairs")
    _, maker = atlas.drawing
    pictures = maker.draw(picture_values(atlas.drawing[0], atlas.place))
    rows = {"SpaCEX": atlas.vectors}
    rows |= {f"PCA {k}": PCA(k, random_state=0).fit_transform(pictures) for k in (8, 16, 32)}
    for name, vectors in rows.items():
        found = pair_list_scores(vectors, atlas.genes, pairs)
        print(f"{name:8s} AUROC {found.auroc:.3f}, AUPR {found.aupr:.3f}")
    codes = pd.Series(atlas.codes, index=atlas.genes)
    same = [codes[a] == codes[b] for a, b in pairs]
    print(f"in one module: {np.mean(same):.2f} of the pairs")


def coverage(atlas: GeneAtlas, target: stm.Section, seeds: int) -> None:
    """Hide a fifth of the shared genes of the target; predict them."""
    values = expression_of(target).tocsc()
    shared = np.flatnonzero(target.adata.var_names.isin(atlas.section.adata.var_names))
    print(f"{target.name}: {target.n_spots} spots, {len(shared)} shared genes")
    genes, vectors, _ = drain(atlas.encode_all_steps())
    rows = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        hidden = np.sort(rng.choice(shared, len(shared) // 5, replace=False))
        kept = np.setdiff1d(np.arange(target.n_genes), hidden)
        began = time.process_time()
        found = drain(atlas.coverage_steps(target.over(target.adata[:, kept].copy()), seed=seed))
        took = time.process_time() - began
        place = pd.Index(genes)
        names = [g for g in target.adata.var_names[hidden] if g in place]
        truth = values[:, target.adata.var_names.get_indexer(names)].toarray()
        r = pearson_columns(found.predict(names), truth)
        panel = [g for g in target.adata.var_names[kept] if g in place]
        standard = values[:, target.adata.var_names.get_indexer(panel)].toarray()
        standard = (standard - standard.mean(axis=0)) / np.maximum(standard.std(axis=0), 1e-9)
        unit = unit_vectors(vectors)
        alike = unit[place.get_indexer(names)] @ unit[place.get_indexer(panel)].T
        row = {"ridge": np.nanmean(r)}
        for k in (20, 50, 100):
            cut = -np.partition(-alike, k - 1, axis=1)[:, [k - 1]]
            weight = np.maximum(alike, 1e-9) * (alike >= cut)
            row[f"kNN {k}"] = np.nanmean(pearson_columns(standard @ weight.T, truth))
        mean = np.repeat(standard.mean(axis=1)[:, None], len(names), axis=1)
        row["mean map"] = np.nanmean(pearson_columns(mean, truth))
        expected = found.confidence[pd.Index(found.genes).get_indexer(names)]
        row["ranking"] = spearmanr(expected, r, nan_policy="omit")[0]
        row["bias"] = np.nanmean(expected - r)
        row["CPU s"] = took
        rows.append(row)
    table = pd.DataFrame(rows)
    print(pd.DataFrame({"mean": table.mean(), "sd": table.std()}).round(4).to_string())


def halves(path: str, seeds: int) -> None:
    """The left half of a section as reference, the right one as target."""
    whole = stm.read(path)
    left = whole.coords[:, 0] < np.median(whole.coords[:, 0])
    reference, target = whole.bare(left), whole.bare(~left)
    stm.run("spacex", reference, n_domains=3, threads=1)
    coverage(stm.genes_of(reference), target, seeds)


if __name__ == "__main__":
    main()
