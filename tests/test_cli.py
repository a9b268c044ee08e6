"""The command line, as a user calls it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.helpers import banded

import napari_stmask as stm

FAST = ["--epochs", "3", "--replicates", "1", "--threads", "1", "--n-domains", "4"]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    section, band = banded(10, 12, 80)
    section.adata.obs["truth"] = np.array(list("abcde"))[band]
    return stm.write(section, tmp_path_factory.mktemp("cli") / "in put.h5ad")


def test_methods_and_params(call) -> None:
    code, out, _ = call("methods", "--json")
    assert code == 0
    assert json.loads(out)["spamask"]["doi"].startswith("10.1371")
    code, out, _ = call("params", "spamask", "--platform", "st", "--json")
    assert json.loads(out)["neighbours"] == 4
    assert "--n-domains" in call("params", "spamask")[1]


def test_info(call, source) -> None:
    code, out, _ = call("info", source, "--json")
    (facts,) = json.loads(out)["sections"]
    assert code == 0
    assert (facts["spots"], facts["genes"], facts["platform"]) == (120, 80, "visium")
    assert "120 spots x 80 genes" in call("info", source)[1]


def test_a_file_with_more_spots_is_not_run_over(call, tmp_path) -> None:
    section, _ = banded(10, 12, 80)
    section.adata.obs["in_tissue"] = np.arange(120) % 2
    path = stm.write(section, tmp_path / "raw.h5ad")
    before = path.read_bytes()
    for command in (("run", "spamask", path, *FAST, "--out", path), ("convert", path, path)):
        code, out, err = call(*command)
        assert (code, out) == (2, "")
        # Said before the work, in one line.
        assert err.startswith("napari-stmask: ")
        assert err.count("\n") == 1
        assert "holds 120 spots, of which the section has 60" in err
    assert path.read_bytes() == before


def test_libraries_keep_quiet(source, tmp_path) -> None:
    for name in ("a.anndata.zarr", "a.zarr"):
        command = [sys.executable, "-m", "napari_stmask.cli", "convert", source, tmp_path / name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""


def test_run_then_score(call, source, tmp_path) -> None:
    target = tmp_path / "o.h5ad"
    code, out, err = call("run", "spamask", source, *FAST, "--denoise", "--out", target, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert sum(facts["domains"].values()) == 120
    assert facts["params"]["denoise"] is True
    code, out, _ = call("score", target, "--truth", "truth", "--json")
    assert set(json.loads(out)) == {"spamask", "pca", "neighbour_pca"}
    text = call("score", target, "--truth", "truth")[1]
    assert all(word in text for word in ("ARI", "NMI", "PAS", "CHAOS", "neighbour_pca"))


def test_same_answer_as_in_a_script(call, source, tmp_path) -> None:
    target = tmp_path / "o.h5ad"
    assert call("run", "spamask", source, *FAST, "--seed", 3, "--out", target)[0] == 0
    section = stm.read(source)
    stm.run("spamask", section, epochs=3, replicates=1, threads=1, n_domains=4, seed=3)
    there = stm.read(target).adata.obs["spamask"]
    assert (there.astype(str) == section.adata.obs["spamask"].astype(str)).all()


def test_parameters_from_a_file_and_from_a_record(call, source, tmp_path) -> None:
    bare = tmp_path / "p.json"
    bare.write_text(json.dumps({"n_domains": 3, "epochs": 2, "replicates": 1}))
    code, out, err = call("run", "spamask", source, "--params", bare, "--epochs", 4, "--json")
    assert code == 0, err
    values = json.loads(out)["params"]
    assert (values["n_domains"], values["epochs"]) == (3, 4)
    bare.write_text("[1]")
    assert call("run", "spamask", source, "--params", bare)[0] == 2
    bare.write_text("{")
    assert "is not JSON" in call("run", "spamask", source, "--params", bare)[2]


def test_model_round_trip(call, source, tmp_path) -> None:
    model = tmp_path / "m.safetensors"
    assert call("run", "spamask", source, *FAST, "--save-model", model)[0] == 0
    code, _, err = call("run", "spamask", source, "--n-domains", 3, "--model", model)
    assert code == 0, err


def test_convert_to_every_format(call, source, tmp_path) -> None:
    out = tmp_path / "result.h5ad"
    assert call("run", "spamask", source, "--out", out, *FAST)[0] == 0
    for name in ("a.geojson", "a.loupe.csv", "a.ome.tif", "a.parquet", "a.anndata.zarr"):
        code, text, error = call("convert", out, tmp_path / name)
        assert (code, error) == (0, ""), name
        assert name in text
        assert (tmp_path / name).exists()
    assert call("convert", out, tmp_path / "t.geojson", "--domains", "truth")[0] == 0
    assert '"name":"e"' in (tmp_path / "t.geojson").read_text()
    assert call("convert", out, tmp_path / "e.csv", "--embedding")[0] == 0
    assert "X_spamask_1" in (tmp_path / "e.csv").read_text().splitlines()[0]
    code, _, error = call("convert", out, tmp_path / "x.h5ad", "--domains", "truth")
    assert (code, "column means nothing" in error) == (2, True)


def test_options_of_reading(call, source, tmp_path) -> None:
    table = tmp_path / "cells.csv"
    table.write_text("pos_a,pos_b,A,B,C\n0,0,1,2,3\n0,9,4,0,1\n9,0,2,2,2\n9,9,0,1,5\n")
    columns = ["--column", "x=pos_a", "--column", "y=pos_b"]
    code, text, error = call("info", table, *columns)
    assert (code, error) == (0, "")
    assert "4 spots x 3 genes" in text
    for wrong, said in (
        (["--column", "x"], "give ROLE=NAME"),
        (["--bin", "0"], "bin is 0"),
        (["--bin", "cells"], "bin is 'cells'"),
        (["--mask", "m.tif"], "mask="),
        (["--alignment", "a.json"], "alignment was given without an image"),
    ):
        code, _, error = call("info", source, *wrong)
        assert (code, said in error) == (2, True), error
        assert len(error.strip().splitlines()) == 1


def test_convert(call, source, tmp_path) -> None:
    assert call("convert", source, tmp_path / "t.csv")[0] == 0
    assert (tmp_path / "t.csv").read_text().startswith("barcode,x,y")


def test_doctor(call) -> None:
    code, out, _ = call("doctor", "--json")
    assert code == 0
    assert json.loads(out)["versions"]["torch"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "nowhere/at all"], "nowhere/at all"),
        (["run", "spamask", "{source}", "--n-domains", "500"], "n_domains = 500"),
        (["run", "spamask", "{source}", "--n-domains", "100", "--n-pcs-out", "1"], "n_pcs_out = 1"),
        (
            ["run", "spamask", "{source}", "--out", "/nonexistent folder/o.h5ad"],
            "/nonexistent folder",
        ),
        (["run", "spamask", "{source}", "--out", "o.docx"], "o.docx"),
        (["run", "spamask", "{source}", "--on", "ray://there"], "dask://HOST:PORT"),
        (["run", "spamask", "{source}", "--preset", "quick"], "no preset 'quick'"),
        (["score", "{source}", "--truth", "truth"], "holds no run"),
        (["params", "stagate"], "no method 'stagate'"),
        (["convert", "{source}", "x.docx"], "x.docx"),
    ],
)
def test_mistakes_end_in_one_line_and_code_2(call, source, arguments, words) -> None:
    code, out, err = call(*[a.format(source=source) for a in arguments])
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert out == ""


def test_output_is_checked_before_the_work(call, source, tmp_path) -> None:
    folder = tmp_path / "folder.h5ad"
    folder.mkdir()
    code, _, err = call("run", "spamask", source, "--epochs", 5000, "--out", folder)
    assert code == 2
    assert "training" not in err


def test_every_help_text() -> None:
    """As a subprocess: the installed entry point, without a window or torch."""
    for arguments in ([], ["run"], ["run", "spamask"], ["demo"], ["score"], ["view"], ["convert"]):
        done = subprocess.run(
            [sys.executable, "-m", "napari_stmask.cli", *arguments, "--help"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "Usage" in done.stdout
    assert "--link-weight" in subprocess.run(
        [sys.executable, "-m", "napari_stmask.cli", "run", "spamask", "--help"],
        capture_output=True, text=True, check=True, env={"COLUMNS": "200", "PATH": ""},
    ).stdout  # fmt: skip


@pytest.mark.slow
def test_demo_without_a_window(call, tmp_path) -> None:
    code, out, err = call("demo", "--headless", "--out", tmp_path / "demo", "--json")
    assert code == 0, err
    assert (tmp_path / "demo" / "domains.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "demo" / "params.json").read_text())["n_domains"] > 2
    section = stm.read(tmp_path / "demo" / "sample.h5ad")
    assert section.image is not None
    assert section.adata.obs["spamask"].notna().all()
    assert json.loads(out)["domains"]


@pytest.mark.parametrize(
    "content", ['{"params": 3}', '{"method": "x", "n_domains": 3}', '{"key_added": "x"}', "null"]
)
def test_odd_parameter_files(call, source, tmp_path, content: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(content)
    code, _, err = call("run", "spamask", source, "--params", path)
    assert code == 2
    assert err.count("\n") == 1


def test_demo_into_a_file(call, tmp_path) -> None:
    (tmp_path / "plain").write_text("")
    code, _, err = call("demo", "--headless", "--out", tmp_path / "plain")
    assert code == 2
    assert "plain" in err


def test_counts_in_a_layer(call, tmp_path) -> None:
    section, _ = banded(10, 12, 80)
    section.adata.layers["raw"] = section.adata.X.copy()
    section.adata.X = section.adata.X * 0.5
    path = stm.write(section, tmp_path / "lay.h5ad")
    assert "raw counts" in call("run", "spamask", path, *FAST)[2]
    code, _, err = call("run", "spamask", path, *FAST, "--counts-layer", "raw")
    assert code == 0, err


def test_a_second_call_adds_no_command_again(call) -> None:
    from napari_stmask import cli

    call("methods")
    before = len(cli.app.registered_groups), len(cli.app.registered_commands)
    call("methods")
    assert (len(cli.app.registered_groups), len(cli.app.registered_commands)) == before
