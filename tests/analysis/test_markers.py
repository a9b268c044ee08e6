"""Rank sums against scipy and scanpy, markers against what was planted."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import mannwhitneyu, ttest_ind
from tests.helpers import banded

from napari_stmask.analysis.inputs import expression_of, groups_of
from napari_stmask.analysis.markers import marker_steps, marker_table
from napari_stmask.analysis.ranksum import group_means, group_shares, rank_sum_steps
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain


@pytest.fixture(scope="module")
def planted():
    section, band = banded(20, 20, 100, fold=2.5)
    labels = pd.Series(np.array(list("abcde"))[band], index=section.adata.obs_names)
    return section, labels


@pytest.mark.parametrize("negative", [False, True])
def test_rank_sums_are_those_of_scipy(negative: bool) -> None:
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.6, (57, 9)).astype(np.float32)
    if negative:
        dense[rng.random(dense.shape) < 0.2] *= -1.5
    dense[:, 3] = 0
    dense[:, 4] = 2
    codes = rng.integers(0, 3, 57)
    ranks = drain(rank_sum_steps(sp.csr_matrix(dense), codes, 3))
    for g in range(3):
        z, p = ranks.against_rest(g)
        for j in range(9):
            a, b = (dense[codes == g, j].astype(float), dense[codes != g, j].astype(float))
            if np.ptp(dense[:, j]) == 0:
                assert (z[j], p[j]) == (0, 1)
                continue
            there = mannwhitneyu(a, b, method="asymptotic", use_continuity=False)
            assert p[j] == pytest.approx(there.pvalue, rel=1e-9)
            assert np.sign(z[j]) == np.sign(there.statistic - a.size * b.size / 2)


def test_stored_zeros_are_zeros(planted) -> None:
    dense = np.array([[1.0, 0], [0, 2], [3, 0], [0, 0]], dtype=np.float32)
    full = sp.csr_matrix(np.ones((4, 2), dtype=np.float32))
    full.data[:] = dense.ravel()
    codes = np.array([0, 0, 1, 1])
    one = drain(rank_sum_steps(full, codes, 2))
    two = drain(rank_sum_steps(sp.csr_matrix(dense), codes, 2))
    np.testing.assert_array_equal(one.sums, two.sums)
    np.testing.assert_array_equal(one.ties, two.ties)
    np.testing.assert_array_equal(one.sums, [[4.5, 5.5], [6, 4]])
    assert full.nnz == 8  # the caller's matrix is as it was


def test_same_scores_as_scanpy(planted) -> None:
    import scanpy as sc
    from anndata import AnnData

    section, labels = planted
    adata = AnnData(expression_of(section), obs=pd.DataFrame({"d": labels.astype("category")}))
    adata.var_names = section.adata.var_names
    sc.tl.rank_genes_groups(adata, "d", method="wilcoxon", tie_correct=True)
    ours = marker_table(section, labels, n_genes=None)
    for name in "abcde":
        theirs = sc.get.rank_genes_groups_df(adata, name).set_index("names")
        mine = ours[ours["domain"] == name].set_index("gene")
        theirs = theirs.loc[mine.index]
        np.testing.assert_allclose(mine["score"], theirs["scores"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(mine["p_adjusted"], theirs["pvals_adj"], rtol=1e-4, atol=1e-12)


def test_welch_is_that_of_scipy(planted) -> None:
    section, labels = planted
    dense = expression_of(section).todense()
    table = marker_table(section, labels, test="t-test", n_genes=None)
    mine = table[table["domain"] == "c"].set_index("gene")
    inside = (labels == "c").to_numpy()
    for gene in ("GENE0", "GENE85"):
        column = np.asarray(dense[:, section.adata.var_names.get_loc(gene)]).ravel()
        there = ttest_ind(column[inside], column[~inside], equal_var=False)
        assert mine.loc[gene, "score"] == pytest.approx(there.statistic, rel=1e-4)
        assert mine.loc[gene, "p"] == pytest.approx(there.pvalue, rel=1e-3)
        fold = (column[inside].mean() - column[~inside].mean()) / np.log(2)
        assert mine.loc[gene, "log2_fold_change"] == pytest.approx(fold, rel=1e-4)
        assert mine.loc[gene, "share_in"] == pytest.approx((column[inside] > 0).mean())
        assert mine.loc[gene, "share_out"] == pytest.approx((column[~inside] > 0).mean())


@pytest.mark.parametrize("test", ["wilcoxon", "t-test"])
def test_planted_genes_come_first(planted, test) -> None:
    section, labels = planted
    table = marker_table(section, labels, n_genes=20, test=test)
    assert (table.groupby("domain").size() == 20).all()
    for b, name in enumerate("abcde"):
        found = {int(g.removeprefix("GENE")) for g in table.loc[table["domain"] == name, "gene"]}
        # 20 genes were raised in each band; a few of them are hardly seen.
        assert len(found & set(range(20 * b, 20 * b + 20))) >= 17
    assert table.attrs["notes"] == []


def test_no_marker_where_none_is_planted() -> None:
    section, band = banded(20, 20, 100, fold=1.0)
    table = marker_table(section, pd.Series(band, index=section.adata.obs_names), n_genes=None)
    assert (table["p_adjusted"] < 0.05).mean() < 0.02
    assert 0.02 < (table["p"] < 0.05).mean() < 0.09  # the test keeps its level


def test_spots_without_a_domain_are_left_out(planted) -> None:
    section, labels = planted
    masked = labels.where(labels.isin(["a", "b"])).astype("category")
    table = marker_table(section, masked, n_genes=None)
    assert set(table["domain"]) == {"a", "b"}
    # With two domains each is the other's rest.
    a, b = (table[table["domain"] == d].set_index("gene") for d in "ab")
    np.testing.assert_allclose(a["score"], -b.loc[a.index, "score"])
    np.testing.assert_allclose(a["share_in"], b.loc[a.index, "share_out"])


def test_a_single_spot_is_reported(planted) -> None:
    section, labels = planted
    odd = labels.copy()
    odd.iloc[7] = "alone"
    for test in ("wilcoxon", "t-test"):
        table = marker_table(section, odd, test=test)
        assert "alone" not in set(table["domain"])
        assert table.attrs["notes"] == ["Domain 'alone' has a single spot and was not tested."]
        assert np.isfinite(table["score"]).all()


def test_layers_are_used_as_they_are(planted) -> None:
    section, labels = planted
    section.adata.layers["given"] = expression_of(section)
    with_layer = marker_table(section, labels, layer="given")
    pd.testing.assert_frame_equal(with_layer, marker_table(section, labels))
    section.adata.layers["given"].data[3] = np.nan
    with pytest.raises(DataError, match="not finite"):
        marker_table(section, labels, layer="given")
    del section.adata.layers["given"]
    with pytest.raises(ParameterError, match="has no layer 'given'"):
        marker_table(section, labels, layer="given")


def test_labels_are_matched_by_name(planted) -> None:
    section, labels = planted
    shuffled = labels.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(marker_table(section, shuffled), marker_table(section, labels))


def test_mistakes(planted) -> None:
    section, labels = planted
    with pytest.raises(DataError, match="1 domains occur"):
        marker_table(section, pd.Series("a", index=labels.index))
    with pytest.raises(ParameterError, match="399 domains were given for 400 spots"):
        marker_table(section, labels.iloc[1:])
    with pytest.raises(ParameterError, match="no test 'anova'"):
        marker_table(section, labels, test="anova")
    with pytest.raises(ParameterError, match="n_genes is 0"):
        marker_table(section, labels, n_genes=0)
    many = pd.Series(np.arange(1200).astype(str))
    with pytest.raises(ParameterError, match="1200 different values"):
        groups_of(many)


def test_progress_and_cancel(planted, monkeypatch) -> None:
    section, labels = planted
    monkeypatch.setattr("napari_stmask.analysis.ranksum._BLOCK", 500)
    whole = marker_table(section, labels)
    events = []
    steps = marker_steps(section, labels)
    for event in steps:
        events.append(event)
        if event.step > 3:
            steps.close()
    assert events[-1].total == 100
    assert len(events) < 20
    monkeypatch.undo()
    pd.testing.assert_frame_equal(whole, marker_table(section, labels))


def test_means_and_shares_by_hand() -> None:
    matrix = sp.csr_matrix(np.array([[1.0, 0], [3, 0], [0, -2]]))
    codes = np.array([0, 0, 1])
    mean, variance = group_means(matrix, codes, 2)
    np.testing.assert_allclose(mean, [[2, 0], [0, -2]])
    np.testing.assert_allclose(variance, [[2, 0], [np.nan, np.nan]])
    np.testing.assert_allclose(group_shares(matrix, codes, 2), [[1, 0], [0, 0]])
