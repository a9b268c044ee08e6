"""Validity indices: S_Dbw by hand, the others where the answer is known."""

import numpy as np
import pandas as pd
import pytest

from napari_stmask.analysis.quality import embedding_quality, s_dbw
from napari_stmask.core.errors import DataError, ParameterError

PAIRS = np.array([[0.0], [2.0], [10.0], [12.0]])
CODES = np.array([0, 0, 1, 1])


def test_s_dbw_by_hand() -> None:
    # Variances: 1 and 1 in the pairs, 26 in all; stdev = sqrt(1 + 1) / 2; nothing lies within
    # 0.71 of the centres 1 and 11 or of the midpoint 6, so that density adds 0.
    assert s_dbw(PAIRS, CODES) == pytest.approx(1 / 26)


def test_s_dbw_by_hand_with_density() -> None:
    # Centres 0 and 4, variances 2/3 and 8/3 -> stdev = sqrt(10/3) / 2 = 0.913.
    points = np.array([[-1.0], [0], [1], [2], [4], [6]])
    codes = np.array([0, 0, 0, 1, 1, 1])
    whole = points.var()
    scatter = (2 / 3 + 8 / 3) / 2 / whole
    # Around 0: one point; around 4: one; around the midpoint 2: one (the point 2 itself).
    assert s_dbw(points, codes) == pytest.approx(scatter + 1.0)


def test_s_dbw_of_three_domains_by_hand() -> None:
    # Variances 2/3, 8/3 and 2/3 -> stdev = sqrt(4) / 3. Only the first pair has a point near its
    # midpoint, one as at either centre: 2 of the 6 ordered pairs add 1.
    points = np.array([[-1.0], [0], [1], [2], [4], [6], [100], [101], [102]])
    scatter = (2 / 3 + 8 / 3 + 2 / 3) / 3 / points.var()
    assert s_dbw(points, np.repeat([0, 1, 2], 3)) == pytest.approx(scatter + 1 / 3)


def test_s_dbw_of_coinciding_points() -> None:
    assert s_dbw(np.zeros((4, 2)), CODES) is None


def test_known_values() -> None:
    found = embedding_quality(PAIRS, pd.Series(CODES))
    # Davies-Bouldin: (1 + 1) / 10. Calinski-Harabasz: (4 * 25 / 1) / (4 / 2).
    assert found.davies_bouldin == pytest.approx(0.2)
    assert found.calinski_harabasz == pytest.approx(50)
    outer, inner = 1 - 2 / 11, 1 - 2 / 9
    assert found.silhouette == pytest.approx((outer + inner) / 2)
    assert found.s_dbw == pytest.approx(1 / 26)
    assert (found.spots, found.domains, found.notes) == (4, 2, ())


def test_separate_domains_score_better_than_shuffled_ones() -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(3), 100)
    points = rng.normal(size=(300, 4)) + 4 * np.eye(4)[codes]
    good = embedding_quality(points, pd.Series(codes))
    bad = embedding_quality(points, pd.Series(rng.permutation(codes)))
    assert good.silhouette > bad.silhouette + 0.3
    assert good.davies_bouldin < bad.davies_bouldin
    assert good.calinski_harabasz > bad.calinski_harabasz
    assert good.s_dbw < bad.s_dbw


def test_one_domain_and_one_spot_each_give_none() -> None:
    for codes in (np.zeros(4), np.arange(4)):
        found = embedding_quality(PAIRS, pd.Series(codes))
        values = (found.silhouette, found.davies_bouldin, found.calinski_harabasz, found.s_dbw)
        assert values == (None, None, None, None)
        assert "cannot be compared" in found.notes[0]


def test_gaps_are_left_out() -> None:
    points = np.concatenate([PAIRS, [[np.nan], [5.0]]])
    labels = pd.Series([0, 0, 1, 1, 1, None], dtype="category")
    found = embedding_quality(points, labels)
    assert found.davies_bouldin == pytest.approx(0.2)
    assert found.spots == 4
    assert found.notes[0].startswith("2 spots without")


def test_sample_is_seeded_and_said() -> None:
    rng = np.random.default_rng(1)
    points, codes = rng.normal(size=(500, 3)), pd.Series(rng.integers(0, 3, 500))
    one = embedding_quality(points, codes, max_spots=100, seed=1)
    assert one == embedding_quality(points, codes, max_spots=100, seed=1)
    other = embedding_quality(points, codes, max_spots=100, seed=2)
    assert one.silhouette != other.silhouette
    assert one.davies_bouldin == other.davies_bouldin
    assert "100 spots drawn" in one.notes[0]


def test_mistakes() -> None:
    with pytest.raises(ParameterError, match="shape"):
        embedding_quality(PAIRS[1:], pd.Series(CODES))
    with pytest.raises(DataError, match="no finite row"):
        embedding_quality(PAIRS * np.nan, pd.Series(CODES))
    with pytest.raises(ParameterError, match="max_spots is 3"):
        embedding_quality(PAIRS, pd.Series(CODES), max_spots=3)
