"""Readers against the files that platforms and laboratories have published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_stmask.core.errors import DataError, MissingFileError
from napari_stmask.core.section import Section
from napari_stmask.io.read import read, recognise
from napari_stmask.io.write import write

# path under the data folder: platform, spots, genes, µm per unit (None: unknown)
H5AD = {
    "dlpfc_visium/151673.h5ad": ("visium", 3639, 8513, 0.7245),
    "dlpfc_visium/151674.h5ad": ("visium", 3673, 5000, 0.7246),
    "pca200_benchmarkst/DLPFC_151507_pca200.h5ad": ("visium", 4221, 200, 0.7247),
    "pca200_benchmarkst/DLPFC_151669_pca200.h5ad": ("visium", 3636, 200, 0.7246),
    "her2st/C2.h5ad": ("st", 187, 15706, 0.6881),
    "her2st/C3.h5ad": ("st", 180, 15821, 0.6874),
    "her2st/C4.h5ad": ("st", 184, 15842, 0.6878),
    "her2st_labelled/A1.h5ad": ("st", 346, 15045, 0.9175),
    "her2st_labelled/B1.h5ad": ("st", 295, 15109, 0.6886),
    "mob_st_labelled/MOB_rep8.h5ad": ("st", 262, 15928, 200.0),
    "mouse_brain_anterior_100genes/MA_100genes.h5ad": ("visium", 2695, 100, 0.7248),
    "starmap_mpfc_3slices/20180417_BZ5_control.h5ad": ("imaging", 1049, 166, None),
    "starmap_mpfc_3slices/20180419_BZ9_control.h5ad": ("imaging", 1053, 166, None),
    "osmfish_ssp/osmFISH.h5ad": ("imaging", 4839, 33, None),
    "merfish_hypothalamus/animal7_bregma-0.09_cellclass.h5ad": ("imaging", 5303, 135, None),
    "seqfish_embryo2/embryo2.h5ad": ("imaging", 14185, 351, None),
}
NO_COUNTS = ("pca200", "merfish", "seqfish")


def one(path: Path, **options: object) -> Section:
    found = read(path, **options)
    assert isinstance(found, Section)
    return found


def test_every_h5ad_is_listed(data_dir: Path) -> None:
    assert {str(p.relative_to(data_dir).as_posix()) for p in data_dir.rglob("*.h5ad")} == set(H5AD)


@pytest.mark.parametrize("name", H5AD)
def test_h5ad(data_dir: Path, name: str) -> None:
    platform, spots, genes, um = H5AD[name]
    assert recognise(data_dir / name) == "h5ad"
    found = one(data_dir / name)
    assert (found.platform, found.n_spots, found.n_genes) == (platform, spots, genes)
    assert found.um_per_px == (None if um is None else pytest.approx(um, rel=1e-3))
    if found.image is not None:
        assert found.image.contains(found.coords).all()
    if name.startswith(NO_COUNTS):
        with pytest.raises(DataError, match="expected raw counts"):
            found.counts()
    else:
        assert found.counts().nnz > 0


def test_native_151673_equals_the_converted_file(data_dir: Path) -> None:
    native = one(data_dir / "dlpfc_visium" / "native" / "151673")
    converted = one(data_dir / "dlpfc_visium" / "151673.h5ad")
    assert native.name == "151673"
    assert native.platform == "visium"
    assert native.um_per_px == pytest.approx(converted.um_per_px, rel=1e-3)
    assert native.spot_diameter == pytest.approx(96.4008, rel=1e-5)
    assert native.image is not None
    assert (native.image.name, native.image.shape) == ("lowres", (600, 600))
    assert set(native.adata.obs_names) == set(converted.adata.obs_names)
    assert set(native.adata.var_names) == set(converted.adata.var_names)
    aligned = native.adata[converted.adata.obs_names, converted.adata.var_names]
    assert (aligned.X != converted.adata.X).nnz == 0
    np.testing.assert_allclose(aligned.obsm["spatial"], converted.coords)
    for column in ("array_row", "array_col"):
        assert (aligned.obs[column].to_numpy() == converted.adata.obs[column].to_numpy()).all()
    assert (native.image.levels[0] == converted.image.levels[0]).all()


def test_cytassist_h5_equals_triplets(data_dir: Path) -> None:
    folder = data_dir / "visium_sr3_cytassist_placenta" / "native"
    h5, mtx = one(folder), one(folder / "filtered_feature_bc_matrix")
    for found in (h5, mtx):
        assert (found.platform, found.n_spots, found.n_genes) == ("visium", 2898, 19465)
        assert found.um_per_px == pytest.approx(100 / 21.4277, rel=1e-4)
        assert found.lattice.kind == "hexagonal"
        assert any("low-resolution" in note for note in found.notes)
    assert h5.name == "Placenta_S3"
    assert (h5.counts() != mtx.counts()).nnz == 0
    assert h5.adata.obs.equals(mtx.adata.obs)
    assert h5.adata.var.equals(mtx.adata.var)
    np.testing.assert_array_equal(h5.coords, mtx.coords)
    assert np.median(np.asarray(h5.counts().sum(axis=1))) == 226


def test_space_ranger_1_of_scanpy(data_dir: Path) -> None:
    found = one(data_dir / "spaceranger_fixtures" / "scanpy" / "1.0.0")
    assert (found.name, found.n_spots, found.n_genes) == ("custom", 100, 100)
    assert found.image.name == "hires"
    # 100 scattered spots: the scale comes from the array, not from the distance of neighbours.
    assert found.um_per_px == pytest.approx(0.7252, rel=1e-3)


def test_trimmed_folder_without_attributes(data_dir: Path) -> None:
    folder = data_dir / "mouse_brain_anterior_100genes"
    found = one(folder / "native_spaceranger_trimmed")
    converted = one(folder / "MA_100genes.h5ad")
    assert found.name == "native_spaceranger_trimmed"
    aligned = found.adata[converted.adata.obs_names, converted.adata.var_names]
    assert (aligned.X != converted.adata.X).nnz == 0
    np.testing.assert_allclose(aligned.obsm["spatial"], converted.coords)


def test_visium_hd(data_dir: Path) -> None:
    pytest.importorskip("pyarrow")
    folder = data_dir / "spaceranger_fixtures" / "seurat" / "visium_hd"
    found = one(folder)
    assert found.platform == "visium_hd"
    assert found.um_per_px == pytest.approx(0.27376, rel=1e-4)
    assert found.spot_diameter == pytest.approx(8 / 0.27376, rel=1e-4)
    # The barcodes of this mock matrix are not those of its 16 µm bins.
    with pytest.raises(DataError, match="of 2695 barcodes of the matrix have a position"):
        read(folder / "binned_outputs" / "square_016um")


def test_incomplete_runs_say_what_is_missing(data_dir: Path) -> None:
    fixtures = data_dir / "spaceranger_fixtures"
    with pytest.raises(MissingFileError, match="has no filtered_feature_bc_matrix"):
        read(fixtures / "ovarian_spatial_only")
    with pytest.raises(MissingFileError, match="has no tissue_positions"):
        read(fixtures / "scanpy" / "2.1.0" / "raw_probe_bc_matrix.h5")


def test_full_resolution_image_of_a_large_section(data_dir: Path) -> None:
    found = one(data_dir / "her2st" / "C2.h5ad", image=data_dir / "her2st" / "C2.jpg")
    image = found.image
    assert image is not None
    assert image.shape == (9911, 9274)
    assert image.scale == 1.0
    assert found.notes == []
    assert max(image.levels[-1].shape[:2]) <= 1024


def test_written_section_is_the_same(data_dir: Path, tmp_path: Path) -> None:
    section = one(data_dir / "dlpfc_visium" / "native" / "151673")
    found = one(write(section, tmp_path / "a.h5ad"))
    assert (found.counts() != section.counts()).nnz == 0
    assert found.um_per_px == section.um_per_px
    assert (found.image.levels[0] == section.image.levels[0]).all()
