import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from napari_stmask.analysis.layout import umap_layout
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain


def blobs(n: int = 240) -> tuple[np.ndarray, np.ndarray]:
    codes = np.arange(n) % 3
    rng = np.random.default_rng(0)
    return (9 * np.eye(3, 8)[codes] + rng.normal(size=(n, 8))).astype(np.float32), codes


def test_groups_stay_together_and_the_seed_decides() -> None:
    values, codes = blobs()
    before = np.random.get_state()  # noqa: NPY002
    found = drain(umap_layout(values, seed=0))
    assert found.shape == (240, 2)
    assert found.dtype == np.float32
    assert silhouette_score(found, codes) > 0.7
    np.testing.assert_array_equal(found, drain(umap_layout(values, seed=0)))
    assert not np.array_equal(found, drain(umap_layout(values, seed=1)))
    after = np.random.get_state()  # noqa: NPY002
    assert (after[1] == before[1]).all()
    assert after[2] == before[2]


def test_above_the_limit_only_a_sample_is_laid_out() -> None:
    values, _ = blobs()
    sections = np.repeat([0, 1], [180, 60])
    found = drain(umap_layout(values, groups=sections, max_spots=80))
    drawn = np.isfinite(found).all(axis=1)
    assert np.bincount(sections[drawn]).tolist() == [60, 20]
    assert np.isnan(found[~drawn]).all()


def test_few_spots() -> None:
    assert np.isfinite(drain(umap_layout(blobs(5)[0]))).all()


def test_errors() -> None:
    values, _ = blobs()
    with pytest.raises(DataError, match="3 spots"):
        drain(umap_layout(values[:3]))
    with pytest.raises(DataError, match="not finite"):
        drain(umap_layout(np.where(values > 9, np.inf, values)))
    with pytest.raises(ParameterError, match="1 neighbours"):
        drain(umap_layout(values, n_neighbors=1))
