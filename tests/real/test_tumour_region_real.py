"""A region learnt on two real sections and found on a third of the same patient."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from napari_stmask.analysis.tumour_region import probability, region_classifier, region_scores
from napari_stmask.features.expression import log_normalise
from napari_stmask.features.graph import coherence, knn_graph


@pytest.mark.slow
def test_clusters_of_real_sections_are_told_by_their_neighbours(data_dir) -> None:
    """Andersson et al., her2st: the authors' clusters 2-4, learnt on C2 and C4, found on C3."""
    sections = {s: ad.read_h5ad(data_dir / "her2st" / f"{s}.h5ad") for s in ("C2", "C3", "C4")}
    genes = sorted(set.intersection(*(set(a.var_names) for a in sections.values())))
    values = {}
    for name, adata in sections.items():
        totals = np.asarray(adata.X.sum(axis=1)).ravel()
        values[name] = log_normalise(sp.csr_matrix(adata[:, genes].X), totals).toarray()
    seen = np.minimum(*((values[s] > 0).mean(axis=0) for s in ("C2", "C4"))) >= 0.2
    graphs = {s: knn_graph(sections[s].obsm["spatial"], 4) for s in ("C2", "C4")}
    order = np.full(len(genes), -1.0)
    for j in np.flatnonzero(seen):
        order[j] = np.mean([coherence(g, values[s][:, [j]]) for s, g in graphs.items()])
    panel = np.argsort(-order)[:100]
    labels = pd.concat([sections[s].obs["label"].astype(object) for s in ("C2", "C4")])
    measured = np.concatenate([values[s][:, panel] for s in ("C2", "C4")])
    model = region_classifier(measured, labels, positive=["2", "3", "4"])
    found = probability(model, values["C3"][:, panel])
    scores = region_scores(found, sections["C3"].obs["label"], positive=["2", "3", "4"])
    assert scores["auroc"] > 0.95
    assert scores["ari"] > 0.6
    assert scores["labelled"] == 179
