"""Damaged copies of every native file: a section or one clear sentence, never anything else.

``STMASK_FUZZ`` is the number of damaged copies of each file (default 16).
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.attempt import READ, REFUSED, TRIED, Outcome, attempt

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs fork and /proc"),
]
EXAMPLES = int(os.environ.get("STMASK_FUZZ", "16"))
STEREO = "stereoseq_brain_crop/native"
HD = "spaceranger_fixtures/seurat/visium_hd/binned_outputs/square_008um"
TRIMMED = "mouse_brain_anterior_100genes/native_spaceranger_trimmed"
PLACENTA = "visium_sr3_cytassist_placenta/native"


class Case(NamedTuple):
    """A file to damage, the folder that is copied with it, and what is then read."""

    file: str
    folder: str | None = None
    options: tuple[tuple[str, Any], ...] = ()
    mask: str | None = None


CASES = [
    Case(f"{STEREO}/SS200000135TL_D1_bin1_small.gem.gz"),
    Case(f"{STEREO}/gem_v0.1_offset.gem.gz", options=(("bin", 1),)),
    Case(f"{STEREO}/gem_v0.2_offset.gem.gz", options=(("bin", 20),)),
    Case(f"{STEREO}/cellbin_v0.1.gem.gz"),
    Case(f"{STEREO}/bin_v0.1.gef", options=(("bin", 1),)),
    Case(f"{STEREO}/bin_v0.2.gef"),
    Case(f"{STEREO}/cellbin_from_cgem.gef"),
    Case(f"{STEREO}/cell_mask.tif", mask=f"{STEREO}/bin_v0.1.gef"),
    Case("her2st_labelled/native/A1.tsv.gz", "her2st_labelled/native"),
    Case("her2st_labelled/native/A1_selection.tsv", "her2st_labelled/native"),
    Case("her2st_labelled/native/A1_labeled_coordinates.tsv", "her2st_labelled/native"),
    Case("her2st_labelled/native/A1_HE_image_dark.png", "her2st_labelled/native"),
    Case("mob_st_images/native/MOB1.tsv", "mob_st_images/native"),
    Case("mob_st_images/native/alignment_table_MOB1.tsv", "mob_st_images/native"),
    Case("mob_st_images/native/MOB1.jpg", "mob_st_images/native"),
    Case(f"{TRIMMED}/filtered_feature_bc_matrix.h5", TRIMMED),
    Case(f"{TRIMMED}/spatial/tissue_positions_list.csv", TRIMMED),
    Case(f"{TRIMMED}/spatial/scalefactors_json.json", TRIMMED),
    Case(f"{TRIMMED}/spatial/tissue_hires_image.png", TRIMMED),
    Case(f"{HD}/spatial/tissue_positions.parquet", HD),
    Case(f"{HD}/filtered_feature_bc_matrix.h5", HD),
    Case(f"{PLACENTA}/filtered_feature_bc_matrix/matrix.mtx.gz", PLACENTA),
    Case(f"{PLACENTA}/filtered_feature_bc_matrix/features.tsv.gz", PLACENTA),
    Case(f"{PLACENTA}/filtered_feature_bc_matrix/barcodes.tsv.gz", PLACENTA),
    Case(f"{PLACENTA}/filtered_feature_bc_matrix.h5", PLACENTA),
    Case("starmap_mpfc_3slices/20180417_BZ5_control.h5ad"),
    Case("osmfish_ssp/osmFISH.h5ad"),
    Case("mouse_brain_anterior_100genes/MA_100genes.h5ad"),
]
FIELDS = ["", "abc", "-1", "1e400", "nan", "1.5", "99999999999999999999", "0x10", '"', "=1+1"]
Damage = Callable[[Path], None]
share = st.floats(0, 1, exclude_max=True)


@st.composite
def bytes_damage(draw: st.DrawFn) -> Damage:
    """Cut off, turn bits, blank, overwrite, repeat or replace the file."""
    kind = draw(st.sampled_from(["cut", "flip", "zero", "noise", "repeat", "garbage", "gz"]))
    places = draw(st.lists(share, min_size=1, max_size=40))
    length = draw(st.sampled_from([1, 8, 64, 4096]))
    noise = draw(st.binary(min_size=1, max_size=64))

    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        at = int(places[0] * len(data))
        if kind == "cut":
            data = data[:at]
        elif kind == "flip":
            for place in places:
                data[int(place * len(data))] ^= 1 << len(places) % 8
        elif kind == "zero":
            data[at : at + length] = bytes(len(data[at : at + length]))
        elif kind == "noise":
            data[at : at + len(noise)] = noise
        elif kind == "repeat":
            data[at:at] = data[at : at + 50 * length]
        elif kind == "garbage":
            data = bytearray(noise * 100)
        else:
            data = bytearray(gzip.compress(noise * length, 1))
        path.write_bytes(data)

    return damage


@st.composite
def text_damage(draw: st.DrawFn) -> Damage:
    """What people and programs do to tables: columns swapped, lines doubled, odd fields."""
    kind = draw(
        st.sampled_from(["swap", "drop", "double", "field", "head", "long", "empty", "binary"])
    )
    line, left, right = draw(share), draw(share), draw(share)
    field = draw(st.sampled_from(FIELDS))

    def damage(path: Path) -> None:
        raw = path.read_bytes()
        packed = raw[:2] == b"\x1f\x8b"
        text = (gzip.decompress(raw) if packed else raw).decode("utf-8", "replace")
        lines = text.split("\n")
        mark = "\t" if "\t" in text else ","
        row = int(line * len(lines))
        if kind in ("swap", "drop"):
            lines = [_columns(one, mark, left, right, kind == "drop") for one in lines]
        elif kind == "double":
            lines[row:row] = [lines[row]] * (1 + int(left * 20))
        elif kind == "field":
            cells = lines[row].split(mark)
            cells[int(left * len(cells))] = field
            lines[row] = mark.join(cells)
        elif kind == "head":
            del lines[: 1 + int(left * 3)]
        elif kind == "long":
            lines[row] += "x" * 3_000_000
        elif kind == "empty":
            lines = lines[: int(left * 2)]
        else:
            lines[row] = "\x00\ufffd" * 9
        made = "\n".join(lines).encode()
        path.write_bytes(gzip.compress(made, 1) if packed else made)

    return damage


def _columns(line: str, mark: str, left: float, right: float, drop: bool) -> str:
    cells = line.split(mark)
    a, b = int(left * len(cells)), int(right * len(cells))
    if drop:
        del cells[a]
    else:
        cells[a], cells[b] = cells[b], cells[a]
    return mark.join(cells)


@st.composite
def hdf5_damage(draw: st.DrawFn) -> Damage:
    """One dataset of another length, type, shape or content."""
    which = draw(share)
    kind = draw(
        st.sampled_from(
            ["half", "twice", "float", "text", "flat", "gone", "less", "same", "group", "huge"]
        )
    )

    def damage(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            names: list[str] = []
            file.visititems(
                lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
            )
            name = names[int(which * len(names))]
            values, attributes = file[name][()], dict(file[name].attrs)
            del file[name]
            made = _other(np.asarray(values), kind)
            if kind == "group":
                file.create_group(name)
            elif kind == "huge":
                file.create_dataset(name, shape=(10**12,), dtype="i4", chunks=(10**6,))
            elif made is not None:
                file.create_dataset(name, data=made).attrs.update(attributes)

    return damage


def _other(values: np.ndarray, kind: str) -> np.ndarray | None:
    """``values`` made wrong; None where the dataset goes."""
    if kind == "half":
        return values[: len(values) // 2] if values.ndim else values
    if kind == "twice":
        return np.concatenate([values, values]) if values.ndim else values
    if kind == "flat":
        return np.atleast_1d(values)[None]
    if kind == "same":
        return np.repeat(values[:1], len(values), axis=0) if values.ndim and len(values) else values
    if kind == "text":
        return np.array([b"x"] * max(1, values.size))
    if kind in ("float", "less") and values.dtype.kind in "iuf":
        return np.where(np.arange(values.size).reshape(values.shape) % 2, -1.5, np.nan)
    return None


@pytest.fixture(params=CASES, ids=lambda case: Path(case.file).name)
def victim(request: pytest.FixtureRequest, data_dir: Path, tmp_path: Path) -> Iterator[Any]:
    """A copy of one case: the file to damage, what to read, its bytes, its options."""
    case: Case = request.param
    source = data_dir / case.file
    if case.folder is None:
        target = Path(shutil.copy(source, tmp_path))
        read_path = target
    else:
        root = Path(shutil.copytree(data_dir / case.folder, tmp_path / "run"))
        target = root / Path(case.file).relative_to(case.folder)
        read_path = root
    for path in tmp_path.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    options = dict(case.options)
    if case.mask is not None:
        read_path = data_dir / case.mask
        options = {"bin": "cell", "mask": target}
    if "filtered_feature_bc_matrix/" in case.file:
        # The folder of the same name as the .h5 file beside it.
        target.parent.with_suffix(".h5").unlink()
    yield target, read_path, options, Path(case.file).name
    shutil.rmtree(tmp_path, ignore_errors=True)


def check(victim: Any, damage: Damage, kind: str) -> Outcome:
    target, path, options, name = victim
    original = target.read_bytes()
    try:
        try:
            damage(target)
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return Outcome(READ, "", 0.0, 0)  # this file cannot be damaged in this way
        found = attempt(path, **options)
    finally:
        target.write_bytes(original)
    TRIED[name] += 1
    assert found.fine, f"{name}, {kind}: {found.kind} after {found.seconds:.1f} s, {found.text}"
    if found.kind == REFUSED:
        sentence = found.text
        assert "\n" not in sentence.strip(), sentence
        assert str(path.parent) in sentence or name in sentence or path.name in sentence, sentence
    return found


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_damaged_files(victim: Any, data: st.DataObject) -> None:
    name = victim[0].name
    kinds: list[st.SearchStrategy[Damage]] = [bytes_damage()]
    if name.endswith((".gem.gz", ".tsv.gz", ".tsv", ".csv", ".mtx.gz")):
        kinds += [text_damage(), text_damage()]
    if name.endswith((".h5", ".gef", ".h5ad")):
        kinds += [hdf5_damage(), hdf5_damage()]
    check(victim, data.draw(st.one_of(kinds)), "damage")


@pytest.mark.parametrize("victim", [CASES[0], CASES[8], CASES[22]], indirect=True)
def test_gzip_bombs(victim: Any) -> None:
    def bomb(path: Path) -> None:
        head = gzip.decompress(path.read_bytes())[:2000]
        with gzip.open(path, "wb", compresslevel=9) as stream:
            stream.write(head.rsplit(b"\n", 1)[0])
            for _ in range(300):
                stream.write(bytes(10_000_000))

    assert check(victim, bomb, "bomb").kind == REFUSED


def test_stores_that_point_elsewhere_or_claim_too_much(data_dir: Path, tmp_path: Path) -> None:
    from napari_stmask.core.section import Section
    from napari_stmask.io.read import read
    from napari_stmask.io.write import write

    section = read(data_dir / "starmap_mpfc_3slices/20180417_BZ5_control.h5ad")
    assert isinstance(section, Section)
    for name in ("a.anndata.zarr", "b.zarr"):
        whole = write(section, tmp_path / name)
        metas = sorted(p for p in whole.rglob("*") if p.name in (".zarray", "zarr.json", ".zattrs"))
        for i, meta in enumerate(metas):
            for change in ({"shape": [10**12]}, {"chunks": [10**11]}, {"dtype": "|O"}, None):
                text = meta.read_text()
                content = json.loads(text)
                meta.write_text("{" if change is None else json.dumps(content | change))
                found = attempt(whole)
                meta.write_text(text)
                TRIED[name] += 1
                assert found.fine, f"{meta}, {change}: {found}"
                if i % 5:
                    break
