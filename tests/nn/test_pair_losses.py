"""Losses over all pairs against the plain N x N form."""

import math

import pytest
import torch
from torch import Tensor

from napari_stmask.nn import pair_losses
from napari_stmask.nn.pair_losses import (
    adjacency_loss,
    consistency_loss,
    prototype_loss,
    unit_rows,
)

THREE = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense_consistency(first: Tensor, second: Tensor) -> Tensor:
    q, p = (x - x.mean(dim=0) for x in (first, second))
    q, p = (x / x.norm(dim=1, keepdim=True).clamp_min(1e-12) for x in (q, p))
    return ((q @ q.T - p @ p.T) ** 2).mean()


def dense_adjacency(z: Tensor, a: Tensor) -> Tensor:
    u = z / z.norm(dim=1, keepdim=True).clamp_min(1e-12)
    cosine = (u @ u.T) * (1 - torch.eye(len(z), dtype=z.dtype))
    return ((torch.sigmoid(cosine) - a) ** 2).mean()


def links(n: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """Entries of a row-normalised adjacency with a diagonal, and the dense matrix."""
    near = (random(n, n, seed=seed) > 1).to(dtype) + torch.eye(n, dtype=dtype)
    a = near / near.sum(dim=1, keepdim=True)
    row, column = a.nonzero(as_tuple=True)
    return row, column, a[row, column], a


def gradient(value: Tensor, *at: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value, at)


def test_consistency_of_known_rows() -> None:
    assert consistency_loss(THREE, THREE.flip(0)).item() == pytest.approx(0.104016, abs=1e-6)
    assert consistency_loss(THREE, THREE).item() == pytest.approx(0, abs=1e-6)
    # Moving and scaling a modality, or turning it, changes no centred cosine.
    turn = torch.linalg.qr(random(2, 2))[0]
    assert consistency_loss(THREE, 5 * THREE @ turn + 3).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("n", "d", "e"), [(120, 9, 9), (120, 4, 11), (30, 64, 5), (30, 64, 64)])
def test_consistency_equals_the_form_of_all_pairs(n: int, d: int, e: int) -> None:
    """With fewer and with more spots than dimensions."""
    q, p = random(n, d).requires_grad_(), random(n, e, seed=1).requires_grad_()
    ours, plain = consistency_loss(q, p), dense_consistency(q, p)
    torch.testing.assert_close(ours, plain, atol=1e-6, rtol=1e-5)
    for mine, theirs in zip(gradient(ours, q, p), gradient(plain, q, p), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4)


def test_consistency_of_rows_at_the_centre_has_a_finite_gradient() -> None:
    q = torch.zeros(6, 3, requires_grad=True)
    value = consistency_loss(q, random(6, 3))
    value.backward()
    assert torch.isfinite(q.grad).all()
    assert 0 <= value.item() <= 1


def test_adjacency_of_known_rows() -> None:
    own = torch.arange(3)
    assert adjacency_loss(THREE, own, own, torch.ones(3)).item() == pytest.approx(
        0.338258, abs=1e-6
    )


@pytest.mark.parametrize("block", [7, 25, 1024])
def test_adjacency_equals_the_form_of_all_pairs(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_losses, "_BLOCK", block)
    *entries, a = links(50)
    order = torch.randperm(len(entries[0]), generator=torch.Generator().manual_seed(0))
    row, column, weight = (values[order] for values in entries)
    z = random(50, 6).requires_grad_()
    ours, plain = adjacency_loss(z, row, column, weight), dense_adjacency(z, a)
    torch.testing.assert_close(ours, plain, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(gradient(ours, z)[0], gradient(plain, z)[0], atol=1e-7, rtol=1e-4)


def test_adjacency_gradient_against_finite_differences() -> None:
    double = torch.float64
    row, column, weight, _ = links(8, dtype=double)
    z = random(8, 3, dtype=double).requires_grad_()
    for exact in (True, False):
        assert torch.autograd.gradcheck(
            lambda t, form=exact: adjacency_loss(t, row, column, weight, exact=form), (z,)
        )


def test_parabola_stays_within_its_error() -> None:
    """The fit to the squared logistic function, and with it the loss, errs by 0.0092 at most."""
    c = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    a0, a1, a2 = pair_losses._FIT
    off = (a0 + a1 * c + a2 * c**2 - torch.sigmoid(c) ** 2).abs().max().item()
    assert 0.0085 < off < 0.0093
    for n, spread in ((60, 0.0), (60, 2.0), (200, 0.5)):
        row, column, weight, _ = links(n)
        z = random(n, 5) + spread
        exact = adjacency_loss(z, row, column, weight)
        rough = adjacency_loss(z, row, column, weight, exact=False)
        assert 0 < abs(exact.item() - rough.item()) < 0.0093


@pytest.mark.parametrize("some", [13, 10_000])
def test_parabola_is_its_own_sum_over_pairs(some: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_losses, "_LINKS", some)
    row, column, weight, a = links(40)
    z = random(40, 6)
    u = unit_rows(z)
    cosine = (u @ u.T).fill_diagonal_(0)
    a0, a1, a2 = pair_losses._FIT
    square = a0 + a1 * cosine + a2 * cosine**2
    square.fill_diagonal_(0.25)
    expected = (square - 2 * a * torch.sigmoid(cosine) + a**2).mean()
    rough = adjacency_loss(z, row, column, weight, exact=False)
    torch.testing.assert_close(rough, expected, atol=1e-6, rtol=1e-5)


def test_adjacency_of_a_row_of_zeros_is_finite() -> None:
    z = random(6, 3)
    z[2] = 0
    z.requires_grad_()
    row, column, weight, a = links(6)
    value = adjacency_loss(z, row, column, weight)
    torch.testing.assert_close(value, dense_adjacency(z, a))
    assert torch.isfinite(gradient(value, z)[0]).all()


def test_prototypes_of_known_rows() -> None:
    axes, codes, ones = torch.eye(2), torch.tensor([0, 1]), torch.ones(2)
    expected = math.log(1 + math.exp(-1))
    assert expected == pytest.approx(0.313262, abs=1e-6)
    assert prototype_loss(axes, axes, codes, ones, 1.0).item() == pytest.approx(expected, abs=1e-6)
    # Lengths do not matter, the temperature does; labels that are wrong cost exactly 1 more.
    assert prototype_loss(3 * axes, 9 * axes, codes, ones, 1.0).item() == pytest.approx(expected)
    assert prototype_loss(axes, axes, codes, ones, 0.5).item() == pytest.approx(
        math.log(1 + math.exp(-2))
    )
    assert prototype_loss(axes, axes, codes.flip(0), ones, 1.0).item() == pytest.approx(
        expected + 1
    )


def test_prototypes_weigh_their_spots() -> None:
    z, c = random(20, 4).requires_grad_(), random(3, 4, seed=1)
    codes = torch.arange(20) % 3
    weights = torch.rand(20, generator=torch.Generator().manual_seed(2))
    weights[5] = 0
    logits = unit_rows(z) @ unit_rows(c).T / 0.3
    plain = -torch.log_softmax(logits, dim=1)[torch.arange(20), codes]
    ours = prototype_loss(z, c, codes, weights, 0.3)
    torch.testing.assert_close(ours, (weights * plain).sum() / weights.sum())
    assert gradient(ours, z)[0][5].abs().max() == 0
    none = prototype_loss(z, c, codes, torch.zeros(20), 0.3)
    assert none.item() == 0
    assert gradient(none, z)[0].abs().max() == 0
