import time
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from tests.features.tissue import blob, pattern_section, turned
from tests.helpers import hexagons

from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.features.alignment import align_landmarks, align_sections, given
from napari_stmask.features.pose_agreement import Agreement, shared_components
from napari_stmask.features.rigid import moved, rigid_about


def error(alignment, section: Section, tissue: np.ndarray) -> float:
    """Mean distance, in µm, from where each spot should be."""
    place = alignment.apply(section.coords * (section.um_per_px or 1.0))
    return float(np.linalg.norm(place - tissue, axis=1).mean())


def window(low: float, high: float, offset: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Spots of a square array; the tissue goes on beyond it."""
    points = hexagons(41, 36, 100.0) + offset
    return points[(points[:, 0] >= low) & (points[:, 0] <= high)]


@pytest.mark.parametrize("expression", [True, False])
@pytest.mark.parametrize(("angle", "mirror"), [(10, False), (60, False), (180, False), (33, True)])
def test_turned_copies_come_back(angle: float, mirror: bool, expression: bool) -> None:
    """Check 9 of the specification."""
    tissue = blob()
    fixed = pattern_section(tissue)
    moving = pattern_section(tissue, turned(tissue, angle, mirror=mirror), seed=1)
    first, second = drain(align_sections([fixed, moving], use_expression=expression))
    assert first.method == "reference"
    np.testing.assert_array_equal(first.matrix, np.eye(3))
    assert error(second, moving, tissue) < 0.1
    assert second.residual < 0.1
    assert second.overlap == 1
    assert second.mirrored is mirror
    assert second.problem == ""
    assert (second.agreement is not None) is expression


@pytest.mark.parametrize("expression", [True, False])
def test_a_mirrored_section_that_may_not_be_turned_over_is_a_bad_fit(expression: bool) -> None:
    tissue = blob()
    moving = pattern_section(tissue, turned(tissue, 33, mirror=True), seed=1)
    sections = [pattern_section(tissue), moving]
    found = drain(align_sections(sections, flip="never", use_expression=expression))[1]
    assert not found.mirrored
    assert f"{found.residual / 100:.2f} pitches apart" in found.problem


def test_a_neighbour_on_another_lattice() -> None:
    """The next section is not a copy: its spots lie elsewhere in the tissue."""
    tissue = blob((37.0, 22.0))
    moving = pattern_section(tissue, turned(tissue, 130), seed=1)
    found = drain(align_sections([pattern_section(blob()), moving]))[1]
    assert error(found, moving, tissue) < 40
    assert 20 < found.residual < 50
    assert found.problem == ""


def test_expression_tells_poses_of_a_square_apart() -> None:
    """A filled array fits by its outline in several ways."""
    tissue = window(0, 4000)
    tissue -= tissue.mean(axis=0)
    fixed = pattern_section(tissue)
    moving = pattern_section(tissue, turned(tissue, 180), seed=1)
    found = drain(align_sections([fixed, moving]))[1]
    assert error(found, moving, tissue) < 1
    assert found.problem == ""
    blind = drain(align_sections([fixed, moving], use_expression=False))[1]
    assert "about as well" in blind.problem
    assert blind.alternatives


def test_expression_moves_on_from_the_outline() -> None:
    """Arrays that cover different parts of the tissue: their borders are not its outline."""
    fixed = pattern_section(window(0, 3000))
    tissue = window(600, 3600, (30.0, 20.0))
    moving = pattern_section(tissue, turned(tissue, 70), seed=1)
    found = drain(align_sections([fixed, moving], flip="never"))[1]
    assert error(found, moving, tissue) < 50
    assert found.overlap < 0.95
    blind = drain(align_sections([fixed, moving], flip="never", use_expression=False))[1]
    assert error(blind, moving, tissue) > 300


def test_expression_without_a_direction_tells_nothing() -> None:
    """Rings in a disc look alike from all sides, and the answer says so."""
    points = hexagons(41, 36, 100.0)
    points = points - points.mean(axis=0)
    points = points[np.hypot(*points.T) < 1500]
    rings = np.column_stack([np.hypot(*points.T), np.zeros(len(points))])
    sections = [pattern_section(rings, points, seed=seed) for seed in (0, 1)]
    found = drain(align_sections(sections))[1]
    assert found.agreement > 0.4
    assert "about as well" in found.problem
    assert len(found.alternatives) >= 2
    for pose in found.alternatives:
        assert pose.agreement == pytest.approx(found.agreement, abs=0.1)


def test_other_tissue_is_a_bad_fit() -> None:
    """The same outline, but nothing in common in what is expressed."""
    tissue = blob()
    other = pattern_section(tissue, seed=1)
    genes = np.random.default_rng(5)
    shuffled = other.adata.copy()
    shuffled.X = sp.csr_matrix(genes.permuted(shuffled.X.toarray(), axis=0))
    found = drain(align_sections([pattern_section(tissue), other.over(shuffled)]))[1]
    assert "agrees by" in found.problem


def test_max_residual_is_a_limit_in_pitches() -> None:
    tissue = blob((37.0, 22.0))
    sections = [pattern_section(blob()), pattern_section(tissue, seed=1)]
    quiet, loud = (
        drain(align_sections(sections, use_expression=False, max_residual=limit))[1]
        for limit in (0.5, 0.1)
    )
    np.testing.assert_array_equal(quiet.matrix, loud.matrix)
    assert quiet.problem == ""
    assert "pitches apart" in loud.problem


def test_each_section_has_its_own_scale() -> None:
    """One in pixels of 0.5 µm, one in µm."""
    tissue = blob()
    fixed = pattern_section(tissue, um_per_px=0.5)
    moving = pattern_section(tissue, turned(tissue, 25), um_per_px=2.0, seed=1)
    found = drain(align_sections([fixed, moving], use_expression=False))[1]
    assert error(found, moving, tissue) < 0.1
    assert abs(np.linalg.det(found.matrix)) == pytest.approx(1)


def test_without_scale_coordinates_are_the_unit() -> None:
    tissue = blob()
    sections = [pattern_section(tissue, um_per_px=None), pattern_section(tissue, um_per_px=None)]
    assert drain(align_sections(sections, use_expression=False))[1].residual < 0.1
    mixed = [sections[0], pattern_section(tissue)]
    with pytest.raises(DataError, match="scale of section is unknown"):
        drain(align_sections(mixed))


@pytest.mark.parametrize("reference", [0, 1, 2])
def test_a_chain_is_composed(reference: int) -> None:
    """Each is fitted to its neighbour; all land in the frame of the reference."""
    tissue, angles = blob(), (0, 50, 200)
    places = [tissue, turned(tissue, 50), turned(tissue, 200, mirror=True)]
    sections = [
        pattern_section(tissue, place, seed=i, name=str(angle))
        for i, (place, angle) in enumerate(zip(places, angles, strict=True))
    ]
    found = drain(align_sections(sections, reference=reference, use_expression=False))
    assert found[reference].method == "reference"
    for alignment, section in zip(found, sections, strict=True):
        assert error(alignment, section, places[reference]) < 0.2
    assert [a.mirrored for a in found] == [(i == 2) != (reference == 2) for i in range(3)]


def test_doubt_is_handed_down_the_chain() -> None:
    tissue = blob()
    mirrored = turned(tissue, 33, mirror=True)
    sections = [
        pattern_section(tissue, name="first"),
        pattern_section(tissue, mirrored, name="second"),
        pattern_section(tissue, mirrored, name="third"),
    ]
    found = drain(align_sections(sections, flip="never", use_expression=False))
    assert found[1].problem
    assert found[2].residual < 0.1
    assert found[2].problem == "It follows section second, whose own fit is doubtful."


def test_none_leaves_all_in_place() -> None:
    tissue = blob()
    sections = [pattern_section(tissue), pattern_section(tissue, tissue + 1e6)]
    found = drain(align_sections(sections, method="none"))[1]
    np.testing.assert_array_equal(found.matrix, np.eye(3))
    assert (found.method, found.residual, found.overlap, found.problem) == ("none", None, 0, "")


def test_it_repeats_leaves_its_input_alone_and_reports() -> None:
    tissue = blob()
    sections = [pattern_section(tissue), pattern_section(blob((37, 22)), seed=1)]
    before = [s.adata.copy() for s in sections]
    steps, found, longest, last = align_sections(sections), None, 0.0, time.thread_time()
    while found is None:
        try:
            event = next(steps)
        except StopIteration as stop:
            found = stop.value
        else:
            assert event.phase
        longest, last = max(longest, time.thread_time() - last), time.thread_time()
    assert longest < 0.5
    again = drain(align_sections(sections))
    np.testing.assert_array_equal(found[1].matrix, again[1].matrix)
    for old, s in zip(before, sections, strict=True):
        assert not s.adata.uns
        np.testing.assert_array_equal(old.obsm["spatial"], s.adata.obsm["spatial"])
        assert (old.X != s.adata.X).nnz == 0


def test_agreement_of_known_values() -> None:
    """A copy agrees fully, its negative not at all, and both components weigh by their spread."""
    points = hexagons(20, 20)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 2)).astype(np.float32) * [3, 1]
    for sign, expected in (([1, 1], 1.0), ([-1, -1], -1.0), ([1, -1], None)):
        measure = Agreement(points, values, points, values * sign, 1.0, 0.5)
        spread = values.var(axis=0)
        value = (spread[0] - spread[1]) / spread.sum() if expected is None else expected
        assert measure(np.eye(3)) == pytest.approx(value, abs=1e-5)
    assert measure(rigid_about(np.zeros(2), 0.0, [15.0, 0.0])) == -1


def test_components_know_nothing_of_levels() -> None:
    """A gene that one slide doubles does not part the sections."""
    tissue = blob()
    a, b = pattern_section(tissue), pattern_section(tissue, seed=1)
    doubled = b.adata.copy()
    doubled.X = sp.csr_matrix(doubled.X.multiply(np.where(np.arange(60) % 2, 2.0, 1.0)))
    first, second = drain(shared_components(a, b.over(doubled), seed=0))
    assert first.shape == second.shape == (len(tissue), 15)
    together = np.corrcoef(first[:, 0], second[:, 0])[0, 1]
    assert together > 0.9
    assert abs(first.mean() - second.mean()) < 0.05 * first.std()


def test_what_expression_needs() -> None:
    tissue = blob()
    fixed, moving = pattern_section(tissue), pattern_section(tissue, seed=1)
    renamed = moving.adata.copy()
    renamed.var_names = [f"H{i}" for i in range(60)]
    with pytest.raises(DataError, match="0 genes in common"):
        drain(align_sections([fixed, moving.over(renamed)]))
    logged = moving.adata.copy()
    logged.X = logged.X.log1p()
    with pytest.raises(DataError, match="align without expression"):
        drain(align_sections([fixed, moving.over(logged)]))
    assert drain(align_sections([fixed, moving.over(logged)], use_expression=False))[1].residual < 1


def test_too_few_spots_names_the_section() -> None:
    tissue = blob()
    small = pattern_section(tissue[:3], name="tiny")
    with pytest.raises(DataError, match="tiny"):
        drain(align_sections([pattern_section(tissue), small]))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "magic"}, "method is 'magic'"),
        ({"flip": "always"}, "flip is 'always'"),
        ({"reference": 2}, "reference is 2"),
        ({"reference": -1}, "reference is -1"),
        ({"max_residual": 0}, "max_residual is 0"),
        ({"max_residual": float("nan")}, "max_residual is nan"),
    ],
)
def test_impossible_parameters(options: dict, match: str) -> None:
    sections = [pattern_section(blob())] * 2
    with pytest.raises(ParameterError, match=match):
        drain(align_sections(sections, **options))
    with pytest.raises(ParameterError, match="no section"):
        drain(align_sections([]))


def test_one_section_is_its_own_reference() -> None:
    assert [a.method for a in drain(align_sections([pattern_section(blob())]))] == ["reference"]


def test_landmarks() -> None:
    rng = np.random.default_rng(0)
    fixed = rng.normal(size=(4, 2)) * 1000
    for mirror in (False, True):
        moving = turned(fixed, 77, mirror=mirror)
        found = align_landmarks(moving, fixed)
        np.testing.assert_allclose(found.apply(moving), fixed, atol=1e-8)
        assert found.mirrored is mirror
        assert found.residual < 1e-8
        assert align_landmarks(moving, fixed, mirrored=not mirror).residual > 10
    two = align_landmarks(turned(fixed[:2], 10), fixed[:2], mirrored=False)
    np.testing.assert_allclose(two.apply(turned(fixed, 10)), fixed, atol=1e-8)
    noisy = align_landmarks(fixed + np.array([[3, 4], [-3, -4], [0, 0], [0, 0]]), fixed)
    assert 0 < noisy.residual < 5


@pytest.mark.parametrize(
    ("moving", "options", "match"),
    [
        ([[0, 0], [1, 0]], {}, "2 landmarks"),
        ([[0, 0]], {"mirrored": False}, "1 landmarks"),
        ([[0, 0], [1, 0], [2, 0]], {}, "on a line"),
        ([[1, 1], [1, 1]], {"mirrored": False}, "in one place"),
        ([[0, 0], [np.nan, 0], [2, 1]], {}, "not finite"),
        ([[0, 0, 0]] * 3, {}, "shapes"),
    ],
)
def test_landmarks_that_cannot_be_used(moving: list, options: dict, match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        align_landmarks(np.array(moving, float), np.array(moving, float), **options)
    with pytest.raises(ParameterError, match="shapes"):
        align_landmarks(np.zeros((3, 2)), np.zeros((4, 2)))


def test_given_matrices() -> None:
    rigid = rigid_about(np.zeros(2), 1.0, [5.0, 6.0])
    found = given(rigid.tolist())
    np.testing.assert_array_equal(found.matrix, rigid)
    assert (found.method, found.problem, found.mirrored) == ("given", "", False)
    assert given(np.diag([-1.04, 1.0, 1.0])).mirrored
    assert given(np.diag([1.04, 0.96, 1.0])).problem == ""
    assert "1 to 1.2" in given(np.diag([1.2, 1.0, 1.0])).problem
    shear = np.array([[1, 0.5, 0], [0, 1, 0], [0, 0, 1.0]])
    assert given(shear).problem
    for bad in (np.eye(2), np.full((3, 3), np.nan), np.diag([1, 0, 1.0]), "x", np.ones((3, 3))):
        with pytest.raises(ParameterError):
            given(bad)


def test_histology_needs_images() -> None:
    pytest.importorskip("SimpleITK")
    sections = [pattern_section(blob()), pattern_section(blob(), seed=1, name="bare")]
    sections = [replace(s, image=None) for s in sections]
    with pytest.raises(DataError, match="no histology image"):
        drain(align_sections(sections, method="histology"))
    assert moved(np.eye(3), sections[0].coords).shape == sections[0].coords.shape
