"""The parameters of a run, from what a caller gave: checked before any work is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .core.errors import ParameterError
from .core.params import DomainParams
from .core.section import Section
from .models.base import Method

__all__ = ["check_number", "settings"]


def settings(
    method: Method,
    section: Section,
    params: DomainParams | None,
    preset: str,
    values: Mapping[str, Any],
    *,
    model: str | Path | None = None,
) -> DomainParams:
    """The parameters of a run: complete ones as given, or a preset with single values.

    Raises
    ------
    ParameterError
        If both were given, or a value does not fit.
    """
    if params is None:
        if model is not None:
            _check_model_values(values)
        return method.Params.preset(preset, section.platform, **values)
    if not isinstance(params, method.Params):
        raise ParameterError(
            f"params is a {type(params).__name__}, expected {method.Params.__name__}",
            f"make them with napari_stmask.params('{method.name}', ...)",
        )
    if values or preset != "recommended":
        raise ParameterError(
            f"params and a preset or single parameters of {method.title} were mixed",
            "pass either params= or a preset with single values",
        )
    return params


def check_number(method: Method, sections: Sequence[Section]) -> None:
    """Refuse more sections than the method takes, and none.

    Raises
    ------
    ParameterError
        With the number that it takes.
    """
    if len(sections) > method.needs.max_sections or not sections:
        raise ParameterError(
            f"{method.title} was given {len(sections)} sections",
            _remedy(method) if sections else "give one",
        )


def _remedy(method: Method) -> str:
    most = f"give {method.needs.max_sections} at most"
    return f"{most}, or integrate them" if method.needs.integrates else most


def _check_model_values(values: Mapping[str, Any]) -> None:
    """With a saved model only the clustering, the layer and the device are the caller's."""
    own = {*DomainParams.model_fields, "denoise"}
    fixed = sorted(set(values) - own)
    if fixed:
        raise ParameterError(
            f"{', '.join(fixed)} belong to the saved model and cannot be changed",
            f"with a model give only: {', '.join(sorted(own))}",
        )
