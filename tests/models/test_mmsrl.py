"""Acceptance checks of MMSRL as a method, in its corrected form."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData
from sklearn.metrics import adjusted_rand_score
from tests.helpers import banded

from napari_stmask.core.errors import DataError, FileFormatError, ParameterError
from napari_stmask.core.joining import join_sections
from napari_stmask.core.progress import drain
from napari_stmask.core.result import Fit
from napari_stmask.core.section import Section
from napari_stmask.features.graph import random_walk, shared_weight
from napari_stmask.io.sample import sample_section
from napari_stmask.models import get
from napari_stmask.models.mmsrl.method import graph_of
from napari_stmask.models.mmsrl.objective import Counts, Objective, PseudoLabels, Shares
from napari_stmask.models.mmsrl.params import MMSRLParams
from napari_stmask.models.mmsrl.training import MMSRLTraining
from napari_stmask.nn.masking import EdgeMasker
from napari_stmask.nn.pair_losses import unit_rows
from napari_stmask.nn.sparse import Operator
from napari_stmask.pipeline import run

KEY = "obsm:patches"
SMALL = {
    "epochs": 4, "replicates": 1, "threads": 1, "n_domains": 5, "n_pcs_in": 12, "hidden": 24,
    "latent": 10, "decoder_epochs": 2,
}  # fmt: skip


def small(seed: int = 0) -> Section:
    section = banded(10, 12, 80, fold=2.0, seed=seed)[0]
    rng = np.random.default_rng(seed)
    section.adata.obsm["patches"] = rng.normal(size=(section.n_spots, 12))
    return section


@pytest.fixture(scope="module")
def section() -> Section:
    return small()


def fit(section: Section, **values) -> Fit:
    params, method = MMSRLParams(**(SMALL | values)), get("mmsrl")
    return drain(method.fit([section.bare(obsm=method.extras(section, params))], params))


def rebuilt(section: Section, x, coords: np.ndarray | None = None, rows=slice(None)) -> Section:
    """The section with another matrix, other positions or its spots in another order."""
    adata = AnnData(x)
    adata.obs_names = section.adata.obs_names[rows]
    adata.var_names = section.adata.var_names
    adata.obsm["spatial"] = section.coords[rows] if coords is None else coords
    adata.obsm["patches"] = section.adata.obsm["patches"][rows]
    return Section(adata, name="banded", platform="visium")


# Repeatable, and blind to what it must not see


def test_same_seed_is_bit_identical(section: Section) -> None:
    values = {"image_encoder": KEY, "denoise": True, "replicates": 2, "contrast_from": 0.25}
    values |= {"contrast_every": 1}
    first, again = fit(section, **values), fit(section, **values)
    assert (first.embedding == again.embedding).all()
    assert (first.layers["denoised"] != again.layers["denoised"]).nnz == 0
    assert first.history == again.history
    assert {"contrast", "contrast (2)", "decoder", "decoder (2)"} < set(first.history)
    assert (fit(section, seed=1, **values).embedding != first.embedding).any()
    one, two = first.embedding[:, :10], first.embedding[:, 10:]
    assert not np.allclose(one, two)


def test_labels_change_nothing() -> None:
    """With an annotation in the table the released program returns the epoch that fits it best."""
    answers = []
    for labelled in (False, True):
        section, band = banded(10, 12, 80)
        if labelled:
            section.adata.obs["ground_truth"] = band
        result = run("mmsrl", section, baselines=False, **(SMALL | {"denoise": True}))
        answers.append(result)
    assert (answers[0].embedding == answers[1].embedding).all()
    assert (answers[0].domains.codes == answers[1].domains.codes).all()
    assert "ground_truth" in section.adata.obs


def test_global_random_state_is_left_alone(section: Section) -> None:
    state, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit(section, image_encoder=KEY, denoise=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numbers).all()  # noqa: NPY002


@pytest.mark.parametrize(("angle", "scale"), [(0.0, 7.3), (0.8, 1.0), (2.5, 0.01)])
def test_moving_the_section_changes_nothing(section: Section, angle: float, scale: float) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = rebuilt(section, section.adata.X, section.coords @ turn * scale + 50 * scale)
    params = MMSRLParams()
    there, here = graph_of(section, params), graph_of(moved, params)
    assert there.nnz == here.nnz
    assert abs(there - here).max() < 1e-5
    np.testing.assert_allclose(
        fit(moved, image_encoder=KEY).embedding,
        fit(section, image_encoder=KEY).embedding,
        atol=1e-4,
    )


@pytest.mark.parametrize("activation", ["linear", "prelu"])
def test_order_of_spots_is_that_of_the_answer(section: Section, activation: str, tmp_path) -> None:
    """In evaluation, with exact attention."""
    out = fit(section, image_encoder=KEY, denoise=True, attention="exact", activation=activation)
    method, path = get("mmsrl"), tmp_path / "m.safetensors"
    method.save_model(out, path)
    order = np.random.default_rng(0).permutation(section.n_spots)
    moved = rebuilt(section, section.adata.X[order], rows=order)
    params = MMSRLParams(denoise=True)
    bare = moved.bare(obsm=method.extras(moved, params, path))
    again = drain(method.apply(path, [bare], params))
    np.testing.assert_allclose(again.embedding, out.embedding[order], atol=1e-4)
    there = out.layers["denoised"][order].toarray()
    np.testing.assert_allclose(again.layers["denoised"].toarray(), there, atol=1e-3)
    np.testing.assert_allclose(
        again.obsm["fusion_weights"], out.obsm["fusion_weights"][order], atol=1e-5
    )
    assert abs(again.graph - out.graph[order][:, order]).max() < 1e-6


# Saved models


@pytest.mark.parametrize(
    "values",
    [
        {"use_image": "no"},
        {"image_encoder": KEY, "replicates": 2},
        {"image_encoder": KEY, "attention": "landmarks", "landmarks": 16},
        {"use_image": "no", "activation": "prelu", "attention": "none"},
    ],
)
def test_saved_model_gives_the_same_answer(section: Section, values: dict, tmp_path) -> None:
    """Whatever seed the clustering of the second run has."""
    out = fit(section, denoise=True, **values)
    method, path = get("mmsrl"), tmp_path / "m.safetensors"
    method.save_model(out, path)
    params = MMSRLParams(denoise=True, seed=3)
    bare = section.bare(obsm=method.extras(section, params, path))
    again = drain(method.apply(path, [bare], params))
    np.testing.assert_allclose(again.embedding, out.embedding, atol=1e-5)
    np.testing.assert_allclose(
        again.layers["denoised"].toarray(), out.layers["denoised"].toarray(), rtol=1e-4, atol=1e-5
    )
    assert again.details["spots_averaged"] == out.details["spots_averaged"]
    assert set(again.obsm) == set(out.obsm)
    for name, features in out.obsm.items():
        np.testing.assert_allclose(again.obsm[name], features, atol=1e-4)
    assert "denoised" not in drain(method.apply(path, [bare], MMSRLParams())).layers


def test_saved_model_of_another_kind_or_section_is_refused(section: Section, tmp_path) -> None:
    method, path = get("mmsrl"), tmp_path / "m.safetensors"
    method.save_model(fit(section, image_encoder=KEY), path)
    plain = banded(10, 12, 80)[0]
    with pytest.raises(DataError, match="obsm has no 'patches'"):
        run("mmsrl", plain, model=path)
    with pytest.raises(DataError, match="genes are missing"):
        drain(method.apply(path, [banded(10, 12, 40)[0].bare()], MMSRLParams()))
    with pytest.raises(FileFormatError, match="not a SpaMask model"):
        get("spamask").load(path)


def applied(out: Fit, section: Section, path, **values) -> Fit:
    """The answer of the trained networks for another section."""
    method, params = get("mmsrl"), MMSRLParams(**values)
    method.save_model(out, path)
    bare = section.bare(obsm=method.extras(section, params, path))
    return drain(method.apply(path, [bare], params))


@pytest.mark.parametrize("unit", ["log1p", "counts"])
def test_model_knows_the_depth_it_was_trained_at(section: Section, unit: str, tmp_path) -> None:
    """Of a section of three times the molecules, with the same composition."""
    out = fit(section, use_image="no", denoise=True, enhanced_as=unit)
    deeper = rebuilt(section, section.counts() * 3)
    again = applied(out, deeper, tmp_path / "m.safetensors", denoise=True)
    np.testing.assert_allclose(again.embedding, out.embedding, atol=1e-4)
    factor = 3 if unit == "counts" else 1
    np.testing.assert_allclose(
        again.layers["denoised"].toarray(), factor * out.layers["denoised"].toarray(), rtol=1e-3
    )


def test_model_of_joined_sections_is_applied_to_one_and_back(tmp_path) -> None:
    parts = [small(0), small(1), small(2)]
    joined = join_sections(parts)
    path = tmp_path / "m.safetensors"
    three = fit(joined, use_image="no", denoise=True)
    alone = applied(three, parts[1], path, denoise=True)
    # No section of the training is taken for this one, whatever its place in a list.
    pair = applied(three, join_sections([parts[1], parts[0]]), path, denoise=True)
    other = applied(three, join_sections([parts[0], parts[1]]), path, denoise=True)
    dense = [a.layers["denoised"].toarray() for a in (alone, pair, other)]
    assert all(np.isfinite(d).all() for d in dense)
    np.testing.assert_allclose(dense[1], np.roll(dense[2], 120, axis=0), rtol=1e-3, atol=1e-5)
    one = fit(parts[0], use_image="no", denoise=True)
    layer = applied(one, joined, path, denoise=True).layers["denoised"]
    assert layer.shape == joined.adata.shape
    assert np.isfinite(layer.data).all()


def test_unfinished_decoder_is_refused(section: Section, tmp_path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(ParameterError, match="trained without denoise"):
        applied(fit(section, use_image="no"), section, path, denoise=True)
    with pytest.raises(ParameterError, match="do not train the gene decoder"):
        fit(section, use_image="no", mode="reference", loss_zinb=0, denoise=True)
    released = fit(section, use_image="no", mode="reference")
    assert "denoised" in applied(released, section, path, denoise=True).layers


def test_model_saved_again_is_the_same(section: Section, tmp_path) -> None:
    """Another seed of the clustering, and no enhanced genes asked, are not the model's."""
    values = {"attention": "landmarks", "landmarks": 16, "use_image": "no", "denoise": True}
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    once = applied(fit(section, **values), section, first, seed=5)
    applied(once, section, second)
    one, two = (get("mmsrl").load(path) for path in (first, second))
    assert one.params == two.params
    assert all((one.arrays[name] == two.arrays[name]).all() for name in one.arrays)


# Kinds of sections


@pytest.mark.parametrize("kind", ["dense", "int", "csc"])
def test_any_matrix_of_counts_gives_the_same(section: Section, kind: str) -> None:
    x = section.adata.X
    made = {"dense": x.toarray(), "int": x.astype(np.int32), "csc": sp.csc_matrix(x)}[kind]
    expected = fit(section, denoise=True)
    out = fit(rebuilt(section, made), denoise=True)
    np.testing.assert_allclose(out.embedding, expected.embedding, atol=1e-6)


def test_odd_genes_and_spots() -> None:
    """A gene that nobody has, a spot that nobody is near, one domain."""
    section = small()
    x = section.adata.X.tolil()
    x[:, 7] = 0
    coords = section.coords.copy()
    coords[0] -= 5000
    result = run(
        "mmsrl", rebuilt(section, x.tocsr(), coords), baselines=False, image_encoder=KEY,
        **(SMALL | {"n_domains": 1, "denoise": True}),
    )  # fmt: skip
    fit = result.fit
    assert fit.graph[0].nnz == 0
    assert np.isfinite(fit.embedding).all()
    assert result.domains.n_domains == 1
    assert not fit.var["denoised"][7]
    assert fit.layers["denoised"][:, [7]].nnz == 0
    assert np.isfinite(fit.layers["denoised"].data).all()


def test_spots_out_of_reach_are_refused(section: Section) -> None:
    with pytest.raises(ParameterError, match="larger kernel_width"):
        fit(section, kernel_width=0.2, kernel_cut=3)
    with pytest.raises(DataError, match="too few"):
        fit(banded(5, 1, 80)[0])


def test_neighbourhoods_that_do_nothing_are_noted(section: Section) -> None:
    def notes(**values) -> str:
        return " ".join(fit(section, use_image="no", epochs=1, **values).details["notes"])

    assert "hardly any of its neighbours" in notes(kernel_width=0.3, kernel_cut=4)
    assert "hardly" not in notes()


@pytest.mark.parametrize("image", [True, False])
def test_shapes_and_weights(section: Section, image: bool) -> None:
    values = {"image_encoder": KEY} if image else {"use_image": "no"}
    out = fit(section, **values)
    assert out.embedding.shape == (120, 10)
    weights = out.obsm["fusion_weights"]
    assert weights.shape == (120, 3 if image else 2)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert (weights > 0).all()
    assert set(out.views) == ({"gene", "image"} if image else set())
    assert ("consistency" in out.history) == image
    assert not out.layers
    worth = shared_weight(random_walk(graph_of(section, MMSRLParams())))
    assert out.details["spots_averaged"] == pytest.approx(1 / worth, abs=0.01)
    assert "attention" in out.obsm
    assert "attention" not in fit(section, attention="none", **values).obsm


def test_attention_features_give_the_logits(section: Section) -> None:
    out = fit(section, image_encoder=KEY)
    scale = out.state.nets[0].net.log_scale.exp().detach().numpy()
    for name, own in zip(("attention", "attention_image"), scale, strict=True):
        features = out.obsm[name]
        np.testing.assert_allclose((features**2).sum(axis=1), own, rtol=1e-4)


def test_joined_sections_share_no_link_and_are_told_to_the_decoder() -> None:
    joined = join_sections([small(0), small(1)])
    joined.adata.obsm["patches"] = np.random.default_rng(0).normal(size=(240, 5))
    out = fit(joined, image_encoder=KEY, denoise=True)
    i, j = out.graph.nonzero()
    assert ((i < 120) == (j < 120)).all()
    assert len(i) == 2 * fit(small(0)).graph.nnz
    lift = out.state.nets[0].decoder.lift.weight
    assert lift.shape[1] == 10 + 2
    # What is said of a spot depends on the section that it is of.
    assert lift[:, -2:].abs().max() > 0
    alone = fit(small(0), denoise=True).state.nets[0].decoder.lift.weight
    assert alone.shape[1] == 10


def test_neighbourhood_is_of_the_own_section() -> None:
    """Spots five times as close beside others, and the kernel reaches as many."""
    wide = small(0)
    dense = rebuilt(wide, wide.counts(), wide.coords * 0.2)
    # Most spots are of the dense section, whose pitch the joined one has.
    joined = join_sections([dense, rebuilt(dense, dense.counts(), dense.coords), wide])
    graph = graph_of(joined.bare(obsm=get("mmsrl").extras(joined, MMSRLParams())), MMSRLParams())
    alone = graph_of(wide, MMSRLParams())
    for start in (0, 120, 240):
        own = graph[start : start + 120, start : start + 120]
        assert own.nnz == alone.nnz
        assert abs(own - alone).max() < 1e-5
    assert graph.nnz == 3 * alone.nnz


# The losses of a step


def test_terms_of_a_step() -> None:
    """The total is the weighted sum; what has no weight is not computed; hidden rows stay so."""
    rng = np.random.default_rng(0)
    section = small()
    run_ = training(section, MMSRLParams(**SMALL))
    model = new_model(run_)

    def losses(weights: Shares, labels: PseudoLabels | None = None) -> dict[str, torch.Tensor]:
        objective = Objective(
            run_.tensors, run_.operator, None, EdgeMasker(run_.graph), run_.counts,
            run_.batch_columns(np.arange(120)), weights, 0.3, 0.2, 64, labels,
        )  # fmt: skip
        gen = torch.Generator().manual_seed(0)
        return objective.losses(model, np.random.default_rng(0), gen)[1]

    labels = PseudoLabels(torch.from_numpy(rng.integers(4, size=120)), torch.ones(120))
    whole = losses(Shares(2.0, 3.0, 5.0, 7.0, 11.0), labels)
    expected = (
        2 * whole["zinb"] + 3 * whole["consistency"] + 5 * whole["mask"] + 7 * whole["edge"]
        + 11 * whole["contrast"]
    )  # fmt: skip
    torch.testing.assert_close(whole["loss"], expected)
    assert set(losses(Shares(0, 0, 1, 0, 0))) == {"loss", "mask"}
    assert losses(Shares(0, 0, 0, 0, 1))["contrast"].item() == 0


def training(section: Section, params: MMSRLParams) -> MMSRLTraining:
    rng = np.random.default_rng(0)
    graph = graph_of(section, params)
    counts = section.counts()
    totals = np.asarray(counts.sum(axis=1), dtype=np.float32).ravel()
    median = float(np.median(totals))
    return MMSRLTraining(
        [rng.normal(size=(section.n_spots, d)).astype(np.float32) for d in (12, 5)],
        np.ones(2, dtype=np.float32),
        random_walk(graph),
        graph,
        Counts(counts, totals / np.float32(median), median),
        np.zeros(section.n_spots, dtype=np.intp),
        0.1,
        params,
        torch.device("cpu"),
    )


def new_model(run_: MMSRLTraining):
    from napari_stmask.models.mmsrl.training import _new_model

    gen = torch.Generator().manual_seed(0)
    return _new_model([12, 5], run_.counts.rates(), 1, run_.params, gen).train()


def test_contrast_is_its_formula() -> None:
    """Prototypes are the mean directions of the sure members; unsure spots take no part."""
    rng = np.random.default_rng(0)
    z = torch.from_numpy(rng.normal(size=(120, 10)).astype(np.float32))
    codes = torch.from_numpy(np.arange(120) % 3)
    weights = torch.from_numpy(np.where(rng.random(120) < 0.4, 0, rng.random(120)))
    run_ = training(small(), MMSRLParams(**SMALL))
    objective = Objective(
        run_.tensors, Operator.of(run_.walk), None, EdgeMasker(run_.graph), run_.counts,
        run_.batch_columns(np.arange(120)), Shares(0, 0, 0, 0, 1), 0.3, 0.2, 64,
        PseudoLabels(codes, weights),
    )  # fmt: skip
    u = unit_rows(z).double()
    centres = torch.stack([(u * (weights * (codes == k))[:, None]).sum(dim=0) for k in range(3)])
    logits = u @ (centres / centres.norm(dim=1, keepdim=True)).T / 0.2
    each = -torch.log_softmax(logits, dim=1)[torch.arange(120), codes]
    expected = (weights * each).sum() / weights.sum()
    assert objective._contrast(z.double()).item() == pytest.approx(expected.item(), rel=1e-5)


def test_size_factors_and_rates(section: Section) -> None:
    counts = section.counts()
    totals = np.asarray(counts.sum(axis=1), dtype=np.float32).ravel()
    made = Counts(counts, totals / np.median(totals), float(np.median(totals)))
    x, size = made.block(np.array([3, 5]), torch.device("cpu"))
    np.testing.assert_array_equal(x, counts[[3, 5]].toarray())
    np.testing.assert_allclose(size[:, 0], totals[[3, 5]] / np.median(totals), rtol=1e-6)
    expected = counts.toarray().sum(axis=0) / (totals.sum() / np.median(totals))
    np.testing.assert_allclose(made.rates(), expected, rtol=1e-4)


# Enhanced genes


@pytest.mark.parametrize("unit", ["log1p", "counts", "row_max"])
@pytest.mark.parametrize("zeros", [True, False])
def test_enhanced_genes_of_each_unit(section: Section, unit: str, zeros: bool) -> None:
    values = {"denoise": True, "enhanced_zeros": zeros, "decoder_epochs": 20}
    layer = fit(section, enhanced_as=unit, **values).layers["denoised"]
    assert layer.shape == section.adata.shape
    assert np.isfinite(layer.data).all()
    assert layer.min() >= 0
    own = np.asarray(section.counts().sum(axis=1)).ravel()
    if unit == "row_max":
        np.testing.assert_allclose(np.asarray(layer.max(axis=1).todense()).ravel(), 1, rtol=1e-6)
    else:
        # In counts a spot has about as many as it had, else about 10,000.
        dense = layer.toarray()
        total = (dense if unit == "counts" else np.expm1(dense)).sum(axis=1)
        target = own if unit == "counts" else 1e4
        assert 0.75 < np.median(total / target) < 1.3
    if unit == "counts":
        assert np.corrcoef(total, own)[0, 1] > 0.95


def test_counting_dropouts_lowers_enhanced_genes(section: Section) -> None:
    values = {"denoise": True, "enhanced_as": "counts"}
    plain = fit(section, **values).layers["denoised"]
    lower = fit(section, enhanced_zeros=True, **values).layers["denoised"]
    assert (plain - lower).min() >= 0
    assert (plain - lower).max() > 0


# Runs


@pytest.mark.parametrize("events", [1, 3, 6, 12])
def test_cancel_leaves_the_section(events: int) -> None:
    from napari_stmask.pipeline import iter_run

    section = small()
    slots = ("obs", "obsm", "obsp", "layers", "var", "uns")
    before = {slot: set(getattr(section.adata, slot).keys()) for slot in slots}
    values = SMALL | {"epochs": 500, "image_encoder": KEY, "denoise": True}
    steps = iter_run("mmsrl", section, **values)
    for _ in range(events):
        next(steps)
    steps.close()
    assert {slot: set(getattr(section.adata, slot).keys()) for slot in slots} == before


def test_progress_goes_forward(section: Section) -> None:
    params = MMSRLParams(**(SMALL | {"replicates": 2, "denoise": True}))
    seen: dict[str, list[float]] = {}
    for event in get("mmsrl").fit([section.bare()], params):
        if event.total:
            seen.setdefault(event.phase, []).append(event.fraction)
    assert {"training", "enhancing genes"} <= set(seen)
    for phase in ("training", "enhancing genes"):
        assert seen[phase] == sorted(seen[phase]), phase
        if phase == "training":
            assert seen[phase][-1] == 1


def test_loss_goes_down() -> None:
    section = sample_section()
    out = fit(section, epochs=12, use_image="no", loss_contrast=0, hidden=64, n_pcs_in=30)
    loss = out.history["loss"]
    assert np.isfinite(loss).all()
    assert loss[-1] < loss[0] - 0.1
    assert out.history["mask"][-1] < out.history["mask"][0]
    assert out.history["zinb"][-1] < out.history["zinb"][0]


def test_pseudo_labels_are_refreshed_as_asked(section: Section) -> None:
    values = {"epochs": 12, "contrast_from": 0.5, "contrast_every": 2, "use_image": "no"}
    out = fit(section, **values)
    contrast = np.array(out.history["contrast"])
    assert not contrast[:6].any()
    assert (contrast[6:] > 0).all()
    assert "numbers_of_domains" not in out.details
    # One number of each refresh, after 6, 8 and 10 epochs, around the one by the BIC.
    auto = fit(section, auto_domains=True, **values)
    chosen = max(auto.curve, key=auto.curve.__getitem__)
    assert len(auto.details["numbers_of_domains"]) == 3
    assert all(chosen // 2 <= k <= 2 * chosen for k in auto.details["numbers_of_domains"])


def test_domains_take_part_from_the_first_epoch_on_where_asked(section: Section) -> None:
    out = fit(section, use_image="no", contrast_from=0, contrast_every=50)
    contrast = np.array(out.history["contrast"])
    assert contrast[0] == 0
    assert (contrast[1:] > 0).all()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"loss_consistency": 1.0},  # nothing to agree with, without an image
        {"loss_mask": 1.0, "node_mask_rate": 0.0},
        {"mode": "reference"},
    ],
)
def test_nothing_to_learn_from_is_refused(section: Section, values: dict) -> None:
    none = dict.fromkeys(f"loss_{x}" for x in ("zinb", "consistency", "mask", "edge", "contrast"))
    none = dict.fromkeys(none, 0.0)
    with pytest.raises(ParameterError, match="nothing to learn from"):
        fit(section, use_image="no", **(none | values))


def test_large_sections_are_attended_to_in_groups() -> None:
    section = banded(20, 30, 60)[0]
    exact, grouped = (fit(section, exact_up_to=n, landmarks=32) for n in (600, 100))
    assert (exact.details["attention"], grouped.details["attention"]) == ("exact", "landmarks")
    assert not np.allclose(exact.embedding, grouped.embedding, atol=1e-3)


def test_cost_is_of_the_settings() -> None:
    method, section = get("mmsrl"), small()
    base = method.estimate([section], MMSRLParams(use_image="no"))
    more = method.estimate([section], MMSRLParams(use_image="no", epochs=240))
    deep = method.estimate([section], MMSRLParams(use_image="no", denoise=True))
    assert 1.5 * base.seconds < more.seconds + base.seconds
    assert more.peak_bytes == base.peak_bytes
    assert deep.seconds > base.seconds


# Quality


@pytest.mark.slow
def test_number_of_domains_is_near_the_truth() -> None:
    section = sample_section()
    section.adata.obs.pop("ground_truth")
    result = run("mmsrl", section, threads=1, replicates=1, auto_domains=True, baselines=False)
    assert 4 <= result.domains.n_domains <= 8


@pytest.mark.slow
def test_enhanced_genes_are_closer_to_the_true_means() -> None:
    """Of 80 % of the genes that differ between bands, better than single spots' log counts."""
    section, band = banded(20, 25, 200, fold=2.5)
    out = fit(section, denoise=True, epochs=60, decoder_epochs=60, n_pcs_in=30, use_image="no")
    layer = out.layers["denoised"].toarray()
    counts = section.counts().toarray()
    raw = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    better = []
    for gene in np.flatnonzero(out.var["denoised"]):
        truth = band == gene // 40
        if counts[:, gene].mean() > 0.3:
            better.append(
                np.corrcoef(layer[:, gene], truth)[0, 1] > np.corrcoef(raw[:, gene], truth)[0, 1]
            )
    assert len(better) > 100
    assert np.mean(better) >= 0.8


@pytest.mark.slow
def test_bands_are_found_better_than_by_components() -> None:
    aris: dict[str, list[float]] = {"mmsrl": [], "pca": [], "neighbour_pca": []}
    for seed in range(3):
        section, band = banded(fold=1.3, seed=seed)
        options = {"threads": 1, "seed": seed, "use_image": "no", "replicates": 1}
        result = run("mmsrl", section, n_domains=5, **options)
        aris["mmsrl"].append(adjusted_rand_score(band, result.domains.codes))
        for name, codes in result.baselines.items():
            aris[name].append(adjusted_rand_score(band, codes))
    median = {name: float(np.median(values)) for name, values in aris.items()}
    assert median["mmsrl"] >= median["pca"] + 0.15
    assert median["mmsrl"] >= median["neighbour_pca"] - 0.02


def _ari_with(features: np.ndarray | None) -> float:
    section, band = banded(fold=1.3)
    if features is not None:
        section.adata.obsm["patches"] = features
    options = {"threads": 1, "replicates": 3, "epochs": 30}
    options |= {"baselines": False, "compare_views": False}
    options |= {"image_encoder": KEY} if features is not None else {"use_image": "no"}
    result = run("mmsrl", section, n_domains=5, **options)
    return float(adjusted_rand_score(band, result.domains.codes))


@pytest.mark.slow
def test_image_of_noise_does_little_harm_and_a_telling_one_none() -> None:
    band = banded(fold=1.3)[1]
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(band), 30))
    telling = noise + 1.5 * np.eye(5)[band] @ rng.normal(size=(5, 30))
    without = _ari_with(None)
    with_noise, with_image = _ari_with(noise), _ari_with(telling)
    assert with_noise >= without - 0.05
    assert with_image >= without - 0.02
