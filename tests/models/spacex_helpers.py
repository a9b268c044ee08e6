"""Generated sections with programmes of genes, and what is asked of SpaCEX on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors
from tests.helpers import hexagons

from napari_stmask.core.section import Section
from napari_stmask.models.spacex.params import SpaCEXParams

__all__ = [
    "DOMAINS", "PROGRAMMES", "arranged", "neighbours_in_programme", "programme_ari",
    "programmes", "settings", "striped",
]  # fmt: skip

PROGRAMMES, DOMAINS = 20, 7
MODULES = 4
"""Programmes of a `striped` section, each of eight genes."""


def settings(**values: Any) -> SpaCEXParams:
    """Small and quick."""
    small = {
        "epochs_pretrain": 3, "min_steps": 0, "epochs_cluster": 2, "svg_draws": 4, "token_dim": 8,
        "gene_modules": 4, "n_domains": 3, "threads": 1, "device": "cpu", "batch": 16,
        "batch_cluster": 16,
    }  # fmt: skip
    return SpaCEXParams.checked(**(small | values))


def arranged(counts: np.ndarray, coords: np.ndarray, name: str = "section") -> Section:
    """A section of given counts at given places."""
    adata = AnnData(sp.csr_matrix(np.asarray(counts, dtype=np.float32)))
    adata.obs_names = [f"spot{i}" for i in range(len(counts))]
    adata.var_names = [f"GENE{i:03d}" for i in range(counts.shape[1])]
    adata.obsm["spatial"] = coords
    return Section(adata, name=name, platform="visium")


def striped(rows: int = 12, columns: int = 14, genes: int = 48, seed: int = 0) -> Section:
    """Genes g < 32 follow pattern g mod 4: left, right, top or bottom; the others follow none."""
    rng = np.random.default_rng(seed)
    coords = hexagons(rows, columns, 100.0)
    x, y = (coords / coords.max(axis=0)).T
    shapes = np.stack([x < 0.4, x > 0.6, y < 0.4, y > 0.6])
    fold = np.ones((len(coords), genes))
    followed = np.arange(min(32, genes))
    fold[:, followed] += 4 * shapes[followed % MODULES].T
    mean = rng.lognormal(0, 0.5, genes) * fold * rng.lognormal(0, 0.2, (len(coords), 1))
    counts = rng.poisson(mean)
    counts[:, 0] += 1  # no spot is empty
    return arranged(counts, coords, "striped")


def programmes(
    rows: int = 40, columns: int = 64, genes: int = 400, seed: int = 0
) -> tuple[Section, np.ndarray, np.ndarray]:
    """An ellipse on a hexagonal array; half of the genes follow one of 20 programmes.

    Ten programmes have a level for each of seven domains, ten are plane waves. Counts are
    negative binomial with a library size of each spot; about 64 % are 0.

    Returns
    -------
    section
        About ``0.39 * rows * columns`` spots.
    programme
        (genes,) programme of each gene, -1 for none.
    domain
        (n_spots,) domain of each spot.
    """
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:rows, :columns].reshape(2, -1)
    height = (row - (rows - 1) / 2) / (rows / 2)
    width = (column - columns / 2 + 0.5) / (columns / 2)
    there = ((row + column) % 2 == 0) & (height**2 + width**2 <= 1)
    coords = np.column_stack([column[there] / 2, row[there] * np.sqrt(3) / 2])
    n = len(coords)
    away = np.linalg.norm(coords + 10, axis=1)
    edges = np.quantile(away, np.arange(1, DOMAINS) / DOMAINS)
    domain = np.searchsorted(edges, away)
    shapes = np.array([_shape(k, coords, domain, rng) for k in range(PROGRAMMES)])
    programme = np.where(np.arange(genes) < genes // 2, np.arange(genes) % PROGRAMMES, -1)
    library = np.exp(rng.normal(0, 0.35, n))
    counts = np.empty((n, genes))
    for gene, own in enumerate(programme):
        level, size = rng.normal(-1, 1.3), rng.uniform(1, 5)
        mean = np.exp(level) * library
        if own >= 0:
            mean = mean * np.exp(rng.uniform(0.5, 1.1) * shapes[own])
        counts[:, gene] = rng.negative_binomial(size, size / (size + mean))
    return arranged(counts, 100 * coords, "programmes"), programme, domain


def _shape(k: int, coords: np.ndarray, domain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n_spots,) standardised course of programme ``k``."""
    if k < PROGRAMMES // 2:
        course = rng.normal(size=DOMAINS)[domain]
    else:
        angle = rng.uniform(0, 2 * np.pi)
        along = coords @ [np.cos(angle), np.sin(angle)]
        periods = rng.uniform(0.5, 2)
        course = np.sin(2 * np.pi * (periods * along / np.ptp(along) + rng.uniform()))
    centred: np.ndarray = course - course.mean()
    return centred / centred.std()


def neighbours_in_programme(vectors: np.ndarray, programme: np.ndarray, k: int = 10) -> float:
    """Share of the ``k`` genes nearest to a gene of a programme that follow the same one."""
    own = programme >= 0
    found = NearestNeighbors(n_neighbors=k + 1).fit(vectors)
    near = found.kneighbors(vectors[own], return_distance=False)[:, 1:]
    return float((programme[near] == programme[own][:, None]).mean())


def programme_ari(vectors: np.ndarray, programme: np.ndarray) -> float:
    """Adjusted Rand index of k-means on the genes that follow a programme."""
    own = programme >= 0
    labels = KMeans(PROGRAMMES, n_init=10, random_state=0).fit_predict(vectors[own])
    return float(adjusted_rand_score(programme[own], labels))
