import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import hexagons

from napari_stmask.core.lattice import detect_lattice


def squares(rows: int, columns: int) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns].reshape(2, -1).astype(float)
    return np.column_stack([x, y])


@given(angle=st.floats(0, 6.28), pitch=st.floats(0.1, 500), keep=st.floats(0.8, 1))
@settings(max_examples=30, deadline=None)
def test_lattices_are_told_apart(angle: float, pitch: float, keep: float) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for points, kind in ((hexagons(20, 20), "hexagonal"), (squares(20, 20), "square")):
        chosen = points[np.random.default_rng(0).random(400) < keep] @ turn * pitch
        found = detect_lattice(chosen)
        assert found.kind == kind
        assert found.pitch == pytest.approx(pitch, rel=1e-6)


def test_rounded_positions_give_the_pitch() -> None:
    found = detect_lattice(np.round(hexagons(40, 40, 137.4)))
    assert found.kind == "hexagonal"
    assert found.pitch == pytest.approx(137.4, rel=2e-3)


def test_strips_are_lattices_too() -> None:
    assert detect_lattice(squares(2, 30)).kind == "square"
    assert detect_lattice(hexagons(2, 30)).kind == "hexagonal"


def test_scattered_cells_are_irregular() -> None:
    points = np.random.default_rng(0).random((500, 2))
    found = detect_lattice(points)
    assert found.kind == "irregular"
    assert found.ring == 6


def test_tiles_cover_the_lattice() -> None:
    assert detect_lattice(hexagons(9, 9)).reach == pytest.approx(1 / np.sqrt(3))
    assert detect_lattice(squares(9, 9)).reach == pytest.approx(1 / np.sqrt(2))


@pytest.mark.parametrize("points", [np.zeros((1, 2)), np.zeros((5, 2)), np.eye(2)])
def test_degenerate_positions(points: np.ndarray) -> None:
    assert detect_lattice(points).pitch > 0
