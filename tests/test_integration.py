"""Several sections as one run, from what a caller gives to what is written."""

import gc
import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData, read_h5ad
from sklearn.metrics import adjusted_rand_score
from tests.features.tissue import blob, pattern_section
from tests.helpers import hexagons
from tests.serial import bands, serial_sections

import napari_stmask as stm
from napari_stmask.analysis.integration import SCORES
from napari_stmask.analysis.lisi import lisi
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.joint import JointParams
from napari_stmask.core.provenance import read_record
from napari_stmask.core.section import Section
from napari_stmask.features.alignment import Alignment
from napari_stmask.io.sample import sample_section
from napari_stmask.models.image_input import CARRIED
from napari_stmask.placement import ALIGNED, joined_for_run

QUICK = {
    "epochs": 3, "replicates": 1, "threads": 1, "n_domains": 4, "n_pcs_in": 10, "hidden": 16,
    "latent": 8,
}  # fmt: skip
FAST = {**QUICK, "baselines": False, "scores": False}
HERE = [np.eye(3), np.eye(3)]


def of(method: str) -> dict:
    return FAST | ({"decoder_epochs": 1} if method == "mmsrl" else {})


def contents(section: Section) -> dict:
    """Everything on the table of a section, to compare before and after."""
    adata = section.adata
    return {
        "obs": adata.obs.copy(),
        **{
            slot: {name: getattr(adata, slot)[name] for name in getattr(adata, slot)}
            for slot in ("uns", "obsm", "obsp", "layers", "var")
        },
    }


def assert_untouched(sections: list[Section], before: list[dict]) -> None:
    for section, old in zip(sections, before, strict=True):
        new = contents(section)
        pd.testing.assert_frame_equal(new.pop("obs"), old.pop("obs"))
        for slot, values in new.items():
            assert list(values) == list(old[slot]), slot


# What is answered


@pytest.fixture(scope="module")
def whole() -> stm.Integration:
    """One run with everything; not to be changed."""
    return stm.integrate(
        "spamask", serial_sections(3), arrangement="serial", transforms=[np.eye(3)] * 3,
        denoise=True, smooth_labels=True, **QUICK,
    )  # fmt: skip


def test_domains_mean_the_same_in_every_section(whole) -> None:
    obs = whole.joined.adata.obs
    for section in whole.sections:
        adata = section.adata
        for column in ("spamask", "spamask_refined"):
            assert list(adata.obs[column].cat.categories) == list(obs[column].cat.categories)
            expected = obs.loc[adata.obs_names, column].astype(str).tolist()
            assert adata.obs[column].astype(str).tolist() == expected
            assert list(adata.uns[f"{column}_colors"]) == whole.result.colors
        rows = obs.index.get_indexer(adata.obs_names)
        np.testing.assert_array_equal(adata.obsm["X_spamask"], whole.result.embedding[rows])
        layer = whole.result.fit.layers["denoised"][rows]
        assert abs(adata.layers["spamask_denoised"] - layer).max() == 0
    assert len(whole.result.colors) == 4


def test_record_says_how_the_sections_went_together(whole) -> None:
    for section in [whole.joined, *whole.sections]:
        record = read_record(section.adata, "spamask")
        joint = record["joint"]
        assert joint["settings"] == json.loads(JointParams(arrangement="serial").model_dump_json())
        assert joint["sections"] == ["s0", "s1", "s2"]
        assert [a["method"] for a in joint["alignments"]] == ["given"] * 3
        assert joint["alignments"][1]["matrix"] == np.eye(3).tolist()
        assert list(joint["scores"]) == list(whole.table.index)
        for name, row in joint["scores"].items():
            found = whole.table.loc[name].to_dict()
            assert {k: v for k, v in row.items() if v is not None} == pytest.approx(
                {k: v for k, v in found.items() if np.isfinite(v)}, abs=1e-6
            )
        assert record["params"]["epochs"] == 3


def test_record_survives_a_file(whole, tmp_path) -> None:
    for i, section in enumerate([whole.joined, whole.sections[1]]):
        section.adata.write_h5ad(tmp_path / f"{i}.h5ad")
        back = read_h5ad(tmp_path / f"{i}.h5ad")
        assert read_record(back, "spamask") == read_record(section.adata, "spamask")
        assert list(back.obs["spamask"].cat.categories) == ["1", "2", "3", "4"]
    assert read_h5ad(tmp_path / "0.h5ad").obsm[ALIGNED].shape == (360, 3)


def test_table_has_controls_first_and_the_method_last(whole) -> None:
    assert list(whole.table.columns) == list(SCORES)
    assert list(whole.table.index) == [
        "expression as measured",
        "input",
        "neighbour mean within sections",
        "neighbour mean with links across",
        "SpaMask",
    ]
    assert np.isfinite(whole.table.to_numpy()).all()
    assert whole.table["iLISI"].between(1, 3).all()
    # Links across can only mix more; genes at other levels keep what was measured apart.
    mixing = whole.table["iLISI"]
    assert mixing["neighbour mean with links across"] > mixing["neighbour mean within sections"]
    assert mixing["expression as measured"] < mixing["input"]
    assert whole.before.shape[0] == 360


def test_places_and_depths_are_kept_on_the_joined_section(whole) -> None:
    found = whole.joined.adata.obsm[ALIGNED]
    for i, section in enumerate(whole.sections):
        rows = (whole.joined.adata.obs["section"] == section.name).to_numpy()
        np.testing.assert_allclose(found[rows, :2], section.coords)
        assert set(found[rows, 2]) == {10.0 * i}
        assert ALIGNED not in section.adata.obsm
    # The sections themselves lie side by side.
    trees = [whole.joined.coords[:120], whole.joined.coords[120:240]]
    assert trees[0][:, 0].max() < trees[1][:, 0].min()


def test_shares_and_scores_of_sections(whole) -> None:
    shares = whole.composition
    assert list(shares.index) == ["s0", "s1", "s2"]
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    codes = whole.result.domains.codes[:120]
    assert shares.loc["s0", "1"] == pytest.approx((codes == 0).mean())
    table = whole.scores("ground_truth")
    assert list(table.index) == ["s0", "s1", "s2", "all"]
    ours = whole.result.refined
    truth = np.tile(bands(), 3)
    assert table.loc["all", "ARI"] == pytest.approx(adjusted_rand_score(truth, ours))
    assert table.loc["s1", "ARI"] == pytest.approx(
        adjusted_rand_score(truth[120:240], ours[120:240])
    )
    with pytest.raises(ParameterError, match="no common column 'layer'"):
        whole.scores("layer")


def test_what_is_left_out_on_request() -> None:
    out = stm.integrate("spamask", serial_sections(), **FAST)
    assert out.table.empty
    assert out.alignments == []
    assert not out.result.baselines
    assert read_record(out.sections[0].adata, "spamask")["joint"]["scores"] == {}
    assert "2 sections" in repr(out)


# Nothing but counts and places matters


@pytest.mark.parametrize("method", ["spamask", "vimst", "mmsrl"])
def test_labels_have_no_influence_and_a_seed_gives_one_answer(method: str) -> None:
    made = []
    for labels in ("as they are", "permuted", "none", "as they are"):
        sections = serial_sections()
        for i, section in enumerate(sections):
            truth = section.adata.obs["ground_truth"].to_numpy()
            if labels == "permuted":
                section.adata.obs["ground_truth"] = np.random.default_rng(i).permutation(truth)
            if labels == "none":
                del section.adata.obs["ground_truth"]
        made.append(stm.integrate(method, sections, **of(method)))
    for other in made[1:]:
        np.testing.assert_array_equal(other.result.embedding, made[0].result.embedding)
        np.testing.assert_array_equal(other.result.domains.codes, made[0].result.domains.codes)
        assert other.result.colors == made[0].result.colors
    another = stm.integrate(method, serial_sections(), **(of(method) | {"seed": 1}))
    assert not np.array_equal(another.result.embedding, made[0].result.embedding)


def test_a_column_named_section_of_the_user_s_is_no_hint() -> None:
    plain, marked = serial_sections(), serial_sections()
    for section in marked:
        section.adata.obs["section"] = section.adata.obs["ground_truth"]
    a, b = (stm.integrate("spamask", s, **FAST) for s in (plain, marked))
    np.testing.assert_array_equal(a.result.embedding, b.result.embedding)
    assert list(marked[0].adata.obs["section"]) == list(marked[0].adata.obs["ground_truth"])


def test_adata_and_paths_and_sections_give_the_same(tmp_path) -> None:
    expected = stm.integrate("spamask", serial_sections(), **FAST)
    tables = [s.adata for s in serial_sections()]
    paths = []
    for i, adata in enumerate(tables):
        paths.append(tmp_path / f"s{i}.h5ad")
        adata.write_h5ad(paths[-1])
    for data in (tables, paths, [str(paths[0]), tables[1]]):
        fresh = [d.copy() if isinstance(d, AnnData) else d for d in data]
        out = stm.integrate("spamask", fresh, preset="visium", **FAST)
        np.testing.assert_allclose(out.result.embedding, expected.result.embedding, atol=1e-5)
        for given, section in zip(fresh, out.sections, strict=True):
            if isinstance(given, AnnData):
                assert section.adata is given
            assert "spamask" in section.adata.obs


# All sections or none


def test_a_foreign_column_is_found_before_any_work() -> None:
    sections = serial_sections(3)
    sections[2].adata.obs["spamask"] = "mine"
    before = [contents(s) for s in sections]
    steps = stm.iter_integrate("spamask", sections, **FAST)
    assert next(steps).phase == "reading"
    with pytest.raises(ParameterError, match=r"'s2'.*obs\['spamask'\] holds something"):
        next(steps)
    assert_untouched(sections, before)
    stm.integrate("spamask", sections, key_added="ours", **FAST)
    assert (sections[2].adata.obs["spamask"] == "mine").all()
    assert "ours" in sections[2].adata.obs


@pytest.mark.parametrize("phase", ["preparing", "training", "clustering", "writing"])
def test_closing_the_stream_leaves_every_section_as_it_was(phase: str) -> None:
    sections = serial_sections()
    before = [contents(s) for s in sections]
    steps = stm.iter_integrate("spamask", sections, **(FAST | {"scores": True}))
    reached = False
    for event in steps:
        if event.phase == phase:
            reached = True
            break
    steps.close()
    assert reached
    assert_untouched(sections, before)


def test_the_last_step_is_the_first_that_writes() -> None:
    sections = serial_sections()
    before = [contents(s) for s in sections]
    phases = []
    for event in stm.iter_integrate("spamask", sections, **(FAST | {"scores": True})):
        phases.append(event.phase)
        assert_untouched(sections, [dict(b) for b in before])
    assert phases[-1] == "writing"
    assert all("spamask" in s.adata.obs for s in sections)


def test_a_second_run_replaces_the_first() -> None:
    sections = serial_sections()
    stm.integrate("spamask", sections, denoise=True, **FAST)
    out = stm.integrate("spamask", sections, **(FAST | {"n_domains": 3}))
    for section in sections:
        assert "spamask_denoised" not in section.adata.layers
        assert len(section.adata.obs["spamask"].cat.categories) == 3
    assert "spamask_graph" in sections[0].adata.obsp
    assert out.result.domains.n_domains == 3


# Placing


def moved(section: Section, matrix: np.ndarray) -> Section:
    """The section with its positions moved, and the matrix back."""
    place = np.column_stack([section.coords, np.ones(section.n_spots)])
    section.adata.obsm["spatial"] = (place @ matrix.T)[:, :2]
    return Section(section.adata, name=section.name, um_per_px=1.0, platform="visium")


def test_transforms_bring_sections_together() -> None:
    angle = np.radians(30)
    turn = np.array(
        [
            [np.cos(angle), -np.sin(angle), 500],
            [np.sin(angle), np.cos(angle), -70],
            [0, 0, 1],
        ]
    )
    straight = stm.integrate(
        "spamask", serial_sections(), arrangement="serial", transforms=HERE, **FAST
    )
    first, second = serial_sections()
    out = stm.integrate(
        "spamask", [first, moved(second, turn)], arrangement="serial",
        transforms=[np.eye(3).tolist(), Alignment(np.linalg.inv(turn), "landmarks", 1.0)], **FAST,
    )  # fmt: skip
    np.testing.assert_allclose(
        out.joined.adata.obsm[ALIGNED], straight.joined.adata.obsm[ALIGNED], atol=1e-6
    )
    assert [a.method for a in out.alignments] == ["given", "landmarks"]
    graphs = [o.result.fit.graph[:120, 120:] for o in (out, straight)]
    # Ties of superimposed lattices are broken by rounding alone: the twins are linked in both.
    assert all((g.diagonal() == 1).all() for g in graphs)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"transforms": [np.eye(3)]}, "1 transforms were given for 2 sections"),
        ({"transforms": [np.eye(3), np.eye(2)]}, "3 x 3"),
        ({"transforms": [np.eye(3), np.zeros((3, 3))]}, "transform"),
        ({"transforms": [np.eye(3), np.full((3, 3), np.nan)]}, "transform"),
        ({"transforms": HERE, "gaps_um": [10, 10]}, "gaps_um is"),
        ({"transforms": HERE, "gaps_um": []}, "gaps_um is"),
        ({"transforms": HERE, "gaps_um": [-1]}, "gaps_um is"),
        ({"transforms": HERE, "gaps_um": [np.nan]}, "gaps_um is"),
        ({"transforms": HERE, "spacing_um": -1}, "spacing_um"),
        ({"transforms": HERE, "links": "sideways"}, "links"),
        ({"transforms": HERE, "colour": "red"}, "colour"),
        ({"joint": "sideways"}, "sideways"),
        ({"joint": JointParams(), "links": "none"}, "both given"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_written(values: dict, match: str) -> None:
    sections = serial_sections()
    before = [contents(s) for s in sections]
    asked = {"arrangement": "serial"} if "joint" not in values else {}
    with pytest.raises(ParameterError, match=match):
        stm.integrate("spamask", sections, **asked, **values, **FAST)
    assert_untouched(sections, before)


@pytest.mark.parametrize("arrangement", ["separate", "adjoining"])
def test_gaps_are_of_serial_sections_alone(arrangement: str) -> None:
    with pytest.raises(ParameterError, match="gaps_um"):
        stm.integrate(
            "spamask", serial_sections(), arrangement=arrangement, gaps_um=[300.0], **FAST
        )


def test_transforms_are_not_for_separate_sections() -> None:
    with pytest.raises(ParameterError, match="separate"):
        stm.integrate("spamask", serial_sections(), transforms=HERE, **FAST)


def test_gaps_make_depths_and_far_sections_have_no_links() -> None:
    out = stm.integrate(
        "spamask", serial_sections(3), arrangement="serial", transforms=[np.eye(3)] * 3,
        gaps_um=[10, 300], max_gap_um=50, **FAST,
    )  # fmt: skip
    depth = out.joined.adata.obsm[ALIGNED][:, 2]
    assert [set(depth[i : i + 120]) for i in (0, 120, 240)] == [{0.0}, {10.0}, {310.0}]
    graph = out.result.fit.graph
    assert graph[:120, 120:240].nnz
    assert not graph[:240, 240:].nnz


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_sections(n: int) -> None:
    with pytest.raises(ParameterError, match=f"{n} sections were given"):
        stm.integrate("spamask", serial_sections()[:n], **FAST)


@pytest.mark.parametrize("method", ["spacex", "spahgc"])
def test_methods_of_one_section_are_refused_by_name(method: str) -> None:
    title = {"spacex": "SpaCEX", "spahgc": "SpaHGC"}[method]
    with pytest.raises(ParameterError, match=f"{title}|{method}"):
        stm.integrate(method, serial_sections())


def test_a_doubtful_alignment_is_refused_with_what_is_wrong() -> None:
    """A strip of other tissue is no neighbour in a block."""
    round_ = pattern_section(blob(), name="round")
    tissue = hexagons(8, 60, 100.0)
    strip = pattern_section(tissue - tissue.mean(axis=0), name="strip", seed=1)
    order = np.random.default_rng(0).permutation(strip.n_spots)
    strip.adata.X = strip.adata.X[order]
    sections = [round_, strip]
    before = [contents(s) for s in sections]
    with pytest.raises(DataError) as caught:
        stm.integrate("spamask", sections, arrangement="serial", **FAST)
    assert "transforms" in str(caught.value)
    assert "pitches apart" in caught.value.problem
    assert_untouched(sections, before)
    out = stm.integrate("spamask", sections, arrangement="serial", accept_poor=True, **FAST)
    problem = out.alignments[1].problem
    assert f"strip: {problem}".startswith(caught.value.problem)
    assert out.alignments[1].residual > 200
    assert f"strip: {problem}" in out.joined.notes
    record = read_record(strip.adata, "spamask")
    assert record["joint"]["alignments"][1]["problem"] == problem
    assert f"strip: {problem}" in record["notes"]


def test_align_sections_gives_what_integrate_takes() -> None:
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    tissue = blob()
    sections = [
        pattern_section(tissue, name="a"),
        pattern_section(tissue, tissue @ turn.T, name="b", seed=1),
    ]
    found = stm.align_sections(sections, flip="never")
    np.testing.assert_allclose(found[1].matrix[:2, :2], turn.T, atol=0.02)
    out = stm.integrate("spamask", sections, arrangement="serial", transforms=found, **FAST)
    assert out.alignments == found
    first, second = np.split(out.joined.adata.obsm[ALIGNED][:, :2], 2)
    assert np.linalg.norm(first - second, axis=1).mean() < 20


# Sections that differ


def test_empty_spots_have_no_domain() -> None:
    sections = serial_sections()
    for section, rows in zip(sections, ([3, 7], [0]), strict=True):
        counts = section.adata.X.tolil()
        counts[rows] = 0
        section.adata.X = sp.csr_matrix(counts)
    out = stm.integrate(
        "spamask", sections, arrangement="serial", transforms=HERE, **(FAST | {"scores": True})
    )
    for section, rows in zip(sections, ([3, 7], [0]), strict=True):
        missing = section.adata.obs["spamask"].isna().to_numpy()
        assert np.flatnonzero(missing).tolist() == rows
        assert np.isnan(section.adata.obsm["X_spamask"][rows]).all()
    assert np.isfinite(out.table.to_numpy()).all()
    assert out.result.fit.graph.shape == (240, 240)


def test_a_section_without_any_counts_is_left_alone() -> None:
    sections = serial_sections(3)
    sections[2].adata.X = sp.csr_matrix(sections[2].adata.shape, dtype=np.float32)
    out = stm.integrate("spamask", sections, **(FAST | {"scores": True}))
    assert sections[2].adata.obs["spamask"].isna().all()
    assert sections[0].adata.obs["spamask"].notna().all()
    assert list(out.joined.adata.obs["section"].cat.categories) == ["s0", "s1", "s2"]


def test_only_genes_of_all_sections_take_part() -> None:
    first, second = serial_sections()
    second.adata.var_names = [f"GENE{i}" for i in range(20, 100)]
    out = stm.integrate("spamask", [first, second], denoise=True, **FAST)
    assert list(out.joined.adata.var_names) == [f"GENE{i}" for i in range(20, 80)]
    assert not first.adata.var["spamask_denoised"][:20].any()
    assert first.adata.var["spamask_denoised"][20:].any()
    assert not second.adata.var["spamask_denoised"][60:].any()
    assert second.adata.layers["spamask_denoised"].shape == (120, 80)
    second.adata.var_names = [f"OTHER{i}" for i in range(80)]
    with pytest.raises(DataError, match="no gene in common"):
        stm.integrate("spamask", [first, second], **FAST)


def test_sections_of_different_scales_keep_their_size() -> None:
    first, second = serial_sections()
    second.adata.obsm["spatial"] = second.coords / 0.25
    second = Section(second.adata, name="s1", um_per_px=0.25, platform="visium")
    out = stm.integrate("spamask", [first, second], arrangement="serial", transforms=HERE, **FAST)
    straight = stm.integrate(
        "spamask", serial_sections(), arrangement="serial", transforms=HERE, **FAST
    )
    np.testing.assert_allclose(out.joined.coords, straight.joined.coords, atol=1e-6)
    np.testing.assert_allclose(
        out.joined.adata.obsm[ALIGNED], straight.joined.adata.obsm[ALIGNED], atol=1e-6
    )
    np.testing.assert_allclose(out.result.embedding, straight.result.embedding, atol=1e-3)
    # The user's own coordinates stay in pixels.
    assert np.ptp(second.coords[:, 0]) == pytest.approx(4 * np.ptp(first.coords[:, 0]))


def test_scales_must_be_known_for_all_or_none() -> None:
    first, second = serial_sections()
    irregular = np.random.default_rng(0).uniform(0, 900, (120, 2))
    unknown = []
    for section in (first, second):
        section.adata.obsm["spatial"] = irregular
        unknown.append(Section(section.adata, name=section.name, platform="unknown"))
    assert unknown[1].um_per_px is None
    with pytest.raises(DataError, match="scale of s1 is unknown"):
        stm.integrate("spamask", [first, unknown[1]], **FAST)
    out = stm.integrate(
        "spamask", unknown, arrangement="serial", transforms=HERE, **(FAST | {"preset": "visium"})
    )
    assert any("scale of no section is known" in note for note in out.joined.notes)
    np.testing.assert_allclose(out.joined.adata.obsm[ALIGNED][:120, :2], irregular)


def test_sections_of_one_name_are_told_apart() -> None:
    first, second = serial_sections()
    second.adata.obs_names = first.adata.obs_names
    second.name = first.name
    out = stm.integrate("spamask", [first, second], **FAST)
    assert out.joined.adata.obs["section"].nunique() == 2
    for i, section in enumerate((first, second)):
        written = section.adata.obsm["X_spamask"]
        np.testing.assert_array_equal(written, out.result.embedding[120 * i : 120 * (i + 1)])


# What is asked for is done


@pytest.mark.parametrize("correction", ["harmony_input", "harmony_embedding"])
def test_harmony_changes_the_answer(correction: str) -> None:
    pytest.importorskip("harmonypy", reason="the extra 'integration' is not installed")
    values = FAST | {"links": "none", "standardise": "joint"}
    codes = np.repeat([0, 1], 120)
    plain, moved_ = (
        stm.integrate("vimst", serial_sections(shift=0.15), correction=c, **values)
        for c in ("none", correction)
    )

    def apart(out: stm.Integration, values: np.ndarray) -> float:
        return float(np.median(lisi(values, codes)))

    same = np.array_equal(plain.result.fit.inputs, moved_.result.fit.inputs)
    assert same == (correction == "harmony_embedding")
    which = (lambda o: o.result.fit.inputs) if not same else (lambda o: o.result.embedding)
    assert apart(moved_, which(moved_)) > apart(plain, which(plain)) + 0.05
    assert moved_.result.embedding.dtype == np.float32


@cache
def pictured() -> tuple[Section, Section]:
    """Two small parts of the sample section with its image, not to be changed."""
    whole = sample_section()
    out = []
    for i, (low, high) in enumerate(((0.3, 0.5), (0.5, 0.7))):
        x, y = ((whole.coords - whole.coords.min(0)) / np.ptp(whole.coords, axis=0)).T
        rows = (x > low) & (x < high) & (y > 0.3) & (y < 0.8)
        adata = whole.adata[rows, :200].copy()
        out.append(
            Section(
                adata, name=f"part{i}", image=whole.image, um_per_px=whole.um_per_px,
                platform="visium", spot_diameter=whole.spot_diameter,
            )
        )  # fmt: skip
    return tuple(out)


def copies(sections) -> list[Section]:
    return [s.over(s.adata.copy()) for s in sections]


@pytest.mark.parametrize("with_image", [True, False], ids=["image", "genes"])
@pytest.mark.parametrize("arrangement", ["separate", "serial", "adjoining"])
@pytest.mark.parametrize("method", ["spamask", "vimst", "mmsrl"])
def test_every_method_takes_every_arrangement(
    method: str, arrangement: str, with_image: bool
) -> None:
    sections = copies(pictured()) if with_image else serial_sections()
    values = of(method) | ({"align_by": "none"} if arrangement == "serial" else {})
    out = stm.integrate(method, sections, arrangement=arrangement, **values)
    n = sum(s.n_spots for s in sections)
    assert out.result.embedding.shape[0] == n
    assert np.isfinite(out.result.embedding).all()
    has_views = with_image and method != "spamask"
    assert bool(out.result.views) == has_views
    for section in sections:
        assert section.adata.obs[method].notna().all()
        assert (f"{method}_image" in section.adata.obs) == has_views
        assert CARRIED not in section.adata.obsm
    assert (ALIGNED in out.joined.adata.obsm) == (arrangement == "serial")
    codes = np.repeat([0, 1], [s.n_spots for s in sections])
    i, j = out.result.fit.graph.nonzero()
    across = (codes[i] != codes[j]).any()
    # Two sheets in one place lie in no plane side by side, but their spots are there.
    assert across or (arrangement == "serial" and with_image)


def test_an_image_that_one_section_lacks_is_left_out_and_said() -> None:
    first, second = copies(pictured())
    second.image = None
    out = stm.integrate("vimst", [first, second], **FAST)
    assert not out.result.views
    assert any("image is left out" in note for note in out.joined.notes)
    with pytest.raises(DataError, match=r"part1.*has none"):
        stm.integrate("vimst", [first, second], use_image="yes", **FAST)


def test_features_of_images_are_brought_to_one_level_within_sections() -> None:
    out = stm.integrate("vimst", copies(pictured()), **FAST)
    found = out.joined.adata.obsm[CARRIED]
    n = out.sections[0].n_spots
    for rows in (found[:n], found[n:]):
        np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-3)


@pytest.mark.parametrize("links", ["quota", "depth", "plane"])
def test_links_in_space_need_an_arrangement(links: str) -> None:
    with pytest.raises(ParameterError, match="no common frame"):
        stm.integrate("spamask", serial_sections(), links=links, **FAST)


def test_a_saved_model_answers_for_the_same_sections(tmp_path) -> None:
    values = {"arrangement": "serial", "transforms": HERE}
    trained = stm.integrate("spamask", serial_sections(), **values, **FAST)
    path = stm.save_model(trained.result, tmp_path / "model.safetensors")
    sections = serial_sections()
    again = stm.integrate(
        "spamask", sections, model=path, **values, n_domains=4, baselines=False, scores=False
    )
    np.testing.assert_allclose(again.result.embedding, trained.result.embedding, atol=1e-3)
    agreement = adjusted_rand_score(again.result.domains.codes, trained.result.domains.codes)
    assert agreement > 0.9
    record = read_record(sections[1].adata, "spamask")
    assert record["model"] == str(path)
    assert record["joint"]["settings"]["arrangement"] == "serial"
    alone = stm.apply_model(path, serial_sections(3)[2], n_domains=4, baselines=False)
    assert alone.embedding.shape == (120, 8)


def test_a_saved_model_sees_images_as_in_its_training(tmp_path) -> None:
    """Patches of the training's size, whatever the defaults are; clustering is the caller's."""
    trained = stm.integrate("vimst", copies(pictured()), patch_size=3.0, **FAST)
    path = stm.save_model(trained.result, tmp_path / "model.safetensors")
    asked = stm.params("vimst", n_domains=3)
    again = stm.integrate(
        "vimst", copies(pictured()), model=path, params=asked, baselines=False, scores=False
    )
    assert again.result.domains.n_domains == 3
    np.testing.assert_array_equal(
        again.joined.adata.obsm[CARRIED], trained.joined.adata.obsm[CARRIED]
    )
    np.testing.assert_allclose(again.result.embedding, trained.result.embedding, atol=1e-3)


@pytest.mark.parametrize("correction", ["harmony_input", "harmony_embedding"])
def test_the_released_mmsrl_has_no_input_for_harmony(correction: str) -> None:
    pytest.importorskip("harmonypy", reason="the extra 'integration' is not installed")
    values = of("mmsrl") | {"mode": "reference", "correction": correction, "links": "none"}
    stream = stm.iter_integrate("mmsrl", serial_sections(), **values)
    assert next(stream).phase == "reading"
    if correction == "harmony_input":
        with pytest.raises(ParameterError, match="harmony_embedding"):
            next(stream)
    else:
        assert next(stream).phase == "reading"
        assert next(stream).phase == "preparing"


def test_nothing_of_a_run_is_kept() -> None:
    """No section is held after a run that nobody holds."""
    out = stm.integrate("spamask", serial_sections(), **FAST)
    sections = out.sections
    del out
    gc.collect()
    assert all(s.joint is None for s in sections)


# Check 15 of the method's notes


@cache
def simulated(links: str, standardise: str) -> tuple[float, float]:
    """iLISI and ARI of four superimposed sections with a batch shift of their genes."""
    sections = serial_sections(4, 20, 20, 200, fold=1.5, shift=0.3, seed=1)
    joint = JointParams.preset("paper", links=links, standardise=standardise)
    out = stm.integrate(
        "spamask", sections, joint=joint,
        transforms=[np.eye(3)] * 4, n_domains=5, epochs=25, replicates=1, threads=1,
        baselines=False, scores=False,
    )  # fmt: skip
    mixing = lisi(out.result.embedding, np.repeat(np.arange(4), 400))
    truth = np.tile(bands(20, 20), 4)
    return float(np.median(mixing)), adjusted_rand_score(truth, out.result.domains.codes)


@pytest.mark.parametrize(("standardise", "factor"), [("section", 1.4), ("joint", 2.0)])
def test_links_across_mix_sections(standardise: str, factor: float) -> None:
    with_links, _ = simulated("depth", standardise)
    without, _ = simulated("none", standardise)
    assert with_links > factor * without


def test_domains_of_all_sections_are_as_good_as_those_of_one() -> None:
    alone = []
    for section in serial_sections(4, 20, 20, 200, fold=1.5, shift=0.3, seed=1):
        stm.run(
            "spamask", section, n_domains=5, epochs=25, replicates=1, threads=1, baselines=False
        )
        alone.append(adjusted_rand_score(bands(20, 20), section.adata.obs["spamask"]))
    for standardise in ("section", "joint"):
        assert simulated("depth", standardise)[1] > np.mean(alone) - 0.05


# Elsewhere


@pytest.mark.slow
def test_a_scheduler_gives_the_same_answer() -> None:
    distributed = pytest.importorskip(
        "distributed", reason="the extra [distributed] is not installed"
    )
    here = stm.integrate("vimst", copies(pictured()), **FAST)
    sections = copies(pictured())
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        on = cluster.scheduler_address.replace("tcp://", "dask://")
        there = stm.integrate("vimst", sections, on=on, **FAST)
    np.testing.assert_array_equal(there.result.domains.codes, here.result.domains.codes)
    np.testing.assert_allclose(there.result.embedding, here.result.embedding, atol=1e-5)
    assert (there.result.fit.graph != here.result.fit.graph).nnz == 0
    for ours, theirs in zip(sections, here.sections, strict=True):
        assert ours.adata.obs["vimst"].equals(theirs.adata.obs["vimst"])
        assert "joint" in read_record(ours.adata, "vimst")


def test_joined_for_run_shares_nothing_with_the_sections() -> None:
    sections = serial_sections()
    settings = JointParams(arrangement="adjoining")
    found = joined_for_run(
        sections, settings, [Alignment(np.eye(3), "none"), Alignment(np.eye(3), "none")]
    )
    assert found.joint.settings is settings
    np.testing.assert_array_equal(found.joint.positions[:, 2], 0)
    np.testing.assert_allclose(found.coords[:120], sections[0].coords)
    found.adata.obsm["spatial"][:] = 0
    assert np.ptp(sections[0].coords) > 0
