"""AnnData files of every usual shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from napari_stmask.core.errors import DataError
from napari_stmask.core.section import Section
from napari_stmask.io.read import read, recognise


def save(adata: AnnData, tmp_path: Path, name: str = "a.h5ad") -> Path:
    path = tmp_path / name
    adata.write_h5ad(path)
    return path


def one(path: Path, **options: object) -> Section:
    found = read(path, **options)
    assert isinstance(found, Section)
    return found


def grid(n: int, jitter: float = 0.0) -> AnnData:
    """n x n spots on a square lattice of pitch 10."""
    rng = np.random.default_rng(0)
    place = np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).reshape(-1, 2) * 10.0
    adata = AnnData(rng.poisson(1.0, (n * n, 5)).astype(np.float32))
    adata.obsm["spatial"] = place + rng.normal(0, jitter, place.shape)
    return adata


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_dense_csr_csc(section: Section, tmp_path: Path, kind) -> None:
    expected = section.adata.X.toarray()
    section.adata.X = kind(expected)
    found = one(save(section.adata, tmp_path))
    assert (found.counts().toarray() == expected).all()
    assert recognise(tmp_path / "a.h5ad") == "h5ad"


def test_recognised_by_content_not_by_suffix(section: Section, tmp_path: Path) -> None:
    path = save(section.adata, tmp_path).rename(tmp_path / "data.bin")
    assert recognise(path) == "h5ad"
    text = tmp_path / "b.h5ad"
    text.write_text("no")
    assert recognise(text) is None


def test_platforms(section: Section, tmp_path: Path) -> None:
    assert one(save(section.adata, tmp_path)).platform == "visium"
    assert one(save(grid(10), tmp_path)).platform == "st"
    assert one(save(grid(60), tmp_path)).platform == "unknown"
    assert one(save(grid(12, jitter=4), tmp_path)).platform == "imaging"
    bare = AnnData(section.adata.X, obsm={"spatial": section.coords})
    found = one(save(bare, tmp_path))
    assert (found.platform, found.um_per_px) == ("unknown", None)
    bare.uns["spatial"] = {"s": {"scalefactors": {"spot_diameter_fullres": 20.0}}}
    found = one(save(bare, tmp_path))
    assert (found.platform, found.name, found.spot_diameter) == ("visium", "s", 20.0)
    assert found.um_per_px == pytest.approx(2.5)


def test_stated_units(tmp_path: Path) -> None:
    adata = grid(10)
    adata.uns["spatial_units"] = "array coordinates (1 unit = 20.5 um)"
    assert one(save(adata, tmp_path)).um_per_px == 20.5


def test_images(section: Section, tmp_path: Path) -> None:
    unit = np.linspace(0, 1, 40 * 50 * 3, dtype=np.float32).reshape(40, 50, 3)
    entry = {
        "images": {"lowres": unit, "hires": np.zeros((80, 100, 4), np.uint8)},
        "scalefactors": {"tissue_lowres_scalef": 0.1, "tissue_hires_scalef": 0.2},
    }
    section.adata.uns["spatial"] = {"s": entry}
    image = one(save(section.adata, tmp_path)).image
    assert image is not None
    assert (image.name, image.scale, image.shape) == ("hires", 0.2, (80, 100))
    del entry["scalefactors"]["tissue_hires_scalef"]
    found = one(save(section.adata, tmp_path))
    assert found.image is not None
    assert (np.asarray(found.image.levels[0]) == np.rint(unit * 255)).all()
    assert "hires image was left out" in found.notes[0]
    entry["images"] = {"lowres": np.zeros(7)}
    found = one(save(section.adata, tmp_path))
    assert found.image is None
    assert "lowres image was left out: shape" in found.notes[0]


def test_layers(section: Section, tmp_path: Path) -> None:
    section.adata.layers["counts"] = section.adata.X.copy()
    section.adata.X = sp.csr_matrix(np.log1p(section.adata.X.toarray()))
    section.adata.layers["other"] = section.adata.layers["counts"] * 2
    path = save(section.adata, tmp_path)
    assert one(path).counts().sum() == section.adata.layers["counts"].sum()
    assert one(path, counts_layer="other").counts_layer == "other"
    with pytest.raises(DataError, match="no layer 'none'; use one of: counts, other"):
        read(path, counts_layer="none")


def test_values_that_are_no_counts_still_open(section: Section, tmp_path: Path) -> None:
    section.adata.X = np.random.default_rng(0).normal(size=section.adata.shape)
    found = one(save(section.adata, tmp_path))
    with pytest.raises(DataError, match=r"a\.h5ad: X holds negative values"):
        found.counts()


def test_no_coordinates(section: Section, tmp_path: Path) -> None:
    section.adata.obsm["X_pca"] = section.coords
    del section.adata.obsm["spatial"]
    with pytest.raises(DataError, match=r"a\.h5ad has no coord.*obsm holds X_pca.*obsm\['spatial'"):
        read(save(section.adata, tmp_path))


def test_nan_coordinates(section: Section, tmp_path: Path) -> None:
    section.adata.obsm["spatial"] = section.coords.copy()
    section.adata.obsm["spatial"][2, 0] = np.nan
    with pytest.raises(DataError, match="1 of 56 spots have no finite coordinates"):
        read(save(section.adata, tmp_path))


def test_tissue_filter(section: Section, tmp_path: Path) -> None:
    section.adata.obs["in_tissue"] = [0] * 6 + [1] * 50
    path = save(section.adata, tmp_path)
    assert one(path).n_spots == 50
    assert "6 spots outside the tissue" in one(path).notes[0]
    assert one(path, filtered=False).n_spots == 56
    section.adata.obs["in_tissue"] = 0
    with pytest.raises(DataError, match="none of 56 spots lies under tissue"):
        read(save(section.adata, tmp_path))


def test_everything_else_is_kept(section: Section, tmp_path: Path) -> None:
    adata = section.adata
    adata.obs["label"] = pd.Categorical(["a", "b"] * 28)
    adata.obsm["X_pca"] = np.ones((56, 3))
    adata.uns["mine"] = {"a": 1, "b": "text"}
    found = one(save(adata, tmp_path)).adata
    pd.testing.assert_frame_equal(found.obs, adata.obs)
    assert (found.obsm["X_pca"] == 1).all()
    assert found.uns["mine"]["b"] == "text"


def test_several_libraries_become_several_sections(section: Section, tmp_path: Path) -> None:
    adata = section.adata
    adata.obs["sample"] = ["s1"] * 28 + ["s2"] * 28
    image = np.zeros((20, 30, 3), np.uint8)
    adata.uns["spatial"] = {
        name: {"images": {"hires": image}, "scalefactors": {"tissue_hires_scalef": scale}}
        for name, scale in (("s1", 0.1), ("s2", 0.2))
    }
    found = read(save(adata, tmp_path))
    assert isinstance(found, list)
    assert [(s.name, s.n_spots, s.image.scale) for s in found if s.image] == [
        ("s1", 28, 0.1),
        ("s2", 28, 0.2),
    ]
    del adata.obs["sample"]
    assert one(save(adata, tmp_path)).n_spots == 56


def test_repeated_genes(section: Section, tmp_path: Path) -> None:
    section.adata.var_names = ["G0", "G0", *section.adata.var_names[2:]]
    found = one(save(section.adata, tmp_path))
    assert list(found.adata.var_names[:2]) == ["G0", "G0-1"]
    assert "made unique" in found.notes[0]


def test_a_guessed_array_says_so(tmp_path: Path) -> None:
    y, x = np.divmod(np.arange(100), 10)
    adata = AnnData(np.ones((100, 3), dtype=np.float32))
    adata.obsm["spatial"] = np.column_stack([x, y]).astype(float)
    adata.write_h5ad(tmp_path / "a.h5ad")
    found = read(tmp_path / "a.h5ad")
    assert (found.platform, found.um_per_px) == ("st", 200.0)
    assert any("were taken for those of legacy ST" in note for note in found.notes)
    adata.uns["spatial_units"] = "1 unit = 200 um"
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert read(tmp_path / "a.h5ad").notes == []


def test_names_of_visium_hd_bins(tmp_path: Path) -> None:
    """A crop without scale factors was taken for legacy ST, with a scale 25 times too large."""
    y, x = np.divmod(np.arange(100), 10)
    adata = AnnData(np.ones((100, 3), dtype=np.float32))
    adata.obs_names = [f"s_008um_{r:05d}_{c:05d}-1" for r, c in zip(y, x, strict=True)]
    adata.obsm["spatial"] = np.column_stack([x, y]) * 29.2
    adata.write_h5ad(tmp_path / "a.h5ad")
    found = read(tmp_path / "a.h5ad")
    assert (found.platform, found.notes) == ("visium_hd", [])
    assert found.um_per_px == pytest.approx(8 / 29.2)
