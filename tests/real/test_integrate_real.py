"""Two neighbouring sections of one cortex as one run."""

import numpy as np
import pytest

import napari_stmask as stm
from napari_stmask.analysis.scores import against_truth
from napari_stmask.core.provenance import read_record
from napari_stmask.core.section import Section
from napari_stmask.placement import ALIGNED

VALUES = {"n_domains": 7, "epochs": 40, "replicates": 1, "seed": 0, "threads": 1}


@pytest.fixture(scope="module")
def cortex(data_dir) -> list[Section]:
    return [stm.read(data_dir / "dlpfc_visium" / f"{name}.h5ad") for name in ("151673", "151674")]


@pytest.fixture(scope="module")
def together(cortex) -> stm.Integration:
    return stm.integrate(
        "spamask", cortex, arrangement="serial", baselines=False, denoise=True, **VALUES
    )


@pytest.mark.slow
def test_neighbouring_sections_are_laid_on_one_another(together) -> None:
    first, second = together.alignments
    assert first.method == "reference"
    assert second.method == "outline"
    assert second.problem == ""
    assert second.overlap > 0.9
    # Of the nearest spots of the other section most are of the same layer.
    obs, places = together.joined.adata.obs, together.joined.adata.obsm[ALIGNED]
    codes = (obs["section"] == obs["section"].iloc[-1]).to_numpy()
    links = together.result.fit.graph.tocoo()
    across = codes[links.row] != codes[links.col]
    truth = obs["ground_truth"].astype(str).to_numpy()
    assert (truth[links.row] == truth[links.col])[across].mean() > 0.7
    gap = places[links.row[across], :2] - places[links.col[across], :2]
    # Farther than the reach, 1.5 distances between spots, no link goes.
    assert np.linalg.norm(gap, axis=1).max() <= 151
    assert set(places[codes, 2]) == {10.0}


@pytest.mark.slow
def test_domains_are_as_good_as_those_of_single_sections(cortex, together) -> None:
    scores = together.scores("ground_truth")
    for section in cortex:
        alone = Section(section.bare().adata, name=section.name, platform="visium")
        stm.run("spamask", alone, baselines=False, **VALUES)
        own = against_truth(section.adata.obs["ground_truth"], alone.adata.obs["spamask"])
        assert scores.loc[section.name, "ARI"] > own["ARI"] - 0.05
    assert scores.loc["all", "ARI"] > 0.45


@pytest.mark.slow
def test_answers_are_on_each_section(cortex, together) -> None:
    for section in cortex:
        adata = section.adata
        assert adata.obs["spamask"].notna().all()
        assert adata.layers["spamask_denoised"].shape == adata.shape
        assert read_record(adata, "spamask")["joint"]["alignments"][1]["problem"] == ""
    mixing = together.table["iLISI"]
    assert mixing["SpaMask"] > mixing["expression as measured"]
    assert together.table.loc["SpaMask", "biology kept"] > 0.3
