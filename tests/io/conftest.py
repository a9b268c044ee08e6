"""Tiny sections and Space Ranger folders, made by code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from napari_stmask.core.histology import Histology
from napari_stmask.core.section import Section
from napari_stmask.io.spaceranger_writer import write_spaceranger

PITCH_PX = 40.0
N_GENES = 12


def tiny_section(rows: int = 8, columns: int = 7, seed: int = 0) -> Section:
    """Hexagonal lattice of rows x columns spots, 40 px apart, with a 500 x 400 px image."""
    rng = np.random.default_rng(seed)
    row, half = np.divmod(np.arange(rows * columns), columns)
    col = 2 * half + row % 2
    x, y = 50 + col * PITCH_PX / 2, 60 + row * PITCH_PX * np.sqrt(3) / 2
    counts = rng.poisson(2.0, (rows * columns, N_GENES)).astype(np.float32)
    letters = np.array(list("ACGT"))
    barcodes = ["".join(rng.choice(letters, 16)) + "-1" for _ in row]
    obs = pd.DataFrame({"in_tissue": 1, "array_row": row, "array_col": col}, index=barcodes)
    var = pd.DataFrame(
        {"gene_ids": [f"ID{i}" for i in range(N_GENES)], "feature_types": "Gene Expression"},
        index=[f"G{i}" for i in range(N_GENES)],
    )
    adata = AnnData(sp.csr_matrix(counts), obs, var)
    adata.obsm["spatial"] = np.column_stack([x, y])
    image = rng.integers(0, 255, (400, 500, 3), dtype=np.uint8)
    return Section(
        adata,
        name="tiny",
        image=Histology([image], 1.0, "hires"),
        platform="visium",
        spot_diameter=22.0,
    )


@pytest.fixture
def section() -> Section:
    """56 spots x 12 genes."""
    return tiny_section()


@pytest.fixture
def outs(section: Section, tmp_path: Path) -> Path:
    """A complete Space Ranger 2 folder of `section`."""
    return write_spaceranger(section, tmp_path / "run" / "outs")
