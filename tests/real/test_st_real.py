"""Legacy Spatial Transcriptomics and probe matrices as laboratories have published them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_stmask.core.section import Section
from napari_stmask.io.read import read, recognise


def one(path: Path, **options: object) -> Section:
    found = read(path, **options)
    assert isinstance(found, Section)
    return found


def test_her2st_a1_equals_the_converted_file(data_dir: Path) -> None:
    folder = data_dir / "her2st_labelled"
    converted = one(folder / "A1.h5ad")
    for path in (folder / "native", folder / "native" / "A1.tsv.gz"):
        assert recognise(path) == "st"
        native = one(path)
        assert (native.name, native.platform) == ("A1", "st")
        assert (native.n_spots, native.n_genes) == (346, 15045)
        assert list(native.adata.obs_names) == list(converted.adata.obs_names)
        assert list(native.adata.var_names) == list(converted.adata.var_names)
        assert (native.counts() != converted.counts()).nnz == 0
        np.testing.assert_allclose(native.coords, converted.coords)
        for column in ("array_row", "array_col", "ground_truth"):
            mine, theirs = (s.adata.obs[column].astype(str) for s in (native, converted))
            assert (mine.to_numpy() == theirs.to_numpy()).all()
        assert native.adata.obs["ground_truth"].value_counts()["invasive cancer"] == 282
        # From the whole array; the median step of the pixels is 217.4 by row and 218.4 by column.
        assert native.um_per_px == pytest.approx(200 / 218.0, rel=1e-3)
        assert native.lattice.kind == "square"
        assert native.image is not None
        assert native.image.shape == (2138, 2000)
        assert native.image.scale == pytest.approx(converted.image.scale, rel=2e-4)
        assert native.image.contains(native.coords).all()
        assert (native.image.levels[0] == converted.image.levels[0]).all()


def test_her2st_a1_without_its_labels(data_dir: Path, tmp_path: Path) -> None:
    for name in ("A1.tsv.gz", "A1_selection.tsv", "A1_HE_image_dark.png"):
        shutil.copyfile(data_dir / "her2st_labelled" / "native" / name, tmp_path / name)
    found = one(tmp_path)
    assert found.n_spots == 346
    assert "ground_truth" not in found.adata.obs
    # Nothing tells the scale of the image any more.
    assert found.image is None
    assert any("A1_HE_image_dark.png was left out" in note for note in found.notes)


def test_mob1(data_dir: Path) -> None:
    folder = data_dir / "mob_st_images" / "native"
    found = one(folder)
    assert recognise(folder / "MOB1.tsv") == "st"
    assert (found.name, found.n_spots, found.n_genes) == ("MOB1", 379, 1000)
    assert found.adata.var_names[0] == "ENSMUSG00000064339"
    assert found.adata.var["gene_ids"].iloc[0] == "ENSMUSG00000064339.1"
    assert found.image is not None
    assert (found.image.name, found.image.shape, found.image.scale) == ("MOB1.jpg", (1905, 1905), 1)
    assert found.image.contains(found.coords).all()
    # An array of 66 x 64 places, 6.2 x 6.6 mm: 100 µm per place, 141 µm between spots.
    assert found.um_per_px == pytest.approx(4.386, rel=1e-3)
    assert found.lattice.pitch * found.um_per_px == pytest.approx(141.4, rel=0.01)
    assert found.adata.X[:, 0].sum() > 0
    assert one(folder, filtered=False).n_spots == 1923


def test_mob1_with_symbols(data_dir: Path, tmp_path: Path) -> None:
    table = tmp_path / "symbols.tsv"
    table.write_text("gene_id\tsymbol\nENSMUSG00000064339\tmt-Rnr2\n")
    found = one(data_dir / "mob_st_images" / "native" / "MOB1.tsv", symbols=table)
    assert found.adata.var_names[0] == "mt-Rnr2"
    assert "999 of 1000 genes have no symbol and keep their identifier." in found.notes


def test_published_tables_that_are_no_sections(data_dir: Path) -> None:
    for name in (
        "her2st_labelled/native/A1_selection.tsv",
        "her2st_labelled/native/A1_labeled_coordinates.tsv",
        "mob_st_images/native/alignment_table_MOB1.tsv",
        "spaceranger_fixtures/ovarian_spatial_only/spatial/tissue_positions_list.csv",
    ):
        assert recognise(data_dir / name) is None
