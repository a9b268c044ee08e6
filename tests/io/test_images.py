"""Every kind of histology file becomes a pyramid of 8-bit RGB."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_stmask.core.errors import FileFormatError, MissingFileError
from napari_stmask.core.histology import Histology
from napari_stmask.core.section import Section
from napari_stmask.io import images, tiff
from napari_stmask.io.images import open_histology
from napari_stmask.io.place import place_image
from napari_stmask.io.read import read

RNG = np.random.default_rng(0)
SMALL = np.kron(RNG.integers(0, 256, (10, 15, 3)), np.ones((8, 8, 1))).astype(np.uint8)
"""80 x 120 pixels in flat squares, so that lossy compression keeps them."""
LARGE = np.kron(RNG.integers(0, 256, (52, 70, 3)), np.ones((50, 50, 1))).astype(np.uint8)
"""2600 x 3500 pixels."""


def pixels(image: Histology, level: int = 0) -> np.ndarray:
    array = np.asarray(image.levels[level])
    assert array.dtype == np.uint8
    assert array.shape == image.levels[level].shape
    return array


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "odd.dat"])
def test_rgb(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    kind = {"a.jpg": "JPEG", "a.tif": "TIFF"}.get(name, "PNG")
    Image.fromarray(SMALL).save(
        path, format=kind, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {})
    )
    image = open_histology(path, scale=0.5)
    assert (image.scale, image.name, image.source) == (0.5, name, str(path))
    assert np.abs(pixels(image).astype(int) - SMALL).mean() < 3


def test_grey_and_palette_and_one_bit(tmp_path: Path) -> None:
    grey = SMALL[:, :, 0]
    for mode, expected in (("L", grey), ("1", (grey > 127) * 255)):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(expected.astype(np.uint8)).convert(mode).save(path)
        assert (pixels(open_histology(path)) == expected[:, :, None]).all()
    path = tmp_path / "palette.png"
    Image.fromarray(SMALL).quantize(256).save(path)
    assert np.abs(pixels(open_histology(path)).astype(int) - SMALL).mean() < 8


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_transparency_shows_white(tmp_path: Path, suffix: str) -> None:
    alpha = np.full(SMALL.shape[:2], 255, np.uint8)
    alpha[:40] = 0
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.dstack([SMALL, alpha])).save(path)
    found = pixels(open_histology(path))
    assert (found[:40] == 255).all()
    assert (found[40:] == SMALL[40:]).all()


@pytest.mark.parametrize(("bits", "dtype"), [(16, "u2"), (12, "u2"), (8, "u2"), (0, "f4")])
def test_wider_than_eight_bits(tmp_path: Path, bits: int, dtype: str) -> None:
    unit = SMALL / 255.0
    unit[0, 0] = 1.0
    stored = (unit * (2**bits - 1 if bits else 1)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb")
    found = pixels(open_histology(tmp_path / "a.tif")).astype(int)
    assert np.abs(found[1:] - SMALL[1:]).max() <= 1
    if bits == 16:
        Image.fromarray(stored[:, :, 0]).save(tmp_path / "a.png")
        found = pixels(open_histology(tmp_path / "a.png")).astype(int)
        assert np.abs(found[1:, :, 0] - SMALL[1:, :, 0]).max() <= 1


def test_cmyk(tmp_path: Path) -> None:
    inks = Image.fromarray(SMALL).convert("CMYK")
    inks.save(tmp_path / "a.jpg", quality=100)
    inks.save(tmp_path / "a.tif")
    assert np.abs(pixels(open_histology(tmp_path / "a.jpg")).astype(int) - SMALL).mean() < 4
    assert np.abs(pixels(open_histology(tmp_path / "a.tif")).astype(int) - SMALL).max() <= 1


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "rgb", "planarconfig": "separate"},
        {"photometric": "minisblack", "metadata": {"axes": "CYX"}, "ome": True},
        {"photometric": "minisblack"},
    ],
)
def test_planar(tmp_path: Path, options: dict) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.moveaxis(SMALL, 2, 0), **options)
    assert (pixels(open_histology(path)) == SMALL).all()


def test_inverted_grey_and_first_page_of_many(tmp_path: Path) -> None:
    grey = SMALL[:, :, 0]
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="miniswhite")
    assert (pixels(open_histology(tmp_path / "a.tif")) == 255 - grey[:, :, None]).all()
    stack = np.stack([grey, grey // 2])
    tifffile.imwrite(tmp_path / "b.tif", stack, metadata={"axes": "ZYX"}, photometric="minisblack")
    assert (pixels(open_histology(tmp_path / "b.tif")) == grey[:, :, None]).all()


@pytest.mark.parametrize("nested", [True, False])
def test_stored_pyramid_is_used(tmp_path: Path, nested: bool) -> None:
    path = tmp_path / "a.ome.tif"
    options = {"tile": (256, 256), "photometric": "rgb"}
    with tifffile.TiffWriter(path, bigtiff=True, ome=nested) as file:
        file.write(LARGE, subifds=2 if nested else 0, **options)
        for step in (2, 4):
            file.write(LARGE[::step, ::step], subfiletype=1 if nested else 0, **options)
    image = open_histology(path)
    assert [level.shape[:2] for level in image.levels] == [(2600, 3500), (1300, 1750), (650, 875)]
    assert (pixels(image) == LARGE).all()
    assert (pixels(image, 2) == LARGE[::4, ::4]).all()


@pytest.mark.parametrize("options", [{"tile": (240, 240)}, {"rowsperstrip": 7}, {"bigtiff": True}])
def test_lazy_pyramid_is_built(tmp_path: Path, options: dict) -> None:
    path = tmp_path / "a.btf"
    tifffile.imwrite(path, LARGE, photometric="rgb", **options)
    image = open_histology(path)
    assert [level.shape[:2] for level in image.levels] == [(2600, 3500), (1300, 1750), (650, 875)]
    assert (pixels(image) == LARGE).all()
    middle = LARGE.reshape(1300, 2, 1750, 2, 3).mean(axis=(1, 3))
    assert np.abs(pixels(image, 1) - middle).max() <= 0.5
    assert (np.asarray(image.levels[0][100:103, 2500:2502]) == LARGE[100:103, 2500:2502]).all()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_large_pictures_are_lazy(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "EAGER_PIXELS", 1000)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(LARGE).save(path)
    decoded = []
    decode = images._decode
    monkeypatch.setattr(images, "_decode", lambda *a: decoded.append(1) or decode(*a))
    image = open_histology(path)
    assert not decoded
    assert len(image.levels) == 3
    assert np.abs(pixels(image).astype(int) - LARGE).mean() < 5
    pixels(image, 2)
    assert len(decoded) == 1
    monkeypatch.setattr(images, "MAX_PIXELS", 1_000_000)
    with pytest.raises(FileFormatError, match=r"3500 x 2600 pixels, the limit.*pyramidal TIFF"):
        open_histology(path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_large_picture(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "EAGER_PIXELS", 1000)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(LARGE).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(FileFormatError, match=f"a.{suffix}"):
        open_histology(path)


def test_truncated_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, LARGE, photometric="rgb")
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(FileFormatError, match="ends before the image data does"):
        open_histology(path)


def test_damage_inside_a_tiff_is_named_when_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, LARGE, photometric="rgb", compression="zlib", tile=(512, 512))
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[0]
    raw = bytearray(path.read_bytes())
    raw[start : start + 60] = b"\xff" * 60
    path.write_bytes(raw)
    image = open_histology(path)
    with pytest.raises(FileFormatError, match=r"a\.tif cannot be read as a TIFF image"):
        np.asarray(image.levels[0])


@pytest.mark.parametrize("channels", [2, 5])
def test_fluorescence_is_refused(tmp_path: Path, channels: int) -> None:
    stack = np.zeros((channels, 64, 64), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata={"axes": "CYX"}, photometric="minisblack")
    with pytest.raises(FileFormatError, match=f"has {channels} channels"):
        open_histology(tmp_path / "a.tif")


def test_limits_and_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingFileError, match="no image file"):
        open_histology(tmp_path / "none.png")
    tifffile.imwrite(tmp_path / "a.tif", SMALL)
    monkeypatch.setattr(tiff, "MAX_SIDE", 100)
    with pytest.raises(FileFormatError, match="120 x 80 pixels, the limit is 100 a side"):
        open_histology(tmp_path / "a.tif")


def test_pillow_settings_are_left_alone(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    Image.fromarray(SMALL).save(tmp_path / "a.png")
    open_histology(tmp_path / "a.png")
    assert before == Image.MAX_IMAGE_PIXELS


def test_errors_travel_between_processes(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError) as caught:
        open_histology(tmp_path / "none.png")
    # Copying rebuilds the error as sending it to another process does.
    assert str(copy.copy(caught.value)) == str(caught.value)


def test_image_given_separately(outs: Path, tmp_path: Path) -> None:
    full = tmp_path / "full.tif"
    tifffile.imwrite(full, np.zeros((400, 500, 3), np.uint8), photometric="rgb")
    found = read(outs, image=full)
    assert isinstance(found, Section)
    assert found.image is not None
    assert (found.image.scale, found.image.name) == (1.0, "full.tif")
    assert found.notes == []
    # The size of the low-resolution image of this run: its scale factor is known.
    factors = found.adata.uns["spatial"]["tiny"]["scalefactors"]
    assert factors["tissue_lowres_scalef"] == 1.0
    factors["tissue_hires_scalef"] = 0.5
    half = tmp_path / "half.png"
    Image.new("RGB", (250, 200)).save(half)
    place_image(found, half)
    assert found.image.scale == 0.5
    other = tmp_path / "other.png"
    Image.new("RGB", (60, 60)).save(other)
    found.adata.uns.clear()
    place_image(found, other)
    assert found.image.scale == 1.0
    assert "0% of the spots lie inside" in found.notes[-1]
