"""Scores of predicted genes against scipy and closed forms; the ceiling against known rates."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import pearsonr, spearmanr

from napari_stmask.analysis import prediction_scores as module
from napari_stmask.analysis.prediction_scores import (
    gene_scores,
    split_half_ceiling,
    split_half_steps,
    summary,
)
from napari_stmask.core.errors import DataError, ParameterError


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    measured = np.log1p(rng.poisson(2, (60, 9))).astype(np.float32)  # many ties
    return 0.5 * measured + rng.normal(size=measured.shape).astype(np.float32), measured


def test_same_as_scipy_gene_by_gene(pair, monkeypatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 60 * 4)  # several blocks of genes
    predicted, measured = pair
    names = [f"G{j}" for j in range(9)]
    table = gene_scores(predicted, measured, genes=names)
    assert list(table.index) == names
    for j, name in enumerate(names):
        a, b = predicted[:, j].astype(float), measured[:, j].astype(float)
        row = table.loc[name]
        assert row["pcc"] == pytest.approx(pearsonr(a, b).statistic, abs=1e-9)
        assert row["spearman"] == pytest.approx(spearmanr(a, b).statistic, abs=1e-9)
        assert row["rmse"] == pytest.approx(np.sqrt(np.mean((a - b) ** 2)))
        assert row["mae"] == pytest.approx(np.mean(np.abs(a - b)))
    assert list(gene_scores(predicted, measured).index) == list(range(9))


def test_closed_forms(pair) -> None:
    measured = pair[1].astype(float)
    perfect = gene_scores(measured, measured)
    np.testing.assert_allclose(perfect[["pcc", "spearman"]], 1)
    np.testing.assert_array_equal(perfect[["rmse", "mae"]], 0)
    moved = gene_scores(2 - 3 * measured, measured)
    np.testing.assert_allclose(moved[["pcc", "spearman"]], -1)
    bent = gene_scores(np.exp(2 * measured), measured)
    np.testing.assert_allclose(bent["spearman"], 1)
    assert (bent["pcc"] < 0.99).all()
    np.testing.assert_allclose(gene_scores(measured + 0.25, measured)[["rmse", "mae"]], 0.25)


def test_constant_genes(pair) -> None:
    predicted, measured = (x.copy() for x in pair)
    measured[:, 2] = 1.5
    predicted[:, 4] = (0.1 * (1 + 1e-8 * np.arange(60))).astype(np.float32)
    table = gene_scores(predicted, measured)
    assert table.loc[2, ["pcc", "spearman"]].isna().all()
    assert (table.loc[4, ["pcc", "spearman"]] == 0).all()
    assert table[["rmse", "mae"]].notna().all(axis=None)
    found = summary(table)
    assert (found["genes"], found["genes_constant"]) == (8, 1)
    assert found["pcc_mean"] == pytest.approx(np.nanmean(table["pcc"]))
    assert found["pcc_median"] == pytest.approx(np.nanmedian(table["pcc"]))
    assert found["spearman_mean"] == pytest.approx(np.nanmean(table["spearman"]))
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((predicted - measured) ** 2)), rel=1e-5)
    assert found["mae"] == pytest.approx(np.mean(np.abs(predicted - measured)), rel=1e-5)
    measured[:] = 1.5
    with pytest.raises(DataError, match="no gene varies"):
        summary(gene_scores(predicted, measured))


def test_mistakes_in_scoring(pair) -> None:
    predicted, measured = pair
    with pytest.raises(ParameterError, match=r"shape \(60, 8\)"):
        gene_scores(predicted[:, :8], measured)
    with pytest.raises(ParameterError, match="2 names were given for 9 genes"):
        gene_scores(predicted, measured, genes=["a", "b"])
    with pytest.raises(DataError, match="2 spots"):
        gene_scores(predicted[:2], measured[:2])
    for place in (0, 1):
        bad = [predicted.copy(), measured.copy()]
        bad[place][3, 1] = np.nan
        with pytest.raises(DataError, match="not finite"):
            gene_scores(*bad)


def rates(n: int, mean: float, spread: float, depth: float, seed: int = 0):
    """Shares of 40 panel genes and one other, and Poisson counts of them."""
    rng = np.random.default_rng(seed)
    share = np.exp(rng.normal(0, spread, (n, 41)))
    share[:, -1] *= 1000
    share /= share.sum(axis=1, keepdims=True)
    total = rng.lognormal(np.log(depth * mean * 1000), 0.3, (n, 1))
    counts = rng.poisson(total * share)
    return share[:, :40], sp.csr_matrix(counts[:, :40]), counts.sum(axis=1)


@pytest.mark.parametrize(("mean", "depth"), [(4, 1), (10, 1), (30, 1)])
def test_the_truth_reaches_the_ceiling_and_no_more(mean: int, depth: int) -> None:
    share, counts, totals = rates(3000, mean, 0.5, depth)
    found = split_half_ceiling(counts, totals)
    log = module._units(counts, totals, "normalised").toarray()
    reached = gene_scores(np.log1p(1e4 * share), log)["pcc"].to_numpy()
    assert abs(np.mean(reached) - np.mean(found.ceiling)) < 0.02
    assert np.abs(reached - found.ceiling).max() < 0.08
    assert np.mean(found.ceiling) > np.mean(found.split_half) + 0.05


def test_counts_are_exact_for_linear_units(monkeypatch) -> None:
    """Without the logarithm Spearman-Brown holds: R = var(rate) / (var(rate) + mean(rate))."""
    monkeypatch.setattr(
        module, "_units", lambda counts, totals, kind: sp.csr_matrix(counts, dtype=np.float32)
    )
    rng = np.random.default_rng(0)
    rate = rng.gamma(2.0, 1.5, (20_000, 6))
    counts = sp.csr_matrix(rng.poisson(rate))
    found = split_half_ceiling(counts, np.asarray(counts.sum(axis=1)).ravel(), kind="counts")
    reliability = 4.5 / (4.5 + 3)  # variance and mean of the rates
    half = reliability / (2 - reliability)
    np.testing.assert_allclose(found.split_half, half, atol=0.03)
    np.testing.assert_allclose(found.ceiling, np.sqrt(reliability), atol=0.02)


def test_noise_has_no_ceiling_worth_the_name() -> None:
    counts = sp.csr_matrix(np.random.default_rng(0).poisson(3, (4000, 30)))
    totals = np.asarray(counts.sum(axis=1)).ravel() + 100_000
    found = split_half_ceiling(counts, totals)
    assert abs(found.split_half.mean()) < 0.01
    assert (found.ceiling[found.split_half <= 0] == 0).all()
    assert (found.split_half <= 0).any()


def test_in_counts_depth_is_shared_by_the_halves() -> None:
    rng = np.random.default_rng(0)
    depth = rng.lognormal(0, 0.8, (2000, 1))
    counts = sp.csr_matrix(rng.poisson(5 * depth * np.ones(20)))
    totals = np.asarray(rng.poisson(5000 * depth)).ravel() + np.asarray(counts.sum(axis=1)).ravel()
    by_kind = {k: split_half_ceiling(counts, totals, kind=k) for k in ("normalised", "counts")}
    assert by_kind["counts"].split_half.mean() > 0.6
    assert abs(by_kind["normalised"].split_half.mean()) < 0.15


def test_blocks_seeds_and_rare_genes(monkeypatch) -> None:
    _, counts, totals = rates(200, 3, 0.5, 1)
    dense = counts.toarray()
    dense[:, 5], dense[:, 6] = 0, 0
    dense[7, 6] = 1
    counts = sp.csr_matrix(dense)
    one = split_half_ceiling(counts, totals, seed=1)
    other = split_half_ceiling(counts, totals, seed=2)
    monkeypatch.setattr(module, "_BLOCK", 200 * 7)
    again = split_half_ceiling(counts, totals, seed=1)
    np.testing.assert_allclose(one.split_half, again.split_half)
    assert not np.allclose(one.split_half, other.split_half, equal_nan=True)
    assert np.isnan(one.split_half[5])
    assert np.isnan(one.ceiling[5])
    assert one.ceiling[6] == 0  # one molecule agrees with nothing
    assert len(list(split_half_steps(counts, totals))) == 3 * 6


def test_mistakes_in_splitting() -> None:
    counts = sp.csr_matrix(np.ones((5, 2)))
    with pytest.raises(ParameterError, match="no kind 'log'"):
        split_half_ceiling(counts, np.full(5, 9), kind="log")
    with pytest.raises(ParameterError, match="repeats is 0"):
        split_half_ceiling(counts, np.full(5, 9), repeats=0)
    for totals in (np.full(4, 9), np.full(5, 1), np.full(5, np.nan)):
        with pytest.raises(ParameterError, match="totals"):
            split_half_ceiling(counts, totals)
    with pytest.raises(DataError, match="whole numbers"):
        split_half_ceiling(counts * 0.5, np.full(5, 9))
    with pytest.raises(DataError, match="2 spots"):
        split_half_ceiling(counts[:2], np.full(2, 9))


def test_table_is_plain(pair) -> None:
    table = gene_scores(*pair)
    assert isinstance(table, pd.DataFrame)
    assert (table.dtypes == np.float64).all()
