"""AnnData files as stereopy and spateo write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from napari_stmask.core.section import Section
from napari_stmask.io.read import read
from napari_stmask.io.write import write

SIDE = 20


def bins(rows: int = 9, columns: int = 8) -> AnnData:
    """A grid of bins with 5 genes."""
    y, x = np.divmod(np.arange(rows * columns), columns)
    counts = np.random.default_rng(0).poisson(2.0, (rows * columns, 5)).astype(np.float32)
    adata = AnnData(sp.csr_matrix(counts))
    adata.obs_names = [str(i) for i in range(rows * columns)]
    adata.var_names = [f"G{i}" for i in range(5)]
    adata.obsm["spatial"] = np.column_stack([x, y]).astype(np.uint32) * SIDE
    adata.obs["x"], adata.obs["y"] = adata.obsm["spatial"].T
    return adata


def stereopy(**uns: Any) -> AnnData:
    adata = bins()
    chip = pd.DataFrame({"batch": ["-1"], "sn": ["SS7_B2"]})
    adata.uns.update({"bin_type": "bins", "bin_size": SIDE, "resolution": 500, "sn": chip, **uns})
    return adata


def spateo(**space: Any) -> AnnData:
    adata = bins()
    adata.uns.update({"__type": "UMI", "pp": {}})
    adata.uns["spatial"] = {"scale": 0.5, "scale_unit": "um", "binsize": SIDE, **space}
    adata.layers["spliced"] = adata.X.copy()
    adata.layers["unspliced"] = adata.X.copy()
    return adata


def opened(adata: AnnData, folder: Path, **options: Any) -> Section:
    adata.write_h5ad(folder / "a.h5ad")
    found = read(folder / "a.h5ad", **options)
    assert isinstance(found, Section)
    return found


def test_stereopy_bins(tmp_path: Path) -> None:
    found = opened(stereopy(), tmp_path)
    assert (found.platform, found.um_per_px, found.name) == ("stereoseq", 0.5, "SS7_B2")
    assert (found.spot_diameter, found.notes) == (SIDE, [])


@pytest.mark.parametrize(("nm", "um"), [(715, 0.715), (np.array([350]), 0.35)])
def test_stereopy_resolution(tmp_path: Path, nm: Any, um: float) -> None:
    assert opened(stereopy(resolution=nm), tmp_path).um_per_px == pytest.approx(um)


def test_stereopy_without_resolution(tmp_path: Path) -> None:
    adata = stereopy(sn="SS8_C3")
    del adata.uns["resolution"]
    found = opened(adata, tmp_path)
    assert (found.um_per_px, found.name) == (0.5, "SS8_C3")
    assert any("500 nm between DNB were assumed" in note for note in found.notes)


def test_stereopy_cells(tmp_path: Path) -> None:
    adata = stereopy(bin_type="cell_bins", bin_size=1)
    adata.obsm["cell_border"] = np.zeros((adata.n_obs, 32, 2), np.int16)
    found = opened(adata, tmp_path)
    assert (found.platform, found.spot_diameter) == ("stereoseq", None)
    assert found.adata.obsm["cell_border"].shape == (72, 32, 2)


def normalised(adata: AnnData) -> np.ndarray:
    """Moves the counts to ``raw`` and logarithms to ``X``; returns the counts."""
    counts = adata.X.toarray()
    adata.raw = adata.copy()
    adata.X = sp.csr_matrix(np.log1p(counts))
    return counts


def test_stereopy_counts_in_raw(tmp_path: Path) -> None:
    adata = stereopy()
    counts = normalised(adata)
    found = opened(adata[:, ["G3", "G1"]].copy(), tmp_path)
    np.testing.assert_array_equal(found.counts().toarray(), counts[:, [3, 1]])
    assert "X holds no counts; those in raw were taken." in found.notes


def test_raw_is_left_alone_where_counts_stand_elsewhere(tmp_path: Path) -> None:
    assert opened(stereopy(), tmp_path).counts_layer is None
    layered = stereopy()
    normalised(layered)
    layered.layers["counts"] = 3 * layered.raw.X
    assert opened(layered, tmp_path).counts().max() == 3 * layered.raw.X.max()


def test_counts_in_raw_of_any_platform(tmp_path: Path) -> None:
    """CELLxGENE keeps counts in ``raw`` and normalised values in ``X``."""
    plain = bins()
    normalised(plain)
    found = opened(plain, tmp_path)
    assert found.counts_layer == "counts"
    assert (found.counts() != plain.raw.X).nnz == 0
    assert any("raw" in note for note in found.notes)
    logged = bins()
    normalised(logged)
    logged.raw = logged.copy()
    assert opened(logged, tmp_path).counts_layer is None


def test_spateo(tmp_path: Path) -> None:
    found = opened(spateo(), tmp_path)
    assert (found.platform, found.um_per_px, found.spot_diameter) == ("stereoseq", 0.5, SIDE)
    assert found.notes == []
    cells = spateo()
    cells.obs["area"] = 90
    assert opened(cells, tmp_path).spot_diameter is None


def test_spateo_without_scale(tmp_path: Path) -> None:
    adata = spateo()
    del adata.uns["spatial"]
    found = opened(adata, tmp_path)
    assert (found.platform, found.um_per_px) == ("stereoseq", 0.5)
    assert any("spateo wrote it" in note for note in found.notes)


def test_spateo_of_another_platform(tmp_path: Path) -> None:
    """Seq-Scope and others: scale 1 of no unit."""
    found = opened(spateo(scale=1.0, scale_unit="none"), tmp_path)
    assert found.platform != "stereoseq"
    assert found.um_per_px != 0.5


def test_written_and_read_again(tmp_path: Path) -> None:
    found = opened(stereopy(), tmp_path)
    again = read(write(found, tmp_path / "b.h5ad"))
    assert isinstance(again, Section)
    assert (again.platform, again.um_per_px, again.name) == ("stereoseq", 0.5, "SS7_B2")
    assert again.notes == []
