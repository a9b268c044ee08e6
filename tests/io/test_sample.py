"""The generated section, and the cost of asking what a path is."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from napari_stmask.core.section import Section
from napari_stmask.io.read import read
from napari_stmask.io.sample import SAMPLES, sample_section
from napari_stmask.io.spaceranger_writer import write_spaceranger


@pytest.fixture(scope="module")
def sample() -> Section:
    return sample_section()


def test_what_it_is(sample: Section) -> None:
    assert 1800 < sample.n_spots < 2000
    assert sample.n_genes == 1200
    assert sample.platform == "visium"
    assert sample.lattice.kind == "hexagonal"
    assert sample.um_per_px == pytest.approx(0.7246, rel=1e-6)
    assert sample.adata.obs["ground_truth"].nunique() == 6
    assert sample.adata.obs["ground_truth"].value_counts().min() > 100
    assert {"MBP", "CUX2", "GENE0001"} <= set(sample.adata.var_names)
    sample.counts()


def test_image_lies_under_the_spots(sample: Section) -> None:
    image = sample.image
    assert image is not None
    assert max(image.shape) == 1500
    assert image.contains(sample.coords).all()
    pixels = np.asarray(image.levels[0]).astype(int)
    col, row = (sample.coords * image.scale).round().astype(int).T
    assert np.median(pixels[row, col, 1]) < 200
    assert (pixels[:20].mean(axis=(0, 1)) > 235).all()


def test_seeds(sample: Section) -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    again, other = sample_section(0), sample_section(1)
    assert (again.counts() != sample.counts()).nnz == 0
    assert (again.image.levels[0] == sample.image.levels[0]).all()
    assert (other.counts() != sample.counts()).nnz > 0
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_moderately_hard(sample: Section) -> None:
    counts = sample.counts().toarray()
    values = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    scores = PCA(20, random_state=0).fit_transform(values)
    tree = cKDTree(sample.coords)
    near = tree.sparse_distance_matrix(tree, 1.2 * sample.lattice.pitch).tocsr() > 0
    near = sp.csr_matrix(near, dtype=float) + sp.eye(sample.n_spots)
    mean = (near @ scores) / np.asarray(near.sum(axis=1))
    truth = sample.adata.obs["ground_truth"]
    alone, together = (
        adjusted_rand_score(truth, KMeans(6, n_init=5, random_state=0).fit_predict(x))
        for x in (scores, mean)
    )
    assert 0.2 <= alone <= 0.4
    assert together >= 0.7


def test_registry() -> None:
    assert SAMPLES["layers"].make is sample_section
    assert all(entry.title for entry in SAMPLES.values())


def test_through_the_reader(sample: Section, tmp_path: Path) -> None:
    found = read(write_spaceranger(sample, tmp_path / "outs"))
    assert isinstance(found, Section)
    assert found.name == "sample"
    assert found.notes == []
    assert (found.counts() != sample.counts()).nnz == 0
    np.testing.assert_allclose(found.coords, sample.coords)
    assert found.um_per_px == pytest.approx(sample.um_per_px)
    assert found.image.scale == pytest.approx(sample.image.scale)
    assert (found.image.levels[0] == sample.image.levels[0]).all()


@pytest.mark.filterwarnings("ignore")
def test_scanpy_reads_what_is_written(sample: Section, tmp_path: Path) -> None:
    scanpy = pytest.importorskip("scanpy")
    adata = scanpy.read_visium(write_spaceranger(sample, tmp_path / "outs"))
    assert (adata.X != sample.adata.X).nnz == 0
    np.testing.assert_allclose(adata.obsm["spatial"].astype(float), sample.coords)
    assert adata.uns["spatial"]["sample"]["images"]["hires"].shape == (1339, 1500, 3)


def test_asking_what_a_path_is_stays_cheap(tmp_path: Path) -> None:
    """No torch, scanpy, anndata or pandas, and milliseconds for a path that is not ours."""
    for i in range(200):
        (tmp_path / f"file{i}.txt").touch()
    code = f"""
import sys, time
from napari_stmask.io.read import recognise
recognise({str(tmp_path / "file0.txt")!r})
start = time.perf_counter()
for _ in range(20):
    assert recognise({str(tmp_path)!r}) is None
print((time.perf_counter() - start) / 20)
heavy = {{"torch", "scanpy", "anndata", "pandas", "scipy", "dask", "tifffile", "napari", "h5py"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=None
    )
    assert float(done.stdout) < 0.005


def test_a_run_is_recognised_quickly(sample: Section, tmp_path: Path) -> None:
    from napari_stmask.io.read import recognise

    outs = write_spaceranger(sample, tmp_path / "outs")
    for path in (outs, outs / "filtered_feature_bc_matrix.h5"):
        assert recognise(path) == "spaceranger"
        start = time.perf_counter()
        recognise(path)
        assert time.perf_counter() - start < 0.02
