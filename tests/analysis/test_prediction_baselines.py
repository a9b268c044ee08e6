"""Baselines of prediction: by hand, by brute force, and what they may not see."""

import numpy as np
import pytest
from tests.helpers import hexagons

from napari_stmask.analysis.prediction_baselines import (
    BASELINES,
    References,
    baseline_predictions,
    baseline_steps,
    depth_oracle,
    knn_mean,
    neighbour_features,
    position_only,
)
from napari_stmask.analysis.prediction_scores import gene_scores
from napari_stmask.analysis.ridge import fit_ridge
from napari_stmask.core.errors import DataError, ParameterError


def planted(seed: int = 0):
    """Three sections of 120 spots: six features that say the genes, up to noise."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(6, 5))
    coords = hexagons(10, 12, 100.0)
    z = [rng.normal(size=(120, 6)).astype(np.float32) for _ in range(3)]
    y = [(one @ weights + 0.5 * rng.normal(size=(120, 5))).astype(np.float32) for one in z]
    return z, [coords + 1e4 * i for i in range(3)], y


def test_knn_mean_by_hand() -> None:
    y = np.array([[0.0, 1], [2, 3], [10, 20]], dtype=np.float32)
    index = np.array([[0, 1], [2, 2]])
    np.testing.assert_allclose(knn_mean(index, y), [[1, 2], [10, 20]])
    weighted = knn_mean(index, y, np.array([[3.0, 1], [0, 5]]))
    np.testing.assert_allclose(weighted, [[0.5, 1.5], [10, 20]])
    for bad in (np.ones((2, 3)), np.array([[1.0, -1], [1, 1]]), np.array([[0.0, 0], [1, 1]])):
        with pytest.raises(ParameterError, match="weights of 2 x 2 neighbours"):
            knn_mean(index, y, bad)


def test_position_only_knows_the_place_alone() -> None:
    coords = hexagons(12, 12, 100.0)
    y = np.column_stack([coords[:, 0], coords[:, 1] ** 2]).astype(np.float32)
    # Moved and stretched along each axis: the same places of the section.
    moved = coords * [3.0, 0.5] + [700, -9]
    np.testing.assert_allclose(position_only(moved, [coords], [y], k=1), y)
    found = position_only(moved, [coords, coords], [y, y + 2], k=2)
    np.testing.assert_allclose(found, y + 1, rtol=1e-6)
    # A pool that is smaller than k is averaged as a whole.
    few = position_only(coords, [coords[:3]], [y[:3]], k=7)
    np.testing.assert_allclose(few, np.tile(y[:3].mean(axis=0), (144, 1)), rtol=1e-6)
    line = np.column_stack([np.arange(5.0), np.zeros(5)])
    np.testing.assert_allclose(position_only(line, [line], [y[:5]], k=1), y[:5])


def test_neighbour_features_by_hand() -> None:
    coords = np.array([[0.0, 0], [1, 0], [2, 0], [3, 0]])
    z = np.array([[1.0], [2], [4], [8]])
    got = neighbour_features(coords, z, 1)  # a chain: the middle spots have two neighbours
    np.testing.assert_allclose(got, [[1, 2], [2, 2.5], [4, 5], [8, 4]])
    assert got.dtype == np.float32
    np.testing.assert_allclose(neighbour_features(coords[:1], z[:1], 4), [[1, 1]])
    with pytest.raises(ParameterError, match="neighbours is 0"):
        neighbour_features(coords, z, 0)


def test_depth_is_one_number_a_spot() -> None:
    depth = depth_oracle(np.array([0, 9, 99]))
    np.testing.assert_allclose(depth, np.log([1, 10, 100]))
    rng = np.random.default_rng(0)
    totals = rng.lognormal(8, 1, 300)
    measured = np.log1p(rng.poisson(totals[:, None] * [0.01, 0.02]))
    told = np.broadcast_to(depth_oracle(totals)[:, None], measured.shape)
    assert (gene_scores(told, measured)["pcc"] > 0.9).all()


def test_all_of_them() -> None:
    z, coords, y = planted()
    references = References(z[1:], coords[1:], y[1:])
    found = baseline_predictions(z[0], coords[0], references, ring=6)
    assert tuple(found) == BASELINES
    for prediction in found.values():
        assert prediction.shape == (120, 5)
        assert prediction.dtype == np.float32
    pool, genes = np.concatenate(z[1:]), np.concatenate(y[1:])
    np.testing.assert_allclose(found["mean"], np.tile(genes.mean(axis=0), (120, 1)), rtol=1e-4)
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (z[0], pool)]
    order = np.argsort(-unit[0] @ unit[1].T, axis=1)
    for k in (7, 50):
        expected = genes[order[:, :k]].mean(axis=1)
        np.testing.assert_allclose(found[f"k-NN ({k})"], expected, atol=1e-4)
    ridge = fit_ridge(pool, genes, np.repeat([0, 1], 120))
    np.testing.assert_allclose(found["ridge"], ridge.predict(z[0]), atol=1e-5)
    pcc = {name: gene_scores(p, y[0])["pcc"].mean() for name, p in found.items()}
    # The genes are linear in the features, and the place says nothing.
    assert pcc["ridge"] > 0.9
    assert pcc["ridge"] > pcc["k-NN (7)"] > 0.5
    assert pcc["ridge + neighbours"] > pcc["ridge"] - 0.05
    assert pcc["mean"] == 0
    assert abs(pcc["x-y only"]) < 0.2


def test_surroundings_help_where_they_tell() -> None:
    """Genes that follow the mean of the neighbours' features and not the spot's own."""
    z, coords, _ = planted()
    around = [neighbour_features(xy, one, 6)[:, 6:] for xy, one in zip(coords, z, strict=True)]
    y = [one[:, :3] + 0 for one in around]
    found = baseline_predictions(z[0], coords[0], References(z[1:], coords[1:], y[1:]), ring=6)
    pcc = {name: gene_scores(p, y[0])["pcc"].mean() for name, p in found.items()}
    assert pcc["ridge + neighbours"] > 0.95
    assert pcc["ridge"] < 0.5


def test_small_pools_and_groups() -> None:
    z, coords, y = planted()
    small = References([z[1][:20]], [coords[1][:20]], [y[1][:20]])
    found = baseline_predictions(z[0], coords[0], small, ring=6)
    np.testing.assert_allclose(found["k-NN (50)"], found["mean"], rtol=1e-4, atol=1e-5)
    grouped = References(z[1:], coords[1:], y[1:], groups=(4, 4))
    np.testing.assert_array_equal(grouped.codes, np.full(240, 4))
    assert References(z[1:], coords[1:], y[1:]).codes.tolist() == [0] * 120 + [1] * 120
    assert {e.phase for e in baseline_steps(z[0], coords[0], grouped, ring=6)} >= {"baselines"}


def test_mistakes() -> None:
    z, coords, y = planted()
    with pytest.raises(ParameterError, match="of 2, 2, 1, 2 references"):
        References(z[1:], coords[1:], y[2:])
    with pytest.raises(ParameterError, match="of 0, 0, 0, 0 references"):
        References([], [], [])
    with pytest.raises(ParameterError, match="reference 2 has 120 spots with features, 119"):
        References(z[1:], [coords[1], coords[2][1:]], y[1:])
    references = References(z[1:], coords[1:], y[1:])
    with pytest.raises(ParameterError, match="the target has 5 features a spot"):
        baseline_predictions(z[0][:, :5], coords[0], references, ring=6)
    z[0][1, 1] = np.nan
    with pytest.raises(DataError, match="features of the target"):
        baseline_predictions(z[0], coords[0], references, ring=6)
