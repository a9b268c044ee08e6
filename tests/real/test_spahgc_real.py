"""SpaHGC on serial sections of a breast tumour, each predicted from the two others."""

from pathlib import Path

import numpy as np
import pytest

import napari_stmask as stm
from napari_stmask.analysis.region_transfer import find_region
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.features.retrieval import retrieve

NAMES = ("C2", "C3", "C4")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sections(data_dir: Path) -> list[Section]:
    folder = data_dir / "her2st"
    return [stm.read(folder / f"{n}.h5ad", image=folder / f"{n}.jpg") for n in NAMES]


def test_better_than_ridge_and_near_patches_on_sections_left_out(sections) -> None:
    """100 spatially variable genes chosen on the references, depth-normalised, one seed."""
    found = stm.evaluate(sections, n_genes=100, threads=1)
    mean = found.summary()["pcc_mean"]
    assert mean["SpaHGC"] >= mean["ridge"] + 0.02
    assert mean["SpaHGC"] >= max(mean["k-NN (7)"], mean["k-NN (50)"]) + 0.03
    assert mean["SpaHGC"] > max(mean["x-y only"], mean["depth (oracle)"])
    by_fold = found.folds.pivot(index="target", columns="prediction", values="pcc_mean")
    assert (by_fold["SpaHGC"] > by_fold["ridge"]).all()
    # The level is right too, not only the pattern.
    assert found.summary().loc["SpaHGC", "rmse"] < found.summary()["rmse"].drop("SpaHGC").min()
    # What is expected of a gene, from the references alone, ranks what comes out.
    genes = found.genes.groupby("target")[["expected_pcc", "pcc"]].corr("spearman")
    assert genes.xs("pcc", level=1)["expected_pcc"].min() > 0.4
    assert any("one patient" in note for note in found.notes)


def test_one_prediction(sections) -> None:
    two, three, four = sections
    found = stm.predict(three, [two, four], n_genes=100, threads=1)
    adata = found.section.adata
    error = np.abs(adata.X - _measured(three, adata.var_names)).mean(axis=1)
    spread = np.asarray(adata.layers["spread"]).mean(axis=1)
    assert np.corrcoef(spread, error)[0, 1] > 0.3
    assert any("of one patient (C)" in note for note in found.record["notes"])
    region = drain(
        find_region(
            found.section,
            [two, four],
            found.references,
            column="label",
            positive=("2", "3", "4"),
            target=three,
        )
    )
    assert region.scores is not None
    assert region.scores["auroc"] > 0.88


def test_a_copy_of_a_section_finds_itself(sections) -> None:
    """Every patch of a section is nearest to itself in a pool that holds the section."""
    from napari_stmask.features.image_features import image_features

    tables = [drain(image_features(s, patch_size=112, unit="um")) for s in sections]
    pool = np.concatenate(tables)
    found = drain(retrieve(tables[1], pool, 1))
    own = len(tables[0]) + np.arange(len(tables[1]))
    assert (found.index[:, 0] == own).mean() >= 0.99


def _measured(section: Section, genes) -> np.ndarray:
    from napari_stmask.features.gene_scale import log_expression

    return log_expression(section, list(genes), "normalised")
