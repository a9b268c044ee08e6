"""The grid covers the tissue of an image, wherever it lies."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.histology import Histology, inverse
from napari_stmask.core.section import Section
from napari_stmask.features.tissue_grid import spots_off_tissue, tissue_grid

PINK, WHITE = (200, 120, 170), (245, 245, 245)


def picture(rows: int = 400, columns: int = 600) -> np.ndarray:
    """Tissue in columns 100 to 400 and rows 100 to 300 of a white slide."""
    pixels = np.full((rows, columns, 3), WHITE, dtype=np.uint8)
    pixels[100:300, 100:400] = PINK
    return pixels


def section(image: Histology | None, coords: object = ((0.0, 0.0),), **options: object) -> Section:
    adata = AnnData(sp.csr_matrix(np.ones((len(coords), 2), dtype=np.float32)))
    adata.obsm["spatial"] = np.asarray(coords, dtype=float)
    return Section(adata, name="slide", image=image, **options)


def expected(pitch: float) -> set[tuple[float, float]]:
    """Cells of a 600 x 400 image that lie in the tissue by half or more."""
    x, y = np.meshgrid(np.arange(pitch / 2, 600, pitch), np.arange(pitch / 2, 400, pitch))
    share = [
        np.clip((np.minimum(c + pitch / 2, b) - np.maximum(c - pitch / 2, a)) / pitch, 0, 1)
        for c, a, b in ((x, 100, 400), (y, 100, 300))
    ]
    on = share[0] * share[1] >= 0.5
    return set(zip(x[on].tolist(), y[on].tolist(), strict=True))


@pytest.mark.parametrize("pitch", [20, 40])
def test_every_cell_of_the_tissue_and_no_other(pitch: int) -> None:
    found = tissue_grid(section(Histology([picture()])), pitch, unit="coords")
    assert found.dtype == np.float64
    assert set(map(tuple, found.tolist())) == expected(pitch)
    order = np.lexsort((found[:, 0], found[:, 1]))
    assert (order == np.arange(len(found))).all()


def test_micrometres_are_those_of_the_section() -> None:
    image = Histology([picture()], scale=0.5)  # 1200 x 800 coordinates
    found = tissue_grid(section(image, um_per_px=0.25), 10.0)
    assert set(map(tuple, (found / 2).tolist())) == expected(20)


def test_what_is_left_over_is_halved_between_the_borders() -> None:
    found = tissue_grid(section(Histology([picture()])), 110, unit="coords")
    assert set((found[:, 0] % 110).tolist()) == {25 + 55}
    assert set((found[:, 1] % 110).tolist()) == {35 + 55}


def test_least_tissue_decides_at_the_border() -> None:
    image = Histology([picture()])
    # Cells of 90: the first column shows 20 of 90, the last 10, the first and last row 10 of 90.
    number = [
        len(tissue_grid(section(image), 90, unit="coords", min_tissue=share))
        for share in (1, 0.5, 0.2, 0.1)
    ]
    assert number == [6, 6, 8, 16]


@pytest.mark.parametrize(
    "place",
    [
        np.array([[0.0, -0.5, 400], [0.5, 0, 0], [0, 0, 1]]),
        np.array([[-1.0, 0, 300], [0, 1, 50], [0, 0, 1]]),
        np.array([[0.4, -0.3, 150], [0.35, 0.4, 20], [0, 0, 1]]),
    ],
    ids=["quarter turn", "mirrored and at negative positions", "turned and sheared"],
)
def test_wherever_the_image_lies(place: np.ndarray) -> None:
    image = Histology([picture()], transform=place)
    pitch = 12 / image.scale
    found = tissue_grid(section(image), pitch, unit="coords")
    x, y = image.to_pixels(found).T
    off = np.maximum(np.maximum(100 - x, x - 400), np.maximum(100 - y, y - 300))
    assert off.max() < 9  # half a diagonal of the cell
    area = 300 * 200 / abs(np.linalg.det(place[:2, :2]))
    assert len(found) * pitch**2 == pytest.approx(area, rel=0.1)
    corner = (np.array([250, 200, 1]) @ inverse(place).T)[:2]
    assert np.linalg.norm(found - corner, axis=1).min() < pitch


def test_spots_beside_the_tissue_are_told() -> None:
    coords = [(250, 200), (105, 150), (95, 150), (50, 50), (5000, 10), (401, 200)]
    one = section(Histology([picture()]), coords)
    assert spots_off_tissue(one, 40).tolist() == [False, False, True, True, True, True]
    assert spots_off_tissue(one, 40, min_tissue=0.3).tolist() == [
        False, False, False, True, True, False,
    ]  # fmt: skip


def test_refusals() -> None:
    one, bare = section(Histology([picture()])), section(None)
    for call in (lambda: tissue_grid(bare, 10), lambda: spots_off_tissue(bare, 10)):
        with pytest.raises(DataError, match="section 'slide' has no histology image"):
            call()
    with pytest.raises(DataError, match="micrometres per coordinate unit are unknown"):
        tissue_grid(one, 10)
    with pytest.raises(ParameterError, match="unit of the pitch is 'px'"):
        tissue_grid(one, 10, unit="px")
    for pitch in (0, -3, np.nan, np.inf):
        with pytest.raises(ParameterError, match="pitch of the grid is"):
            tissue_grid(one, pitch, unit="coords")
        with pytest.raises(ParameterError, match="side of a patch is"):
            spots_off_tissue(one, pitch)
    for share in (0, 1.1, np.nan):
        with pytest.raises(ParameterError, match="min_tissue is"):
            tissue_grid(one, 10, unit="coords", min_tissue=share)
        with pytest.raises(ParameterError, match="min_tissue is"):
            spots_off_tissue(one, 10, min_tissue=share)
    blank = section(Histology([np.full((50, 50, 3), 240, dtype=np.uint8)]))
    with pytest.raises(DataError, match="shows no tissue in a grid of pitch 5"):
        tissue_grid(blank, 5, unit="coords")


def test_the_message_about_too_many_points_names_a_pitch_that_works() -> None:
    one = section(Histology([picture()]), um_per_px=2.0)
    with pytest.raises(ParameterError, match=r"pitch 0.1 has 96000000 points") as caught:
        tissue_grid(one, 0.1)
    least = float(caught.value.remedy.split()[4])
    assert len(tissue_grid(one, least)) > 200_000
