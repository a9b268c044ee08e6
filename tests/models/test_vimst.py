"""Acceptance checks of the ViMST specification."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.metrics import adjusted_rand_score
from tests.helpers import banded

from napari_stmask.core.errors import DataError, FileFormatError, ParameterError
from napari_stmask.core.joining import join_sections
from napari_stmask.core.progress import drain
from napari_stmask.core.result import Fit
from napari_stmask.core.section import Section
from napari_stmask.features.graph import knn_graph, normalised_adjacency
from napari_stmask.io.sample import sample_section
from napari_stmask.models import get
from napari_stmask.models.dual_inference import unit
from napari_stmask.models.expression_input import prepare
from napari_stmask.models.spamask.params import SpaMaskParams
from napari_stmask.models.vimst.fusion import fused
from napari_stmask.models.vimst.image import SECTIONS, waves
from napari_stmask.models.vimst.method import graph_of, masking_of
from napari_stmask.models.vimst.params import ViMSTParams
from napari_stmask.nn.dual_mask import DualMaskObjective, Masking
from napari_stmask.nn.graph_autoencoder import DualMaskNet
from napari_stmask.nn.losses import link_loss, scaled_cosine_error
from napari_stmask.nn.masking import EdgeMasker
from napari_stmask.nn.tiles import Tile
from napari_stmask.pipeline import run

SMALL = {"epochs": 3, "replicates": 1, "threads": 1, "n_domains": 3}
KEY = "obsm:patches"


def fit(section: Section, **values) -> Fit:
    params = ViMSTParams(**(SMALL | values))
    method = get("vimst")
    return drain(method.fit([section.bare(obsm=method.extras(section, params))], params))


def with_features(section: Section, seed: int = 0, width: int = 12) -> Section:
    rng = np.random.default_rng(seed)
    section.adata.obsm["patches"] = rng.normal(size=(section.n_spots, width))
    return section


@pytest.fixture(scope="module")
def section() -> Section:
    return with_features(banded(10, 12, 80)[0])


def objective(masking: Masking, seed: int = 0, n: int = 60, **net):
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(n, d)).astype(np.float32) for d in (10, 7))
    graph = knn_graph(rng.random((n, 2)), 5)
    whole = DualMaskObjective(
        [x, y], graph, normalised_adjacency(graph), Tile(np.arange(n), n), masking,
        held_out=np.arange(0), device=torch.device("cpu"),
    )  # fmt: skip
    made = DualMaskNet([10, 7], 16, 8, generator=torch.Generator().manual_seed(seed), **net)
    return whole, made


# Mathematics


def test_losses_of_known_parts() -> None:
    """Closed forms: identical, orthogonal, opposite and empty rows; links without knowledge."""
    row = torch.tensor([[1.0, 2.0, 3.0]])
    assert scaled_cosine_error(row, 5 * row).item() == pytest.approx(0, abs=1e-6)
    across = torch.tensor([[3.0, 0.0, -1.0]])
    assert scaled_cosine_error(row, across).item() == pytest.approx(1, abs=1e-6)
    assert scaled_cosine_error(row, -row).item() == pytest.approx(4, abs=1e-5)
    assert scaled_cosine_error(row, torch.zeros(1, 3)).item() == pytest.approx(1)
    zeros = torch.zeros(5)
    assert link_loss(zeros, zeros).item() == pytest.approx(2 * math.log(2))
    assert link_loss(zeros + 20, zeros - 20).item() < 1e-8
    assert math.isfinite(link_loss(zeros - 1e4, zeros + 1e4).item())


def test_total_is_the_weighted_sum_of_both_branches_and_the_links() -> None:
    params = ViMSTParams(loss_gene=0.7, loss_image=0.3, link_weight=1.2)
    whole, net = objective(masking_of(params, with_image=True))
    total, terms = whole.losses(net, np.random.default_rng(0))
    assert set(terms) == {"expression", "image", "links"}
    expected = 0.7 * terms["expression"] + 0.3 * terms["image"] + 1.2 * terms["links"]
    torch.testing.assert_close(total, expected)
    assert pytest.approx(2.2) == 0.7 + 0.3 + 1.2  # parts of 1 each


def test_joint_decoder_is_its_formula() -> None:
    """h_ij = a x_i x_j + b y_i y_j, then the perceptron."""
    _, net = objective(masking_of(ViMSTParams(), with_image=True), mix=(1.0, 0.3))
    rng = np.random.default_rng(1)
    x, y = (torch.from_numpy(rng.normal(size=(20, 8)).astype(np.float32)) for _ in range(2))
    pairs = torch.from_numpy(rng.integers(20, size=(9, 2)))
    scores = net.score_links([x, y], pairs)
    for (i, j), score in zip(pairs.tolist(), scores, strict=True):
        h = x[i] * x[j] + 0.3 * y[i] * y[j]
        s = torch.relu(h @ net.links.w_link + net.links.b_link) @ net.links.w_score
        torch.testing.assert_close(score, s + net.links.b_score[0])


def test_mix_is_learned_only_when_asked() -> None:
    masking = masking_of(ViMSTParams(), with_image=True)
    for learn in (False, True):
        whole, net = objective(masking, mix=(1.0, 0.3), learn_mix=learn)
        whole.losses(net, np.random.default_rng(0))[0].backward()
        assert (net.mix.grad is not None) == learn
        if learn:
            assert net.mix.grad.abs().min() > 0


def test_masks_of_the_branches_differ() -> None:
    """Each branch hides its own spots, exactly floor(rate n) of them."""
    params = ViMSTParams(node_mask_rate=0.25, image_mask_rate=0.5)
    whole, net = objective(masking_of(params, with_image=True))
    seen = []
    for branch in net.branches:
        decode = branch.decode
        branch.decode = lambda a, z, rows, d=decode: seen.append(rows.numpy()) or d(a, z, rows)
    whole.losses(net, np.random.default_rng(0))
    gene, image = seen
    assert (len(gene), len(image)) == (15, 30)
    assert len(np.unique(gene)) == 15
    assert set(gene) - set(image)


def test_without_an_image_it_is_the_gene_branch(section: Section) -> None:
    """The same losses, the same embedding as the network of one modality (SpaMask)."""
    values = SMALL | {"epochs": 5}
    alone = fit(section, use_image="no", **values)
    base = drain(get("spamask").fit([section.bare()], SpaMaskParams(**values)))
    np.testing.assert_allclose(alone.embedding, base.embedding, atol=1e-6)
    assert alone.history["links"] == pytest.approx(base.history["links"], rel=1e-6)
    assert not alone.views


def test_weight_of_zero_in_loss_and_links_leaves_the_gene_branch_alone(section: Section) -> None:
    """An image that counts nowhere changes nothing of what expression learns, in direction."""
    masking = masking_of(
        ViMSTParams(loss_image=0.0, link_mix_image=0.0, link_dropout=0.0), with_image=True
    )
    whole, net = objective(masking, mix=(1.0, 0.0), dropout=0.0)
    whole.losses(net, np.random.default_rng(0))[0].backward()
    assert all(p.grad is None or not p.grad.any() for p in net.branches[1].parameters())
    assert net.branches[0].w1.grad.abs().sum() > 0


def test_released_edges_are_those_of_the_published_program() -> None:
    """Against a dense, directed restatement with the same draws."""
    rng = np.random.default_rng(3)
    graph = knn_graph(rng.random((40, 2)), 4)
    masker = EdgeMasker(graph)
    kept, dropped = masker.drop(0.5, np.random.default_rng(0), released=True)
    draws = np.random.default_rng(0)
    gone = draws.random((2, len(masker.edges))) < 0.5
    own = draws.random(40) < 0.5
    directed = np.zeros((40, 40), dtype=bool)
    for side, (i, j) in enumerate((masker.edges.T, masker.edges.T[::-1])):
        directed[i, j] = ~gone[side]
    symmetric = directed | directed.T
    np.testing.assert_array_equal((kept.toarray() > 0), symmetric | np.eye(40, dtype=bool))
    assert len(dropped) == gone.sum() + own.sum()
    # The defect that the mode keeps: most dropped links are still there, and loops are scored.
    still = symmetric[dropped[:, 0], dropped[:, 1]]
    assert 0.3 < still.mean() < 0.7
    assert (dropped[:, 0] == dropped[:, 1]).sum() == own.sum()


def test_pairs_are_hidden_in_both_directions() -> None:
    graph = knn_graph(np.random.default_rng(3).random((200, 2)), 6)
    masker = EdgeMasker(graph)
    kept, dropped = masker.drop(0.4, np.random.default_rng(0))
    dense = kept.toarray()
    assert not dense[dropped[:, 0], dropped[:, 1]].any()
    assert not dense[dropped[:, 1], dropped[:, 0]].any()
    assert (np.diag(dense) > 0).all()
    n = len(masker.edges)
    assert abs(len(dropped) / n - 0.4) < 3 * math.sqrt(0.24 / n)


def test_fusion_shares_the_variance() -> None:
    rng = np.random.default_rng(0)
    gene, image = (rng.normal(size=(50, d)).astype(np.float32) * s for d, s in ((8, 9.0), (5, 0.1)))
    for weight in (0.0, 0.3, 1.0):
        params = ViMSTParams(image_weight=weight, replicates=1)
        joint = fused([[gene, image]], [gene, image], params).joint
        share = (joint[:, 8:] ** 2).sum() / (joint**2).sum()
        assert share == pytest.approx(weight, abs=1e-5)
    np.testing.assert_allclose(
        fused([[gene, image]], [gene, image], ViMSTParams(image_weight=0.0)).joint[:, :8],
        unit(gene),
        atol=1e-6,
    )


def test_original_fusion_is_the_published_one() -> None:
    """[0.7 PCA(gene) | 0.3 PCA(image)], not brought to one variance."""
    rng = np.random.default_rng(0)
    gene, image = (rng.normal(size=(90, 8)).astype(np.float32) * s for s in (9.0, 0.1))
    params = ViMSTParams(fusion="original", image_weight=0.3, n_pcs_out=4)
    joint = fused([[gene, image]], [gene, image], params).joint
    assert joint.shape == (90, 4)
    for block, values, weight in ((joint[:, :2], gene, 0.7), (joint[:, 2:], image, 0.3)):
        top = np.linalg.svd(values - values.mean(axis=0), compute_uv=False)[:2]
        np.testing.assert_allclose(np.linalg.svd(block, compute_uv=False), weight * top, rtol=1e-4)


def test_waves_are_bounded_and_smooth() -> None:
    coords = np.column_stack([np.linspace(0, 500, 101), np.zeros(101)])
    out = waves(coords)
    assert out.shape == (101, 16)
    assert np.abs(out).max() <= 1
    assert np.abs(np.diff(out, axis=0)).max() < 0.3


# Options and inputs


@pytest.mark.parametrize(
    "values",
    [
        {"image_weight": 0.1},
        {"n_pcs_image": 3},
        {"image_mask_rate": 0.1},
        {"loss_gene": 0.2},
        {"loss_image": 2.0},
        {"link_mix_image": 2.0},
        {"learn_mix": True, "learning_rate": 0.05},
        {"edge_mode": "released"},
        {"mask_mode": "released"},
        {"fusion": "original"},
        {"graph_mode": "radius", "radius": 2.1},
        {"graph_mode": "radius", "radius": 1.1},
        {"position_features": True},
        {"use_image": "no"},
        {"own_weight": 1.0},
        {"replicates": 2},
    ],
)
def test_every_option_runs_and_matters(section: Section, values: dict) -> None:
    base = {"image_encoder": KEY, "neighbours": 4}
    changed, plain = fit(section, **(base | values)), fit(section, **base)
    assert np.isfinite(changed.embedding).all()
    assert changed.embedding.shape != plain.embedding.shape or not np.allclose(
        changed.embedding, plain.embedding
    )


def test_views_are_of_each_branch(section: Section) -> None:
    out = fit(section, image_encoder=KEY, replicates=2)
    assert set(out.views) == {"gene", "image"}
    assert [len(parts) for parts in out.views.values()] == [2, 2]
    assert not fit(section, image_encoder=KEY, compare_views=False).views


def test_written_views_are_numbered_like_the_domains(section: Section) -> None:
    data = with_features(banded(10, 12, 80)[0])
    result = run("vimst", data, image_encoder=KEY, **SMALL)
    obs = data.adata.obs
    for name in ("vimst", "vimst_gene", "vimst_image"):
        assert list(obs[name].cat.categories) == list(obs["vimst"].cat.categories)
        assert data.adata.uns[f"{name}_colors"] == result.colors
    assert data.adata.obsm["X_vimst_gene"].shape == (120, 32)
    assert {"vimst, gene", "vimst, image"} < set(result.scores)
    # A second run takes all of it away first.
    run("vimst", data, use_image="no", **SMALL)
    assert "vimst_gene" not in data.adata.obs
    assert "X_vimst_image" not in data.adata.obsm


def test_spots_without_counts_have_no_view() -> None:
    data = with_features(banded(10, 12, 80)[0])
    counts = data.adata.X.toarray()
    counts[5] = 0
    data.adata.X = sp.csr_matrix(counts)
    run("vimst", data, image_encoder=KEY, **SMALL)
    assert data.adata.obs["vimst_image"].isna().to_numpy().nonzero()[0].tolist() == [5]
    assert np.isnan(data.adata.obsm["X_vimst_gene"][5]).all()


def test_image_is_asked_for_where_there_is_none(section: Section) -> None:
    plain = banded(10, 12, 80)[0]
    with pytest.raises(DataError, match="the section has none"):
        fit(plain, use_image="yes")
    assert not fit(plain).views  # auto: expression alone
    with pytest.raises((DataError, ParameterError), match="missing"):
        fit(section, image_encoder="obsm:missing")


def test_same_seed_same_answer(section: Section) -> None:
    first, second, other = (fit(section, image_encoder=KEY, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.embedding, second.embedding)
    assert first.history == second.history
    assert first.history["links"] != other.history["links"]


def test_joined_sections_are_linked_or_not() -> None:
    whole = banded(10, 12, 80)[0]
    left = np.arange(120) % 12 < 6
    halves = [Section(whole.adata[m].copy(), name=n, platform="visium")
              for n, m in (("a", left), ("b", ~left))]  # fmt: skip
    joined = with_features(join_sections(halves))
    method, params = get("vimst"), ViMSTParams(link_sections=False)
    bare = joined.bare(obsm=method.extras(joined, params))
    own = bare.adata.obsm[SECTIONS].ravel()
    apart, linked = graph_of(bare, params), graph_of(bare, ViMSTParams())
    i, j = apart.nonzero()
    assert (own[i] == own[j]).all()
    i, j = linked.nonzero()
    assert (own[i] != own[j]).any()
    # Features are standardised in each section of its own.
    joined.adata.obsm["patches"][:60] += 100
    first = fit(joined, image_encoder=KEY, epochs=1)
    joined.adata.obsm["patches"][:60] -= 100
    np.testing.assert_allclose(
        first.embedding, fit(joined, image_encoder=KEY, epochs=1).embedding, atol=1e-4
    )


def test_saved_model_gives_the_same_embedding(section: Section, tmp_path) -> None:
    out = fit(section, image_encoder=KEY, epochs=4, replicates=2)
    method, path = get("vimst"), tmp_path / "m.safetensors"
    method.save_model(out, path)
    params = ViMSTParams(denoise=True)  # the encoder is the model's
    bare = section.bare(obsm=method.extras(section, params, path))
    again = drain(method.apply(path, [bare], params))
    np.testing.assert_allclose(again.embedding, out.embedding, atol=1e-4)
    assert "denoised" in again.layers
    with pytest.raises(DataError, match="obsm has no 'patches'"):
        run("vimst", banded(10, 12, 80)[0], model=path)
    narrow = with_features(banded(10, 12, 80)[0], width=5)
    with pytest.raises(DataError, match="5 columns, those of the model 12"):
        run("vimst", narrow, model=path)
    with pytest.raises(FileFormatError, match="not a SpaMask model"):
        drain(get("spamask").apply(path, [section.bare()], SpaMaskParams()))


def test_cancel_stops_and_leaves_the_section(section: Section) -> None:
    before = set(section.adata.obs) | set(section.adata.obsm)
    for events in (1, 4, 8):
        params = ViMSTParams(**(SMALL | {"epochs": 500, "image_encoder": KEY}))
        bare = section.bare(obsm=get("vimst").extras(section, params))
        steps = get("vimst").fit([bare], params)
        for _ in range(events):
            next(steps)
        steps.close()
    assert set(section.adata.obs) | set(section.adata.obsm) == before


def test_tiles_equal_the_whole_in_evaluation() -> None:
    """Core outputs of tiles with their halo, at equal weights."""
    section = with_features(banded(30, 40, 60)[0])
    out = fit(section, image_encoder=KEY, tile_spots=500, epochs=2)
    assert out.embedding.shape[0] == 1200
    assert np.isfinite(out.embedding).all()


def test_denoised_is_closer_to_the_known_means() -> None:
    """Median correlation with the simulation's means: denoised > neighbour mean > raw."""
    from napari_stmask.analysis.denoising import neighbour_mean_prediction

    section, band = banded(20, 25, 200, fold=2.5)
    layer = fit(section, denoise=True, epochs=60).layers["denoised"].toarray()
    counts = section.counts()
    raw = np.log1p(counts.toarray() / np.asarray(counts.sum(axis=1)) * 1e4)
    names = [str(name) for name in section.adata.var_names]
    mean = np.asarray(neighbour_mean_prediction(section, names))

    def agreement(values: np.ndarray) -> float:
        truth = np.stack([band == b for b in range(5)], axis=1).astype(float)
        pairs = [(values[:, 40 * b + g], truth[:, b]) for b in range(5) for g in range(40)]
        return float(np.median([np.corrcoef(*pair)[0, 1] for pair in pairs]))

    assert agreement(layer) > agreement(mean) + 0.02
    assert agreement(mean) > agreement(raw) + 0.1


# What the image adds


@pytest.mark.slow
def test_image_only_domains_are_found_with_the_image_alone() -> None:
    section = sample_section(shown_in="image")
    truth = section.adata.obs.pop("ground_truth")
    result = run("vimst", section, n_domains=6, threads=1, replicates=3, baselines=False)
    joint = adjusted_rand_score(truth, result.domains.codes)
    gene = adjusted_rand_score(truth, result.views["gene"])
    assert joint >= 0.6
    assert gene < 0.2


@pytest.mark.slow
def test_noise_for_an_image_does_little_harm() -> None:
    section, band = banded()
    rng = np.random.default_rng(0)
    section.adata.obsm["patches"] = rng.normal(size=(section.n_spots, 30))
    values = {"n_domains": 5, "threads": 1, "replicates": 3, "baselines": False, "epochs": 150}
    off = run("vimst", section, use_image="no", key_added="off", **values)
    noisy = run("vimst", section, image_encoder=KEY, key_added="noisy", **values)
    without = adjusted_rand_score(band, off.domains.codes)
    assert adjusted_rand_score(band, noisy.domains.codes) >= without - 0.05


@pytest.mark.slow
def test_bands_are_found_far_better_than_by_components() -> None:
    section, band = banded(fold=1.3)
    result = run("vimst", section, n_domains=5, threads=1, replicates=1, epochs=200)
    ari = adjusted_rand_score(band, result.domains.codes)
    assert ari >= adjusted_rand_score(band, result.baselines["pca"]) + 0.2


def test_prepared_rows_come_back_as_scaled_genes(section: Section) -> None:
    """What the spot transformer's score relies on: a slice of genes is that of all genes."""
    prepared = drain(prepare(section, ViMSTParams()))
    whole = prepared.to_scaled(prepared.x)
    part = prepared.to_scaled(prepared.x, slice(3, 9))
    np.testing.assert_allclose(part, whole[:, 3:9], atol=1e-5)
