"""Damage on which the HDF5 library hangs or crashes is found before it is asked."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_stmask.core.errors import FileFormatError
from napari_stmask.core.section import Section
from napari_stmask.io import probe
from napari_stmask.io.heap import heap_problem
from napari_stmask.io.probe import probe_problem
from napari_stmask.io.read import read
from napari_stmask.io.write import write

START = b"GCOL\x01\x00\x00\x00"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A file with several collections of texts of any length."""
    path = tmp_path / "texts.h5"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for i in range(6):
            words = ["x" * int(n) for n in rng.integers(1, 300, 40)]
            file.create_dataset(f"words{i}", data=words, dtype=h5py.string_dtype())
            file.flush()
        file.attrs["note"] = "text"
        file["numbers"] = rng.integers(0, 9, 5000)
    return path


def starts(data: bytes) -> list[int]:
    found, at = [], data.find(START)
    while at >= 0:
        found.append(at)
        at = data.find(START, at + 1)
    return found


def test_intact_files_pass(texts: Path, section: Section, tmp_path: Path) -> None:
    assert len(starts(texts.read_bytes())) > 1
    assert heap_problem(texts) is None
    assert heap_problem(write(section, tmp_path / "a.h5ad")) is None
    (tmp_path / "empty").write_bytes(b"")
    assert heap_problem(tmp_path / "empty") is None


@pytest.mark.parametrize("length", [0, 2**63, 2**64 - 1, 10**6])
def test_a_step_that_leads_nowhere(texts: Path, length: int) -> None:
    data = bytearray(texts.read_bytes())
    at = starts(bytes(data))[1]
    # The first object of the second collection: number 0 ends the walk only if it is the rest.
    struct.pack_into("<HHIQ", data, at + 16, 0, 0, 0, length)
    texts.write_bytes(data)
    problem = heap_problem(texts)
    assert problem == f"the list of texts at byte {at} is damaged"


@pytest.mark.parametrize("size", [0, 8, 2**62])
def test_a_collection_of_impossible_size(texts: Path, size: int) -> None:
    data = bytearray(texts.read_bytes())
    struct.pack_into("<Q", data, starts(bytes(data))[0] + 8, size)
    texts.write_bytes(data)
    assert heap_problem(texts) is not None


def test_the_reader_says_so(section: Section, tmp_path: Path) -> None:
    path = write(section, tmp_path / "a.h5ad")
    data = bytearray(path.read_bytes())
    at = starts(bytes(data))[0]
    data[at + 16 : at + 64] = bytes(48)
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=r"a\.h5ad: the list of texts at byte"):
        read(path)


def test_a_crash_stays_in_the_probe(
    section: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(section, tmp_path / "a.h5ad")
    assert probe_problem(path) is None
    monkeypatch.setattr(probe, "_WALK", "import os; os.abort()")
    with pytest.raises(FileFormatError, match="reading its texts crashes the HDF5 library"):
        read(path)
    monkeypatch.setattr(probe, "_WALK", "import time; time.sleep(60)")
    monkeypatch.setattr(probe, "_SECONDS", 0.5)
    with pytest.raises(FileFormatError, match="cannot be read within"):
        read(path)
    # Ordinary errors are the reader's.
    monkeypatch.setattr(probe, "_WALK", "raise ValueError")
    assert isinstance(read(path), Section)


def test_without_a_python_to_run(
    section: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(section, tmp_path / "a.h5ad")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    assert isinstance(read(path), Section)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert probe_problem(path) is None
