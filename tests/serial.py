"""Generated sections of one block whose genes were measured at other levels in each."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from tests.helpers import hexagons

from napari_stmask.core.section import Section

__all__ = ["bands", "serial_sections"]


def bands(rows: int = 10, columns: int = 12) -> np.ndarray:
    """(rows * columns,) band of each spot of a section, 0 to 4."""
    return np.repeat(np.arange(5), rows // 5 * columns)


def serial_sections(
    n: int = 2,
    rows: int = 10,
    columns: int = 12,
    genes: int = 80,
    *,
    fold: float = 2.0,
    shift: float = 0.3,
    seed: int = 0,
) -> list[Section]:
    """Sections that lie over one another, in five bands with ``genes`` / 5 raised genes each.

    Genes have the same mean in all, LogNormal(0, 1), times LogNormal(0, ``shift``) in each: the
    batch shift of check 15 of the method's notes. Depth LogNormal(ln 1500, 0.3), Poisson-Gamma
    of shape 5. ``obs["ground_truth"]`` holds the bands.
    """
    common = np.random.default_rng([seed, 999]).lognormal(0, 1, genes)
    coords, band = hexagons(rows, columns, 100.0), bands(rows, columns)
    own = genes // 5
    out = []
    for s in range(n):
        rng = np.random.default_rng([seed, s])
        mean = np.tile(common * rng.lognormal(0, shift, genes), (len(coords), 1))
        for b in range(5):
            mean[band == b, own * b : own * (b + 1)] *= fold
        depth = rng.lognormal(np.log(1500), 0.3, len(coords))
        rate = mean / mean.sum(axis=1, keepdims=True) * depth[:, None]
        counts = rng.poisson(rate * rng.gamma(5, 1 / 5, rate.shape))
        adata = AnnData(sp.csr_matrix(counts.astype(np.float32)))
        adata.obs_names = [f"s{s}_{i}" for i in range(len(coords))]
        adata.var_names = [f"GENE{i}" for i in range(genes)]
        adata.obsm["spatial"] = coords.copy()
        adata.obs["ground_truth"] = band.astype(str)
        out.append(Section(adata, name=f"s{s}", um_per_px=1.0, platform="visium"))
    return out
