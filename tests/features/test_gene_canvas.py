"""Where spots lie on the pictures of genes."""

from __future__ import annotations

import numpy as np
import pytest
from tests.helpers import hexagons
from tests.models.spacex_helpers import arranged

from napari_stmask.core.errors import ParameterError
from napari_stmask.core.section import Section
from napari_stmask.features.gene_canvas import Canvas, gene_canvas


def empty(coords: np.ndarray) -> Section:
    return arranged(np.ones((len(coords), 1)), coords)


def array(rows: int = 78, columns: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of a Visium array, where their sum is even, and positions in pixels."""
    row, column = np.mgrid[:rows, :columns].reshape(2, -1)
    there = (row + column) % 2 == 0
    row, column = row[there], column[there]
    return row, column, 138.0 * np.column_stack([column / 2, row * np.sqrt(3) / 2])


def turned(coords: np.ndarray, degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees)
    return coords @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])


def squares(rows: int, columns: int, pitch: float = 1.0) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns].reshape(2, -1).astype(float)
    return pitch * np.column_stack([x, y])


# Lattices


def test_full_visium_array_as_the_release_halves_it() -> None:
    row, column, coords = array()
    canvas = gene_canvas(empty(coords))
    assert (canvas.rule, canvas.height, canvas.width) == ("hexagonal", 78, 65)
    assert canvas.width == -(-(column.max() - column.min()) // 2) + 1
    assert len(canvas.occupied) == len(row) == 78 * 64
    np.testing.assert_array_equal(canvas.pixel // 65, row - row.min())
    np.testing.assert_array_equal(canvas.pixel % 65, -(-(column - column.min()) // 2))
    assert canvas.pitch == pytest.approx(138.0)


@pytest.mark.parametrize("degrees", [-20.0, -3.0, 0.7, 11.0, 29.0])
def test_a_turned_and_shifted_array_keeps_its_rows(degrees: float) -> None:
    row, _, coords = array()
    rng = np.random.default_rng(0)
    # Rounded to whole pixels and a little off, as positions on images are.
    moved = np.round(turned(coords, degrees) + rng.normal(0, 2, coords.shape) - 4711)
    canvas = gene_canvas(empty(moved))
    assert (canvas.rule, canvas.height, canvas.width) == ("hexagonal", 78, 65)
    np.testing.assert_array_equal(canvas.pixel // 65, row)
    assert len(canvas.occupied) == len(row)


def test_part_of_an_array_keeps_one_element_a_spot() -> None:
    row, _, coords = array()
    kept = np.random.default_rng(1).random(len(row)) < 0.7
    canvas = gene_canvas(empty(coords[kept]))
    assert canvas.rule == "hexagonal"
    assert len(canvas.occupied) == kept.sum()
    assert canvas.spots_per_pixel.max() == 1


@pytest.mark.parametrize("degrees", [0.0, 4.0, -31.0])
def test_square_lattices_are_never_squeezed(degrees: float) -> None:
    coords = squares(33, 35, 200.0)
    canvas = gene_canvas(empty(turned(coords, degrees)))
    assert (canvas.rule, canvas.height, canvas.width) == ("square", 33, 35)
    np.testing.assert_array_equal(canvas.pixel, np.arange(33 * 35))


def test_square_bins_with_holes() -> None:
    coords = squares(20, 30, 50.0)
    kept = np.random.default_rng(2).random(len(coords)) < 0.8
    canvas = gene_canvas(empty(coords[kept]))
    assert canvas.rule == "square"
    np.testing.assert_array_equal(canvas.pixel, np.flatnonzero(kept))


# Grids


def test_scattered_cells_share_elements_of_a_grid() -> None:
    coords = np.random.default_rng(3).uniform(0, 100, (900, 2))
    canvas = gene_canvas(empty(coords), max_side=20)
    assert canvas.rule == "grid"
    assert max(canvas.height, canvas.width) <= 20
    side = canvas.pitch
    expected = np.floor((coords - coords.min(axis=0)) / side).astype(int)
    np.testing.assert_array_equal(canvas.pixel, expected[:, 1] * canvas.width + expected[:, 0])
    assert canvas.spots_per_pixel.sum() == 900
    assert canvas.spots_per_pixel.max() > 1


def test_large_lattices_are_pooled_to_the_largest_side() -> None:
    coords = squares(50, 100)
    canvas = gene_canvas(empty(coords), max_side=30)
    assert (canvas.height, canvas.width) == (13, 25)
    assert canvas.pitch == pytest.approx(4.0)
    assert canvas.spots_per_pixel.max() == 16
    y, x = np.divmod(canvas.pixel, canvas.width)
    np.testing.assert_array_equal(x, coords[:, 0] // 4)
    np.testing.assert_array_equal(y, coords[:, 1] // 4)


def test_a_given_size_is_kept_whatever_the_lattice() -> None:
    coords = hexagons(10, 10, 100.0)
    canvas = gene_canvas(empty(coords), pixel_size=250.0)
    assert canvas.rule == "grid"
    assert canvas.pitch == 250
    expected = np.floor(coords / 250).astype(int)
    np.testing.assert_array_equal(canvas.pixel, expected[:, 1] * canvas.width + expected[:, 0])


@pytest.mark.parametrize("size", [0.0, -1.0, np.inf, np.nan])
def test_impossible_sizes(size: float) -> None:
    with pytest.raises(ParameterError, match="pixel_size"):
        gene_canvas(empty(hexagons(5, 5)), pixel_size=size)


def test_too_small_elements_and_the_remedy_that_the_message_gives() -> None:
    section = empty(hexagons(60, 60, 101.2345))
    with pytest.raises(ParameterError, match="the limit is 40") as caught:
        gene_canvas(section, max_side=40, pixel_size=10.0)
    least = float(caught.value.remedy.split("at least ")[1].split(",")[0])
    canvas = gene_canvas(section, max_side=40, pixel_size=least)
    assert max(canvas.height, canvas.width) <= 40
    assert canvas.pitch == least


def test_a_side_of_one_is_refused() -> None:
    with pytest.raises(ParameterError, match="max_side is 1"):
        gene_canvas(empty(hexagons(5, 5)), max_side=1)


# What follows from the places


@pytest.fixture(scope="module")
def shared() -> Canvas:
    """Several spots in most elements, none in some."""
    coords = np.random.default_rng(4).uniform(0, 10, (120, 2))
    return gene_canvas(empty(coords), pixel_size=1.25)


def test_pooling_is_the_mean_over_the_spots_of_an_element(shared: Canvas) -> None:
    values = np.random.default_rng(5).normal(size=(120, 3))
    expected = [values[shared.pixel == pixel].mean(axis=0) for pixel in shared.occupied]
    np.testing.assert_allclose(shared.pooling @ values, expected, rtol=1e-5)
    assert len(shared.occupied) < shared.height * shared.width
    np.testing.assert_array_equal(shared.occupied[shared.place], shared.pixel)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5])
def test_blur_is_a_gaussian_mean_over_tissue(shared: Canvas, sigma: float) -> None:
    gap = np.linalg.norm(shared.centres[:, None] - shared.centres, axis=2)
    kernel = np.where(gap <= 3 * sigma, np.exp(-(gap**2) / (2 * sigma**2)), 0)
    expected = kernel / kernel.sum(axis=1, keepdims=True)
    blur = shared.blur(sigma)
    assert blur is not None
    assert blur.dtype == np.float32
    np.testing.assert_allclose(blur.toarray(), expected, atol=1e-6)


def test_blur_knows_that_hexagonal_rows_are_shifted() -> None:
    canvas = gene_canvas(empty(array(11, 22)[2]))
    blur = canvas.blur(1.0)
    assert blur is not None
    middle = np.flatnonzero((np.abs(canvas.centres - canvas.centres.mean(axis=0)) < 0.6).all(1))[0]
    row = blur[[middle]].toarray().ravel()
    nearest = np.sort(row)[::-1]
    # Six neighbours of one distance, then six at sqrt(3).
    np.testing.assert_allclose(nearest[1:7] / nearest[0], np.exp(-0.5), rtol=1e-4)
    np.testing.assert_allclose(nearest[7:13] / nearest[0], np.exp(-1.5), rtol=1e-4)


def test_no_blur(shared: Canvas) -> None:
    assert shared.blur(0) is None


def test_images_hold_values_where_tissue_is(shared: Canvas) -> None:
    values = np.random.default_rng(6).normal(size=(2, len(shared.occupied))).astype(np.float32)
    image = shared.image(values)
    assert image.shape == (2, shared.height, shared.width)
    flat = image.reshape(2, -1)
    np.testing.assert_array_equal(flat[:, shared.occupied], values)
    assert np.isnan(flat).sum() == 2 * (shared.height * shared.width - len(shared.occupied))
    assert (shared.image(values, fill=0.0).reshape(2, -1) != 0).sum() == values.size
