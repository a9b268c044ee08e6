import numpy as np
import pytest
from scipy.spatial import cKDTree
from skimage.transform import EuclideanTransform
from tests.features.tissue import blob, turned
from tests.helpers import hexagons

from napari_stmask.core.errors import DataError
from napari_stmask.core.lattice import Lattice, detect_lattice
from napari_stmask.core.progress import drain
from napari_stmask.features.outline_alignment import (
    outline_poses,
    outline_residual,
    outline_spots,
)
from napari_stmask.features.rigid import (
    Pose,
    distinct,
    is_mirrored,
    moved,
    rigid_about,
    rigid_fit,
    turned_start,
)


def test_rigid_fit_is_that_of_scikit_image() -> None:
    """Kabsch with determinant 1, also where a mirror image would fit better."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20, 2))
    for target in (b, a * [-1, 1] + 5):
        expected = EuclideanTransform.from_estimate(a, target)
        np.testing.assert_allclose(rigid_fit(a, target), expected.params, atol=1e-12)


def test_rigid_about_keeps_the_centre() -> None:
    centre = np.array([3.0, -2.0])
    matrix = rigid_about(centre, np.pi / 2, [1.0, 0.0])
    right, up = np.eye(2)
    np.testing.assert_allclose(moved(matrix, centre[None])[0], centre + right)
    np.testing.assert_allclose(moved(matrix, centre[None] + right)[0], centre + right + up)


def test_starts_put_centroid_on_centroid() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(30, 2)) + 7, rng.normal(size=(20, 2)) - 3
    for mirror in (False, True):
        matrix = turned_start(a, b, 1.0, mirror=mirror)
        np.testing.assert_allclose(moved(matrix, a).mean(axis=0), b.mean(axis=0))
        assert is_mirrored(matrix) is mirror


def test_distinct_keeps_the_first() -> None:
    shifts = [0.0, 0.5, 3.0]
    poses = [Pose(rigid_about(np.zeros(2), 0.0, [x, 0.0]), 0.0) for x in shifts]
    points = np.random.default_rng(2).normal(size=(5, 2))
    assert distinct(poses, points, 1.0) == [poses[0], poses[2]]


def test_outline_of_a_square_lattice() -> None:
    y, x = np.mgrid[:8, :10].reshape(2, -1)
    points = np.column_stack([x, y]).astype(float)
    rim = (x == 0) | (x == 9) | (y == 0) | (y == 7)
    np.testing.assert_array_equal(outline_spots(points, Lattice("square", 1.0)), rim)


def test_outline_of_a_hexagonal_lattice_with_a_hole_and_a_stray_spot() -> None:
    whole = hexagons(12, 12)
    hole = int(np.argmin(np.linalg.norm(whole - whole.mean(axis=0), axis=1)))
    points = np.vstack([np.delete(whole, hole, axis=0), [[40.0, 40.0]]])
    found = outline_spots(points, Lattice("hexagonal", 1.0))
    around = np.linalg.norm(points - whole[hole], axis=1) < 1.1
    assert around.sum() == 6
    assert found[around].all()
    assert not found[-1]
    inner = ((points > 1.6) & (points < whole.max(axis=0) - 1.6)).all(axis=1) & ~around
    assert inner.sum() > 30
    assert not found[inner].any()


def test_outline_of_irregular_positions() -> None:
    """Of cells in a disc: nearly all of its rim, hardly any of its middle."""
    rng = np.random.default_rng(3)
    points = rng.uniform(-1, 1, size=(4000, 2))
    points = points[np.linalg.norm(points, axis=1) < 1]
    lattice = detect_lattice(points)
    assert lattice.kind == "irregular"
    found, radius = outline_spots(points, lattice), np.linalg.norm(points, axis=1)
    assert found[radius > 0.99].mean() > 0.8
    assert found[radius < 0.9].mean() < 0.03
    np.testing.assert_array_equal(outline_spots(turned(points, 33), lattice), found)


def test_residual_is_the_trimmed_mean_both_ways() -> None:
    """Against brute force, on outlines of different length."""
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(50, 2)), rng.normal(size=(35, 2))
    distance = np.linalg.norm(a[:, None] - b, axis=2)
    there, back = np.sort(distance.min(axis=1))[:40], np.sort(distance.min(axis=0))[:28]
    expected = (there.mean() + back.mean()) / 2
    assert outline_residual(np.eye(3), a, b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("angle", [3, 10, 20, 47.3, 60, 75, 180, 291])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_turned_copy_comes_back(angle: float, mirror: bool) -> None:
    """Check 9 of the specification: to 0.05 spacings; here to a thousandth."""
    points = blob()
    outline = points[outline_spots(points, Lattice("hexagonal", 100.0))]
    poses = drain(
        outline_poses(turned(outline, angle, mirror=mirror), outline, 100.0, mirrors=mirror)
    )
    back = moved(poses[0].matrix, turned(points, angle, mirror=mirror))
    assert np.linalg.norm(back - points, axis=1).max() < 0.1
    assert poses[0].residual < 0.1
    assert is_mirrored(poses[0].matrix) is mirror
    assert poses[1].residual > 50


def test_without_mirrors_none_is_tried() -> None:
    outline = blob()[outline_spots(blob(), Lattice("hexagonal", 100.0))]
    poses = drain(outline_poses(turned(outline, 40, mirror=True), outline, 100.0, mirrors=False))
    assert not any(is_mirrored(pose.matrix) for pose in poses)
    assert poses[0].residual > 50


def test_a_tear_is_left_out() -> None:
    """A corner that is missing moves nothing."""
    points = blob()
    torn = points[points[:, 0] + points[:, 1] < np.quantile(points.sum(axis=1), 0.95)]
    a, b = (p[outline_spots(p, Lattice("hexagonal", 100.0))] for p in (torn, points))
    assert cKDTree(b).query(a)[0].max() > 100
    pose = drain(outline_poses(turned(a, 110), b, 100.0, mirrors=True))[0]
    back = moved(pose.matrix, turned(torn, 110))
    assert np.linalg.norm(back - torn, axis=1).max() < 1


def test_too_short_an_outline() -> None:
    with pytest.raises(DataError, match="has 4 spots"):
        drain(outline_poses(np.eye(4)[:, :2], blob(), 100.0, mirrors=True))
