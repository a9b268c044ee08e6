"""Leaving sections and patients out."""

import numpy as np
import pandas as pd
import pytest
from tests.models.spahgc_helpers import KEY, settings, tabled

from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.evaluation import evaluate, evaluate_steps
from napari_stmask.prediction import predict

PARAMS = settings(image_encoder=KEY, epochs=2)


def of_patient(seed: int, patient: str) -> Section:
    found = tabled(seed)
    found.adata.obs["patient"] = patient
    return found


@pytest.fixture(scope="module")
def sections() -> list[Section]:
    return [of_patient(seed, patient) for seed, patient in zip((1, 2, 3), "AAB", strict=True)]


def test_each_section_is_predicted_from_the_others(sections) -> None:
    found = evaluate(sections, params=PARAMS, seeds=(0, 1))
    counts = found.folds.groupby(["target", "seed"]).size()
    assert list(counts.index) == [(s.name, seed) for s in sections for seed in (0, 1)]
    one = predict(
        sections[0],
        sections[1:],
        params=PARAMS.model_copy(update={"seed": 1}),
        groups=[s.name for s in sections[1:]],
    )
    row = found.folds.query("target == 'section1' and seed == 1 and prediction == 'SpaHGC'")
    assert row["pcc_mean"].item() == one.scores.loc["SpaHGC", "pcc_mean"]
    assert any("one patient" in note for note in found.notes)
    summary = found.summary()
    assert summary.loc["SpaHGC", "margin"] == 0
    assert summary.loc["ridge", "margin"] == pytest.approx(
        summary.loc["SpaHGC", "pcc_mean"] - summary.loc["ridge", "pcc_mean"]
    )
    # Nothing in a baseline is drawn at random.
    assert summary.loc["ridge", "pcc_sd_seed"] == 0
    assert summary.loc["SpaHGC", "pcc_sd_seed"] > 0
    genes = found.genes.query("target == 'section1' and seed == 1").set_index("gene")
    np.testing.assert_array_equal(
        genes["pcc"].to_numpy(), one.section.adata.var.loc[genes.index, "pcc"].to_numpy()
    )


def test_the_panel_of_a_fold_is_chosen_without_its_target(sections) -> None:
    """Genes of the target that no reference knows as variable cannot come in by it."""
    params = PARAMS.model_copy(update={"n_genes": 20})
    before = evaluate(sections, params=params, baselines=False).genes
    changed = [of_patient(seed, p) for seed, p in zip((1, 2, 3), "AAB", strict=True)]
    rng = np.random.default_rng(0)
    changed[0].adata.X = changed[0].counts()[rng.permutation(changed[0].n_spots)]
    after = evaluate(changed, params=params, baselines=False).genes
    own = [t.query("target == 'section1'")["gene"].tolist() for t in (before, after)]
    assert own[0] == own[1]
    others = [t.query("target != 'section1'")["gene"].tolist() for t in (before, after)]
    assert others[0] != others[1]


def test_whole_patients_are_left_out(sections) -> None:
    found = evaluate(sections, params=PARAMS, leave_out="patient", baselines=False)
    assert sorted(found.folds["target"]) == ["section1", "section2", "section3"]
    direct = predict(sections[0], sections[2:], params=PARAMS, baselines=False)
    row = found.folds.query("target == 'section1'")
    assert row["pcc_mean"].item() == direct.scores.loc["SpaHGC", "pcc_mean"]
    assert not any("Sections of one patient" in note for note in found.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leave_out": "spot"}, "cannot be left out"),
        ({"leave_out": "patient", "groups": ["x", "x", "x"]}, "nothing to learn from"),
        ({"leave_out": "patient", "groups": ["x", None, "y"]}, "section2 is not known"),
        ({"groups": ["x"]}, "1 groups were given for 3"),
        ({"seeds": ()}, "no seed"),
        ({"seeds": (-1,)}, "seed = -1"),
    ],
)
def test_refusals(sections, options, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        evaluate(sections, params=PARAMS, **options)


def test_one_seed_says_nothing(sections) -> None:
    with pytest.raises(ParameterError, match="use seeds"):
        evaluate(sections, image_encoder=KEY, seed=3)


def test_one_section_is_too_few(sections) -> None:
    with pytest.raises(ParameterError, match="nothing to learn from"):
        evaluate(sections[:1], params=PARAMS)


def test_two_sections_of_one_name(sections) -> None:
    other = of_patient(4, "B")
    other.name = sections[0].name
    with pytest.raises(ParameterError, match="called 'section1'"):
        evaluate([*sections, other], params=PARAMS)


def test_a_section_given_twice(sections) -> None:
    """One copy would be learnt from while the other is scored."""
    copy = of_patient(1, "C")
    copy.name = "copy"
    with pytest.raises(ParameterError, match="section1 and copy hold the same spots"):
        evaluate([*sections, copy], params=PARAMS)


def test_what_is_said_of_patients(sections) -> None:
    """Nothing of blocks where patients are not known; notes on a section named patient stay."""
    unknown = [tabled(seed) for seed in (1, 2)]
    unknown[1].name = "patient_2"
    unknown[1].platform = "imaging"
    notes = evaluate(unknown, params=PARAMS, baselines=False).notes
    assert any("Patients are not known" in note for note in notes)
    assert not any("of one patient inform" in note for note in notes)
    assert any("several platforms" in note for note in notes)
    assert any("pieces of it learnt" in note for note in notes)


def test_a_section_that_cannot_be_scored_is_named(sections) -> None:
    logs = tabled(4)
    logs.adata.X = np.log1p(logs.adata.X.toarray())
    with pytest.raises(DataError, match="section4"):
        evaluate([*sections, logs], params=PARAMS)


def test_closing_it_stops(sections) -> None:
    steps = evaluate_steps(sections, params=PARAMS.model_copy(update={"epochs": 500}))
    for event in steps:
        if event.phase == "training":
            break
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


@pytest.mark.slow
def test_folds_on_a_scheduler_say_the_same(sections) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra is not installed")
    here = evaluate(sections, params=PARAMS)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        there = drain(evaluate_steps(sections, params=PARAMS, on=address))
    pd.testing.assert_frame_equal(here.folds, there.folds)
    pd.testing.assert_frame_equal(here.genes, there.genes)
