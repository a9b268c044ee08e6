"""Where a spot looks: closed cases by hand, distances on a lattice, what is missing."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.helpers import banded

from napari_stmask.analysis.attention import (
    attention_from,
    attention_of,
    attention_parts,
    why_no_attention,
)
from napari_stmask.core.errors import DataError, ParameterError


def with_attention(features):
    """A lattice of 10 x 12 spots with two tables of attention and three bands of domains."""
    section, _ = banded(10, 12, 20)
    adata = section.adata
    adata.obsm["mine_attention"] = features
    adata.obsm["mine_attention_image"] = np.zeros((section.n_spots, 3), np.float32)
    adata.obs["mine"] = pd.Categorical(np.arange(section.n_spots) * 3 // section.n_spots + 1)
    return section


def test_weights_are_the_softmax_of_the_products() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 4)).astype(np.float32)
    got = attention_of(features, 7)
    logits = features.astype(float) @ features[7].astype(float)
    np.testing.assert_allclose(got, np.exp(logits) / np.exp(logits).sum(), rtol=1e-5)
    assert got.sum() == pytest.approx(1)


def test_rows_that_are_not_finite_get_nothing() -> None:
    features = np.ones((5, 2), np.float32)
    features[3] = np.nan
    np.testing.assert_allclose(attention_of(features, 0), [0.25, 0.25, 0.25, 0, 0.25])
    with pytest.raises(DataError, match="spot 3 has no attention"):
        attention_of(features, 3)
    for spot in (-1, 5):
        with pytest.raises(ParameterError, match="use 0 to 4"):
            attention_of(features, spot)


def test_huge_logits_do_not_overflow() -> None:
    features = np.array([[40.0, 0], [40.0, 0], [0, 40.0]], np.float32)
    np.testing.assert_allclose(attention_of(features, 0), [0.5, 0.5, 0])


def test_a_spot_that_looks_everywhere_alike() -> None:
    section = with_attention(np.ones((120, 4), np.float32))
    found = attention_from(section, "mine", "spot50")
    assert found.spot == 50
    assert found.effective == pytest.approx(120)
    np.testing.assert_allclose(found.log2_relative, 0, atol=1e-12)
    for weight, spots in found.reach.values():
        assert weight == pytest.approx(spots)
    assert found.table["domain"].tolist() == ["1", "2", "3"]
    np.testing.assert_allclose(found.table["relative"], 1)
    np.testing.assert_allclose(found.table["weight"].sum(), 1)


def test_a_spot_that_looks_at_three_spots_only() -> None:
    features = np.tile(np.array([0, 100.0], np.float32), (120, 1))
    # Itself, its neighbour on the right, and one five spots further on.
    features[[54, 55, 60]] = [100.0, 0]
    section = with_attention(features)
    away = np.linalg.norm(section.coords[60] - section.coords[54]) / section.lattice.pitch
    assert 5 < away <= 10
    found = attention_from(section, "mine", 54)
    assert found.effective == pytest.approx(3)
    shares = {reach: weight for reach, (weight, _) in found.reach.items()}
    assert shares == pytest.approx({2: 2 / 3, 5: 2 / 3, 10: 1})
    assert (found.weights > 0).sum() == 3
    # The others are nowhere, so that 0 is the weight of looking at these three alike.
    np.testing.assert_allclose(found.log2_relative[[54, 55, 60]], 0, atol=1e-12)
    assert np.isneginf(found.log2_relative[0])
    inside = section.adata.obs["mine"].to_numpy()[[54, 55, 60]]
    expected = {str(d): float((inside == d).sum()) / 3 for d in (1, 2, 3)}
    got = dict(zip(found.table["domain"], found.table["weight"], strict=True))
    assert got == pytest.approx(expected)


def test_domains_that_are_given_count() -> None:
    section = with_attention(np.ones((120, 2), np.float32))
    labels = pd.Series(["a"] * 30 + [None] * 90, index=section.adata.obs_names)
    table = attention_from(section, "mine", 0, domains=labels).table
    assert table["domain"].tolist() == ["a"]
    assert table["weight"].iloc[0] == pytest.approx(0.25)
    assert table["relative"].iloc[0] == pytest.approx(1)


def test_what_is_missing_is_said() -> None:
    section = with_attention(np.ones((120, 2), np.float32))
    assert attention_parts(section, "mine") == ["expression", "image"]
    assert why_no_attention(section, "mine") == ""
    with pytest.raises(ParameterError, match=r"has no spot 'nobody'.*such as 'spot0'"):
        attention_from(section, "mine", "nobody")
    with pytest.raises(ParameterError, match=r"no attention of 'both'.*expression, image"):
        attention_from(section, "mine", 0, part="both")
    del section.adata.obsm["mine_attention_image"]
    with pytest.raises(ParameterError, match="no attention of 'image'"):
        attention_from(section, "mine", 0, part="image")
    assert "only MMSRL" in why_no_attention(section, "other")
    with pytest.raises(ParameterError, match="the result 'other' has no long-range"):
        attention_from(section, "other", 0)
    off = {"params": {"attention": "none"}}
    section.adata.uns["stmask"] = {"off": json.dumps(off)}
    assert "attention = none" in why_no_attention(section, "off")
    kept = {"method": "mmsrl", "params": {"attention": "auto"}}
    section.adata.uns["stmask"] = {"kept": json.dumps(kept)}
    assert "has lost its attention" in why_no_attention(section, "kept")
