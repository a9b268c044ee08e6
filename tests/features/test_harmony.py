import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from napari_stmask.analysis.lisi import lisi
from napari_stmask.core.errors import DataError, ParameterError, ResourceError
from napari_stmask.features.harmony import harmonise

installed = pytest.mark.skipif(
    importlib.util.find_spec("harmonypy") is None,
    reason="the extra 'integration' is not installed",
)


def shifted(n: int = 600, width: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three kinds of spots in two sections that lie apart by one shift."""
    rng = np.random.default_rng(0)
    kind, batches = rng.integers(3, size=n), np.arange(n) % 2
    values = 6 * rng.normal(size=(3, width))[kind] + rng.normal(size=(n, width))
    values += 3 * batches[:, None] * rng.normal(size=width)
    return values.astype(np.float32), batches, kind


def global_state() -> tuple[list[int], int]:
    _, words, position, *_ = np.random.get_state()  # noqa: NPY002
    return words.tolist(), position


@installed
def test_sections_come_together_and_kinds_stay_apart() -> None:
    values, batches, kind = shifted()
    found = harmonise(values, batches, seed=0)
    assert found.shape == values.shape
    assert found.dtype == np.float32
    assert np.median(lisi(values, batches)) < 1.05
    assert np.median(lisi(found, batches)) > 1.7
    assert np.median(lisi(found, kind)) < 1.05
    # Each spot keeps its place in the table: it stays near the middle of its own kind.
    centre = np.array([found[kind == k].mean(axis=0) for k in range(3)])
    nearest = np.linalg.norm(found[:, None] - centre, axis=2).argmin(axis=1)
    assert (nearest == kind).mean() > 0.98


@installed
def test_is_repeatable_and_leaves_all_else_alone() -> None:
    values, batches, _ = shifted()
    kept, state = values.copy(), global_state()
    first = harmonise(values, batches, seed=3)
    np.testing.assert_array_equal(first, harmonise(values, batches, seed=3))
    np.testing.assert_array_equal(values, kept)
    assert global_state() == state
    named = np.array(["late", "early"])[1 - batches]
    np.testing.assert_allclose(first, harmonise(values, named, seed=3), atol=1e-4)


@installed
def test_options_reach_harmony() -> None:
    values, batches, _ = shifted()
    usual = harmonise(values, batches, seed=0)
    assert not np.allclose(usual, harmonise(values, batches, seed=0, theta=0))
    assert not np.allclose(usual, harmonise(values, batches, seed=0, max_iter=1))


@installed
def test_as_many_spots_as_components() -> None:
    values, batches, _ = shifted(40, 40)
    found = harmonise(values, batches, seed=0)
    # Corrections are small beside the values: transposed, nothing would fit.
    assert np.corrcoef(found.ravel(), values.ravel())[0, 1] > 0.8


@pytest.mark.parametrize("lying", [False, True], ids=["rows are spots", "columns are spots"])
def test_both_ways_in_which_releases_return(lying: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    values, batches, _ = shifted(40, 6)
    seen = {}

    def run_harmony(data, table, columns, theta, max_iter_harmony, random_state, verbose):
        np.random.random()  # noqa: NPY002  old releases draw from the global generator
        seen.update(shape=data.shape, table=table, columns=columns, theta=theta)
        one = data if lying else data.T
        return SimpleNamespace(Z_orig=one, Z_corr=one + 1)

    monkeypatch.setitem(sys.modules, "harmonypy", SimpleNamespace(run_harmony=run_harmony))
    state = global_state()
    found = harmonise(values, batches, seed=5, theta=1.5)
    np.testing.assert_allclose(found, values + 1, rtol=1e-6)
    assert seen["shape"] == (6, 40)
    assert seen["theta"] == 1.5
    pd.testing.assert_series_equal(
        seen["table"][seen["columns"][0]].astype(int), pd.Series(batches), check_names=False
    )
    assert global_state() == state


def test_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harmonypy", None)
    values, batches, _ = shifted()
    with pytest.raises(ResourceError, match=r"pip install 'napari-stmask\[integration\]'"):
        harmonise(values, batches, seed=0)


def test_errors() -> None:
    values, batches, _ = shifted()
    with pytest.raises(ParameterError, match="one section"):
        harmonise(values, np.zeros(600), seed=0)
    with pytest.raises(ParameterError, match="belong to no section"):
        harmonise(values, np.where(batches == 1, np.nan, 0.0), seed=0)
    with pytest.raises(ParameterError, match="theta"):
        harmonise(values, batches, seed=0, theta=-1)
    with pytest.raises(ParameterError, match="rounds"):
        harmonise(values, batches, seed=0, max_iter=0)
    with pytest.raises(DataError, match="20 spots"):
        harmonise(values[:20], batches[:20], seed=0)
    with pytest.raises(DataError, match="not finite"):
        harmonise(np.where(values > 0, np.nan, values), batches, seed=0)
    with pytest.raises(DataError, match="one row a spot"):
        harmonise(values[:50], batches, seed=0)
