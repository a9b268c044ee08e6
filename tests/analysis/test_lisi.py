import numpy as np
import pandas as pd
import pytest

from napari_stmask.analysis.lisi import (
    calibrated_weights,
    f1_lisi,
    inverse_simpson,
    lisi,
    nearest_rows_steps,
)
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain


def cloud(n: int = 400, width: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width))


@pytest.mark.parametrize(
    ("shift", "scale", "width"),
    [(0.0, 1.0, 12), (1e3, 1.0, 12), (0.0, 1e-4, 12), (0.0, 1e5, 12), (0.0, 1.0, 3)],
)
def test_is_that_of_harmonypy(shift: float, scale: float, width: int) -> None:
    harmonypy = pytest.importorskip("harmonypy", reason="the extra 'integration' is not installed")
    values = shift + scale * cloud(width=width)
    codes = np.random.default_rng(1).integers(4, size=len(values))
    reference = harmonypy.compute_lisi(values, pd.DataFrame({"b": codes.astype(str)}), ["b"], 30)
    np.testing.assert_allclose(lisi(values, codes), reference[:, 0], atol=1e-6)


def test_weights_have_the_perplexity() -> None:
    distances = np.sort(np.random.default_rng(0).gamma(3, size=(50, 90)), axis=1)
    weights = calibrated_weights(distances, perplexity=30)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    entropy = -(weights * np.log(weights)).sum(axis=1)
    np.testing.assert_allclose(np.exp(entropy), 30, rtol=1e-4)
    # exp(-b d): the logarithm is a line in the distance, falling.
    slopes = np.diff(np.log(weights), axis=1) / np.diff(distances, axis=1)
    np.testing.assert_allclose(slopes, np.repeat(slopes[:, :1], 89, axis=1), rtol=1e-6)
    assert (slopes < 0).all()


def test_equal_distances_weigh_the_same() -> None:
    np.testing.assert_allclose(calibrated_weights(np.full((2, 90), 5.0)), 1 / 90)
    np.testing.assert_allclose(calibrated_weights(np.zeros((2, 90))), 1 / 90)


def test_inverse_simpson_in_closed_form() -> None:
    weights = np.array([[0.25, 0.25, 0.25, 0.25], [0.5, 0.25, 0.25, 0.0]])
    groups = np.array([[0, 1, 2, 3], [0, 1, 1, 2]])
    np.testing.assert_allclose(inverse_simpson(weights, groups), [4, 2])


def test_interleaved_batches_are_mixed_and_blobs_are_not() -> None:
    line = np.arange(600.0)[:, None]
    alternate = np.arange(600) % 2
    assert np.median(lisi(line, alternate)) == pytest.approx(2, abs=0.02)
    apart = lisi(cloud() + 100 * (np.arange(400) % 2)[:, None], np.arange(400) % 2)
    np.testing.assert_allclose(apart, 1)


def test_neighbours_are_those_of_all_pairs() -> None:
    for width in (3, 12):
        values = cloud(300, width)
        distance = np.linalg.norm(values[:, None] - values[None], axis=2)
        np.fill_diagonal(distance, np.inf)
        far, index = drain(nearest_rows_steps(values, 7))
        np.testing.assert_array_equal(index, np.argsort(distance, axis=1)[:, :7])
        np.testing.assert_allclose(far, np.sort(distance, axis=1)[:, :7], rtol=1e-7)


def test_no_spot_is_its_own_neighbour_among_twins() -> None:
    for width in (2, 12):
        values = np.repeat(cloud(4, width), 20, axis=0)
        _, index = drain(nearest_rows_steps(values, 9))
        assert index.shape == (80, 9)
        assert (index != np.arange(80)[:, None]).all()
        assert (index // 20 == np.arange(80)[:, None] // 20).all()


def test_order_of_spots_and_names_of_groups_do_not_matter() -> None:
    values, codes = cloud(), np.random.default_rng(2).integers(3, size=400)
    order = np.random.default_rng(3).permutation(400)
    found = lisi(values, codes)
    np.testing.assert_allclose(lisi(values[order], codes[order]), found[order], rtol=1e-9)
    np.testing.assert_allclose(lisi(values, np.array([7, 3, 90])[codes]), found, rtol=1e-9)


def test_spots_without_a_group_are_nobodys_neighbours() -> None:
    values, codes = cloud(), np.random.default_rng(2).integers(3, size=400)
    hidden = np.random.default_rng(4).random(400) < 0.3
    found = lisi(values, np.where(hidden, -1, codes))
    assert np.isnan(found[hidden]).all()
    np.testing.assert_allclose(found[~hidden], lisi(values[~hidden], codes[~hidden]))


def test_few_spots() -> None:
    found = lisi(cloud(60), np.arange(60) % 2)
    assert ((found >= 1) & (found <= 2)).all()
    assert np.median(found) > 1.7
    assert lisi(cloud(2), np.array([0, 1])) == pytest.approx([1, 1])


def test_f1_in_closed_form() -> None:
    batch, domain = np.array([1.0, 2.0, 2.0, 1.5]), np.array([1.0, 1.0, 4.0, 2.5])
    found = f1_lisi(batch, domain, n_batches=2, n_domains=4)
    np.testing.assert_allclose(found, [0, 1, 0, 0.5])
    unmixed_and_confused = f1_lisi(np.ones(1), np.full(1, 4.0), n_batches=2, n_domains=4)
    assert unmixed_and_confused[0] == 0
    assert f1_lisi(np.full(1, 1.5), np.ones(1), n_batches=2, n_domains=1) == pytest.approx(2 / 3)


def test_errors() -> None:
    with pytest.raises(ParameterError, match="perplexity"):
        lisi(cloud(), np.zeros(400, int), k=20)
    with pytest.raises(DataError, match="1 spots"):
        lisi(cloud(3), np.array([0, -1, -1]))
    with pytest.raises(DataError, match="not finite"):
        lisi(np.full((30, 2), np.nan), np.zeros(30, int))
