"""References, further tests, thresholds, dots and scanpy's layout."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.stats import mannwhitneyu
from tests.helpers import banded

from napari_stmask.analysis.domain_facts import spot_links
from napari_stmask.analysis.inputs import expression_of, groups_of
from napari_stmask.analysis.marker_dots import domain_expression
from napari_stmask.analysis.marker_store import rank_genes_groups
from napari_stmask.analysis.marker_tests import reference_of
from napari_stmask.analysis.markers import marker_table, passing, top_genes
from napari_stmask.core.errors import DataError, ParameterError


@pytest.fixture(scope="module")
def planted():
    section, band = banded(20, 20, 100, fold=2.5)
    labels = pd.Series(np.array(list("abcde"))[band], index=section.adata.obs_names)
    return section, labels


@pytest.fixture(scope="module")
def theirs(planted):
    section, labels = planted
    adata = AnnData(expression_of(section), obs=pd.DataFrame({"d": labels.astype("category")}))
    adata.var_names = section.adata.var_names
    return adata


def test_references_of_bands(planted) -> None:
    section, labels = planted
    groups, links = groups_of(labels), spot_links(section)
    names = lambda rows: set(labels[rows])  # noqa: E731
    assert names(reference_of(groups, 1, "rest", None)) == set("acde")
    touching = reference_of(groups, 1, "touching", links)
    assert names(touching) == {"a", "c"}
    assert touching.sum() == 160
    adjacent = reference_of(groups, 1, "adjacent", links)
    # The last row of band a and the first of band c.
    assert np.flatnonzero(adjacent).tolist() == [*range(60, 80), *range(160, 180)]


def test_a_short_contact_does_not_count_as_touching(planted) -> None:
    section, labels = planted
    odd = labels.copy()
    odd.iloc[140] = "e"  # 3 of the 80 links of b to others
    groups = groups_of(odd)
    links = spot_links(section)
    assert set(odd[reference_of(groups, 1, "touching", links)]) == {"a", "c"}
    assert "e" in set(odd[reference_of(groups, 1, "adjacent", links)])


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        ({"other": "d"}, slice(240, 320)),
        ({"against": "touching"}, [*range(80), *range(160, 240)]),
        ({"against": "adjacent"}, [*range(60, 80), *range(160, 180)]),
    ],
)
def test_comparisons_are_those_of_scipy(planted, given, rows) -> None:
    section, labels = planted
    table = marker_table(section, labels, n_genes=None, only=["b"], **given)
    assert set(table["domain"]) == {"b"}
    dense = np.asarray(expression_of(section).todense(), dtype=float)
    mine = table.set_index("gene")
    for gene in ("GENE3", "GENE25", "GENE70"):
        column = dense[:, section.adata.var_names.get_loc(gene)]
        a, b = column[80:160], column[rows]
        there = mannwhitneyu(a, b, method="asymptotic", use_continuity=False)
        assert mine.loc[gene, "p"] == pytest.approx(there.pvalue, rel=1e-6)
        fold = (a.mean() - b.mean()) / np.log(2)
        assert mine.loc[gene, "log2_fold_change"] == pytest.approx(fold, rel=1e-4)
        assert mine.loc[gene, "share_in"] == pytest.approx((a > 0).mean())
        assert mine.loc[gene, "share_out"] == pytest.approx((b > 0).mean())


@pytest.mark.parametrize(("test", "other"), [("t-test_overestim_var", None), ("wilcoxon", "d")])
def test_scores_are_those_of_scanpy(planted, theirs, test, other) -> None:
    import scanpy as sc

    section, labels = planted
    reference = other or "rest"
    options = {"tie_correct": True} if test == "wilcoxon" else {}
    sc.tl.rank_genes_groups(theirs, "d", method=test, reference=reference, **options)
    ours = marker_table(section, labels, n_genes=None, test=test, other=other)
    assert set(ours["domain"]) == set("abcde") - {other}
    for name in "abce":
        there = sc.get.rank_genes_groups_df(theirs, name).set_index("names")
        mine = ours[ours["domain"] == name].set_index("gene")
        there = there.loc[mine.index]
        np.testing.assert_allclose(mine["score"], there["scores"], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(mine["p_adjusted"], there["pvals_adj"], rtol=1e-3, atol=1e-9)


def test_regression_weights_are_those_of_scanpy(planted, theirs) -> None:
    import scanpy as sc

    section, labels = planted
    sc.tl.rank_genes_groups(theirs, "d", method="logreg", max_iter=200)
    ours = marker_table(section, labels, n_genes=None, test="logreg")
    assert ours["p"].isna().all()
    assert "no p-values" in " ".join(ours.attrs["notes"])
    for name in "abcde":
        there = sc.get.rank_genes_groups_df(theirs, name).set_index("names")["scores"]
        mine = ours[ours["domain"] == name].set_index("gene")["score"]
        np.testing.assert_allclose(mine, there.loc[mine.index], atol=1e-5)


def test_regression_of_two_domains_mirrors(planted) -> None:
    section, labels = planted
    two = labels[labels.isin(["a", "b"])].reindex(labels.index)
    table = marker_table(section, two, n_genes=None, test="logreg")
    a, b = (table[table["domain"] == n].set_index("gene")["score"] for n in "ab")
    np.testing.assert_allclose(a, -b[a.index])
    pair = marker_table(section, labels, n_genes=None, test="logreg", other="b", only=["a"])
    np.testing.assert_allclose(pair.set_index("gene")["score"][a.index], a, atol=1e-6)
    assert {int(g[4:]) for g in a.index[:10]} <= set(range(20))


def test_thresholds(planted) -> None:
    section, labels = planted
    table = marker_table(section, labels, n_genes=None)
    assert passing(table).all()
    keep = passing(table, max_p=0.01, min_fold=0.5, min_share=0.4)
    for row, kept in zip(table.itertuples(), keep, strict=True):
        share = row.share_in if row.log2_fold_change >= 0 else row.share_out
        strong = row.p_adjusted <= 0.01 and abs(row.log2_fold_change) >= 0.5
        assert kept == (strong and share >= 0.4)
    assert 0 < keep.sum() < len(keep)
    assert (table["log2_fold_change"][keep] < 0).any()  # both directions


def test_top_genes_list_a_gene_once() -> None:
    table = pd.DataFrame(
        {"domain": list("aaabb"), "gene": list("xyzxw"), "log2_fold_change": [3, 2, 1, 2, -1]}
    )
    assert top_genes(table, 2) == {"a": ["x", "y"], "b": []}


def test_what_cannot_be_compared(planted) -> None:
    section, labels = planted
    with pytest.raises(ParameterError, match="no reference 'all'"):
        marker_table(section, labels, against="all")
    with pytest.raises(ParameterError, match="no domain 'z'"):
        marker_table(section, labels, other="z")
    with pytest.raises(DataError, match="compare with"):
        marker_table(section, labels, other="a", only=["a"])
    alone = labels.copy()
    alone[labels.isin(list("bcde"))] = np.nan
    alone.iloc[-40:] = "e"
    with pytest.raises(DataError, match="compare with the rest"):
        marker_table(section, alone, against="adjacent")


@pytest.mark.parametrize("standardise", [False, True])
def test_dots_are_those_of_scanpy(planted, theirs, standardise) -> None:
    import scanpy as sc

    section, labels = planted
    genes = ["GENE3", "GENE44", "GENE90"]
    plot = sc.pl.dotplot(
        theirs, genes, "d", standard_scale="var" if standardise else None, return_fig=True
    )
    shares, means = domain_expression(section, labels).of(genes, standardise=standardise)
    np.testing.assert_allclose(shares, plot.dot_size_df[genes], atol=1e-6)
    np.testing.assert_allclose(means, plot.dot_color_df[genes], atol=1e-5)
    assert shares.index.tolist() == plot.dot_size_df.index.tolist()


def test_dots_need_genes(planted) -> None:
    found = domain_expression(*planted)
    with pytest.raises(DataError, match="no gene to draw"):
        found.of([])
    with pytest.raises(DataError, match="no gene 'NOPE'"):
        found.of(["GENE1", "NOPE"])


@pytest.mark.parametrize("test", ["wilcoxon", "logreg"])
def test_scanpy_reads_what_is_stored(planted, theirs, tmp_path, test) -> None:
    import anndata
    import scanpy as sc

    section, labels = planted
    table = marker_table(section, labels, n_genes=30, test=test)
    adata = theirs.copy()
    adata.uns["rank_genes_groups"] = rank_genes_groups(table, column="d", test=test)
    adata.write_h5ad(tmp_path / "t.h5ad")
    back = anndata.read_h5ad(tmp_path / "t.h5ad")
    for name in "abcde":
        found = sc.get.rank_genes_groups_df(back, name)
        mine = table[table["domain"] == name]
        assert found["names"].tolist() == mine["gene"].tolist()
        np.testing.assert_allclose(found["scores"], mine["score"], rtol=1e-6)
        if test == "wilcoxon":
            np.testing.assert_allclose(found["pvals_adj"], mine["p_adjusted"])
