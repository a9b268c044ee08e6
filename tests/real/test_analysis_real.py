"""The analyses on real sections; domains come from the training-free control."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import napari_stmask as stm
from napari_stmask.analysis.baselines import baseline_features
from napari_stmask.analysis.denoising import (
    held_out_score,
    neighbour_mean_prediction,
    pca_of_neighbour_mean,
    thin_section,
)
from napari_stmask.analysis.domain_svgs import domain_svgs_steps
from napari_stmask.analysis.domains import cluster
from napari_stmask.analysis.heterogeneity import heterogeneity
from napari_stmask.analysis.inputs import expression_of
from napari_stmask.analysis.markers import marker_table
from napari_stmask.analysis.meta_genes import meta_gene
from napari_stmask.analysis.quality import embedding_quality
from napari_stmask.analysis.signatures import by_domain, emt_score
from napari_stmask.analysis.trajectory import trajectory
from napari_stmask.core.progress import drain
from napari_stmask.features.expression import select_genes
from napari_stmask.features.graph import knn_graph


@pytest.fixture(scope="module")
def cortex(data_dir):
    section = stm.read(data_dir / "dlpfc_visium" / "151673.h5ad")
    embedding = baseline_features(section, seed=0).neighbour_pca
    codes = cluster(embedding, 7, method="mixture", seed=0).codes
    labels = pd.Series(pd.Categorical(codes.astype(str)), index=section.adata.obs_names)
    return section, embedding, labels


def white_matter(section, labels: pd.Series) -> str:
    """The domain in which myelin is strongest."""
    myelin = expression_of(section)[:, section.adata.var_names.get_loc("MBP")]
    values = pd.Series(np.asarray(myelin.todense()).ravel(), index=labels.index)
    return str(values.groupby(labels, observed=True).mean().idxmax())


def test_markers_of_white_matter(cortex) -> None:
    section, _, labels = cortex
    table = marker_table(section, labels, n_genes=20)
    assert set(table["domain"]) == set("0123456")
    own = table[table["domain"] == white_matter(section, labels)]
    assert {"MBP", "PLP1", "MOBP", "CNP"} <= set(own["gene"])
    assert (own["p_adjusted"] < 1e-50).all()


def test_svgs_and_meta_gene(cortex) -> None:
    section, _, labels = cortex
    found = drain(domain_svgs_steps(section, labels))
    assert [f.domain for f in found] == list("0123456")
    for one in found:
        assert 10 <= one.mean_neighbours <= 14
        assert one.table["gene"].is_unique
        assert bool(one.notes) <= one.table.empty
    with_genes = [f for f in found if len(f.table)]
    assert len(with_genes) >= 5
    start = with_genes[0]
    meta = meta_gene(section, labels, start.domain)
    assert meta.gaps[-1] >= meta.gaps[0]
    assert meta.false_spots[-1] <= meta.false_spots[0]


def test_layers_follow_one_another(cortex) -> None:
    """Pseudotime from the white matter grows with the depth in the annotation."""
    section, embedding, labels = cortex
    own = white_matter(section, labels)
    found = trajectory(embedding, labels, root_domain=own)
    assert np.isfinite(found.pseudotime).all()
    layer = section.adata.obs["ground_truth"].astype(str).to_numpy()  # only to check
    median = pd.Series(found.pseudotime).groupby(layer).median()
    deep = [median[n] for n in median.index if n.lower().startswith(("wm", "white"))]
    assert deep
    assert deep[0] < median.drop("nan", errors="ignore").drop(
        [n for n in median.index if n.lower().startswith(("wm", "white"))]
    ).min()  # fmt: skip
    assert found.connectivities.max() <= 1
    np.testing.assert_allclose(found.connectivities, found.connectivities.T)


def test_heterogeneity_and_quality(cortex) -> None:
    section, embedding, labels = cortex
    found = heterogeneity(section, labels)
    np.testing.assert_allclose(found.composition.sum(axis=1), 1, rtol=1e-5)
    assert ((found.entropy >= 0) & (found.entropy <= 1)).all()
    # 3,639 spots of a lattice with 100 µm pitch.
    assert found.summary["area_um2"].sum() == pytest.approx(3639 * 8660, rel=0.01)
    assert (np.diag(found.enrichment) > 20).all()
    score = embedding_quality(embedding, labels)
    shuffled = embedding_quality(embedding, labels.sample(frac=1, random_state=0))
    assert score.silhouette > 0.05 > shuffled.silhouette
    assert score.davies_bouldin < shuffled.davies_bouldin


def test_controls_on_held_out_molecules(cortex) -> None:
    section, _, _ = cortex
    genes = list(section.adata.var_names[select_genes(section.counts(), n_top=300, min_cells=50)])
    thinned, held = thin_section(section, 0.8)
    totals = np.asarray(held.sum(axis=1)).ravel()
    held = held[:, section.adata.var_names.get_indexer(genes)]
    near = held_out_score(neighbour_mean_prediction(thinned, genes), held, totals=totals)
    rebuilt = held_out_score(pca_of_neighbour_mean(thinned, genes), held, totals=totals)
    assert rebuilt.median > near.median > 0.05


def test_emt_in_breast_cancer(data_dir) -> None:
    section = stm.read(data_dir / "her2st_labelled" / "A1.h5ad")
    score = emt_score(section)
    assert len(score.used) >= 24
    assert score.values.shape == (section.n_spots,)
    codes = cluster(baseline_features(section, seed=0).neighbour_pca, 5, method="kmeans").codes
    found = by_domain(score.values, pd.Series(codes, index=section.adata.obs_names))
    assert found.p < 1e-10
    # The annotation only checks: cells in situ are still epithelial, invading ones less so.
    truth = section.adata.obs["ground_truth"].astype(str).to_numpy()
    mean = pd.Series(score.values).groupby(truth).mean()
    assert mean["cancer in situ"] < mean["invasive cancer"] - 0.5
    assert mean["invasive cancer"] < mean["adipose tissue"] - 0.5


def test_two_real_sections_in_a_row(data_dir) -> None:
    sections = [
        stm.read(data_dir / "dlpfc_visium" / f"{name}.h5ad") for name in ("151673", "151674")
    ]
    joined = stm.join_sections(sections, placement="row")
    assert joined.n_spots == sum(s.n_spots for s in sections)
    assert joined.lattice.pitch == pytest.approx(100, rel=0.001)
    graph = knn_graph(joined.coords, 6)
    n = sections[0].n_spots
    assert graph[:n, n:].nnz == 0
    for s, block in zip(sections, (graph[:n, :n], graph[n:, n:]), strict=True):
        assert abs(block - knn_graph(s.coords, 6)).nnz == 0
