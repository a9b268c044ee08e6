"""What SpaHGC makes of its networks: weights, corrections and the spots left out."""

import numpy as np
import pytest
from scipy.optimize import nnls
from tests.models.spahgc_helpers import side_with

from napari_stmask.analysis.prediction_scores import gene_scores
from napari_stmask.core.errors import ParameterError
from napari_stmask.models.spahgc.head import Head, fit_head, parts_of

N, G = 200, 12


def parts(seed: int = 0, noise: tuple[float, float, float] = (1.0, 1.5, 0.7)):
    """Three predictions of the same values, the better the less noise."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(N, G)).astype(np.float32)
    return [(y + s * rng.normal(size=y.shape)).astype(np.float32) for s in noise], y


def mse(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a.astype(np.float64) - b) ** 2).mean())


def contrary(seed: int = 0):
    """Plain least squares would take the second part with a minus."""
    rng = np.random.default_rng(seed)
    y, common = rng.normal(size=(2, N, G))
    return [(y + common), common, (y + common + rng.normal(size=y.shape))], y


def drawn(some: list[np.ndarray], y: np.ndarray, belief: float = 100.0) -> np.ndarray:
    """The same least squares on the tables themselves, the prior as three more rows."""
    table = np.stack([p.ravel() for p in some], 1).astype(np.float64)
    pull = np.sqrt((table**2).sum(0) * belief / len(y))
    rows = np.vstack([table, np.diag(pull)])
    return nnls(rows, np.r_[y.ravel(), pull * [0.5, 0.0, 0.5]])[0]


@pytest.mark.parametrize("make", [parts, contrary])
@pytest.mark.parametrize("seed", range(3))
def test_weights_are_non_negative_least_squares(make, seed: int) -> None:
    some, y = make(seed)
    found = fit_head([p.astype(np.float32) for p in some], y.astype(np.float32), calibrate=False)
    np.testing.assert_allclose(found.weights, drawn(some, y), atol=1e-4)
    assert (found.weights >= 0).all()


def test_a_part_with_a_minus_gets_nothing() -> None:
    some, y = contrary()
    free = np.linalg.lstsq(np.stack([p.ravel() for p in some], 1), y.ravel(), rcond=None)[0]
    assert free[1] < -0.1
    assert fit_head(some, y, calibrate=False).weights[1] == 0


def test_few_spots_say_little() -> None:
    """The fewer spots, the nearer to half ridge and half network."""
    some, y = parts(noise=(2.0, 2.0, 0.3))
    few, many = (fit_head([p[:n] for p in some], y[:n], calibrate=False).weights for n in (8, 200))
    prior = np.array([0.5, 0.0, 0.5])
    assert np.abs(few - prior).max() < 0.5 * np.abs(many - prior).max()


@pytest.mark.parametrize("calibrate", [False, True])
@pytest.mark.parametrize("make", [parts, contrary])
def test_never_farther_than_ridge_alone(make, calibrate: bool) -> None:
    for seed in range(5):
        some, y = make(seed)
        answer = fit_head(some, y, calibrate=calibrate)(some)
        assert mse(answer, y) <= mse(some[0], y) + 1e-6


def test_ridge_alone_where_the_prior_would_do_harm() -> None:
    """Few spots, a perfect regression and a network far off: not half of each."""
    _, y = parts()
    far = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    some = [y[:6], far[:6], far[:6]]
    assert mse(sum(w * p for w, p in zip(drawn(some, y[:6]), some, strict=True)), y[:6]) > 0.01
    head = fit_head(some, y[:6], calibrate=False)
    assert head.weights.tolist() == [1, 0, 0]


def test_half_of_each_where_none_says_anything() -> None:
    _, y = parts()
    head = fit_head([-y, -y, -y], y, calibrate=False)
    assert head.weights.tolist() == [0.5, 0, 0.5]
    np.testing.assert_allclose(head.expected_pcc, -1, atol=1e-5)


def test_the_best_part_counts_most() -> None:
    some, y = parts()
    assert np.argmax(fit_head(some, y, calibrate=True).weights) == 2


def test_calibration_keeps_correlations_and_repairs_levels() -> None:
    some, y = parts()
    shift = np.linspace(-2, 2, G, dtype=np.float32)
    shifted = [p + shift for p in some]
    plain, repaired = (fit_head(shifted, y, calibrate=c) for c in (False, True))
    before, after = (gene_scores(head(shifted), y) for head in (plain, repaired))
    np.testing.assert_allclose(before["pcc"], after["pcc"], atol=1e-4)
    assert (after["rmse"] <= before["rmse"] + 1e-6).all()
    assert after["rmse"].mean() < 0.8 * before["rmse"].mean()
    np.testing.assert_allclose(repaired(shifted).mean(0), y.mean(0), atol=1e-4)


def test_calibration_leaves_good_predictions_nearly_as_they_are() -> None:
    _, y = parts()
    head = fit_head([y, y, y], y, calibrate=True)
    assert head.weights.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(head.slope, 1, atol=1e-4)
    np.testing.assert_allclose(head.level, 0, atol=1e-4)


def test_slope_is_shrunk_towards_one() -> None:
    """(b + 1/4) / (1 + 1/4) for a gene whose own slope is b."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4000, 2))
    x -= x.mean(0)
    y = np.column_stack([1.5 * x[:, 0], 0.5 * x[:, 1]])
    x = x / np.sqrt((x**2).sum(0)) * 60
    y = y / np.sqrt((y**2).sum(0)) * 60 * [1.5, 0.5]
    head = fit_head([x, np.zeros_like(x), np.zeros_like(x)], y, calibrate=True)
    own = np.array([1.5, 0.5]) / head.weights[0]
    np.testing.assert_allclose(head.slope, (own + 0.25) / 1.25, rtol=1e-4)


def test_expected_scores_are_those_of_the_answer() -> None:
    some, y = parts()
    y[:, 4] = 1.0
    head = fit_head(some, y, calibrate=True)
    scores = gene_scores(head(some), y)
    np.testing.assert_allclose(head.expected_pcc, scores["pcc"], atol=1e-4)
    np.testing.assert_allclose(head.expected_error, scores["rmse"], atol=1e-4)
    assert np.isnan(head.expected_pcc[4])
    assert np.isfinite(np.delete(head.expected_pcc, 4)).all()


def test_parts_without_any_variation() -> None:
    _, y = parts()
    head = fit_head([np.zeros_like(y)] * 3, y, calibrate=True)
    answer = head([np.zeros_like(y)] * 3)
    np.testing.assert_allclose(answer, np.tile(y.mean(0), (N, 1)), atol=1e-5)
    assert not head.expected_pcc.any()


def test_answer_is_level_plus_slope_times_sum() -> None:
    some, _ = parts()
    head = Head(
        np.array([0.2, 0.3, 0.5], np.float32),
        np.linspace(0.5, 2, G, dtype=np.float32),
        np.linspace(-1, 1, G, dtype=np.float32),
        np.zeros(G, np.float32),
        np.zeros(G, np.float32),
    )
    expected = head.level + head.slope * (0.2 * some[0] + 0.3 * some[1] + 0.5 * some[2])
    answer = head(some)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_network_alone_is_the_network() -> None:
    some, _ = parts()
    head = Head.network_only(G)
    np.testing.assert_array_equal(head(some), some[2])
    assert np.isnan(head.expected_pcc).all()


# Which spots are left out


def sides(groups: list[int], n: int = 8):
    rng = np.random.default_rng(0)
    return [
        side_with(rng.normal(size=(n * n, 3)), n, section=i, group=g) for i, g in enumerate(groups)
    ]


def test_whole_groups_where_there_are_enough() -> None:
    some = sides([7, 3, 3, 9, 5])
    found = parts_of(some, 3)
    assert [len(np.unique(part)) for part in found] == [1] * 5
    codes = [int(part[0]) for part in found]
    assert codes[1] == codes[2]
    assert set(codes) == {0, 1, 2}


def test_pieces_of_each_section_where_groups_are_few() -> None:
    for part in parts_of(sides([0, 1]), 3):
        assert part.shape == (64,)
        sizes = np.bincount(part, minlength=3)
        assert sizes.min() >= 16
        # Compact: neighbours along a row are mostly of one piece.
        grid = part.reshape(8, 8)
        same = (grid[:, 1:] == grid[:, :-1]).mean() + (grid[1:] == grid[:-1]).mean()
        assert same / 2 > 0.7


def test_too_small_a_section_cannot_be_cut() -> None:
    small = sides([0], n=3)[0].part(np.arange(5), 0)
    with pytest.raises(ParameterError, match="5 spots cannot be cut into 3") as caught:
        parts_of([small], 3)
    assert "replicates" in caught.value.remedy
