"""Agreement of two labelings: closed forms, scikit-learn's numbers, and what must not matter."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    f1_score,
    jaccard_score,
    precision_score,
    recall_score,
)
from tests.helpers import banded

import napari_stmask as stm
from napari_stmask.analysis.agreement import agreement, compare, one_against_rest
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.section import Section


def noisy(n: int = 400, k: int = 5, m: int = 6, keep: float = 0.7) -> tuple[pd.Series, pd.Series]:
    """Two labelings that agree on most spots; a few spots lack one."""
    rng = np.random.default_rng(3)
    a = rng.integers(0, k, n)
    b = np.where(rng.random(n) < keep, (a + 2) % k, rng.integers(0, m, n))
    first = pd.Series([f"A{i}" for i in a], name="a").astype("category")
    second = pd.Series([f"B{i}" for i in b], name="b").astype("category")
    first[:7] = np.nan
    second[4:15] = np.nan
    return first, second


def test_a_small_case_by_hand() -> None:
    #          x  x  x  y  y  z
    first = pd.Series(list("aaabbb"))
    second = pd.Series(list("xxxyyz"))
    found = agreement(first, second, titles=("one", "two"))
    np.testing.assert_array_equal(found.counts, [[3, 0, 0], [0, 2, 1]])
    assert dict(found.partner) == {0: 0, 1: 1}
    assert found.disagree.tolist() == [False] * 5 + [True]
    assert found.matched.tolist() == [0, 0, 0, 1, 1, 2]
    assert found.scores["agreeing"] == pytest.approx(5 / 6)
    table = found.table.set_index("partner")
    assert table.loc["x", ["precision", "recall", "f1", "jaccard", "ari"]].tolist() == [1.0] * 5
    assert table.loc["y", ["precision", "recall", "f1", "jaccard"]].tolist() == pytest.approx(
        [1, 2 / 3, 4 / 5, 2 / 3]
    )
    # Of 15 pairs 2 by 2: cells 3, 1, 2 hold 3 + 1 pairs, rows 3 + 3, columns 6 + 1.
    expected = 6 * 7 / 15
    assert table.loc["y", "ari"] == pytest.approx((3 + 1 - expected) / ((6 + 7) / 2 - expected))
    assert pd.isna(table.loc["z", "domain"])
    assert table.loc["z", ["shared", "f1"]].tolist() == [0, 0]
    # One pair of six spots is lost: ARI of the whole, by hand.
    assert found.scores["ARI"] == pytest.approx((4 - 6 * 4 / 15) / (5 - 6 * 4 / 15))


def test_scores_are_those_of_scikit_learn() -> None:
    first, second = noisy()
    found = agreement(first, second)
    both = (first.notna() & second.notna()).to_numpy()
    a, b = first[both].astype(str).to_numpy(), second[both].astype(str).to_numpy()
    assert found.scores["ARI"] == pytest.approx(adjusted_rand_score(a, b))
    assert found.scores["AMI"] == pytest.approx(adjusted_mutual_info_score(a, b))
    assert (found.scores["spots"], found.scores["left_out"]) == (both.sum(), (~both).sum()) == (
        385, 15,
    )  # fmt: skip
    np.testing.assert_array_equal(found.counts, pd.crosstab(a, b))
    assert not found.disagree[~both].any()
    for row in found.table.dropna().itertuples():
        truth, guess = a == row.domain, b == row.partner
        assert row.precision == pytest.approx(precision_score(truth, guess))
        assert row.recall == pytest.approx(recall_score(truth, guess))
        assert row.f1 == pytest.approx(f1_score(truth, guess))
        assert row.jaccard == pytest.approx(jaccard_score(truth, guess))
        assert row.ari == pytest.approx(adjusted_rand_score(truth, guess))
        assert (row.spots, row.partner_spots, row.shared) == (
            truth.sum(), guess.sum(), (truth & guess).sum(),
        )  # fmt: skip


def test_no_other_matching_shares_more_spots() -> None:
    found = agreement(*noisy())
    counts = found.counts.to_numpy()
    best = max(sum(counts[i, j] for i, j in enumerate(p)) for p in permutations(range(6), 5))
    agreeing = found.known & ~found.disagree
    assert agreeing.sum() == best == found.table["shared"].sum()
    assert found.scores["agreeing"] == pytest.approx(best / found.known.sum())


def test_names_and_their_order_do_not_matter() -> None:
    first, second = noisy()
    plain = agreement(first, second)
    renamed = second.map({f"B{i}": name for i, name in enumerate("uzkabq")})
    shuffled = second.cat.reorder_categories([f"B{i}" for i in (3, 0, 5, 1, 4, 2)])
    for other in (renamed, shuffled):
        found = agreement(first, other)
        assert found.scores == pytest.approx(dict(plain.scores))
        np.testing.assert_array_equal(found.disagree, plain.disagree)
        kept = ["domain", "shared", "f1", "ari"]
        pd.testing.assert_frame_equal(found.table[kept], plain.table[kept])


def test_order_of_spots_and_of_the_two_does_not_matter() -> None:
    first, second = noisy()
    plain = agreement(first, second)
    # Matched by name where the index says so.
    np.testing.assert_array_equal(
        agreement(first, second.sample(frac=1, random_state=0)).disagree, plain.disagree
    )
    turned = agreement(second, first)
    assert turned.scores["ARI"] == pytest.approx(plain.scores["ARI"])
    assert turned.scores["homogeneity"] == pytest.approx(plain.scores["completeness"])
    np.testing.assert_array_equal(turned.disagree, plain.disagree)


def test_what_is_left_over_on_both_sides_is_no_pair() -> None:
    # b lies in x and y lies in a, which are partners already.
    first, second = pd.Series(list("aaaaaaaab")), pd.Series(list("xxxxxxxyx"))
    found = agreement(first, second)
    assert dict(found.partner) == {0: 0}
    assert found.table["partner"].tolist() == ["x", None, "y"]
    assert found.matched.tolist() == [0] * 7 + [2, 0]
    assert found.disagree.sum() == 2
    assert found.order == ([0, 1], [0, 1])


def test_equal_labelings_agree_everywhere() -> None:
    first, _ = noisy()
    found = agreement(first, first)
    assert not found.disagree.any()
    assert {found.scores[s] for s in ("ARI", "AMI", "agreeing")} == {1.0}
    assert (found.table[["precision", "recall", "f1", "jaccard", "ari"]] == 1).all(axis=None)


def test_partners_have_the_same_place() -> None:
    found = agreement(*noisy())
    rows, columns = found.order
    assert sorted(rows) == list(range(5))
    assert sorted(columns) == list(range(6))
    for j, i in found.partner.items():
        assert rows.index(i) == columns.index(j)
    i, j = rows[1], columns[2]
    spots = found.spots_of(i, j)
    assert spots.size == found.counts.iat[i, j] > 0
    assert (found.codes[0][spots] == i).all()
    assert (found.codes[1][spots] == j).all()


def test_domains_that_only_left_out_spots_have() -> None:
    first = pd.Series(["a", "a", "b", "c"])
    second = pd.Series(["x", "x", "y", None])
    found = agreement(first, second)
    row = found.table.set_index("domain").loc["c"]
    assert (row["spots"], row["partner"]) == (0, None)
    assert np.isnan(row["f1"])
    assert found.scores["ARI"] == 1


@pytest.mark.parametrize(("a", "b", "ab", "n"), [(30, 40, 20, 100), (5, 5, 5, 9), (50, 50, 25, 99)])
def test_one_against_rest_is_the_adjusted_rand_index(a: int, b: int, ab: int, n: int) -> None:
    truth, guess = np.arange(n) < a, (np.arange(n) >= a - ab) & (np.arange(n) < a - ab + b)
    assert one_against_rest(ab, a, b, n) == pytest.approx(adjusted_rand_score(truth, guess))
    assert one_against_rest(n, n, n, n) == adjusted_rand_score(np.zeros(n), np.zeros(n)) == 1


def test_two_columns_of_a_section_and_of_two_files() -> None:
    section, band = banded(10, 10, genes=20)
    obs = section.adata.obs
    obs["truth"] = pd.Categorical([f"band {b}" for b in band])
    obs["run"] = pd.Categorical.from_codes((band + 1) % 5, list("vwxyz"))
    assert stm.compare is compare
    found = stm.compare(section, "truth", "run")
    assert found.scores["ARI"] == 1
    assert found.titles == ("truth", "run")
    # Another file: other order, and half of the spots.
    other = Section(section.adata[::-2].copy(), name="other", platform="visium")
    joined = stm.compare(section, "truth", "run", other=other)
    assert (joined.scores["ARI"], joined.scores["left_out"]) == (1, 50)
    wrong = Section(section.adata[:50].copy(), name="wrong", platform="visium")
    wrong.adata.obs_names = [f"x{i}" for i in range(50)]
    with pytest.raises(DataError, match="share no barcode"):
        stm.compare(section, "truth", "run", other=wrong)
    obs["depth"] = np.linspace(0, 1, 100)
    with pytest.raises(ParameterError, match="holds numbers"):
        stm.compare(section, "truth", "depth")
    with pytest.raises(ParameterError, match=r"no 'absent'.*truth"):
        stm.compare(section, "truth", "absent")
    with pytest.raises(DataError, match="no spot"):
        agreement(pd.Series(["a", None]), pd.Series([None, "b"]))
