"""Generated serial sections: a piece of tissue without symmetry, on a lattice."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from tests.helpers import hexagons

from napari_stmask.core.section import Section

__all__ = ["blob", "pattern_section", "turned"]


def _radius(angle: np.ndarray) -> np.ndarray:
    return 1 + 0.3 * np.sin(angle) + 0.25 * np.cos(2 * angle + 0.3) + 0.2 * np.sin(3 * angle + 1)


def blob(offset: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """(n, 2) spots 100 µm apart in an irregular outline about the origin, lattice at ``offset``."""
    points = hexagons(60, 60, 100.0)
    points += np.asarray(offset) - points.mean(axis=0)
    x, y = points.T
    return points[np.hypot(x, y) < 1500 * _radius(np.arctan2(y, x))]


def turned(points: np.ndarray, degrees: float, *, mirror: bool = False) -> np.ndarray:
    """``points`` mirrored, turned about the origin and moved far away."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points * [-1 if mirror else 1, 1]) @ turn.T + [12345.0, -6789.0]


def pattern_section(
    tissue: np.ndarray,
    places: np.ndarray | None = None,
    *,
    um_per_px: float | None = 1.0,
    seed: int = 0,
    name: str = "section",
) -> Section:
    """Counts of 60 genes that follow place in the tissue, stored at other ``places``.

    Parameters
    ----------
    tissue
        (n, 2) place of each spot in the tissue, in µm; expression is a function of it.
    places
        (n, 2) coordinates that the section states, in µm; None for those of the tissue.
    """
    rng = np.random.default_rng(seed)
    x, y = tissue.T / 1500
    patterns = np.column_stack([x, y, x * y, np.sin(3 * x), np.cos(2 * y), x**2])
    weights = np.random.default_rng(99).normal(size=(6, 60))
    counts = rng.poisson(4 * np.exp(0.5 * patterns @ weights))
    adata = AnnData(sp.csr_matrix(counts.astype(np.float32)))
    adata.obs_names = [f"s{i}" for i in range(len(tissue))]
    adata.var_names = [f"G{i}" for i in range(60)]
    adata.obsm["spatial"] = (tissue if places is None else places) / (um_per_px or 1.0)
    return Section(adata, name=name, um_per_px=um_per_px)
