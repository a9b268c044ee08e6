"""Questions about the methods, and trained models as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .core.params import DomainParams
from .core.result import Result
from .io.atomic import atomic_path
from .models import available, get, params_of
from .pipeline import Data, run

__all__ = ["apply_model", "methods", "params", "save_model"]


def methods() -> dict[str, str]:
    """Name and one-sentence purpose of every method."""
    return {name: get(name).summary for name in available()}


def params(
    method: str, *, platform: str = "unknown", preset: str = "recommended", **values: Any
) -> DomainParams:
    """Parameters of ``method`` that `run` would use on a section of ``platform``.

    Raises
    ------
    ParameterError
        If the method, the preset or a value is unknown or out of bounds.
    """
    return params_of(method).preset(preset, platform, **values)


def save_model(result: Result, path: str | Path) -> Path:
    """Write the trained model of a result to ``path`` (``.safetensors``), atomically.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        get(result.record["method"]).save_model(result.fit, temporary)
    return path


def apply_model(model: str | Path, data: Data, *, method: str = "spamask", **options: Any) -> Result:
    """Embed and cluster ``data`` with a saved model, without training.

    Parameters
    ----------
    model
        File that `save_model` wrote.
    data
        Section, AnnData or path with the model's genes.
    method
        Method that the model belongs to.
    **options
        As for `run`, for example ``n_domains``.
    """
    return run(method, data, model=model, **options)
