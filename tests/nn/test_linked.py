"""Sums over links against loops and torch's own scatter, with their gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_stmask.nn.linked import Links

N, K, M = 23, 4, 11


def table(seed: int = 0, n: int = N, k: int = K, m: int = M) -> np.ndarray:
    """Rows of references, some twice for one target; the last reference is nobody's."""
    return np.random.default_rng(seed).integers(0, m - 1, (n, k))


def links(seed: int = 0) -> Links:
    return Links.of(table(seed), M)


def exact(found: Links) -> Links:
    """The same links for double precision."""
    return replace(found, incidence=found.incidence.to(torch.float64))


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_sizes() -> None:
    found = links()
    assert (found.n_targets, found.n_references, found.k) == (N, M, K)
    np.testing.assert_array_equal(found.index.numpy(), table().ravel())


def test_gather_equals_rows() -> None:
    x = normal(M, 5)
    rows = table()
    out = links().gather(x).view(N, K, 5)
    for i in range(N):
        for j in range(K):
            assert torch.equal(out[i, j], x[rows[i, j]])


def test_sum_equals_loop_and_is_zero_without_links() -> None:
    x = normal(N * K, 5)
    expected = torch.zeros(M, 5)
    for link, row in enumerate(table().ravel()):
        expected[row] += x[link]
    out = links().sum(x)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)
    assert torch.equal(out[-1], torch.zeros(5))


def test_softmax_equals_loop() -> None:
    logits = normal(N * K, 3)
    rows = table().ravel()
    out = links().softmax(logits)
    for row in np.unique(rows):
        mine = np.flatnonzero(rows == row)
        torch.testing.assert_close(
            out[mine], torch.softmax(logits[mine], dim=0), atol=1e-6, rtol=1e-5
        )


def test_softmax_does_not_overflow() -> None:
    logits = normal(N * K, 2) * 1e4
    out = links().softmax(logits)
    assert torch.isfinite(out).all()
    torch.testing.assert_close(links().sum(out)[:-1], torch.ones(M - 1, 2), atol=1e-5, rtol=0)


def test_one_link_of_a_reference_counts_whole() -> None:
    alone = Links.of(np.array([[0, 1], [0, 2]]), 3)
    out = alone.softmax(normal(4, 1, seed=3)[:, :1] * 5)
    assert out[1].item() == out[3].item() == 1
    assert (out[0] + out[2]).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("form", ["gather", "sum", "softmax"])
def test_gradient_against_finite_differences(form: str) -> None:
    found = exact(links())
    rows = M if form == "gather" else N * K
    x = normal(rows, 2, seed=4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(getattr(found, form), (x,))


def test_gradient_of_gather_is_that_of_torch() -> None:
    x, away = normal(M, 6), normal(N * K, 6, seed=1)
    found = links()
    ours, theirs = (x.clone().requires_grad_() for _ in range(2))
    (found.gather(ours) * away).sum().backward()
    (theirs[found.index] * away).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=0)


def test_deterministic() -> None:
    found, x = links(), normal(N * K, 64)
    first = found.sum(x)
    assert all(torch.equal(first, found.sum(x)) for _ in range(5))


def test_gradient_that_is_no_block_of_memory() -> None:
    """A broadcast or transposed gradient comes back as if it were copied first."""
    x = normal(M, 6).requires_grad_()
    links().gather(x).sum().backward()
    counts = torch.from_numpy(np.bincount(table().ravel(), minlength=M)).float()
    torch.testing.assert_close(x.grad, counts[:, None].expand(M, 6), atol=0, rtol=0)


@pytest.mark.parametrize("row", [-1, M])
def test_links_beyond_the_references_are_refused(row: int) -> None:
    rows = table()
    rows[2, 1] = row
    with pytest.raises(IndexError, match=str(M)):
        Links.of(rows, M)
