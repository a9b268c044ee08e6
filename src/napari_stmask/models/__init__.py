"""The methods, by name. A method's module is imported when it is first asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from ..core.errors import ParameterError
from ..core.params import DomainParams
from .base import Method

__all__ = ["available", "get", "params_of"]

_OWN = {
    "spamask": "napari_stmask.models.spamask.method:SpaMask",
    "vimst": "napari_stmask.models.vimst.method:ViMST",
    "mmsrl": "napari_stmask.models.mmsrl.method:MMSRL",
}
_PARAMS = {
    "spamask": "napari_stmask.models.spamask.params:SpaMaskParams",
    "vimst": "napari_stmask.models.vimst.params:ViMSTParams",
    "mmsrl": "napari_stmask.models.mmsrl.params:MMSRLParams",
}
GROUP = "napari_stmask.methods"
"""Entry-point group through which other packages add methods: name = ``module:Class``."""


def _paths() -> dict[str, str]:
    others = {point.name: point.value for point in entry_points(group=GROUP)}
    return others | _OWN


def available() -> list[str]:
    """Names of all methods, this package's first, without importing any."""
    own = list(_OWN)
    return own + sorted(set(_paths()) - set(own))


@cache
def get(name: str) -> Method:
    """The method called ``name``.

    Raises
    ------
    ParameterError
        If there is none of that name.
    """
    paths = _paths()
    if name not in paths:
        raise ParameterError(
            f"there is no method '{name}'", f"use one of: {', '.join(available())}"
        )
    module, attribute = paths[name].split(":")
    method = getattr(import_module(module), attribute)()
    if not isinstance(method, Method):
        raise ParameterError(
            f"'{paths[name]}' does not provide a method", "correct the package that registers it"
        )
    return method


def params_of(name: str) -> type[DomainParams]:
    """The parameter model of a method, without importing torch for this package's own.

    Raises
    ------
    ParameterError
        If there is no method of that name.
    """
    if name not in _OWN:
        return get(name).Params
    module, attribute = _PARAMS[name].split(":")
    model: type[DomainParams] = getattr(import_module(module), attribute)
    return model
