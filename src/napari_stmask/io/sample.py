"""Generated sections that need no download: for the demo, the tutorial and the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.histology import Histology

if TYPE_CHECKING:
    from ..core.section import Section

__all__ = ["SAMPLES", "Sample", "sample_section"]

PITCH_UM = 100.0
UM_PER_PX = 0.7246
SPOT_UM = 55.0
WIDTH_UM, HEIGHT_UM = 5600.0, 5000.0
"""Field of the image, in µm."""
HIRES_SIDE = 1500
N_DOMAINS = 6
N_GENES = 1200
EDGES = (0.12, 0.30, 0.46, 0.62, 0.80)
"""Depths, 0 at the outer surface and 1 at the inner one, at which one layer ends."""
# fmt: off
_MARKERS = [
    "RELN", "AQP4", "GFAP", "FABP7", "HPCAL1", "CXCL14", "CALB1", "CUX2", "LAMP5", "CARTPT",
    "ENC1", "COL5A2", "RORB", "PCP4", "TRABD2A", "FEZF2", "HTR2C", "NR4A2", "KRT17", "SYT6",
    "FOXP2", "TLE4", "CCK", "ADCYAP1", "SNAP25", "MBP", "MOBP", "PLP1", "CNP", "MAG",
]
# fmt: on
"""Five markers a layer, outer to inner, as in human cortex and white matter."""

Float = NDArray[np.float64]


class Sample(NamedTuple):
    """A generated section: its title for menus, and the function that makes it from a seed."""

    title: str
    make: Callable[..., Section]


def sample_section(seed: int = 0, *, shown_in: Literal["both", "image"] = "both") -> Section:
    """A Visium-like section of layered tissue with histology and known domains.

    About 1,900 spots on a hexagonal lattice, 1,200 genes, six curved layers in
    ``obs["ground_truth"]``, negative binomial counts and an H&E-like image.

    Parameters
    ----------
    seed
        Of a generator of its own: the same seed gives the same section.
    shown_in
        Whether the layers show in expression and histology, or in the histology alone, which
        tells whether a method reads the image.

    Returns
    -------
    Section
        Platform ``"visium"``, coordinates in full-resolution pixels.
    """
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

    from ..core.section import Section

    rng = np.random.default_rng(seed)
    row, col, x, y = _array_spots()
    inside = _outline(x, y) < 1
    row, col, x, y = row[inside], col[inside], x[inside], y[inside]
    depth = _depth(x, y)
    domain = np.digitize(depth, EDGES)
    counts = _counts(rng, x, y, depth, effect=1.0 if shown_in == "both" else 0.0)
    image = _histology(rng)
    scale = HIRES_SIDE / (WIDTH_UM / UM_PER_PX)
    layers = np.array([f"Layer {i + 1}" for i in range(N_DOMAINS)])
    obs = pd.DataFrame(
        {
            "in_tissue": 1,
            "array_row": row,
            "array_col": col,
            "ground_truth": pd.Categorical(layers[domain], categories=layers),
        },
        index=_barcodes(len(row)),
    )
    var = pd.DataFrame(
        {"gene_ids": [f"STM{i:08d}" for i in range(N_GENES)], "feature_types": "Gene Expression"},
        index=_gene_names(),
    )
    adata = AnnData(sp.csr_matrix(counts), obs, var)
    adata.obsm["spatial"] = np.column_stack([x, y]) / UM_PER_PX
    diameter = SPOT_UM / UM_PER_PX
    adata.uns["spatial"] = {
        "sample": {
            "images": {"hires": image},
            "scalefactors": {"tissue_hires_scalef": scale, "spot_diameter_fullres": diameter},
            "metadata": {"software_version": "generated"},
        }
    }
    return Section(
        adata,
        name="sample",
        image=Histology([image], scale, "hires"),
        platform="visium",
        spot_diameter=diameter,
    )


def _array_spots() -> tuple[NDArray[np.int64], NDArray[np.int64], Float, Float]:
    """Array row and column, and position in µm, of every spot of the field."""
    rows = int(HEIGHT_UM / (PITCH_UM * np.sqrt(3) / 2))
    columns = int(WIDTH_UM / PITCH_UM)
    row, half = np.divmod(np.arange(rows * columns, dtype=np.int64), columns)
    col = 2 * half + row % 2
    return row, col, (col + 1) * PITCH_UM / 2, (row + 1) * PITCH_UM * np.sqrt(3) / 2


def _outline(x: Float, y: Float) -> Float:
    """Below 1 inside the tissue: an ellipse with a wavy edge."""
    u, v = (x - WIDTH_UM / 2) / (0.435 * WIDTH_UM), (y - HEIGHT_UM / 2) / (0.43 * HEIGHT_UM)
    angle = np.arctan2(v, u)
    edge = 1 + 0.05 * np.sin(3 * angle + 0.6) + 0.035 * np.sin(5 * angle) - 0.02 * np.sin(9 * angle)
    return np.asarray(np.hypot(u, v) / edge)


def _depth(x: Float, y: Float) -> Float:
    """0 at the outer surface of the layers, 1 at the inner one; curved across the section."""
    u, v = x / WIDTH_UM - 0.5, y / HEIGHT_UM
    bend = 1.1 * u**2 + 0.06 * np.sin(6.5 * u + 0.8)
    return np.clip((v + bend - 0.13) / 0.92, 0, 1)


def _smooth(rng: np.random.Generator, x: Float, y: Float, length_um: float) -> Float:
    """A random wavy field of unit size at the positions (x, y)."""
    waves = rng.normal(0, 1 / length_um, (12, 2))
    phase = rng.uniform(0, 2 * np.pi, 12)
    total = np.zeros(np.broadcast(x, y).shape)
    for (a, b), shift in zip(waves, phase, strict=True):
        total += np.sin(a * x + b * y + shift)
    return np.asarray(total / np.sqrt(6.0))


def _counts(
    rng: np.random.Generator, x: Float, y: Float, depth: Float, *, effect: float
) -> NDArray[np.float32]:
    """(n_spots, n_genes) negative binomial counts.

    Markers rise in their layer, ``effect`` times as much as they would, and weaker in its
    neighbours. Programmes of single spots that have nothing to do with layers (stress, cell
    cycle, blood) are about as strong, so that expression alone tells layers apart poorly and
    neighbourhoods help.
    """
    n_spots = len(x)
    log_mean = np.tile(rng.normal(-1.3, 1.0, N_GENES), (n_spots, 1))
    domain = np.digitize(depth, EDGES)
    per_domain = 36
    for layer in range(N_DOMAINS):
        genes = np.concatenate(
            [
                np.arange(5 * layer, 5 * layer + 5),
                30 + np.arange(layer * (per_domain - 5), (layer + 1) * (per_domain - 5)),
            ]
        )
        rise = effect * rng.uniform(0.6, 1.2, genes.size)
        share = np.where(domain == layer, 1.0, np.where(np.abs(domain - layer) == 1, 0.3, 0.0))
        log_mean[:, genes] = np.maximum(log_mean[:, genes], -0.6)
        log_mean[:, genes] += share[:, None] * rise
    for size in (0.4, 0.35, 0.3):
        genes = rng.choice(np.arange(30 + 6 * 31, N_GENES), 120, replace=False)
        log_mean[:, genes] += size * rng.normal(0, 1, (n_spots, 1)) * rng.uniform(0.5, 1, 120)
    library = 0.25 * _smooth(rng, x, y, 900.0) + rng.normal(0, 0.35, n_spots)
    mean = np.exp(log_mean + library[:, None])
    shape = 4.0
    return rng.poisson(rng.gamma(shape, mean / shape)).astype(np.float32)


def _histology(rng: np.random.Generator) -> NDArray[np.uint8]:
    """(rows, columns, 3) H&E-like picture of the whole field."""
    from scipy.ndimage import gaussian_filter, zoom

    um = WIDTH_UM / HIRES_SIDE
    height, width = round(HEIGHT_UM / um), HIRES_SIDE
    x, y = np.meshgrid((np.arange(width) + 0.5) * um, (np.arange(height) + 0.5) * um)
    tissue = np.clip((1.0 - _outline(x, y)) / 0.012, 0, 1).astype(np.float32)
    domain = np.digitize(_depth(x, y), EDGES)
    density = np.array([0.010, 0.045, 0.020, 0.065, 0.032, 0.012])[domain] * tissue
    nuclei = (rng.random(density.shape, dtype=np.float32) < density).astype(np.float32)
    nuclei = np.clip(gaussian_filter(nuclei, 1.1) * 7.0, 0, 1)
    coarse = rng.normal(0, 1, (height // 12 + 2, width // 12 + 2)).astype(np.float32)
    cloud = zoom(gaussian_filter(coarse, 1.5), 12, order=1)[:height, :width]
    grain = gaussian_filter(rng.normal(0, 1, density.shape).astype(np.float32), 1.0)
    eosin = np.array([0.38, 0.52, 0.44, 0.58, 0.48, 0.74], dtype=np.float32)[domain]
    eosin = tissue * np.clip(eosin + 0.35 * cloud + 0.08 * grain, 0.1, 1.2)
    haematoxylin = nuclei * tissue
    # Absorption of the two dyes in red, green and blue, after Ruifrok and Johnston.
    stains = np.array([[0.07, 0.75, 0.25], [0.90, 0.95, 0.40]], dtype=np.float32)
    light = 244 * np.exp(-eosin[..., None] * stains[0] - haematoxylin[..., None] * stains[1])
    rounded = np.rint(light + 0.8 * grain[..., None])
    return np.asarray(np.clip(rounded, 0, 255), dtype=np.uint8)


def _gene_names() -> list[str]:
    return _MARKERS + [f"GENE{i:04d}" for i in range(1, N_GENES - len(_MARKERS) + 1)]


def _barcodes(n: int) -> list[str]:
    """Distinct 16-letter barcodes with the suffix of 10x."""
    letters = np.array(list("ACGT"))
    # An odd multiplier permutes the 32-bit numbers, so that neighbours do not look alike.
    codes = (np.arange(1, n + 1, dtype=np.uint64) * np.uint64(2654435761)) % np.uint64(1 << 32)
    digits = (codes[:, None] >> np.arange(0, 32, 2, dtype=np.uint64)) & np.uint64(3)
    return ["".join(letters[row]) + "-1" for row in digits.astype(np.intp)]


SAMPLES: Mapping[str, Sample] = MappingProxyType(
    {"layers": Sample("Layered tissue (generated, 1,900 spots)", sample_section)}
)
"""Sections that can be made without a download, by name."""
