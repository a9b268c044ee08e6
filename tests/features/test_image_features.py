"""From a section to numbers for each spot, and their cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from tests.helpers import banded

from napari_stmask.core.errors import DataError, ParameterError
from napari_stmask.core.histology import Histology
from napari_stmask.core.progress import Progress, drain
from napari_stmask.core.section import Section
from napari_stmask.features import feature_cache
from napari_stmask.features import image_features as module
from napari_stmask.features.encoders import Descriptor
from napari_stmask.features.image_features import image_features, zscored


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STMASK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "embeddings"


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many patches were encoded, a number for each call."""
    calls: list[int] = []
    real = Descriptor.encode

    def count(self: Descriptor, patches: np.ndarray) -> np.ndarray:
        calls.append(len(patches))
        return real(self, patches)

    monkeypatch.setattr(Descriptor, "encode", count)
    return calls


def section(rows: int = 10, columns: int = 12, seed: int = 0) -> Section:
    """Spots 100 apart on an image at a quarter of their scale whose left half is darker."""
    made = banded(rows=rows, columns=columns, genes=12)[0]
    width, height = (made.coords.max(axis=0) + 150) // 4
    rng = np.random.default_rng(seed)
    pixels = rng.integers(150, 250, (int(height), int(width), 3))
    pixels[:, : int(width) // 2] -= 100
    made.image = Histology([pixels.astype(np.uint8)], scale=0.25, name="hires")
    made.adata.obsm["spatial"] += 60
    return Section(made.adata, image=made.image, platform="visium")


def test_features_are_standardised_in_the_order_of_the_spots() -> None:
    ours = section()
    found = drain(image_features(ours))
    assert found.shape == (120, Descriptor.dim)
    assert found.dtype == np.float32
    varied = found.std(axis=0) > 0
    assert varied.sum() > 100
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(axis=0)[varied], 1, atol=1e-3)
    left = ours.image.to_pixels(ours.coords)[:, 0] < ours.image.shape[1] / 2 - 10
    red = found[:, 16]
    assert (red[left] < 0).all()
    assert (np.sort(red)[::-1][: (~left).sum() // 2] > 0).all()
    order = np.random.default_rng(1).permutation(120)
    mixed = Section(ours.adata[order].copy(), image=ours.image, platform="visium")
    np.testing.assert_allclose(drain(image_features(mixed)), found[order], atol=1e-4)


def test_spots_outside_get_the_mean() -> None:
    ours = section()
    plain = drain(image_features(ours, standardise=False))
    ours.adata.obsm["spatial"][7] = [-5000, 9000]
    found = drain(image_features(ours))
    assert not found[7].any()
    inside = np.delete(np.arange(120), 7)
    np.testing.assert_allclose(found[inside].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(found[inside], zscored(plain[inside]), atol=1e-4)
    raw = drain(image_features(ours, standardise=False))
    np.testing.assert_allclose(raw[7], plain[inside].mean(axis=0), rtol=1e-4, atol=1e-5)


def test_constant_columns_become_zero() -> None:
    table = np.full((50, 3), 1e6, dtype=np.float32)
    table[:, 1] = np.arange(50)
    table[:, 2] = np.float32(0.1)
    found = zscored(table)
    assert not found[:, [0, 2]].any()
    assert found[:, 1].std() == pytest.approx(1, rel=1e-5)


def test_what_stops_it() -> None:
    ours = section()
    bare = Section(ours.adata, name="slice 7", platform="visium")
    with pytest.raises(DataError, match=r"slice 7.*no histology image.*obsm:KEY"):
        drain(image_features(bare))
    with pytest.raises(ParameterError, match="consent"):
        drain(image_features(ours, "hub:uni"))
    ours.image = ours.image.placed(scale=0.1)
    drain(image_features(ours))
    ours.image = ours.image.placed(scale=2.5)
    with pytest.raises(DataError, match=r"of 120 spots lie outside the histology image hires"):
        drain(image_features(ours))


def test_finished_features_need_no_image() -> None:
    ours = section()
    table = np.random.default_rng(0).normal(3, 2, (120, 5))
    ours.adata.obsm["own"] = table
    ours.image = None
    np.testing.assert_allclose(
        drain(image_features(ours, "obsm:own")), (table - table.mean(0)) / table.std(0), atol=1e-5
    )
    raw = drain(image_features(ours, "obsm:own", standardise=False))
    np.testing.assert_allclose(raw, table, rtol=1e-6)


def test_progress_and_cancel(cache: Path, encoded: list[int]) -> None:
    ours = section()
    events = [e for e in image_features(ours) if isinstance(e, Progress)]
    assert [e.step for e in events] == sorted(e.step for e in events)
    assert events[0].step == 0
    assert events[-1].step == events[-1].total == 120
    assert sum(encoded) == 120
    encoded.clear()
    steps = image_features(ours, patch_size=2.0)
    while not encoded:
        next(steps)
    steps.close()
    assert 0 < sum(encoded) < 120
    assert len(list(cache.iterdir())) == 1


def test_the_cache_answers_the_same_question_only(cache: Path, encoded: list[int]) -> None:
    ours = section()
    first = drain(image_features(ours))
    count = len(encoded)
    np.testing.assert_array_equal(drain(image_features(ours)), first)
    drain(image_features(ours, standardise=False))
    assert len(encoded) == count

    def asks(**options: Any) -> bool:
        before = len(encoded)
        drain(image_features(ours, **options))
        return len(encoded) > before

    assert asks(patch_size=1.5)
    assert asks(unit="um", patch_size=50.0)
    assert asks(stain="reinhard")
    assert asks(cache=False)
    assert not asks()
    ours.adata.obsm["spatial"][3, 0] += 1
    assert asks()
    pixels = ours.image.levels[0].copy()
    pixels[5, 5, 0] ^= 1
    ours.image = Histology([pixels], scale=0.25)
    assert asks()
    ours.image = Histology([pixels], scale=0.2501)
    assert asks()
    assert not asks()


def test_the_token_of_a_lazy_image(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (900, 700, 3), dtype=np.uint8)
    path = tmp_path / "slide.tif"
    path.write_bytes(b"first")

    def token(array: np.ndarray = pixels, source: Path | None = path) -> str:
        levels = [da.from_array(a, chunks=(256, 256, 3)) for a in (array, array[::4, ::4])]
        return feature_cache.image_token(Histology(levels, source=str(source) if source else None))

    first, free = token(), token(source=None)
    assert token() == first
    assert token(source=None) == free != first
    path.write_bytes(b"second")
    assert token() != first
    changed = pixels.copy()
    changed[0, 0, 0] ^= 1
    assert token(changed, None) != free
    # Off the sampled blocks, but on the coarsest level.
    changed = pixels.copy()
    changed[100, 120] ^= 255
    assert token(changed, None) != free


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_entry_is_computed_again(damage: str, cache: Path, encoded: list[int]) -> None:
    ours = section()
    first = drain(image_features(ours))
    entry = next(cache.iterdir())
    content = bytearray(entry.read_bytes())
    content[-9] ^= 1
    harm = {"cut": content[:-50], "flip": content, "empty": b"", "text": b"nothing"}
    entry.write_bytes(bytes(harm[damage]))
    count = len(encoded)
    np.testing.assert_array_equal(drain(image_features(ours)), first)
    assert len(encoded) > count
    assert len(list(cache.iterdir())) == 1
    count = len(encoded)
    drain(image_features(ours))
    assert len(encoded) == count


def test_the_oldest_entries_make_room(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.zeros((100, 10), dtype=np.float32)
    monkeypatch.setattr(feature_cache, "CACHE_LIMIT", 3 * 4200)
    keys = [feature_cache.key_of(i) for i in range(4)]
    for age, key in enumerate(keys[:3]):
        feature_cache.store(key, table)
        os.utime(next(cache.glob(f"{key}*")), (age, age))
    (cache / "notes.npy").write_bytes(b"not ours")
    assert feature_cache.load(keys[0], 100) is not None
    feature_cache.store(keys[3], table)
    assert [feature_cache.load(key, 100) is not None for key in keys] == [True, False, True, True]
    assert (cache / "notes.npy").exists()
    assert feature_cache.load(keys[3], 99) is None


def test_a_cache_that_cannot_be_written_costs_nothing_else(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parent.write_text("a file where the folder should be")
    messages = [event.message for event in image_features(section())]
    assert messages[-1].startswith("not cached")
    assert drain(image_features(section())).shape == (120, Descriptor.dim)


def test_the_users_own_cache_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STMASK_CACHE")
    assert "napari-stmask" in str(feature_cache.cache_folder())


def test_a_coarse_image_is_remarked() -> None:
    ours = section()
    assert not any("pixels across" in event.message for event in image_features(ours))
    ours.image = Histology([ours.image.levels[0][::4, ::4]], scale=0.0625, name="lowres")
    found = [event.message for event in image_features(ours)]
    assert any("3.4 pixels across in the image lowres" in message for message in found)


class AtHalfMicron(Descriptor):
    um_per_px = 0.5
    input_px = 20


def test_an_encoder_off_its_scale_is_remarked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "get_encoder", lambda *_, **__: AtHalfMicron())
    ours = section()
    # 55 um over 20 pixels.
    assert any("patches of 10 µm" in event.message for event in image_features(ours))
    fits = image_features(ours, patch_size=12.0, unit="um")
    assert not any("trained at" in event.message for event in fits)
