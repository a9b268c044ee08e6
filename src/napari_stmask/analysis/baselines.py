"""Training-free controls that stand beside every method.

A network that does not beat the mean over a spot and its neighbours has not earned its cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..core.section import Section
from ..features.expression import log_normalise, pca_scores, select_genes
from ..features.graph import knn_graph

__all__ = ["BaselineFeatures", "baseline_features", "mean_with_neighbours"]

N_GENES, N_PCS = 3000, 20


@dataclass(frozen=True)
class BaselineFeatures:
    """Inputs of the two controls, (n_spots, n_pcs) float32 each.

    Attributes
    ----------
    pca
        Principal components of the expression; no spatial information.
    neighbour_pca
        Their mean over each spot and its first ring of neighbours.
    """

    pca: NDArray[np.float32]
    neighbour_pca: NDArray[np.float32]


def mean_with_neighbours(
    values: NDArray[np.floating[Any]], graph: sp.csr_matrix, times: int = 1
) -> NDArray[np.float32]:
    """Mean of each row and the rows its spot is linked to, ``times`` over."""
    weights = (graph + sp.identity(graph.shape[0], dtype=np.float32, format="csr")).tocsr()
    mean = sp.diags(1.0 / np.asarray(weights.sum(axis=1)).ravel()) @ weights
    out = np.asarray(values, dtype=np.float64)
    for _ in range(times):
        out = mean @ out
    return out.astype(np.float32)


def baseline_features(section: Section, *, seed: int) -> BaselineFeatures:
    """Log-normalise, 3,000 variable genes, centre, 20 PCs, and their mean over the first ring.

    Parameters
    ----------
    section
        With raw counts.
    seed
        Of the PCA's iterative solver.
    """
    counts = section.counts()
    totals = np.asarray(counts.sum(axis=1)).ravel()
    genes = select_genes(counts, n_top=N_GENES, min_cells=1, min_counts=1, where=section.where)
    scores, _ = pca_scores(log_normalise(counts[:, genes], totals), N_PCS, seed=seed)
    ring = knn_graph(section.coords, min(section.lattice.ring, section.n_spots - 1))
    return BaselineFeatures(scores, mean_with_neighbours(scores, ring))
