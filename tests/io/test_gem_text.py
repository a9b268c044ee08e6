"""Damaged and hostile GEM tables: one sentence each."""

from __future__ import annotations

import gzip
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from napari_stmask.core.errors import DataError, FileFormatError, StmaskError
from napari_stmask.io import gem_text
from napari_stmask.io.read import read, recognise

from .test_gem import HEADER, records, write_gem

TOP = "geneID\tx\ty\tMIDCount\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (TOP, "has no records"),
        (TOP + "A\t1\t2\t0\n", "has no records"),
        (TOP + "A\t1\t2\t3\nB\tx7\t2\t3\n", "column x holds 'x7', expected whole numbers"),
        (TOP + "A\t1.5\t2\t3\n", "column x holds '1.5'"),
        (TOP + "A\t1\t2\t3000000000\n", "column MIDCount holds '3000000000'"),
        (TOP + "A\t1\t2\t-3\n", "count holds -3"),
        (TOP + "A\t-1\t2\t3\n", "x holds -1"),
        (TOP + "A\t1\t999999999\t3\n", "y holds 999999999"),
        (TOP + "A\t1\t\t3\n", "column y has an empty place"),
        (TOP + "A\t1\t2\t3\nB\t1\t2\n", "a line of 3 columns, expected 4"),
        (TOP + "A\t1\t2\t3\t4\n", "a line of 5 columns, expected 4"),
    ],
)
def test_damaged_text(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "a.gem"
    path.write_text(text)
    with pytest.raises(StmaskError, match=problem) as error:
        read(path)
    assert "a.gem" in str(error.value)


@pytest.mark.parametrize("column", ["geneID", "x", "y", "MIDCount"])
def test_missing_column_is_not_a_gem(tmp_path: Path, column: str) -> None:
    assert recognise(write_gem(tmp_path / "a.gem", records().drop(columns=column))) != "gem"


def test_truncated_gzip(tmp_path: Path) -> None:
    path = write_gem(tmp_path / "a.gem.gz", records(20_000))
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(FileFormatError, match="cannot be read as a Stereo-seq GEM table"):
        read(path)


def test_damaged_gzip(tmp_path: Path) -> None:
    path = write_gem(tmp_path / "a.gem.gz", records(20_000))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(StmaskError, match=r"a\.gem\.gz"):
        read(path)


def test_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gem_text, "BLOCK_BYTES", 1 << 16)
    path = tmp_path / "a.gem.gz"
    path.write_bytes(gzip.compress(TOP.encode() + b"A" * (1 << 20)))
    with pytest.raises(FileFormatError, match="has a line of more than"):
        read(path)


def test_gzip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gem_text, "_RATIO_FLOOR", 1 << 20)
    path = tmp_path / "a.gem.gz"
    path.write_bytes(gzip.compress(TOP.encode() + b"A\t1\t1\t1\n" * (1 << 19)))
    with pytest.raises(FileFormatError, match="expands to more than"):
        read(path)


def test_too_many_genes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_stmask.io.gem.MAX_GENES", 5)
    with pytest.raises(DataError, match="names more than 5 genes"):
        read(write_gem(tmp_path / "a.gem", records()))


def test_random_damage_ends_in_one_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a.gem", "b.gem.gz"):
        whole = write_gem(tmp_path / name, records(400), HEADER).read_bytes()
        for _ in range(40):
            broken = bytearray(whole)
            for place in rng.integers(0, len(whole), 4):
                broken[place] = rng.integers(0, 256)
            (tmp_path / name).write_bytes(broken)
            # Anything but an error of this package fails the test.
            with suppress(StmaskError):
                read(tmp_path / name)
