"""Numbers of domains against closed forms; first markers against what was planted."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from tests.helpers import banded, hexagons

from napari_stmask.analysis.domain_facts import FACTS, domain_facts, top_markers
from napari_stmask.analysis.inputs import expression_of
from napari_stmask.core.errors import ParameterError
from napari_stmask.core.section import Section


def _section(coords, um_per_px=2.0, counts=None):
    counts = np.ones((len(coords), 4), np.float32) if counts is None else counts
    adata = AnnData(sp.csr_matrix(counts))
    adata.obsm["spatial"] = np.asarray(coords, dtype=float)
    return Section(adata, um_per_px=um_per_px)


def test_area_and_perimeter_of_hexagons() -> None:
    """Two halves of a 12 x 12 lattice of pitch 10 px at 2 um a px."""
    section = _section(hexagons(12, 12, 10.0))
    codes = (np.arange(144) >= 72).astype(int)  # rows 0-5 and 6-11
    facts = domain_facts(section, codes, 2)
    assert tuple(facts.columns) == FACTS
    cell, side = 20.0**2 * np.sqrt(3) / 2, 20.0 / np.sqrt(3)
    np.testing.assert_allclose(facts["area_mm2"], 72 * cell / 1e6)
    # Links within 6 rows of 12: 6 * 11 along rows, 2 * 12 - 1 between each two rows.
    inner = 2 * (6 * 11 + 5 * 23)
    np.testing.assert_allclose(facts["perimeter_mm"], (6 * 72 - inner) * side / 1000)
    assert facts["pieces"].tolist() == [1, 1]
    np.testing.assert_allclose(facts["share"], 0.5)


def test_square_domain_has_the_outline_of_a_square() -> None:
    y, x = np.mgrid[:10, :10].reshape(2, -1)
    section = _section(np.column_stack([x, y]) * 5.0, um_per_px=20.0)
    codes = np.full(100, -1)
    codes[(x < 4) & (y < 4)] = 0
    facts = domain_facts(section, codes, 1)
    assert facts.loc[0, "area_mm2"] == pytest.approx(16 * 0.1**2)
    assert facts.loc[0, "perimeter_mm"] == pytest.approx(16 * 0.1)
    assert facts.loc[0, "share"] == pytest.approx(0.16)


def test_pieces_and_a_domain_without_spots() -> None:
    section = _section(hexagons(12, 12, 10.0))
    row = np.arange(144) // 12
    codes = np.where(row < 3, 0, np.where(row > 10, 0, 2))
    codes[0] = -1
    facts = domain_facts(section, codes, 3)
    assert facts["pieces"].tolist() == [2, 0, 1]
    assert facts["spots"].tolist() == [47, 0, 96]
    assert facts.loc[0, "largest_piece"] == pytest.approx(35 / 47)
    assert np.isnan(facts.loc[1, ["largest_piece", "counts"]].to_numpy(dtype=float)).all()
    assert facts.loc[1, "area_mm2"] == 0


def test_depth_and_certainty_are_means_of_known_spots() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, (144, 9)).astype(np.float32)
    section = _section(hexagons(12, 12), counts=counts)
    codes = rng.integers(0, 2, 144)
    sure = rng.random(144)
    sure[:20] = np.nan
    section.adata.obs["run_confidence"] = sure
    facts = domain_facts(section, codes, 2, key="run")
    frame = pd.DataFrame({"t": counts.sum(1), "g": (counts > 0).sum(1), "c": sure})
    there = frame.groupby(codes).mean()
    np.testing.assert_allclose(facts[["counts", "genes", "confidence"]], there, rtol=1e-6)
    assert domain_facts(section, codes, 2)["confidence"].isna().all()


def test_what_is_unknown_is_nan() -> None:
    rng = np.random.default_rng(0)
    section = _section(rng.random((200, 2)), counts=rng.random((200, 3)).astype(np.float32))
    facts = domain_facts(section, np.zeros(200, int), 1)
    assert facts[["area_mm2", "perimeter_mm", "counts", "genes"]].isna().all(axis=None)
    flat = _section(hexagons(12, 12), um_per_px=None)
    assert np.isnan(domain_facts(flat, np.zeros(144, int), 1).loc[0, "area_mm2"])


def test_top_markers_are_the_planted_ones_in_the_order_of_the_means() -> None:
    section, band = banded(20, 20, 100, fold=3.0)
    codes = band.copy()
    codes[:3] = -1
    found = top_markers(section, codes, list("abcde"), n=4)
    assert found["domain"].tolist() == [n for n in "abcde" for _ in range(4)]
    dense = np.asarray(expression_of(section).todense(), dtype=float)
    for b, name in enumerate("abcde"):
        inside, outside = dense[codes == b], dense[(codes != b) & (codes >= 0)]
        gap = (inside.mean(0) - outside.mean(0)) / np.log(2)
        mine = found[found["domain"] == name]
        best = np.argsort(-gap)[:4]
        assert mine["gene"].tolist() == [f"GENE{i}" for i in best]
        np.testing.assert_allclose(mine["log2_fold_change"], gap[best], rtol=1e-4)
        assert set(best) <= set(range(20 * b, 20 * b + 20))


def test_one_domain_has_no_markers() -> None:
    section, band = banded(10, 10, 20)
    assert top_markers(section, np.zeros_like(band), ["all"]).empty


def test_wrong_codes_are_refused() -> None:
    section, band = banded(10, 10, 20)
    with pytest.raises(ParameterError, match="one domain for each spot"):
        domain_facts(section, band[:-1], 5)
    with pytest.raises(ParameterError, match="a name"):
        top_markers(section, band, ["a", "b"])
