"""Trained models as files of plain tensors: opening one, whatever method wrote it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..core.errors import FileFormatError, MissingFileError

__all__ = ["load_model"]

T = TypeVar("T")
_DAMAGED = (
    SafetensorError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    RuntimeError,
    OSError,
)
"""What a file of the right name and of other content may raise."""


def load_model(
    path: str | Path,
    form: str,
    make: Callable[[Mapping[str, str], dict[str, Tensor]], T],
    *,
    title: str,
) -> T:
    """What ``make`` builds of the texts and tensors of a file.

    Parameters
    ----------
    path
        A ``.safetensors`` file.
    form
        Value that its text ``format`` must have.
    make
        Builds the model; raises ValueError or KeyError where something does not fit.
    title
        Display name of the method that must have written it.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FileFormatError
        If it is not a model of that method.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path} does not exist", "give the path of a saved model")
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if meta.get("format") != form:
            raise ValueError("format")
        return make(meta, tensors)
    except _DAMAGED as error:
        raise FileFormatError(
            f"{path} is not a {title} model saved by this version",
            "give a .safetensors file written by save_model",
        ) from error
