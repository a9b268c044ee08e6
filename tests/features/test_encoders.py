"""The built-in descriptor, the texts that name encoders, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tests.helpers import banded

from napari_stmask.core.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    ParameterError,
    ResourceError,
)
from napari_stmask.core.section import Section
from napari_stmask.features.encoders import (
    KNOWN,
    describe_encoder,
    get_encoder,
    split_spec,
)
from napari_stmask.features.encoders import base as base_module
from napari_stmask.features.encoders.descriptor import Descriptor
from napari_stmask.features.encoders.precomputed import from_file, from_obsm


def textures(n: int, side: int = 64, seed: int = 0) -> dict[str, np.ndarray]:
    """Patches of equal mean colour: flat, fine noise, coarse noise, stripes, dark blobs."""
    rng = np.random.default_rng(seed)
    base = np.full((n, side, side, 3), (200, 150, 190), dtype=float)
    fine = rng.normal(0, 25, (n, side, side, 1))
    coarse = np.kron(rng.normal(0, 25, (n, side // 8, side // 8)), np.ones((8, 8)))[..., None]
    phase = rng.uniform(0, 6, (n, 1, 1, 1))
    stripes = 35 * np.sin(np.arange(side)[:, None, None] * 0.8 + phase) + np.zeros_like(fine)
    blobs = np.zeros_like(fine)
    for i in range(n):
        for y, x in rng.integers(2, side - 8, (8, 2)):
            blobs[i, y : y + 6, x : x + 6] = -100
    made = {"fine": fine, "coarse": coarse, "stripes": stripes, "blobs": blobs}
    made = {k: np.clip(base + v - v.mean(), 0, 255).astype(np.uint8) for k, v in made.items()}
    return {"flat": base.astype(np.uint8), **made}


@pytest.mark.parametrize("side", [8, 9, 16, 31, 64, 224])
def test_the_descriptor_is_finite_and_of_one_length(side: int) -> None:
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 255, (3, side, side, 3), dtype=np.uint8)
    flat = np.stack([np.full((side, side, 3), v, dtype=np.uint8) for v in (0, 1, 128, 255)])
    with np.errstate(all="raise"):
        found = Descriptor().encode(np.concatenate([patches, flat]))
    assert found.shape == (7, Descriptor.dim)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    # No texture where there is none: spreads, skewness, edges and blobs.
    columns = [8 * c + j for c in range(6) for j in (1, 2)] + list(range(48, 80))
    np.testing.assert_allclose(found[3:][:, columns], 0, atol=1e-4)
    assert Descriptor().encode(patches[:0]).shape == (0, Descriptor.dim)


def test_the_descriptor_measures_what_it_says() -> None:
    patches = np.zeros((1, 50, 50, 3), dtype=np.uint8)
    patches[0, :, :10] = (255, 100, 50)
    patches[0, :, 10:] = (155, 100, 50)
    found = Descriptor().encode(patches)[0]
    red, green = found[16:24], found[24:32]
    np.testing.assert_allclose(red[:2], [175 / 255, 40 / 255], rtol=1e-5)
    assert red[2] == pytest.approx(1.5, rel=1e-5)  # (1 - 2p) / sqrt(p (1 - p)) at p = 0.2
    np.testing.assert_allclose(red[3:], [155 / 255] * 4 + [1], rtol=1e-5)
    np.testing.assert_allclose(green, [100 / 255, 0, 0] + [100 / 255] * 5, rtol=1e-5)
    saturation = found[40]
    assert saturation == pytest.approx(0.2 * 205 / 255 + 0.8 * 105 / 155, abs=0.005)
    np.testing.assert_allclose(found[80:110].reshape(3, 10).sum(axis=1), 1, rtol=1e-5)
    white = Descriptor().encode(np.full((1, 32, 32, 3), 250, np.uint8))[0]
    assert white[114] == 1
    assert found[114] == 0


def test_nuclei_are_counted_and_darker_ones_take_more_area() -> None:
    pink, violet = (235, 190, 215), (80, 50, 140)
    patches = np.empty((3, 224, 224, 3), dtype=np.uint8)
    patches[:] = pink
    y, x = np.mgrid[:224, :224]
    for i, count in ((1, 4), (2, 9)):
        for j in range(count):
            centre = 40 + 70 * (j // 3), 40 + 70 * (j % 3)
            patches[i][np.hypot(y - centre[0], x - centre[1]) < 13] = violet
    found = Descriptor().encode(patches)
    assert found[:, 113].tolist() == [0, 4, 9]
    assert (np.diff(found[:, 110:113], axis=0) > 0).all()


def test_the_descriptor_tells_textures_of_one_colour_apart() -> None:
    kinds = textures(20)
    features = {k: Descriptor().encode(v) for k, v in kinds.items()}
    together = np.concatenate(list(features.values()))
    scale = together.std(axis=0) + 1e-9
    middle = {k: (v[:10] / scale).mean(axis=0) for k, v in features.items()}
    for kind, values in features.items():
        away = {k: np.linalg.norm(values[10:] / scale - m, axis=1) for k, m in middle.items()}
        nearest = np.array(list(away))[np.argmin(np.stack(list(away.values())), axis=0)]
        assert (nearest == kind).all(), kind


def test_neither_order_nor_company_changes_a_descriptor() -> None:
    patches = np.concatenate(list(textures(7, side=40).values()))
    whole = Descriptor().encode(patches)
    order = np.random.default_rng(1).permutation(len(patches))
    np.testing.assert_array_equal(Descriptor().encode(patches[order]), whole[order])
    alone = np.concatenate([Descriptor().encode(patches[i : i + 1]) for i in range(len(patches))])
    np.testing.assert_array_equal(alone, whole)


def test_no_torch_is_loaded_for_descriptor_and_cards() -> None:
    code = (
        "import sys, numpy as np\n"
        "from napari_stmask.features.encoders import *\n"
        "from napari_stmask.features import image_features\n"
        "get_encoder('descriptor').encode(np.zeros((2, 20, 20, 3), np.uint8))\n"
        "[describe_encoder('hub:' + name) for name in KNOWN]\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "transformers", "timm", "onnxruntime", "huggingface_hub"}


@pytest.mark.parametrize(
    "spec", ["", "resnet", "hub", "hub:", "onnx:", "pickle:x", "timm:vit", "timm:@x", "timm:x@"]
)
def test_unknown_specifications_are_refused(spec: str) -> None:
    with pytest.raises(ParameterError):
        split_spec(spec)


def test_a_colon_in_a_path_stays() -> None:
    assert split_spec("onnx:C:\\models\\a.onnx") == ("onnx", "C:\\models\\a.onnx")


def test_cards_of_the_hub_say_what_one_agrees_to() -> None:
    for name, entry in KNOWN.items():
        card = describe_encoder(f"hub:{name}")
        assert card.needs_download
        assert card.licence == entry.licence
        assert (card.dim, card.input_px) == (entry.dim, 224)
        assert min(card.std) > 0.1
    assert KNOWN["uni"].gated
    assert not KNOWN["midnight-12k"].gated
    with pytest.raises(ParameterError, match="midnight"):
        describe_encoder("hub:unknown")


@pytest.mark.parametrize("name", KNOWN)
def test_nothing_is_fetched_without_consent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("asked for a package")

    monkeypatch.setattr("napari_stmask.features.encoders.hub.require", fail)
    with pytest.raises(ParameterError) as caught:
        get_encoder(f"hub:{name}")
    text = str(caught.value)
    assert KNOWN[name].licence in text
    assert KNOWN[name].hub_id in text
    assert "consent=True" in text


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network\nsecond line")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(ResourceError, match=r"no network.*hf auth login"):
        get_encoder("hub:uni", consent=True)
    with pytest.raises(ResourceError, match="check the connection"):
        get_encoder("hub:phikon", consent=True)


def test_after_consent_only_safe_files_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked: list[Any] = []

    def fetch(name: str, **options: Any) -> str:
        asked.append((name, options))
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    encoder = get_encoder("hub:phikon", consent=True)
    assert asked == [("owkin/phikon", {"allow_patterns": ["*.json", "*.safetensors"]})]
    assert tmp_path.name in encoder.id
    with pytest.raises(FileFormatError, match="safetensors"):
        _ = encoder.dim
    with pytest.raises(FileFormatError, match="pickled"):
        _ = get_encoder("hub:uni", consent=True).dim


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("gone", name="timm"), "'timm' is not installed"),
        (ModuleNotFoundError("gone", name="torchvision"), "cannot be imported"),
        (RuntimeError("operator torchvision::nms does not exist"), "torchvision::nms"),
    ],
)
def test_a_missing_or_broken_package_is_one_sentence(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"x")
    real = base_module.importlib.import_module

    def load(name: str, *rest: Any) -> Any:
        if name == "timm":
            raise error
        return real(name, *rest)

    monkeypatch.setattr(base_module.importlib, "import_module", load)
    encoder = get_encoder(f"timm:resnet18@{weights}")
    with pytest.raises(ResourceError, match=r"pip install 'napari-stmask\[timm\]'") as caught:
        encoder.encode(np.zeros((1, 16, 16, 3), np.uint8))
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", ["onnx:", "torchscript:", "transformers:", "timm:resnet18@"])
def test_files_that_are_not_there(kind: str, tmp_path: Path) -> None:
    for call in (get_encoder, describe_encoder):
        with pytest.raises(MissingFileError):
            call(f"{kind}{tmp_path / 'none'}")


@pytest.mark.parametrize(
    "text",
    ["[1]", "{", '{"mean": [1, 2]}', '{"std": [0, 1, 1]}', '{"input_px": 5}', '{"input_px": "a"}'],
)
def test_a_damaged_description_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(FileFormatError):
        describe_encoder(f"onnx:{tmp_path / 'm.onnx'}")


def section() -> Section:
    return banded(rows=5, columns=6, genes=12)[0]


def test_finished_features_of_a_table() -> None:
    ours = section()
    table = np.random.default_rng(0).normal(size=(30, 7))
    ours.adata.obsm["uni"] = table
    np.testing.assert_allclose(from_obsm(ours, "uni"), table, rtol=1e-6)
    with pytest.raises(DataError, match="uni"):
        from_obsm(ours, "conch")
    with pytest.raises(ParameterError, match="finished features"):
        get_encoder("obsm:uni")
    assert not describe_encoder("obsm:uni").needs_download
    table[3, 2] = np.nan
    ours.adata.obsm["uni"] = table
    with pytest.raises(DataError, match="1 of 30"):
        from_obsm(ours, "uni")


def test_finished_features_by_row(tmp_path: Path) -> None:
    ours, path = section(), tmp_path / "e.npy"
    table = np.random.default_rng(0).normal(size=(30, 7)).astype(np.float16)
    np.save(path, table)
    np.testing.assert_array_equal(from_file(ours, str(path)), table.astype(np.float32))
    for bad in (table[:29], table[:, 0], table.astype("U8"), table.astype(complex)):
        np.save(path, bad)
        with pytest.raises(DataError):
            from_file(ours, str(path))
    np.save(path, np.array([{}] * 30), allow_pickle=True)
    with pytest.raises(FileFormatError):
        from_file(ours, str(path))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(FileFormatError):
        from_file(ours, str(path))
    with pytest.raises(FileFormatError, match="neither"):
        from_file(ours, __file__)
    with pytest.raises(MissingFileError):
        from_file(ours, str(tmp_path / "none.npy"))


def write_h5(path: Path, table: Any, names: list[str]) -> None:
    with h5py.File(path, "w") as file:
        file["embeddings"] = table
        file["barcodes"] = np.array(names, dtype="S20")[:, None]


def test_finished_features_by_name(tmp_path: Path) -> None:
    ours, path = section(), tmp_path / "e.h5"
    names = [*ours.adata.obs_names, "elsewhere"]
    table = np.random.default_rng(0).normal(size=(31, 7)).astype(np.float32)
    order = np.random.default_rng(1).permutation(31)
    write_h5(path, table[order], [names[i] for i in order])
    np.testing.assert_array_equal(from_file(ours, str(path)), table[:30])
    write_h5(path, table[:30], ["other", *names[1:30]])
    with pytest.raises(DataError, match="1 of 30 spots, such as 'spot0'"):
        from_file(ours, str(path))
    write_h5(path, table[:30], [names[1], *names[1:30]])
    with pytest.raises(DataError, match="twice"):
        from_file(ours, str(path))
    write_h5(path, table[:29], names[:30])
    with pytest.raises(DataError, match="barcodes"):
        from_file(ours, str(path))
    with h5py.File(path, "w") as file:
        file.create_group("embeddings")
    with pytest.raises(FileFormatError, match="embeddings"):
        from_file(ours, str(path))
    path.write_bytes(b"no HDF5")
    with pytest.raises(FileFormatError):
        from_file(ours, str(path))
