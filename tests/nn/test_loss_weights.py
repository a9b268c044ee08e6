"""Weights of losses that learn themselves."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from napari_stmask.nn.loss_weights import LearnedWeights


def settled(losses: list[float]) -> torch.Tensor:
    """The weights ``w`` that minimise the sum for fixed losses."""
    module = LearnedWeights(len(losses))
    values = [torch.tensor(x) for x in losses]
    optimiser = torch.optim.LBFGS(
        module.parameters(), max_iter=500, tolerance_grad=1e-10, tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = module(values)
        loss.backward()
        return loss

    optimiser.step(closure)
    return F.softplus(module.raw).detach()


def test_weights_start_at_one() -> None:
    found = LearnedWeights(2)([torch.tensor(0.4), torch.tensor(3.0)])
    assert float(found.detach()) == pytest.approx(0.2 + 1.5 + 2 * math.log(2), rel=1e-6)


@pytest.mark.parametrize(("loss", "expected"), [(1e-4, 0.007096), (0.02, 0.105125), (0.2, 0.37016)])
def test_best_weight_of_a_fixed_loss(loss: float, expected: float) -> None:
    closed = (loss / 2 + math.sqrt(loss**2 / 4 + 2 * loss)) / 2
    assert closed == pytest.approx(expected, rel=1e-4)
    module = LearnedWeights(1)
    with torch.no_grad():
        module.raw.fill_(math.log(math.expm1(closed)))
    module([torch.tensor(loss)]).backward()
    assert float(module.raw.grad) == pytest.approx(0, abs=1e-6)
    if loss >= 0.02:
        assert float(settled([loss])) == pytest.approx(closed, rel=1e-2)


def test_effective_weight() -> None:
    assert 1 / (2 * float(settled([0.02]))) == pytest.approx(4.756, rel=1e-2)


def test_each_loss_has_its_own() -> None:
    found = settled([0.02, 0.2])
    torch.testing.assert_close(found, torch.tensor([0.105125, 0.37016]), rtol=1e-2, atol=0)


def test_weights_never_reach_zero() -> None:
    module = LearnedWeights(1)
    with torch.no_grad():
        module.raw.fill_(-50.0)
    value = module([torch.tensor(0.0)])
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(module.raw.grad).all()
