import numpy as np
import pandas as pd
import pytest

from napari_stmask.analysis.scores import against_truth, chaos, pas, spatial_scores


def grid(n: int = 10) -> np.ndarray:
    y, x = np.mgrid[:n, :n].reshape(2, -1).astype(float)
    return np.column_stack([x, y])


def test_pas_of_one_odd_spot() -> None:
    labels = np.zeros(100, int)
    labels[45] = 1
    assert pas(grid(), labels) == pytest.approx(0.01)
    assert pas(grid(), np.zeros(100, int)) == 0


def test_chaos_of_a_grid() -> None:
    assert chaos(grid(), np.zeros(100, int)) == pytest.approx(1 / np.sqrt(8.25), abs=1e-6)


def test_names_do_not_matter() -> None:
    labels = np.random.default_rng(0).integers(3, size=100)
    renamed = np.array(["c", "a", "b"])[labels]
    assert spatial_scores(grid(), labels) == spatial_scores(grid(), renamed)
    assert against_truth(pd.Series(labels), pd.Series(renamed))["ARI"] == 1
    assert against_truth(pd.Series(labels), pd.Series(renamed))["ACC"] == pytest.approx(1)


def test_unlabelled_spots_do_not_count() -> None:
    truth = pd.Series(["a", "a", "b", "b", None, None], dtype="string")
    first = against_truth(truth, pd.Series([1, 1, 2, 2, 1, 2]))
    second = against_truth(truth, pd.Series([1, 1, 2, 2, 2, 1]))
    assert first == second
    assert first["ARI"] == 1
    assert first["spots"] == 4


def test_doubled_positions() -> None:
    coords = np.repeat(grid(4), 2, axis=0)
    assert 0 <= pas(coords, np.arange(32) % 2) <= 1


def test_pas_without_ties_is_its_definition() -> None:
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(0)
    coords, labels = rng.random((200, 2)), rng.integers(3, size=200)
    index = cKDTree(coords).query(coords, k=11)[1][:, 1:]
    expected = ((labels[index] != labels[:, None]).sum(axis=1) > 5).mean()
    assert pas(coords, labels) == pytest.approx(expected)


def test_pas_does_not_depend_on_the_order_of_ties() -> None:
    labels = np.random.default_rng(0).integers(2, size=400)
    jitter = 1e-9 * np.random.default_rng(1).random((400, 2))
    assert pas(grid(20), labels) == pas(grid(20) + jitter, labels)
