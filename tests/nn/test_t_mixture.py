"""The mixture of t distributions against closed forms, scipy and its own objective."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import digamma, logsumexp
from scipy.stats import multivariate_t
from scipy.stats import t as student
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from napari_stmask.core.errors import ParameterError
from napari_stmask.nn.self_training import kl, sharpen
from napari_stmask.nn.t_mixture import (
    Prior,
    TMixture,
    em_step,
    fit_mixture,
    initial_mixture,
    maximise,
    update_freedom,
)

D, K, N = 3, 4, 60


def randoms(seed: int = 0, n: int = N, d: int = D) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def mixture_of(seed: int = 1, k: int = K, d: int = D) -> TMixture:
    g = torch.Generator().manual_seed(seed)
    weight = torch.rand(k, generator=g, dtype=torch.float64) + 0.2
    return TMixture(
        weight / weight.sum(),
        torch.randn(k, d, generator=g, dtype=torch.float64),
        torch.rand(k, d, generator=g, dtype=torch.float64) + 0.3,
        2.5 + 20 * torch.rand(k, generator=g, dtype=torch.float64),
    )


def single(scale: float = 1.0, freedom: float = 3.0, d: int = 1) -> TMixture:
    one = torch.ones(1, dtype=torch.float64)
    location = torch.zeros(1, d, dtype=torch.float64)
    return TMixture(one, location, location + scale, freedom * one)


def prior_with(kappa: float = 0.0, alpha: float = 1.0) -> Prior:
    location = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
    scale = torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64)
    return Prior(alpha, kappa, location, scale, D + 2.0)


# Density


def test_density_at_the_centre() -> None:
    found = single().log_joint(torch.zeros(1, 1)).exp()
    assert float(found) == pytest.approx(0.367553, abs=1e-6)


def test_density_is_that_of_scipy() -> None:
    mixture, z = mixture_of(), 2 * randoms()
    expected = np.column_stack(
        [
            np.log(float(mixture.weight[k]))
            + multivariate_t(
                mixture.location[k].numpy(), np.diag(mixture.scale[k].numpy()), float(nu)
            ).logpdf(z.numpy())
            for k, nu in enumerate(mixture.freedom)
        ]
    )
    np.testing.assert_allclose(mixture.log_joint(z), expected, rtol=1e-10)
    total = logsumexp(expected, axis=1)
    np.testing.assert_allclose(mixture.log_posterior(z), expected - total[:, None], atol=1e-10)
    assert float(mixture.log_likelihood(z)) == pytest.approx(total.sum(), rel=1e-12)
    torch.testing.assert_close(mixture.log_posterior(z).exp().sum(dim=1), torch.ones(N).double())


@pytest.mark.parametrize(("delta", "zeta"), [(0.0, 4 / 3), (9.0, 1 / 3)])
def test_outliers_weigh_little(delta: float, zeta: float) -> None:
    """``(nu + d) / (nu + delta)``; recovered from the step that it makes a mean take."""
    z = torch.tensor([[math.sqrt(delta)], [0.0]], dtype=torch.float64)
    mixture, prior = single(), Prior(1.0, 1.0, torch.zeros(1).double(), torch.ones(1).double(), 3.0)
    moved = em_step(mixture, z, prior)
    expected = zeta * math.sqrt(delta) / (1 + zeta + 4 / 3)
    assert float(moved.location) == pytest.approx(expected, abs=1e-12)


def test_finite_far_away_and_for_narrow_components() -> None:
    z = torch.tensor([[1e6] * D, [-1e6] * D, [0.0] * D, [1e-9] * D])
    narrow = replace(mixture_of(), scale=torch.full((K, D), 1e-8, dtype=torch.float64))
    for mixture in (mixture_of(), narrow):
        logs = mixture.log_posterior(z)
        assert torch.isfinite(logs).all()
        torch.testing.assert_close(logs.exp().sum(dim=1), torch.ones(4).double())


@pytest.mark.parametrize("far", [0.0, 1e4])
def test_distances_are_those_of_differences(far: float) -> None:
    z, mixture = randoms() + far, mixture_of()
    mixture = replace(mixture, location=mixture.location + far)
    expected = ((z[:, None] - mixture.location).square() / mixture.scale).sum(dim=2)
    torch.testing.assert_close(mixture.distance(z), expected, rtol=1e-7, atol=1e-7)


# Maximisation


@pytest.mark.parametrize(("kappa", "alpha"), [(0.0, 1.0), (2.5, 1.0), (0.7, 3.0)])
def test_closed_form_of_the_m_step(kappa: float, alpha: float) -> None:
    z, prior, before = 2 * randoms(), prior_with(kappa, alpha), mixture_of()
    g = torch.Generator().manual_seed(5)
    xi = torch.softmax(torch.randn(N, K, generator=g, dtype=torch.float64), dim=1)
    zeta = torch.rand(N, K, generator=g, dtype=torch.float64) + 0.1
    found = maximise(before, z, xi, zeta, prior)
    for k in range(K):
        both = (xi * zeta)[:, k, None]
        n, mean = both.sum(), (both * z).sum(dim=0) / both.sum()
        location = (kappa * prior.location + n * mean) / (kappa + n)
        scatter = prior.scale + (both * (z - mean).square()).sum(dim=0)
        scatter = scatter + kappa * n / (kappa + n) * (mean - prior.location).square()
        scale = scatter / (prior.degrees + xi[:, k].sum() + D + 2)
        torch.testing.assert_close(found.location[k], location)
        torch.testing.assert_close(found.scale[k], scale)
        share = (alpha - 1 + xi[:, k].sum()) / (K * alpha - K + N)
        torch.testing.assert_close(found.weight[k], share)
    torch.testing.assert_close(found.freedom, before.freedom)


def test_default_prior_is_the_releases() -> None:
    z = randoms(n=200) * torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    prior = Prior.of(z, 20)
    expected = 20 ** (-1 / D) * np.var(z.numpy(), axis=0)
    np.testing.assert_allclose(prior.scale, expected, rtol=1e-12)
    assert (prior.weight, prior.strength, prior.degrees) == (1.0, 0.0, D + 2.0)
    # The release divides by 2 (D + 2) + sum xi, which is rho + D + 2 + sum xi.
    assert prior.degrees + D + 2 == 2 * (D + 2)
    flat = Prior.of(torch.cat([z, torch.zeros(200, 1).double()], dim=1), 20)
    assert (flat.scale > 0).all()


@pytest.mark.parametrize("kappa", [0.0, 1.5])
@pytest.mark.parametrize("seed", range(4))
def test_the_penalised_likelihood_never_falls(seed: int, kappa: float) -> None:
    z = randoms(seed, 150) + 3 * torch.randint(
        0, 3, (150, 1), generator=torch.Generator().manual_seed(seed)
    )
    z[::17] *= 8
    prior = replace(prior_with(kappa), location=z.mean(dim=0))
    labels = torch.randint(0, K, (150,), generator=torch.Generator().manual_seed(seed + 9))
    mixture = initial_mixture(z, labels, K, prior)
    values = []
    for _ in range(60):
        values.append(float(mixture.log_likelihood(z) + mixture.log_prior(prior)))
        mixture = em_step(mixture, z, prior)
    values = np.array(values)
    assert (np.diff(values) >= -1e-9 * np.abs(values[1:])).all()
    assert values[-1] > values[0]
    assert float(mixture.weight.sum()) == pytest.approx(1)
    assert ((mixture.freedom >= 2.01) & (mixture.freedom <= 200)).all()


def test_fitting_ends_when_nothing_is_gained() -> None:
    z, labels = randoms(3, 200), torch.arange(200) % K
    prior = Prior.of(z, K)
    start = initial_mixture(z, labels, K, prior)
    one = fit_mixture(start, z, prior, steps=1)
    torch.testing.assert_close(one.location, em_step(start, z, prior).location)
    many = fit_mixture(start, z, prior, steps=500, tolerance=1e-12)
    again = em_step(many, z, prior)
    torch.testing.assert_close(again.location, many.location, atol=1e-3, rtol=0)


# Degrees of freedom


def test_freedom_is_the_root_of_its_equation() -> None:
    g = torch.Generator().manual_seed(7)
    xi = torch.softmax(torch.randn(N, K, generator=g, dtype=torch.float64), dim=1)
    zeta = 0.3 + 1.4 * torch.rand(N, K, generator=g, dtype=torch.float64)
    before = torch.tensor([3.0, 8.0, 20.0, 60.0], dtype=torch.float64)
    found = update_freedom(xi, zeta, before, D)
    inside = 0
    for k in range(K):
        w = (xi[:, k] / xi[:, k].sum()).numpy()
        half = (float(before[k]) + D) / 2
        fixed = 1 + (w * np.log(zeta[:, k].numpy()) - w * zeta[:, k].numpy()).sum()
        fixed += digamma(half) - math.log(half)

        def left(nu: float, fixed: float = fixed) -> float:
            return math.log(nu / 2) - float(digamma(nu / 2)) + fixed

        if left(2.01) * left(200) < 0:
            inside += 1
            assert float(found[k]) == pytest.approx(brentq(left, 2.01, 200), rel=1e-6)
        else:
            assert float(found[k]) == pytest.approx(2.01 if left(2.01) < 0 else 200, rel=1e-6)
    assert inside >= 2


def test_a_component_without_members_keeps_its_freedom() -> None:
    xi = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    found = update_freedom(xi, torch.ones(2, 2).double(), torch.tensor([3.0, 17.0]).double(), 2)
    assert float(found[1]) == 17


def _freedom_of(z: np.ndarray) -> float:
    z = torch.from_numpy(z)
    prior = replace(Prior.of(z, 1), degrees=0.0, scale=1e-9 * torch.ones(z.shape[1]).double())
    mixture = single(1.0, 3.0, z.shape[1])
    return float(fit_mixture(mixture, z, prior, steps=400, tolerance=1e-12).freedom)


def test_gaussian_data_have_many_degrees_of_freedom() -> None:
    assert _freedom_of(np.random.default_rng(0).normal(size=(5000, 8))) > 50


@pytest.mark.parametrize("d", [1, 8])
def test_heavy_tails_have_few(d: int) -> None:
    rng = np.random.default_rng(1)
    z = multivariate_t(np.zeros(d), np.eye(d), df=3, seed=rng).rvs(5000).reshape(5000, d)
    found = _freedom_of(z)
    assert 2.5 < found < 3.6
    if d == 1:
        assert found == pytest.approx(student.fit(z.ravel())[0], rel=0.02)


# Components


def test_three_blobs() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 300)
    centres = np.array([[0, 0], [9, 0], [0, 9.0]])
    z = torch.from_numpy(centres[truth] + rng.normal(size=(300, 2)))
    wrong = torch.from_numpy(np.where(rng.random(300) < 0.3, rng.integers(0, 3, 300), truth))
    prior = Prior.of(z, 3)
    fitted = fit_mixture(initial_mixture(z, wrong, 3, prior), z, prior, steps=100)
    found = fitted.log_posterior(z).argmax(dim=1)
    assert adjusted_rand_score(truth, found) == 1
    np.testing.assert_allclose(fitted.weight, np.bincount(truth) / 300, atol=0.02)


def test_initial_components_are_the_groups() -> None:
    z, labels = randoms(4), torch.arange(N) % K
    prior = Prior.of(z, K)
    found = initial_mixture(z.float(), labels, K, prior)
    for k in range(K):
        torch.testing.assert_close(found.location[k], z[labels == k].mean(dim=0), atol=1e-6, rtol=0)
    assert (found.freedom == 3).all()
    assert (found.weight == 1 / K).all()
    assert found.scale.dtype == torch.float64


@pytest.mark.parametrize("members", [0, 1])
def test_a_component_with_hardly_a_member_survives(members: int) -> None:
    z = randoms(6, 50)
    labels = torch.zeros(50, dtype=torch.long)
    labels[25:] = 1
    labels[:members] = 2
    prior = Prior.of(z, 3)
    start = initial_mixture(z, labels, 3, prior)
    torch.testing.assert_close(start.scale[2], prior.scale)
    # Out of reach, so that nothing comes to it while it is fitted.
    start = replace(start, location=start.location + torch.tensor([[0.0], [0.0], [1e8]]))
    fitted = fit_mixture(start, z, prior, steps=30)
    for part in (fitted.weight, fitted.location, fitted.scale, fitted.freedom):
        assert torch.isfinite(part).all()
    assert (fitted.scale > 0).all()
    assert torch.isfinite(fitted.log_posterior(z)).all()


def test_equal_vectors_do_not_break_it() -> None:
    z = torch.ones(20, 3)
    prior = Prior.of(z, 2)
    fitted = fit_mixture(initial_mixture(z, torch.arange(20) % 2, 2, prior), z, prior, steps=20)
    assert torch.isfinite(fitted.log_posterior(z)).all()


@pytest.mark.parametrize(
    ("n", "k", "remedy"), [(3, 5, "2 to 3"), (9, 1, "2 to 9"), (1, 2, "more genes")]
)
def test_impossible_numbers(n: int, k: int, remedy: str) -> None:
    z = randoms(0, n)
    labels = torch.zeros(n, dtype=torch.long)
    with pytest.raises(ParameterError, match=f"{k} gene modules were asked of {n} genes.*{remedy}"):
        initial_mixture(z, labels, k, Prior.of(z, k))


# Gradients


def test_gradients_reach_the_vectors_and_are_right() -> None:
    mixture, z = mixture_of(), randoms(8, 6).requires_grad_()
    target = sharpen(mixture.log_posterior(z).exp())
    assert torch.autograd.gradcheck(
        lambda v: kl(target, mixture.log_posterior(v).exp()), (z,), atol=1e-6
    )
    kl(target, mixture.log_posterior(z).exp()).backward()
    assert (z.grad.abs().sum(dim=1) > 0).all()
