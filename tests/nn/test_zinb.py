"""The zero-inflated negative binomial against scipy and against the plain dense formula."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import nbinom
from torch import Tensor

from napari_stmask.nn.zinb import ZINBDecoder, bounded_exp, zinb_loss

EPS = 1e-10


def plain(x: Tensor, mu: Tensor, theta: Tensor, pi: Tensor, ridge: float) -> Tensor:
    """The released formula on all entries."""
    nb = (
        torch.lgamma(theta + EPS)
        + torch.lgamma(x + 1)
        - torch.lgamma(x + theta + EPS)
        + (theta + x) * torch.log(1 + mu / (theta + EPS))
        + x * (torch.log(theta + EPS) - torch.log(mu + EPS))
        - torch.log(1 - pi + EPS)
    )
    power = (theta / (theta + mu + EPS)) ** theta
    zero = -torch.log(pi + (1 - pi) * power + EPS)
    return (torch.where(x < 1e-8, zero, nb) + ridge * pi**2).mean()


def one(x: float, mu: float, theta: float, pi: float, ridge: float = 0.0) -> float:
    values = (torch.full((1, 1), v) for v in (x, mu, theta, pi))
    return zinb_loss(*values, ridge=ridge).item()


def test_closed_forms() -> None:
    assert one(0, 1, 1, 0.5, 1) == pytest.approx(-math.log(0.75) + 0.25, abs=1e-6)
    assert one(0, 1, 1, 0.5, 1) == pytest.approx(0.537682, abs=1e-6)
    assert one(2, 1, 1, 0.5, 1) == pytest.approx(3.022589, abs=1e-6)


@pytest.mark.parametrize("x", [0, 1, 7, 300])
@pytest.mark.parametrize(("mu", "theta"), [(0.3, 0.5), (5.0, 2.0), (200.0, 40.0)])
def test_is_a_probability(x: int, mu: float, theta: float) -> None:
    pi = 0.2
    mass = nbinom.pmf(x, theta, theta / (theta + mu))
    expected = -np.log(pi * (x == 0) + (1 - pi) * mass)
    assert one(x, mu, theta, pi) == pytest.approx(expected, rel=2e-4, abs=2e-5)


@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_equals_the_plain_formula_with_its_gradient(ridge: float) -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.poisson(0.7, (40, 9)).astype(np.float64))
    assert (x == 0).any()
    assert (x > 0).any()
    raw = [torch.from_numpy(rng.normal(size=(40, 9))) for _ in range(3)]
    found = []
    for form in (lambda *a: zinb_loss(*a, ridge=ridge), lambda *a: plain(*a, ridge)):
        free = [t.clone().requires_grad_() for t in raw]
        parts = (free[0].exp(), free[1].exp(), free[2].sigmoid())
        value = form(x, *parts)
        found.append([value.detach(), *torch.autograd.grad(value, free)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-8, rtol=1e-5)
    assert all(g.abs().max() > 1e-6 for g in found[0][1:])


def test_only_values_of_a_kind() -> None:
    """No zero at all, and zeros alone."""
    mu, theta, pi = (torch.full((4, 3), v, dtype=torch.float64) for v in (2.0, 3.0, 0.3))
    for x in (torch.zeros_like(mu), torch.full_like(mu, 5)):
        torch.testing.assert_close(zinb_loss(x, mu, theta, pi), plain(x, mu, theta, pi, 0.0))


@pytest.mark.parametrize("x", [0.0, 1e-9, 0.4, 3.0, 1e5])
@pytest.mark.parametrize("pi", [0.0, 1e-30, 0.5, 1.0])
@pytest.mark.parametrize(("mu", "theta"), [(1e-8, 1e-4), (1e6, 1e-4), (1e-8, 1e4), (1e6, 1e4)])
def test_stays_finite_at_the_ends(x: float, pi: float, mu: float, theta: float) -> None:
    """In float32, with the gradient: what training meets first when it goes astray."""
    values = [torch.full((2, 2), v, requires_grad=True) for v in (mu, theta, pi)]
    loss = zinb_loss(torch.full((2, 2), x), *values, ridge=1.0)
    assert math.isfinite(loss.item())
    for grad in torch.autograd.grad(loss, values):
        assert torch.isfinite(grad).all()


def test_huge_counts_agree_with_double_precision() -> None:
    x = torch.tensor([[1e4, 3e5]])
    mu, theta = torch.tensor([[9e3, 3.1e5]]), torch.tensor([[2.0, 10.0]])
    pi = torch.full((1, 2), 0.1)
    wide = [t.double() for t in (x, mu, theta, pi)]
    single, double = zinb_loss(x, mu, theta, pi).item(), zinb_loss(*wide).item()
    expected = -np.log(0.9) - nbinom.logpmf([10_000, 300_000], [2, 10], [2 / 9002, 10 / 310_010])
    assert double == pytest.approx(expected.mean(), rel=1e-6)
    # lgamma of a large number holds seven digits, of which the difference loses some.
    assert single == pytest.approx(double, abs=1.0)


def decoder(rates: Tensor) -> ZINBDecoder:
    return ZINBDecoder(5, 16, len(rates), rates, generator=torch.Generator().manual_seed(0))


def test_decoder_starts_near_the_rates_of_the_genes() -> None:
    rates = torch.tensor([0.0, 0.01, 1.0, 50.0])
    net = decoder(rates)
    gen = torch.Generator().manual_seed(1)
    rate, dispersion, dropout = net(torch.randn(300, 5, generator=gen))
    ratio = rate.mean(dim=0)[1:] / rates[1:]
    assert ((ratio > 0.3) & (ratio < 3)).all()
    assert rate[:, 0].max() < 1e-6
    assert (dispersion > 0).all()
    assert ((dropout > 0) & (dropout < 0.5)).all()
    assert all(
        torch.equal(a, b)
        for a, b in zip(net.parameters(), decoder(rates).parameters(), strict=True)
    )


def test_decoder_does_not_leave_its_bounds() -> None:
    net = decoder(torch.ones(3)).eval()
    with torch.no_grad():
        net.heads.weight.mul_(1e4)
        for sign in (-1e4, 1e4):
            rate, dispersion, dropout = net(torch.full((2, 5), sign))
            assert ((rate >= 9e-9) & (rate <= 1.0001e6)).all()
            assert ((dispersion >= 1e-4) & (dispersion <= 1e4)).all()
            assert ((dropout >= 0) & (dropout <= 1)).all()


def test_rates_past_the_largest_float_have_a_gradient() -> None:
    """The exponential of 100 is infinite in float32: cut off before, not after."""
    x = torch.tensor([-1000.0, 0.0, 100.0, 1000.0], requires_grad=True)
    out = bounded_exp(x, 1e-5, 1e6)
    torch.testing.assert_close(out, torch.tensor([1e-5, 1.0, 1e6, 1e6]), rtol=1e-5, atol=0)
    out.sum().backward()
    assert x.grad.tolist() == [0, 1, 0, 0]
