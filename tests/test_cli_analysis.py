"""``analyse`` and ``join``, as a user calls them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.helpers import banded
from tests.test_docs import ROOT, _run_blocks

import napari_stmask as stm

PER_SPOT = {
    "metagene": ["spamask_metagene"],
    "trajectory": ["spamask_pseudotime"],
    "heterogeneity": ["spamask_entropy", "spamask_boundary"],
    "emt": ["spamask_emt"],
    "attention": ["spamask_attention_weight"],
}
EXTRA = {
    "svgs": ["--min-share", "0.1", "--min-fold", "1.1"],
    "metagene": ["--domain", "2", "--start", "GENE50"],
    "trajectory": ["--root-domain", "1", "--umap"],
    "attention": ["--spot", "spot7"],
}
NAMES = [
    "markers", "svgs", "metagene", "enhancement", "trajectory", "attention", "heterogeneity", "emt",
    "quality",
]  # fmt: skip


def store_array(section, name, values):
    """In ``obsm``, as if the run had written it: listed in its record, so that it goes with it."""
    section.adata.obsm[name] = values
    runs = dict(section.adata.uns["stmask"])
    record = json.loads(runs["spamask"])
    record["slots"].append(["obsm", name])
    section.adata.uns["stmask"] = {**runs, "spamask": json.dumps(record)}


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Path:
    """A finished run on five strong bands; some genes carry names of the EMT sets.

    It denoised its genes, and has the attention of a run of MMSRL beside them.
    """
    section, band = banded(20, 12, 80, fold=4)
    names = [f"GENE{i}" for i in range(80)]
    names[:3], names[16:19] = ["CDH1", "EPCAM", "KRT8"], ["VIM", "FN1", "ZEB1"]
    section.adata.var_names = names
    section.adata.obs["truth"] = pd.Categorical([f"band {b}" for b in band])
    stm.run("spamask", section, n_domains=5, epochs=30, replicates=1, threads=1, denoise=True)
    looks = np.eye(5, dtype=np.float32)[band] * 2
    store_array(section, "spamask_attention", looks)
    return stm.write(section, tmp_path_factory.mktemp("analyse") / "re sult.h5ad")


@pytest.mark.parametrize("name", NAMES)
def test_every_analysis_answers_in_every_form(call, result, tmp_path, name: str) -> None:
    command = ["analyse", name, result, "--key", "spamask", *EXTRA.get(name, [])]
    table, figure, target = (tmp_path / n for n in ("t.csv", "f.png", "w.h5ad"))
    options = ["--out", table]
    if name != "quality":
        options += ["--figure", figure]
    if name in PER_SPOT:
        options += ["--write", target]
    code, out, err = call(*command, *options, "--json")
    assert code == 0, err
    facts = json.loads(out, parse_constant=pytest.fail)  # no NaN in JSON
    assert facts["domains_from"].startswith("spamask")
    assert len(facts["written"]) == len(options) // 2
    assert len(pd.read_csv(table)) > 0
    if name != "quality":
        pixels = np.asarray(Image.open(figure).convert("RGB"))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5
    for column in PER_SPOT.get(name, []):
        section = stm.read(target)
        assert np.isfinite(section.adata.obs[column]).all()
        assert column in str(section.adata.uns["stmask"]["spamask"])
    code, text, _ = call(*command)
    assert code == 0
    assert len(text.splitlines()) > 2
    assert "written" not in text


def test_markers_are_those_of_python(call, result) -> None:
    from napari_stmask.analysis.markers import marker_table

    out = call("analyse", "markers", result, "--key", "spamask", "--n-genes", 3, "--json")[1]
    rows = pd.DataFrame(json.loads(out)["markers"])
    section = stm.read(result)
    column = json.loads(out)["domains_from"]
    here = marker_table(section, section.adata.obs[column], n_genes=3)
    assert rows["gene"].tolist() == here["gene"].tolist()
    np.testing.assert_allclose(rows["score"], here["score"])


def test_answers_add_up_in_one_file_and_a_new_run_clears_them(call, result, tmp_path) -> None:
    target = tmp_path / "all.h5ad"
    source = result
    for name in PER_SPOT:
        extra = EXTRA.get(name, [])
        for _ in range(2):  # again: its own column is replaced
            code, _, err = call(
                "analyse", name, source, "--key", "spamask", *extra, "--write", target
            )
            assert code == 0, err
            source = target
    columns = [c for names in PER_SPOT.values() for c in names]
    section = stm.read(target)
    assert set(columns) <= set(section.adata.obs)
    assert section.adata.obsm["X_spamask_umap"].shape == (240, 2)
    again = tmp_path / "again.h5ad"
    fast = ["--epochs", 3, "--replicates", 1, "--threads", 1, "--n-domains", 3]
    assert call("run", "spamask", target, *fast, "--out", again)[0] == 0
    assert not set(columns) & set(stm.read(again).adata.obs)


def test_any_column_can_be_the_domains(call, result) -> None:
    code, out, err = call(
        "analyse", "heterogeneity", result, "--key", "spamask", "--domains", "truth", "--json"
    )
    assert code == 0, err
    facts = json.loads(out)
    assert facts["domains"] == [f"band {i}" for i in range(5)]
    contacts = np.array(facts["contacts"])
    apart = np.abs(np.subtract.outer(np.arange(5), np.arange(5))) > 1
    assert (contacts[apart] == 0).all()
    code, _, err = call("analyse", "markers", result, "--key", "truth")
    assert code == 0, err


def test_gene_sets_from_a_file(call, result, tmp_path) -> None:
    sets = tmp_path / "sets.csv"
    sets.write_text("Epithelial,Mesenchymal\nVIM,CDH1\nFN1,EPCAM\nZEB1,KRT8\n")
    plain = json.loads(call("analyse", "emt", result, "--key", "spamask", "--json")[1])
    out = call("analyse", "emt", result, "--key", "spamask", "--gene-sets", sets, "--json")[1]
    swapped = json.loads(out)
    first, second = (
        np.array([row["mean"] for row in facts["summary"]]) for facts in (plain, swapped)
    )
    np.testing.assert_allclose(first, -second, atol=1e-6)
    assert plain["missing"]
    assert not swapped["missing"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["markers", "{result}", "--key", "nope"], "there is no 'nope' in obs"),
        (["markers", "{result}", "--key", "spamask", "--layer", "x"], "has no layer 'x'"),
        (["markers", "nowhere.h5ad", "--key", "spamask"], "nowhere.h5ad"),
        (["markers", "{result}", "--key", "spamask", "--out", "m.txt"], "ends in .csv"),
        (["markers", "{result}", "--key", "spamask", "--figure", "m.gif"], "m.gif has the suffix"),
        (["markers", "{result}", "--key", "spamask", "--figure", "/none/m.png"], "/none"),
        (["svgs", "{result}", "--key", "spamask", "--domain", "9"], "no domain '9'"),
        (["metagene", "{result}", "--key", "spamask", "--domain", "1", "--start", "X"], "'X'"),
        (["trajectory", "{result}", "--key", "truth"], "has no embedding obsm['X_truth']"),
        (["trajectory", "{result}", "--key", "spamask", "--root", "nobody"], "no spot 'nobody'"),
        (["trajectory", "{result}", "--key", "spamask", "--write", "w.h5ad"], "without a root"),
        (["trajectory", "{result}", "--key", "spamask", "--write", "w.csv"], "whole section"),
        (["heterogeneity", "{result}", "--key", "spamask", "--radius-um", "-3"], "radius_um is -3"),
        (["trajectory", "{result}", "--key", "spamask", "--root-gene", "X"], "no gene 'X'"),
        (["trajectory", "{result}", "--key", "spamask", "--invert"], "without a root"),
        (
            ["trajectory", "{result}", "--key", "spamask", "--root", "a", "--root-gene", "b"],
            "both given",
        ),
        (["attention", "{result}", "--key", "spamask", "--spot", "nobody"], "no spot 'nobody'"),
        (["attention", "{result}", "--key", "spamask", "--spot", "nobody"], "such as 'spot0'"),
        (["enhancement", "{result}", "--key", "spamask", "--genes", " , "], "names no gene"),
        (["attention", "{result}", "--key", "truth", "--spot", "spot1"], "only MMSRL has"),
        (
            ["attention", "{result}", "--key", "spamask", "--spot", "spot1", "--part", "image"],
            "no attention of 'image'",
        ),
        (["enhancement", "{result}", "--key", "truth"], "no enhanced genes"),
        (["enhancement", "{result}", "--key", "spamask", "--genes", "X"], "no gene 'X'"),
        (["emt", "{result}", "--key", "spamask", "--gene-sets", "x.gmt"], "x.gmt"),
        (["quality", "{result}", "--key", "truth"], "X_truth"),
    ],
)
def test_mistakes_end_in_one_line_and_code_2(
    call, result, tmp_path, monkeypatch, arguments, words
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call("analyse", *[a.format(result=result) for a in arguments])
    assert (code, out) == (2, "")
    assert words in err
    assert err.startswith("napari-stmask: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_attention_is_that_of_python(call, result, tmp_path) -> None:
    from napari_stmask.analysis.attention import attention_from

    target = tmp_path / "w.h5ad"
    options = ["--key", "spamask", "--spot", "spot50", "--write", target, "--json"]
    code, out, err = call("analyse", "attention", result, *options)
    assert code == 0, err
    facts = json.loads(out)
    here = attention_from(stm.read(result), "spamask", "spot50")
    assert facts["effective_spots"] == pytest.approx(here.effective)
    # Spots of the same band have e^4 times the weight of others.
    own, others = np.exp(4) * 48, 240 - 48
    assert max(row["weight"] for row in facts["domains"]) > 0.5 * own / (own + others)
    written = stm.read(target).adata.obs["spamask_attention_weight"].to_numpy()
    np.testing.assert_allclose(written, here.weights, rtol=1e-5)
    for reach, (weight, spots) in here.reach.items():
        assert facts["within"][str(reach)] == pytest.approx({"weight": weight, "spots": spots})


def test_enhancement_of_some_genes(call, result) -> None:
    from napari_stmask.analysis.enhancement import contrasts

    command = ["analyse", "enhancement", result, "--key", "spamask", "--genes", "GENE50, GENE20"]
    code, out, err = call(*command, "--json")
    assert code == 0, err
    facts = json.loads(out)
    section = stm.read(result)
    labels = section.adata.obs[facts["domains_from"]]
    here = contrasts(section, labels, key="spamask", genes=["GENE50", "GENE20"])
    rows = pd.DataFrame(facts["contrasts"])
    assert rows["gene"].tolist() == here["gene"].tolist()
    np.testing.assert_allclose(rows[["raw", "enhanced"]], here[["raw", "enhanced"]])
    assert "GENE50" in call(*command)[1]


def test_a_root_by_a_gene_and_inverted(call, result, tmp_path) -> None:
    target = tmp_path / "w.h5ad"
    options = ["--key", "spamask", "--root-gene", "GENE50", "--write", target, "--json"]
    times = []
    for extra in ([], ["--invert"]):
        code, out, err = call("analyse", "trajectory", result, *options, *extra)
        assert code == 0, err
        facts = json.loads(out)
        assert facts["inverted"] == bool(extra)
        times.append(stm.read(target).adata.obs["spamask_pseudotime"])
    assert times[0][facts["root"]] == 0
    assert times[1][facts["root"]] == 1
    np.testing.assert_allclose(times[1], 1 - times[0], atol=1e-6)


def test_columns_of_others_are_kept(call, result, tmp_path) -> None:
    section = stm.read(result)
    section.adata.obs["spamask_emt"] = 1.0
    source = stm.write(section, tmp_path / "own.h5ad")
    target = tmp_path / "w.h5ad"
    code, _, err = call("analyse", "emt", source, "--key", "spamask", "--write", target)
    assert (code, target.exists()) == (2, False)
    assert "obs['spamask_emt'] holds something" in err


def test_join(call, result, tmp_path) -> None:
    section = stm.read(result)
    left = section.coords[:, 0] < section.coords[:, 0].mean()
    sources = []
    for name, rows in (("left", left), ("right", ~left)):
        part = section.bare(rows)
        part.name = name
        sources.append(stm.write(part, tmp_path / f"{name}.h5ad"))
    target = tmp_path / "joined.h5ad"
    code, out, err = call("join", *sources, "--out", target, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["sections"] == {"left": left.sum(), "right": (~left).sum()}
    joined = stm.read(target)
    assert (joined.n_spots, joined.um_per_px, joined.platform) == (240, 1.0, "visium")
    width = np.ptp(section.coords, axis=0) * section.um_per_px
    np.testing.assert_allclose(np.ptp(joined.coords, axis=0), width, rtol=1e-6)
    row = tmp_path / "row.h5ad"
    options = ["--placement", "row", "--gap-um", 500, "--out", row]
    code, text, _ = call("join", *sources, *options)
    assert code == 0
    assert "left: " in text
    assert np.ptp(stm.read(row).coords[:, 0]) > np.ptp(joined.coords[:, 0]) + 300
    for arguments, words in (
        ([sources[0], "--out", target], "1 sections were given"),
        ([*sources, "--out", tmp_path / "x.docx"], "x.docx"),
        ([*sources, "--gap-um", 3, "--out", row], "without a row"),
    ):
        code, _, err = call("join", *arguments)
        assert (code, words in err) == (2, True), err


def test_a_joined_file_runs_and_is_analysed(call, result, tmp_path) -> None:
    target, done = tmp_path / "two.h5ad", tmp_path / "done.h5ad"
    assert call("join", result, result, "--placement", "row", "--out", target)[0] == 0
    fast = ["--epochs", 3, "--replicates", 1, "--threads", 1, "--n-domains", 3]
    code, _, err = call("run", "spamask", target, *fast, "--out", done)
    assert code == 0, err
    code, out, err = call("analyse", "heterogeneity", done, "--key", "spamask", "--json")
    assert code == 0, err
    assert sum(row["spots"] for row in json.loads(out)["summary"]) == 480


def test_examples_of_the_page(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    space = _run_blocks(ROOT / "docs" / "analyses.md")
    assert space["path"].connectivities.shape == (6, 6)
    assert space["mixture"].summary["spots"].sum() == space["section"].n_spots
    assert len(space["markers"]) == 60
    assert space["halves"][1].adata.obs["spamask"].notna().all()
    assert "20 components of it" in capsys.readouterr().out


def test_denoising_scores_the_method_and_its_controls(call, tmp_path) -> None:
    out = tmp_path / "scores.csv"
    path = stm.write(banded(10, 12, 80, fold=3.0)[0], tmp_path / "s.h5ad")
    code, text, errors = call("denoising", "vimst", path, "--seed", 1, "--out", out, "--json")
    assert code == 0, errors
    assert [row["prediction"] for row in json.loads(text)["scores"]] == [
        "vimst",
        "raw counts",
        "neighbour mean",
        "20 PCs of the neighbour mean",
    ]
    assert pd.read_csv(out)["median"].notna().all()
    assert call("denoising", "nothing", path)[0] == 2


def test_markers_against_neighbours_within_limits(call, result, tmp_path) -> None:
    from napari_stmask.analysis.markers import marker_table, passing

    figure = tmp_path / "v.svg"
    limits = ["--max-p", 0.01, "--min-fold", 0.5, "--n-genes", 4]
    command = ["analyse", "markers", result, "--key", "spamask", "--against", "adjacent", *limits]
    code, out, err = call(*command, "--volcano", "1", "--figure", figure, "--json")
    assert code == 0, err
    section = stm.read(result)
    domains = section.adata.obs[json.loads(out)["domains_from"]]
    there = marker_table(section, domains, n_genes=None, against="adjacent")
    there = there[passing(there, max_p=0.01, min_fold=0.5)].groupby("domain", sort=False).head(4)
    assert [r["gene"] for r in json.loads(out)["markers"]] == there["gene"].tolist()
    assert len(there) > 5
    assert figure.stat().st_size > 5000
    assert "no domain '99'" in call(*command, "--volcano", "99")[2]
    assert "no domain '99'" in call(*command, "--other", "99")[2]


@pytest.mark.parametrize(("column", "slot"), [("truth", "composition"), ("depth", "summary")])
def test_composition_is_that_of_python(call, result, tmp_path, column, slot) -> None:
    from napari_stmask.analysis.composition import compose

    section = stm.read(result)
    section.adata.obs["depth"] = np.arange(section.n_spots) % 7
    path = stm.write(section, tmp_path / "s.h5ad")
    table, figure = tmp_path / "t.csv", tmp_path / "f.png"
    command = ["composition", path, "--key", "spamask", "--obs", column, "--out", table]
    for by in ("domain", "category"):
        code, out, err = call(*command, "--by", by, "--figure", figure, "--json")
        assert code == 0, err
        assert figure.stat().st_size > 5000
    facts = json.loads(out, parse_constant=pytest.fail)
    found = compose(section, section.adata.obs[facts["domains_from"]], column)
    assert len(facts[slot]) == len(found.table()) == len(pd.read_csv(table))
    assert "no p-value" in " ".join(facts["notes"])
    if slot == "composition":
        assert facts["cramers_v"] == pytest.approx(found.cramers_v)
        assert found.cramers_v > 0.8  # the bands were found
        assert [r["spots"] for r in facts[slot]] == found.table()["spots"].tolist()
    else:
        assert facts["epsilon_squared"] == pytest.approx(found.epsilon_squared)
    code, out, err = call("composition", path, "--key", "spamask", "--obs", "nope")
    assert code == 2
    assert "no column 'nope'" in err
