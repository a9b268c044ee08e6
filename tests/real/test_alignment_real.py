"""Alignment of real sections: copies, neighbours, and tissues that have nothing in common."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree
from tests.features.tissue import turned

import napari_stmask as stm
from napari_stmask.core.histology import Histology
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.features.alignment import Alignment, align_sections


@pytest.fixture(scope="module")
def cortex(data_dir) -> tuple[Section, Section]:
    folder = data_dir / "dlpfc_visium"
    return stm.read(folder / "151673.h5ad"), stm.read(folder / "151674.h5ad")


def um(section: Section) -> np.ndarray:
    return section.coords * section.um_per_px


def at(section: Section, places: np.ndarray) -> Section:
    """The section with other coordinates, in µm."""
    adata = section.adata.copy()
    adata.obsm["spatial"] = places
    return replace(section, adata=adata, um_per_px=1.0, image=None)


def cut(section: Section, keep: np.ndarray) -> Section:
    return replace(section, adata=section.adata[keep].copy())


def same_layer(alignment: Alignment, moving: Section, fixed: Section) -> float:
    """Share of the spots whose nearest one has the same layer. Labels only measure."""
    distance, index = cKDTree(um(fixed)).query(alignment.apply(um(moving)))
    own, other = (s.adata.obs["ground_truth"].astype(str).to_numpy() for s in (moving, fixed))
    known = (distance <= 100) & (own != "nan") & (other[index] != "nan")
    return float((own == other[index])[known].mean())


@pytest.mark.parametrize("angle", [20, 75, 180])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("number", [0, 1])
def test_copies_come_back(cortex, angle: float, mirror: bool, number: int) -> None:
    section = cortex[number]
    moving = at(section, turned(um(section), angle, mirror=mirror))
    found = drain(align_sections([section, moving], use_expression=False))[1]
    assert np.linalg.norm(found.apply(um(moving)) - um(section), axis=1).max() < 1  # of 100
    assert found.mirrored is mirror
    assert found.problem == ""


@pytest.mark.parametrize("expression", [True, False])
def test_neighbours(cortex, expression: bool) -> None:
    """79 % of the nearest spots have the same layer before, 88 % after."""
    fixed, moving = cortex
    before = drain(align_sections([fixed, moving], method="none"))[1]
    began = time.process_time()
    after = drain(align_sections([fixed, moving], use_expression=expression))[1]
    assert time.process_time() - began < 20
    assert same_layer(before, moving, fixed) == pytest.approx(0.79, abs=0.01)
    assert same_layer(after, moving, fixed) > 0.87
    assert after.problem == ""
    assert after.overlap > 0.95


@pytest.mark.parametrize("axis", [0, 1])
def test_neighbours_that_were_cropped_otherwise(cortex, axis: int) -> None:
    """The border of the array cuts 15 % off, at opposite sides: outlines mislead by 8 pitches."""
    fixed, moving = cortex
    a, b = um(fixed)[:, axis], um(moving)[:, axis]
    fixed, moving = cut(fixed, a < np.quantile(a, 0.85)), cut(moving, b > np.quantile(b, 0.15))
    found = drain(align_sections([fixed, moving]))[1]
    assert same_layer(found, moving, fixed) > 0.84
    assert found.problem == ""
    blind = drain(align_sections([fixed, moving], use_expression=False))[1]
    assert same_layer(blind, moving, fixed) < 0.6
    assert blind.problem


def test_a_mirrored_neighbour(cortex) -> None:
    fixed, moving = cortex
    mirrored = at(moving, turned(um(moving), 65, mirror=True))
    found = drain(align_sections([fixed, mirrored]))[1]
    assert found.mirrored
    assert found.problem == ""
    assert same_layer(found, mirrored, fixed) > 0.87
    never = align_sections([fixed, mirrored], flip="never", use_expression=False)
    assert drain(never)[1].problem


def test_serial_sections_of_a_tumour(data_dir) -> None:
    """Small sections on a coarse lattice: expression tells the pose where outlines do not."""
    sections = [stm.read(data_dir / "her2st" / f"{name}.h5ad") for name in ("C2", "C3", "C4")]
    found = drain(align_sections(sections))
    assert not any(a.problem or a.mirrored for a in found)
    assert min(a.agreement for a in found[1:]) > 0.7


@pytest.mark.parametrize("expression", [True, False])
def test_different_tissues_do_not_fit(cortex, data_dir, expression: bool) -> None:
    tumour = stm.read(data_dir / "her2st_labelled" / "A1.h5ad")
    other = stm.read(data_dir / "her2st_labelled" / "B1.h5ad")
    pairs = [[cortex[0], tumour], [other, tumour]]
    if not expression:
        pairs.append([tumour, cortex[0]])
    for pair in pairs:
        assert drain(align_sections(pair, use_expression=expression))[1].problem


@pytest.mark.parametrize(("angle", "mirror"), [(20, False), (180, False), (130, True)])
def test_histology_of_a_real_section(data_dir, angle: float, mirror: bool) -> None:
    """Its own image, turned by scikit-image, on its own image."""
    pytest.importorskip("SimpleITK")
    from skimage.transform import warp

    section = stm.read(data_dir / "dlpfc_visium" / "native" / "151673")
    pixels, scale = np.asarray(section.image.levels[0]), section.image.scale
    side, margin = pixels.shape[0], 150
    radians = np.radians(angle)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    matrix = np.eye(3)
    matrix[:2, :2] = turn @ np.diag([-1 if mirror else 1, 1])
    matrix[:2, 2] = side / 2 + margin + np.array([40, -25]) - matrix[:2, :2] @ np.full(2, side / 2)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    back = np.linalg.inv(half) @ np.linalg.inv(matrix) @ half
    shape = (side + 2 * margin, side + 2 * margin)
    light = float(np.median(pixels[:5])) / 255
    image = np.rint(255 * warp(pixels, back, output_shape=shape, order=1, cval=light))
    adata = section.adata.copy()
    adata.obsm["spatial"] = (section.coords * scale @ matrix[:2, :2].T + matrix[:2, 2]) / scale
    moving = replace(section, adata=adata, image=Histology([image.astype(np.uint8)], scale=scale))
    found = drain(align_sections([section, moving], method="histology", use_expression=False))[1]
    assert np.linalg.norm(found.apply(um(moving)) - um(section), axis=1).mean() < 10  # of 100
    assert found.mirrored is mirror
    assert found.problem == ""


def test_histology_of_neighbours(cortex) -> None:
    pytest.importorskip("SimpleITK")
    fixed, moving = cortex
    found = drain(align_sections([fixed, moving], method="histology", use_expression=False))[1]
    assert same_layer(found, moving, fixed) > 0.87
    assert found.problem == ""
