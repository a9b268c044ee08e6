"""Attention without the matrix of all pairs against its plain form."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_stmask.nn.attention import attend, landmarks_of

CPU = torch.device("cpu")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def softmax_form(q: Tensor, k: Tensor, v: Tensor, scale: float, log_size: Tensor | None) -> Tensor:
    logits = scale * q @ k.T
    return torch.softmax(logits if log_size is None else logits + log_size, dim=1) @ v


@pytest.mark.parametrize(("n", "m", "d", "width"), [(50, 50, 8, 8), (40, 7, 8, 3), (9, 30, 3, 12)])
@pytest.mark.parametrize("counted", [False, True])
def test_equals_the_softmax_form_with_its_gradient(
    n: int, m: int, d: int, width: int, counted: bool
) -> None:
    q, k, v = random(n, d), random(m, d, seed=1), random(m, width, seed=2)
    log_size = torch.arange(1.0, m + 1).log() if counted else None
    away = random(n, width, seed=3)
    found = []
    for form in (attend, softmax_form):
        inputs = [t.clone().requires_grad_() for t in (q, k, v)]
        scale = torch.tensor(1.7, requires_grad=True)
        out = form(*inputs, scale, log_size)
        assert out.shape == (n, width)
        grads = torch.autograd.grad((out * away).sum(), [*inputs, scale])
        found.append([out.detach(), *grads])
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)


def test_one_key_of_weight_two_is_two_keys() -> None:
    q, k, v = random(5, 4), random(2, 4, seed=1), random(2, 4, seed=2)
    twice = attend(q, k[[0, 0, 1]], v[[0, 0, 1]], 1.0, None)
    counted = attend(q, k, v, 1.0, torch.tensor([math.log(2), 0.0]))
    torch.testing.assert_close(counted, twice, atol=1e-6, rtol=1e-5)
    assert (attend(q, k, v, 1.0, None) - twice).abs().max() > 0.01


def test_landmarks_equal_all_spots_where_keys_of_a_group_coincide() -> None:
    rng = np.random.default_rng(0)
    own = np.r_[np.arange(6), rng.integers(6, size=54)]
    points = 10 * np.eye(6, dtype=np.float32)[own]
    marks = landmarks_of(points, 6, seed=0, device=CPU)
    assert len(marks.log_size) == 6
    e = random(6, 5)[torch.from_numpy(own)]
    means = marks.mean @ e
    grouped = attend(e, means, means, 0.8, marks.log_size)
    torch.testing.assert_close(grouped, attend(e, e, e, 0.8, None), atol=1e-6, rtol=1e-5)
    assert (attend(e, means, means, 0.8, None) - grouped).abs().max() > 0.01


@pytest.mark.parametrize("count", [40, 1000])
def test_every_spot_a_landmark_is_exact(count: int) -> None:
    e = random(40, 5)
    marks = landmarks_of(e.numpy(), count, seed=0, device=CPU)
    assert not marks.log_size.any()
    means = marks.mean @ e
    out = attend(e, means, means, 2.0, marks.log_size)
    torch.testing.assert_close(out, attend(e, e, e, 2.0, None), atol=1e-6, rtol=1e-5)


def test_landmarks_are_means_of_all_spots() -> None:
    """Every spot is in one group; more groups than distinct points leave none empty."""
    points = np.repeat(np.random.default_rng(0).normal(size=(9, 3)), 5, axis=0)
    marks = landmarks_of(points.astype(np.float32), 20, seed=0, device=CPU)
    mean = marks.mean.matrix.to_dense()
    size = marks.log_size.exp()
    assert len(size) <= 9
    assert (mean > 0).any(dim=1).all()
    torch.testing.assert_close(mean.sum(dim=1), torch.ones(len(size)))
    torch.testing.assert_close(size @ mean, torch.ones(45))
    again = landmarks_of(points.astype(np.float32), 20, seed=0, device=CPU)
    assert torch.equal(again.mean.matrix.to_dense(), mean)
