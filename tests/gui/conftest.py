"""Small sections, and a napari that keeps its settings out of the user's."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    collect_ignore_glob = ["test_*.py"]


def pytest_report_header() -> str:
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        return "tests/gui is SKIPPED: no display; run it with xvfb-run -a"
    return "tests/gui: with a display"


def make_section(n: int = 12, seed: int = 0, name: str = "tiny"):
    """A hexagonal n x n section with two clear halves and an image."""
    from anndata import AnnData
    from scipy import sparse

    from napari_stmask.core.histology import Histology
    from napari_stmask.core.section import Section

    rng = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(n * n), n)
    coords = np.column_stack([(column + 0.5 * (row % 2)) * 20, row * 20 * np.sqrt(3) / 2]) + 15.0
    left = column < n // 2
    mean = np.full((n * n, 40), 2.0)
    mean[left, :15] = 8.0
    mean[~left, 15:30] = 8.0
    adata = AnnData(sparse.csr_matrix(rng.poisson(mean).astype(np.float32)))
    adata.obs_names = [f"spot{i}" for i in range(n * n)]
    adata.var_names = [f"gene{i}" for i in range(40)]
    adata.obs["half"] = np.where(left, "left", "right")
    adata.obs["half"] = adata.obs["half"].astype("category")
    adata.obsm["spatial"] = coords
    side = int(np.ceil((coords.max() + 15) / 2))
    image = rng.integers(180, 255, (side, side, 3), dtype=np.uint8)
    return Section(
        adata, name=name, image=Histology([image], 0.5), platform="visium", spot_diameter=11.0
    )


@pytest.fixture(autouse=True)
def _quick_collection():
    """What napari keeps of each viewer it closed is not walked again by every collection."""
    # Some 5,000 objects a viewer: after hundreds of tests one collection took half a second.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_remembered(tmp_path, monkeypatch):
    """What one test chooses is not what the next begins with."""
    monkeypatch.setenv("STMASK_CONFIG", str(tmp_path / "config"))


@pytest.fixture
def section():
    return make_section()


@pytest.fixture
def new_section():
    return make_section


@pytest.fixture
def small_run():
    """Parameters of a run that takes a moment."""
    from napari_stmask.models import params_of

    return params_of("spamask")(
        n_domains=3, epochs=4, replicates=1, hidden=8, latent=4, n_pcs_in=5, threads=1, device="cpu"
    )


@pytest.fixture
def result(section, small_run):
    """What a run on `section` returns; the section itself carries nothing."""
    return fake_result(section)


def fake_result(section, key: str = "spamask", k: int = 3, shift: int = 0):
    """A finished run without running: stripes of columns."""
    from napari_stmask.core.result import Domains, Fit, Result
    from napari_stmask.viz.palette import PALETTE

    x = section.coords[:, 0]
    codes = np.minimum((k * (x - x.min()) / (np.ptp(x) + 1e-9)).astype(np.intp), k - 1)
    codes = (codes + shift) % k
    n = section.n_spots
    record = {"schema": 1, "method": "spamask", "key": key, "params": {"n_domains": k}}
    record["scores"] = {m: {"PAS": 0.1, "CHAOS": 0.2, "DIS": 0.15} for m in ("spamask", "pca")}
    return Result(
        key,
        Fit(np.zeros((n, 2), np.float32)),
        Domains(codes, np.ones(n, np.float32), "mixture"),
        list(PALETTE[:k]),
        dict(record["scores"]),
        record,
        baselines={"pca": codes[::-1].copy()},
    )


@pytest.fixture
def make_result():
    return fake_result


@pytest.fixture
def no_threads_left():
    """Waits for workers at the end of a test and fails if one stays."""
    from qtpy.QtCore import QThreadPool
    from qtpy.QtWidgets import QApplication

    before = set(threading.enumerate())
    yield
    end = time.monotonic() + 20
    while QThreadPool.globalInstance().activeThreadCount() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)
    assert QThreadPool.globalInstance().activeThreadCount() == 0
    left = [t for t in set(threading.enumerate()) - before if not t.daemon and t.is_alive()]
    # Dask keeps the threads that read images for the life of the process.
    assert not [t for t in left if not t.name.startswith(("Dummy", "ThreadPoolExecutor"))]


@pytest.fixture
def viewer(make_napari_viewer, no_threads_left):
    """A window that is closed, with its workers, at the end of a test."""
    return make_napari_viewer()


@pytest.fixture(scope="module")
def manifest():
    from npe2 import PluginManifest

    import napari_stmask

    found = PluginManifest.from_file(Path(napari_stmask.__file__).parent / "napari.yaml")
    found.validate_imports()
    return found


@pytest.fixture
def plugin(npe2pm, manifest):
    """This package as napari knows it once it is installed; without napari's own plugins."""
    with npe2pm.tmp_plugin(manifest=manifest) as made:
        yield made


@pytest.fixture
def builtins(npe2pm):
    """What napari itself reads and writes."""
    from npe2 import PluginManifest

    with npe2pm.tmp_plugin(manifest=PluginManifest.from_distribution("napari")) as made:
        yield made
