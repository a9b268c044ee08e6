"""Every mistake in a user's files: one sentence, exit code 2, nothing lost."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.helpers import banded

import napari_stmask as stm
from napari_stmask.core.histology import Histology
from napari_stmask.io.spaceranger_writer import write_spaceranger

FAST = ["--epochs", "2", "--replicates", "1", "--threads", "1", "--n-domains", "3"]


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A Space Ranger folder with 120 spots, 80 genes and an image."""
    section, _ = banded(10, 12, 80)
    picture = np.random.default_rng(0).integers(0, 255, (120, 150, 3), dtype=np.uint8)
    section.image = Histology([picture], scale=0.1, name="hires")
    return write_spaceranger(section, tmp_path_factory.mktemp("good") / "outs")


@pytest.fixture
def outs(good, tmp_path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "my slide" / "outs"))


def matrix(outs: Path) -> Path:
    return next(outs.glob("*.h5"))


def positions(outs: Path) -> Path:
    return next((outs / "spatial").glob("tissue_positions*"))


def no_matrix(outs: Path) -> None:
    matrix(outs).unlink()


def no_positions(outs: Path) -> None:
    positions(outs).unlink()


def other_barcodes(outs: Path) -> None:
    path = positions(outs)
    path.write_text(path.read_text().replace("spot", "bead"))


def corrupt_matrix(outs: Path) -> None:
    data = bytearray(matrix(outs).read_bytes())
    data[len(data) // 3 :] = b"\0" * (len(data) - len(data) // 3)
    matrix(outs).write_bytes(data)


def truncated_matrix(outs: Path) -> None:
    matrix(outs).write_bytes(matrix(outs).read_bytes()[:2000])


def truncated_picture(outs: Path) -> None:
    for path in (outs / "spatial").glob("*.png"):
        path.write_bytes(path.read_bytes()[:-2000])


def with_values(values):
    def spoil(outs: Path) -> None:
        with h5py.File(matrix(outs), "r+") as file:
            data = file["matrix/data"][:].astype(values(1).dtype)
            data[5] = values(1)
            del file["matrix/data"]
            file["matrix/data"] = data

    return spoil


def nan_positions(outs: Path) -> None:
    lines = positions(outs).read_text().splitlines()
    cells = lines[7].split(",")
    lines[7] = ",".join([*cells[:-1], "nan"])
    positions(outs).write_text("\n".join(lines))


def off_tissue(outs: Path) -> None:
    lines = positions(outs).read_text().splitlines()
    out = []
    for line in lines:
        cells = line.split(",")
        out.append(",".join([cells[0], "0", *cells[2:]]) if cells[1] in "01" else line)
    positions(outs).write_text("\n".join(out))


CASES = [
    (no_matrix, "matrix"),
    (no_positions, "positions"),
    (other_barcodes, "barcode"),
    (corrupt_matrix, ".h5"),
    (truncated_matrix, ".h5"),
    (truncated_picture, ".png"),
    (with_values(np.int32(-1).__mul__), "negative"),
    (with_values(np.float64(0.5).__mul__), "whole numbers"),
    (nan_positions, "no finite coordinates"),
    (off_tissue, "tissue"),
]


@pytest.mark.parametrize(("spoil", "words"), CASES, ids=lambda v: getattr(v, "__name__", v))
def test_spoilt_folders(call, outs: Path, tmp_path: Path, spoil, words: str) -> None:
    target = tmp_path / "o.h5ad"
    target.write_bytes(b"what was here before")
    spoil(outs)
    before = {p: p.read_bytes() for p in outs.rglob("*") if p.is_file()}
    code, _, err = call("run", "spamask", outs, *FAST, "--out", target)
    assert code == 2, err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert "my slide" in err
    assert words in err
    assert target.read_bytes() == b"what was here before"
    assert {p: p.read_bytes() for p in outs.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("rows", "genes", "words"),
    [(3, 80, "3 spots"), (120, 1, "1 of 1 genes")],
    ids=["spots", "genes"],
)
def test_too_little_data(call, tmp_path: Path, rows: int, genes: int, words: str) -> None:
    section, _ = banded(10, 12, 80)
    small = stm.Section(section.adata[:rows, :genes].copy(), platform="visium")
    path = stm.write(small, tmp_path / "small.h5ad")
    code, _, err = call("run", "spamask", path, *FAST)
    assert code == 2
    assert words in err
    assert "small.h5ad" in err


def test_more_domains_than_spots(call, tmp_path: Path) -> None:
    section, _ = banded(10, 12, 80)
    path = stm.write(stm.Section(section.adata[:40].copy()), tmp_path / "s.h5ad")
    code, _, err = call("run", "spamask", path, *FAST[:-2], "--n-domains", "41")
    assert code == 2
    assert "41 domains were asked of 40 spots" in err


def test_principal_components_are_no_counts(call, data_dir) -> None:
    path = data_dir / "pca200_benchmarkst" / "DLPFC_151507_pca200.h5ad"
    code, _, err = call("run", "spamask", path, *FAST)
    assert code == 2
    assert "expected raw counts" in err
    assert path.name in err


def test_full_disk_keeps_the_old_file(call, good, tmp_path: Path, monkeypatch) -> None:
    target = tmp_path / "o.h5ad"
    target.write_bytes(b"what was here before")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("anndata.AnnData.write_h5ad", full)
    code, _, err = call("run", "spamask", good, *FAST, "--out", target)
    assert code == 2
    assert "No space left on device" in err.splitlines()[-1]
    assert target.read_bytes() == b"what was here before"
    assert [p.name for p in tmp_path.iterdir()] == ["o.h5ad"]


def test_unwritable_output_is_said_before_the_run(call, good, tmp_path: Path) -> None:
    for target, words in (
        (tmp_path / "no folder" / "o.h5ad", "does not exist"),
        (tmp_path, "suffix"),
        (tmp_path / "o.xlsx", "xlsx"),
        (Path("/proc/o.h5ad"), "Nothing can be written to /proc"),
    ):
        code, _, err = call("run", "spamask", good, "--epochs", "5000", "--out", target)
        assert code == 2
        assert words in err
        assert err.count("\n") == 1


def test_good_folder_is_good(good) -> None:
    """The cases above fail for the reason they name and no other."""
    done = subprocess.run(
        [sys.executable, "-m", "napari_stmask.cli", "run", "spamask", str(good), *FAST, "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["domains"]
