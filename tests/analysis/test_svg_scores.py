"""Scores by hand, p-values that are uniform without a pattern and small with one."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, kstest, spearmanr

from napari_stmask.analysis.svg_scores import svg_scores
from napari_stmask.core.errors import DataError, ParameterError


def planted(n=1500, draws=20, width=12, seed=0, scales=True, shift=0.0, shifted=0):
    """Null vectors around a centre of each gene; the first ``shifted`` genes lie elsewhere."""
    rng = np.random.default_rng(seed)
    level = rng.lognormal(0, 1.2, n)
    # The scale is a gene's own, and falls with its level as well.
    scale = np.exp(rng.normal(0, 1, n)) / level if scales else np.ones(n)
    axes = np.linspace(2, 0.2, width)
    centre = rng.normal(0, 3, (n, width))
    draw = rng.normal(size=(draws + 1, n, width)) * axes * scale[:, None] + centre
    vectors = draw[-1]
    vectors[:shifted] += shift * scale[:shifted, None] * rng.normal(size=(shifted, width))
    return vectors.astype(np.float32), draw[:-1].astype(np.float32), level


def test_score_by_hand() -> None:
    rng = np.random.default_rng(0)
    null, vectors = rng.normal(size=(6, 5, 3)), rng.normal(size=(5, 3))
    found = svg_scores(vectors, null, np.arange(5.0))
    for g in range(5):
        spread = np.trace(np.cov(null[:, g].T))
        score = ((vectors[g] - null[:, g].mean(axis=0)) ** 2).sum() - spread / 6
        assert found.score[g] == pytest.approx(score)
        assert found.effect[g] == pytest.approx(score / spread)


def test_p_by_hand() -> None:
    """Leave one out literally, all genes pooled."""
    rng = np.random.default_rng(1)
    draws, n = 5, 40
    null, vectors = rng.normal(size=(draws, n, 4)), rng.normal(size=(n, 4)) * 1.5

    def statistic(z: np.ndarray, others: np.ndarray) -> float:
        return ((z - others.mean(axis=0)) ** 2).sum() / np.trace(np.cov(others.T))

    pool = [
        statistic(null[t, g], np.delete(null[:, g], t, axis=0))
        for g in range(n) for t in range(draws)
    ]  # fmt: skip
    found = svg_scores(vectors, null, rng.random(n))
    for g in range(n):
        reached = np.sum(np.array(pool) >= statistic(vectors[g], null[:-1, g]))
        assert found.p[g] == pytest.approx((1 + reached) / (1 + n * draws))
    np.testing.assert_allclose(found.q, false_discovery_control(found.p))
    assert sorted(found.rank) == list(range(1, n + 1))
    assert found.p[np.argsort(found.rank)].tolist() == sorted(found.p)


@pytest.mark.parametrize("draws", [3, 4, 20])
@pytest.mark.parametrize("scales", [False, True])
def test_p_is_uniform_without_a_pattern(draws: int, scales: bool) -> None:
    found = svg_scores(*planted(draws=draws, scales=scales, seed=draws))
    assert kstest(found.p, "uniform").pvalue > 0.01
    assert (found.q < 0.05).mean() < 0.01


def test_p_does_not_lean_on_the_level() -> None:
    """Uniform among low and among high genes, where they need null laws of their own."""
    rng = np.random.default_rng(5)
    n, draws = 2000, 20
    level = np.sort(rng.lognormal(0, 1, n))
    # Rare genes have few directions and heavy tails.
    tail = np.where(np.arange(n) < n // 2, 1.0, 0.0)[:, None]
    draw = rng.normal(size=(draws + 1, n, 10)) * np.exp(tail * rng.normal(0, 1, (draws + 1, n, 1)))
    mixed = rng.permutation(n)
    found = svg_scores(draw[-1][mixed], draw[:-1][:, mixed], level[mixed], resolution=4000)
    for part in (mixed < n // 2 - 200, mixed >= n // 2 + 200):
        assert kstest(found.p[part], "uniform").pvalue > 0.01
    assert abs(spearmanr(found.rank, level[mixed]).statistic) < 0.1


def test_effect_does_not_lean_on_the_level_where_the_spread_does() -> None:
    vectors, null, level = planted(draws=20, seed=7)
    found = svg_scores(vectors, null, level)
    assert spearmanr(found.score, level).statistic < -0.5  # the plain distance does
    assert abs(spearmanr(found.effect, level).statistic) < 0.1


def test_power_and_the_rate_of_false_ones() -> None:
    vectors, null, level = planted(shift=3.0, shifted=300, seed=2)
    found = svg_scores(vectors, null, level)
    called = found.q < 0.05
    assert called[:300].mean() > 0.9
    assert called[300:].sum() <= 0.1 * called.sum()
    assert np.median(found.rank[:300]) < 200


def test_units_and_order_do_not_matter() -> None:
    vectors, null, level = planted(n=300, shift=2.0, shifted=40, seed=3)
    one = svg_scores(vectors, null, level)
    scaled = svg_scores(vectors * 8, null * 8, np.log(level))
    np.testing.assert_array_equal(one.p, scaled.p)
    np.testing.assert_allclose(one.score * 64, scaled.score, rtol=1e-6)
    np.testing.assert_allclose(one.effect, scaled.effect, rtol=1e-6)
    order = np.random.default_rng(0).permutation(300)
    mixed = svg_scores(vectors[order], null[:, order], level[order])
    np.testing.assert_array_equal(mixed.p, one.p[order])
    np.testing.assert_array_equal(mixed.rank, one.rank[order])


def test_score_does_not_grow_with_the_spread_of_the_mean() -> None:
    """Without a pattern the expected score is the variance, whatever the number of draws."""
    for draws in (4, 50):
        found = svg_scores(*planted(n=4000, draws=draws, scales=False, seed=draws))
        expected = (np.linspace(2, 0.2, 12) ** 2).sum()
        assert found.score.mean() == pytest.approx(expected, rel=0.05)


def test_ties() -> None:
    """Genes whose images are all the same have no pattern; one beside them surely does."""
    null = np.ones((4, 30, 5), dtype=np.float32) * 0.1
    vectors = null[0].copy()
    vectors[7, 0] += 1
    found = svg_scores(vectors, null, np.zeros(30))
    assert (np.delete(found.p, 7) == 1).all()
    assert found.p[7] == 1 / 121
    assert found.effect[7] == np.inf
    assert (np.delete(found.effect, 7) == 0).all()
    assert found.rank[7] == 1


def test_table() -> None:
    vectors, null, level = planted(n=50, shift=4.0, shifted=5)
    found = svg_scores(vectors, null, level)
    table = found.table([f"G{i}" for i in range(50)])
    assert list(table.columns) == ["gene", "score", "effect", "p", "q", "rank"]
    assert list(table["rank"]) == list(range(1, 51))
    first = int(table["gene"][0][1:])
    assert found.rank[first] == 1
    assert table["score"][0] == found.score[first]
    with pytest.raises(ParameterError, match="49 names were given for 50 genes"):
        found.table(["x"] * 49)


def test_mistakes() -> None:
    vectors, null, level = planted(n=10, draws=4)
    with pytest.raises(ParameterError, match="2 null images a gene were given"):
        svg_scores(vectors, null[:2], level)
    with pytest.raises(ParameterError, match="null vectors"):
        svg_scores(vectors, null[:, :9], level)
    with pytest.raises(ParameterError, match="level has shape"):
        svg_scores(vectors, null, level[:9])
    with pytest.raises(ParameterError, match="resolution is 0"):
        svg_scores(vectors, null, level, resolution=0)
    for place in range(3):
        parts = [vectors.copy(), null.copy(), level.copy()]
        parts[place].flat[0] = np.nan
        with pytest.raises(DataError, match="not finite"):
            svg_scores(*parts)
