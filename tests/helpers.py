"""Small generated sections for tests."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from napari_stmask.core.section import Section

__all__ = ["banded", "hexagons"]


def hexagons(rows: int, columns: int, pitch: float = 1.0) -> np.ndarray:
    """(rows * columns, 2) positions of a hexagonal lattice."""
    y, x = np.mgrid[:rows, :columns].reshape(2, -1).astype(float)
    return pitch * np.column_stack([x + 0.5 * (y % 2), y * np.sqrt(3) / 2])


def banded(
    rows: int = 40, columns: int = 50, genes: int = 600, fold: float = 1.3, seed: int = 0
) -> tuple[Section, np.ndarray]:
    """Five bands on a hexagonal lattice; in band b genes 40b..40b+39 are raised ``fold``-fold.

    Gene means LogNormal(0, 1), depth LogNormal(ln 1500, 0.3), Poisson-Gamma of shape 5.
    """
    rng = np.random.default_rng(seed)
    coords = hexagons(rows, columns, 100.0)
    band = np.repeat(np.arange(5), rows // 5 * columns)
    per_band = min(40, genes // 5)
    mean = np.tile(rng.lognormal(0, 1, genes), (len(coords), 1))
    for b in range(5):
        mean[band == b, per_band * b : per_band * (b + 1)] *= fold
    depth = rng.lognormal(np.log(1500), 0.3, len(coords))
    rate = mean / mean.sum(axis=1, keepdims=True) * depth[:, None]
    counts = rng.poisson(rate * rng.gamma(5, 1 / 5, rate.shape))
    adata = AnnData(sp.csr_matrix(counts.astype(np.float32)))
    adata.obs_names = [f"spot{i}" for i in range(len(coords))]
    adata.var_names = [f"GENE{i}" for i in range(genes)]
    adata.obsm["spatial"] = coords
    return Section(adata, name="banded", platform="visium"), band
