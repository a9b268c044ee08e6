"""Artificial genes: closed forms of their noise, levels in regions, and what they find."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.helpers import banded

from napari_stmask.analysis.inputs import expression_of
from napari_stmask.analysis.pattern import (
    fit_noise,
    negative_binomial_size,
    simulate_pattern,
    template,
    template_correlation,
)
from napari_stmask.core.errors import DataError, ParameterError


def flat_section(n=600, genes=300, size=5.0, seed=0):
    """Negative binomial counts of one size, without a pattern and all spots equally deep."""
    rng = np.random.default_rng(seed)
    mean = np.exp(rng.uniform(-1.5, 3, genes))
    rate = mean * rng.gamma(size, 1 / size, (n, genes))
    return sp.csr_matrix(rng.poisson(rate).astype(np.float32)), mean


def test_size_in_closed_form() -> None:
    for mean in (0.1, 1.0, 50.0):
        assert negative_binomial_size(mean, (0.2, 1.0)) == pytest.approx(5)
    assert negative_binomial_size(2.0, (0.1, 1.4)) == pytest.approx(1 / 0.3)
    # Less noise than counting has: Poisson.
    assert negative_binomial_size(2.0, (0.0, 1.0)) == np.inf
    assert negative_binomial_size(0.1, (0.2, 0.9)) == np.inf
    assert negative_binomial_size(0.0, (0.2, 1.0)) == np.inf


def test_exact_curve_is_found_again() -> None:
    mean = np.geomspace(0.05, 80, 60)
    a0, a1 = fit_noise(mean, 0.2 + 1.0 / mean)
    assert (a0, a1) == (pytest.approx(0.2), pytest.approx(1.0))


# The identity link may leave the positive numbers.
@pytest.mark.filterwarnings("ignore:The Identity link")
def test_same_as_a_generalised_linear_model() -> None:
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(0)
    mean = np.exp(rng.uniform(-2, 4, 400))
    noise = (0.3 + 1.2 / mean) * rng.gamma(4, 1 / 4, 400)
    family = sm.families.Gamma(link=sm.families.links.Identity())
    x = np.column_stack([np.ones(400), 1 / mean])
    known = sm.GLM(noise, x, family=family).fit(start_params=[0.3, 1.2], tol=1e-12, maxiter=500)
    np.testing.assert_allclose(fit_noise(mean, noise), known.params, rtol=1e-6)


def test_noise_of_a_section() -> None:
    from napari_stmask.analysis.pattern import _noise_of

    counts, _ = flat_section(n=4000)
    assert _noise_of(counts) == (pytest.approx(0.2, rel=0.1), pytest.approx(1, rel=0.05))


def test_simulated_moments() -> None:
    """The mean is that of the gene at the wanted place, the noise that of genes like it."""
    counts, _ = flat_section()
    n = counts.shape[0]
    regions = np.where(np.arange(n) < 200, 3, -1)
    made = simulate_pattern(
        counts, regions, {3: 10}, rng=np.random.default_rng(0), background=80, n=300
    )
    assert made.shape == (n, 300)
    assert made.dtype == np.int32
    dense = np.asarray(counts.todense())
    used = dense[:, dense.sum(axis=0) > 30]
    for spots, percent in ((regions == 3, 10), (regions == -1, 80)):
        means = np.sort(used[spots].mean(axis=0))[::-1]
        mean = means[percent * used.shape[1] // 100]
        drawn = made[spots].astype(float)
        error = drawn.std() / np.sqrt(drawn.size)
        assert abs(drawn.mean() - mean) < 3 * error
        assert drawn.var() / mean**2 == pytest.approx(0.2 + 1 / mean, rel=0.15)


def test_larger_counts_go_to_deeper_spots() -> None:
    rng = np.random.default_rng(0)
    depth = rng.permutation(np.linspace(0.3, 3, 400))
    counts = sp.csr_matrix(rng.poisson(depth[:, None] * np.exp(rng.uniform(0, 2, 100))))
    before = counts.copy()
    library = np.asarray(counts.sum(axis=1)).ravel()
    regions = np.where(np.arange(400) % 2, 0, -1)
    made = simulate_pattern(counts, regions, {0: 5}, rng=rng, n=3)
    for code in (0, -1):
        inside = regions == code
        for gene in made[inside].T:
            # Among equally deep spots any order will do.
            order = np.lexsort((gene, library[inside]))
            assert (np.diff(gene[order]) >= 0).all()
    assert (counts != before).nnz == 0
    assert counts.dtype == before.dtype


def test_equally_deep_spots_get_no_gradient() -> None:
    rng = np.random.default_rng(1)
    row = rng.poisson(5, 40)
    counts = sp.csr_matrix(np.array([rng.permutation(row) for _ in range(500)]))
    regions = np.where(np.arange(500) < 250, 0, -1)
    made = simulate_pattern(counts, regions, {0: 50}, rng=rng, background=50, n=40)
    place = np.arange(250.0)
    r = [np.corrcoef(place, made[:250, g])[0, 1] for g in range(40)]
    assert abs(np.mean(r)) < 0.05


def test_levels_and_draws() -> None:
    section, band = banded(20, 25, genes=200)
    counts = section.counts()
    regions = np.where(band == 1, 0, np.where(band == 3, 7, -1))
    levels = {0: 2.0, 7: 30.0}
    made = simulate_pattern(counts, regions, levels, rng=np.random.default_rng(0), n=5)
    mean = [made[regions == r].mean() for r in (0, 7, -1)]
    assert mean[0] > mean[1] > mean[2] > 0
    again = simulate_pattern(counts, regions, levels, rng=np.random.default_rng(0), n=5)
    np.testing.assert_array_equal(made, again)
    assert (made[:, 0] != made[:, 1]).any()
    # A level of 100 % is the lowest gene.
    low = simulate_pattern(
        counts, regions, {0: 100.0, 7: 100.0}, rng=np.random.default_rng(0), background=100
    )
    assert low.mean() < mean[2]


def test_a_planted_gene_is_found() -> None:
    """A gene of one band is among the ten most like the pattern drawn over that band."""
    section, band = banded(30, 30, genes=300, fold=2.0)
    counts, values = section.counts(), expression_of(section)
    regions = np.where(band == 2, 0, -1)
    mask = template(regions, {0: 5.0})
    by_mask = np.argsort(-template_correlation(values, mask))[:10]
    assert ((by_mask >= 80) & (by_mask < 120)).all()
    made = simulate_pattern(counts, regions, {0: 5.0}, rng=np.random.default_rng(0))
    query = np.log1p(made / np.asarray(counts.sum(axis=1)) * 1e4).mean(axis=1)
    by_query = np.argsort(-template_correlation(values, query))[:10]
    assert ((by_query >= 80) & (by_query < 120)).all()


def test_template_and_its_correlation() -> None:
    regions = np.array([0, 0, 1, -1, -1])
    mask = template(regions, {0: 5, 1: 50}, background=95)
    np.testing.assert_allclose(mask, [0.95, 0.95, 0.5, 0.05, 0.05])
    x = np.random.default_rng(0).poisson(1.0, (5, 8)).astype(np.float32)
    x[:, 3], x[:, 4] = 2, 0
    found = template_correlation(sp.csr_matrix(x), mask)
    for g in range(8):
        expected = 0 if x[:, g].std() == 0 else np.corrcoef(x[:, g], mask)[0, 1]
        assert found[g] == pytest.approx(expected, abs=1e-7)


def test_mistakes() -> None:
    counts, _ = flat_section(n=50, genes=40)
    regions = np.where(np.arange(50) < 20, 0, -1)
    rng = np.random.default_rng(0)
    for levels, message in (
        ({}, "no region has a level"),
        ({0: 5, 1: 5}, "region 1 has a level but no spots"),
        ({1: 5}, "region 0 has no level"),
        ({-1: 5}, "region -1 is the background"),
        ({0: 0}, "the level of region 0 is 0"),
        ({0: 101}, "the level of region 0 is 101"),
        ({0: float("nan")}, "the level of region 0 is nan"),
    ):
        with pytest.raises(ParameterError, match=message):
            simulate_pattern(counts, regions, levels, rng=rng)
        with pytest.raises(ParameterError, match=message):
            template(regions, levels)
    with pytest.raises(ParameterError, match="level of the background is 0"):
        template(regions, {0: 5}, background=0)
    with pytest.raises(ParameterError, match="49 regions were given for 50 spots"):
        simulate_pattern(counts, regions[1:], {0: 5}, rng=rng)
    with pytest.raises(ParameterError, match="n is 0"):
        simulate_pattern(counts, regions, {0: 5}, rng=rng, n=0)
    with pytest.raises(ParameterError, match="type float64"):
        template(regions.astype(float), {0: 5})
    with pytest.raises(DataError, match="genes have more than 30 counts"):
        simulate_pattern(counts[:, :5], regions, {0: 5}, rng=rng)
    with pytest.raises(DataError, match="only 2 genes vary"):
        fit_noise(np.ones(20), np.r_[1.0, 1.0, np.zeros(18)])
    with pytest.raises(ParameterError, match="the same everywhere"):
        template_correlation(counts, np.full(50, 0.3))
    with pytest.raises(ParameterError, match="for 50 spots"):
        template_correlation(counts, np.ones(49))
