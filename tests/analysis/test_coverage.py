"""The closed-form translator: planted relations, brute force, names, honest confidence."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from scipy.stats import spearmanr

from napari_stmask.analysis import coverage as module
from napari_stmask.analysis import coverage_ridge as ridge_module
from napari_stmask.analysis.correlation import pearson_columns
from napari_stmask.analysis.coverage import Coverage, fit_coverage_steps
from napari_stmask.analysis.coverage_baselines import (
    baselines_steps,
    nearest_weights,
    partner_weights,
)
from napari_stmask.analysis.coverage_confidence import fit_confidence
from napari_stmask.analysis.coverage_data import best_supported, directions, panel_of
from napari_stmask.analysis.coverage_ridge import KERNELS, Choice, RidgeEngine
from napari_stmask.core.errors import DataError, ParameterError, ResourceError
from napari_stmask.core.progress import drain


def planted(
    n_genes: int = 120, n_panel: int = 80, n_cells: int = 150, noise: float = 0.0, seed: int = 0
) -> SimpleNamespace:
    """Maps that are a fixed linear map of the vectors, with a level and a scale of each gene."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n_genes, 6)) * np.linspace(1.5, 0.5, 6)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # Orthogonal to one another and to the constant: every map has mean 0 and variance 1.
    basis = np.linalg.qr(np.c_[np.ones(n_cells), rng.normal(size=(n_cells, 6))])[0][:, 1:]
    pattern = np.sqrt(n_cells) * vectors @ basis.T
    pattern += noise * rng.normal(size=pattern.shape)
    scale = rng.uniform(0.2, 1, n_genes)
    full = (12 * scale + scale * pattern.T).astype(np.float32)
    assert (full > 0).all()
    genes = np.array([f"G{i:03d}" for i in rng.permutation(n_genes)])
    # The reference was counted to another depth.
    levels = 1.7 * np.column_stack([12 * scale, scale])
    return SimpleNamespace(
        vectors=vectors.astype(np.float32), genes=genes, full=full, values=full[:, :n_panel],
        panel=genes[:n_panel], hidden=genes[n_panel:], levels=levels, n=n_panel,
    )  # fmt: skip


def fitted(p: SimpleNamespace, **options) -> Coverage:
    return drain(
        fit_coverage_steps(p.vectors, p.genes, p.values, p.panel, levels=p.levels, **options)
    )


def test_a_linear_relation_is_found() -> None:
    p = planted()
    c = fitted(p)
    r = pearson_columns(c.predict(p.hidden), p.full[:, p.n :])
    assert r.min() > 0.95
    assert c.facts["mean_r"] > 0.95
    # Level and scale too, from those in the reference alone.
    np.testing.assert_allclose(c.predict(p.hidden), p.full[:, p.n :], atol=0.1)
    np.testing.assert_allclose(c.predict(p.hidden).mean(0), p.full[:, p.n :].mean(0), rtol=0.01)


def test_noise_shrinks_the_answer_and_lowers_what_is_expected() -> None:
    clear, noisy = planted(noise=0.1), planted(noise=2.0)
    a, b = fitted(clear), fitted(noisy)
    assert np.nanmean(a.confidence) > 0.9
    # The best possible r with noise of twice the pattern's size is 1 / sqrt(5).
    assert 0.25 < np.nanmean(b.confidence) < 0.5
    assert b.predict(noisy.hidden).std(0).mean() < 0.6 * noisy.full[:, noisy.n :].std(0).mean()


def test_left_out_r_is_that_of_a_fit_without_the_gene() -> None:
    p = planted(noise=1.0)
    c = fitted(p)
    out = c.cv.index[c.cv["fold"] == 2]
    keep = ~np.isin(p.panel, out)
    panel = panel_of(p.vectors, p.genes, p.values[:, keep], p.panel[keep], levels=p.levels)
    engine = RidgeEngine(panel, rank=50, seed=0)
    engine.choice = Choice(*(c.facts[k] for k in ("kernel", "alpha", "rank", "slope")))
    maps = drain(engine.fit(np.arange(len(panel.names))))
    rows = [list(p.genes).index(g) for g in out]
    measured = p.values[:, [list(p.panel).index(g) for g in out]]
    got = pearson_columns(maps.values(np.array(rows)), measured)
    # Vectors are centred over other genes here, which the regression does not see.
    np.testing.assert_allclose(got, c.cv.loc[out, "r"], atol=2e-3)


def test_a_hidden_gene_has_no_say() -> None:
    p = planted(noise=1.0)
    before = fitted(p)
    p.full[:, p.n :] = 0  # what nobody measured cannot matter
    np.testing.assert_array_equal(fitted(p).predict(p.hidden), before.predict(p.hidden))


@pytest.mark.parametrize("sparse", [False, True])
def test_order_and_storage_do_not_matter(sparse: bool) -> None:
    p = planted(noise=0.5)
    one = fitted(p)
    rng = np.random.default_rng(5)
    i, j = rng.permutation(len(p.genes)), rng.permutation(p.n)
    values = p.values[:, j]
    other = drain(
        fit_coverage_steps(
            p.vectors[i], p.genes[i], sp.csr_matrix(values) if sparse else values, p.panel[j],
            levels=p.levels[i],
        )
    )  # fmt: skip
    np.testing.assert_allclose(other.predict(p.hidden), one.predict(p.hidden), atol=1e-4)
    np.testing.assert_allclose(other.cv["r"], one.cv["r"], atol=1e-4)
    assert list(other.cv.index) == list(one.cv.index)


def test_same_seed_same_answer() -> None:
    p = planted(noise=1.0)
    a, b, other = fitted(p), fitted(p), fitted(p, seed=1)
    np.testing.assert_array_equal(a.predict(p.hidden), b.predict(p.hidden))
    np.testing.assert_array_equal(a.confidence, b.confidence)
    assert (a.cv["fold"] != other.cv["fold"]).any()


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_fit_is_kernel_ridge_regression(kernel: str) -> None:
    """Against the dual form, ``k (K + penalty)^-1 y`` with kernel and targets centred."""
    p = planted(noise=0.5)
    panel = panel_of(p.vectors, p.genes, p.values, p.panel)
    engine = RidgeEngine(panel, rank=8, seed=0)
    engine.choice = Choice(kernel, 3.0, 8, 1.0)
    train = np.arange(60)
    maps = drain(engine.fit(train))
    z = panel.vectors
    known, new = z[panel.rows[train]], z
    unit, unit_new = directions(known), directions(new)
    spread = 4 * known.var(axis=0).sum()

    def gaussian(a, b):
        return np.exp(-((a[:, None] - b) ** 2).sum(axis=2) / spread)

    k = {
        "linear": (known @ known.T, new @ known.T),
        "correlation": (unit @ unit.T @ unit @ unit.T, unit_new @ unit.T @ unit @ unit.T),
        "gaussian": (gaussian(known, known), gaussian(new, known)),
    }
    k["linear + gaussian"] = tuple(a + b for a, b in zip(k["linear"], k["gaussian"], strict=True))
    inner, outer = k[kernel]
    centre = np.eye(60) - 1 / 60
    gram = centre @ inner @ centre
    standard = (panel.measured(train) - panel.mean[train]) / panel.sd[train]
    left, size, right = np.linalg.svd(standard, full_matrices=False)
    scores = (size[:, None] * right)[:8].T
    penalty = 3.0 * np.trace(gram) / 60
    dual = np.linalg.solve(gram + penalty * np.eye(60), scores - scores.mean(axis=0))
    expected = (outer - inner.mean(axis=0)) @ centre @ dual + scores.mean(axis=0)
    got = maps.translate(np.arange(len(z)))
    np.testing.assert_allclose(
        got @ maps.basis.T.astype(float), expected @ left[:, :8].T, atol=2e-3
    )


def test_moments_are_those_of_the_values() -> None:
    p = planted(noise=0.5)
    c = fitted(p)
    rows = np.arange(30)
    values = c.maps.values(rows)
    assert values.min() > 0  # nothing is cut off here, so that they have to agree
    moments = np.column_stack([values.mean(axis=0), values.std(axis=0)])
    np.testing.assert_allclose(c.maps.moments(rows), moments, rtol=1e-3)


def test_values_below_zero_are_cut() -> None:
    p = planted()
    p.values = np.maximum(p.values - p.values.mean(axis=0), 0)
    c = fitted(p)
    assert c.predict(p.genes).min() == 0
    assert c.predict(p.genes).dtype == np.float32


def test_blocks_are_columns_of_the_prediction(monkeypatch) -> None:
    p = planted()
    c = fitted(p)
    whole = c.predict(p.hidden)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 4 * c.n_cells * 7)
    parts = list(c.blocks(p.hidden))
    assert [start for start, _ in parts] == [0, 7, 14, 21, 28, 35]
    np.testing.assert_allclose(np.hstack([b for _, b in parts]), whole, rtol=1e-5)
    np.testing.assert_allclose(fitted(p).cv["r"], c.cv["r"], atol=1e-6)


def test_confidence_ranks_genes_that_were_hidden() -> None:
    """Genes differ in how much of a pattern they have, and their vector's length says so."""
    rng = np.random.default_rng(2)
    n, shown = 900, 500
    strength = rng.uniform(0, 1, n)
    unit = rng.normal(size=(n, 5))
    vectors = strength[:, None] * unit / np.linalg.norm(unit, axis=1, keepdims=True)
    noise = np.sqrt(1 - strength**2)[:, None] * rng.normal(size=(n, 300))
    full = 10 + (vectors @ np.linalg.qr(rng.normal(size=(300, 5)))[0].T * np.sqrt(300) + noise).T
    genes = np.array([f"G{i}" for i in range(n)])
    c = drain(fit_coverage_steps(vectors, genes, full[:, :shown], genes[:shown]))
    achieved = pearson_columns(c.predict(genes[shown:]), full[:, shown:])
    expected = c.confidence[shown:]
    assert np.isnan(c.confidence[:shown]).all()
    assert spearmanr(expected, achieved).statistic > 0.85
    assert c.ranking == pytest.approx(spearmanr(expected, achieved).statistic, abs=0.05)
    assert abs((expected - achieved).mean()) < 0.03
    # Calibrated in the lower and in the upper half, not only on average.
    high = expected > np.median(expected)
    for part in (high, ~high):
        assert abs((expected - achieved)[part].mean()) < 0.05


def test_ranking_of_chance_is_near_zero() -> None:
    """Each gene is expected by a model without it: fitted noise does not count."""
    rng = np.random.default_rng(0)
    honest, seen = [], []
    for seed in range(10):
        features, r = rng.normal(size=(60, 6)), rng.normal(size=60)
        model, ranking = fit_confidence(features, r, seed=seed)
        honest.append(ranking)
        seen.append(spearmanr(model.expected(features), r).statistic)
    assert np.mean(honest) < 0.1 < 0.2 < np.nanmean(seen)


def test_growth_takes_each_gene_once_and_keeps_names() -> None:
    p = planted(noise=0.5)
    panel = panel_of(p.vectors, p.genes, p.values, p.panel)
    rows, seen = panel.rows, []
    for _ in range(3):
        added = best_supported(panel.vectors, rows, 15)
        r = np.corrcoef(panel.vectors)[:, rows]
        left = np.setdiff1d(np.arange(len(p.genes)), rows)
        assert set(added) == set(left[np.argsort(-r[left].max(axis=1))[:15]])
        rows = np.concatenate([rows, added])
        seen += [*added]
    assert len(set(rows)) == len(rows) == 80 + 40  # the last round finds ten genes only
    c = fitted(p, rounds=4, genes_per_round=15)
    assert c.facts["rounds"] == 4
    assert list(c.genes) == list(p.genes)
    assert sorted(c.imputed) == sorted(p.hidden)
    r = pearson_columns(c.predict(p.hidden), p.full[:, p.n :])
    once = pearson_columns(fitted(p).predict(p.hidden), p.full[:, p.n :])
    assert r.mean() > 0.95 * once.mean()
    assert not np.allclose(c.predict(p.hidden), fitted(p).predict(p.hidden), atol=1e-6)


def test_table_of_its_own() -> None:
    p = planted(noise=0.5)
    extra = np.random.default_rng(0).uniform(size=(150, 1)).astype(np.float32)
    p.values, p.panel = np.hstack([p.values, extra]), np.append(p.panel, "ONLY_HERE")
    c = fitted(p)
    target = AnnData(sp.csr_matrix(p.values))
    target.var_names = p.panel
    target.obsm["spatial"] = np.arange(300.0).reshape(150, 2)
    target.obs["area"] = 1.5
    before = target.copy()
    out = c.to_adata(target)
    assert list(out.var_names) == [*p.panel, *c.imputed]
    np.testing.assert_array_equal(out.X[:, :81], p.values)
    np.testing.assert_allclose(out.X[:, 81:], c.predict(c.imputed), rtol=1e-6)
    assert out.var["imputed"].sum() == 40
    assert not out.var["imputed"][: len(p.panel)].any()
    assert out.var["imputation_r"].notna().sum() == 80
    assert out.var.loc["ONLY_HERE", ["imputation_r", "imputation_confidence"]].isna().all()
    assert out.var.loc[c.imputed, "imputation_confidence"].notna().all()
    assert out.var.loc[p.panel, "imputation_confidence"].isna().all()
    out.X[:] = 0
    out.obsm["spatial"][:] = 0
    out.obs["area"] = 0
    np.testing.assert_array_equal(target.X.toarray(), before.X.toarray())
    np.testing.assert_array_equal(target.obsm["spatial"], before.obsm["spatial"])
    assert (target.obs["area"] == 1.5).all()
    assert list(target.var.columns) == []
    # Measured genes are never replaced, and nothing comes twice.
    few = c.to_adata(target, genes=[p.hidden[0], p.panel[0], p.hidden[0]], include_panel=False)
    assert list(few.var_names) == [p.hidden[0]]
    with pytest.raises(ParameterError, match="has 100 cells"):
        c.to_adata(target[:100])


def test_constant_genes_are_left_out() -> None:
    p = planted()
    p.values[:, 3] = 2.0
    c = fitted(p)
    assert p.panel[3] not in c.cv.index
    assert c.facts["n_shared"] == 79
    assert p.panel[3] not in c.imputed


def test_without_levels_they_come_from_the_vectors() -> None:
    p = planted()
    c = drain(fit_coverage_steps(p.vectors, p.genes, p.values, p.panel))
    got = c.predict(p.hidden).mean(axis=0)
    measured = p.values.mean(axis=0)
    assert measured.min() <= got.min()
    assert got.max() <= measured.max()


def test_small_panel_and_landmarks(monkeypatch) -> None:
    few = planted(n_genes=30, n_panel=10)
    assert np.isfinite(fitted(few, rank=100).predict(few.hidden)).all()
    monkeypatch.setattr(ridge_module, "_LANDMARKS", 20)
    p = planted(noise=0.3)
    assert fitted(p).facts["mean_r"] > 0.9


def test_baselines_are_what_they_say() -> None:
    p = planted(noise=0.5)
    panel = panel_of(p.vectors, p.genes, p.values, p.panel)
    train, test = np.arange(60), np.arange(60, 80)
    w = nearest_weights(panel, train, test, 7).toarray()
    near = np.corrcoef(panel.vectors[panel.rows])[:60, 60:]
    for j in range(20):
        assert set(np.flatnonzero(w[:, j])) == set(np.argsort(-near[:, j])[:7])
    np.testing.assert_allclose(w.sum(axis=0), 1)
    reference = sp.csc_matrix(p.full[:100, :][:, np.argsort(p.genes)][:, np.argsort(p.panel)])
    partner = partner_weights(reference, train, test).toarray().argmax(axis=0)
    r = np.corrcoef(reference.toarray().T)[:60, 60:]
    np.testing.assert_array_equal(partner, r.argmax(axis=0))
    table = drain(baselines_steps(panel, reference=p.full))
    assert set(table.columns) == {"nearest genes", "mean map", "reference partner"}
    assert table.notna().all().all()
    # The same genes are left out together as in the translator's check, by which it has to win.
    best = fitted(p).cv["r"]
    assert list(table.index) == list(best.index)
    assert best.mean() > table["nearest genes"].mean() > table["mean map"].mean() - 0.1
    train, test = panel.parts(5, 0)[0]
    standard = (panel.measured(train) - panel.mean[train]) / panel.sd[train]
    expected = pearson_columns(
        np.repeat(standard.mean(axis=1)[:, None], test.size, axis=1), panel.measured(test)
    )
    np.testing.assert_allclose(table["mean map"].to_numpy()[test], expected, atol=1e-4)
    with pytest.raises(ParameterError, match="neighbours is 0"):
        drain(baselines_steps(panel, neighbours=0))
    with pytest.raises(ParameterError, match="columns and 120 vectors"):
        drain(baselines_steps(panel, reference=p.full[:, :50]))


def test_mistakes() -> None:
    p = planted(n_genes=40, n_panel=30)

    def refused(error, match, **changed):
        q = SimpleNamespace(**(vars(p) | changed))
        with pytest.raises(error, match=match):
            fitted(q)

    twice = p.genes.copy()
    twice[0] = twice[1]
    refused(DataError, "occurs twice in the reference", genes=twice)
    refused(DataError, "occurs twice in the target", panel=np.append(p.panel[1:], p.panel[1]))
    refused(DataError, "only 0 genes", panel=np.char.lower(p.panel))
    refused(DataError, "only 9 genes", panel=p.panel[:9], values=p.values[:, :9])
    refused(DataError, "negative", values=-p.values)
    refused(DataError, "not finite", vectors=p.vectors * np.inf)
    refused(DataError, "same vector", vectors=np.ones_like(p.vectors))
    refused(DataError, "2 cells", values=p.values[:2])
    refused(ParameterError, "for 40 genes", vectors=p.vectors[1:])
    refused(ParameterError, "29 columns", values=p.values[:, 1:])
    refused(ParameterError, "levels have shape", levels=p.levels[1:])
    for name in ("rank", "rounds", "genes_per_round"):
        with pytest.raises(ParameterError, match=f"{name} is 0"):
            fitted(p, **{name: 0})
    with pytest.raises(ParameterError, match="folds is 1"):
        fitted(p, folds=1)
    c = fitted(p)
    with pytest.raises(ParameterError, match="no gene 'nonsense'"):
        c.predict([p.genes[0], "nonsense"])


def test_too_large_tables_are_refused(monkeypatch) -> None:
    p = planted()
    c = fitted(p)
    monkeypatch.setattr(module, "DENSE_BUDGET", 4 * c.n_cells * 5)
    assert c.predict(p.hidden[:5]).shape == (150, 5)
    with pytest.raises(ResourceError, match="at most 5 genes"):
        c.predict(p.hidden[:6])
    target = AnnData(np.zeros((150, 0), dtype=np.float32))
    with pytest.raises(ResourceError, match="at most 5 genes"):
        c.to_adata(target, genes=p.hidden[:6])
