"""Alignment files put an image where its makers meant it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_stmask.core.errors import DataError, FileFormatError, ParameterError
from napari_stmask.core.section import Section
from napari_stmask.io.alignment import read_alignment, save_alignment
from napari_stmask.io.images import open_histology
from napari_stmask.io.place import place_image
from napari_stmask.io.read import read

TO_PIXELS = np.array([[0.0, -2.0, 900.0], [2.0, 0.0, 40.0], [0, 0, 1]])
"""From coordinates to the pixels of the picture: a quarter turn, twice the size."""


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    path = tmp_path / "slide.png"
    Image.fromarray(np.full((1100, 900, 3), 200, np.uint8)).save(path)
    return path


def spots(section: Section, shift: float = 0.0) -> list[dict[str, float]]:
    """The spots of Loupe's file, with those of another row that the section does not have."""
    pixels = section.coords @ TO_PIXELS[:2, :2].T + TO_PIXELS[:2, 2]
    obs = section.adata.obs
    found = [
        {"row": int(r), "col": int(c), "imageX": x + shift * (r % 2), "imageY": y, "tissue": True}
        for r, c, (x, y) in zip(obs["array_row"], obs["array_col"], pixels, strict=True)
    ]
    return [*found, {"row": 77, "col": 127, "imageX": 0.0, "imageY": 0.0}]


def test_loupe_spots(section: Section, slide: Path, tmp_path: Path) -> None:
    path = tmp_path / "loupe.json"
    path.write_text(json.dumps({"oligo": spots(section), "fiducial": [], "transform": []}))
    place_image(section, slide, path)
    assert section.image is not None
    np.testing.assert_allclose(section.image.matrix, TO_PIXELS, atol=1e-9)
    assert section.image.contains(section.coords).all()
    path.write_text(json.dumps({"oligo": spots(section, shift=60.0)}))
    with pytest.raises(DataError, match="are not those of"):
        place_image(section, slide, path)
    path.write_text(json.dumps({"oligo": spots(section)[-1:]}))
    with pytest.raises(DataError, match="gives pixels for 0 of 56 spots"):
        place_image(section, slide, path)


@pytest.mark.parametrize("direction", ["as written", "inverted"])
def test_cytassist(section: Section, slide: Path, tmp_path: Path, direction: str) -> None:
    shrunk = np.array([[0.5, 0.0, 500.0], [0.0, -0.5, 600.0], [0, 0, 1]])
    matrix = shrunk if direction == "as written" else np.linalg.inv(shrunk)
    path = tmp_path / "cyt.json"
    info = {"transformImages": matrix.tolist(), "checksumHiRes": "x"}
    path.write_text(json.dumps({"oligo": [], "cytAssistInfo": info}))
    place_image(section, slide, path)
    assert section.image is not None
    np.testing.assert_allclose(section.image.matrix, shrunk, atol=1e-9)
    assert f"was used {direction}" in section.notes[-1]
    info["transformImages"] = np.eye(3).tolist()
    path.write_text(json.dumps({"cytAssistInfo": info}))
    with pytest.raises(DataError, match="cannot be told"):
        place_image(section, slide, path)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt", "json"])
def test_plain_matrix(section: Section, slide: Path, tmp_path: Path, suffix: str) -> None:
    matrix = np.linalg.inv(TO_PIXELS)
    path = tmp_path / f"matrix.{suffix}"
    if suffix == "json":
        path.write_text(json.dumps(matrix.tolist()))
    else:
        delimiter = {"csv": ",", "tsv": "\t", "txt": " "}[suffix]
        np.savetxt(path, matrix, delimiter=delimiter, header="from napari")
    found = read_alignment(path, section, open_histology(slide))
    np.testing.assert_allclose(found, TO_PIXELS, atol=1e-9)


def test_xenium(section: Section, slide: Path, tmp_path: Path) -> None:
    section.um_per_px = 1.0
    path = tmp_path / "he_imagealignment.csv"
    np.savetxt(path, np.diag([2.0, 2.0, 1.0]), delimiter=",")
    found = read_alignment(path, section, open_histology(slide))
    np.testing.assert_allclose(np.linalg.inv(found), np.diag([0.425, 0.425, 1.0]))


def test_saved_and_read_again(section: Section, slide: Path, tmp_path: Path) -> None:
    image = open_histology(slide).placed(transform=TO_PIXELS)
    path = save_alignment(image, tmp_path / "alignment.json")
    np.testing.assert_allclose(read_alignment(path, section, image), TO_PIXELS, atol=1e-9)


@pytest.mark.parametrize(
    "text", ["", "{", "1,2,3\n4,5,6", "a,b,c\n" * 3, "1 0 0\n0 1 0\n1 0 0", "{}", "[1]", "\x00" * 9]
)
def test_nonsense(section: Section, slide: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises((DataError, FileFormatError), match=r"bad\.json"):
        read_alignment(path, section, open_histology(slide))


def test_read_takes_image_and_alignment(outs: Path, slide: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    np.savetxt(path, np.linalg.inv(TO_PIXELS), delimiter=",")
    found = read(outs, image=slide, alignment=path)
    assert isinstance(found, Section)
    assert found.image is not None
    np.testing.assert_allclose(found.image.matrix, TO_PIXELS, atol=1e-9)
    assert found.reading == {"image": str(slide), "alignment": str(path)}
    with pytest.raises(ParameterError, match="without an image"):
        read(outs, alignment=path)
    with pytest.raises(ParameterError, match="counts_layer='raw' means nothing"):
        read(outs, counts_layer="raw")
    with pytest.raises(ParameterError, match="bin is 0"):
        read(outs, bin=0)


def test_an_image_registered_to_a_stereoseq_file(
    section: Section, slide: Path, tmp_path: Path
) -> None:
    section.adata.uns["stereoseq"] = {"offset": np.array([9600, 12600])}
    section.adata.obsm["spatial"] = section.coords + np.array([9600, 12600])
    found = Section(section.adata, name="chip", platform="stereoseq", um_per_px=0.5)
    place_image(found, slide)
    assert found.image is not None
    np.testing.assert_array_equal(found.image.matrix[:2, 2], [-9600, -12600])
    assert "origin of the file" in found.notes[0]


def test_the_pixel_size_of_an_image(section: Section, tmp_path: Path) -> None:
    import tifffile

    path = tmp_path / "slide.tif"
    options = {"resolution": (5000.0, 5000.0), "resolutionunit": "CENTIMETER"}  # 2 um
    tifffile.imwrite(path, np.zeros((1000, 1000, 3), np.uint8), photometric="rgb", **options)
    unknown = Section(section.adata, platform="unknown")
    place_image(unknown, path)
    assert unknown.um_per_px == pytest.approx(2.0)
    assert "was taken from" in unknown.notes[0]
    assert section.um_per_px == pytest.approx(2.5)
    place_image(section, path)
    assert section.um_per_px == pytest.approx(2.5)
    assert "states 2 µm per unit, the section 2.5" in section.notes[0]
    # In micrometres, only the ratio of the two sizes puts the cells on the image.
    cells = section.adata.copy()
    cells.obsm["spatial"] = section.coords * 4.5
    imaging = Section(cells, platform="imaging", um_per_px=1.0)
    place_image(imaging, path)
    assert imaging.image is not None
    assert imaging.image.scale == pytest.approx(0.5)
    assert "its stated 2 µm per pixel" in imaging.notes[0]
