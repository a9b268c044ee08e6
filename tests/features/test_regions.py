"""Drawn regions, guard gaps and compact pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from tests.helpers import hexagons

from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.features.regions import (
    inside_box,
    inside_polygons,
    spatial_pieces,
    with_guard,
)

POINTS = np.random.default_rng(0).uniform(-2, 2, (2000, 2))


def test_a_triangle_is_its_three_half_planes() -> None:
    x, y = POINTS.T
    expected = (y >= -1) & (y <= 1 - 2 * x) & (y <= 1 + 2 * x)
    found = inside_polygons(POINTS, [np.array([[-1.0, -1], [1, -1], [0, 1]])])
    assert (found == expected).all()
    assert 0 < found.sum() < 2000


def test_a_regular_polygon_tends_to_its_circle() -> None:
    angle = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    radius = np.linalg.norm(POINTS, axis=1)
    away = np.abs(radius - 1) > 1e-3
    assert (inside_polygons(POINTS, [circle])[away] == (radius < 1)[away]).all()


def test_a_box_is_a_polygon_and_its_border_counts() -> None:
    corners = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    inside = inside_polygons(POINTS, [corners])
    for box in ((0, 0, 1, 1), (1, 1, 0, 0), (0, 1, 1, 0)):
        assert (inside_box(POINTS, box) == inside).all()
    on = np.array([[0.0, 0], [0.5, 0], [1, 0.5], [1.01, 0.5]])
    assert inside_polygons(on, [corners]).tolist() == [True, True, True, False]
    assert inside_box(on, (0, 0, 1, 1)).tolist() == [True, True, True, False]


def test_several_regions_add_up_and_a_hollow_stays_out() -> None:
    one = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    notch = np.array([[-2.0, -2], [2, -2], [2, 0], [0, -1], [-2, 0]])
    both = inside_polygons(POINTS, [one, notch])
    assert (both == inside_polygons(POINTS, [one]) | inside_polygons(POINTS, [notch])).all()
    assert inside_polygons(np.array([[0.0, -0.9]]), [notch]).tolist() == [False]
    assert inside_polygons(np.array([[0.0, -1.1]]), [notch]).tolist() == [True]


def test_a_line_that_crosses_itself_encloses_all_it_goes_around() -> None:
    bow = np.array([[0.0, 0], [2, 2], [2, 0], [0, 2]])
    places = np.array([[1.9, 1.0], [0.1, 1.0], [1.0, 0.1], [1.0, 1.9]])
    assert inside_polygons(places, [bow]).tolist() == [True, True, False, False]
    turn = np.pi / 2 + np.arange(5) * 4 * np.pi / 5
    star = np.column_stack([np.cos(turn), np.sin(turn)])
    assert inside_polygons(np.array([[0.0, 0], [0, 0.9], [0, -0.9]]), [star]).tolist() == [
        True, True, False,
    ]  # fmt: skip


def test_turning_everything_changes_nothing() -> None:
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = np.array([[-1.0, -1], [1.5, -0.5], [0.2, 1.7]])
    there = inside_polygons(POINTS @ turn, [shape @ turn])
    assert (there == inside_polygons(POINTS, [shape])).all()


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ([], "No region is drawn"),
        ([np.zeros((2, 2))], "Region 1 has no area"),
        ([np.eye(3, 2) + 1, np.array([[0, 0], [1, 1], [2, 2.0]])], "Region 2 has no area"),
        ([np.zeros((4, 2))], "Region 1 has no area"),
        ([np.zeros((4, 3))], "region 1 are not m x 2"),
        ([np.full((4, 2), np.nan)], "region 1 are not m x 2 finite"),
    ],
)
def test_refuses_what_is_no_region(polygons: list[np.ndarray], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        inside_polygons(POINTS, polygons)


@pytest.mark.parametrize("box", [(0, 0, 0, 1), (0, 0, 1, 0), (0, 0, np.nan, 1), (0, 0, 1)])
def test_refuses_what_is_no_box(box: tuple[float, ...]) -> None:
    with pytest.raises(ParameterError, match="The box"):
        inside_box(POINTS, box)


@given(gap=st.floats(0, 3), seed=st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_the_guard_keeps_its_distance_and_leaves_out_no_more(gap: float, seed: int) -> None:
    coords = np.random.default_rng(seed).uniform(0, 10, (150, 2))
    inside = coords[:, 0] < 4
    learn, predict = with_guard(coords, inside, gap)
    assert (learn == inside).all()
    nearest = cdist(coords, coords[learn]).min(axis=1)
    assert (predict == (nearest > gap)).all()
    assert not (learn & predict).any()


def test_a_gap_of_two_columns() -> None:
    x, y = np.meshgrid(np.arange(10) * 0.1, np.arange(6) * 0.1)
    coords = np.column_stack([x.ravel(), y.ravel()])
    column = np.rint(coords[:, 0] / 0.1)
    for last in range(7):
        learn, predict = with_guard(coords, column <= last, 0.2)
        assert set(column[learn]) == set(range(last + 1))
        assert set(column[predict]) == set(range(last + 3, 10))
    learn, predict = with_guard(coords, column <= 3, 0)
    assert (learn ^ predict).all()


def test_refuses_guards_that_leave_nothing() -> None:
    for gap in (-1, np.nan, np.inf):
        with pytest.raises(ParameterError, match="the gap is"):
            with_guard(POINTS, POINTS[:, 0] < 0, gap)
    with pytest.raises(DataError, match="No spot lies in the region"):
        with_guard(POINTS, np.zeros(2000, bool), 1)
    with pytest.raises(DataError, match="No spot is farther than 9"):
        with_guard(POINTS, POINTS[:, 0] < 0, 9)


@given(n=st.integers(1, 9), gap=st.floats(0, 0.8), wide=st.floats(3, 30))
@settings(max_examples=40, deadline=None)
def test_pieces_are_apart_equal_and_whole(n: int, gap: float, wide: float) -> None:
    coords = np.random.default_rng(1).uniform(0, [wide, 10], (1500, 2))
    piece = spatial_pieces(coords, n, gap)
    assert set(piece[piece >= 0]) == set(range(n))
    for code in range(n):
        other = coords[(piece >= 0) & (piece != code)]
        if len(other):
            nearest = cKDTree(other).query(coords[piece == code])[0].min()
            assert nearest >= gap * (1 - 1e-6)
    if gap == 0:
        assert (piece >= 0).all()
    if gap < 0.05:
        size = np.bincount(piece[piece >= 0])
        assert size.max() <= 1.3 * size.min()


def test_four_pieces_of_a_square_are_its_quarters() -> None:
    y, x = np.mgrid[:10, :10].reshape(2, -1)
    piece = spatial_pieces(np.column_stack([x, y]), 4, 0)
    quarter = 2 * (x >= 5) + (y >= 5)
    assert (piece == quarter).all()
    # A gap of two pitches takes the columns and rows beside the cuts.
    apart = spatial_pieces(np.column_stack([x, y]), 4, 2)
    left = (abs(x - 4.5) >= 1) & (abs(y - 4.5) >= 1)
    assert (apart == np.where(left, quarter, -1)).all()


def test_the_longer_side_is_cut_and_a_lattice_column_stays_whole() -> None:
    coords = hexagons(30, 8, 100.0)
    piece = spatial_pieces(coords, 3, 0)
    top = [coords[piece == code, 1] for code in range(3)]
    assert top[0].max() < top[1].min() < top[1].max() < top[2].min()
    assert np.bincount(piece).tolist() == [80, 80, 80]
    assert (spatial_pieces(coords, 3, 0) == piece).all()


def test_refuses_pieces_that_would_be_empty() -> None:
    for n in (0, -2):
        with pytest.raises(ParameterError, match="number of pieces"):
            spatial_pieces(POINTS, n, 0)
    with pytest.raises(ParameterError, match="the gap is -1"):
        spatial_pieces(POINTS, 2, -1)
    with pytest.raises(ParameterError, match=r"2000 spots cannot be cut into 2 .* gaps of 9"):
        spatial_pieces(POINTS, 2, 9)
    with pytest.raises(ParameterError, match="3 spots cannot be cut into 4"):
        spatial_pieces(np.arange(6.0).reshape(3, 2), 4, 0)
    with pytest.raises(ParameterError, match="cannot be cut into 2"):
        spatial_pieces(np.zeros((5, 2)), 2, 0)
