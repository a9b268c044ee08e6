import math

import pytest
import torch

from napari_stmask.nn.losses import link_loss, scaled_cosine_error


@pytest.mark.parametrize(
    ("output", "alpha", "expected"),
    [((1, 0), 2, 0), ((0, 1), 2, 1), ((-1, 0), 2, 4), ((-1, 0), 3, 8), ((5, 0), 2, 0)],
)
def test_closed_forms(output: tuple[float, float], alpha: float, expected: float) -> None:
    target = torch.tensor([[1.0, 0.0]])
    value = scaled_cosine_error(target, torch.tensor([output], dtype=torch.float32), alpha)
    assert float(value) == pytest.approx(expected, abs=1e-6)


def test_length_does_not_matter() -> None:
    gen = torch.Generator().manual_seed(0)
    a, b = torch.randn(9, 5, generator=gen), torch.randn(9, 5, generator=gen)
    scale = torch.rand(9, 1, generator=gen) + 0.1
    reference = scaled_cosine_error(a, b)
    torch.testing.assert_close(scaled_cosine_error(scale * a, b), reference)
    torch.testing.assert_close(scaled_cosine_error(a, scale * b), reference)


def test_gradients() -> None:
    gen = torch.Generator().manual_seed(0)
    a = torch.randn(4, 3, dtype=torch.float64, generator=gen)
    b = torch.randn(4, 3, dtype=torch.float64, generator=gen, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: scaled_cosine_error(a, t), (b,))
    assert torch.autograd.gradcheck(lambda t: link_loss(t[:, 0], t[:, 1]), (b,))


def test_link_loss_of_zero_logits() -> None:
    zero = torch.zeros(7)
    assert float(link_loss(zero, zero)) == pytest.approx(2 * math.log(2))
    assert float(link_loss(zero, zero[:0])) == pytest.approx(math.log(2))
    assert float(link_loss(zero[:0], zero[:0])) == 0


def test_link_loss_is_binary_cross_entropy() -> None:
    gen = torch.Generator().manual_seed(0)
    p, n = torch.randn(20, generator=gen), torch.randn(30, generator=gen)
    bce = torch.nn.functional.binary_cross_entropy
    expected = bce(p.sigmoid(), torch.ones(20)) + bce(n.sigmoid(), torch.zeros(30))
    torch.testing.assert_close(link_loss(p, n), expected)
