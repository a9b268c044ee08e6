import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter
from tests.features.tissue import blob, pattern_section

from napari_stmask.core.errors import DataError, ResourceError
from napari_stmask.core.histology import Histology
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.features.alignment import align_sections
from napari_stmask.features.rigid import moved, rigid_about

SIDE, UM = 220, 25.0
"""Pixels of the picture and µm a pixel."""


def picture() -> np.ndarray:
    """(rows, columns, 3) uint8 stained tissue in the shape of `blob`, about the middle."""
    rng = np.random.default_rng(0)
    spots = blob() / UM + SIDE / 2
    shape = np.zeros((SIDE, SIDE))
    columns, rows = spots.astype(int).T
    shape[rows, columns] = 1
    tissue = gaussian_filter(shape, 3) > 0.02
    texture = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 6)
    texture = 0.5 + 0.2 * texture / texture.std()
    density = np.clip(texture, 0.1, 1.5)[..., None] * tissue[..., None] * [0.5, 1.2, 0.6]
    return np.rint(245 * np.exp(-density)).astype(np.uint8)


def as_section(tissue: np.ndarray, pixels: np.ndarray, matrix: np.ndarray, **options) -> Section:
    """A section whose image is that of the tissue, both moved by ``matrix`` (µm)."""
    # Coordinates in pixels of the image, so that µm differ from them.
    section = pattern_section(tissue, moved(matrix, tissue), um_per_px=UM, **options)
    return replace(section, image=Histology([pixels]))


def pair(degrees: float, mirror: bool) -> tuple[Section, Section, np.ndarray]:
    """A section, its copy that was turned with its image, and where the copy's spots belong."""
    pixels, centre = picture(), np.full(2, SIDE * UM / 2)
    tissue = blob() + centre
    flip = np.array([[-1.0, 0, SIDE * UM], [0, 1, 0], [0, 0, 1]]) if mirror else np.eye(3)
    matrix = rigid_about(centre, np.radians(degrees), [3 * UM, -2 * UM]) @ flip
    # Of an array index: centre of a pixel, row first.
    half = np.array([[UM, 0, UM / 2], [0, UM, UM / 2], [0, 0, 1]])
    index = (np.linalg.inv(half) @ np.linalg.inv(matrix) @ half)[[1, 0, 2]][:, [1, 0, 2]]
    out = [affine_transform(pixels[..., c], index, order=1, cval=245) for c in range(3)]
    fixed = as_section(tissue, pixels, np.eye(3))
    return fixed, as_section(tissue, np.stack(out, axis=2), matrix, seed=1), tissue


@pytest.mark.parametrize(("degrees", "mirror"), [(20, False), (75, True)])
def test_an_image_that_was_turned_comes_back(degrees: float, mirror: bool) -> None:
    pytest.importorskip("SimpleITK")
    fixed, moving, tissue = pair(degrees, mirror)
    # The spots of the moving section are thinned: only the images can be exact.
    few = np.random.default_rng(0).random(len(tissue)) < 0.8
    thin = replace(moving, adata=moving.adata[few].copy())
    flip = "auto" if mirror else "never"
    steps = align_sections([fixed, thin], method="histology", flip=flip, use_expression=False)
    found = drain(steps)[1]
    place = found.apply(thin.coords * UM)
    assert np.linalg.norm(place - tissue[few], axis=1).mean() < 10  # of a pitch of 100
    assert found.mirrored is mirror
    assert found.method == "histology"
    assert found.agreement > 0.9


def test_expression_chooses_among_poses_of_the_images() -> None:
    pytest.importorskip("SimpleITK")
    fixed, moving, tissue = pair(110, False)
    options = {"method": "histology", "flip": "never"}
    found, again = (drain(align_sections([fixed, moving], **options))[1] for _ in "ab")
    assert np.linalg.norm(found.apply(moving.coords * UM) - tissue, axis=1).mean() < 10
    assert found.problem == ""
    np.testing.assert_array_equal(found.matrix, again.matrix)


def test_a_mirror_image_that_may_not_be_turned_over_is_a_bad_fit() -> None:
    pytest.importorskip("SimpleITK")
    fixed, moving, _ = pair(40, True)
    options = {"method": "histology", "flip": "never", "use_expression": False}
    found = drain(align_sections([fixed, moving], **options))[1]
    assert "pitches apart" in found.problem


def test_an_image_without_tissue() -> None:
    pytest.importorskip("SimpleITK")
    fixed, moving, _ = pair(0, False)
    white = replace(moving, image=Histology([np.full((SIDE, SIDE, 3), 250, np.uint8)]))
    with pytest.raises(DataError, match="shows no tissue"):
        drain(align_sections([fixed, white], method="histology"))


def test_without_simpleitk_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    fixed, moving, _ = pair(0, False)
    with pytest.raises(ResourceError, match=r"napari-stmask\[integration\]"):
        drain(align_sections([fixed, moving], method="histology"))
