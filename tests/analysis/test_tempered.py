import numpy as np
import pytest

from napari_stmask.analysis.mixture import fit_tied_mixture
from napari_stmask.analysis.tempered import tempered_bic_k, tempered_bic_steps
from napari_stmask.core.errors import ParameterError


def groups(k: int, n: int = 60, d: int = 4, apart: float = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(k * n, d)) + apart * np.repeat(rng.normal(size=(k, d)), n, axis=0)


@pytest.mark.parametrize("k", [2, 4, 7])
def test_independent_points_need_no_tempering(k: int) -> None:
    best, curve = tempered_bic_k(groups(k), 1.0, ks=range(1, 11))
    assert best == k
    assert list(curve) == list(range(1, 11))


def test_weight_one_is_the_bic() -> None:
    points = groups(3)
    _, curve = tempered_bic_k(points, 1.0, ks=[3])
    assert curve[3] == pytest.approx(fit_tied_mixture(points, 3).bic, rel=1e-9)


@pytest.mark.parametrize("copies", [5, 20])
def test_copies_that_count_less_are_the_points_themselves(copies: int) -> None:
    """The meaning of the weight: the same number of components and the same curve."""
    points = groups(4)
    single, curve = tempered_bic_k(points, 1.0, ks=range(2, 8))
    repeated, tempered = tempered_bic_k(
        np.repeat(points, copies, axis=0), 1 / copies, ks=range(2, 8)
    )
    assert single == repeated == 4
    assert tempered[4] == pytest.approx(curve[4], rel=1e-6)


def test_smoothed_points_are_overcounted_without_a_weight() -> None:
    """Averages over ten points in a row: the plain BIC follows the path of the noise."""
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 400)
    noise = rng.normal(size=(1209, 5))
    smooth = np.stack([noise[i : i + 10].mean(axis=0) for i in range(1200)])
    points = smooth + 2 * np.eye(5)[truth]
    ks = range(2, 13)
    assert tempered_bic_k(points, 1.0, ks=ks)[0] > 6
    assert abs(tempered_bic_k(points, 0.1, ks=ks)[0] - 3) <= 1


def test_same_seed_same_curve() -> None:
    points = groups(5, apart=2)
    first, second = (tempered_bic_k(points, 0.3, ks=range(2, 7), seed=4) for _ in range(2))
    assert first == second


def test_small_sections_are_asked_for_few_components() -> None:
    points = np.random.default_rng(0).normal(size=(30, 4))
    assert max(tempered_bic_k(points, 1.0)[1]) == 6
    assert list(tempered_bic_k(points[:5], 1.0)[1]) == [2]


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_identical_points_are_one_component() -> None:
    assert tempered_bic_k(np.ones((40, 3)), 1.0, ks=range(1, 4))[0] == 1


def test_progress_is_of_the_whole_search() -> None:
    events = list(tempered_bic_steps(groups(3), 1.0, ks=range(2, 6)))
    shares = [event.fraction for event in events]
    assert shares == sorted(shares)
    assert {event.total for event in events} == {4}


@pytest.mark.parametrize(
    ("weight", "ks", "match"),
    [
        (0.0, [2], "above 0"),
        (2.0, [2], "at most 1"),
        (0.01, [2], "no more than one observation"),
        (1.0, [], "at least one"),
        (1.0, [0, 1], "between 1 and 40"),
        (1.0, [50], "between 1 and 40"),
    ],
)
def test_unusable_arguments_are_refused(weight: float, ks: list[int], match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        tempered_bic_k(np.random.default_rng(0).normal(size=(40, 2)), weight, ks=ks)
