"""Several sections in one frame, and the way back."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import banded

import napari_stmask as stm
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.joining import join_sections, split_joined
from napari_stmask.core.section import Section
from napari_stmask.features.graph import knn_graph


def halves(name: str = "half") -> tuple[Section, list[Section]]:
    whole, band = banded(20, 20, 60)
    whole.adata.obs["band"] = pd.Categorical([f"b{b}" for b in band])
    whole.spot_diameter = 55.0
    left = whole.coords[:, 0] < whole.coords[:, 0].mean()
    parts = [
        Section(
            whole.adata[rows].copy(),
            name=name,
            um_per_px=whole.um_per_px,
            platform="visium",
            spot_diameter=55.0,
        )
        for rows in (left, ~left)
    ]
    return whole, parts


def test_two_halves_are_the_whole() -> None:
    whole, parts = halves()
    joined = join_sections(parts)
    order = joined.adata.obs_names
    assert sorted(order) == sorted(whole.adata.obs_names)  # no clash, no prefix
    back = whole.adata.obs_names.get_indexer(order)
    np.testing.assert_allclose(joined.coords, whole.coords[back] * whole.um_per_px)
    ours, theirs = knn_graph(joined.coords, 6), knn_graph(whole.coords, 6)[back][:, back]
    assert abs(ours - theirs).nnz == 0
    assert abs(joined.counts() - whole.counts()[back]).nnz == 0
    assert joined.lattice.kind == "hexagonal"
    assert joined.lattice.pitch == pytest.approx(100)
    assert (joined.um_per_px, joined.platform, joined.image) == (1.0, "visium", None)
    assert joined.spot_diameter == pytest.approx(55 * whole.um_per_px)
    assert joined.notes == []
    assert (
        joined.adata.obs["band"].astype(str) == whole.adata.obs["band"].astype(str)[order]
    ).all()
    assert list(joined.adata.obs["section"].cat.categories) == ["half", "half-2"]


def test_true_scale() -> None:
    """The same tissue scanned at twice the resolution has the same size in µm."""
    _, parts = halves()
    fine = parts[1].adata.copy()
    fine.obsm["spatial"] = 2 * parts[1].coords
    finer = Section(fine, name="fine", um_per_px=parts[1].um_per_px / 2, platform="visium")
    one, two = join_sections(parts), join_sections([parts[0], finer])
    np.testing.assert_allclose(one.coords, two.coords)
    assert two.spot_diameter is None  # unknown for one of them


@pytest.mark.parametrize("gap", [None, 300.0, 0.0])
def test_a_row(gap) -> None:
    _, parts = halves()
    joined = join_sections([*parts, parts[0]], placement="row", gap_um=gap)
    of = joined.adata.obs["section"].cat.codes.to_numpy()
    right = -np.inf
    for i, part in enumerate([*parts, parts[0]]):
        place = joined.coords[of == i]
        if i:
            assert place[:, 0].min() - right == pytest.approx(1000 if gap is None else gap)
        right = place[:, 0].max()
        assert place[:, 1].min() == 0
        shift = place - part.coords * part.um_per_px
        np.testing.assert_allclose(shift, shift[[0]].repeat(len(shift), axis=0), atol=1e-9)
    if gap is None:
        graph = knn_graph(joined.coords, 6).tocoo()
        assert (of[graph.row] == of[graph.col]).all()
    assert joined.adata.obs_names[0] == f"half_{parts[0].adata.obs_names[0]}"
    assert joined.adata.obs_names.is_unique


def test_offsets() -> None:
    _, parts = halves()
    joined = join_sections(parts, offsets=[(0, 0), (5000, -20)])
    plain = join_sections(parts)
    n = parts[0].n_spots
    np.testing.assert_allclose(joined.coords[:n], plain.coords[:n])
    np.testing.assert_allclose(joined.coords[n:] - plain.coords[n:], [[5000, -20]] * (400 - n))


def test_sections_on_one_another_are_noted() -> None:
    _, parts = halves()
    joined = join_sections([parts[0], parts[0]])
    assert f"{parts[0].n_spots} spots of half-2 lie on spots of half" in joined.notes[0]


def test_common_genes_in_the_first_order() -> None:
    _, parts = halves()
    shuffled = parts[1].adata[:, ::-1].copy()
    shuffled = shuffled[:, 5:].copy()
    other = Section(shuffled, name="other", um_per_px=parts[1].um_per_px, platform="visium")
    joined = join_sections([parts[0], other])
    assert joined.adata.var_names.tolist() == [f"GENE{i}" for i in range(55)]
    n = parts[0].n_spots
    assert abs(joined.counts()[n:] - parts[1].counts()[:, :55]).nnz == 0
    chosen = join_sections([parts[0], other], genes=["GENE9", "GENE2"])
    assert chosen.adata.var_names.tolist() == ["GENE9", "GENE2"]
    assert abs(chosen.counts() - joined.counts()[:, [9, 2]]).nnz == 0


def test_what_is_kept() -> None:
    _, parts = halves()
    for i, s in enumerate(parts):
        s.adata.obsm["image"] = np.full((s.n_spots, 4), i, dtype=np.float32)
        s.adata.obsm["uneven"] = np.zeros((s.n_spots, 2 + i))
        s.adata.obs["score"] = float(i)
        s.notes = ["assumed"]
    parts[0].adata.obsm["only"] = np.zeros((parts[0].n_spots, 2))
    parts[0].adata.obs["only"] = 1
    parts[1].platform = "st"
    parts[1].spot_diameter = 80.0
    joined = join_sections(parts, name="both")
    assert set(joined.adata.obsm) == {"spatial", "image"}
    assert set(joined.adata.obs) == {"band", "score", "section"}
    code = joined.adata.obs["section"].cat.codes
    np.testing.assert_array_equal(joined.adata.obsm["image"][:, 0], code)
    np.testing.assert_array_equal(joined.adata.obs["score"], code)
    assert isinstance(joined.adata.obs["band"].dtype, pd.CategoricalDtype)
    assert (joined.name, joined.platform) == ("both", "unknown")
    assert "half: assumed" in joined.notes
    assert "half-2: assumed" in joined.notes
    assert any("diameters" in note for note in joined.notes)


def test_answers_of_earlier_runs_are_left_out() -> None:
    _, parts = halves()
    fast = {"epochs": 2, "replicates": 1, "threads": 1, "baselines": False}
    stm.run("spamask", parts[0], n_domains=2, **fast)
    stm.run("spamask", parts[1], n_domains=2, **fast)
    joined = join_sections(parts)
    assert set(joined.adata.obs) == {"band", "section"}
    assert set(joined.adata.obsm) == {"spatial"}
    assert "stmask" not in joined.adata.uns
    stm.run("spamask", joined, n_domains=2, **fast)


def test_counts_in_a_layer() -> None:
    _, parts = halves()
    expected = join_sections(parts).counts()
    first = parts[0].adata.copy()
    first.layers["raw"] = first.X
    first.X = first.X * 0.5
    layered = Section(first, name="half", um_per_px=parts[0].um_per_px, counts_layer="raw")
    assert abs(join_sections([layered, parts[1]]).counts() - expected).nnz == 0


def test_scales_that_do_not_fit() -> None:
    _, parts = halves()
    bare = [Section(s.adata.copy(), name=f"p{i}") for i, s in enumerate(parts)]
    with pytest.raises(DataError, match="the scale of p0 is unknown"):
        join_sections([bare[0], parts[1]])
    joined = join_sections(bare)
    assert joined.um_per_px is None
    assert "no section is known" in joined.notes[0]
    np.testing.assert_allclose(joined.coords[: bare[0].n_spots], bare[0].coords)


def test_mistakes() -> None:
    _, parts = halves()
    for options, said in (
        ({"placement": "circle"}, "placement is 'circle'"),
        ({"gap_um": 5.0}, "gap was given without a row"),
        ({"placement": "row", "gap_um": -1.0}, "gap_um is -1"),
        ({"placement": "row", "offsets": [(0, 0), (1, 1)]}, "offsets were given for a row"),
        ({"offsets": [(0, 0)]}, "offsets have shape"),
        ({"genes": "union"}, "genes is 'union'"),
        ({"genes": ["GENE1", "nonsense"]}, "nonsense"),
        ({"genes": []}, "no gene was named"),
    ):
        with pytest.raises(ParameterError, match=said):
            join_sections(parts, **options)
    with pytest.raises(ParameterError, match="1 sections were given"):
        join_sections(parts[:1])
    renamed = parts[1].adata.copy()
    renamed.var_names = [f"ENSG{i}" for i in range(60)]
    with pytest.raises(DataError, match="no gene in common"):
        join_sections([parts[0], Section(renamed, um_per_px=parts[1].um_per_px)])


@pytest.mark.parametrize("clash", [False, True])
def test_a_joint_run_comes_back(clash: bool, tmp_path) -> None:
    _, parts = halves()
    if clash:
        for s in parts:
            s.adata.obs_names = [f"x{i}" for i in range(s.n_spots)]
    parts[1] = Section(
        parts[1].adata[:, ::-1][:, :50].copy(),  # ten genes less, the other way round
        name="half",
        um_per_px=parts[1].um_per_px,
        platform="visium",
    )
    parts[0].adata.obs["mine"] = 7
    joined = join_sections(parts)
    stm.run("spamask", joined, n_domains=3, epochs=2, replicates=1, threads=1, denoise=True)
    split_joined(joined, parts)
    of = joined.adata.obs["section"]
    for s, label in zip(parts, ("half", "half-2"), strict=True):
        rows = (of == label).to_numpy()
        there, here = joined.adata[rows], s.adata
        assert (
            here.obs["spamask"].astype(str).to_numpy() == there.obs["spamask"].astype(str)
        ).all()
        assert here.obs["spamask"].cat.categories.tolist() == ["1", "2", "3"]
        np.testing.assert_array_equal(here.obsm["X_spamask"], there.obsm["X_spamask"])
        graph = joined.adata.obsp["spamask_graph"][rows][:, rows]
        assert abs(here.obsp["spamask_graph"] - graph).nnz == 0
        layer = here.layers["spamask_denoised"]
        assert layer.shape == here.shape
        common = joined.adata.var_names
        part = layer[:, here.var_names.get_indexer(common)]
        assert abs(part - there.layers["spamask_denoised"]).max() == 0
        outside = ~here.var_names.isin(common)
        assert layer[:, np.flatnonzero(outside)].nnz == 0
        flags = pd.Series(np.asarray(here.var["spamask_denoised"]), index=here.var_names)
        assert (flags[common].to_numpy() == joined.adata.var["spamask_denoised"].to_numpy()).all()
        assert not flags[outside].any()
        assert here.uns["spamask_colors"] == joined.adata.uns["spamask_colors"]
        # It is stored like any run: written, read and replaced by the next one.
        again = stm.read(stm.write(s, tmp_path / f"{label}.h5ad"))
        assert again.adata.obs["spamask"].notna().all()
    assert (parts[0].adata.obs["mine"] == 7).all()
    stm.run("spamask", parts[0], n_domains=2, epochs=2, replicates=1, threads=1)
    assert "spamask_denoised" not in parts[0].adata.layers
    split_joined(joined, parts)
    assert parts[0].adata.obs["spamask"].nunique() > 1
    assert "spamask_denoised" in parts[0].adata.layers


def test_splitting_needs_the_same_sections() -> None:
    _, parts = halves()
    joined = join_sections(parts)
    with pytest.raises(DataError, match="holds no run"):
        split_joined(joined, parts)
    stm.run("spamask", joined, n_domains=2, epochs=2, replicates=1, threads=1, baselines=False)
    with pytest.raises(DataError, match="spots of 'half' are not in"):
        split_joined(joined, parts[::-1])
    assert "spamask" not in parts[0].adata.obs
    assert "spamask" not in parts[1].adata.obs
    parts[1].adata.obsm["X_spamask"] = np.zeros((parts[1].n_spots, 2))
    with pytest.raises(DataError, match=r"obsm\['X_spamask'\] holds something that no run wrote"):
        split_joined(joined, parts)
    assert "spamask" not in parts[0].adata.obs
    del joined.adata.obs["section"], parts[1].adata.obsm["X_spamask"]
    with pytest.raises(DataError, match="no column 'section'"):
        split_joined(joined, parts)


def test_input_is_not_changed() -> None:
    _, parts = halves()
    before = [s.adata.copy() for s in parts]
    joined = join_sections(parts, placement="row")
    joined.adata.X.data[:] = 99
    joined.adata.obsm["spatial"][:] = 0
    for s, old in zip(parts, before, strict=True):
        assert abs(sp.csr_matrix(s.adata.X) - old.X).nnz == 0
        np.testing.assert_array_equal(s.adata.obsm["spatial"], old.obsm["spatial"])
        assert list(s.adata.obs_names) == list(old.obs_names)
