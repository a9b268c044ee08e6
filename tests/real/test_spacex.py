"""SpaCEX on real sections: where spots lie, and which genes are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import napari_stmask as stm
from napari_stmask.features.gene_canvas import gene_canvas
from napari_stmask.features.gene_images import ImageMaker, picture_values
from napari_stmask.gene_atlas import genes_of
from napari_stmask.pipeline import run

ST = (
    "her2st/C2",
    "her2st/C4",
    "her2st_labelled/A1",
    "her2st_labelled/B1",
    "mob_st_labelled/MOB_rep8",
)


def turned(coords: np.ndarray, degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees)
    return coords @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])


@pytest.fixture(scope="module")
def cortex(data_dir: Path) -> stm.Section:
    return stm.read(data_dir / "dlpfc_visium" / "151673.h5ad")


@pytest.mark.parametrize("name", ["151673", "151674"])
def test_visium_spots_lie_where_the_array_says(data_dir: Path, name: str) -> None:
    section = stm.read(data_dir / "dlpfc_visium" / f"{name}.h5ad")
    canvas = gene_canvas(section)
    row, column = (section.adata.obs[f"array_{k}"].to_numpy(int) for k in ("row", "col"))
    assert canvas.height == row.max() - row.min() + 1
    assert canvas.width == -(-(column.max() - column.min()) // 2) + 1
    found = np.column_stack(np.divmod(canvas.pixel, canvas.width))
    np.testing.assert_array_equal(found[:, 0], row - row.min())
    np.testing.assert_array_equal(found[:, 1], -(-(column - column.min()) // 2))
    assert len(canvas.occupied) == section.n_spots


@pytest.mark.parametrize("degrees", [-12.0, 4.0, 27.0])
def test_a_turned_section_loses_no_spot(cortex: stm.Section, degrees: float) -> None:
    section = cortex.bare()
    section.adata.obsm["spatial"] = turned(section.coords, degrees)
    canvas, straight = gene_canvas(section), gene_canvas(cortex)
    assert canvas.rule == "hexagonal"
    assert len(canvas.occupied) == section.n_spots
    np.testing.assert_array_equal(canvas.pixel, straight.pixel)


@pytest.mark.parametrize("name", ST)
def test_square_arrays_are_not_halved(data_dir: Path, name: str) -> None:
    section = stm.read(data_dir / f"{name}.h5ad")
    canvas = gene_canvas(section)
    assert canvas.rule == "square"
    assert len(canvas.occupied) == section.n_spots
    assert min(canvas.height, canvas.width) >= 16


def test_pictures_hold_what_spots_hold(cortex: stm.Section) -> None:
    genes = cortex.adata.var_names.get_indexer(["MBP", "PCP4", "SNAP25"])
    values = picture_values(cortex, genes)
    maker = ImageMaker.of(gene_canvas(cortex), sigma=0, standardise=False)
    pictures = maker.draw(values)
    np.testing.assert_allclose(pictures.sum(axis=1), values.sum(axis=0).A1, rtol=1e-4)
    image = maker.canvas.image(pictures, fill=0.0).reshape(3, -1)
    np.testing.assert_allclose(image[:, maker.canvas.pixel].T, values.toarray(), rtol=1e-6)


@pytest.mark.slow
def test_markers_of_white_matter_and_of_layers(cortex: stm.Section) -> None:
    section = cortex.bare()
    kept = "MBP, PLP1, MOBP, CNP, ENC1, HPCAL1, CUX2, PCP4"
    known = [g for g in kept.split(", ") if g in section.adata.var_names]
    run(
        "spacex", section, n_genes=600, keep_genes=", ".join(known), min_steps=500,
        svg_draws=10, gene_modules=20, threads=1, baselines=False,
    )  # fmt: skip
    atlas = genes_of(section)
    table = atlas.table().set_index("gene")
    assert table.loc["MBP", "module"] == table.loc["PLP1", "module"]
    assert table.loc["MBP", "module"] != table.loc["ENC1", "module"]
    assert (table.loc[["MBP", "PLP1", "MOBP"], "svg_q"] < 0.01).all()
    assert {"PLP1", "MOBP", "CNP"} & set(atlas.partners("MBP", k=10)["gene"])
