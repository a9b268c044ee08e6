"""What methods make of several sections: input, links in training, saved models."""

import numpy as np
import pytest
import scipy.sparse as sp
from tests.serial import serial_sections

from napari_stmask.core.joining import join_sections
from napari_stmask.core.joint import Joint, JointParams, joint_of
from napari_stmask.core.progress import drain
from napari_stmask.core.result import Fit
from napari_stmask.core.section import Section
from napari_stmask.features.graph import knn_graph, within_groups
from napari_stmask.features.joint_graph import relinked
from napari_stmask.models import get
from napari_stmask.models.expression_input import normalised, prepare
from napari_stmask.models.joint_input import (
    Relinking,
    linked,
    relinking,
    section_codes,
    tiled_coords,
)
from napari_stmask.models.spamask.params import SpaMaskParams
from napari_stmask.nn.tiles import split_into_tiles

SMALL = {
    "epochs": 5, "replicates": 1, "threads": 1, "n_domains": 4, "n_pcs_in": 12, "hidden": 24,
    "latent": 10,
}  # fmt: skip
MMSRL = {**SMALL, "decoder_epochs": 2}


def parts(n: int = 2, shift: float = 0.5) -> list[Section]:
    """Of 120, 110, ... spots, whose genes differ by a factor each."""
    out = []
    for s, section in enumerate(serial_sections(n, shift=shift)):
        adata = section.adata[: 120 - 10 * s].copy()
        out.append(Section(adata, name=f"s{s}", um_per_px=1.0, platform="visium"))
    return out


def joined(n: int = 2, shift: float = 0.5, **settings) -> Section:
    single = parts(n, shift)
    whole = join_sections(single, placement="row")
    codes = joint_of(whole.adata).codes
    plane = np.concatenate([p.coords for p in single])
    positions = np.column_stack([plane, 10.0 * codes])
    whole.joint = Joint(codes, positions, JointParams(**settings))
    return whole


def dense_z(values: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
    out = values.toarray().astype(np.float64)
    for code in np.unique(codes):
        rows = out[codes == code]
        sd = rows.std(axis=0, ddof=1)
        sd[sd < 1e-8] = 1
        rows = np.minimum(rows, rows.mean(axis=0) + 10 * sd) / sd
        out[codes == code] = rows - rows.mean(axis=0)
    return out


def fit(section: Section, method: str = "spamask", **values) -> Fit:
    chosen = get(method)
    params = chosen.Params(**((MMSRL if method == "mmsrl" else SMALL) | values))
    return drain(chosen.fit([section.bare()], params))


def applied(state_of: Fit, section: Section, path, method: str = "spamask", **values) -> Fit:
    chosen = get(method)
    chosen.save_model(state_of, path)
    base = chosen.load(path).params.model_copy(update=values)
    return drain(chosen.apply(path, [section.bare()], base))


# Input


def test_input_is_the_projection_of_genes_standardised_within() -> None:
    whole, params = joined(3), SpaMaskParams(**SMALL)
    prepared = drain(prepare(whole, params))
    codes = whole.joint.codes
    z = dense_z(normalised(whole, prepared.genes, params), codes)
    assert prepared.centre.shape == prepared.scale.shape == (3, len(prepared.genes))
    np.testing.assert_allclose(prepared.x, z @ prepared.components.T, atol=2e-3)
    _, _, vt = np.linalg.svd(z, full_matrices=False)
    cosine = np.linalg.svd(prepared.components @ vt[:12].T)[1]
    np.testing.assert_allclose(cosine, 1, atol=1e-3)


def test_sections_lie_apart_only_where_they_are_standardised_together() -> None:
    params = SpaMaskParams(**SMALL)
    apart = []
    for how in ("section", "joint"):
        whole = joined(2, standardise=how)
        x, codes = drain(prepare(whole, params)).x, whole.joint.codes
        shift = np.linalg.norm(x[codes == 0].mean(axis=0) - x[codes == 1].mean(axis=0))
        apart.append(shift / x.std(axis=0).max())
    assert apart[0] < 1e-3
    assert apart[1] > 1.5


def test_joint_standardising_is_that_of_sections_side_by_side() -> None:
    whole, params = joined(2, standardise="joint"), SpaMaskParams(**SMALL)
    plain = join_sections(parts(2), placement="row").bare()
    np.testing.assert_array_equal(drain(prepare(whole, params)).x, drain(prepare(plain, params)).x)


@pytest.mark.parametrize("spots", [slice(None), slice(100, 140)])
def test_genes_themselves_come_back_exactly(spots: slice) -> None:
    """Without a projection the way back is the inverse, across the border of sections too."""
    whole, params = joined(2), SpaMaskParams(**SMALL, features="hvg")
    prepared = drain(prepare(whole, params))
    assert prepared.components is None
    values = normalised(whole, prepared.genes, params).toarray()
    values = np.minimum(values, (prepared.ceiling * prepared.scale)[whole.joint.codes])
    found = prepared.to_genes(prepared.x[spots], spots)
    np.testing.assert_allclose(found, values[spots], atol=1e-4)
    # What is taken off is the difference between sections alone.
    of = whole.joint.codes
    means = [prepared.x[of == code].mean(axis=0) for code in range(2)]
    np.testing.assert_allclose(means[0], means[1], atol=1e-4)
    np.testing.assert_allclose(
        prepared.x.mean(axis=0),
        (values / prepared.scale[of]).mean(axis=0),
        atol=1e-4,
    )


@pytest.mark.parametrize("spots", [slice(None), slice(100, 140)])
def test_way_back_from_components_is_the_best_fit(spots: slice) -> None:
    """What is lost is orthogonal to the components; each section gets its own level back."""
    whole, params = joined(2), SpaMaskParams(**SMALL)
    prepared = drain(prepare(whole, params))
    codes = whole.joint.codes
    z = dense_z(normalised(whole, prepared.genes, params), codes)[spots]
    scaled = prepared.to_scaled(prepared.x[spots], spots=spots)
    lost = z - (scaled - prepared.centre[codes[spots]])
    np.testing.assert_allclose(lost @ prepared.components.T, 0, atol=5e-3)
    part = slice(3, 9)
    np.testing.assert_allclose(
        prepared.to_scaled(prepared.x[spots], part, spots=spots), scaled[:, part], atol=1e-5
    )
    genes = prepared.to_genes(prepared.x[spots], spots)
    expected = np.maximum(scaled * prepared.scale[codes[spots]], 0)
    np.testing.assert_allclose(genes, expected, atol=1e-5)


def test_harmony_moves_the_input_and_nothing_else() -> None:
    pytest.importorskip("harmonypy", reason="the extra 'integration' is not installed")
    params = SpaMaskParams(**SMALL)
    near = {"shift": 0.2, "standardise": "joint"}
    plain = drain(prepare(joined(2, **near), params))
    moved = drain(prepare(joined(2, **near, correction="harmony_input"), params))
    np.testing.assert_array_equal(plain.components, moved.components)
    codes = joined(2).joint.codes

    def apart(x: np.ndarray) -> float:
        return float(np.linalg.norm(x[codes == 0].mean(axis=0) - x[codes == 1].mean(axis=0)))

    assert apart(moved.x) < 0.7 * apart(plain.x)


# Links in training


def test_codes_and_links_of_one_section_are_plain() -> None:
    section = parts(1)[0]
    assert section_codes(section).tolist() == [0] * section.n_spots
    assert relinking(section) is None
    asked = []

    def build(coords: np.ndarray, k: int | None) -> sp.csr_matrix:
        asked.append((coords.shape, k))
        return sp.csr_matrix((len(coords), len(coords)))

    linked(section, build, n_near=6, values=None)
    assert asked == [((120, 2), None)]


@pytest.mark.parametrize(
    ("settings", "every"),
    [
        ({}, 50),
        ({"refresh": 7}, 7),
        ({"refresh": 0}, None),
        ({"links": "none"}, None),
        ({"arrangement": "serial"}, None),
        ({"arrangement": "serial", "links": "expression"}, 50),
    ],
)
def test_only_links_by_expression_are_refreshed(settings: dict, every: int | None) -> None:
    how = relinking(joined(2, **settings))
    assert (None if how is None else how.every) == every


def test_when_links_are_due() -> None:
    how = Relinking(50, lambda graph, _: graph)
    assert [e for e in range(1, 301) if how.due(e, 300)] == [50, 100, 150, 200, 250]
    assert not any(how.due(e, 40) for e in range(1, 41))


@pytest.mark.parametrize("method", ["spamask", "vimst", "mmsrl"])
@pytest.mark.parametrize(("every", "times"), [(2, 2), (5, 0), (0, 0)])
def test_links_are_found_anew_while_the_first_network_trains(
    method: str, every: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five epochs: after the second and the fourth; later networks keep what the first found."""
    made = []

    def noting(joint: Joint, graph: sp.csr_matrix, latent: np.ndarray) -> sp.csr_matrix:
        made.append(relinked(joint, graph, latent))
        return made[-1]

    monkeypatch.setattr("napari_stmask.models.joint_input.relinked", noting)
    found = fit(joined(2, refresh=every), method, replicates=2)
    assert len(made) == times
    codes = joined(2).joint.codes
    across = found.graph - within_groups(found.graph, codes)
    assert across.nnz
    if times:
        assert (found.graph != made[-1]).nnz == 0
        assert (made[0] != made[1]).nnz > 0
    assert np.isfinite(found.embedding).all()


@pytest.mark.parametrize("method", ["spamask", "vimst", "mmsrl"])
@pytest.mark.parametrize("links", ["quota", "depth", "plane", "expression", "none"])
def test_methods_link_as_told(method: str, links: str) -> None:
    """Across sections only where asked; within, each section as if it were alone."""
    whole = joined(3, arrangement="serial", links=links)
    codes = whole.joint.codes
    graph = fit(whole, method, epochs=1).graph
    assert abs(graph - graph.T).max() < 1e-6
    own = within_groups(graph, codes)
    assert (graph.nnz > own.nnz) == (links != "none")
    if links in ("quota", "expression", "none"):
        for code, part in enumerate(parts(3)):
            alone = fit(part, method, epochs=1).graph
            rows = codes == code
            assert abs(own[rows][:, rows] - alone).max() < 1e-6


def test_vimst_may_leave_links_across_out() -> None:
    codes = joined(2).joint.codes
    graph = fit(joined(2, refresh=2), "vimst", link_sections=False).graph
    assert (graph != within_groups(graph, codes)).nnz == 0


def test_weights_of_links_across_reach_the_network() -> None:
    full, light = (
        fit(joined(2, arrangement="serial", cross_weight=w)).embedding for w in (1.0, 0.05)
    )
    apart = fit(joined(2, arrangement="serial", links="none")).embedding
    assert np.abs(full - light).max() > 1e-3
    assert np.abs(light - apart).mean() < np.abs(full - apart).mean()


def test_tiles_are_cut_through_superimposed_sections() -> None:
    """The halo of three steps then holds neighbours, not the sections above and below whole."""
    sections = serial_sections(4, 20, 20, 20)
    whole = join_sections(sections, placement="row")
    codes = joint_of(whole.adata).codes
    plane = np.concatenate([s.coords for s in sections])
    whole.joint = Joint(codes, np.column_stack([plane, 10.0 * codes]), JointParams(links="quota"))
    graph = linked(whole, lambda coords, _: knn_graph(coords, 6), n_near=6, values=None)
    np.testing.assert_array_equal(tiled_coords(whole), plane)
    through, beside = (
        sum(len(tile.index) for tile in split_into_tiles(coords, graph, size=400, hops=3))
        for coords in (tiled_coords(whole), whole.coords)
    )
    assert through < 0.75 * beside
    for links in ("none", "expression"):
        settings = JointParams(links=links)
        whole.joint = Joint(codes, whole.joint.positions, settings)
        np.testing.assert_array_equal(tiled_coords(whole), whole.coords)
    np.testing.assert_array_equal(tiled_coords(sections[0]), sections[0].coords)


# Saved models


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("spamask", {}),
        ("spamask", {"features": "hvg"}),
        ("vimst", {}),
        ("vimst", {"features": "hvg"}),
        ("mmsrl", {}),
    ],
)
def test_a_saved_model_gives_the_joined_section_the_same_embedding(
    method: str, values: dict, tmp_path
) -> None:
    whole = joined(2, arrangement="serial")
    trained = fit(whole, method, **values)
    again = applied(trained, whole, tmp_path / "m.safetensors", method)
    np.testing.assert_allclose(again.inputs, trained.inputs, atol=1e-4)
    np.testing.assert_allclose(again.embedding, trained.embedding, atol=1e-3)


@pytest.mark.parametrize("method", ["spamask", "mmsrl"])
def test_a_saved_model_links_by_what_it_learned(method: str, tmp_path, monkeypatch) -> None:
    """Closer to the trained answer than with the links that training began with."""
    whole = joined(2, refresh=10)
    trained = fit(whole, method, epochs=30)
    path = tmp_path / "m.safetensors"
    anew = applied(trained, whole, path, method)
    monkeypatch.setattr(Relinking, "happens", lambda *_: False)
    first = applied(trained, whole, path, method)

    def common(fit_: Fit) -> float:
        one, other = ((f.graph - within_groups(f.graph, whole.joint.codes)) > 0
                      for f in (fit_, trained))  # fmt: skip
        return one.multiply(other).nnz / (one + other).nnz

    def error(fit_: Fit) -> float:
        return float(np.abs(fit_.embedding - trained.embedding).mean())

    assert common(anew) > common(first)
    assert error(anew) < error(first)


@pytest.mark.parametrize("method", ["spamask", "vimst", "mmsrl"])
def test_a_saved_model_keeps_links_that_training_never_found_anew(method: str, tmp_path) -> None:
    whole = joined(2, refresh=5)
    trained = fit(whole, method, epochs=5)
    again = applied(trained, whole, tmp_path / "m.safetensors", method)
    assert (again.graph != trained.graph).nnz == 0
    np.testing.assert_allclose(again.embedding, trained.embedding, atol=1e-3)


@pytest.mark.parametrize("method", ["spamask", "vimst", "mmsrl"])
def test_a_saved_model_says_where_it_standardises_otherwise_than_asked(
    method: str, tmp_path
) -> None:
    def said(trained_on: str, asked: str) -> list[str]:
        trained = fit(joined(2, standardise=trained_on), method)
        found = applied(trained, joined(2, standardise=asked), tmp_path / "m", method)
        return [note for note in found.details["notes"] if "standardised" in note]

    assert said("section", "section") == said("joint", "joint") == []
    assert "within each section" in said("section", "joint")[0]
    assert "over all sections" in said("joint", "section")[0]


def test_the_released_mmsrl_says_what_it_does_not_use() -> None:
    def said(**settings) -> str:
        return " ".join(fit(joined(2, **settings), "mmsrl", mode="reference").details["notes"])

    assert "standardise, refresh." in said()
    without = said(standardise="joint", links="none")
    assert "standardise" not in without
    assert "refresh" not in without


def test_a_saved_model_standardises_a_new_section_by_itself(tmp_path) -> None:
    trained = fit(joined(2), "spamask")
    new = serial_sections(4)[3]
    found = applied(trained, new, tmp_path / "m.safetensors")
    state = get("spamask").load(tmp_path / "m.safetensors")
    assert state.scale.shape == (2, len(state.gene_names))
    genes = new.adata.var_names.get_indexer(list(state.gene_names))
    z = dense_z(normalised(new, genes, state.params), np.zeros(new.n_spots, dtype=int))
    np.testing.assert_allclose(found.inputs, z @ state.components.T, atol=2e-3)
    assert np.isfinite(found.embedding).all()


def test_a_saved_model_of_a_run_corrected_together_keeps_its_units(tmp_path) -> None:
    """With joint standardising a new section is measured in the units of the training."""
    trained = fit(joined(2, standardise="joint"))
    state_path = tmp_path / "m.safetensors"
    new = serial_sections(4)[3]
    found = applied(trained, new, state_path)
    state = get("spamask").load(state_path)
    assert state.scale.ndim == 1
    genes = new.adata.var_names.get_indexer(list(state.gene_names))
    values = normalised(new, genes, state.params).toarray()
    scaled = np.minimum(values / state.scale, state.ceiling)
    expected = (scaled - state.centre) @ state.components.T
    np.testing.assert_allclose(found.inputs, expected, atol=2e-3)


@pytest.mark.parametrize("method", ["spamask", "vimst"])
def test_denoised_genes_keep_the_level_of_their_section(method: str) -> None:
    """Close to what each section gives alone, although the network saw no levels."""
    single = parts(2)
    whole = joined(2)
    together = fit(whole, method, denoise=True, epochs=60)
    codes = whole.joint.codes
    layer, flag = together.layers["denoised"].toarray(), together.var["denoised"]
    assert layer.min() >= 0
    for code, part in enumerate(single):
        alone = fit(part, method, denoise=True, epochs=60)
        both = flag & alone.var["denoised"]
        ours, theirs = layer[codes == code][:, both], alone.layers["denoised"].toarray()[:, both]
        assert np.corrcoef(ours.mean(axis=0), theirs.mean(axis=0))[0, 1] > 0.995
        assert np.abs(ours.mean(axis=0) - theirs.mean(axis=0)).mean() < 0.1
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.95
    # Levels differ between sections, and so does the layer.
    gap = layer[codes == 0].mean(axis=0) - layer[codes == 1].mean(axis=0)
    values = normalised(whole, np.arange(80), SpaMaskParams(**SMALL)).toarray()
    expected = values[codes == 0].mean(axis=0) - values[codes == 1].mean(axis=0)
    assert np.corrcoef(gap[flag], expected[flag])[0, 1] > 0.99
