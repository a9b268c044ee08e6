"""Shares of expression and image: by hand, and what is missing."""

import numpy as np
import pandas as pd
import pytest
from tests.helpers import banded

from napari_stmask.analysis.fusion import fusion_by_domain, fusion_shares, why_no_fusion
from napari_stmask.core.errors import DataError, ParameterError


@pytest.fixture
def section():
    section, _ = banded(4, 3, 20)
    weights = np.tile([0.5, 0.3, 0.2], (12, 1)).astype(np.float32)
    weights[:6] = [0.1, 0.8, 0.1]
    section.adata.obsm["mine_fusion_weights"] = weights
    return section


def test_means_of_the_domains(section) -> None:
    shares = fusion_shares(section, "mine")
    assert list(shares.index) == list(section.adata.obs_names)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    shares.iloc[0] = np.nan  # does not count
    domains = pd.Series(["a"] * 4 + ["b"] * 4 + [None] * 4, index=shares.index)
    table = fusion_by_domain(shares, domains)
    assert table["domain"].tolist() == ["a", "b"]
    assert table["spots"].tolist() == [4, 4]
    np.testing.assert_allclose(table["image"], [0.8, 0.55], atol=1e-6)
    np.testing.assert_allclose(table["expression"], [0.1, 0.3], atol=1e-6)


def test_what_is_missing(section) -> None:
    assert why_no_fusion(section, "mine") == ""
    with pytest.raises(ParameterError, match="'other' has no shares"):
        fusion_shares(section, "other")
    section.adata.obsm["mine_fusion_weights"] = np.ones((12, 2))
    with pytest.raises(DataError, match=r"shape \(12, 2\)"):
        fusion_shares(section, "mine")
