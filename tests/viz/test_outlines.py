"""Tiles of spots as polygons."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from tests.helpers import hexagons

from napari_stmask.core.lattice import Lattice, detect_lattice
from napari_stmask.viz.outlines import domain_outlines, tile_polygons

RNG = np.random.default_rng(0)
TURN = np.array([[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]])


def squares(n: int = 9) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1).reshape(-1, 2) * 5.0


@pytest.mark.parametrize("kind", ["hexagonal", "square"])
@pytest.mark.parametrize("turned", [False, True])
def test_every_tile_of_a_lattice_is_one_whole_cell(kind: str, turned: bool) -> None:
    coords = hexagons(9, 8) * 7.0 if kind == "hexagonal" else squares()
    coords = coords @ TURN.T if turned else coords
    lattice = detect_lattice(coords)
    assert lattice.kind == kind
    tiles = tile_polygons(coords, lattice)
    cell = lattice.pitch**2 * (math.sqrt(3) / 2 if kind == "hexagonal" else 1.0)
    np.testing.assert_allclose(shapely.area(tiles), cell, rtol=1e-5)
    np.testing.assert_allclose(shapely.get_coordinates(shapely.centroid(tiles)), coords, atol=1e-5)
    # Touching, not overlapping: the union is as large as the sum.
    whole = domain_outlines(tiles, np.zeros(len(coords), dtype=int))[0]
    assert whole.geom_type == "Polygon"
    assert len(whole.interiors) == 0
    np.testing.assert_allclose(whole.area, len(coords) * cell, rtol=1e-4)


def test_irregular_cells_stay_in_reach() -> None:
    coords = RNG.uniform(0, 100, (300, 2))
    lattice = detect_lattice(coords)
    assert lattice.kind == "irregular"
    tiles = tile_polygons(coords, lattice)
    points = shapely.points(coords)
    assert shapely.contains(tiles, points).all()
    assert (shapely.hausdorff_distance(tiles, points) < 1.02 * lattice.reach).all()
    assert shapely.area(shapely.union_all(tiles)) == pytest.approx(shapely.area(tiles).sum())


def test_a_domain_inside_another_leaves_a_hole() -> None:
    coords = squares()
    codes = np.zeros(len(coords), dtype=int)
    middle = (np.abs(coords - 20) < 6).all(axis=1)
    codes[middle] = 1
    codes[0] = -1
    found = domain_outlines(tile_polygons(coords, detect_lattice(coords)), codes)
    assert sorted(found) == [0, 1]
    assert len(found[0].interiors) == 1
    assert found[0].area == pytest.approx((81 - 9 - 1) * 25, rel=1e-4)
    assert found[1].area == pytest.approx(9 * 25, rel=1e-4)
    assert not found[0].contains(shapely.Point(0, 0))


def test_few_spots_and_doubles() -> None:
    lone = tile_polygons(np.array([[3.0, 4.0]]), Lattice("irregular", 1.0))
    assert shapely.area(lone)[0] > 1
    pair = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 0.0]])
    tiles = tile_polygons(pair, Lattice("square", 10.0))
    np.testing.assert_allclose(shapely.area(tiles), [100, 100, 0], atol=1e-6)
