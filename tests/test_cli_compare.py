"""``compare``, as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import adjusted_rand_score
from tests.helpers import banded

import napari_stmask as stm
from napari_stmask.core.section import Section


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path, float]:
    """A section with two labelings, another with the second alone, and their ARI."""
    folder = tmp_path_factory.mktemp("com pare")
    section, band = banded(20, 10, genes=20)
    run = np.where(np.arange(200) % 7 == 0, (band + 2) % 5, band)
    section.adata.obs["truth"] = pd.Categorical([f"band {b}" for b in band])
    section.adata.obs["run"] = pd.Categorical([str(r + 1) for r in run])
    section.adata.obs.loc[section.adata.obs_names[:3], "truth"] = np.nan
    path = stm.write(section, folder / "one.h5ad")
    part = Section(section.adata[::-1][:150].copy(), name="part", platform="visium")
    del part.adata.obs["truth"]
    return path, stm.write(part, folder / "two.h5ad"), adjusted_rand_score(band[3:], run[3:])


def test_says_scores_and_writes(call, files, tmp_path) -> None:
    path, _, ari = files
    out, figure = tmp_path / "t.csv", tmp_path / "f.png"
    code, text, _ = call(
        "compare", path, "--first", "truth", "--second", "run", "--out", out,
        "--figure", figure, "--json",
    )  # fmt: skip
    assert code == 0
    facts = json.loads(text)
    assert facts["scores"]["ARI"] == pytest.approx(ari)
    assert (facts["scores"]["spots"], facts["scores"]["left_out"]) == (197, 3)
    assert facts["written"] == [str(out), str(figure)]
    table = pd.read_csv(out)
    assert table["domain"].tolist() == [f"band {b}" for b in range(5)]
    assert table["shared"].sum() == sum(1 for i in range(3, 200) if i % 7)
    assert facts["counts"]["band 1"]["2"] == table["shared"][1]
    with Image.open(figure) as picture:
        assert min(picture.size) > 200
    assert call("compare", path, "--first", "truth", "--second", "run")[1].count("\n") >= 8


def test_joins_another_file_by_barcode(call, files, tmp_path) -> None:
    path, other, _ = files
    figure = tmp_path / "f.svg"
    code, text, _ = call(
        "compare", path, "--first", "run", "--second", "run", "--with", other,
        "--figure", figure, "--kind", "sankey", "--json",
    )  # fmt: skip
    assert code == 0
    scores = json.loads(text)["scores"]
    assert (scores["ARI"], scores["spots"], scores["left_out"]) == (1, 150, 50)
    assert "<svg" in figure.read_text(encoding="utf-8")


def test_refuses_before_it_works(call, files, tmp_path) -> None:
    path, _, _ = files
    asked = ("compare", path, "--first", "truth", "--second")
    code, _, error = call(*asked, "absent")
    assert code == 2
    assert "no 'absent'" in error
    code, _, error = call(*asked, "run", "--out", tmp_path / "t.png")
    assert code == 2
    assert ".csv" in error
    assert not list(tmp_path.iterdir())
