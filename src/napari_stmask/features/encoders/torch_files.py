"""Networks in torch from local files: TorchScript, transformers and timm.

Torch is imported when weights are loaded, not before. Weights are safetensors; a TorchScript
file holds code, which runs when it is loaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import FileFormatError, ParameterError, ResourceError
from ...core.memory import available_bytes, human
from .base import require
from .learned import Forward

__all__ = ["load_timm", "load_torchscript", "load_transformers", "resolve_device"]

_MOST_LAYERS = 1000
_CLASSIFIERS = ("head.weight", "head.bias", "head.fc.", "head_dist.", "fc.", "classifier.")
"""Weights of timm's checkpoints that are not part of the encoder."""


def resolve_device(name: str) -> Any:
    """The torch device for ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises
    ------
    ParameterError
        For another name.
    ResourceError
        If the device is not there.
    """
    torch = require("torch")
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, here in present.items() if here)
    if name not in present:
        raise ParameterError(f"device is '{name}'", "use 'auto', 'cpu', 'cuda' or 'mps'")
    if not present[name]:
        raise ResourceError(f"there is no usable device '{name}'", "use device='auto' or 'cpu'")
    return torch.device(name)


def load_torchscript(path: Path, device: str) -> Forward:
    """The network of a TorchScript file; runs the code in it."""
    torch = require("torch")
    _check_room([path])
    with warnings.catch_warnings():
        # Deprecated in torch 2.13 in favour of torch.export, and still read.
        warnings.simplefilter("ignore", DeprecationWarning)
        model = torch.jit.load(str(path), map_location="cpu")
    return _network(model, device, lambda model, batch: model(batch))


def load_transformers(folder: Path, device: str) -> Forward:
    """The network of a folder that `transformers` saved, without running code from it."""
    transformers = require("transformers")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise FileFormatError(
            f"{folder} holds no weights as .safetensors",
            "save the model with save_pretrained(folder, safe_serialization=True)",
        )
    _check_room(weights)
    config = transformers.AutoConfig.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )
    _check_claim(transformers, config, weights)
    with _quiet(transformers):
        model, found = transformers.AutoModel.from_pretrained(
            str(folder), config=config, local_files_only=True, use_safetensors=True,
            trust_remote_code=False, output_loading_info=True,
        )  # fmt: skip
    # Absent weights are filled with random numbers; those of the pooler are not used.
    absent = [name for name in found["missing_keys"] if not name.startswith("pooler.")]
    if absent or found["mismatched_keys"]:
        raise FileFormatError(
            f"{folder} lacks {len(absent)} weights, such as {[*absent, 'of another shape'][0]}",
            "save the whole model with save_pretrained",
        )
    return _network(model, device, lambda model, batch: model(pixel_values=batch).last_hidden_state)


def _check_claim(transformers: Any, config: Any, weights: list[Path]) -> None:
    """Refuse settings of a network far larger than the weights beside them."""
    torch = require("torch")
    layers = getattr(config, "num_hidden_layers", 0)
    claimed = 0
    if not isinstance(layers, int) or layers <= _MOST_LAYERS:
        # On this device nothing takes memory.
        with torch.device("meta"):
            empty = transformers.AutoModel.from_config(config, trust_remote_code=False)
        claimed = sum(int(values.numel()) for values in empty.parameters())
        if claimed <= 2 * sum(path.stat().st_size for path in weights):
            return
    raise FileFormatError(
        f"{weights[0].parent}: config.json describes a larger network than its weights",
        "save the whole model with save_pretrained",
    )


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No bars and reports on the terminal; what matters is checked instead."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def load_timm(
    architecture: str, checkpoint: Path, device: str, options: Mapping[str, Any] | None = None
) -> Forward:
    """A network of timm with local weights; ``options`` go to its constructor."""
    torch, timm = require("torch"), require("timm")
    load_file = require("safetensors.torch").load_file
    _check_room([checkpoint])
    given = dict(options or {})
    if given.get("mlp_layer") == "SwiGLUPacked":
        given["mlp_layer"] = timm.layers.SwiGLUPacked
    if given.get("act_layer") == "SiLU":
        given["act_layer"] = torch.nn.SiLU
    model = timm.create_model(architecture, pretrained=False, num_classes=0, **given)
    kept = {k: v for k, v in load_file(checkpoint).items() if not k.startswith(_CLASSIFIERS)}
    try:
        # Strict: what is left over or missing would give other features, and no error.
        model.load_state_dict(kept, strict=True)
    except RuntimeError as error:
        raise FileFormatError(
            f"{checkpoint} does not hold the weights of {architecture} with the options "
            f"{dict(options or {})} ({' '.join(str(error).split())[:300]})",
            "give the architecture and options that it was trained with",
        ) from error
    return _network(model, device, lambda model, batch: model(batch))


def _network(model: Any, device: str, call: Any) -> Forward:
    torch = require("torch")
    target = resolve_device(device)
    model.to(target).eval()

    def forward(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            with torch.inference_mode():
                answer = call(model, torch.from_numpy(np.ascontiguousarray(batch)).to(target))
                answer = answer[0] if isinstance(answer, (tuple, list)) else answer
                found: NDArray[np.float32] = answer.float().cpu().numpy()
        except RuntimeError as error:
            text = str(error)
            if "out of memory" not in text and "can't allocate memory" not in text:
                raise
            if target.type == "cuda":
                torch.cuda.empty_cache()
            raise MemoryError(text) from None
        return found

    return forward


def _check_room(files: list[Path]) -> None:
    """Refuse weights that would not fit into memory."""
    size = sum(path.stat().st_size for path in files)
    if size > available_bytes():
        raise ResourceError(
            f"{files[0].name}: the weights take {human(size)}, more than the free memory",
            "use a smaller encoder or close other programs",
        )
