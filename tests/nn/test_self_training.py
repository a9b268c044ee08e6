"""Closed forms of soft assignment, target and divergence."""

import pytest
import torch

from napari_stmask.nn.self_training import kl, sharpen, t_kernel

Q = torch.tensor([[0.7, 0.3], [0.2, 0.8]])
P = torch.tensor([[0.86935, 0.13065], [0.07097, 0.92903]])


def test_t_kernel_closed_form() -> None:
    q = t_kernel(torch.zeros(1, 1), torch.tensor([[0.0], [1.0]]), 0.8)[0]
    assert float(q[0] / q[1]) == pytest.approx((1 + 1 / 0.8) ** 0.9, rel=1e-6)
    assert float(q[0] / q[1]) == pytest.approx(2.0747, abs=1e-4)


def test_t_kernel_is_finite_far_away_and_learns_at_a_centre() -> None:
    z = torch.tensor([[1e6, 0.0], [1e6 + 1, 0.0]], requires_grad=True)
    centres = torch.tensor([[1e6, 0.0], [1e6 + 1, 0.0], [0.0, 0.0]])
    q = t_kernel(z, centres, 0.2)
    torch.testing.assert_close(q.sum(dim=1), torch.ones(2))
    # Close pairs keep their distance of 1: (1 + 1 / 0.2)^0.6 times less likely.
    assert float((q[0, 0] / q[0, 1]).detach()) == pytest.approx(6**0.6, rel=1e-4)
    kl(sharpen(q), q).backward()
    assert torch.isfinite(z.grad).all()


def test_many_rows_as_few() -> None:
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(500, 8, generator=rng)
    centres = torch.randn(40, 8, generator=rng)
    square = (z[:, None] - centres).pow(2).sum(dim=2)
    expected = (1 + square / 0.8) ** -0.9
    expected = expected / expected.sum(dim=1, keepdim=True)
    torch.testing.assert_close(t_kernel(z, centres, 0.8), expected, rtol=1e-4, atol=1e-7)


def test_gradient_is_that_of_differences() -> None:
    rng = torch.Generator().manual_seed(1)
    z = torch.randn(5, 3, generator=rng, dtype=torch.double, requires_grad=True)
    centres = torch.randn(4, 3, generator=rng, dtype=torch.double, requires_grad=True)
    target = torch.softmax(torch.randn(5, 4, generator=rng, dtype=torch.double), dim=1)
    assert torch.autograd.gradcheck(lambda a, b: kl(target, t_kernel(a, b, 0.8)), (z, centres))


def test_sharpening_closed_form() -> None:
    p = sharpen(Q.clone().requires_grad_())
    torch.testing.assert_close(p, P, atol=1e-4, rtol=0)
    torch.testing.assert_close(p.sum(dim=1), torch.ones(2))
    assert not p.requires_grad


def test_sharpening_keeps_the_winner_of_equal_clusters() -> None:
    q = torch.tensor([[0.6, 0.4], [0.4, 0.6], [0.9, 0.1], [0.1, 0.9]])
    assert torch.equal(sharpen(q).argmax(dim=1), q.argmax(dim=1))
    assert (sharpen(q).max(dim=1).values > q.max(dim=1).values).all()


def test_empty_cluster() -> None:
    q = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    torch.testing.assert_close(sharpen(q), q)
    assert float(kl(sharpen(q), q)) == 0


def test_divergence_is_the_mean_over_rows() -> None:
    p = sharpen(Q)
    assert float(kl(p, Q)) == pytest.approx(0.072575, abs=1e-5)
    assert float(kl(p, Q)) / 2 == pytest.approx(0.036287, abs=1e-5)
    expected = torch.nn.functional.kl_div(Q.log(), p, reduction="batchmean")
    torch.testing.assert_close(kl(p, Q), expected)
    assert float(kl(Q, Q)) == pytest.approx(0, abs=1e-7)
