"""Sections whose patches tell the domain of a spot, and what is asked of SpaHGC on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from napari_stmask.core.histology import Histology
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.models import predictor
from napari_stmask.models.base import Predicted
from napari_stmask.models.spahgc.inputs import Side, blind
from napari_stmask.models.spahgc.params import SpaHGCParams
from napari_stmask.models.spahgc.state import SpaHGCState

__all__ = [
    "FOLLOWING", "GENES", "KEY", "TILE", "fit", "pictured", "predict", "settings", "side_with",
    "tabled",
]  # fmt: skip

GENES, FOLLOWING, DOMAINS = 60, 40, 3
"""Genes, and how many of them, the first ones, follow the domains."""
TILE = 20
"""Pixels across the patch of a spot."""
KEY = "obsm:patches"
FOLD = 3.0
_COLOURS = np.array([[190, 120, 180], [225, 175, 205], [150, 90, 160]], dtype=np.float64)
_DENSITY = (0.10, 0.02, 0.05)


def settings(**values: Any) -> SpaHGCParams:
    """Small and quick."""
    small = {
        "n_genes": GENES, "n_scales": 1, "epochs": 4, "replicates": 2, "hidden": 32, "layers": 2,
        "uncertainty": 0, "threads": 1, "device": "cpu", "patch_size": 100.0,
        "learning_rate": 2e-3,
    }  # fmt: skip
    return SpaHGCParams.checked(**(small | values))


def blobs(side: int, rng: np.random.Generator) -> np.ndarray:
    """(side * side,) domain of each spot: the nearest of six centres, two of each domain."""
    place = np.stack(np.mgrid[:side, :side], axis=-1).reshape(-1, 2)
    centres = rng.uniform(0, side, (2 * DOMAINS, 2))
    away = np.linalg.norm(place[:, None] - centres, axis=2)
    return away.argmin(axis=1) % DOMAINS


def counts_of(domain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, GENES) counts: gene g < FOLLOWING is raised in domain g mod 3, at a random depth."""
    base = np.random.default_rng(99).lognormal(0, 0.4, GENES)
    rate = np.tile(base, (DOMAINS, 1))
    genes = np.arange(FOLLOWING)
    rate[genes % DOMAINS, genes] *= FOLD
    rate /= rate.sum(axis=1, keepdims=True)
    depth = rng.lognormal(np.log(2500), 0.4, len(domain))
    mean = rate[domain] * depth[:, None]
    return rng.poisson(mean * rng.gamma(8, 1 / 8, mean.shape)).astype(np.float32)


def tiles_of(domain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, TILE, TILE, 3) uint8: the colour of the domain, dark nuclei, and noise."""
    n = len(domain)
    light = _COLOURS[domain][:, None, None, :] + rng.normal(0, 6, (n, 1, 1, 3))
    nuclei = rng.random((n, TILE, TILE)) < np.array(_DENSITY)[domain][:, None, None]
    pixels = light - 70 * nuclei[..., None] + rng.normal(0, 8, (n, TILE, TILE, 3))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def section_of(counts: np.ndarray, side: int, name: str, **more: Any) -> Section:
    """Spots on a square lattice of pitch TILE, which is 100 µm."""
    adata = AnnData(sp.csr_matrix(counts))
    adata.obs_names = [f"{name}_{i}" for i in range(len(counts))]
    adata.var_names = [f"GENE{i:02d}" for i in range(counts.shape[1])]
    y, x = np.divmod(np.arange(side * side), side)
    adata.obsm["spatial"] = (np.column_stack([x, y]) + 0.5) * TILE
    return Section(adata, name=name, platform="unknown", um_per_px=100 / TILE, **more)


def pictured(seed: int, side: int = 20, *, shuffled: bool = False) -> Section:
    """A section with histology; ``shuffled`` gives each spot the patch of another."""
    rng = np.random.default_rng(seed)
    domain = blobs(side, rng)
    counts, tiles = counts_of(domain, rng), tiles_of(domain, rng)
    if shuffled:
        tiles = tiles[np.random.default_rng(seed + 1000).permutation(len(tiles))]
    grid = tiles.reshape(side, side, TILE, TILE, 3).swapaxes(1, 2)
    image = np.ascontiguousarray(grid.reshape(side * TILE, side * TILE, 3))
    found = section_of(counts, side, f"section{seed}", image=Histology([image], 1.0, "tiles"))
    found.adata.obs["domain"] = domain
    return found


def tabled(seed: int, side: int = 12, width: int = 12) -> Section:
    """A section without histology, whose finished features tell the domain."""
    rng = np.random.default_rng(seed)
    domain = blobs(side, rng)
    found = section_of(counts_of(domain, rng), side, f"section{seed}")
    centres = np.random.default_rng(7).normal(size=(DOMAINS, width))
    features = centres[domain] + 0.7 * rng.normal(size=(len(domain), width))
    found.adata.obsm["patches"] = features.astype(np.float32)
    found.adata.obs["domain"] = domain
    return found


def fit(references: list[Section], groups: list[int] | None = None, **values: Any) -> SpaHGCState:
    """Train; each reference is a patient unless told otherwise."""
    codes = list(range(len(references))) if groups is None else groups
    found: SpaHGCState = drain(predictor("spahgc").fit(references, codes, settings(**values)))
    return found


def predict(state: SpaHGCState, target: Section, **values: Any) -> Predicted:
    """Predict for a target whose counts are taken away."""
    seen = blind(target, state.params.image_encoder)
    found: Predicted = drain(predictor("spahgc").predict(state, seen, settings(**values)))
    return found


def side_with(
    features: np.ndarray, side: int, *, section: int = 0, group: int = 0, genes: int = 5
) -> Side:
    """Spots of a square lattice of pitch 1 with given features, and random genes."""
    y, x = np.divmod(np.arange(side * side), side)
    coords = np.column_stack([x, y]).astype(np.float64)
    rng = np.random.default_rng(section)
    expression = rng.normal(size=(len(coords), genes)).astype(np.float32)
    return Side(section, group, coords, features.astype(np.float32), 1.0, expression)
