import numpy as np
import torch

from napari_stmask.features.graph import knn_graph, normalised_adjacency
from napari_stmask.nn.graph_autoencoder import GraphAutoencoder
from napari_stmask.nn.sparse import torch_csr
from napari_stmask.nn.tiles import split_into_tiles


def test_core_spots_partition_the_section() -> None:
    coords = np.random.default_rng(0).random((500, 2))
    graph = knn_graph(coords, 6)
    tiles = split_into_tiles(coords, graph, size=90, hops=3)
    cores = np.concatenate([t.index[: t.n_core] for t in tiles])
    np.testing.assert_array_equal(np.sort(cores), np.arange(500))
    assert all(t.n_core <= 90 for t in tiles)
    assert all(len(np.unique(t.index)) == len(t.index) for t in tiles)


def test_one_tile_where_everything_fits() -> None:
    coords = np.random.default_rng(0).random((50, 2))
    (tile,) = split_into_tiles(coords, knn_graph(coords, 4), size=50, hops=3)
    assert tile.n_core == 50


def test_tile_with_halo_equals_the_whole_graph() -> None:
    """Encoder (two hops) and decoder (one hop) on a tile give the section's own numbers."""
    rng = np.random.default_rng(0)
    coords, x = rng.random((600, 2)), rng.normal(size=(600, 10)).astype(np.float32)
    graph = knn_graph(coords, 6)
    whole = normalised_adjacency(graph)
    net = GraphAutoencoder(10, 16, 8, generator=torch.Generator().manual_seed(0)).eval()

    def outputs(adjacency, features):
        a, f = torch_csr(adjacency), torch.from_numpy(features)
        with torch.no_grad():
            z = net.encode(a, a @ f)
            return z.numpy(), net.decode(a, z, None).numpy()

    z, reconstruction = outputs(whole, x)
    for tile in split_into_tiles(coords, graph, size=150, hops=3):
        part = whole[tile.index][:, tile.index].tocsr()
        tile_z, tile_reconstruction = outputs(part, x[tile.index])
        core = tile.index[: tile.n_core]
        np.testing.assert_allclose(tile_z[: tile.n_core], z[core], atol=1e-5)
        np.testing.assert_allclose(
            tile_reconstruction[: tile.n_core], reconstruction[core], atol=1e-5
        )
