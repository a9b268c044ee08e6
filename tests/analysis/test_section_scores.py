import numpy as np
import pandas as pd
import pytest

from napari_stmask.analysis.scores import against_truth
from napari_stmask.analysis.section_scores import per_section_scores
from napari_stmask.core.errors import DataError

SECTIONS = pd.Series(["b"] * 6 + ["a"] * 6)
TRUTH = pd.Series(list("xxyyzz") * 2)


def test_names_that_swap_between_sections_cost_only_over_all() -> None:
    predicted = pd.Series([0, 0, 1, 1, 2, 2, 1, 1, 2, 2, 0, 0])
    table = per_section_scores(TRUTH, predicted, SECTIONS)
    assert table.index.tolist() == ["b", "a", "all"]
    assert table.columns.tolist() == ["ARI", "NMI", "spots"]
    assert table["ARI"].tolist()[:2] == [1, 1]
    assert table.loc["all", "ARI"] < 0.5
    assert table["spots"].tolist() == [6, 6, 12]


def test_each_row_is_against_truth() -> None:
    predicted = pd.Series(np.random.default_rng(0).integers(3, size=12))
    table = per_section_scores(TRUTH, predicted, SECTIONS.astype("category"))
    assert table.index.tolist() == ["a", "b", "all"]
    for name, inside in (("a", SECTIONS == "a"), ("b", SECTIONS == "b"), ("all", TRUTH.notna())):
        expected = against_truth(TRUTH[inside], predicted[inside])
        assert table.loc[name, "ARI"] == expected["ARI"]
        assert table.loc[name, "NMI"] == expected["NMI"]


def test_spots_without_either_label_do_not_count() -> None:
    truth = TRUTH.mask(TRUTH.index < 6)
    predicted = TRUTH.mask(TRUTH.index == 11)
    table = per_section_scores(truth, predicted, SECTIONS)
    assert table.loc["b", ["ARI", "NMI"]].isna().all()
    assert table["spots"].tolist() == [0, 5, 5]
    assert table.loc["all", "ARI"] == 1


def test_codes_and_unused_categories() -> None:
    codes = pd.Series(np.repeat([4, 2], 6))
    assert per_section_scores(TRUTH, TRUTH, codes).index.tolist() == ["4", "2", "all"]
    kinds = pd.Categorical(SECTIONS, categories=["c", "b", "a"])
    table = per_section_scores(TRUTH, TRUTH, pd.Series(kinds))
    assert table.index.tolist() == ["b", "a", "all"]


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError, match="same spots"):
        per_section_scores(TRUTH, TRUTH[:5], SECTIONS)
