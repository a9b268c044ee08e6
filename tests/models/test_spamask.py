"""Acceptance checks of the SpaMask specification."""

import hashlib
import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.metrics import adjusted_rand_score
from tests.helpers import banded

from napari_stmask.core.errors import DataError, FileFormatError, MissingFileError, ParameterError
from napari_stmask.core.progress import drain
from napari_stmask.core.result import Fit
from napari_stmask.core.section import Section
from napari_stmask.features.graph import knn_graph, normalised_adjacency
from napari_stmask.models import get
from napari_stmask.models.dual_inference import beside, reconstruct
from napari_stmask.models.expression_input import prepare
from napari_stmask.models.spamask.method import masking_of
from napari_stmask.models.spamask.params import SpaMaskParams
from napari_stmask.models.trained_state import TrainedState
from napari_stmask.nn.dual_mask import DualMaskObjective
from napari_stmask.nn.graph_autoencoder import DualMaskNet, GraphAutoencoder
from napari_stmask.nn.sparse import torch_csr
from napari_stmask.nn.tiles import Tile
from napari_stmask.pipeline import run

SMALL = {"epochs": 3, "replicates": 1, "threads": 1, "n_domains": 3}


def fit(section: Section, **values) -> Fit:
    return drain(get("spamask").fit([section], SpaMaskParams(**(SMALL | values))))


@pytest.fixture(scope="module")
def section() -> Section:
    return banded(10, 12, 80)[0]


def load(path) -> TrainedState:
    return get("spamask").load(path)


def objective(rng_seed: int = 0, **values):
    rng = np.random.default_rng(rng_seed)
    x = rng.normal(size=(60, 10)).astype(np.float32)
    graph = knn_graph(rng.random((60, 2)), 5)
    params = SpaMaskParams(**values)
    whole = DualMaskObjective(
        [x],
        graph,
        normalised_adjacency(graph),
        Tile(np.arange(60), 60),
        masking_of(params),
        held_out=np.arange(0),
        device=torch.device("cpu"),
    )
    net = DualMaskNet([10], 16, 8, generator=torch.Generator().manual_seed(rng_seed))
    return whole, net


def test_network_is_its_equations() -> None:
    """Encoder and decoder against the dense formulas, with running statistics."""
    rng = np.random.default_rng(0)
    a = normalised_adjacency(knn_graph(rng.random((30, 2)), 4))
    x = torch.from_numpy(rng.normal(size=(30, 6)).astype(np.float32))
    net = GraphAutoencoder(6, 9, 5, generator=torch.Generator().manual_seed(0)).eval()
    dense, adjacency = torch.from_numpy(a.toarray()), torch_csr(a)

    def layer(h, norm):
        h = (h - norm.running_mean) / torch.sqrt(norm.running_var + 1e-5) * norm.weight + norm.bias
        return torch.where(h > 0, h, net.slope * h)

    with torch.no_grad():
        hidden = layer(dense @ x @ net.w1 + net.b1, net.norm1)
        latent = layer(dense @ hidden @ net.w2 + net.b2, net.norm2)
        torch.testing.assert_close(net.encode(adjacency, adjacency @ x), latent, atol=1e-5, rtol=0)
        rows = torch.tensor([1, 4])
        code = latent @ net.w_bridge
        code[rows] = 0
        expected = dense @ code @ net.w_out + net.b_out
        torch.testing.assert_close(net.decode(adjacency, latent, rows), expected, atol=1e-5, rtol=0)


def test_losses_at_the_start() -> None:
    """Centred data and random weights: SCE near 1, link loss near 2 ln 2."""
    whole, net = objective(hidden=64)
    net.train()
    _, terms = whole.losses(net, np.random.default_rng(0))
    assert 0.8 < terms["reconstruction"].item() < 1.2
    assert abs(terms["links"].item() - 2 * math.log(2)) < 0.35


def test_total_is_the_weighted_sum() -> None:
    whole, net = objective(link_weight=3.0)
    total, terms = whole.losses(net, np.random.default_rng(0))
    expected = terms["reconstruction"] + 3 * terms["links"]
    torch.testing.assert_close(total, expected)


@pytest.mark.parametrize("mode", ["replace", "zero", "released"])
def test_hidden_spots_send_nothing_unless_released(mode: str) -> None:
    """Gradient of the reconstruction of hidden spots with respect to their own features."""
    whole, net = objective(mask_mode=mode)
    net.eval()
    hidden = torch.tensor([3, 17, 40])
    (x,), (branch,) = whole.x, net.branches
    x.requires_grad_()
    output = whole._reconstruct(branch, x, hidden)
    output[hidden].sum().backward()
    leak = x.grad[hidden].abs().max()
    assert (leak > 0) == (mode == "released")
    token = branch.token.grad
    assert (token is None or not token.any()) == (mode == "zero")


def test_masked_input_is_that_of_replaced_rows() -> None:
    whole, net = objective()
    (x,), (branch,) = whole.x, net.branches
    with torch.no_grad():
        branch.token += torch.arange(10.0)
        hidden = torch.tensor([0, 5, 59])
        replaced = x.clone()
        replaced[hidden] = branch.token
        torch.testing.assert_close(
            whole._masked_input(branch, x, hidden), whole.adjacency @ replaced, atol=1e-5, rtol=0
        )


def test_losses_of_a_tile_count_own_spots_only() -> None:
    """Features of halo spots are targets of no loss."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6)).astype(np.float32)
    graph = knn_graph(rng.random((40, 2)), 4)
    tile = DualMaskObjective(
        [x], graph, normalised_adjacency(graph), Tile(rng.permutation(40), 10),
        masking_of(SpaMaskParams(node_mask_rate=0.9)), held_out=np.arange(0),
        device=torch.device("cpu"),
    )  # fmt: skip
    net = DualMaskNet([6], 8, 4, generator=torch.Generator().manual_seed(0)).eval()
    seen: list[int] = []
    branch = net.branches[0]
    decode = branch.decode

    def watched(adjacency, latent, rows):
        out = decode(adjacency, latent, rows)
        out.register_hook(lambda g: seen.extend(torch.nonzero(g.abs().sum(1)).ravel().tolist()))
        return out

    branch.decode = watched
    tile.losses(net, np.random.default_rng(0))[0].backward()
    assert seen
    assert max(seen) < 10


def test_order_of_spots_permutes_the_embedding() -> None:
    rng = np.random.default_rng(0)
    coords, x = rng.random((50, 2)), rng.normal(size=(50, 7)).astype(np.float32)
    order = rng.permutation(50)
    net = GraphAutoencoder(7, 8, 4, generator=torch.Generator().manual_seed(0)).eval()

    def embedding(c, f):
        a = torch_csr(normalised_adjacency(knn_graph(c, 5)))
        with torch.no_grad():
            return net.encode(a, a @ torch.from_numpy(f)).numpy()

    np.testing.assert_allclose(
        embedding(coords, x)[order], embedding(coords[order], x[order]), atol=1e-5
    )


def test_calibration_normalises_the_clean_graph(section: Section) -> None:
    a = torch_csr(normalised_adjacency(knn_graph(section.coords, 6)))
    x = torch.randn(section.n_spots, 9, generator=torch.Generator().manual_seed(0)) * 3 + 1
    net = GraphAutoencoder(9, 8, 4, generator=torch.Generator().manual_seed(0)).eval()
    net.calibrate(a, a @ x)
    assert not net.training
    with torch.no_grad():
        h = net.norm1((a @ x) @ net.w1 + net.b1)
    torch.testing.assert_close(h.mean(dim=0), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(h.var(dim=0), torch.ones(8), atol=1e-2, rtol=0)


def test_same_seed_same_answer(section: Section) -> None:
    first, second, other = (fit(section, seed=s, replicates=2) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.embedding, second.embedding)
    assert first.history == second.history
    assert not np.allclose(first.embedding, other.embedding)


def test_global_state_is_untouched(section: Section) -> None:
    threads = torch.get_num_threads()
    np_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    fit(section, denoise=True)
    assert torch.get_num_threads() == threads
    assert np.array_equal(np.random.get_state()[1], np_state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.mark.parametrize(
    "values",
    [
        {"features": "hvg"},
        {"features": "hvg", "scale_genes": False},
        {"log_transform": False},
        {"mask_mode": "released"},
        {"mask_mode": "zero"},
        {"node_mask_rate": 0.0},
        {"own_weight": 1.0},
        {"tile_spots": 500},
        {"patience": 1, "learning_rate": 0.1},
        {"replicates": 3},
        {"replicates": 3, "consensus": "joint"},
        {"clip": 0.0, "weight_decay": 0.0, "link_weight": 0.0, "link_dropout": 0.0},
        {"scored_pairs": 64},
    ],
)
def test_every_option_runs_and_matters(section: Section, values: dict) -> None:
    changed = fit(section, denoise=True, **values)
    assert np.isfinite(changed.embedding).all()
    if values in ({"tile_spots": 500}, {"replicates": 3, "consensus": "joint"}):
        return  # the section is a single tile; the consensus changes the clustering only
    plain = fit(section, denoise=True)
    assert changed.embedding.shape != plain.embedding.shape or not np.allclose(
        changed.embedding, plain.embedding
    )


def test_early_stop_ends_before_the_last_epoch(section: Section) -> None:
    history = fit(section, epochs=400, patience=3, learning_rate=0.02).history
    assert len(history["reconstruction"]) < 400
    best = int(np.argmin(history["monitor"]))
    assert len(history["monitor"]) - 1 - best == 3


def test_tiles_train_and_cover_every_spot() -> None:
    section, _ = banded(40, 20, 60)
    out = fit(section, tile_spots=500, epochs=2)
    assert out.embedding.shape[0] == 800
    assert np.isfinite(out.embedding).all()


def test_denoised_layer(section: Section) -> None:
    out = fit(section, denoise=True, epochs=20)
    layer, flag = out.layers["denoised"], out.var["denoised"]
    assert layer.shape == (section.n_spots, section.n_genes)
    assert np.isfinite(layer.data).all()
    assert (layer.data >= 0).all()
    assert flag.sum() == out.details["n_genes"]
    assert not layer[:, ~flag].nnz


def test_denoised_is_closer_to_the_truth_than_raw_counts() -> None:
    """Against the noise-free mean of the simulation, over genes that mark a band."""
    section, band = banded(20, 25, 200, fold=2.5)
    layer = fit(section, denoise=True, epochs=60).layers["denoised"].toarray()
    counts = section.counts()
    raw = np.log1p(counts.toarray() / np.asarray(counts.sum(axis=1)) * 1e4)
    truth = np.stack([band == b for b in range(5)], axis=1).astype(float)

    def agreement(values: np.ndarray) -> float:
        pairs = [(values[:, 40 * b + g], truth[:, b]) for b in range(5) for g in range(40)]
        return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))

    assert agreement(layer) > agreement(raw) + 0.2


def test_reconstruction_has_least_squares_length(section: Section) -> None:
    out = fit(section, epochs=10)
    prepared = drain(prepare(section, SpaMaskParams()))
    a = normalised_adjacency(out.graph)
    rows = reconstruct(out.state.nets[0], out.embedding, prepared.x, a, torch.device("cpu"))
    residual = np.einsum("ij,ij->i", prepared.x - rows, rows)
    np.testing.assert_allclose(residual / np.maximum((rows**2).sum(axis=1), 1e-9), 0, atol=1e-3)


def test_own_weight_is_the_share_of_the_second_block() -> None:
    rng = np.random.default_rng(0)
    z, x = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(50, 9)).astype(np.float32)
    assert beside(z, x, 0) is z
    joint = beside(z, x, 2.0)
    assert (joint[:, :4] ** 2).sum(axis=1).mean() == pytest.approx(1, rel=1e-4)
    assert (joint[:, 4:] ** 2).sum(axis=1).mean() == pytest.approx(4, rel=1e-4)


def test_saved_model_gives_the_same_embedding(section: Section, tmp_path) -> None:
    for features in ("pca", "hvg"):
        out = fit(section, features=features, replicates=2, epochs=5)
        path = tmp_path / f"{features}.safetensors"
        get("spamask").save_model(out, path)
        again = drain(get("spamask").apply(path, [section], SpaMaskParams(denoise=True)))
        np.testing.assert_allclose(again.embedding, out.embedding, atol=1e-4)
        assert load(path).gene_names == out.state.gene_names
        assert "denoised" in again.layers


def test_model_refuses_other_genes_and_other_files(section: Section, tmp_path) -> None:
    path = tmp_path / "m.safetensors"
    get("spamask").save_model(fit(section), path)
    other, _ = banded(10, 12, 80)
    other.adata.var_names = [f"OTHER{i}" for i in range(80)]
    with pytest.raises(DataError, match="80 of the model's 80 genes are missing"):
        drain(get("spamask").apply(path, [other], SpaMaskParams()))
    with pytest.raises(MissingFileError, match="does not exist"):
        load(tmp_path / "none")
    for content in (b"", b"garbage" * 50, path.read_bytes()[:-100]):
        bad = tmp_path / "bad.safetensors"
        bad.write_bytes(content)
        with pytest.raises(FileFormatError, match="not a SpaMask model"):
            load(bad)


@pytest.mark.parametrize(("rows", "columns", "genes"), [(5, 12, 80), (15, 8, 20), (5, 2, 30)])
def test_small_sections(rows: int, columns: int, genes: int) -> None:
    out = fit(banded(rows, columns, genes)[0], denoise=True)
    assert np.isfinite(out.embedding).all()


def test_awkward_geometry() -> None:
    section, _ = banded(10, 12, 60)
    coords = section.coords.copy()
    coords[60:] += 1e6  # two pieces
    coords[3] = coords[4]  # a doubled position
    section.adata.obsm["spatial"] = coords
    assert np.isfinite(fit(section).embedding).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m * 0.5, "not whole numbers"),
        (lambda m: m * -1, "negative values"),
        (lambda m: m * np.nan, "not finite"),
    ],
)
def test_matrices_that_are_no_counts(change, words: str) -> None:
    section, _ = banded(10, 12, 60)
    section.adata.X = sp.csr_matrix(change(section.adata.X.toarray()))
    with pytest.raises(DataError, match=words):
        fit(section)


def test_too_small_to_learn_from(section: Section) -> None:
    few = Section(section.adata[:3].copy(), name="few")
    with pytest.raises(DataError, match="3 spots are too few"):
        fit(few)
    one = Section(section.adata[:, :1].copy(), name="one")
    with pytest.raises(DataError, match="only 1 of 1 genes"):
        fit(one)


def test_two_sections_are_refused(section: Section) -> None:
    with pytest.raises(ParameterError, match="2 sections"):
        drain(get("spamask").fit([section, section], SpaMaskParams()))


def test_labels_never_reach_the_fit(section: Section) -> None:
    """Truth columns change nothing, whatever they hold."""
    plain = run("spamask", section.bare(), **SMALL)
    labelled = section.bare()
    labelled.adata.obs["ground_truth"] = np.arange(section.n_spots) % 3
    with_labels = run("spamask", labelled, **SMALL)
    np.testing.assert_array_equal(plain.domains.codes, with_labels.domains.codes)


def test_cancel_leaves_the_section_as_it_was(section: Section) -> None:
    def digest() -> str:
        counts = section.counts()
        return hashlib.sha256(counts.data.tobytes() + section.coords.tobytes()).hexdigest()

    before, columns = digest(), set(section.adata.obs)
    for events in (1, 3, 6, 9):
        steps = get("spamask").fit([section], SpaMaskParams(**(SMALL | {"epochs": 500})))
        for _ in range(events):
            next(steps)
        steps.close()
    assert digest() == before
    assert set(section.adata.obs) == columns


@pytest.mark.slow
def test_bands_are_found() -> None:
    """The specification's simulation: k 12, rates 0.2, lambda 1.3, 100 epochs, k-means."""
    section, band = banded()
    result = run(
        "spamask", section, preset="paper", n_domains=5, epochs=100, threads=1, baselines=True
    )  # fmt: skip
    ari = adjusted_rand_score(band, result.domains.codes)
    assert ari >= 0.88
    assert adjusted_rand_score(band, result.baselines["pca"]) < 0.45
    curve = result.history
    assert curve["reconstruction"][0] == pytest.approx(1.0, abs=0.1)
    assert curve["reconstruction"][-1] < 0.8
    assert curve["links"][0] == pytest.approx(2 * math.log(2), abs=0.15)
    assert curve["links"][-1] < 0.5
