"""Acceptance checks of the ViMST specification."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.metrics import adjusted_rand_score
from tests.helpers import banded

from napari_stmask.core.errors import DataError, FileFormatError, ParameterError
from napari_stmask.core.histology import Histology
from napari_stmask.core.joining import join_sections
from napari_stmask.core.joint import joint_of
from napari_stmask.core.progress import drain
from napari_stmask.core.result import Fit
from napari_stmask.core.section import Section
from napari_stmask.features.graph import knn_graph, normalised_adjacency
from napari_stmask.io.sample import sample_section
from napari_stmask.models import get
from napari_stmask.models.dual_inference import reconstruct, unit
from napari_stmask.models.expression_input import prepare
from napari_stmask.models.image_input import encoded, image_input
from napari_stmask.models.spamask.params import SpaMaskParams
from napari_stmask.models.vimst.fusion import fused
from napari_stmask.models.vimst.method import graph_of, masking_of
from napari_stmask.models.vimst.params import ViMSTParams
from napari_stmask.models.vimst.position import waves
from napari_stmask.nn.dual_mask import DualMaskObjective, Masking
from napari_stmask.nn.graph_autoencoder import DualMaskNet
from napari_stmask.nn.losses import link_loss, scaled_cosine_error
from napari_stmask.nn.masking import EdgeMasker
from napari_stmask.nn.sparse import torch_csr
from napari_stmask.nn.tiles import Tile, split_into_tiles
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
    parts, _ = objective(masking_of(params, with_image=True))
    parts._feature_loss = parts._link_loss = lambda *_: torch.ones(())
    assert parts.losses(net, np.random.default_rng(0))[0].item() == pytest.approx(2.2)
    total, terms = whole.losses(net, np.random.default_rng(0))
    assert set(terms) == {"expression", "image", "links"}
    expected = 0.7 * terms["expression"] + 0.3 * terms["image"] + 1.2 * terms["links"]
    torch.testing.assert_close(total, expected)


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


@pytest.mark.parametrize("spec", ["foo", "obsm:", "obsm", "descriptor:", "timm:vit", " ", "onnx"])
def test_encoders_that_are_none_are_refused_with_and_without_an_image(spec: str) -> None:
    with pytest.raises(ParameterError, match=r"image_encoder = .*; (use 'descriptor'|write timm)"):
        run("vimst", banded(10, 12, 80)[0], image_encoder=spec, **SMALL)


@pytest.mark.parametrize("where", ["table", "file"])
def test_the_user_s_features_stay_as_they_are(where: str, tmp_path) -> None:
    """float32 needs no conversion, so that only a copy keeps the original."""
    data = with_features(banded(10, 12, 80)[0])
    table = (data.adata.obsm["patches"] * 5 + 3).astype(np.float32)
    data.adata.obsm["patches"] = table.copy()
    np.save(tmp_path / "f.npy", table)
    spec = KEY if where == "table" else f"file:{tmp_path / 'f.npy'}"
    result = run("vimst", data, image_encoder=spec, **SMALL)
    assert result.views
    np.testing.assert_array_equal(data.adata.obsm["patches"], table)
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), table)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda n: np.full((n, 3), np.nan), "not finite"),
        (lambda n: np.ones((n, 3)), "of all spots are the same"),
        (lambda n: np.ones((n, 0)), "table of numbers"),
        (lambda n: np.full((n, 2), "a"), "table of numbers"),
    ],
)
def test_features_that_say_nothing_are_refused(make, words: str) -> None:
    data = banded(10, 12, 80)[0]
    data.adata.obsm["patches"] = make(data.n_spots)
    with pytest.raises(DataError, match=words):
        run("vimst", data, image_encoder=KEY, **SMALL)


def test_file_of_another_section_is_refused(tmp_path) -> None:
    np.save(tmp_path / "f.npy", np.ones((7, 3)))
    with pytest.raises(DataError, match="7 rows, the section has 120 spots"):
        run("vimst", banded(10, 12, 80)[0], image_encoder=f"file:{tmp_path / 'f.npy'}", **SMALL)


def test_one_feature_and_tiny_sections() -> None:
    data = with_features(banded(5, 2, 60)[0], width=1)
    result = run("vimst", data, image_encoder=KEY, denoise=True, **(SMALL | {"n_domains": 2}))
    assert np.isfinite(result.embedding).all()
    assert result.views


def test_wide_features_are_reduced_alike_each_time() -> None:
    """Beyond a thousand features the components are found by a solver that draws numbers."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(1100, 3)) * (9, 6, 3)
    wide = (scores @ rng.normal(size=(3, 1200)) + 0.1 * rng.normal(size=(1100, 1200))).astype("f4")
    params = ViMSTParams(n_pcs_image=3)
    section = banded(20, 55, 10)[0]
    first, again = (image_input(wide, section, params) for _ in range(2))
    np.testing.assert_array_equal(first.x, again.x)
    top = np.linalg.svd(wide - wide.mean(axis=0), compute_uv=False)[:3]
    np.testing.assert_allclose(np.linalg.norm(first.x, axis=0), top, rtol=1e-3)


def test_a_radius_that_links_nothing_is_refused() -> None:
    with pytest.raises(ParameterError, match="no two spots"):
        run("vimst", banded(10, 12, 80)[0], graph_mode="radius", radius=0.5, **SMALL)


def test_estimate_counts_the_links_of_a_radius(section: Section) -> None:
    near, far = (
        get("vimst").estimate([section], ViMSTParams(graph_mode="radius", radius=r))
        for r in (1.5, 20.0)
    )
    assert far.peak_bytes > near.peak_bytes
    assert far.seconds > near.seconds


def test_micrometres_without_a_scale_are_refused() -> None:
    data, image = banded(10, 12, 80)[0], np.full((900, 1300, 3), 200, np.uint8)
    data = Section(data.adata, image=Histology([image]), platform="unknown")
    with pytest.raises(DataError, match="micrometres per coordinate unit are unknown"):
        run("vimst", data, patch_unit="um", patch_size=100, use_image="yes", **SMALL)
    with pytest.raises(DataError, match="of all spots are the same"):
        run("vimst", data, use_image="yes", **SMALL)
    with pytest.raises(ParameterError, match="would cover"):
        run("vimst", data, use_image="yes", patch_size=1000, **SMALL)
    with pytest.raises(DataError, match="too little tissue"):
        run("vimst", data, use_image="yes", stain="macenko", **SMALL)
    data.image = Histology([image[:1, :1]])
    with pytest.raises(DataError, match="outside the histology image"):
        run("vimst", data, use_image="yes", **SMALL)


def test_labels_never_reach_the_fit() -> None:
    """Nor does a column named like that of joined sections, which may be an annotation."""
    data, band = with_features(banded(10, 12, 80)[0]), np.repeat(list("abcde"), 24)
    plain = run("vimst", data, image_encoder=KEY, **SMALL)
    data.adata.obs["section"], data.adata.obs["ground_truth"] = band, band
    told = run("vimst", data, image_encoder=KEY, link_sections=True, **SMALL)
    np.testing.assert_array_equal(plain.embedding, told.embedding)
    assert joint_of(data.adata) is None


def test_model_with_an_image_says_so_of_coarse_images(section: Section, tmp_path) -> None:
    """The note that the image was left out is not made where the model uses it."""
    rng = np.random.default_rng(0)
    data = banded(10, 12, 80)[0]
    fine = rng.integers(0, 255, (900, 1300, 3)).astype(np.uint8)
    data.image = Histology([fine])
    result = run("vimst", data, **SMALL)
    assert result.views
    get("vimst").save_model(result.fit, tmp_path / "m.safetensors")
    data.image = Histology([fine[::20, ::20]], scale=0.05)
    again = run("vimst", data, model=tmp_path / "m.safetensors")
    assert again.views
    assert not any("too few to be used" in note for note in again.record["notes"])


def test_order_of_spots_permutes_the_inputs_and_links(section: Section) -> None:
    order = np.random.default_rng(0).permutation(section.n_spots)
    moved = Section(section.adata[order].copy(), name="moved", platform="visium")
    a, b = graph_of(section, ViMSTParams()), graph_of(moved, ViMSTParams())
    assert (a[order][:, order] != b).nnz == 0
    params = ViMSTParams(image_encoder=KEY)
    x, y = (
        image_input(drain(encoded(s.bare(obsm=get("vimst").extras(s, params)), params)), s, params)
        for s in (section, moved)
    )
    np.testing.assert_allclose(np.abs(x.x[order]), np.abs(y.x), atol=1e-3)


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
    own = bare.joint.codes
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


def test_training_in_tiles_covers_the_section() -> None:
    section = with_features(banded(30, 40, 60)[0])
    out = fit(section, image_encoder=KEY, tile_spots=500, epochs=2)
    assert out.embedding.shape[0] == 1200
    assert np.isfinite(out.embedding).all()
    whole = fit(section, image_encoder=KEY, epochs=2)
    assert not np.allclose(out.embedding, whole.embedding)


def test_tiles_equal_the_whole_in_evaluation() -> None:
    """Both branches: reconstructions of core spots, hidden ones too, at equal weights."""
    rng = np.random.default_rng(0)
    coords = rng.random((1500, 2))
    inputs = [rng.normal(size=(1500, d)).astype(np.float32) for d in (10, 7)]
    graph = knn_graph(coords, 6)
    adjacency = normalised_adjacency(graph)
    net = DualMaskNet([10, 7], 16, 8, generator=torch.Generator().manual_seed(0)).eval()
    masking = masking_of(ViMSTParams(), with_image=True)
    hidden = np.sort(rng.permutation(1500)[:400])

    def outputs(tile: Tile) -> list[np.ndarray]:
        one = DualMaskObjective(
            inputs, graph, adjacency, tile, masking, held_out=hidden, device=torch.device("cpu")
        )
        own = torch.from_numpy(one._always)
        with torch.no_grad():
            return [
                one._reconstruct(branch, x, own).numpy()[: tile.n_core]
                for branch, x in zip(net.branches, one.x, strict=True)
            ]

    expected = outputs(Tile(np.arange(1500), 1500))
    tiles = split_into_tiles(coords, graph, size=500, hops=3)
    assert len(tiles) > 2
    for tile in tiles:
        core = tile.index[: tile.n_core]
        for part, whole in zip(outputs(tile), expected, strict=True):
            np.testing.assert_allclose(part, whole[core], atol=1e-5)


def test_changing_a_hidden_spot_does_not_change_what_it_sends_to_the_decoder() -> None:
    """True masking: neither its own reconstruction nor any other one sees a hidden row."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 10)).astype(np.float32)
    other = x.copy()
    hidden = np.arange(0, 60, 3)
    other[hidden] += 10 * rng.normal(size=(20, 10)).astype(np.float32)
    graph = knn_graph(rng.random((60, 2)), 5)
    net = DualMaskNet([10], 16, 8, generator=torch.Generator().manual_seed(0)).eval()
    net.branches[0].token.data += 0.3

    def output(values: np.ndarray, mode: str) -> torch.Tensor:
        masking = masking_of(ViMSTParams(mask_mode=mode), with_image=False)
        one = DualMaskObjective(
            [values], graph, normalised_adjacency(graph), Tile(np.arange(60), 60), masking,
            held_out=hidden, device=torch.device("cpu"),
        )  # fmt: skip
        return one._reconstruct(net.branches[0], one.x[0], torch.from_numpy(hidden))

    torch.testing.assert_close(output(x, "replace"), output(other, "replace"))
    torch.testing.assert_close(output(x, "zero"), output(other, "zero"))
    # The defect of the published program, kept for comparison only.
    assert (output(x, "released") - output(other, "released")).abs().max() > 0.1


def test_length_of_a_spot_leaves_the_ranks_of_its_genes() -> None:
    """The least-squares factor is one number for each spot and never negative."""
    section = banded(10, 12, 80)[0]
    prepared = drain(prepare(section, ViMSTParams(features="hvg", n_hvg=60)))
    out = fit(section, features="hvg", n_hvg=60, epochs=20)
    net, cpu = out.state.nets[0], torch.device("cpu")
    adjacency = normalised_adjacency(out.graph)
    latent = np.asarray(out.embedding, dtype=np.float32)
    rows = reconstruct(net, latent, prepared.x, adjacency, cpu)
    with torch.no_grad():
        raw = net.branches[0].decode(torch_csr(adjacency), torch.from_numpy(latent), None).numpy()
    used = np.abs(rows).max(axis=1) > 0
    assert used.mean() > 0.5
    factor = (rows[used] / raw[used]).mean(axis=1)
    assert (factor > 0).all()
    np.testing.assert_allclose(rows[used], raw[used] * factor[:, None], rtol=1e-3, atol=1e-6)
    assert np.ptp(factor) > 0


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
    result = run(
        "vimst", section, n_domains=5, threads=1, replicates=1, epochs=200, smooth_labels=True
    )
    ari = adjusted_rand_score(band, result.domains.codes)
    assert ari >= adjusted_rand_score(band, result.baselines["pca"]) + 0.2
    assert adjusted_rand_score(band, result.refined) >= ari - 0.01


def test_prepared_rows_come_back_as_scaled_genes(section: Section) -> None:
    """What the spot transformer's score relies on: a slice of genes is that of all genes."""
    prepared = drain(prepare(section, ViMSTParams()))
    whole = prepared.to_scaled(prepared.x)
    part = prepared.to_scaled(prepared.x, slice(3, 9))
    np.testing.assert_allclose(part, whole[:, 3:9], atol=1e-5)
