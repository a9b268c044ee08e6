import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from napari_stmask.analysis.split_merge import split_merge, split_merge_steps
from napari_stmask.core.errors import ParameterError


def clouds(k: int = 4, n: int = 100, d: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """``k`` round Gaussians of ``n`` points, 10 standard deviations apart."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(k), n)
    centre = np.zeros((k, d))
    centre[:, 0] = 10 * (np.arange(k) % 2)
    centre[:, 1] = 10 * (np.arange(k) // 2)
    return rng.normal(size=(k * n, d)) + centre[truth], truth


@pytest.mark.parametrize("start", [1, 2, 8])
def test_finds_four_clouds_from_fewer_and_from_more(start: int) -> None:
    points, truth = clouds()
    labels = KMeans(start, n_init=3, random_state=0).fit_predict(points)
    found = split_merge(points, labels, 1.0, at_least=1, at_most=16)
    assert adjusted_rand_score(truth, found) > 0.99
    assert sorted(set(found)) == [0, 1, 2, 3]


def test_repeated_points_need_their_weight() -> None:
    """Copies with a little jitter: every spot counted fully breaks one cloud into many."""
    rng = np.random.default_rng(0)
    points = np.repeat(rng.normal(size=(40, 3)), 25, axis=0)
    points += 0.05 * rng.normal(size=points.shape)
    start = np.zeros(len(points), dtype=int)
    options = {"at_least": 1, "at_most": 30}
    assert split_merge(points, start, 1.0, **options).max() + 1 > 5
    assert split_merge(points, start, 1 / 25, **options).max() + 1 <= 2


def test_bounds_hold() -> None:
    points, _ = clouds()
    two = KMeans(2, n_init=3, random_state=0).fit_predict(points)
    eight = KMeans(8, n_init=3, random_state=0).fit_predict(points)
    fixed = split_merge(points, two, 1.0, at_least=2, at_most=2)
    assert adjusted_rand_score(two, fixed) == 1
    for start, low, high, expected in (
        (two, 1, 3, 3),
        (eight, 6, 20, 6),
        (eight, 1, 2, 2),
        (two, 5, 9, 5),
    ):
        found = split_merge(points, start, 1.0, at_least=low, at_most=high, rounds=6)
        assert found.max() + 1 == expected
    np.testing.assert_array_equal(
        split_merge(points, eight, 1.0, at_least=1, at_most=9, rounds=0), eight
    )


def test_halves_are_never_smaller_than_asked() -> None:
    """Twelve points far from the others are left alone if a cluster shall have twenty."""
    rng = np.random.default_rng(0)
    points = np.r_[rng.normal(size=(200, 2)), rng.normal(size=(12, 2)) + 30]
    start = np.zeros(212, dtype=int)
    assert split_merge(points, start, 1.0, at_least=1, at_most=9, min_size=20).max() == 0
    found = split_merge(points, start, 1.0, at_least=1, at_most=9, min_size=10)
    np.testing.assert_array_equal(np.sort(np.bincount(found)), [12, 200])


def test_crumbs_join_what_they_lie_in() -> None:
    points, truth = clouds(2)
    start = truth.copy()
    start[:3] = 7
    found = split_merge(points, start, 0.01, at_least=1, at_most=9)
    assert adjusted_rand_score(truth, found) == 1


def test_names_of_clusters_and_order_of_points_do_not_matter() -> None:
    points, _ = clouds()
    start = KMeans(8, n_init=3, random_state=0).fit_predict(points)
    options = {"at_least": 1, "at_most": 16}
    found = split_merge(points, start, 0.5, **options)
    names = np.array(["h", "c", "a", "g", "b", "f", "d", "e"])
    assert adjusted_rand_score(found, split_merge(points, names[start], 0.5, **options)) == 1
    order = np.random.default_rng(0).permutation(len(points))
    shuffled = split_merge(points[order], start[order], 0.5, **options)
    assert adjusted_rand_score(found[order], shuffled) == 1


def test_moving_and_scaling_all_points_changes_nothing() -> None:
    points, truth = clouds()
    options = {"at_least": 1, "at_most": 16}
    found = split_merge(points, truth // 2, 0.5, **options)
    moved = split_merge(points * 8 + 1024, truth // 2, 0.5, **options)
    np.testing.assert_array_equal(found, moved)


def test_same_seed_same_labels_and_inputs_stay() -> None:
    points, _ = clouds(6, 60)
    start = np.arange(360) % 3
    before = points.copy(), start.copy()
    first, second = (
        split_merge(points, start, 0.3, at_least=1, at_most=20, seed=5) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(points, before[0])
    np.testing.assert_array_equal(start, before[1])


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((1, 3)),
        np.ones((60, 3)),
        np.random.default_rng(0).normal(size=(4, 9)),
        np.repeat([[0.0, 0.0], [1.0, 1.0]], 30, axis=0),
        np.column_stack([np.arange(60.0), np.zeros(60)]),
        np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32) * 1e-12,
    ],
    ids=["one point", "identical", "fewer than dimensions", "two places", "a line", "minute"],
)
@pytest.mark.parametrize("min_size", [1, 2, 20])
def test_degenerate_points(points: np.ndarray, min_size: int) -> None:
    for start in (np.zeros(len(points)), np.arange(len(points))):
        found = split_merge(points, start, 0.5, at_least=1, at_most=5, min_size=min_size)
        assert found.shape == (len(points),)
        assert set(found) == set(range(found.max() + 1))
        assert found.max() < 5


def test_two_places_are_two_clusters() -> None:
    points = np.repeat([[0.0, 0.0], [1.0, 1.0]], 30, axis=0)
    found = split_merge(points, np.zeros(60), 1.0, at_least=1, at_most=5)
    assert adjusted_rand_score(np.repeat([0, 1], 30), found) == 1


def test_each_cluster_is_fitted_once_until_it_changes() -> None:
    """Three clouds from one: 1, 2, and then only the 2 new clusters are tried."""
    points, _ = clouds(3)
    options = {"at_least": 1, "at_most": 16, "rounds": 10}
    events = list(split_merge_steps(points, np.zeros(300), 1.0, **options))
    assert len(events) == 5
    shares = [event.fraction for event in events]
    assert shares == sorted(shares)


def test_halves_of_a_split_wait_a_round_before_they_merge() -> None:
    points, truth = clouds(2)
    start = truth.copy()
    start[100:150] = 0  # half of the second cloud is taken for the first
    options = {"at_least": 1, "at_most": 9}
    assert split_merge(points, start, 1.0, rounds=1, **options).max() + 1 == 3
    found = split_merge(points, start, 1.0, rounds=2, **options)
    assert adjusted_rand_score(truth, found) == 1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"weight": 0.0}, "weight"),
        ({"weight": 1.5}, "weight"),
        ({"weight": np.nan}, "weight"),
        ({"at_least": 0}, "bounds"),
        ({"at_least": 6, "at_most": 5}, "bounds"),
        ({"min_size": 0}, "smallest cluster"),
        ({"start_labels": np.zeros(5)}, "start labels"),
        ({"points": np.full((6, 2), np.nan)}, "not finite"),
        ({"points": np.zeros((0, 2)), "start_labels": np.zeros(0)}, "start labels"),
    ],
)
def test_unusable_arguments_are_refused(change: dict[str, object], match: str) -> None:
    points = np.arange(12.0).reshape(6, 2)
    arguments = {"points": points, "start_labels": np.zeros(6), "weight": 1.0}
    with pytest.raises(ParameterError, match=match):
        split_merge(**{**arguments, "at_least": 1, "at_most": 5, **change})
