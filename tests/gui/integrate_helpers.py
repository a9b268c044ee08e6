"""Small sections that belong together, and the dock over them."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from scipy import sparse

from napari_stmask.core.section import Section
from napari_stmask.gui.commands import open_dock
from napari_stmask.gui.session import session_of

__all__ = ["FAST", "asymmetric", "open_three", "ran", "slice_of", "turn"]

FAST = {
    "n_domains": 3, "epochs": 4, "replicates": 1, "hidden": 8, "latent": 4, "n_pcs_in": 5,
    "threads": 1, "device": "cpu",
}  # fmt: skip


def asymmetric() -> np.ndarray:
    """(n, 2) places 100 µm apart in an L with a bump, which no turn or mirror brings back."""
    row, column = np.divmod(np.arange(18 * 18), 18)
    points = np.column_stack([(column + 0.5 * (row % 2)) * 100.0, row * 50 * np.sqrt(3)])
    x, y = points.T
    inside = (x < 760) | (y > 900) | ((x - 900) ** 2 + (y - 210) ** 2 < 245**2)
    return points[inside]


def turn(degrees: float, shift=(0.0, 0.0), *, mirror: bool = False) -> np.ndarray:
    """(3, 3) turn about the origin, after a mirroring, and a shift."""
    a = np.radians(degrees)
    matrix = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1.0]])
    matrix[:2, 2] = shift
    return matrix @ np.diag([-1.0 if mirror else 1.0, 1.0, 1.0])


def slice_of(
    name: str, matrix: np.ndarray | None = None, *, seed: int = 0, um: float | None = 0.5
) -> Section:
    """A slice of the same tissue, turned by ``matrix``; genes follow three bands of it."""
    tissue = asymmetric()
    rng = np.random.default_rng(seed)
    band = np.digitize(tissue[:, 0] + 0.4 * tissue[:, 1], [560, 1190])
    mean = np.full((len(tissue), 36), 1.5)
    for i in range(3):
        mean[band == i, 12 * i : 12 * i + 12] = 7.0
    # And some of them to one side, so that bands turned over do not agree.
    mean[:, ::2] *= (0.3 + 2.0 * tissue[:, [1]] / tissue[:, 1].max()) ** 1.5
    places = tissue if matrix is None else tissue @ matrix[:2, :2].T + matrix[:2, 2]
    adata = AnnData(sparse.csr_matrix(rng.poisson(mean).astype(np.float32)))
    adata.obs_names = [f"spot{i}" for i in range(len(tissue))]
    adata.var_names = [f"gene{i}" for i in range(36)]
    adata.obs["band"] = np.array(["left", "middle", "right"])[band]
    adata.obs["band"] = adata.obs["band"].astype("category")
    adata.obsm["spatial"] = places / (um or 1.0)
    return Section(
        adata, name=name, um_per_px=um, platform="visium", spot_diameter=55.0 / (um or 1)
    )


def open_three(viewer):
    """Three slices, the second one turned, the third one mirrored; and the dock."""
    session = session_of(viewer)
    items = [
        session.add(slice_of("a")),
        session.add(slice_of("b", turn(25, (4000, 300)), seed=1)),
        session.add(slice_of("c", turn(-40, mirror=True), seed=2)),
    ]
    dock = open_dock(viewer, "Integrate sections")
    dock.run_part.form.set_values(FAST)
    return items, dock


def ran(qtbot, dock, timeout: int = 60_000) -> None:
    """Wait for the run, which must succeed."""
    qtbot.waitUntil(lambda: dock.session.runner.current is None, timeout=timeout)
    job = dock.card.job
    assert job.failure is None, job.failure.details
    assert job.state == "done"
