"""Crowded folders and odd paths are told apart without being walked through."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_stmask.core.errors import MissingFileError
from napari_stmask.io import folders, text
from napari_stmask.io.folders import first_entries
from napari_stmask.io.read import read, recognise


def test_entries_are_sorted_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b", "c", "a"):
        (tmp_path / name).touch()
    assert first_entries(tmp_path, lambda _: True) == [tmp_path / name for name in "abc"]
    assert first_entries(tmp_path, "ca".__contains__) == [tmp_path / name for name in "ac"]
    assert first_entries(tmp_path / "a", lambda _: True) == []
    monkeypatch.setattr(folders, "MAX_ENTRIES", 2)
    assert len(first_entries(tmp_path, lambda _: True)) == 2


def test_no_reader_lists_a_crowded_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that listed all of it would hang on a network."""
    for i in range(50):
        (tmp_path / f"{i}.tif").touch()
    monkeypatch.setattr(folders, "MAX_ENTRIES", 10)

    def refused(path: Path, *_: object) -> None:
        raise AssertionError(f"{path} was listed")

    for name in ("iterdir", "glob", "rglob"):
        monkeypatch.setattr(Path, name, refused)
    assert recognise(tmp_path) is None


def test_somebody_without_a_home() -> None:
    path = "~nobody-of-this-name/section.h5ad"
    assert recognise(path) is None
    with pytest.raises(MissingFileError, match="does not exist"):
        read(path)


@pytest.mark.parametrize("content", [b"x" * 3_000_000, b"\0" * 3_000_000])
def test_text_that_is_no_table_is_not_read_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """A log or a disk image by the name of a table: its first line may be the whole file."""
    path = tmp_path / "big.csv"
    path.write_bytes(content)
    seen = []
    whole = text._Limited.readinto

    def counted(self: text._Limited, buffer: bytearray) -> int:
        seen.append(whole(self, buffer))
        return seen[-1]

    monkeypatch.setattr(text._Limited, "readinto", counted)
    assert recognise(path) is None
    assert 0 < sum(seen) < 1_000_000
