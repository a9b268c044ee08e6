"""A region found by a classifier of measured expression, and by groups without labels."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from napari_stmask.analysis.tumour_region import (
    probability,
    region_classifier,
    region_codes,
    region_scores,
    unlabelled_regions,
)
from napari_stmask.core.errors import DataError, ParameterError


def tissue(n: int, share: float, seed: int):
    """Twenty genes, half of them higher in the region; a few per cent of overlap."""
    rng = np.random.default_rng(seed)
    inside = np.arange(n) < share * n
    signal = np.where(np.arange(20) < 10, 0.8, 0.0)
    return np.linspace(1, 5, 20) + inside[:, None] * signal + 0.7 * rng.normal(size=(n, 20)), inside


def smoothed(x: np.ndarray, centre: np.ndarray, shrink: float) -> np.ndarray:
    """What a regression of the references predicts: towards their mean."""
    return centre + shrink * (x - centre)


def test_labels() -> None:
    names = pd.Series(["a", None, "b", "c", np.nan], dtype="category")
    np.testing.assert_array_equal(region_codes(names, positive=["a", "c"]), [1, -1, 0, 1, -1])
    np.testing.assert_array_equal(region_codes(np.array([True, False])), [1, 0])
    np.testing.assert_array_equal(region_codes([1.0, np.nan, 0.0]), [1, -1, 0])
    np.testing.assert_array_equal(region_codes([True, None, False]), [1, -1, 0])
    np.testing.assert_array_equal(region_codes(pd.array([True, pd.NA], "boolean")), [1, -1])
    np.testing.assert_array_equal(region_codes([2, 3, 4], positive=["2", 3]), [1, 1, 0])
    with pytest.raises(ParameterError, match=r"name those in positive \(found: a, b, c\)"):
        region_codes(names)
    with pytest.raises(ParameterError, match=r"no spot is labelled tumour; .*found: a, b, c"):
        region_codes(names, positive=["tumour"])


def test_the_fit_is_that_of_scikit_learn() -> None:
    x, inside = tissue(200, 0.2, 0)
    x = np.column_stack([x, np.full(200, 3.0)])  # a gene that does not vary
    model = region_classifier(x, inside, penalty=4)
    z = (x[:, :20] - x[:, :20].mean(axis=0)) / x[:, :20].std(axis=0)
    theirs = LogisticRegression(C=0.25, class_weight="balanced", max_iter=2000).fit(z, inside)
    np.testing.assert_allclose(probability(model, x), theirs.predict_proba(z)[:, 1], atol=1e-3)
    assert model.weights[20] == 0
    # By its own mean and spread the same data get the same answer.
    own = probability(model, x, standardise="own")
    np.testing.assert_allclose(own, probability(model, x), atol=1e-5)


def test_spots_without_a_label_do_not_take_part() -> None:
    x, inside = tissue(200, 0.5, 0)
    labels = pd.Series(np.where(inside, "tumour", "healthy"), dtype=object)
    labels[::3] = None
    known = labels.notna().to_numpy()
    x[~known] = 100
    one = region_classifier(x, labels, positive=["tumour"])
    other = region_classifier(x[known], inside[known])
    np.testing.assert_array_equal(one.weights, other.weights)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_share_of_the_region_is_free_on_the_reference_scale(share: float) -> None:
    """By its own mean a section that is nearly all tumour would be called half healthy."""
    reference, inside = tissue(400, 0.5, 0)
    model = region_classifier(reference, inside)
    x, truth = tissue(400, share, 1)
    predicted = smoothed(x, reference.mean(axis=0), 0.4)
    scores, called = {}, {}
    for way in ("reference", "own"):
        found = probability(model, predicted, standardise=way)
        scores[way] = region_scores(found, truth)
        called[way] = (found > 0.5).mean()
    default = region_scores(probability(model, predicted), truth)
    assert default == scores["reference"]
    assert scores["reference"]["auroc"] > 0.98
    assert scores["reference"]["ari"] > scores["own"]["ari"] + 0.3
    assert abs(called["reference"] - share) < 0.1 < abs(called["own"] - share)


def test_own_scale_is_for_another_level() -> None:
    reference, inside = tissue(400, 0.5, 0)
    model = region_classifier(reference, inside)
    x, truth = tissue(400, 0.5, 1)
    other = 0.3 * x - 5
    own, fixed = (
        region_scores(probability(model, other, standardise=way), truth)
        for way in ("own", "reference")
    )
    assert own["ari"] > 0.8
    assert fixed["ari"] < 0.1
    assert fixed["auroc"] > 0.95  # the order is kept, the cut is not


def test_groups_without_labels() -> None:
    x, inside = tissue(300, 0.3, 0)
    codes = unlabelled_regions(x, seed=3)
    assert region_scores(codes, inside)["ari"] > 0.8
    assert np.bincount(codes).tolist() == sorted(np.bincount(codes), reverse=True)
    np.testing.assert_array_equal(codes, unlabelled_regions(x, seed=3))
    blobs = np.repeat([[0.0], [9], [40], [99]], [20, 10, 40, 30], axis=0) + np.zeros(3)
    for seed in range(8):  # k-means numbers the groups by chance
        codes = unlabelled_regions(blobs, n=4, seed=seed)
        np.testing.assert_array_equal(codes[[0, 20, 30, 70]], [2, 3, 0, 1])
    for n in (1, 301):
        with pytest.raises(ParameterError, match=f"n is {n}"):
            unlabelled_regions(x, n=n)
    with pytest.raises(DataError, match="same in all spots"):
        unlabelled_regions(np.full((9, 3), 0.1))


def test_scores_by_hand() -> None:
    truth = [True, True, False, False, None, True]
    found = np.array([0.9, 0.4, 0.6, 0.1, 0.5, np.nan])
    scores = region_scores(found, truth)
    assert scores["auroc"] == 0.75  # three of four pairs are in order
    assert scores["ari"] == pytest.approx(-0.5)
    assert scores["labelled"] == 4
    groups = region_scores(np.array([3, 3, 1, 1, 0, 3]), truth)
    assert groups == {"ari": 1.0, "labelled": 5.0}
    assert region_scores(1 - found, truth)["auroc"] == 0.25


def test_mistakes() -> None:
    x, inside = tissue(60, 0.5, 0)
    with pytest.raises(DataError, match="60 of 60 labelled spots"):
        region_classifier(x, np.ones(60, dtype=bool))
    with pytest.raises(DataError, match="0 of 30 labelled spots"):
        region_scores(np.ones(60), np.where(inside, None, False))
    with pytest.raises(ParameterError, match="penalty is 0"):
        region_classifier(x, inside, penalty=0)
    with pytest.raises(ParameterError, match="59 labels"):
        region_classifier(x, inside[1:])
    with pytest.raises(ParameterError, match="60 spots were predicted, 59"):
        region_scores(np.ones(60), inside[1:])
    with pytest.raises(DataError, match="no gene varies"):
        region_classifier(np.ones((60, 3)), inside)
    model = region_classifier(x, inside)
    with pytest.raises(ParameterError, match="19 genes were predicted, the classifier knows 20"):
        probability(model, x[:, 1:])
    with pytest.raises(ParameterError, match="standardise is 'mine'"):
        probability(model, x, standardise="mine")
    x[0, 0] = np.nan
    for call in (lambda: region_classifier(x, inside), lambda: probability(model, x)):
        with pytest.raises(DataError, match="not finite"):
            call()
