"""Modules, their prior, and the losses that sharpen them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.spacex_helpers import settings

from napari_stmask.core.progress import drain
from napari_stmask.models.spacex.modules import (
    Kernel,
    in_order,
    modules_from,
    prior_of,
    start_labels,
    tensors_of,
)
from napari_stmask.models.spacex.sharpening import likeness_steps, roughness, size_term
from napari_stmask.models.spacex.training import _principal
from napari_stmask.nn.self_training import t_kernel
from napari_stmask.nn.t_mixture import Prior, initial_mixture

Q = torch.tensor([[0.7, 0.3], [0.2, 0.8]])


def vectors(n: int = 60, d: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


# Losses


def test_size_term() -> None:
    assert float(size_term(Q)) == pytest.approx(-0.688139, abs=1e-6)
    even = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    assert float(size_term(even)) == pytest.approx(-np.log(2))
    assert float(size_term(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))) == 0
    assert float(size_term(even)) < float(size_term(Q))


def test_links_are_the_most_alike_pictures() -> None:
    pictures = np.random.default_rng(0).normal(size=(40, 25)).astype(np.float32)
    pictures[20:] = pictures[:20] + 0.5 * pictures[20:] + 3
    links = drain(likeness_steps(pictures)).toarray()
    correlation = np.corrcoef(pictures)
    np.fill_diagonal(correlation, -2)
    expected = np.zeros_like(correlation)
    for gene in range(40):
        near = np.argsort(-correlation[gene])[:15]
        expected[gene, near] = np.maximum(correlation[gene, near], 0)
    expected = np.maximum(expected, expected.T)
    np.testing.assert_allclose(links, expected, atol=1e-5)
    assert not links.diagonal().any()


def test_links_of_few_or_blank_pictures() -> None:
    few = drain(likeness_steps(np.eye(4, 9, dtype=np.float32)))
    assert few.shape == (4, 4)
    assert few.nnz == 0  # unit pictures are anticorrelated
    blank = drain(likeness_steps(np.zeros((20, 9), dtype=np.float32)))
    assert blank.nnz == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_roughness_is_the_dense_trace(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pictures = rng.normal(size=(30, 12)).astype(np.float32)
    links = drain(likeness_steps(pictures))
    index = torch.from_numpy(rng.permutation(30)[:14])
    z = vectors(14, 4, seed)
    a = links.toarray()[np.ix_(index, index)].astype(float)
    degree = a.sum(axis=1)
    root = np.diag([1 / np.sqrt(d) if d else 0.0 for d in degree])
    laplacian = np.diag(np.sign(degree)) - root @ a @ root
    expected = np.trace(z.numpy().T @ laplacian @ z.numpy()) / 14
    assert float(roughness(z, links, index)) == pytest.approx(expected, rel=1e-5)
    assert expected > 0


def test_roughness_of_like_vectors_and_of_genes_without_links() -> None:
    import scipy.sparse as sp

    ring = sp.csr_matrix(np.roll(np.eye(6), 1, axis=1) + np.roll(np.eye(6), -1, axis=1))
    ring = ring.astype(np.float32)
    everyone = torch.arange(6)
    assert float(roughness(torch.ones(6, 2), ring, everyone)) == pytest.approx(0, abs=1e-6)
    assert float(roughness(vectors(6), ring, everyone)) > 0.1
    # 0 and 3 are no neighbours: as a batch of two they have no links.
    assert float(roughness(vectors(2), ring, torch.tensor([0, 3]))) == 0


# Priors


def test_the_prior_of_members_expects_the_spread_within() -> None:
    z = torch.cat([vectors(200, 4), vectors(200, 4, 1) + 50])
    labels = torch.arange(400) // 200
    prior = prior_of(z, labels, 2, settings(prior="members"))
    # Expected scale of a component without members: about 1, although all genes spread by 25.
    expected = prior.scale / (prior.degrees + 4 + 2)
    np.testing.assert_allclose(expected, 1, rtol=0.1)
    wide = prior_of(z, labels, 2, settings(prior="section"))
    torch.testing.assert_close(wide.scale, Prior.of(z, 2).scale)
    assert (wide.scale / (wide.degrees + 6) > 5 * expected).all()


def test_equal_vectors_have_a_prior() -> None:
    prior = prior_of(torch.ones(10, 3), torch.arange(10) % 2, 2, settings())
    assert (prior.scale > 0).all()


# Modules


def test_kernel_is_that_of_self_training() -> None:
    z, centres = vectors(), vectors(4, 3, 1)
    kernel = Kernel(centres, torch.tensor(0.8))
    torch.testing.assert_close(kernel.log_posterior(z).exp(), t_kernel(z, centres, 0.8))
    far = kernel.log_posterior(1e6 * z)
    assert torch.isfinite(far).all()


@pytest.mark.parametrize("kind", ["t_mixture", "t_kernel"])
def test_tensors_and_order(kind: str) -> None:
    z, labels = vectors(), torch.arange(60) % 4
    made = (
        Kernel(vectors(4, 3, 1), torch.tensor(0.8))
        if kind == "t_kernel"
        else initial_mixture(z, labels, 4, Prior.of(z, 4))
    )
    again = modules_from(tensors_of(made))
    torch.testing.assert_close(again.log_posterior(z), made.log_posterior(z))
    order = np.array([2, 0, 3, 1])
    turned = in_order(made, order)
    torch.testing.assert_close(turned.log_posterior(z), made.log_posterior(z)[:, order])
    fewer = in_order(made, np.array([3, 1])).log_posterior(z)
    expected = torch.log_softmax(made.log_posterior(z)[:, [3, 1]], dim=1)
    torch.testing.assert_close(fewer, expected, atol=1e-5, rtol=1e-5)


def test_missing_tensors() -> None:
    with pytest.raises(KeyError):
        modules_from({"weight": torch.ones(2)})


def test_labels_at_the_start_depend_on_the_seed_only() -> None:
    z = np.concatenate([vectors(30).numpy(), 20 + vectors(30, 3, 1).numpy()])
    labels = start_labels(z, 2, 0)
    assert len(set(labels[:30])) == len(set(labels[30:])) == 1
    np.testing.assert_array_equal(labels, start_labels(z, 2, 0))


# Components of pictures


def test_principal_components_have_the_wanted_size() -> None:
    rng = np.random.default_rng(0)
    pictures = (rng.normal(size=(200, 5)) @ rng.normal(size=(5, 40)) + 3).astype(np.float32)
    components, offset = _principal(pictures, 5, 2.0, 0)
    scores = pictures @ components.numpy().T + offset.numpy()
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-4)
    assert np.sqrt(scores.var(axis=0, ddof=1).sum()) == pytest.approx(2, rel=1e-4)
    covariance = np.cov(scores.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-3)
    # All five directions of the pictures: distances are kept but for one factor.
    gap = np.linalg.norm(pictures[:100] - pictures[100:], axis=1)
    ratio = np.linalg.norm(scores[:100] - scores[100:], axis=1) / gap
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-3)


def test_more_components_than_pictures() -> None:
    pictures = np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32)
    components, offset = _principal(pictures, 7, 1.0, 0)
    assert components.shape == (7, 9)
    assert offset.shape == (7,)
    assert not components[4:].any()
