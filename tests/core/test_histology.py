"""Where an image lies on a section, for any affine."""

from __future__ import annotations

import numpy as np
import pytest

from napari_stmask.core.errors import DataError
from napari_stmask.core.histology import Histology, checked_affine, swap_axes

TURN = np.array([[0.0, -0.5, 60.0], [0.5, 0.0, 10.0], [0, 0, 1]])
"""A quarter turn at half the size, shifted."""


def picture(rows: int = 40, columns: int = 60) -> np.ndarray:
    """A gradient along columns in red, along rows in green."""
    y, x = np.mgrid[:rows, :columns]
    return np.stack([4 * x, 4 * y, np.full_like(x, 50)], axis=2).astype(np.uint8)


def test_scale_is_the_plain_transform() -> None:
    image = Histology([picture()], scale=0.25)
    assert image.upright
    np.testing.assert_array_equal(image.matrix, np.diag([0.25, 0.25, 1.0]))
    np.testing.assert_allclose(image.corners(), [[0, 0], [240, 0], [240, 160], [0, 160]])


def test_a_transform_sets_the_scale_and_what_is_inside() -> None:
    image = Histology([picture()], transform=TURN)
    assert image.scale == pytest.approx(0.5)
    assert not image.upright
    np.testing.assert_allclose(image.to_pixels(np.array([[20.0, 40.0]])), [[40.0, 20.0]])
    corners = image.corners()
    np.testing.assert_allclose(image.to_pixels(corners), [[0, 0], [60, 0], [60, 40], [0, 40]])
    middle = corners.mean(axis=0)
    assert image.contains(np.array([middle, corners[0] - 1000])).tolist() == [True, False]


def test_a_turned_image_is_resampled_into_the_frame_of_the_section() -> None:
    pixels = picture()
    image = Histology([pixels], transform=TURN)
    upright, scale = image.level_for(500)
    assert scale == pytest.approx(0.5)
    rng = np.random.default_rng(0)
    # Whole pixels of the answer, whose colours the transform predicts.
    rows, columns = (rng.integers(0, n, 300) for n in upright.shape[:2])
    coords = np.column_stack([columns + 0.5, rows + 0.5]) / scale
    x, y = image.to_pixels(coords).T
    inside = (x > 1) & (y > 1) & (x < 59) & (y < 39)
    assert inside.sum() > 50
    found = upright[rows[inside], columns[inside]].astype(float)
    np.testing.assert_allclose(found[:, 0], 4 * (x[inside] - 0.5), atol=1.01)
    np.testing.assert_allclose(found[:, 1], 4 * (y[inside] - 0.5), atol=1.01)
    outside = ~image.contains(coords) & (np.abs(x) > 2) & (np.abs(y) > 2)
    assert (upright[rows[outside], columns[outside]] == 255).all()


def test_a_small_side_thins_a_turned_image() -> None:
    upright, scale = Histology([picture(400, 600)], transform=TURN).level_for(100)
    assert max(upright.shape) <= 100
    assert scale < 0.5


@pytest.mark.parametrize(
    "matrix",
    [np.eye(2), np.full((3, 3), np.nan), np.diag([1.0, 0, 1]), np.eye(3)[::-1], "abc"],
)
def test_what_is_no_affine_is_refused(matrix: object) -> None:
    with pytest.raises(DataError, match="transform of it"):
        checked_affine(matrix, "it")
    with pytest.raises(DataError):
        Histology([picture()], transform=matrix)  # type: ignore[arg-type]


def test_behind_the_origin_there_is_nothing_to_show() -> None:
    image = Histology([picture()], transform=np.array([[1.0, 0, 100], [0, 1, 100], [0, 0, 1]]))
    with pytest.raises(DataError, match="negative coordinates"):
        image.level_for(50)
    pixels, scale, origin = image.picture(100)
    np.testing.assert_array_equal(pixels, picture())
    assert (scale, origin) == (1.0, (-100.0, -100.0))


def test_a_picture_shows_all_of_a_turned_image() -> None:
    image = Histology([picture()], transform=TURN)
    pixels, scale, origin = image.picture(500)
    np.testing.assert_allclose(origin, image.corners().min(axis=0))
    assert pixels.shape[:2] == (60, 40)
    assert scale == pytest.approx(0.5)
    assert (pixels != 255).all(axis=2).mean() > 0.95
    plain = Histology([picture()], scale=2.0)
    assert plain.picture(500)[1:] == (2.0, (0.0, 0.0))


def test_swapping_axes_twice_changes_nothing() -> None:
    np.testing.assert_array_equal(swap_axes(swap_axes(TURN)), TURN)
    point = TURN @ [3, 4, 1]
    np.testing.assert_allclose((swap_axes(TURN) @ [4, 3, 1])[:2], point[1::-1])
