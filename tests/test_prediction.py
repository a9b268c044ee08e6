"""One prediction from request to predicted section; above all that it cannot know the target."""

import json

import numpy as np
import pytest
import scipy.sparse as sp
from tests.models.spahgc_helpers import GENES, KEY, pictured, settings, tabled

import napari_stmask as stm
from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.prediction import prediction_record
from napari_stmask.core.section import Section
from napari_stmask.prediction import iter_predict, predict
from napari_stmask.prediction_checks import codes_of, warnings_of

PARAMS = settings(image_encoder=KEY)


@pytest.fixture(scope="module")
def sections() -> list[Section]:
    return [tabled(seed) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def result(sections):
    return predict(sections[0], sections[1:], params=PARAMS.model_copy(update={"uncertainty": 3}))


def with_counts(section: Section, counts) -> Section:
    """The same spots and features over other counts."""
    adata = section.adata.copy()
    adata.X = counts
    return Section(adata, name=section.name, um_per_px=section.um_per_px)


def same(a, b) -> None:
    """Panel, graph and prediction are those of the other, to the last bit."""
    assert list(a.section.adata.var_names) == list(b.section.adata.var_names)
    np.testing.assert_array_equal(a.section.adata.X, b.section.adata.X)
    for name in ("X_spahgc", "spahgc_references", "spahgc_weights"):
        np.testing.assert_array_equal(a.section.adata.obsm[name], b.section.adata.obsm[name])
    np.testing.assert_array_equal(a.section.adata.obs["novelty"], b.section.adata.obs["novelty"])
    np.testing.assert_array_equal(a.state.scale.low, b.state.scale.low)
    np.testing.assert_array_equal(a.state.head.weights, b.state.head.weights)


@pytest.mark.parametrize("mode", ["improved", "release"])
def test_no_leak(sections, mode: str) -> None:
    """Random, shuffled or absent counts of the target change the scores and nothing else."""
    params = PARAMS.model_copy(
        update={"mode": mode, "epochs": 2, "panel": "svg", "n_genes": 30, "uncertainty": 2}
    )
    target, *references = sections
    real = predict(target, references, params=params)
    rng = np.random.default_rng(0)
    noise = sp.csr_matrix(rng.poisson(3, target.adata.shape).astype(np.float32))
    shuffled = target.counts()[rng.permutation(target.n_spots)]
    none = sp.csr_matrix(target.adata.shape, dtype=np.float32)
    for counts in (noise, shuffled, none):
        other = predict(with_counts(target, counts), references, params=params)
        same(real, other)
        np.testing.assert_array_equal(
            real.section.adata.layers["spread"], other.section.adata.layers["spread"]
        )
        if counts is none:
            assert other.scores is None
            assert "pcc" not in other.section.adata.var
        else:
            assert other.scores.loc["SpaHGC", "pcc_mean"] < real.scores.loc["SpaHGC", "pcc_mean"]


def test_labels_and_other_layers_of_a_target_do_not_travel(sections) -> None:
    target, *references = sections
    marked = with_counts(target, target.counts())
    marked.adata.obs["ground_truth"] = target.adata.obs["domain"].astype(str)
    marked.adata.layers["secret"] = target.counts()
    same(predict(target, references, params=PARAMS), predict(marked, references, params=PARAMS))


def test_what_lands_where(result, sections) -> None:
    adata = result.section.adata
    n = sections[0].n_spots
    assert adata.shape == (n, GENES)
    assert adata.X.dtype == np.float32
    assert list(adata.var_names) == sorted(adata.var_names)
    assert list(adata.obs_names) == list(sections[0].adata.obs_names)
    weights = adata.obsm["spahgc_weights"]
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert (np.diff(weights, axis=1) <= 0).all()
    assert adata.obsm["spahgc_references"].max() < len(result.references)
    assert set(result.references["section"]) == {s.name for s in sections[1:]}
    assert (adata.layers["spread"] > 0).any()
    assert {"expected_pcc", "pcc", "spearman", "rmse", "mae", "ceiling"} <= set(adata.var)
    record = prediction_record(result.section)
    assert record is not None
    assert record["params"]["seed"] == 0
    assert set(record["input_sha256"]) == {s.name for s in sections[1:]}
    json.dumps(record, allow_nan=False)
    assert prediction_record(sections[0]) is None


def test_the_target_is_left_as_it_was(sections) -> None:
    target = with_counts(sections[0], sections[0].counts())
    before = target.adata.copy()
    predict(target, sections[1:], params=PARAMS)
    assert set(target.adata.obs) == set(before.obs)
    assert set(target.adata.uns) == set(before.uns)
    assert set(target.adata.obsm) == set(before.obsm)
    assert (target.counts() != before.X).nnz == 0


def test_baselines_stand_beside_it(result) -> None:
    names = list(result.scores.index)
    assert names[0] == "SpaHGC"
    assert {"mean", "k-NN (7)", "ridge", "ridge + neighbours", "x-y only", "depth (oracle)"} <= {
        *names
    }
    assert np.isnan(result.scores.loc["depth (oracle)", "rmse"])
    assert abs(result.scores.loc["mean", "pcc_mean"]) < 1e-9


def test_a_predicted_section_survives_its_file(result, tmp_path) -> None:
    read = stm.read(stm.write(result.section, tmp_path / "predicted.h5ad"))
    np.testing.assert_allclose(read.adata.X, result.section.adata.X)
    assert prediction_record(read) == prediction_record(result.section)
    with pytest.raises(DataError, match="expected raw counts"):
        read.counts()


def test_a_saved_model_gives_the_same_answer_and_refuses_another_encoder(
    result, sections, tmp_path
) -> None:
    path = stm.save_model(result, tmp_path / "model.safetensors")
    again = predict(sections[0], model=path, uncertainty=3)
    same(result, again)
    assert again.record["model"] == str(path)
    with pytest.raises(ParameterError, match="image_encoder"):
        predict(sections[0], model=path, image_encoder="descriptor")
    narrow = tabled(4, width=5)
    with pytest.raises(DataError, match="5 columns"):
        predict(narrow, model=path)


def test_what_a_model_lets_change_is_recorded(result, sections) -> None:
    smooth = predict(sections[0], model=result.state, smoothing=0.5, uncertainty=0, seed=7)
    said = smooth.record["params"]
    assert (said["smoothing"], said["uncertainty"], said["seed"]) == (0.5, 0, 7)
    assert said["epochs"] == PARAMS.epochs
    assert "spread" not in smooth.section.adata.layers
    assert not np.array_equal(smooth.section.adata.X, result.section.adata.X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 50}, "trained with epochs"),
        ({"preset": "st"}, "preset 'st' says nothing"),
        ({"groups": ["a"]}, "groups were given without"),
        ({"pitch": 50.0}, "not of the points of a grid"),
    ],
)
def test_a_model_refuses_what_would_do_nothing(result, sections, options, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        predict(sections[0], model=result.state, **options)


@pytest.mark.parametrize("rows", [1, 2])
def test_too_few_spots_to_score_are_predicted(result, sections, rows: int) -> None:
    few = Section(sections[0].adata[:rows].copy(), name="few", um_per_px=sections[0].um_per_px)
    found = predict(few, model=result.state, uncertainty=0)
    assert found.section.n_spots == rows
    assert found.scores is None
    assert f"Not scored: {rows} spots cannot be correlated." in found.record["notes"]


def test_a_single_reference_needs_no_list(sections) -> None:
    params = PARAMS.model_copy(update={"epochs": 1})
    same(
        predict(sections[0], sections[1], params=params),
        predict(sections[0], [sections[1]], params=params),
    )


def test_other_entries_of_obsm_do_not_travel(sections) -> None:
    """Sparse ones could not; the encoder names the one that is read."""
    odd = with_counts(sections[1], sections[1].counts())
    odd.adata.obsm["sparse"] = sp.csr_matrix(np.ones((odd.n_spots, 2)))
    params = PARAMS.model_copy(update={"epochs": 1})
    same(
        predict(sections[0], [odd, sections[2]], params=params),
        predict(sections[0], sections[1:], params=params),
    )


def test_cancelled_within_a_step_and_nothing_written(sections) -> None:
    target = with_counts(sections[0], sections[0].counts())
    before = set(target.adata.uns)
    steps = iter_predict(target, sections[1:], params=PARAMS.model_copy(update={"epochs": 500}))
    for event in steps:
        if event.phase == "training" and event.step > 2:
            break
    steps.close()
    assert set(target.adata.uns) == before
    with pytest.raises(StopIteration):
        next(steps)


class TestPartOfOneSection:
    def test_what_is_predicted_is_far_from_what_is_known(self, sections) -> None:
        section = sections[0]
        inside = section.coords[:, 0] < np.median(section.coords[:, 0])
        found = predict(section, params=PARAMS, learn=inside, gap=2.0)
        known = section.coords[inside]
        away = np.linalg.norm(found.section.coords[:, None] - known, axis=2).min(axis=1)
        assert away.min() > 2.0 * section.lattice.pitch
        names = set(found.references["spot"])
        assert names == set(section.adata.obs_names[inside])
        assert not names & set(found.section.adata.obs_names)
        assert found.state.params.standardise == "references"
        assert any("pieces" in note for note in found.record["notes"])

    def test_refused_with_references_too(self, sections) -> None:
        inside = np.ones(sections[0].n_spots, dtype=bool)
        with pytest.raises(ParameterError, match="references or a model"):
            predict(sections[0], sections[1:], params=PARAMS, learn=inside)

    def test_refused_where_nothing_is_left(self, sections) -> None:
        with pytest.raises(DataError, match="smaller region"):
            predict(sections[0], params=PARAMS, learn=np.ones(sections[0].n_spots, dtype=bool))

    def test_refused_with_a_mask_of_another_length(self, sections) -> None:
        with pytest.raises(ParameterError, match="one True or False"):
            predict(sections[0], params=PARAMS, learn=np.ones(3, dtype=bool))


def test_on_a_grid() -> None:
    """As many points as fit, over the whole image here; none of them scored."""
    target, reference, third = (pictured(seed, 10) for seed in (1, 2, 3))
    params = settings(epochs=2)
    found = predict(target, [reference, third], params=params, pitch=50.0)
    assert found.scores is None
    assert found.section.n_spots > 3 * target.n_spots
    gap = np.diff(np.unique(found.section.coords[:, 0])).min()
    assert gap * target.um_per_px == pytest.approx(50)
    assert found.section.spot_diameter * found.section.um_per_px == pytest.approx(50)


class TestRefusals:
    def test_nothing_to_learn_from(self, sections) -> None:
        with pytest.raises(ParameterError, match="nothing to learn from"):
            predict(sections[0], params=PARAMS)

    def test_a_reference_without_counts(self, sections) -> None:
        empty = with_counts(sections[1], sp.csr_matrix(sections[1].adata.shape, dtype=np.float32))
        with pytest.raises(DataError, match=r"section2.*no spot has any counts"):
            predict(sections[0], [empty, sections[2]], params=PARAMS)

    def test_no_image(self, sections) -> None:
        with pytest.raises(DataError, match="no histology image"):
            predict(sections[0], sections[1:], params=settings())

    def test_genes_of_other_names(self, sections) -> None:
        other = with_counts(sections[1], sections[1].counts())
        other.adata.var_names = [f"X{i}" for i in range(other.n_genes)]
        with pytest.raises(DataError, match="gene"):
            predict(sections[0], [other, sections[2]], params=PARAMS)

    def test_params_and_single_values(self, sections) -> None:
        with pytest.raises(ParameterError, match="mixed"):
            predict(sections[0], sections[1:], params=PARAMS, epochs=9)

    def test_it_is_no_method_of_domains(self, sections) -> None:
        with pytest.raises(ParameterError, match="predicts genes"):
            stm.run("spahgc", sections[0])

    def test_a_target_of_other_genes_is_predicted_and_not_scored(self, sections) -> None:
        other = with_counts(sections[0], sections[0].counts())
        other.adata.var_names = [f"X{i}" for i in range(other.n_genes)]
        found = predict(other, sections[1:], params=PARAMS)
        assert found.scores is None
        assert any("measured none" in note for note in found.record["notes"])


class TestWarnings:
    def patient(self, section: Section, name: str) -> Section:
        out = with_counts(section, section.counts())
        out.adata.obs["patient"] = name
        return out

    def test_same_patient_is_said(self, sections) -> None:
        one, two, three = (self.patient(s, p) for s, p in zip(sections, "AAB", strict=True))
        (text,) = warnings_of(one, [two, three], PARAMS)
        assert "section2 and the target are of one patient (A)" in text
        assert not warnings_of(three, [one, two], PARAMS)

    def test_unknown_patients_are_said(self, sections) -> None:
        assert "Patients are not known" in warnings_of(sections[0], sections[1:], PARAMS)[0]

    def test_an_embedding_of_expression_is_no_image(self, sections) -> None:
        texts = warnings_of(sections[0], [], settings(image_encoder="obsm:X_pca"))
        assert any("obsm['X_pca'] looks like an embedding" in text for text in texts)
        assert not any("embedding" in t for t in warnings_of(sections[0], [], PARAMS))

    def test_image_scale_and_tissue(self, sections) -> None:
        texts = " ".join(warnings_of(sections[0], sections[1:], settings()))
        assert "section1 has no histology image" in texts
        shown = pictured(1, 10)
        shown.um_per_px = None
        assert "Micrometres per pixel of section1 are unknown" in " ".join(
            warnings_of(shown, [], settings())
        )

    def test_spots_on_glass(self) -> None:
        shown = pictured(1, 10)
        pixels = np.array(shown.image.levels[0])
        pixels[:60] = 250
        from napari_stmask.core.histology import Histology

        shown.image = Histology([pixels], 1.0, "half")
        assert "30 of 100 spots of section1 lie off the tissue" in " ".join(
            warnings_of(shown, [], settings(patch_size=80.0))
        )

    def test_who_learns_from_whom(self, sections) -> None:
        a1, a2, b = (self.patient(s, p) for s, p in zip(sections, "AAB", strict=True))
        c = self.patient(tabled(5), "C")
        assert codes_of(c, [a1, a2, b], None) == [0, 0, 1]
        assert codes_of(a1, [a2, b], None) == [0, 1]
        assert codes_of(self.patient(tabled(6), "A"), [a1, a2, b], None) == [0, 1, 2]
        assert codes_of(c, [a1, a2], None) == [0, 1]
        assert codes_of(None, sections, None) == [0, 1, 2]
        assert codes_of(c, [a1, a2, b], ["x", "y", "x"]) == [0, 1, 0]
        with pytest.raises(ParameterError, match="2 groups were given for 3"):
            codes_of(c, [a1, a2, b], ["x", "y"])


def test_features_of_a_file_stay_with_their_spots(sections, tmp_path) -> None:
    """Spots without counts are left out, and parts are learnt from: rows of the file follow."""
    target, *references = (with_counts(s, s.counts().copy()) for s in sections)
    for section in references:
        counts = section.counts().tolil()
        counts[3] = 0
        section.adata.X = counts.tocsr()
    by_slot = predict(target, references, params=PARAMS)
    table = tmp_path / "features.h5"
    import h5py

    every = [target, *references]
    with h5py.File(table, "w") as store:
        store["embeddings"] = np.concatenate([s.adata.obsm["patches"] for s in every])
        store["barcodes"] = np.concatenate([s.adata.obs_names for s in every]).astype(bytes)
    same(by_slot, predict(target, references, params=settings(image_encoder=f"file:{table}")))
    rows = tmp_path / "rows.npy"
    np.save(rows, target.adata.obsm["patches"])
    inside = target.coords[:, 0] < np.median(target.coords[:, 0])
    same(
        predict(target, params=PARAMS, learn=inside),
        predict(target, params=settings(image_encoder=f"file:{rows}"), learn=inside),
    )
