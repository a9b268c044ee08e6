"""Patches lie where their spots are, in upright, scaled, turned and lazily loaded images."""

from __future__ import annotations

import itertools

import dask.array as da
import numpy as np
import pytest
from tests.helpers import banded, hexagons

from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.histology import Histology, inverse
from napari_stmask.core.section import Section
from napari_stmask.features.patches import (
    CACHE_BYTES,
    Patches,
    patch_side,
    tissue_fraction,
)
from napari_stmask.features.stain import normaliser, tissue_mask
from napari_stmask.io.lazy import Window, as_dask

PLACES = {
    "as it is": np.eye(3),
    "half size": np.diag([0.5, 0.5, 1]),
    "unequal axes": np.diag([0.5, 0.7, 1]),
    "mirrored": np.array([[-1.0, 0, 400], [0, 1, 0], [0, 0, 1]]),
    "quarter turn": np.array([[0.0, -0.5, 400], [0.5, 0, 0], [0, 0, 1]]),
    "turned and sheared": np.array([[0.4, -0.3, 150], [0.35, 0.4, 20], [0, 0, 1]]),
}


def field(rows: int = 300, columns: int = 400) -> np.ndarray:
    """Red grows with the column, green with the row, at different rates; H != W."""
    y, x = np.mgrid[:rows, :columns]
    return np.stack([x / 2 + 20, y / 3 + 10, (x + y) / 4], axis=2).round().astype(np.uint8)


def expected(pixels: np.ndarray) -> np.ndarray:
    """Red and green of the field at pixel coordinates (column, row)."""
    column, row = (pixels - 0.5).T
    return np.column_stack([column / 2 + 20, row / 3 + 10])


@pytest.mark.parametrize("size", [None, 24, 64])
@pytest.mark.parametrize("place", PLACES)
def test_the_mean_of_a_patch_is_the_field_at_its_spot(place: str, size: int | None) -> None:
    image = Histology([field()], transform=PLACES[place])
    pixels = np.random.default_rng(0).uniform([30, 30], [370, 270], (40, 2))
    coords = np.column_stack([pixels, np.ones(40)]) @ inverse(image.matrix).T
    patches = Patches(image, coords[:, :2], side=30 / image.scale, pixels=size)
    assert patches.one(0).shape == (patches.pixels, patches.pixels, 3)
    mean = np.stack([patches.one(i).mean(axis=(0, 1)) for i in range(len(patches))])
    np.testing.assert_allclose(mean[:, :2], expected(pixels), atol=0.3)


def test_rows_of_a_patch_follow_y_of_the_section_in_a_turned_image() -> None:
    image = Histology([field()], transform=PLACES["quarter turn"])
    # Columns of this image run against y, its rows along x.
    patch = Patches(image, np.array([[300.0, 400.0]]), side=100).one(0).astype(int)
    assert (patch[-1, :, 0] < patch[0, :, 0] - 15).all()
    assert (patch[:, -1, 1] > patch[:, 0, 1] + 10).all()


def test_a_smaller_copy_shows_the_same_field() -> None:
    full = field(420, 460)
    small = full.reshape(210, 2, 230, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    coords = np.random.default_rng(1).uniform([40, 40], [420, 380], (20, 2))
    answers = [
        np.stack([p for _, p in Patches(image, coords, side=50, pixels=16).blocks(20)])
        for image in (Histology([full]), Histology([small], scale=0.5))
    ]
    np.testing.assert_allclose(answers[0].astype(int), answers[1].astype(int), atol=2)


def test_the_coarsest_level_that_is_fine_enough_is_read() -> None:
    levels = [field(400, 600)[:: 2**i, :: 2**i] for i in range(4)]
    image, coords = Histology(levels), np.array([[300.0, 200.0]])
    for pixels, level in ((80, 0), (60, 0), (41, 0), (40, 1), (20, 2), (15, 2), (10, 3), (4, 3)):
        assert Patches(image, coords, side=80, pixels=pixels).level == level
    assert Patches(image, coords, side=80).pixels == 80
    assert Patches(image, coords, side=3).pixels == 16
    assert Patches(image, coords, side=300).pixels == 224


def test_shrinking_averages_instead_of_picking() -> None:
    checks = np.indices((256, 256)).sum(axis=0) % 2 * 255
    image = Histology([np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)])
    for place in ("as it is", "quarter turn"):
        turned = image.placed(transform=np.array(PLACES[place]) if place != "as it is" else None)
        centre = turned.corners().mean(axis=0)[None]
        patch = Patches(turned, centre, side=128 / turned.scale, pixels=16).one(0).astype(int)
        assert np.abs(patch - 127).max() < 20


def test_the_border_is_mirrored_and_the_outside_is_known() -> None:
    image = Histology([field()])
    coords = np.array([[0.0, 0], [400, 300], [200, 0], [-1000, 5000], [401, 150], [200, 150]])
    patches = Patches(image, coords, side=40)
    # The outer corner of the last pixel is the first point beyond.
    assert patches.outside.tolist() == [False, True, False, True, True, False]
    found = np.stack([patches.one(i) for i in range(len(coords))])
    corner = field()[:20, :20]
    np.testing.assert_array_equal(found[0, 20:, 20:], corner)
    np.testing.assert_array_equal(found[0, :20, :20], corner[::-1, ::-1])


def test_blocks_are_the_patches_one_by_one() -> None:
    coords = np.random.default_rng(2).uniform(0, 290, (57, 2))
    patches = Patches(Histology([field()]), coords, side=20)
    seen = np.zeros(57, dtype=int)
    for index, block in patches.blocks(10):
        assert len(block) <= 10
        seen[index] += 1
        for i, patch in zip(index, block, strict=True):
            np.testing.assert_array_equal(patch, patches.one(i))
    assert (seen == 1).all()


class Counted:
    """A picture without end that is made where it is looked at, and counts how often."""

    def __init__(self, side: int) -> None:
        self.reads: dict[tuple[int, int], int] = {}
        self.image = as_dask(Window((side, side, 3), np.uint8, self._read), (1024, 1024, 3))

    def _read(self, index: tuple[slice, ...]) -> np.ndarray:
        rows, columns = index[:2]
        key = (rows.start // 1024, columns.start // 1024)
        self.reads[key] = self.reads.get(key, 0) + 1
        y, x = np.mgrid[rows, columns]
        return np.stack([y // 256, x // 256, (x + y) // 512], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("n", "side", "room"),
    [
        (3000, 12_000, 32 * 1024**2),
        pytest.param(100_000, 30_000, CACHE_BYTES, marks=pytest.mark.slow),
    ],
)
def test_many_spots_in_any_order_read_each_piece_about_once(
    n: int, side: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_stmask.features.pieces.CACHE_BYTES", room)
    source = Counted(side)
    coords = np.random.default_rng(3).uniform(100, side - 100, (n, 2))
    patches = Patches(Histology([source.image]), coords, side=16)
    for index, block in patches.blocks(512):
        middle = block.mean(axis=(1, 2))
        np.testing.assert_allclose(middle[:, 0], coords[index, 1] / 256 - 0.5, atol=0.6)
        np.testing.assert_allclose(middle[:, 1], coords[index, 0] / 256 - 0.5, atol=0.6)
        held = sum(piece.nbytes for piece in patches._pieces._kept.values())
        assert held <= room
    pieces = (side // 1024 + 1) ** 2
    assert sum(source.reads.values()) <= 1.35 * pieces
    assert max(source.reads.values()) <= 3


def test_a_lazy_image_gives_the_patches_of_one_in_memory() -> None:
    pixels = np.random.default_rng(4).integers(0, 255, (1500, 2100, 3), dtype=np.uint8)
    coords = np.random.default_rng(5).uniform([-20, -20], [2120, 1520], (200, 2))
    lazy = Histology([da.from_array(pixels, chunks=(700, 300, 3))])
    for (i, a), (j, b) in zip(
        Patches(lazy, coords, side=33).blocks(200),
        Patches(Histology([pixels]), coords, side=33).blocks(200),
        strict=True,
    ):
        np.testing.assert_array_equal(a[np.argsort(i)], b[np.argsort(j)])


def test_what_cannot_be_a_patch_is_refused() -> None:
    image, coords = Histology([field()]), np.zeros((2, 2))
    for side, pixels in ((0, None), (np.nan, None), (10, 0), (10, 10**6), (10**5, 64)):
        with pytest.raises(ParameterError):
            Patches(image, coords, side=side, pixels=pixels)
    with pytest.raises(DataError):
        Patches(image, np.array([[np.nan, 0]]), side=10)
    with pytest.raises(ParameterError, match="macenko"):
        Patches(image, coords, side=10, stain="blue").one(0)  # type: ignore[arg-type]


def placed(coords: np.ndarray, platform: str) -> Section:
    section = banded(rows=5, columns=len(coords) // 5, genes=10)[0]
    section.adata.obsm["spatial"] = coords
    return Section(section.adata, platform=platform)  # type: ignore[arg-type]


def test_the_side_of_a_patch() -> None:
    visium = placed(hexagons(10, 12, 100.0), "visium")
    assert patch_side(visium, 1.0) == pytest.approx(55)
    assert patch_side(visium, 110, "um") == pytest.approx(110)
    visium.spot_diameter = 90.0
    assert patch_side(visium, 1.5) == 135
    y, x = np.mgrid[:10, :12].reshape(2, -1) * 8.0
    bins = placed(np.column_stack([x, y]), "stereoseq")
    assert patch_side(bins, 2.0) == pytest.approx(16)
    assert patch_side(placed(np.column_stack([x, y]), "st"), 1.0) == pytest.approx(4)
    with pytest.raises(DataError, match="um_per_px"):
        patch_side(bins, 50, "um")
    for size, unit in ((0, "spots"), (np.inf, "um"), (1, "miles")):
        with pytest.raises(ParameterError):
            patch_side(bins, size, unit)  # type: ignore[arg-type]


def stained(background: int, seed: int = 0) -> np.ndarray:
    """Pink tissue with violet nuclei in the left half."""
    rng = np.random.default_rng(seed)
    pixels = np.full((200, 300, 3), background, dtype=np.uint8)
    pixels[:, :150] = (225, 160, 200)
    for y, x in rng.integers(4, 146, (150, 2)):
        pixels[y : y + 6, x : x + 6] = (90, 60, 140)
    noise = rng.integers(-4, 5, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("background", [0, 128, 255])
def test_tissue_is_told_from_white_grey_and_black(background: int) -> None:
    image = Histology([stained(background)])
    coords = np.array([[75.0, 100], [150, 100], [250, 100], [-500, 0]])
    fraction = tissue_fraction(image, coords, 40)
    np.testing.assert_allclose(fraction, [1, 0.5, 0, 0], atol=0.1)


def test_tissue_of_a_grey_image_and_of_nothing() -> None:
    grey = np.zeros((100, 100, 3), dtype=np.uint8)
    grey[30:70, 30:70] = 180
    mask = tissue_mask(grey)
    assert mask[31:69, 31:69].all()
    assert mask.sum() == 1600
    assert not tissue_mask(np.full((50, 50, 3), 250, dtype=np.uint8)).any()
    with pytest.raises(DataError, match="too little tissue"):
        normaliser(Histology([np.full((50, 50, 3), 250, dtype=np.uint8)]), "macenko")


@pytest.mark.parametrize("stain", ["macenko", "reinhard"])
def test_normalising_brings_two_stainings_together(stain: str) -> None:
    first = stained(255)
    # The same tissue, stained more strongly and under a warmer lamp.
    density = -np.log((first.astype(float) + 1) / 256) * np.array([1.5, 1.2, 1.5])
    second = np.clip(256 * np.exp(-density) - 1, 0, 255).astype(np.uint8)
    coords = np.random.default_rng(6).uniform(20, 130, (30, 2))
    apart = []
    for kind in ("none", stain):
        means = [
            np.stack([p.mean(axis=(0, 1, 2)) for _, p in Patches(
                Histology([pixels]), coords, side=30, stain=kind,  # type: ignore[arg-type]
            ).blocks(30)])
            for pixels in (first, second)
        ]  # fmt: skip
        apart.append(np.abs(means[0] - means[1]).mean())
    assert apart[1] < 0.35 * apart[0]


@pytest.mark.parametrize("stain", ["macenko", "reinhard"])
def test_normalising_leaves_black_background_and_order_of_grey(stain: str) -> None:
    change = normaliser(Histology([stained(0)]), stain)  # type: ignore[arg-type]
    assert change is not None
    assert not change(np.zeros((3, 3, 3), dtype=np.uint8)).any()
    nucleus, stroma = (
        change(np.array([[colour]], dtype=np.uint8)).astype(int).sum()
        for colour in ((90, 60, 140), (225, 160, 200))
    )
    assert nucleus < stroma
    assert all(a.dtype == np.uint8 for a in map(change, itertools.repeat(stained(0), 1)))
