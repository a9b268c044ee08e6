"""Markers, facts and composition of the layers of a cortex."""

import numpy as np
import pytest

import napari_stmask as stm
from napari_stmask.analysis.composition import compose
from napari_stmask.analysis.domain_facts import domain_facts, top_markers
from napari_stmask.analysis.markers import marker_table
from napari_stmask.viz.raster import rasterise


@pytest.fixture(scope="module")
def cortex(data_dir):
    section = stm.read(data_dir / "dlpfc_visium" / "151673.h5ad")
    return section, section.adata.obs["ground_truth"].astype("category")


def test_white_matter_is_that_of_oligodendrocytes(cortex) -> None:
    section, layers = cortex
    for given in ({}, {"against": "touching"}, {"against": "adjacent"}, {"test": "logreg"}):
        table = marker_table(section, layers, n_genes=10, only=["WM"], **given)
        assert "MBP" in set(table["gene"]), given
        assert {"PLP1", "MOBP"} & set(table["gene"]), given
        assert (table["log2_fold_change"] > 0).all()
    names = [str(name) for name in layers.cat.categories]
    first = top_markers(section, layers.cat.codes.to_numpy(), names)
    assert {"PLP1", "MOBP"} <= set(first.loc[first["domain"] == "WM", "gene"])
    assert "PCP4" in set(first.loc[first["domain"] == "L5", "gene"])


def test_areas_add_up_to_the_tissue(cortex) -> None:
    section, layers = cortex
    codes = layers.cat.codes.to_numpy()
    facts = domain_facts(section, codes, len(layers.cat.categories))
    raster = rasterise(section.coords, section.lattice)
    assert section.um_per_px is not None
    covered = np.isin(raster.index, np.flatnonzero(codes >= 0)).sum()
    area = covered * (raster.step * section.um_per_px) ** 2 / 1e6
    # The raster is an independent count of the same tissue.
    assert facts["area_mm2"].sum() == pytest.approx(area, rel=0.03)
    assert facts.loc[facts.index[-1], "pieces"] == 1


def test_layers_hold_different_numbers_of_molecules(cortex) -> None:
    section, layers = cortex
    found = compose(section, layers, "sum_umi_full")
    assert 0.2 < found.epsilon_squared < 0.4
    medians = found.summary.set_index("domain")["median"]
    assert medians.idxmin() == "L1"
