import numpy as np
import pytest
import scipy.sparse as sp
import torch

from napari_stmask.features.graph import knn_graph, normalised_adjacency
from napari_stmask.nn.sparse import propagate, torch_csr


@pytest.fixture
def adjacency() -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    return normalised_adjacency(knn_graph(rng.random((40, 2)), 5))


def test_product_equals_dense(adjacency: sp.csr_matrix) -> None:
    x = torch.randn(40, 7, generator=torch.Generator().manual_seed(0))
    dense = torch.from_numpy(adjacency.toarray())
    torch.testing.assert_close(propagate(torch_csr(adjacency), x), dense @ x, atol=1e-5, rtol=0)


def test_gradient_against_finite_differences(adjacency: sp.csr_matrix) -> None:
    a = torch_csr(adjacency).to(torch.float64)
    x = torch.randn(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda t: propagate(a, t), (x,))


def test_matches_pyg_gcn(adjacency: sp.csr_matrix) -> None:
    from torch_geometric.nn import GCNConv

    rng = np.random.default_rng(0)
    graph = knn_graph(rng.random((40, 2)), 5)
    conv = GCNConv(7, 3, bias=False)
    x = torch.randn(40, 7, generator=torch.Generator().manual_seed(2))
    edges = torch.from_numpy(np.stack(graph.nonzero())).long()
    ours = propagate(torch_csr(adjacency), x @ conv.lin.weight.T)
    torch.testing.assert_close(ours, conv(x, edges), atol=1e-5, rtol=0)


def test_deterministic(adjacency: sp.csr_matrix) -> None:
    x = torch.randn(40, 64, generator=torch.Generator().manual_seed(0))
    first = propagate(torch_csr(adjacency), x)
    assert all(torch.equal(first, propagate(torch_csr(adjacency), x)) for _ in range(5))
