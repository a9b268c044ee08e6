"""The released form of MMSRL against a slow restatement of its formulas, and as a method."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.helpers import banded
from torch import Tensor

from napari_stmask.core.errors import FileFormatError
from napari_stmask.core.progress import drain
from napari_stmask.core.result import Fit
from napari_stmask.core.section import Section
from napari_stmask.features.graph import gaussian_graph, random_walk
from napari_stmask.models import get
from napari_stmask.models.image_input import encoded, image_input
from napari_stmask.models.mmsrl.objective import Shares
from napari_stmask.models.mmsrl.params import MMSRLParams
from napari_stmask.models.mmsrl.reference import ReferenceModel, ReferenceObjective, log_values
from napari_stmask.nn.masking import sample_nodes
from napari_stmask.nn.sparse import Operator
from napari_stmask.pipeline import run

KEY = "obsm:patches"
SMALL = {"epochs": 4, "n_hvg": 40, "threads": 1, "n_domains": 5}


@pytest.fixture(scope="module")
def section() -> Section:
    out = banded(10, 12, 80)[0]
    out.adata.obsm["patches"] = np.random.default_rng(0).normal(size=(120, 12))
    return out


def settings(**values) -> MMSRLParams:
    return MMSRLParams.preset("paper", **(SMALL | values))


def fit(section: Section, **values) -> Fit:
    params, method = settings(**values), get("mmsrl")
    return drain(method.fit([section.bare(obsm=method.extras(section, params))], params))


def depth(section: Section) -> np.ndarray:
    return np.asarray(section.counts().sum(axis=1)).ravel()


# One training step, as it is written


def restated(
    model: ReferenceModel, inputs: list[Tensor], a: Tensor, masked: Tensor, weights: Shares
) -> dict[str, Tensor]:
    """Every formula with its N x N matrices, no dropout."""
    net, decoder, n = model.net, model.decoder, len(a)
    x = inputs[0]
    tilde = x + x.new_zeros(n, 1).index_fill(0, masked, 1.0) * net.token
    encoded, attended, shared = [], [], []
    for features, layer in zip([tilde, *inputs[1:]], net.encoders, strict=True):
        e = a @ (a @ features @ layer.w1 + layer.b1) @ layer.w2 + layer.b2
        encoded.append(e)
        attended.append(torch.softmax(e @ e.T / e.shape[1] ** 0.5, dim=1) @ e)
        shared.append(torch.relu(e @ net.share.weight.T + net.share.bias))
    joint = torch.cat(shared, dim=1) @ net.join.weight.T + net.join.bias
    z = 20 * attended[0] + 10 * joint
    if len(inputs) > 1:
        z = z + 1 * attended[1]
    lifted = z @ decoder.lift.weight.T + decoder.lift.bias
    centred = lifted - lifted.mean(dim=0)
    spread = (centred.square().mean(dim=0) + decoder.norm.eps).sqrt()
    r = torch.relu(centred / spread * decoder.norm.weight + decoder.norm.bias)
    mu, theta, pi = (r @ decoder.heads.weight.T + decoder.heads.bias).chunk(3, dim=1)
    mu = mu.exp().clamp(1e-5, 1e6)
    theta = (1 + theta.exp()).log().clamp(1e-4, 1e4)
    pi = 1 / (1 + (-pi).exp())
    nb = torch.lgamma(theta) + torch.lgamma(x + 1) - torch.lgamma(x + theta)
    nb = nb + (theta + x) * (1 + mu / theta).log() + x * (theta.log() - mu.log()) - (1 - pi).log()
    zero = -(pi + (1 - pi) * (theta / (theta + mu)) ** theta + 1e-10).log()
    out = {"zinb": (torch.where(x < 1e-8, zero, nb) + pi**2).mean()}
    if len(inputs) > 1:
        rows = [q - q.mean(dim=0) for q in shared]
        g, h = (q / q.norm(dim=1, keepdim=True) for q in rows)
        out["consistency"] = ((g @ g.T - h @ h.T) ** 2).mean()
    cosine = (r * tilde).sum(dim=1) / (r.norm(dim=1) * tilde.norm(dim=1))
    out["mask"] = ((1 - cosine[masked]) ** 3).mean()
    unit = z / z.norm(dim=1, keepdim=True)
    c = (unit @ unit.T) * (1 - torch.eye(n))
    out["edge"] = ((1 / (1 + (-c).exp()) - a) ** 2).mean()
    out["loss"] = sum(getattr(weights, name) * term for name, term in out.items())
    return out


@pytest.mark.parametrize("with_image", [True, False])
@pytest.mark.parametrize("genes", [14, 150])
def test_step_equals_the_plain_formulas_with_its_gradient(with_image: bool, genes: int) -> None:
    """With fewer and with more genes than spots."""
    rng = np.random.default_rng(0)
    n = 90
    inputs = [np.log1p(rng.poisson(1.0, (n, genes))).astype(np.float32)]
    if with_image:
        inputs.append(rng.normal(size=(n, 6)).astype(np.float32))
    walk = random_walk(gaussian_graph(rng.random((n, 2)), 0.1))
    # Double precision: the decoder's normalisation cancels most of what the token does.
    tensors = [torch.from_numpy(x).double() for x in inputs]
    walk = walk.astype(np.float64)
    walk = (sp.diags(1 / np.asarray(walk.sum(axis=1)).ravel()) @ walk).tocsr()
    a = torch.from_numpy(walk.toarray())
    links = walk.tocoo()
    weights = Shares(10.0, 1.0, 1.0, 10.0, 0.0)
    operator = Operator(*(dense.to_sparse_csr() for dense in (a, a.T.contiguous())))
    objective = ReferenceObjective(
        tensors[0],
        [operator @ (operator @ x) for x in tensors],
        operator,
        (
            torch.from_numpy(links.row.astype(np.int64)),
            torch.from_numpy(links.col.astype(np.int64)),
            torch.from_numpy(links.data),
        ),
        weights,
        0.8,
        dropout=0.0,
    )
    model = ReferenceModel([x.shape[1] for x in inputs], 10, torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.net.token += 0.3
    model.double().train()
    masked = torch.from_numpy(sample_nodes(n, 0.8, np.random.default_rng(5)))
    assert len(masked) == 72
    names = [name for name, _ in model.named_parameters()]
    ours = objective.losses(model, np.random.default_rng(5), torch.Generator())[1]
    plain = restated(model, tensors, a, masked, weights)
    assert set(ours) == set(plain)
    for name, value in plain.items():
        assert ours[name].item() == pytest.approx(value.item(), rel=1e-6), name
        grads = [
            torch.autograd.grad(
                terms[name], list(model.parameters()), retain_graph=True, allow_unused=True
            )
            for terms in (ours, plain)
        ]
        largest = max(g.abs().max().item() for g in grads[1] if g is not None)
        for parameter, mine, theirs in zip(names, *grads, strict=True):
            assert (mine is None) == (theirs is None), (name, parameter)
            if theirs is not None:
                off = (mine - theirs).abs().max().item()
                assert off <= 1e-6 * largest, (name, parameter)


def test_terms_without_weight_are_not_computed(section: Section) -> None:
    out = fit(section, loss_mask=0, loss_edge=0, use_image="no")
    assert set(out.history) == {"loss", "zinb"}


# As a method


@pytest.mark.parametrize("image", [KEY, None])
def test_runs_and_learns(section: Section, image: str | None) -> None:
    values = {"image_encoder": image} if image else {"use_image": "no"}
    out = fit(section, epochs=40, learning_rate=1e-3, denoise=True, **values)
    assert out.embedding.shape == (120, 40)
    assert np.isfinite(out.embedding).all()
    terms = {"loss", "zinb", "mask", "edge"} | ({"consistency"} if image else set())
    assert set(out.history) == terms
    assert out.history["loss"][-1] < 0.8 * out.history["loss"][0]
    assert out.details["attention"] == "exact"
    assert out.details["with_image"] == bool(image)
    assert set(out.views) == ({"gene", "image"} if image else set())
    assert "fusion_weights" not in out.obsm
    assert ("attention_image" in out.obsm) == bool(image)
    layer = out.layers["denoised"]
    assert np.isfinite(layer.data).all()
    assert layer.min() >= 0


def test_input_is_log_values_by_the_median_depth(section: Section) -> None:
    genes = np.array([3, 8, 20])
    counts = section.counts().toarray()
    totals = counts.sum(axis=1, keepdims=True)
    expected = np.log1p(counts[:, genes] / (totals / np.median(totals)))
    ours = log_values(section, genes, float(np.median(totals)))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_embedding_is_that_of_the_released_network(section: Section) -> None:
    """From the counts and the stored weights alone, in evaluation mode."""
    out = fit(section, image_encoder=KEY)
    net, params = out.state.nets[0].net, settings(image_encoder=KEY)
    genes = section.adata.var_names.get_indexer(list(out.state.gene_names))
    totals = depth(section)
    x = torch.from_numpy(log_values(section, genes, float(np.median(totals))))
    bare = section.bare(obsm=get("mmsrl").extras(section, params))
    # Of the image its components, not scaled.
    h = torch.from_numpy(image_input(drain(encoded(bare, params)), bare, params).x)
    square = ((section.coords[:, None] - section.coords[None]) ** 2).sum(axis=2) / 100**2
    kernel = np.exp(-square / (2 * 1.32**2)) * (square <= (5 * 1.32) ** 2) + np.eye(120)
    a = torch.from_numpy((kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32))
    shared, z = [], 0
    for values, layer, share in zip((x, h), net.encoders, (20, 1), strict=True):
        e = a @ (a @ values @ layer.w1 + layer.b1) @ layer.w2 + layer.b2
        z = z + share * torch.softmax(e @ e.T / 40**0.5, dim=1) @ e
        shared.append(torch.relu(net.share(e)))
    z = z + 10 * net.join(torch.cat(shared, dim=1))
    np.testing.assert_allclose(out.embedding, z.detach().numpy(), rtol=1e-3, atol=1e-3)
    logits = out.obsm["attention_image"] @ out.obsm["attention_image"].T
    np.testing.assert_allclose(logits, (e @ e.T / 40**0.5).detach(), rtol=1e-3, atol=1e-4)


def test_same_seed_same_answer_and_no_labels(section: Section) -> None:
    first = fit(section, image_encoder=KEY, replicates=2)
    section.adata.obs["ground_truth"] = np.arange(120) % 5
    again = fit(section, image_encoder=KEY, replicates=2)
    del section.adata.obs["ground_truth"]
    assert (first.embedding == again.embedding).all()
    assert first.history == again.history
    assert (
        first.embedding != fit(section, image_encoder=KEY, replicates=2, seed=1).embedding
    ).any()


@pytest.mark.parametrize("image", [KEY, None])
def test_saved_model_gives_the_same_answer(section: Section, image: str | None, tmp_path) -> None:
    values = {"image_encoder": image} if image else {"use_image": "no"}
    out = fit(section, replicates=2, denoise=True, **values)
    method, path = get("mmsrl"), tmp_path / "m.safetensors"
    method.save_model(out, path)
    params = MMSRLParams(denoise=True, seed=7)
    bare = section.bare(obsm=method.extras(section, params, path))
    again = drain(method.apply(path, [bare], params))
    np.testing.assert_allclose(again.embedding, out.embedding, rtol=1e-5, atol=1e-5)
    assert abs(again.layers["denoised"] - out.layers["denoised"]).max() < 1e-4
    assert again.params.mode == "reference"
    # Half of the spots have another median depth; the input keeps the scale of the training.
    half = np.arange(120) < 60
    assert method.load(path).arrays["median"][0] == np.median(depth(section))
    part = drain(method.apply(path, [bare.bare(half, method.extras(bare, params, path))], params))
    assert np.isfinite(part.embedding).all()


def test_file_of_the_other_form_is_told_apart(section: Section, tmp_path) -> None:
    method = get("mmsrl")
    for i, mode in enumerate(("reference", "default")):
        path = tmp_path / f"{i}.safetensors"
        params = MMSRLParams(mode=mode, epochs=1, replicates=1, threads=1, n_hvg=40, use_image="no")
        method.save_model(drain(method.fit([section.bare()], params)), path)
        kind = type(method.load(path).nets[0]).__name__
        assert kind == {"reference": "ReferenceModel", "default": "MMSRLModel"}[mode]
        # The same tensors under the other form's name.
        from safetensors import safe_open
        from safetensors.torch import save_file

        with safe_open(path, framework="pt") as file:
            meta = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        other = "default" if mode == "reference" else "reference"
        meta["params"] = meta["params"].replace(f'"mode":"{mode}"', f'"mode":"{other}"')
        save_file(tensors, path, metadata=meta)
        with pytest.raises(FileFormatError, match="not a MMSRL model"):
            method.load(path)


def test_units_of_enhanced_genes(section: Section) -> None:
    """log1p is the decoder's mean as it is, row_max its share, counts those of the spot's depth."""
    layers = {
        unit: fit(section, use_image="no", denoise=True, enhanced_as=unit).layers["denoised"]
        for unit in ("log1p", "row_max", "counts")
    }
    flag = np.asarray((layers["log1p"] != 0).sum(axis=0)).ravel() > 0
    assert flag.sum() == 40
    log, share, counts = (
        layers[unit].toarray()[:, flag] for unit in ("log1p", "row_max", "counts")
    )
    np.testing.assert_allclose(share, log / log.max(axis=1, keepdims=True), rtol=1e-5)
    size = depth(section) / np.median(depth(section))
    np.testing.assert_allclose(counts, np.expm1(log) * size[:, None], rtol=1e-4)


def test_enhanced_counts_learn_the_level_of_genes(section: Section) -> None:
    out = fit(
        section, use_image="no", denoise=True, enhanced_as="counts", epochs=150, learning_rate=3e-3
    )
    flag = out.var["denoised"]
    ours = out.layers["denoised"].toarray()[:, flag].mean(axis=0)
    truth = section.counts().toarray()[:, flag].mean(axis=0)
    assert np.corrcoef(np.log(ours), np.log(truth))[0, 1] > 0.8


def test_kernel_far_below_the_distance_of_spots_is_noted(section: Section) -> None:
    values = {"use_image": "no", "epochs": 1}
    narrow = fit(section, kernel_width=0.2, kernel_cut=10, **values).details["notes"]
    assert any("hardly any of its neighbours" in note for note in narrow)
    assert not any("hardly" in note for note in fit(section, **values).details["notes"])


def test_settings_that_do_not_count_are_named(section: Section) -> None:
    values = {"use_image": "no", "epochs": 1, "hidden": 20}
    assert not fit(section, **values).details["notes"]
    notes = fit(section, latent=32, landmarks=64, attention="none", **values).details["notes"]
    assert notes == ["The released mathematics do not use attention, landmarks, latent."]
    notes = fit(section, loss_contrast=0.5, **values).details["notes"]
    assert notes == ["The released mathematics do not use loss_contrast."]
    wide = fit(section, use_image="no", epochs=1).details["notes"]
    assert wide == ["The first layer has 40 units, as many as there are genes."]


def test_whole_run_and_cancel(section: Section) -> None:
    result = run(
        "mmsrl", section, params=settings(image_encoder=KEY, denoise=True), key_added="released"
    )
    assert result.domains.n_domains == 5
    assert result.domains.method == "kmeans"
    assert "released_denoised" in section.adata.layers
    before = section.adata.obsm["X_released"].copy()
    steps = get("mmsrl").fit([section.bare()], settings(epochs=500, use_image="no"))
    for _ in range(6):
        next(steps)
    steps.close()
    assert (section.adata.obsm["X_released"] == before).all()


def test_cost_grows_with_genes_and_spots() -> None:
    method, few = get("mmsrl"), banded(10, 12, 80)[0]
    more = banded(20, 24, 80)[0]
    base = method.estimate([few], settings(use_image="no", epochs=200))
    genes = method.estimate([few], settings(use_image="no", epochs=200, n_hvg=80))
    spots = method.estimate([more], settings(use_image="no", epochs=200))
    assert genes.seconds > base.seconds
    assert genes.peak_bytes > base.peak_bytes
    # From 120 spots to 480 and to 1080: in proportion, beside what the libraries hold anyway.
    most = method.estimate([banded(30, 36, 80)[0]], settings(use_image="no", epochs=200))
    grown = [b.peak_bytes - a.peak_bytes for a, b in ((base, spots), (spots, most))]
    assert grown[0] > 0
    assert grown[1] == pytest.approx(600 / 360 * grown[0], rel=0.1)
    assert base.peak_bytes > 1e8
