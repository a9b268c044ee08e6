"""Pictures cut into tiles."""

from __future__ import annotations

import numpy as np
import pytest

from napari_stmask.core.errors import ParameterError
from napari_stmask.features.gene_tiles import automatic_side, cut_tiles


def test_a_full_canvas_is_padded_to_whole_tiles() -> None:
    tiles = cut_tiles(72, 59, np.arange(72 * 59), 4)
    assert tiles.grid == (18, 15)
    assert tiles.n_tokens == 18 * 15 == 270
    # The last column of tiles has three columns of tissue.
    assert (tiles.filled.reshape(18, 15)[:, :-1] == 16).all()
    assert (tiles.filled.reshape(18, 15)[:, -1] == 12).all()
    # A multiple of the side needs no padding.
    assert cut_tiles(72, 60, np.arange(72 * 60), 4).n_tokens == 270
    assert cut_tiles(72, 56, np.arange(72 * 56), 4).n_tokens == 252


@pytest.mark.parametrize("side", [1, 2, 3, 5, 40])
def test_slots_against_a_cut_of_the_whole_picture(side: int) -> None:
    rng = np.random.default_rng(side)
    height, width = 17, 23
    occupied = np.flatnonzero(rng.random(height * width) < 0.3)
    values = rng.normal(size=len(occupied))
    picture = np.zeros((height, width))
    picture.flat[occupied] = values
    there = np.zeros((height, width), dtype=bool)
    there.flat[occupied] = True
    tiles = cut_tiles(height, width, occupied, side)
    rows, columns = -(-height // side), -(-width // side)
    assert tiles.grid == (rows, columns)
    expected, filled, places = [], [], []
    for row in range(rows):
        for column in range(columns):
            cut = np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
            if there[cut].any():
                tile = np.zeros((side, side))
                tile[: picture[cut].shape[0], : picture[cut].shape[1]] = picture[cut]
                expected.append(tile.ravel())
                filled.append(there[cut].sum())
                places.append((row, column))
    found = np.zeros(tiles.n_tokens * side**2)
    found[tiles.slot] = values
    np.testing.assert_array_equal(found.reshape(-1, side**2), expected)
    np.testing.assert_array_equal(tiles.filled, filled)
    np.testing.assert_array_equal(np.column_stack([tiles.row, tiles.column]), places)
    assert len(np.unique(tiles.slot)) == len(occupied)
    np.testing.assert_array_equal(np.bincount(tiles.token), filled)


def test_tiles_without_tissue_are_left_out() -> None:
    occupied = np.array([0, 8 * 9 + 8])  # two corners of a 9 x 9 canvas
    tiles = cut_tiles(9, 9, occupied, 3)
    assert tiles.n_tokens == 2
    np.testing.assert_array_equal(tiles.slot, [0, 9 + 8])
    np.testing.assert_array_equal(tiles.row, [0, 2])
    np.testing.assert_array_equal(tiles.filled, [1, 1])


@pytest.mark.parametrize(("height", "width", "side"), [(78, 65, 8), (96, 96, 11), (19, 24, 3)])
def test_about_eighty_tiles_without_being_told(height: int, width: int, side: int) -> None:
    assert automatic_side(height, width) == side
    found = cut_tiles(height, width, np.arange(height * width))
    assert found.side == side
    assert 50 < found.n_tokens <= 100


def test_small_canvases_keep_more_than_one_tile() -> None:
    assert automatic_side(4, 4) == 2
    assert cut_tiles(4, 4, np.arange(16)).n_tokens == 4


def test_a_tile_of_nothing_is_refused() -> None:
    with pytest.raises(ParameterError, match="side of a tile is 0"):
        cut_tiles(9, 9, np.arange(81), 0)
