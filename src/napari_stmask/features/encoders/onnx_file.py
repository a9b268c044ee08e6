"""Networks in ONNX files: data only, no code is run from them, no torch needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import FileFormatError, ParameterError, ResourceError
from .base import require
from .learned import Forward

__all__ = ["load_onnx"]

_PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "mps": "CoreMLExecutionProvider",
    "cpu": "CPUExecutionProvider",
}


def load_onnx(path: Path, side: int, device: str) -> Forward:
    """The network of an ONNX file with one input (n, 3, ``side``, ``side``) float32.

    Raises
    ------
    FileFormatError
        If its input has another shape.
    ParameterError, ResourceError
        If ``device`` has another name, or is not there.
    """
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    # Its own second attempt, on the CPU, would only print what was wrong with the file.
    session = runtime.InferenceSession(
        str(path), options, providers=_providers(runtime, device), enable_fallback=0
    )
    given = session.get_inputs()
    fixed = given[0].shape
    wanted = (None, 3, side, side)
    if (
        len(given) != 1
        or len(fixed) != 4
        or given[0].type != "tensor(float)"
        or any(
            isinstance(size, int) and want is not None and size != want
            for size, want in zip(fixed, wanted, strict=False)
        )
    ):
        raise FileFormatError(
            f"{path} takes {[(entry.type, entry.shape) for entry in given]}, expected one float "
            f"input of n x 3 x {side} x {side}",
            f"export it so, or state its input_px in {path.with_suffix('.json').name}",
        )
    name, outputs = given[0].name, session.get_outputs()
    one_by_one = fixed[0] == 1

    def forward(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = np.split(batch, len(batch)) if one_by_one else [batch]
        try:
            found = [
                session.run([outputs[0].name], {name: np.ascontiguousarray(p)})[0] for p in parts
            ]
        except runtime.capi.onnxruntime_pybind11_state.RuntimeException as error:
            if "allocate" in str(error):
                raise MemoryError(str(error)) from None
            raise
        return np.concatenate(found)

    return forward


def _providers(runtime: object, device: str) -> list[str]:
    """Execution providers in the order in which they are tried."""
    present = runtime.get_available_providers()  # type: ignore[attr-defined]
    if device == "auto":
        return [name for name in _PROVIDERS.values() if name in present]
    if device not in _PROVIDERS:
        raise ParameterError(f"device is '{device}'", "use 'auto', 'cpu', 'cuda' or 'mps'")
    if _PROVIDERS[device] not in present:
        raise ResourceError(
            f"onnxruntime cannot use the device '{device}' here", "use device='auto' or 'cpu'"
        )
    return [_PROVIDERS[device]]
