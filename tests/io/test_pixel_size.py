"""Slides with stored pyramids, and the pixel size that they state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_stmask.core.errors import FileFormatError
from napari_stmask.io.images import open_histology
from napari_stmask.io.pixel_size import plausible

RNG = np.random.default_rng(1)
FIELD = np.kron(RNG.integers(0, 256, (40, 60, 3)), np.ones((16, 16, 1))).astype(np.uint8)
"""640 x 960 pixels."""
HALF, QUARTER = FIELD[::2, ::2], FIELD[::4, ::4]


def write_svs(path: Path, mpp: str = "0.4990") -> None:
    """Baseline, thumbnail, two smaller levels, a label and a macro image, as Aperio orders them."""
    text = (
        f"Aperio Image Library v12.0.15\r\n960x640 [0,0 960x640] (240x240)|AppMag = 20|MPP = {mpp}"
    )
    options = {"photometric": "rgb", "metadata": None, "software": False}
    with tifffile.TiffWriter(path) as file:
        file.write(FIELD, tile=(240, 240), description=text, subfiletype=0, **options)
        file.write(FIELD[::8, ::8], description=text, subfiletype=0, **options)
        for level in (HALF, QUARTER):
            file.write(level, tile=(240, 240), description=text, subfiletype=0, **options)
        file.write(FIELD[:100, :80], description="Aperio\r\nlabel 80x100", subfiletype=1, **options)
        file.write(
            FIELD[:100, :200], description="Aperio\r\nmacro 200x100", subfiletype=9, **options
        )


def test_svs_pyramid(tmp_path: Path) -> None:
    write_svs(tmp_path / "slide.svs")
    image = open_histology(tmp_path / "slide.svs")
    assert image.um_per_px == pytest.approx(0.499)
    assert [level.shape[:2] for level in image.levels] == [(640, 960), (320, 480), (160, 240)]
    np.testing.assert_array_equal(np.asarray(image.levels[0]), FIELD)
    np.testing.assert_array_equal(np.asarray(image.levels[2]), QUARTER)


@pytest.mark.parametrize("unit", ["CENTIMETER", "INCH"])
def test_resolution_tags(tmp_path: Path, unit: str) -> None:
    per = {"CENTIMETER": 10_000, "INCH": 25_400}[unit] / 0.25
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, FIELD, photometric="rgb", resolution=(per, per), resolutionunit=unit)
    assert open_histology(path).um_per_px == pytest.approx(0.25)
    # What a screen or a printer states is no microscope's pixel.
    tifffile.imwrite(path, FIELD, photometric="rgb", resolution=(72, 72), resolutionunit="INCH")
    assert open_histology(path).um_per_px is None
    # Nor is one that differs between the axes.
    tifffile.imwrite(path, FIELD, photometric="rgb", resolution=(per, 2 * per), resolutionunit=unit)
    assert open_histology(path).um_per_px is None


def test_ome_tiff_pyramid(tmp_path: Path) -> None:
    path = tmp_path / "slide.ome.tif"
    meta = {"axes": "YXS", "PhysicalSizeX": 325.0, "PhysicalSizeXUnit": "nm"}
    meta |= {"PhysicalSizeY": 325.0, "PhysicalSizeYUnit": "nm"}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(FIELD, photometric="rgb", tile=(256, 256), subifds=1, metadata=meta)
        file.write(HALF, photometric="rgb", tile=(256, 256), subfiletype=1)
    image = open_histology(path)
    assert image.um_per_px == pytest.approx(0.325)
    assert [level.shape[:2] for level in image.levels] == [(640, 960), (320, 480)]
    np.testing.assert_array_equal(np.asarray(image.levels[1]), HALF)


@pytest.mark.parametrize("value", ["a", None, "nan", 0, -1, 353.0, "inf"])
def test_implausible_sizes(value: object) -> None:
    assert plausible(value) is None


def write_ome_zarr(
    path: Path, version: str = "0.4", *, axes: str = "cyx", shift: str = "", size: float = 0.5
) -> None:
    """Two levels of `FIELD` as NGFF stores them."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    order = ["yxc".index(axis) for axis in axes if axis in "yxc"]
    datasets = []
    for i, level in enumerate((FIELD, HALF)):
        stored = level.transpose(order)
        stored = stored[None] if axes[0] == "t" else stored
        chunks = tuple(min(200, n) for n in stored.shape)
        array = group.create_array(str(i), shape=stored.shape, chunks=chunks, dtype=stored.dtype)
        array[:] = stored
        scale = [size * 2**i if axis in "yx" else 1.0 for axis in axes]
        step = {"type": "scale", "scale": scale}
        datasets.append({"path": shift + str(i), "coordinateTransformations": [step]})
    kinds = {"c": "channel", "t": "time"}
    named = [
        {"name": a, "type": kinds.get(a, "space")} | ({"unit": "micrometer"} if a in "yx" else {})
        for a in axes
    ]
    image = {"axes": named, "datasets": datasets, "version": version}
    if version == "0.4":
        group.attrs["multiscales"] = [image]
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [image]}


@pytest.mark.parametrize(("version", "axes"), [("0.4", "cyx"), ("0.5", "tcyx"), ("0.5", "yxc")])
def test_ome_zarr(tmp_path: Path, version: str, axes: str) -> None:
    write_ome_zarr(tmp_path / "a.ome.zarr", version, axes=axes)
    image = open_histology(tmp_path / "a.ome.zarr", scale=2.0)
    assert (image.um_per_px, image.scale) == (0.5, 2.0)
    np.testing.assert_array_equal(np.asarray(image.levels[0]), FIELD)
    np.testing.assert_array_equal(np.asarray(image.levels[1]), HALF)


def test_bioformats2raw_layout(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    write_ome_zarr(tmp_path / "b.zarr" / "0")
    assert open_histology(tmp_path / "b.zarr").shape == FIELD.shape[:2]


def test_hostile_zarr(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "c.zarr", shift="../c.zarr/")
    with pytest.raises(FileFormatError, match="points outside its own folder"):
        open_histology(tmp_path / "c.zarr")
    group = zarr.open_group(tmp_path / "d.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=(3, 60_000, 60_000), chunks=(3, 60_000, 60_000), dtype="u1")
    axes = [{"name": a, "type": "space"} for a in "cyx"]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]
    with pytest.raises(FileFormatError, match="more than 256 MB each"):
        open_histology(tmp_path / "d.zarr")
    (tmp_path / "e.zarr").mkdir()
    with pytest.raises(FileFormatError, match="OME-Zarr"):
        open_histology(tmp_path / "e.zarr")
