"""What the dock Explore genes computes: search, limits, cells, blend."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from tests.helpers import banded

from napari_stmask.core.section import Section
from napari_stmask.gui.explore.beside import cells
from napari_stmask.gui.explore.blend import Part, mixed, picture
from napari_stmask.gui.explore.gene_index import index_of
from napari_stmask.gui.explore.limits import followed, together
from napari_stmask.gui.limits import default_limits, ordered


def indexed(names, means=None, **columns):
    n = len(names)
    means = np.ones(n) if means is None else means
    adata = AnnData(sp.csr_matrix(np.tile(means, (4, 1)).astype(np.float32)))
    adata.var_names = names
    for column, values in columns.items():
        adata.var[column] = values
    adata.obsm["spatial"] = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
    return index_of(Section(adata))


def found(index, text):
    return [str(index.names[row]) for row in index.search(text).rows]


def test_exact_then_prefix_then_substring_and_ties_by_mean():
    index = indexed(["XMBPX", "MBPL1", "MBP", "MBPL2", "AMBP", "OTHER"], [9, 1, 1, 5, 7, 99])
    assert found(index, "mbp") == ["MBP", "MBPL2", "MBPL1", "XMBPX", "AMBP"]
    assert index.search("MbP ").count == 5
    assert found(index, "") == ["OTHER", "XMBPX", "AMBP", "MBPL2", "MBPL1", "MBP"]
    assert found(index, "absent") == []
    assert found(index, "\n") == found(index, "")


def test_symbols_come_before_ids_and_both_are_found():
    ids = [f"ENSG{i:011d}" for i in range(4)]
    index = indexed(["SNAP25", "ENSGLIKE", "MBP", "GFAP"], gene_ids=ids, feature_types=["g"] * 4)
    assert found(index, "ensg00000000002") == ["MBP"]
    assert found(index, "ensg")[0] == "ENSGLIKE"
    assert index.label(2) == "MBP  \u00b7  ENSG00000000002"


@pytest.mark.parametrize("column", ["gene_name", "something"])
def test_ids_as_names_show_the_symbols_of_a_column(column):
    ids = [f"ENSMUSG{i:011d}" for i in range(3)]
    symbols = pd.Categorical(["Mbp", "Plp1", "Snap25"])
    index = indexed(ids, **{column: symbols})
    assert found(index, "plp1") == [ids[1]]
    assert found(index, ids[2].lower()) == [ids[2]]
    assert index.label(0) == f"Mbp  \u00b7  {ids[0]}"


def test_search_is_the_plain_one_and_quick_over_30000_names():
    rng = np.random.default_rng(0)
    letters = list("ABCDEGLMNPRST")
    names = ["".join(rng.choice(letters, rng.integers(2, 6))) + str(i % 77) for i in range(30_000)]
    twice = pd.Index(names).duplicated()
    for i in np.flatnonzero(twice):
        names[i] = f"DUP{i}"
    means = rng.random(30_000)
    index = indexed(names, means)

    def plain(text):
        level = {}
        for row, name in enumerate(names):
            low = name.lower()
            if text in low:
                level[row] = 0 if low == text else 1 if low.startswith(text) else 2
        order = sorted(level, key=lambda row: (level[row], -np.float32(means[row])))
        return len(level), order[:200]

    for text in ("a", "ab", "abc", "7", "ts1", "dup1", names[123].lower()):
        hits = index.search(text)
        count, rows = plain(text)
        assert hits.count == count
        assert [names[r] for r in hits.rows] == [names[r] for r in rows]
    start = time.perf_counter()
    for text in ("s", "sn", "sna", "snap", "e", "en"):
        index.search(text)
    assert (time.perf_counter() - start) / 6 < 0.05


def test_default_limits_leave_zeros_out():
    values = np.concatenate([np.zeros(500), np.arange(1, 101), [np.nan]])
    low, high = default_limits(ordered(values))
    assert low == 0
    assert high == pytest.approx(np.percentile(np.arange(1, 101), 99))
    assert default_limits(ordered(np.zeros(3))) == (0.0, 1.0)
    signed = np.linspace(-2, 2, 401)
    assert default_limits(ordered(signed))[0] == pytest.approx(np.percentile(signed, 1), abs=0.02)


def test_one_unit_shares_its_range_and_another_keeps_its_own():
    own = [(0.0, 2.0), (0.5, 3.0), (0.0, 40.0)]
    assert together(own, ["log", "log", "counts"]) == [(0.0, 3.0), (0.0, 3.0), (0.0, 40.0)]


def test_another_unit_is_cut_at_the_same_share_of_spots():
    rng = np.random.default_rng(1)
    counts = np.sort(rng.gamma(2, 10, 999))
    logs = np.log1p(counts)
    for low, high in ((5.0, 30.0), (0.0, 12.0), (1.5, 60.0)):
        # A monotone change of the unit must give the changed limits.
        found_low, found_high = followed((np.log1p(low), np.log1p(high)), logs, counts)
        assert found_low == pytest.approx(low, rel=0.15, abs=0.3)
        assert found_high == pytest.approx(high, rel=0.15)
    assert followed((0.0, 2 * logs[-1]), logs, counts)[1] == pytest.approx(2 * counts[-1])


def test_cells_do_not_overlap_and_fill_a_block():
    places = cells(4, 100.0, 100.0)
    assert places[0] == (0, 0)
    assert len({row for row, _ in places}) == len({column for _, column in places}) == 2
    assert sorted({row for row, _ in places})[1] > 100
    assert [row for row, _ in cells(3, 300.0, 100.0)] == [0, 0, 0]
    assert [column for _, column in cells(3, 100.0, 900.0)] == [0, 0, 0]


def test_blend_adds_colours_in_proportion():
    zero, one = np.zeros(200), np.linspace(0, 1, 200)
    magenta, green = Part("A", one, "#FF00FF"), Part("B", one[::-1].copy(), "#00FF00")
    alone = mixed([magenta, Part("B", zero, "#00FF00")])
    np.testing.assert_allclose(alone[:, 0], alone[:, 2])
    assert not alone[:, 1].any()
    middle, high = np.median(one), np.quantile(one[1:], 0.99)
    np.testing.assert_allclose(alone[150, 0], (one[150] - middle) / (high - middle), rtol=1e-9)
    # What is no more than usual has no colour.
    assert not alone[:100].any()
    both = mixed([magenta, Part("B", one, "#00FF00")])
    np.testing.assert_allclose(both[-1], [1, 1, 1])
    np.testing.assert_allclose(mixed([magenta, green])[:, 1], mixed([magenta, green])[::-1, 0])


def test_picture_is_clear_off_the_tissue():
    from napari_stmask.viz.raster import rasterise

    section, _ = banded(5, 6, 20)
    raster = rasterise(section.coords, section.lattice)
    values = np.arange(30.0)
    data = picture(raster, [Part("A", values, "#FF00FF"), Part("B", values, "#00FF00")])
    assert (data[raster.index < 0] == 0).all()
    assert (data[raster.index >= 0][:, 3] == 255).all()
    assert (data[raster.index == 29][:, :3] == 255).all()
