import numpy as np
import pytest
from scipy.stats import multivariate_normal, multivariate_t, t

from napari_stmask.analysis.evidence import (
    NormalInverseWishart,
    log_marginal,
    log_merge_ratio,
    log_split_ratio,
)
from napari_stmask.core.errors import ParameterError

TOY = np.array([(0, 0), (1, 0), (0, 1), (10, 10), (11, 10), (10, 11)], dtype=float)


def prior_in(d: int) -> NormalInverseWishart:
    rng = np.random.default_rng(d)
    root = rng.normal(size=(d, d))
    return NormalInverseWishart(rng.normal(size=d), 0.7, d + 1.5, root @ root.T + np.eye(d))


def test_closed_form_of_one_point() -> None:
    """A Student t density with nu0 degrees of freedom at its centre."""
    prior = NormalInverseWishart(np.zeros(1), 1.0, 3.0, np.eye(1))
    value = log_marginal(np.zeros((1, 1)), prior)
    assert value == pytest.approx(-0.798156, abs=5e-7)
    assert value == pytest.approx(t(3, scale=np.sqrt(2 / 3)).logpdf(0), abs=1e-12)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_chain_of_predictive_densities(d: int) -> None:
    """Point after point, each given those before it, is a multivariate t (Murphy, 2007)."""
    prior = prior_in(d)
    points = np.random.default_rng(1).normal(size=(7, d)) * 3 + 2
    total = 0.0
    mean, kappa, dof, scale = prior.mean, prior.kappa, prior.dof, prior.scale
    for x in points:
        free = dof - d + 1
        shape = scale * (kappa + 1) / (kappa * free)
        total += multivariate_t(mean, shape, df=free).logpdf(x)
        step = x - mean
        scale = scale + kappa / (kappa + 1) * np.outer(step, step)
        mean, kappa, dof = mean + step / (kappa + 1), kappa + 1, dof + 1
    assert log_marginal(points, prior) == pytest.approx(total, rel=1e-10)


def test_ratio_of_a_toy_with_two_groups() -> None:
    prior = NormalInverseWishart.of(TOY)
    assert (prior.kappa, prior.dof) == (0.01, 4.0)
    np.testing.assert_allclose(prior.scale, 0.1 * TOY.var(axis=0).mean() * np.eye(2))
    right, wrong = (TOY[:3], TOY[3:]), (TOY[[0, 1, 3]], TOY[[2, 4, 5]])
    assert log_split_ratio(*right, prior) == pytest.approx(12.3933, abs=5e-5)
    assert log_split_ratio(*wrong, prior) == pytest.approx(-12.5407, abs=5e-5)
    for halves in (right, wrong):
        for weight in (1.0, 0.3):
            assert log_merge_ratio(*halves, prior, weight=weight) == -log_split_ratio(
                *halves, prior, weight=weight
            )


def test_weight_one_is_no_weight_and_copies_undo_a_weight() -> None:
    """Points that are there four times and count a quarter are the points themselves."""
    prior = NormalInverseWishart.of(TOY)
    assert log_marginal(TOY, prior, weight=1.0) == log_marginal(TOY, prior)
    four = np.repeat(TOY, 4, axis=0)
    assert log_marginal(four, prior, weight=0.25) == pytest.approx(
        log_marginal(TOY, prior), rel=1e-12
    )
    assert log_split_ratio(four[:12], four[12:], prior, weight=0.25) == pytest.approx(
        log_split_ratio(TOY[:3], TOY[3:], prior), rel=1e-12
    )
    assert log_marginal(TOY, prior, weight=0.25) != pytest.approx(log_marginal(TOY, prior))


def test_ratio_ignores_where_the_origin_is_and_the_order_of_points() -> None:
    points = np.random.default_rng(0).normal(size=(200, 3))
    points[100:, 0] += 10
    prior = NormalInverseWishart.of(points)
    first, second = points[:100], points[100:]
    value = log_split_ratio(first, second, prior, weight=0.2)
    far = np.array([1e3, -1e4, 50])
    moved = NormalInverseWishart(prior.mean + far, prior.kappa, prior.dof, prior.scale)
    assert log_split_ratio(first + far, second + far, moved, weight=0.2) == pytest.approx(
        value, rel=1e-9
    )
    assert log_split_ratio(second[::-1], first[::-1], prior, weight=0.2) == pytest.approx(
        value, rel=1e-12
    )


def test_large_samples_approach_the_likelihood() -> None:
    """Per point, the evidence becomes the log density of the fitted Gaussian."""
    points = np.random.default_rng(0).normal(size=(20_000, 2)) @ np.array([[2, 0], [1, 0.5]])
    density = multivariate_normal(points.mean(axis=0), np.cov(points.T, bias=True))
    value = log_marginal(points, NormalInverseWishart.of(points)) / len(points)
    assert value == pytest.approx(density.logpdf(points).mean(), abs=0.003)


@pytest.mark.parametrize("dof", [4.0, 3.0, np.nan])
def test_prior_without_a_density_is_refused(dof: float) -> None:
    with pytest.raises(ParameterError, match="degrees of freedom"):
        NormalInverseWishart(np.zeros(5), 1.0, dof, np.eye(5))


def test_other_impossible_priors_are_refused() -> None:
    with pytest.raises(ParameterError, match="observations"):
        NormalInverseWishart(np.zeros(2), 0.0, 4.0, np.eye(2))
    for scale in (np.zeros((2, 2)), np.eye(3), np.diag([1.0, -1.0])):
        with pytest.raises(ParameterError, match="2 x 2"):
            NormalInverseWishart(np.zeros(2), 1.0, 4.0, scale)
