"""The methods, by name. A method's module is imported when it is first asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from ..core.errors import ParameterError
from ..core.params import Params
from .base import Method, Predictor

__all__ = ["INTEGRATES", "available", "get", "integrating", "params_of", "predictor", "predictors"]

_OWN = {
    "spamask": "napari_stmask.models.spamask.method:SpaMask",
    "vimst": "napari_stmask.models.vimst.method:ViMST",
    "mmsrl": "napari_stmask.models.mmsrl.method:MMSRL",
    "spacex": "napari_stmask.models.spacex.method:SpaCEX",
}
INTEGRATES = ("spamask", "vimst", "mmsrl")
"""This package's methods that take several sections as one, known without importing them."""
_PREDICTORS = {"spahgc": "napari_stmask.models.spahgc.method:SpaHGC"}
_PARAMS = {
    "spahgc": "napari_stmask.models.spahgc.params:SpaHGCParams",
    "spamask": "napari_stmask.models.spamask.params:SpaMaskParams",
    "vimst": "napari_stmask.models.vimst.params:ViMSTParams",
    "mmsrl": "napari_stmask.models.mmsrl.params:MMSRLParams",
    "spacex": "napari_stmask.models.spacex.params:SpaCEXParams",
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


def integrating() -> list[str]:
    """Names of all methods that take several sections; only other packages' are imported."""
    others = [name for name in available() if name not in _OWN]
    return [*INTEGRATES, *(name for name in others if get(name).needs.integrates)]


@cache
def get(name: str) -> Method:
    """The method called ``name``.

    Raises
    ------
    ParameterError
        If there is none of that name.
    """
    paths = _paths()
    if name in _PREDICTORS:
        raise ParameterError(
            f"'{name}' finds no domains: it predicts genes",
            "use predict (napari-stmask predict), and give reference sections",
        )
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


def predictors() -> list[str]:
    """Names of all methods that predict genes, without importing any."""
    return list(_PREDICTORS)


@cache
def predictor(name: str) -> Predictor:
    """The method called ``name`` that predicts genes.

    Raises
    ------
    ParameterError
        If there is none of that name.
    """
    if name not in _PREDICTORS:
        raise ParameterError(
            f"there is no method '{name}' that predicts genes",
            f"use one of: {', '.join(predictors())}",
        )
    module, attribute = _PREDICTORS[name].split(":")
    found: Predictor = getattr(import_module(module), attribute)()
    return found


def params_of(name: str) -> type[Params]:
    """The parameter model of a method, without importing torch for this package's own.

    Raises
    ------
    ParameterError
        If there is no method of that name.
    """
    if name not in _PARAMS:
        return get(name).Params
    module, attribute = _PARAMS[name].split(":")
    model: type[Params] = getattr(import_module(module), attribute)
    return model
