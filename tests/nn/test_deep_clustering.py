"""Self-training over the tissue: against a loop with dense products, and what it is for."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain
from napari_stmask.nn import deep_clustering as module
from napari_stmask.nn.deep_clustering import deep_clustering_steps
from napari_stmask.nn.layers import linear


def blobs(n: int = 90, d: int = 4, gap: float = 3.0, seed: int = 0):
    """Three groups, a kernel that joins spots next to each other in a row, their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), n // 3)
    x = rng.normal(size=(n, d)) + gap * np.eye(3, d)[labels]
    ring = sp.diags([np.full(n - 1, 0.2), np.ones(n), np.full(n - 1, 0.2)], [-1, 0, 1])
    return x.astype(np.float32), ring.tocsr().astype(np.float32), labels


def test_the_loop_is_that_of_spagcn() -> None:
    """Dense, written out: ``Z = K (X W) + b``, q, a new target every third epoch, Adam."""
    x, kernel, labels = blobs()
    got = drain(deep_clustering_steps(x, kernel, labels, epochs=7, lr=0.05, tol=0, seed=3))
    layer = linear(4, 4, torch.Generator().manual_seed(3), random_bias=True)
    k, inputs = torch.from_numpy(kernel.toarray()), torch.from_numpy(x)
    w, b = layer.weight.detach().T.clone().requires_grad_(), layer.bias.detach().clone()
    b.requires_grad_()

    def z():
        return k @ (inputs @ w) + b

    mu = torch.stack([z()[labels == c].mean(dim=0) for c in range(3)]).detach().requires_grad_()
    opt = torch.optim.Adam([w, b, mu], lr=0.05)
    for epoch in range(7):
        q = 1 / (1 + (z()[:, None] - mu).pow(2).sum(dim=2) / 0.2) ** 1.2
        q = q / q.sum(dim=1, keepdim=True)
        if epoch % 3 == 0:
            p = (q**2 / q.sum(dim=0)).detach()
            p = p / p.sum(dim=1, keepdim=True)
        loss = (p * (p / q).log()).sum(dim=1).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    np.testing.assert_allclose(got, z().detach().numpy(), rtol=1e-3, atol=1e-3)


def separation(z: np.ndarray, labels: np.ndarray) -> float:
    """Distance between the groups over the spread within, squared."""
    means = np.stack([z[labels == c].mean(axis=0) for c in range(3)])
    within = ((z - means[labels]) ** 2).sum(axis=1).mean()
    return float(((means - means.mean(axis=0)) ** 2).sum(axis=1).mean() / within)


def test_domains_come_out_sharper() -> None:
    x, kernel, labels = blobs(gap=3.5)
    before = drain(deep_clustering_steps(x, kernel, labels, epochs=0))
    after = drain(deep_clustering_steps(x, kernel, labels))
    assert after.shape == x.shape
    assert after.dtype == np.float32
    assert separation(after, labels) > 1.5 * separation(before, labels)


def test_it_stops_when_labels_do_not_change(monkeypatch) -> None:
    targets = []
    sharpen = module.sharpen
    monkeypatch.setattr(module, "sharpen", lambda q: targets.append(1) or sharpen(q))
    x, kernel, labels = blobs(gap=8.0)
    drain(deep_clustering_steps(x, kernel, labels, epochs=300))
    assert len(targets) < 20
    targets.clear()
    drain(deep_clustering_steps(x, kernel, labels, epochs=300, tol=0))
    assert len(targets) == 100


def test_a_seed_repeats_itself_and_leaves_inputs_and_global_state_alone() -> None:
    x, kernel, labels = blobs()
    copies = x.copy(), kernel.copy(), labels.copy()
    state = torch.get_rng_state()
    a = drain(deep_clustering_steps(x, kernel, labels, epochs=10))
    b = drain(deep_clustering_steps(x, kernel, labels, epochs=10))
    other = drain(deep_clustering_steps(x, kernel, labels, epochs=10, seed=1))
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, other)
    np.testing.assert_array_equal(x, copies[0])
    np.testing.assert_array_equal(labels, copies[2])
    assert (kernel != copies[1]).nnz == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_closing_ends_it() -> None:
    x, kernel, labels = blobs()
    steps = deep_clustering_steps(x, kernel, labels, epochs=10**9, tol=0)
    event = next(steps)
    assert event.phase == "sharpening domains"
    assert "kl" in event.losses
    next(steps)
    steps.close()


def test_mistakes() -> None:
    x, kernel, labels = blobs()
    for wrong in ((x[1:], kernel, labels), (x, kernel[1:], labels), (x, kernel, labels[1:])):
        with pytest.raises(ParameterError, match="one row of each"):
            drain(deep_clustering_steps(*wrong))
    for codes in (np.where(labels == 1, -1, labels), np.where(labels == 1, 0, labels)):
        with pytest.raises(ParameterError, match="no domain or a domain has no spot"):
            drain(deep_clustering_steps(x, kernel, codes))
    with pytest.raises(ParameterError, match="only one domain"):
        drain(deep_clustering_steps(x, kernel, 0 * labels))
    with pytest.raises(DataError, match="no longer finite"):
        drain(deep_clustering_steps(x * np.nan, kernel, labels))
