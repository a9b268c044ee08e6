"""Closed forms of the losses of SpaHGC, its masks and the encoder that follows."""

import copy

import pytest
import torch
from torch import Tensor, nn

from napari_stmask.nn.agreement import agreement, complementary, correlation_loss, follow


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed))


# Agreement


def test_agreement_of_equal_orthogonal_and_opposite_rows() -> None:
    rows = normal(40, 8)
    assert agreement(rows, rows).item() == pytest.approx(0, abs=1e-5)
    assert agreement(rows, -rows).item() == pytest.approx(4, abs=1e-5)
    across = torch.stack([rows[:, 1], -rows[:, 0]], dim=1)
    assert agreement(rows[:, :2], across).item() == pytest.approx(2, abs=1e-5)


def test_agreement_does_not_see_the_length_of_rows() -> None:
    a, b = normal(30, 6), normal(30, 6, seed=1)
    scale = torch.rand(30, 1, generator=generator(2)) * 9 + 0.1
    torch.testing.assert_close(agreement(a, b), agreement(scale * a, b / scale))


def test_agreement_is_the_distance_of_unit_rows() -> None:
    """BYOL's form: the squared distance of the normalised rows."""
    a, b = normal(30, 6), normal(30, 6, seed=1)
    distance = (a / a.norm(dim=1, keepdim=True) - b / b.norm(dim=1, keepdim=True)).square()
    torch.testing.assert_close(agreement(a, b), distance.sum(dim=1).mean())


# Masks


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_views_are_complementary(ratio: float) -> None:
    x = normal(300, 50)
    first, second = complementary(x, ratio, generator(3))
    assert torch.equal(first + second, x)
    assert not (first * second).any()
    missing = (first == 0).double().mean().item()
    assert abs(missing - ratio) <= 3 * (ratio * (1 - ratio) / x.numel()) ** 0.5


def test_kept_numbers_are_not_rescaled() -> None:
    x = normal(20, 20)
    first, _ = complementary(x, 0.9, generator())
    assert torch.equal(first[first != 0], x[first != 0])


def test_same_seed_same_masks() -> None:
    x = normal(50, 10)
    one, same, other = (complementary(x, 0.5, generator(s))[0] for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_masks_leave_the_global_generator() -> None:
    state = torch.get_rng_state()
    complementary(normal(5, 5), 0.5, generator())
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_is_hidden_at_ratio_zero() -> None:
    x = normal(10, 4)
    first, second = complementary(x, 0.0, generator())
    assert torch.equal(first, x)
    assert not second.any()


# Correlation


def loop(predicted: Tensor, measured: Tensor) -> float:
    """Mean over genes of 1 - Pearson, one gene at a time, as released."""
    total = 0.0
    for p, y in zip(predicted.T.double(), measured.T.double(), strict=True):
        a, b = p - p.mean(), y - y.mean()
        total += 1 - float((a @ b) / (a.norm() * b.norm() + 1e-8))
    return total / predicted.shape[1]


def test_correlation_of_a_line() -> None:
    y = normal(60, 5)
    slope = torch.tensor([0.3, 1.0, 2.0, 5.0, 0.7])
    shift = torch.tensor([-3.0, 0.0, 1.0, 8.0, 0.2])
    assert correlation_loss(slope * y + shift, y).item() == pytest.approx(0, abs=1e-5)
    assert correlation_loss(-slope * y + shift, y).item() == pytest.approx(2, abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.37, -12.0])
def test_constant_prediction_counts_as_none(value: float) -> None:
    y = normal(60, 5)
    constant = torch.full_like(y, value).requires_grad_()
    loss = correlation_loss(constant, y)
    assert loss.item() == 1
    loss.backward()
    assert torch.isfinite(constant.grad).all()


def test_constant_gene_counts_as_none() -> None:
    y = normal(60, 4)
    measured = y.clone()
    measured[:, 2] = 1.5
    predicted = y.clone().requires_grad_()
    loss = correlation_loss(predicted, measured)
    assert loss.item() == pytest.approx(0.25, abs=1e-5)
    loss.backward()
    assert torch.isfinite(predicted.grad).all()


def test_correlation_equals_loop() -> None:
    p, y = normal(120, 30), normal(120, 30, seed=1)
    p = p + 0.5 * y + 2
    assert correlation_loss(p, y).item() == pytest.approx(loop(p, y), abs=1e-6)


# The encoder that follows


def pair() -> tuple[nn.Linear, nn.Linear]:
    slow, fast = nn.Linear(4, 3), nn.Linear(4, 3)
    with torch.no_grad():
        for number, layer in enumerate((slow, fast)):
            for p in layer.parameters():
                p.copy_(normal(*p.shape, seed=number))
    return slow, fast


@pytest.mark.parametrize("momentum", [0.0, 0.99, 1.0])
def test_follow_is_a_mean_of_both(momentum: float) -> None:
    slow, fast = pair()
    before, leader = copy.deepcopy(slow), copy.deepcopy(fast)
    follow(slow, fast, momentum)
    every = zip(slow.parameters(), before.parameters(), fast.parameters(), strict=True)
    for s, b, f in every:
        torch.testing.assert_close(s, momentum * b + (1 - momentum) * f, atol=1e-6, rtol=0)
    for f, unchanged in zip(fast.parameters(), leader.parameters(), strict=True):
        assert torch.equal(f, unchanged)


def test_momentum_of_zero_and_one_are_exact() -> None:
    slow, fast = pair()
    frozen = copy.deepcopy(slow)
    follow(slow, fast, 1.0)
    assert torch.equal(slow.weight, frozen.weight)
    follow(slow, fast, 0.0)
    assert torch.equal(slow.weight, fast.weight)
    assert slow.weight is not fast.weight
