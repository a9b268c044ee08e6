"""``napari-stmask integrate`` and ``align``: options on small sections, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.features.tissue import blob, pattern_section, turned
from tests.serial import serial_sections

import napari_stmask as stm
from napari_stmask.core.joint import JointParams
from napari_stmask.core.provenance import read_record
from napari_stmask.models import available, get, integrating, params_of

Call = Callable[..., tuple[int, str, str]]
QUICK = ("--epochs", 2, "--replicates", 1, "--n-domains", 5, "--n-pcs-in", 10, "--threads", 1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three sections that lie over one another, as files."""
    folder = tmp_path_factory.mktemp("sections")
    paths = []
    for section in serial_sections(3):
        paths.append(folder / f"{section.name}.h5ad")
        stm.write(section, paths[-1])
    return paths


def test_no_option_has_two_meanings() -> None:
    joint = set(JointParams.model_fields)
    for name in available():
        if get(name).needs.integrates:
            assert not joint & set(params_of(name).model_fields), name


def test_those_that_integrate_are_known_without_importing_them() -> None:
    assert integrating() == [name for name in available() if get(name).needs.integrates]
    code = "import sys, napari_stmask.cli_run as c, typer; c.register(typer.Typer())\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_three_sections_and_all_that_is_written(
    call: Call, files: list[Path], tmp_path: Path
) -> None:
    out, each, model = tmp_path / "joined.h5ad", tmp_path / "single", tmp_path / "m.safetensors"
    code, text, error = call(
        "integrate", "spamask", *files, *QUICK, "--arrangement", "serial", "--align-by", "none",
        "--gaps-um", "10,300", "--cross-neighbours", 1, "--key", "joint", "--no-baselines",
        "--out", out, "--each", each, "--save-model", model, "--truth", "ground_truth", "--json",
    )  # fmt: skip
    assert code == 0, error
    facts = json.loads(text)
    assert facts["joint"]["settings"]["cross_neighbours"] == 1
    assert [row["section"] for row in facts["truth"]] == ["s0", "s1", "s2", "all"]
    assert sum(facts["domains"].values()) == 360
    assert len(facts["composition"]) == 3
    joined = stm.read(out)
    depth = np.unique(joined.adata.obsm["spatial_aligned"][:, 2])
    np.testing.assert_allclose(depth, [0, 10, 310])
    parts = [stm.read(each / f"s{i}.h5ad") for i in range(3)]
    for part in parts:
        assert list(part.adata.uns["joint_colors"]) == list(joined.adata.uns["joint_colors"])
        assert read_record(part.adata, "joint")["joint"]["sections"] == ["s0", "s1", "s2"]
    together = np.concatenate([p.adata.obs["joint"].astype(str) for p in parts])
    np.testing.assert_array_equal(together, joined.adata.obs["joint"].astype(str))
    # A score of the joined file has a row for each section too.
    code, text, error = call("score", out, "--truth", "ground_truth", "--json")
    assert code == 0, error
    assert {"joint", "joint, s0", "joint, s2", "neighbour_pca, s1"} <= set(json.loads(text))
    # And the model is applied without training.
    code, text, error = call(
        "integrate", "spamask", *files, "--model", model, "--n-domains", 5, "--arrangement",
        "serial", "--align-by", "none", "--cross-neighbours", 1, "--no-scores",
        "--no-baselines", "--out", tmp_path / "again.h5ad", "--gaps-um", "10,300", "--json",
    )  # fmt: skip
    assert code == 0, error
    again = stm.read(tmp_path / "again.h5ad")
    np.testing.assert_allclose(
        again.adata.obsm["X_spamask"], joined.adata.obsm["X_joint"], atol=1e-4
    )


def test_report_for_people(call: Call, files: list[Path]) -> None:
    code, text, error = call("integrate", "spamask", *files[:2], *QUICK, "--truth", "ground_truth")
    assert code == 0, error
    for words in ("neighbour mean with links across", "SpaMask", "iLISI", "ARI", "all"):
        assert words in text


def test_align_writes_what_integrate_takes(call: Call, tmp_path: Path) -> None:
    spots = blob()
    still = pattern_section(spots, name="a")
    moved = pattern_section(spots, turned(spots, 50), seed=1, name="b")
    paths = [tmp_path / "a.h5ad", tmp_path / "b.h5ad"]
    for section, path in zip((still, moved), paths, strict=True):
        stm.write(section, path)
    found = tmp_path / "transforms.json"
    code, text, error = call("align", *paths, "--flip", "never", "--out", found)
    assert code == 0, error
    assert "a: reference" in text
    assert "residual" in text
    matrix = np.array(json.loads(found.read_text())["alignments"][1]["matrix"])
    angle = np.radians(50)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(matrix[:2, :2], turn.T, atol=1e-3)
    code, text, error = call(
        "integrate", "spamask", *paths, *QUICK, "--arrangement", "serial",
        "--transforms", found, "--no-baselines", "--no-scores", "--json",
    )  # fmt: skip
    assert code == 0, error
    assert json.loads(text)["joint"]["alignments"][1]["method"] == "given"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--gaps-um", "a"), "give numbers with commas"),
        (("--gaps-um", "10"), "arrangement"),
        (("--transforms", "none.json"), "cannot be read"),
        (("--joint", "none.json"), "cannot be read"),
        (("--joint-preset", "sideways"), "there is no preset"),
        (("--cross-weight", "7"), "use a number from 0.01 to 1"),
        (("--truth", "layer"), "not every section has a column 'layer'"),
        (("--links", "quota"), "no common frame"),
    ],
)
def test_mistakes_end_in_one_line(
    call: Call, files: list[Path], arguments: tuple[str, str], words: str
) -> None:
    code, text, error = call("integrate", "spamask", *files[:2], *QUICK, *arguments)
    assert (code, text) == (2, "")
    assert words in error.strip().splitlines()[-1]


def test_one_section_is_none(call: Call, files: list[Path]) -> None:
    for command in (("integrate", "spamask"), ("align",)):
        code, _, error = call(*command, files[0])
        assert code == 2
        assert "give two or more" in error


def test_files_of_other_content_are_refused(call: Call, files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    for content, words in (("{", "is not JSON"), ("[1, 2]", "holds no list of 3 x 3 matrices")):
        path.write_text(content)
        code, _, error = call(
            "integrate", "spamask", *files[:2], *QUICK, "--arrangement", "serial",
            "--transforms", path,
        )  # fmt: skip
        assert code == 2
        assert words in error
    path.write_text('{"arrangement": "serial", "colour": "red"}')
    code, _, error = call("integrate", "spamask", *files[:2], *QUICK, "--joint", path)
    assert code == 2
    assert "there is no parameter 'colour'" in error


def test_settings_of_a_record_are_taken(call: Call, files: list[Path], tmp_path: Path) -> None:
    first = ("integrate", "spamask", *files[:2], *QUICK, "--no-baselines", "--no-scores", "--json")
    code, text, error = call(*first, "--links", "none", "--standardise", "joint")
    assert code == 0, error
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"joint": json.loads(text)["joint"]}))
    code, text, error = call(*first, "--joint", record)
    assert code == 0, error
    settings = json.loads(text)["joint"]["settings"]
    assert (settings["links"], settings["standardise"]) == ("none", "joint")
