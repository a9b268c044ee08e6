"""Poses of a chain of sections, set by hand; no window."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree
from tests.gui.integrate_helpers import slice_of, turn

from napari_stmask.core.errors import ParameterError
from napari_stmask.core.joint import JointParams
from napari_stmask.core.progress import drain
from napari_stmask.features.alignment import align_landmarks, align_sections, given
from napari_stmask.features.rigid import moved
from napari_stmask.gui.integrate.links import idle_joint_fields
from napari_stmask.gui.integrate.methods import INTEGRATES
from napari_stmask.gui.integrate.poses import Chain, Turn


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("angle", [-170.0, 0.0, 33.0, 120.0])
def test_numbers_and_matrix_are_the_same_pose(angle, mirror):
    middle, target = np.array([300.0, -40.0]), np.array([10.0, 20.0])
    matrix = turn(angle, (700, -55), mirror=mirror)
    found = Turn.of(matrix, middle, target)
    assert found.mirrored is mirror
    assert found.angle == pytest.approx(angle)
    np.testing.assert_allclose(found.matrix(middle, target), matrix, atol=1e-9)
    centred = Turn(angle, 0.0, 0.0, mirror).matrix(middle, target)
    np.testing.assert_allclose(moved(centred, middle[None])[0], target)


def test_a_stretched_pose_has_its_nearest_turn():
    matrix = turn(25) @ np.diag([1.1, 1.1, 1.0])
    assert Turn.of(matrix, np.zeros(2), np.zeros(2)).angle == pytest.approx(25)


@pytest.fixture
def chain():
    sections = [slice_of("a"), slice_of("b", turn(20, (900, 0)), seed=1), slice_of("c", seed=2)]
    poses = [np.eye(3), np.linalg.inv(turn(20, (900, 0))), np.eye(3)]
    return Chain(sections, [given(pose) for pose in poses])


def test_residual_and_overlap_are_those_of_the_places(chain):
    residual, overlap = chain.measure(1, chain.now[1].matrix)
    assert residual < 1e-6
    assert overlap == 1
    away = chain.now[1].matrix.copy()
    away[0, 2] += 620
    residual, overlap = chain.measure(1, away)
    near = cKDTree(chain.places(0)).query(moved(away, chain.places(1)))[0]
    assert overlap == pytest.approx((near <= 100 * (1 + 1e-6)).mean())
    assert 50 < residual < 620


def test_later_sections_follow_and_come_back(chain):
    relative = np.linalg.inv(chain.now[1].matrix) @ chain.now[2].matrix
    before = [one.matrix.copy() for one in chain.now]
    chain.place(1, turn(10, (400, 30)) @ before[1])
    assert "pitches apart" in chain.now[1].problem
    assert chain.doubts[0].startswith("b: ")
    assert chain.by_hand
    again = np.linalg.inv(chain.now[1].matrix) @ chain.now[2].matrix
    np.testing.assert_allclose(again, relative, atol=1e-9)
    np.testing.assert_array_equal(chain.now[0].matrix, before[0])
    chain.restore(1)
    for one, matrix in zip(chain.now, before, strict=True):
        np.testing.assert_allclose(one.matrix, matrix, atol=1e-9)
    assert not chain.doubts


def test_a_found_chain_is_not_by_hand():
    sections = [slice_of("a"), slice_of("b", turn(20), seed=1)]
    found = Chain(sections, drain(align_sections(sections, use_expression=False)))
    assert not found.by_hand
    assert found.frame()["fit"].tolist()[0] == "\u2013"
    found.place(1, found.now[1].matrix)
    assert found.by_hand
    found.restore(1)
    assert not found.by_hand


def test_landmarks_and_scale(chain):
    points = chain.places(1)[[0, 40, 200]]
    found = align_landmarks(points, moved(chain.now[1].matrix, points))
    np.testing.assert_allclose(found.matrix, chain.now[1].matrix, atol=1e-6)
    chain.place(1, chain.now[1].matrix @ np.diag([1.2, 1.2, 1.0]))
    assert "changes lengths" in chain.now[1].problem
    with pytest.raises(ParameterError):
        chain.place(1, np.zeros((3, 3)))


def test_every_setting_of_links_counts_somewhere():
    fields = {
        "cross_neighbours", "cross_weight", "cross_reach", "max_gap_um", "depth_neighbours",
        "refresh",
    }  # fmt: skip
    kinds = ("quota", "depth", "plane", "expression", "none")
    idle = [set(idle_joint_fields(JointParams(links=kind).model_dump())) for kind in kinds]
    assert idle[0] == {"depth_neighbours", "refresh"}
    assert idle[1] == {"cross_weight", "cross_reach", "max_gap_um", "refresh"}
    assert idle[3] == {"cross_reach", "max_gap_um", "depth_neighbours"}
    assert idle[2] == idle[4] == fields


def test_methods_known_without_importing_them():
    from napari_stmask import models
    from napari_stmask.gui.model import TITLES

    real = {n for n in models.available() if n in TITLES and models.get(n).needs.integrates}
    assert set(INTEGRATES) == real
