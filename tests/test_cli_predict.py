"""``predict``, ``evaluate`` and ``predicted`` as a user calls them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.models.spahgc_helpers import GENES, KEY, pictured, tabled

import napari_stmask as stm
from napari_stmask.core.prediction import prediction_record

FAST = [
    "--image-encoder", KEY, "--epochs", "2", "--replicates", "2", "--hidden", "32", "--layers", "1",
    "--threads", "1", "--uncertainty", "0", "--n-genes", str(GENES),
]  # fmt: skip


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sections")
    out = []
    for seed in (1, 2, 3):
        section = tabled(seed)
        section.adata.obs["domain"] = section.adata.obs["domain"].astype(str)
        out.append(stm.write(section, folder / f"section{seed}.h5ad"))
    return out


@pytest.fixture(scope="module")
def predicted(paths, tmp_path_factory) -> Path:
    """A prediction of the first section, from Python: what follows only reads it."""
    from tests.models.spahgc_helpers import settings

    found = stm.predict(paths[0], paths[1:], params=settings(image_encoder=KEY))
    return stm.write(found.section, tmp_path_factory.mktemp("predicted") / "p.h5ad")


def test_predict_evaluate_say_what_they_take(call) -> None:
    methods = json.loads(call("methods", "--json")[1])
    assert methods["spahgc"]["tasks"] == ["predict"]
    assert json.loads(call("params", "spahgc", "--platform", "st", "--json")[1])["n_neighbors"] == 4


def test_predict(call, paths, tmp_path) -> None:
    out, genes, model = (tmp_path / n for n in ("p.h5ad", "genes.csv", "m.safetensors"))
    one, two, three = paths
    code, said, err = call(
        "predict", "spahgc", one, "--reference", two, "--reference", three, *FAST,
        "--out", out, "--genes", genes, "--save-model", model, "--json",
    )  # fmt: skip
    assert code == 0, err
    facts = json.loads(said)
    assert facts["references"] == ["section2", "section3"]
    assert facts["written"] == [str(out), str(model), str(genes)]
    assert facts["scores"]["depth (oracle)"]["rmse"] is None
    table = pd.read_csv(genes).set_index("gene")
    assert table["pcc"].mean() == pytest.approx(facts["scores"]["SpaHGC"]["pcc_mean"])
    again = tmp_path / "again.h5ad"
    code, said, _ = call("predict", "spahgc", one, "--model", model, "--out", again)
    assert code == 0
    assert "SpaHGC" in said
    np.testing.assert_array_equal(stm.read(out).adata.X, stm.read(again).adata.X)


def test_part_of_one_section(call, paths, tmp_path) -> None:
    out = tmp_path / "p.h5ad"
    x = stm.read(paths[0]).coords[:, 0]
    box = f"{x.min()},0,{np.median(x)},10000"
    code, said, err = call("predict", "spahgc", paths[0], "--learn-box", box, *FAST, "--out", out)
    assert code == 0, err
    assert "learnt from section1" in said
    assert stm.read(out).coords[:, 0].min() > np.median(x)


def test_an_image_that_lies_elsewhere(call, tmp_path) -> None:
    from PIL import Image

    parts = []
    for seed in (1, 2, 3):
        section = pictured(seed, 10)
        image = tmp_path / f"{seed}.png"
        Image.fromarray(np.asarray(section.image.levels[0])).save(image)
        section.image = None
        parts.append(f"{stm.write(section, tmp_path / f'{seed}.h5ad')}::{image}")
    out = tmp_path / "p.h5ad"
    code, _, err = call(
        "predict", "spahgc", parts[0], "--reference", parts[1], "--reference", parts[2],
        *FAST[2:], "--n-scales", "1", "--patch-unit", "spots", "--patch-size", "1", "--out", out,
    )  # fmt: skip
    assert code == 0, err
    assert prediction_record(stm.read(out))["params"]["image_encoder"] == "descriptor"


def test_an_image_alone(call, tmp_path) -> None:
    """H&E and nothing else: places over its tissue are predicted with a saved model."""
    from PIL import Image
    from tests.models.spahgc_helpers import settings

    sections = [pictured(seed, 10) for seed in (1, 2, 3)]
    model = tmp_path / "m.safetensors"
    stm.save_model(stm.predict(sections[1], sections[2:], params=settings(epochs=2)), model)
    image, out = tmp_path / "he.png", tmp_path / "p.h5ad"
    pixels = np.array(sections[0].image.levels[0])
    Image.fromarray(pixels).save(image)
    code, _, err = call("predict", "spahgc", image, "--model", model)
    assert code == 2
    assert "does not state its micrometres per pixel" in err
    code, said, err = call(
        "predict", "spahgc", image, "--model", model, "--um-per-px", "5", "--grid", "50",
        "--out", out,
    )  # fmt: skip
    assert code == 0, err
    assert "not measured, so not scored" in said
    found = stm.read(out)
    assert found.n_spots > 300
    assert np.diff(np.unique(found.coords[:, 0])).min() * 5 == pytest.approx(50)
    target = stm.image_section(image, um_per_px=5, pitch=50)
    assert target.counts().nnz == 0
    again = stm.predict(target, model=model)
    np.testing.assert_allclose(again.section.adata.X, found.adata.X, atol=1e-5)
    code, _, err = call("predict", "spahgc", model, "--model", model, "--um-per-px", "5")
    assert (code, "is for an image alone" in err) == (2, True)


def test_evaluate(call, paths, tmp_path) -> None:
    folds, genes = tmp_path / "folds.csv", tmp_path / "genes.csv"
    code, said, err = call(
        "evaluate", "spahgc", *paths, *FAST, "--seeds", "0,1", "--out", folds, "--genes", genes,
        "--json",
    )  # fmt: skip
    assert code == 0, err
    facts = json.loads(said)
    table = pd.read_csv(folds)
    assert len(table) == 3 * 2 * 8
    mean = table.query("prediction == 'ridge'")["pcc_mean"].mean()
    (row,) = [r for r in facts["summary"] if r["prediction"] == "ridge"]
    assert row["pcc_mean"] == pytest.approx(mean)
    assert len(pd.read_csv(genes)) == 3 * 2 * GENES


def test_region_and_enrichment(call, paths, predicted, tmp_path) -> None:
    out = tmp_path / "region.h5ad"
    code, said, err = call(
        "predicted", "region", predicted, "--reference", paths[1], "--reference", paths[2],
        "--labels", "domain", "--positive", "0", "--truth", paths[0], "--out", out, "--json",
    )  # fmt: skip
    assert code == 0, err
    facts = json.loads(said)
    assert facts["scores"]["auroc"] > 0.8
    assert stm.read(out).adata.obs["region_probability"].between(0, 1).all()
    sets = tmp_path / "sets.gmt"
    # Genes 0, 3, 6 ... are raised in domain 0.
    lines = [
        "\t".join([name, "-", *(f"GENE{g:02d}" for g in genes)])
        for name, genes in (("own", range(0, 24, 3)), ("other", range(1, 25, 3)))
    ]
    sets.write_text("\n".join(lines), encoding="utf-8")
    table = tmp_path / "sets.csv"
    code, said, err = call(
        "predicted", "enrichment", out, "--sets", sets, "--region", "--most", "15", "--out", table
    )
    assert code == 0, err
    first = pd.read_csv(table).iloc[0]
    assert first["set"] == "own"
    assert first["q"] < 0.05
    assert call("predicted", "enrichment", predicted, "--sets", sets)[0] == 0


def test_a_region_is_not_learnt_from_what_was_predicted(call, paths, tmp_path) -> None:
    """Labels of the predicted half, or of the gap, must not come in by their own section."""
    half, out = tmp_path / "half.h5ad", tmp_path / "region.h5ad"
    box = ("--learn-box", "0,0,121,241")
    code, _, err = call("predict", "spahgc", paths[0], *box, "--out", half, *FAST)
    assert code == 0, err
    whole = stm.read(paths[0])
    learnt = whole.coords[:, 0] <= 121
    found = []
    for true in (True, False):
        adata = whole.adata.copy()
        if not true:
            adata.obs.loc[~learnt, "domain"] = "1"
        path = tmp_path / str(true) / "section1.h5ad"
        path.parent.mkdir()
        stm.write(stm.Section(adata, name="section1", um_per_px=whole.um_per_px), path)
        code, said, err = call(
            "predicted", "region", half, "--reference", path, "--labels", "domain",
            "--positive", "0", "--out", out, "--json",
        )  # fmt: skip
        assert code == 0, err
        assert json.loads(said)["learnt_from"] == learnt.sum()
        found.append(stm.read(out).adata.obs["region_probability"].to_numpy())
        out.unlink()
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "spahgc", "{0}"], "nothing to learn from"),
        (["predict", "spahgc", "{0}", "--learn-box", "1,2"], "2 numbers"),
        (["predict", "spahgc", "{0}", "--learn-box", "a,b,c,d"], "give numbers"),
        (["predict", "spahgc", "{0}", "--reference", "{1}", "--genes", "x.txt"], "ends in .csv"),
        (["predict", "spahgc", "{0}", "--model", "{1}"], "not a SpaHGC model"),
        (["evaluate", "spahgc", "{0}"], "nothing to learn from"),
        (["evaluate", "spahgc", "{0}", "{1}", "--seed", "3"], "--seeds"),
        (["evaluate", "spahgc", "{0}", "{1}", "--seeds", "x"], "give numbers"),
        (["evaluate", "spahgc", "{0}", "{1}", "--leave-out", "patient"], "patient of"),
        (["evaluate", "spahgc", "{0}", "{1}", "--on", "nowhere"], "not a scheduler"),
        (["predicted", "enrichment", "{0}", "--sets", "s.gmt"], "no predicted section"),
        (["run", "spahgc", "{0}"], "No such command"),
    ],
)
def test_one_line_for_a_mistake(call, paths, arguments, message: str) -> None:
    filled = [a.format(*paths) for a in arguments]
    more = FAST if arguments[0] in ("predict", "evaluate") else []
    code, out, err = call(*filled, *more)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_region_wants_references_of_the_prediction(call, paths, predicted) -> None:
    code, _, err = call(
        "predicted", "region", predicted, "--reference", paths[0], "--labels", "domain",
        "--positive", "0",
    )  # fmt: skip
    assert code == 2
    assert "section1 is no reference" in err
    code, _, err = call("predicted", "enrichment", predicted, "--sets", "s.gmt", "--region")
    assert code == 2
    assert "knows no region" in err
