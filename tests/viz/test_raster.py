"""Tiles: cover, corners, half pixels, dtypes, speed."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes, label

from napari_stmask.core.lattice import Lattice, detect_lattice
from napari_stmask.viz.raster import _reach, rasterise


def hexagons(rows: int, columns: int, pitch: float) -> np.ndarray:
    row, column = np.divmod(np.arange(rows * columns), columns)
    return np.column_stack([(column + 0.5 * (row % 2)) * pitch, row * pitch * np.sqrt(3) / 2])


def squares(rows: int, columns: int, pitch: float) -> np.ndarray:
    row, column = np.divmod(np.arange(rows * columns), columns)
    return np.column_stack([column, row]) * pitch


@pytest.mark.parametrize("layout", [hexagons, squares])
@pytest.mark.parametrize("pitch", [1.0, 13.7, 137.0])
@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_tiles_cover_the_lattice_without_pinholes(layout, pitch, turn):
    c, s = np.cos(turn), np.sin(turn)
    coords = layout(20, 17, pitch) @ np.array([[c, s], [-s, c]]) + np.array([431.2, 77.9])
    raster = rasterise(coords, detect_lattice(coords))
    inside = raster.index >= 0
    assert (binary_fill_holes(inside) == inside).all()
    assert label(inside)[1] == 1
    assert set(np.unique(raster.index)) == {-1, *range(len(coords))}


def test_each_pixel_belongs_to_the_nearest_spot_within_reach():
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 50, (40, 2))
    lattice = detect_lattice(coords)
    raster = rasterise(coords, lattice)
    rows, columns = np.mgrid[: raster.index.shape[0], : raster.index.shape[1]]
    x, y = raster.centre(rows, columns)
    distance = np.hypot(x[..., None] - coords[:, 0], y[..., None] - coords[:, 1])
    nearest = np.where(distance.min(-1) < lattice.reach, distance.argmin(-1), -1)
    assert (nearest == raster.index).mean() > 0.999


def test_spots_lie_in_their_own_tile_and_half_pixel_is_right():
    coords = squares(4, 5, 8.0) + np.array([100.0, 30.0])
    raster = rasterise(coords, Lattice("square", 8.0))
    assert raster.step == pytest.approx(1.0)
    row, column = raster.pixels(coords).T
    assert (raster.index[row, column] == np.arange(len(coords))).all()
    # The tile of a spot is centred on it, not half a pixel beside it.
    for spot in (6, 7, 8):
        rows, columns = np.nonzero(raster.index == spot)
        x, y = raster.centre(rows.mean(), columns.mean())
        assert (x, y) == pytest.approx(tuple(coords[spot]), abs=0.51 * raster.step)
    middle = raster.index.shape[1] / 2 - 0.5
    assert raster.centre(0, middle)[0] == pytest.approx(coords[:, 0].mean())


def test_labels_and_values():
    coords = hexagons(6, 6, 10.0)
    raster = rasterise(coords, detect_lattice(coords))
    codes = np.arange(36) % 7 - 1
    labels = raster.labels(codes)
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == set(range(7))
    assert (labels[raster.index == 0] == 0).all()
    assert (labels[raster.index == 3] == 3).all()
    assert raster.labels(np.arange(36) * 20).dtype == np.uint16
    values = raster.values(np.arange(36.0))
    assert values.dtype == np.float32
    assert np.isnan(values[raster.index < 0]).all()
    assert (values[raster.index == 5] == 5).all()


def test_size_is_bounded_and_fast():
    coords = hexagons(71, 71, 137.0)
    lattice = detect_lattice(coords)
    started = time.process_time()
    raster = rasterise(coords, lattice)
    assert time.process_time() - started < 0.5
    assert 6 <= lattice.pitch / raster.step <= 10
    small = rasterise(coords, lattice, max_pixels=10_000)
    assert small.index.size <= 11_000


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_spots(n):
    coords = np.column_stack([np.arange(n) * 5.0, np.zeros(n)])
    raster = rasterise(coords, detect_lattice(coords))
    assert set(np.unique(raster.index)) >= set(range(n))


@pytest.mark.parametrize("jitter", [0.02, 0.05, 0.08])
def test_uneven_square_lattice_has_no_pinholes(jitter):
    rng = np.random.default_rng(3)
    coords = squares(20, 17, 13.7)
    coords = coords + rng.uniform(-jitter, jitter, coords.shape) * 13.7
    missing = coords[178]
    coords = np.delete(coords, 178, axis=0)
    lattice = detect_lattice(coords)
    assert lattice.kind == "square"
    raster = rasterise(coords, lattice)
    inside = raster.index >= 0
    # Only the missing spot's place stays open.
    x, y = raster.centre(*np.nonzero(binary_fill_holes(inside) & ~inside))
    away = np.hypot(x - missing[0], y - missing[1])
    assert away.size > 0
    assert (away < lattice.reach * 1.05).all()


def test_stretched_square_lattice_has_no_pinholes():
    coords = squares(20, 17, 10.0)
    coords[:, 0] += 0.004 * coords[:, 0] ** 2 / 10
    raster = rasterise(coords, Lattice("square", 10.0))
    inside = raster.index >= 0
    assert (binary_fill_holes(inside) == inside).all()


@pytest.mark.parametrize("layout", [hexagons, squares])
def test_regular_lattices_keep_their_reach(layout):
    coords = layout(20, 17, 13.7)
    lattice = detect_lattice(coords)
    assert _reach(coords, lattice) == lattice.reach
    assert _reach(np.delete(coords, 170, axis=0), lattice) == lattice.reach
