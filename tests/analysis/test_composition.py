"""Composition against pandas and scipy, and effects at their ends."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kruskal
from scipy.stats.contingency import association
from tests.helpers import banded

from napari_stmask.analysis.composition import (
    Composition,
    Spread,
    compose,
    composition_columns,
)
from napari_stmask.core.errors import DataError, ParameterError


@pytest.fixture
def planted():
    section, band = banded(10, 20, 20)
    rng = np.random.default_rng(0)
    obs = section.adata.obs
    kind = np.where(rng.random(200) < 0.6, band // 2, rng.integers(0, 3, 200))
    obs["kind"] = pd.Categorical.from_codes(kind, ["x", "y", "z"])
    obs.iloc[:5, 0] = np.nan
    obs["depth"] = band + rng.normal(0, 1.0, 200)
    obs["flag"] = rng.random(200) < 0.5
    labels = pd.Series(np.array(list("abcde"))[band], index=section.adata.obs_names)
    labels.iloc[-3:] = np.nan
    return section, labels


def test_counts_and_shares_are_those_of_pandas(planted) -> None:
    section, labels = planted
    found = compose(section, labels, "kind")
    assert isinstance(found, Composition)
    kind = section.adata.obs["kind"]
    there = pd.crosstab(labels, kind)
    np.testing.assert_array_equal(found.counts, there)
    assert list(found.counts.index) == list(there.index)
    assert list(found.counts.columns) == list(there.columns)
    assert found.left_out == 8
    by_domain = pd.crosstab(labels, kind, normalize="index").to_numpy()
    np.testing.assert_allclose(found.shares(), by_domain)
    by_kind = pd.crosstab(labels, kind, normalize="columns").to_numpy()
    np.testing.assert_allclose(found.shares(by_category=True), by_kind)
    table = found.table()
    assert table["spots"].sum() == 192
    row = table[(table["domain"] == "c") & (table["category"] == "y")].iloc[0]
    assert row["spots"] == found.counts.loc["c", "y"]
    assert row["share_of_category"] == pytest.approx(by_kind[2, 1])


def test_v_is_that_of_scipy_without_its_bias(planted) -> None:
    section, labels = planted
    found = compose(section, labels, "kind")
    counts = found.counts.to_numpy()
    plain = association(counts, method="cramer")
    assert found.chi_square == pytest.approx(plain**2 * 192 * 2)
    assert 0 < found.cramers_v < plain
    n, r, c = 192, 5, 3
    phi = found.chi_square / n - (r - 1) * (c - 1) / (n - 1)
    small = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    assert found.cramers_v == pytest.approx(np.sqrt(phi / small))


def test_effects_at_their_ends(planted) -> None:
    section, labels = planted
    section.adata.obs["same"] = labels
    assert compose(section, labels, "same").cramers_v == pytest.approx(1.0)
    section.adata.obs["one"] = "k"
    assert np.isnan(compose(section, labels, "one").cramers_v)
    # Independent by construction: every domain has the same shares.
    section.adata.obs["even"] = np.where(np.arange(200) % 2, "u", "v")
    assert compose(section, labels, "even").cramers_v == pytest.approx(0.0, abs=0.02)
    section.adata.obs["constant"] = 1.5
    assert np.isnan(compose(section, labels, "constant").epsilon_squared)


def test_numbers_are_those_of_pandas_and_scipy(planted) -> None:
    section, labels = planted
    section.adata.obs.iloc[10, 1] = np.inf
    found = compose(section, labels, "depth")
    assert isinstance(found, Spread)
    depth = section.adata.obs["depth"].replace(np.inf, np.nan)
    there = depth.groupby(labels).describe()
    np.testing.assert_allclose(found.summary["mean"], there["mean"])
    np.testing.assert_allclose(found.summary["sd"], there["std"])
    np.testing.assert_allclose(found.summary["median"], there["50%"])
    np.testing.assert_allclose(found.summary["q75"], there["75%"])
    assert found.summary["spots"].tolist() == there["count"].tolist()
    h = kruskal(*(part.dropna() for _, part in depth.groupby(labels))).statistic
    assert found.h == pytest.approx(h)
    assert found.epsilon_squared == pytest.approx(h / 195)
    assert found.left_out == 4
    # One value a domain: ranks follow from it up to the ties, and so does all of their variance.
    section.adata.obs["level"] = labels.map(dict(zip("abcde", range(5), strict=True)))
    assert compose(section, labels, "level").epsilon_squared == pytest.approx(1.0)


def test_truth_values_are_categories(planted) -> None:
    section, labels = planted
    found = compose(section, labels, "flag")
    assert list(found.counts.columns) == ["False", "True"]


def test_columns_that_are_offered(planted) -> None:
    section, _ = planted
    obs = section.adata.obs
    obs["empty"] = np.nan
    obs["name"] = [f"n{i}" for i in range(200)]
    assert composition_columns(section) == ["kind", "depth", "flag", "name"]


def test_what_cannot_be_compared(planted) -> None:
    section, labels = planted
    with pytest.raises(ParameterError, match="no column 'nope'"):
        compose(section, labels, "nope")
    section.adata.obs["late"] = pd.Series(labels.where(labels.isna()), dtype="category")
    section.adata.obs["gone"] = np.nan
    with pytest.raises(DataError, match="number in 'gone'"):
        compose(section, labels, "gone")
    with pytest.raises(DataError, match="value in 'late'"):
        compose(section, labels, "late")
