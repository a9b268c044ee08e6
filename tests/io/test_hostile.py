"""Damaged and hostile files: one sentence each, never a crash."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_stmask.core.errors import FileFormatError, StmaskError
from napari_stmask.core.section import Section
from napari_stmask.io.images import open_histology
from napari_stmask.io.read import read
from napari_stmask.io.write import write

MATRIX = "filtered_feature_bc_matrix.h5"


def replace(name: str, values: np.ndarray) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = values

    return change


def out_of_range(file: h5py.File) -> None:
    file["matrix/indices"][3] = 10_000


def decreasing(file: h5py.File) -> None:
    file["matrix/indptr"][5] = 0


def huge(file: h5py.File) -> None:
    del file["matrix/data"]
    file.create_dataset("matrix/data", (10**12,), dtype="i4", chunks=(1 << 20,))


def external_link(file: h5py.File) -> None:
    del file["matrix/data"]
    file["matrix/data"] = h5py.ExternalLink("/etc/hostname", "data")


def external_storage(file: h5py.File) -> None:
    del file["matrix/data"]
    file.create_dataset("matrix/data", (4,), dtype="i4", external=[("other.bin", 0, 16)])


def two_genomes(file: h5py.File) -> None:
    file.copy("matrix", "a")
    file.move("matrix", "b")


def huge_attribute(file: h5py.File) -> None:
    space = h5py.h5s.create_simple((2 * 10**6,))
    h5py.h5a.create(file.create_group("matrix/extra").id, b"note", h5py.h5t.STD_I8LE, space)


def group_for_list(file: h5py.File) -> None:
    del file["matrix/data"]
    file.create_group("matrix/data")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (out_of_range, "points outside the 12 features"),
        (decreasing, "'indptr' does not fit"),
        (huge, "claims 4000.0 GB but occupies 0 MB"),
        (huge_attribute, "'matrix/extra' has an attribute of impossible size"),
        (external_link, "link to another file"),
        (external_storage, "lie in another file"),
        (group_for_list, "no list '/matrix/data'"),
        (replace("matrix/shape", np.array([12, 99])), "'/matrix/barcodes' has 56 entries"),
        (replace("matrix/shape", np.array([99, 56])), "'/matrix/features/id' has 12 entries"),
        (replace("matrix/shape", np.array([12.0, 56.0])), "expected numbers"),
        (replace("matrix/shape", np.array([-12, 56])), "expected -12"),
        (replace("matrix/indptr", np.arange(5)), "'/matrix/indptr' has 5 entries, expected 57"),
        (replace("matrix/data", np.ones(3)), "'/matrix/data' has 3 entries"),
        (replace("matrix/data", np.array([b"a"])), "entries, expected|expected numbers"),
        (two_genomes, "expected one group 'matrix', found a, b"),
        (lambda f: f.pop("matrix"), "expected one group 'matrix', found none"),
    ],
)
def test_inconsistent_matrix(outs: Path, change: Callable[..., None], text: str) -> None:
    with h5py.File(outs / MATRIX, "r+", libver="latest") as file:
        change(file)
    with pytest.raises(FileFormatError, match=text) as caught:
        read(outs)
    assert MATRIX in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("matrix.mtx", "nonsense", "cannot be read as a Matrix Market file"),
        ("matrix.mtx", "%%MatrixMarket matrix coordinate integer general\n2 2 9\n", "is 2 x 2"),
        (
            "matrix.mtx",
            "%%MatrixMarket matrix coordinate integer general\n12 56 999999999\n1 1 1\n",
            "which cannot be true",
        ),
        (
            "matrix.mtx",
            "%%MatrixMarket matrix coordinate integer general\n12 56 1\n99 1 1\n",
            "cannot be read",
        ),
        ("features.tsv", "onlyone\n", r"features.tsv, line 1: expected 2 columns"),
        ("barcodes.tsv", "\xff\xfe", "cannot be read as a tab-separated table"),
    ],
)
def test_damaged_triplets(outs: Path, name: str, content: str, text: str) -> None:
    folder = outs / "filtered_feature_bc_matrix"
    folder.mkdir()
    (outs / MATRIX).unlink()
    header = "%%MatrixMarket matrix coordinate integer general\n12 56 1\n1 1 1\n"
    (folder / "matrix.mtx").write_text(header)
    (folder / "features.tsv").write_text("".join(f"I{i}\tG{i}\n" for i in range(12)))
    (folder / "barcodes.tsv").write_text("".join(f"B{i}-1\n" for i in range(56)))
    (folder / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(FileFormatError, match=text):
        read(outs)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
@pytest.mark.parametrize(
    "name", [MATRIX, "spatial/tissue_hires_image.png", "spatial/scalefactors_json.json"]
)
def test_truncated_member(outs: Path, name: str, share: float) -> None:
    path = outs / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(FileFormatError) as caught:
        read(outs)
    assert path.name in str(caught.value) or "no filtered" in str(caught.value)


def test_garbage_image(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with pytest.raises(FileFormatError, match=r"picture\.png cannot be read as a PNG image"):
        open_histology(path)
    path.write_bytes(b"<svg></svg>")
    with pytest.raises(FileFormatError, match="is not a PNG, JPEG, TIFF or OME-Zarr image"):
        open_histology(path)


def damaged(rng: np.random.Generator, raw: bytes) -> bytes:
    """``raw`` cut off, or with up to eight bytes changed."""
    if rng.random() < 0.4:
        return raw[: rng.integers(0, len(raw))]
    changed = bytearray(raw)
    for place in rng.integers(0, len(raw), rng.integers(1, 9)):
        changed[place] ^= 1 << rng.integers(0, 8)
    return bytes(changed)


def attempt(path: Path) -> StmaskError | None:
    """Read ``path``; the error that a user would see, if any. Others end the test."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert isinstance(read(path), Section)
    except StmaskError as error:
        return error
    return None


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("name", "cases"),
    [
        (MATRIX, 60),
        ("spatial/tissue_positions.csv", 40),
        ("spatial/scalefactors_json.json", 30),
        ("spatial/tissue_lowres_image.png", 20),
    ],
)
def test_fuzzed_run(outs: Path, name: str, cases: int) -> None:
    rng = np.random.default_rng(0)
    raw = (outs / name).read_bytes()
    failed = 0
    for _ in range(cases):
        (outs / name).write_bytes(damaged(rng, raw))
        error = attempt(outs)
        failed += error is not None
        assert "\n" not in str(error)
    assert failed


@pytest.mark.timeout(120)
def test_fuzzed_h5ad(section: Section, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = write(section, tmp_path / "a.h5ad")
    raw = path.read_bytes()
    for _ in range(40):
        path.write_bytes(damaged(rng, raw))
        error = attempt(path)
        assert error is None or "a.h5ad" in str(error)


def test_h5ad_with_link_to_another_file(section: Section, tmp_path: Path) -> None:
    path = write(section, tmp_path / "a.h5ad")
    shutil.copy(path, tmp_path / "b.h5ad")
    with h5py.File(path, "r+") as file:
        del file["X"]
        file["X"] = h5py.ExternalLink("b.h5ad", "X")
    with pytest.raises(FileFormatError, match="'X' is a link to another file"):
        read(path)
