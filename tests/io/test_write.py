"""What is written comes back, and a failed write leaves no trace."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from napari_stmask.core.errors import CancelledError, OutputError
from napari_stmask.core.histology import Histology
from napari_stmask.core.section import Section
from napari_stmask.io.atomic import atomic_path
from napari_stmask.io.metadata import SECTION_KEY
from napari_stmask.io.read import read
from napari_stmask.io.write import write
from napari_stmask.io.write_table import safe_text


def test_h5ad_round_trip(section: Section, tmp_path: Path) -> None:
    section.adata.layers["counts"] = section.adata.X.copy()
    section.adata.raw = section.adata.copy()
    section.counts_layer = "counts"
    section.adata.obs["spamask"] = pd.Categorical(["1", "2"] * 28)
    section.adata.obsm["X_spamask"] = np.arange(112, dtype=np.float32).reshape(56, 2)
    section.adata.uns["stmask"] = {"spamask": '{"seed": 0}'}
    before = set(section.adata.uns)
    found = read(write(section, tmp_path / "a b ü.h5ad"))
    assert isinstance(found, Section)
    assert set(section.adata.uns) == before
    for name in ("name", "platform", "um_per_px", "counts_layer", "spot_diameter"):
        assert getattr(found, name) == getattr(section, name), name
    assert (found.counts() != section.counts()).nnz == 0
    assert SECTION_KEY not in found.adata.uns
    assert found.adata.raw is not None
    assert found.adata.uns["stmask"] == section.adata.uns["stmask"]
    pd.testing.assert_frame_equal(found.adata.obs, section.adata.obs)
    np.testing.assert_array_equal(found.adata.obsm["X_spamask"], section.adata.obsm["X_spamask"])
    assert found.image is not None
    assert section.image is not None
    assert (found.image.levels[0] == section.image.levels[0]).all()
    assert found.image.scale == 1.0
    again = read(write(found, tmp_path / "again.h5ad"))
    assert (again.name, again.um_per_px) == (found.name, found.um_per_px)


def test_scanpy_can_read_it(section: Section, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(write(section, tmp_path / "a.h5ad"))
    entry = adata.uns["spatial"]["tiny"]
    assert entry["images"]["hires"].shape == (400, 500, 3)
    assert float(entry["scalefactors"]["spot_diameter_fullres"]) == 22.0


def test_an_image_of_ones_own_is_what_comes_back(section: Section, tmp_path: Path) -> None:
    found = read(write(section, tmp_path / "a.h5ad"))
    assert isinstance(found, Section)
    assert found.image is not None
    platform = found.image.levels[0]
    # The platform's image stays as it is, whatever else is written.
    again = read(write(found, tmp_path / "b.h5ad"))
    assert isinstance(again, Section)
    assert again.image is not None
    np.testing.assert_array_equal(again.image.levels[0], platform)
    # Moved by hand.
    moved = np.array([[1.0, 0, 60], [0, 1, 40], [0, 0, 1]])
    again.image = again.image.placed(transform=moved)
    third = read(write(again, tmp_path / "c.h5ad"))
    assert isinstance(third, Section)
    assert third.image is not None
    np.testing.assert_array_equal(third.image.levels[0], platform[40:, 60:])
    # Another one, from a file.
    red = np.full((200, 250, 3), (255, 0, 0), np.uint8)
    found.image = Histology([red], 0.5, source=str(tmp_path / "red.png"))
    fourth = read(write(found, tmp_path / "d.h5ad"))
    assert isinstance(fourth, Section)
    assert fourth.image is not None
    np.testing.assert_array_equal(fourth.image.levels[0], red)
    assert fourth.image.scale == 0.5
    np.testing.assert_array_equal(found.adata.uns["spatial"]["tiny"]["images"]["hires"], platform)


def test_a_view_and_no_image(section: Section, tmp_path: Path) -> None:
    part = Section(section.adata[:20, :5], name="a/b", platform="imaging")
    found = read(write(part, tmp_path / "a.h5ad"))
    assert isinstance(found, Section)
    assert (found.name, found.platform, found.n_spots) == ("a/b", "imaging", 20)
    assert found.um_per_px is None
    assert found.image is None


def test_name_with_a_slash_and_an_image(section: Section, tmp_path: Path) -> None:
    section.name = "a/b"
    found = read(write(section, tmp_path / "a.h5ad"))
    assert isinstance(found, Section)
    assert found.name == "a/b"
    assert found.image is not None


def test_csv(section: Section, tmp_path: Path) -> None:
    obs = section.adata.obs
    obs["domain"] = pd.Categorical(["=1+1", "-x", "plain", None] * 14)
    obs["score"] = np.linspace(-1, 1, 56)
    obs["x"] = 7
    path = write(section, tmp_path / "a.csv")
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [
        "barcode", "x", "y", "in_tissue", "array_row", "array_col", "domain", "score", "obs.x",
    ]  # fmt: skip
    assert [row["domain"] for row in rows[:4]] == ["'=1+1", "'-x", "plain", ""]
    assert [float(row["score"]) for row in rows] == list(obs["score"])
    assert [float(row["y"]) for row in rows] == list(section.coords[:, 1])


@pytest.mark.parametrize("text", ["=A1", "+1", "-1", "@x", "\t=1"])
def test_formulas_are_disarmed(text: str) -> None:
    assert safe_text(text) == f"'{text}"


@pytest.mark.parametrize("suffix", [".xlsx", "", ".pkl"])
def test_unknown_suffix(section: Section, tmp_path: Path, suffix: str) -> None:
    with pytest.raises(OutputError, match=r"use one of: \.h5ad, .*\.csv"):
        write(section, tmp_path / f"a{suffix}")


def test_folder_missing_or_in_the_way(section: Section, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist; create it first"):
        write(section, tmp_path / "none" / "a.csv")
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        write(section, tmp_path / "a.csv")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_unwritable_folder(section: Section, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            write(section, tmp_path / "a.csv")
    finally:
        tmp_path.chmod(0o700)


def full_disk(*_args: object, **_kwargs: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "target",
    ["os.replace", "os.fsync", "anndata.AnnData.write_h5ad", "h5py.Group.create_dataset"],
)
def test_full_disk_leaves_the_old_file(
    section: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    path = tmp_path / "a.h5ad"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(target, full_disk)
        with pytest.raises(OutputError, match=r"a\.h5ad: No space left on device; free some"):
            write(section, path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5ad"]
    write(section, path)
    assert isinstance(read(path), Section)
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5ad"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, CancelledError])
def test_interruption_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def interrupted() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_column_that_cannot_be_stored(section: Section, tmp_path: Path) -> None:
    section.adata.obs["mixed"] = [object()] * 56
    with pytest.raises(OutputError, match="cannot be stored"):
        write(section, tmp_path / "a.h5ad")
    assert not list(tmp_path.iterdir())


def test_permissions_and_links_are_kept(section: Section, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write(section, path)
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    link = tmp_path / "link.csv"
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("links need a privilege here")
    write(section, link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640


def test_long_name(section: Section, tmp_path: Path) -> None:
    assert write(section, tmp_path / ("n" * 245 + ".csv")).is_file()
    section.source = str(tmp_path / "source.h5ad")
    with pytest.raises(OutputError, match="is not a usable path"):
        write(section, tmp_path / ("n" * 300 + ".csv"))
