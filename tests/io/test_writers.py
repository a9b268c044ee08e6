"""Every format that is written is read back by the library that others use for it."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
import tifffile

from napari_stmask.core.errors import OutputError, ParameterError
from napari_stmask.core.histology import Histology
from napari_stmask.core.section import Section
from napari_stmask.io.read import read, recognise
from napari_stmask.io.write import check_writable, write

TURN = np.array([[0.0, -1.0, 420.0], [1.0, 0.0, 5.0], [0, 0, 1]])


@pytest.fixture
def done(section: Section) -> Section:
    """`section` with what a run writes: three domains, the last spots without one."""
    adata = section.adata
    codes = np.repeat([0, 1, 2, -1], [20, 20, 10, 6])
    adata.obs["spamask"] = pd.Categorical.from_codes(codes, ["1", "2", "=3"])
    adata.obs["spamask_confidence"] = np.linspace(0, 1, 56, dtype=np.float32)
    adata.obs["x"] = "taken"
    adata.obsm["X_spamask"] = np.arange(112, dtype=np.float32).reshape(56, 2)
    adata.uns["spamask_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
    record = {"method": "spamask", "finished": "2026-01-02T00:00:00"}
    adata.uns["stmask"] = {"spamask": json.dumps(record)}
    return section


def test_parquet(done: Section, tmp_path: Path) -> None:
    table = pd.read_parquet(write(done, tmp_path / "spots.parquet", embedding=True))
    assert list(table.columns[:3]) == ["barcode", "x", "y"]
    assert list(table["barcode"]) == list(done.adata.obs_names)
    np.testing.assert_array_equal(table[["x", "y"]], done.coords)
    assert table["spamask"].isna().sum() == 6
    assert (table["obs.x"] == "taken").all()
    np.testing.assert_array_equal(
        table[["X_spamask_1", "X_spamask_2"]], done.adata.obsm["X_spamask"]
    )


def test_csv_with_embedding(done: Section, tmp_path: Path) -> None:
    table = pd.read_csv(write(done, tmp_path / "spots.csv", embedding=True))
    assert table["spamask"].tolist()[40] == "'=3"
    assert {"X_spamask_1", "X_spamask_2", "spamask_confidence"} <= set(table.columns)
    del done.adata.obsm["X_spamask"]
    with pytest.raises(ParameterError, match="no embedding"):
        write(done, tmp_path / "spots.csv", embedding=True)


def test_loupe(done: Section, tmp_path: Path) -> None:
    table = pd.read_csv(write(done, tmp_path / "domains.loupe.csv"))
    assert list(table.columns) == ["Barcode", "spamask"]
    assert list(table["Barcode"]) == list(done.adata.obs_names[:50])
    assert table["spamask"].value_counts().to_dict() == {"1": 20, "2": 20, "'=3": 10}


@pytest.mark.parametrize("turned", [False, True])
def test_geojson(done: Section, tmp_path: Path, turned: bool) -> None:
    if turned:
        assert done.image is not None
        done.image = done.image.placed(transform=TURN)
    path = write(done, tmp_path / "domains.geojson")
    frame = geopandas.read_file(path)
    assert frame.geometry.is_valid.all()
    assert list(frame["name"]) == ["1", "2", "=3"]
    coords = done.coords @ TURN[:2, :2].T + TURN[:2, 2] if turned else done.coords
    points = shapely.points(coords)
    for code, outline in enumerate(frame.geometry):
        expected = np.repeat([0, 1, 2, -1], [20, 20, 10, 6]) == code
        np.testing.assert_array_equal(shapely.contains(outline, points), expected)
    features = json.loads(path.read_text())["features"]
    assert features[1]["properties"]["classification"] == {"name": "2", "color": [0, 255, 0]}
    assert features[0]["properties"]["objectType"] == "annotation"
    again = write(done, tmp_path / "again.geojson")
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ["upright", "turned", "none"])
def test_labels(done: Section, tmp_path: Path, kind: str) -> None:
    if kind == "turned":
        pixels = np.zeros((2100, 1300, 3), np.uint8)
        done.image = Histology([pixels], transform=np.diag([3.0, 3.0, 1.0]) @ TURN)
    elif kind == "none":
        done.image = None
    path = write(done, tmp_path / "domains.ome.tif")
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert "2: 2; 3: =3" in (file.ome_metadata or "")
        labels = file.series[0].asarray()
        levels = [level.shape for level in file.series[0].levels]
    codes = np.repeat([1, 2, 3, 0], [20, 20, 10, 6])
    if done.image is None:
        assert set(np.unique(labels)) == {0, 1, 2, 3}
        return
    assert labels.shape == done.image.shape
    assert levels == (
        [(400, 500)] if kind == "upright" else [(2100, 1300), (1050, 650), (525, 325)]
    )
    column, row = np.floor(done.image.to_pixels(done.coords)).astype(int).T
    np.testing.assert_array_equal(labels[row, column], codes)
    # Borders as sharp as the pixels: the nearest spot decides everywhere in reach.
    y, x = np.mgrid[: labels.shape[0] : 7, : labels.shape[1] : 7]
    matrix = np.linalg.inv(done.image.matrix)
    places = np.column_stack([x.ravel() + 0.5, y.ravel() + 0.5, np.ones(x.size)]) @ matrix.T
    distance = np.linalg.norm(places[:, None, :2] - done.coords[None], axis=2)
    nearest, far = distance.argmin(axis=1), distance.min(axis=1)
    inside = far < 0.99 * done.lattice.reach
    np.testing.assert_array_equal(labels[y, x].ravel()[inside], codes[nearest[inside]])
    assert (labels[y, x].ravel()[far > 1.2 * done.lattice.reach] == 0).all()


def test_labels_state_their_pixel_size(done: Section, tmp_path: Path) -> None:
    from napari_stmask.io.images import open_histology

    assert done.um_per_px is not None
    found = open_histology(write(done, tmp_path / "domains.ome.tiff"))
    assert found.um_per_px == pytest.approx(done.um_per_px)


def test_which_domains(done: Section, tmp_path: Path) -> None:
    done.adata.obs["other"] = pd.Categorical(["a", "b"] * 28)
    table = pd.read_csv(write(done, tmp_path / "a.loupe.csv", column="other"))
    assert set(table["other"]) == {"a", "b"}
    with pytest.raises(ParameterError, match="there is no 'none' in obs"):
        write(done, tmp_path / "b.loupe.csv", column="none")
    with pytest.raises(ParameterError, match="which are no domains"):
        write(done, tmp_path / "b.loupe.csv", column="spamask_confidence")
    with pytest.raises(ParameterError, match="column means nothing for a table of spots"):
        write(done, tmp_path / "b.csv", column="other")
    with pytest.raises(ParameterError, match="embedding means nothing"):
        write(done, tmp_path / "b.geojson", embedding=True)
    done.adata.uns.clear()
    with pytest.raises(ParameterError, match="no run has written domains"):
        write(done, tmp_path / "b.geojson")
    assert not (tmp_path / "b.geojson").exists()


def same(found: object, section: Section) -> Section:
    assert isinstance(found, Section)
    for name in ("name", "platform", "um_per_px", "spot_diameter"):
        assert getattr(found, name) == pytest.approx(getattr(section, name)), name
    assert (found.counts() != section.counts()).nnz == 0
    assert list(found.adata.obs_names) == list(section.adata.obs_names)
    np.testing.assert_allclose(found.coords, section.coords)
    assert found.adata.obs["spamask"].astype(str).tolist() == (
        section.adata.obs["spamask"].astype(str).tolist()
    )
    assert dict(found.adata.uns["stmask"]) == section.adata.uns["stmask"]
    return found


def test_anndata_zarr(done: Section, tmp_path: Path) -> None:
    path = write(done, tmp_path / "a.anndata.zarr")
    assert anndata.read_zarr(path).shape == (56, 12)
    assert recognise(path) == "anndata_zarr"
    found = same(read(path), done)
    assert found.image is not None
    assert found.image.shape == (400, 500)
    assert write(found, path) == path  # its own kind may be replaced


@pytest.mark.parametrize("turned", [False, True])
def test_spatialdata(done: Section, tmp_path: Path, turned: bool) -> None:
    import spatialdata

    if turned:
        pixels = np.random.default_rng(0).integers(0, 255, (2600, 2100, 3), dtype=np.uint8)
        done.image = Histology([pixels], transform=np.diag([5.0, 5.0, 1.0]) @ TURN)
    path = write(done, tmp_path / "a.zarr")
    store = spatialdata.read_zarr(path)
    assert set(store.shapes) == {"tiny_spots"}
    assert set(store.coordinate_systems) == {"global", "um"}
    centroids = spatialdata.get_centroids(store["tiny_spots"], coordinate_system="um").compute()
    np.testing.assert_allclose(centroids[["x", "y"]], done.coords * done.um_per_px)
    assert recognise(path) == "spatialdata_in"
    found = same(read(path), done)
    assert found.image is not None
    assert done.image is not None
    np.testing.assert_allclose(found.image.matrix, done.image.matrix, atol=1e-9)
    np.testing.assert_array_equal(np.asarray(found.image.levels[0]), done.image.levels[0])
    assert len(found.image.levels) == (2 if turned else 1)
    assert "region" not in done.adata.obs
    same(read(write(found, tmp_path / "b.zarr")), done)


def test_cells_keep_their_outlines(done: Section, tmp_path: Path) -> None:
    corners = done.coords[:, None] + np.array([[-3, -3], [3, -3], [3, 3], [-3, 3], [np.nan] * 2])
    done.adata.obsm["cell_polygons"] = corners.astype(np.float32)
    found = read(write(done, tmp_path / "a.zarr"))
    assert isinstance(found, Section)
    np.testing.assert_allclose(found.coords, done.coords, atol=1e-3)
    assert found.spot_diameter == done.spot_diameter


def test_columns_of_the_names_that_spatialdata_uses_are_kept(done: Section, tmp_path: Path) -> None:
    done.adata.obs["region"] = "tumour"
    done.adata.obs["instance_id"] = 7
    first = read(write(done, tmp_path / "a.zarr"))
    assert isinstance(first, Section)
    second = read(write(first, tmp_path / "b.zarr"))
    for found in (first, second):
        assert isinstance(found, Section)
        assert (found.adata.obs["region"] == "tumour").all()
        assert (found.adata.obs["instance_id"] == 7).all()
    # Written twice, there is still one pair of columns of the store's own.
    assert isinstance(second, Section)
    assert list(second.adata.obs.columns) == list(first.adata.obs.columns)


def test_a_full_disk_is_refused_before_hdf5_meets_it(
    done: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage(9, 9, 1000))
        with pytest.raises(OutputError, match="are free there; free some space"):
            write(done, tmp_path / "a.h5ad")
        write(done, tmp_path / "a.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_errors_of_hdf5_are_one_line(
    done: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "Driver write request failed (time = now\n, filename = 'x', errno = 28")

    monkeypatch.setattr(anndata.AnnData, "write_h5ad", fail)
    with pytest.raises(OutputError, match=r"a\.h5ad: No space left on device; free") as caught:
        write(done, tmp_path / "a.h5ad")
    assert "\n" not in str(caught.value)


def test_no_column_of_a_table_hides_another(done: Section, tmp_path: Path) -> None:
    done.adata.obs["obs.x"] = "mine too"
    table = pd.read_csv(write(done, tmp_path / "a.csv"))
    held = {tuple(table[c].unique()) for c in ("obs.x", "obs.obs.x")}
    assert held == {("taken",), ("mine too",)}


def test_two_sections_in_one_store(done: Section, tmp_path: Path) -> None:
    import spatialdata

    from napari_stmask.io.spatialdata_out import to_spatialdata

    first = to_spatialdata(done)
    done.name = "other"
    second = to_spatialdata(done)
    both = spatialdata.SpatialData(
        shapes={**first.shapes, **second.shapes},
        tables={"one": first["table"], "two": second["table"]},
    )
    both.write(tmp_path / "both.zarr")
    found = read(tmp_path / "both.zarr")
    assert isinstance(found, list)
    assert [s.name for s in found] == ["one tiny_spots", "two other_spots"]


def test_folders_that_are_no_store_are_left_alone(done: Section, tmp_path: Path) -> None:
    precious = tmp_path / "a.zarr"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    for act in (check_writable, lambda path: write(done, path)):
        with pytest.raises(OutputError, match="is no AnnData or SpatialData store, so it is not"):
            act(precious)
    assert (precious / "thesis.txt").read_text() == "years"


def test_a_slide_in_zarr_is_left_alone(done: Section, tmp_path: Path) -> None:
    slide = tmp_path / "slide.zarr"
    slide.mkdir()
    (slide / ".zgroup").write_text('{"zarr_format": 2}')
    (slide / ".zattrs").write_text('{"multiscales": []}')
    with pytest.raises(OutputError, match="is no AnnData or SpatialData store"):
        write(done, slide)
    assert {p.name for p in slide.iterdir()} == {".zgroup", ".zattrs"}


def test_a_store_is_not_written_over_by_what_was_read_from_it(
    done: Section, tmp_path: Path
) -> None:
    path = write(done, tmp_path / "a.zarr")
    found = read(path)
    assert isinstance(found, Section)
    assert found.image is not None
    pixels = np.asarray(found.image.levels[0])
    for act in (lambda: write(found, path), lambda: check_writable(path, found)):
        with pytest.raises(OutputError, match="so it is not replaced; give another name"):
            act()
    # Its image is read from the store when it is looked at.
    np.testing.assert_array_equal(np.asarray(found.image.levels[0]), pixels)
    assert pixels.any()


def test_the_slide_and_the_counts_are_not_written_over(done: Section, tmp_path: Path) -> None:
    slide, counts = tmp_path / "slide.ome.tif", tmp_path / "counts.csv"
    tifffile.imwrite(slide, np.full((64, 64, 3), 200, np.uint8), photometric="rgb")
    counts.write_text("years of work")
    done.image = Histology([np.zeros((64, 64, 3), np.uint8)], source=str(slide))
    done.source = str(counts)
    (tmp_path / "link.csv").symlink_to(counts)
    for name in ("slide.ome.tif", "counts.csv", "link.csv"):
        with pytest.raises(OutputError, match="so it is not replaced"):
            write(done, tmp_path / name)
    with pytest.raises(OutputError, match="is what the section was read from"):
        write(done, counts)
    done.reading = {"spots": str(counts)}
    done.source = None
    with pytest.raises(OutputError, match="was read with"):
        write(done, counts)
    assert tifffile.imread(slide).shape == (64, 64, 3)
    assert counts.read_text() == "years of work"


@pytest.mark.parametrize("name", ["a.h5ad", "a.anndata.zarr"])
def test_an_anndata_is_replaced_only_with_all_its_spots(
    done: Section, tmp_path: Path, name: str
) -> None:
    done.adata.obs["in_tissue"] = np.arange(56) % 2
    path = write(done, tmp_path / name)
    part = read(path)
    assert isinstance(part, Section)
    assert part.n_spots == 28
    with pytest.raises(OutputError, match="holds 56 spots, of which the section has 28"):
        write(part, path)
    whole = read(path, filtered=False)
    assert isinstance(whole, Section)
    whole.adata.obs["mine"] = "kept"
    write(whole, path)
    again = read(path, filtered=False)
    assert isinstance(again, Section)
    assert again.n_spots == 56
    assert (again.adata.obs["mine"] == "kept").all()


def test_libraries_say_nothing(done: Section, tmp_path: Path) -> None:
    import warnings

    before = list(warnings.filters)
    for name in ("a.anndata.zarr", "a.zarr"):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("error", DeprecationWarning)
            write(done, tmp_path / name)
    assert warnings.filters == before


def test_rings_turn_as_the_standard_asks(done: Section, tmp_path: Path) -> None:
    codes = np.zeros(56, dtype=int)
    codes[24] = 1  # inside: the other domain has a hole
    done.adata.obs["spamask"] = pd.Categorical(codes.astype(str))
    path = write(done, tmp_path / "a.geojson")
    around, island = geopandas.read_file(path).geometry
    assert len(around.interiors) == 1
    assert around.exterior.is_ccw
    assert island.exterior.is_ccw
    assert not around.interiors[0].is_ccw


def _areas(path: Path) -> np.ndarray:
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    return np.array([shapely.geometry.shape(f["geometry"]).area for f in features])


def test_outlines_keep_their_shape_in_any_unit(done: Section, tmp_path: Path) -> None:
    big = _areas(write(done, tmp_path / "a.geojson"))
    done.adata.obsm["spatial"] = done.coords / 40_000  # spots 1 / 1000 apart, as in metres
    small = Section(done.adata, name="small", platform="imaging")
    found = _areas(write(small, tmp_path / "b.geojson"))
    np.testing.assert_allclose(found * 40_000**2, big, rtol=0.02)


def test_a_column_of_nothing_is_refused(done: Section, tmp_path: Path) -> None:
    done.adata.obs["spamask"] = pd.Categorical([None] * 56, categories=["1"])
    for name in ("a.geojson", "a.loupe.csv", "a.ome.tif"):
        with pytest.raises(ParameterError, match="no spot has a value"):
            write(done, tmp_path / name)


def test_an_interrupt_between_the_renames_brings_the_old_store_back(
    done: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(done, tmp_path / "a.anndata.zarr")
    true_rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if target == path and not path.exists() and self.name != interrupted.old:
            raise KeyboardInterrupt
        interrupted.old = target.name
        return true_rename(self, target)

    interrupted.old = ""
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write(done, path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.anndata.zarr"]
    same(read(path), done)


def test_a_failed_store_leaves_the_old_one(
    done: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(done, tmp_path / "a.anndata.zarr")

    def fail(self: object, store: Path) -> None:
        store.mkdir()
        (store / "half").write_text("")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(anndata.AnnData, "write_zarr", fail)
    with pytest.raises(OutputError, match="Nothing was written"):
        write(done, path)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["a.anndata.zarr"]
    same(read(path), done)


def test_hostile_stores(done: Section, tmp_path: Path) -> None:
    from napari_stmask.core.errors import StmaskError

    path = write(done, tmp_path / "a.anndata.zarr")
    (tmp_path / "secret").mkdir()
    (path / "obs" / "leak").symlink_to(tmp_path / "secret")
    with pytest.raises(StmaskError, match="link to outside the store"):
        read(path)
    (path / "obs" / "leak").unlink()
    meta = next(p for p in (path / "X" / "data").iterdir() if p.name in (".zarray", "zarr.json"))
    content = json.loads(meta.read_text())
    content["shape"] = [10**11]
    meta.write_text(json.dumps(content))
    with pytest.raises(StmaskError, match="claims"):
        read(path)


def test_an_image_at_negative_coordinates_does_not_hinder_saving(
    done: Section, tmp_path: Path
) -> None:
    assert done.image is not None
    shifted = np.array([[1.0, 0, 2000], [0, 1, 2000], [0, 0, 1]])
    done.adata.obsm["spatial"] = done.coords - 2000
    done.image = done.image.placed(transform=shifted)
    found = read(write(done, tmp_path / "a.h5ad"))
    assert isinstance(found, Section)
    assert found.image is None
    kept = read(write(done, tmp_path / "a.zarr"))
    assert isinstance(kept, Section)
    assert kept.image is not None
    assert kept.image.contains(kept.coords).all()
