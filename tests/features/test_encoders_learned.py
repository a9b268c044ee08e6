"""Networks from files: each backend with a small one that the test makes."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_stmask.core.errors import FileFormatError, ParameterError, ResourceError, StmaskError
from napari_stmask.features.encoders import EncoderCard, describe_encoder, get_encoder
from napari_stmask.features.encoders.base import IMAGENET
from napari_stmask.features.encoders.learned import Learned, pooled


def patches(n: int = 5, side: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (n, side, side, 3), dtype=np.uint8)


def normalised_mean(pixels: np.ndarray, norm: Any = IMAGENET) -> np.ndarray:
    """What a network that averages its input answers."""
    return (pixels.mean(axis=(1, 2)) / 255 - np.array(norm[0])) / np.array(norm[1])


@pytest.fixture
def torchscript(tmp_path: Path) -> Path:
    torch = pytest.importorskip("torch")

    class Mean(torch.nn.Module):
        def forward(self, x):  # type: ignore[no-untyped-def]
            return x.mean((2, 3))

    path = tmp_path / "mean.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.trace(Mean(), torch.zeros(2, 3, 32, 32)).save(str(path))
    path.with_suffix(".json").write_text(json.dumps({"input_px": 32, "licence": "MIT"}))
    return path


@pytest.mark.filterwarnings(r"error:.*torch\.jit\.load:DeprecationWarning")
def test_torchscript(torchscript: Path) -> None:
    encoder = get_encoder(f"torchscript:{torchscript}", device="cpu")
    assert (encoder.input_px, encoder.dim, encoder.licence) == (32, 3, "MIT")
    found = encoder.encode(patches())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, normalised_mean(patches()), atol=1e-5)


def test_other_sizes_are_averaged_down(torchscript: Path) -> None:
    encoder = get_encoder(f"torchscript:{torchscript}", device="cpu")
    large = np.kron(patches(), np.ones((1, 3, 3, 1), np.uint8))
    np.testing.assert_allclose(encoder.encode(large), normalised_mean(patches()), atol=0.02)


def test_equal_ids_mean_equal_features(torchscript: Path) -> None:
    spec = f"torchscript:{torchscript}"
    first = get_encoder(spec).id
    assert get_encoder(spec).id == first
    torchscript.with_suffix(".json").write_text(json.dumps({"input_px": 32, "mean": [0, 0, 0]}))
    other = get_encoder(spec)
    assert other.id != first
    np.testing.assert_allclose(
        other.encode(patches()), normalised_mean(patches(), ((0, 0, 0), IMAGENET[1])), atol=1e-5
    )
    torchscript.write_bytes(torchscript.read_bytes() + b" ")
    assert get_encoder(spec).id not in (first, other.id)


@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
def test_what_is_no_network(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"not a model at all")
    with pytest.raises(FileFormatError, match=r"model\.bin"):
        get_encoder(f"{kind}:{path}", device="cpu").encode(patches())


def test_a_device_that_is_not_there(torchscript: Path) -> None:
    with pytest.raises(ParameterError, match="device"):
        get_encoder(f"torchscript:{torchscript}", device="quantum").encode(patches())
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        with pytest.raises(ResourceError, match="cuda"):
            get_encoder(f"torchscript:{torchscript}", device="cuda").encode(patches())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny vision transformer with random weights, as `transformers` saves one."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=8,
    )  # fmt: skip
    with torch.random.fork_rng():
        transformers.ViTModel(config).save_pretrained(tmp_path / "vit")
    rules = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": {"height": 32, "width": 32}}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(rules))
    return tmp_path / "vit"


def test_transformers(folder: Path) -> None:
    spec = f"transformers:{folder}"
    card = describe_encoder(spec)
    assert (card.dim, card.input_px, card.mean, card.std) == (24, 32, (0.5,) * 3, (0.25,) * 3)
    encoder = get_encoder(spec, device="cpu")
    found = encoder.encode(patches())
    assert encoder.dim == found.shape[1] == 24
    import torch
    from transformers import ViTModel

    model = ViTModel.from_pretrained(folder).eval()
    given = torch.tensor((patches() / 255 - 0.5) / 0.25, dtype=torch.float32).permute(0, 3, 1, 2)
    with torch.no_grad():
        token = model(pixel_values=given).last_hidden_state[:, 0].numpy()
    np.testing.assert_allclose(found, token, atol=1e-4)


def test_transformers_wants_safetensors_and_settings(folder: Path) -> None:
    next(folder.glob("*.safetensors")).rename(folder / "pytorch_model.bin")
    with pytest.raises(FileFormatError, match="safetensors"):
        get_encoder(f"transformers:{folder}", device="cpu").encode(patches())
    (folder / "config.json").unlink()
    with pytest.raises(FileFormatError, match=r"config\.json"):
        get_encoder(f"transformers:{folder}")


@pytest.mark.parametrize(
    "claim", [{"num_hidden_layers": 3}, {"hidden_size": 200_000}, {"num_hidden_layers": 10**9}]
)
def test_random_weights_never_stand_in_for_absent_ones(claim: dict[str, int], folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | claim
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileFormatError, match=r"lacks|larger"):
        get_encoder(f"transformers:{folder}", device="cpu").encode(patches())


def test_nothing_is_printed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    get_encoder(f"transformers:{folder}", device="cpu").encode(patches())
    assert capfd.readouterr() == ("", "")


def test_code_in_a_transformers_folder_is_not_run(folder: Path, tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(trap)!r}, 'w')\nclass A: pass\nclass B: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoModel": "own.A", "AutoConfig": "own.B"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileFormatError):
        get_encoder(f"transformers:{folder}", device="cpu").encode(patches())
    assert not trap.exists()


def write_onnx(path: Path, shape: list[Any], pool: bool = True) -> Path:
    """A network that averages its input over rows and columns."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    kind = onnx.TensorProto.FLOAT
    axes = onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [2, 3])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0 if pool else 1)],
        "mean",
        [onnx.helper.make_tensor_value_info("x", kind, shape)],
        [onnx.helper.make_tensor_value_info("y", kind, None)],
        [axes],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


@pytest.mark.parametrize(
    ("shape", "pool"),
    [(["n", 3, 32, 32], True), (["n", 3, "h", "w"], False), ([1, 3, 32, 32], True)],
)
def test_onnx(shape: list[Any], pool: bool, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "mean.onnx", shape, pool)
    path.with_suffix(".json").write_text('{"input_px": 32}')
    encoder = get_encoder(f"onnx:{path}", device="cpu")
    np.testing.assert_allclose(encoder.encode(patches()), normalised_mean(patches()), atol=1e-4)
    assert encoder.dim == 3


def damaged(content: bytes, n: int) -> Iterator[bytes]:
    """Cut files, and files with some bytes of their first half changed."""
    rng = np.random.default_rng(0)
    for i in range(n):
        other = bytearray(content)
        for place in rng.integers(0, len(content) // 2, 1 + i % 9):
            other[place] = rng.integers(256)
        yield bytes(other)
        yield content[: rng.integers(len(content))]


def test_a_damaged_onnx_file_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_onnx(tmp_path / "mean.onnx", ["n", 3, 32, 32])
    path.with_suffix(".json").write_text('{"input_px": 32}')
    refused = 0
    for content in damaged(path.read_bytes(), 15):
        path.write_bytes(content)
        try:
            assert get_encoder(f"onnx:{path}", device="cpu").encode(patches()).shape[0] == 5
        except StmaskError:
            refused += 1
    assert refused > 20
    assert capfd.readouterr() == ("", "")


def test_damaged_safetensors_are_one_sentence(folder: Path) -> None:
    path = folder / "model.safetensors"
    refused = 0
    for content in damaged(path.read_bytes(), 15):
        path.write_bytes(content)
        try:
            get_encoder(f"transformers:{folder}", device="cpu").encode(patches())
        except StmaskError:
            refused += 1
    assert refused > 14


def test_onnx_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "mean.onnx", ["n", 3, 32, 32])
    with pytest.raises(FileFormatError, match="224"):
        get_encoder(f"onnx:{path}", device="cpu").encode(patches())
    path = write_onnx(tmp_path / "grey.onnx", ["n", 1, 224, 224])
    with pytest.raises(FileFormatError, match="n x 3"):
        get_encoder(f"onnx:{path}", device="cpu").encode(patches())


def test_timm(tmp_path: Path) -> None:
    try:
        import timm
    # A torchvision that does not match torch makes it fail with a RuntimeError.
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm cannot be imported here ({type(error).__name__}: {error})")
    from safetensors.torch import save_file

    model = timm.create_model("resnet18", pretrained=False, num_classes=0)
    path = tmp_path / "resnet18.safetensors"
    save_file(model.state_dict(), path)
    encoder = get_encoder(f"timm:resnet18@{path}", device="cpu")
    assert encoder.encode(patches()).shape == (5, 512)
    with pytest.raises(FileFormatError, match="resnet50"):
        get_encoder(f"timm:resnet50@{path}", device="cpu").encode(patches())


def test_weights_for_timm_must_fit_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for timm, which cannot be installed everywhere."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    asked: list[Any] = []

    def create_model(name: str, **options: Any) -> Any:
        asked.append((name, options))
        return torch.nn.Sequential(
            torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 4)
        )

    layers = types.SimpleNamespace(SwiGLUPacked="the class")
    stand_in = types.SimpleNamespace(create_model=create_model, layers=layers)
    monkeypatch.setitem(sys.modules, "timm", stand_in)
    path = tmp_path / "w.safetensors"
    path.with_suffix(".json").write_text('{"options": {"mlp_layer": "SwiGLUPacked", "depth": 2}}')
    weights = {"2.weight": torch.ones(4, 3), "2.bias": torch.zeros(4)}
    save_file({**weights, "head.weight": torch.ones(9, 4)}, path)
    encoder = get_encoder(f"timm:vit@{path}", device="cpu")
    found = encoder.encode(patches())
    np.testing.assert_allclose(found[:, 0], normalised_mean(patches()).sum(axis=1), atol=0.02)
    given = {"mlp_layer": "the class", "depth": 2, "pretrained": False, "num_classes": 0}
    assert asked == [("vit", given)]
    for wrong in ({"2.bias": torch.zeros(4)}, {**weights, "2.gamma": torch.ones(4)}):
        save_file(wrong, path)
        assert get_encoder(f"timm:vit@{path}").id != encoder.id
        with pytest.raises(FileFormatError, match="does not hold the weights of vit"):
            get_encoder(f"timm:vit@{path}", device="cpu").encode(patches())


def test_a_hub_network_once_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tiny network of the same architecture in place of the download."""
    transformers = pytest.importorskip("transformers")
    hub = pytest.importorskip("huggingface_hub")
    config = transformers.Dinov2Config(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    transformers.Dinov2Model(config).save_pretrained(tmp_path)
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    encoder = get_encoder("hub:midnight-12k", device="cpu", consent=True)
    assert (encoder.mean, encoder.std, encoder.licence) == ((0.5,) * 3, (0.5,) * 3, "MIT")
    # Class token and mean of the patch tokens, as its model card asks for.
    assert encoder.encode(patches(2)).shape == (2, 2 * 24)


def learned(forward: Any, **options: Any) -> Learned:
    card = EncoderCard("test", "test", input_px=8)
    return Learned(card, "test", lambda: forward, "weights.bin", **options)


def test_batches_shrink_until_they_fit() -> None:
    sizes = []

    def narrow(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise MemoryError
        return batch.mean(axis=(2, 3))

    encoder = learned(narrow)
    np.testing.assert_allclose(
        encoder.encode(patches(40, 8)), patches(40, 8).mean(axis=(1, 2)) / 255, rtol=1e-5
    )
    assert sizes[:6] == [40, 20, 10, 5, 2, 2]
    sizes.clear()
    encoder.encode(patches(4, 8))
    assert sizes == [2, 2]


def test_not_even_one_patch_fits() -> None:
    def never(batch: np.ndarray) -> np.ndarray:
        raise MemoryError

    with pytest.raises(ResourceError, match="one patch"):
        learned(never).encode(patches(4, 8))


def test_memory_errors_of_torch_are_known() -> None:
    torch = pytest.importorskip("torch")
    from napari_stmask.features.encoders.torch_files import _network

    class Full(torch.nn.Module):
        def forward(self, batch: Any) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    with pytest.raises(MemoryError):
        _network(Full(), "cpu", lambda m, b: m(b))(np.zeros((1, 3, 8, 8), np.float32))


def test_tokens_and_maps_become_vectors() -> None:
    tokens = np.random.default_rng(0).normal(size=(2, 9, 4)).astype(np.float32)
    np.testing.assert_array_equal(pooled(tokens, 2, "cls"), tokens[:, 0])
    both = pooled(tokens, 2, "cls+mean", prefix=5)
    np.testing.assert_allclose(both[:, 4:], tokens[:, 5:].mean(axis=1), rtol=1e-6)
    assert pooled(tokens.reshape(2, 4, 3, 3), 2).shape == (2, 4)
    for bad in (tokens[0, 0], tokens[:1], np.full((2, 3), np.nan), np.empty((2, 0))):
        with pytest.raises(FileFormatError):
            pooled(bad, 2)
