"""The main job on the real section."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import napari_stmask as stm
from napari_stmask.scoring import score_section


def run(path: Path, out: Path, *options: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "napari_stmask.cli", "run", "spamask", str(path), "--n-domains", "7",
         "--seed", "0", "--threads", "1", "--out", str(out), "--json", *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_folder_and_file_of_the_same_section_give_the_same_domains(data_dir, tmp_path) -> None:
    """The recommended run, on the command line, on the Space Ranger folder and on the h5ad."""
    folder = data_dir / "dlpfc_visium" / "native" / "151673"
    file = data_dir / "dlpfc_visium" / "151673.h5ad"
    first = run(folder, tmp_path / "native.h5ad")
    second = run(file, tmp_path / "h5ad.h5ad")
    assert first["domains"] == second["domains"]
    a, b = (stm.read(tmp_path / name).adata for name in ("native.h5ad", "h5ad.h5ad"))
    b = b[a.obs_names]
    np.testing.assert_array_equal(a.obs["spamask"].astype(str), b.obs["spamask"].astype(str))
    assert first["peak_rss_bytes"] < 1.2e9
    section = stm.read(tmp_path / "h5ad.h5ad")
    table = score_section(section, truth="ground_truth")
    assert set(table) == {"spamask", "pca", "neighbour_pca"}
    assert table["spamask"]["ARI"] > 0.5
    assert table["spamask"]["ARI"] > table["pca"]["ARI"] + 0.1
    assert table["spamask"]["PAS"] < 0.05


@pytest.mark.slow
def test_small_section_of_large_spots(data_dir) -> None:
    section = stm.read(data_dir / "her2st_labelled" / "A1.h5ad")
    truth = section.adata.obs.pop("ground_truth").astype("string")
    result = stm.run("spamask", section, n_domains=5, threads=1)
    assert result.record["params"]["own_weight"] == 1
    section.adata.obs["truth"] = truth.mask(truth == "undetermined")
    assert score_section(section, truth="truth")["spamask"]["ARI"] > 0.35
