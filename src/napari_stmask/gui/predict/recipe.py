"""A prediction as a script or a command line that repeats it; no Qt."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ...core.errors import ParameterError
from ...core.params import Params
from ...core.provenance import PLACEHOLDER, flags_of
from ...core.section import Section
from ...models.spahgc.params import FREE
from ...prediction_checks import PATIENT, patients_of
from .request import Request

__all__ = ["as_command", "as_python"]


def as_python(
    method: str, request: Request, params: Params, outlines: Sequence[NDArray[Any]] = ()
) -> str:
    """A script that makes the prediction.

    Parameters
    ----------
    method
        Name of the method.
    request
        What is asked; sections that have no file become placeholders.
    params
        Complete parameters.
    outlines
        (m, 2) vertices of each shape that is learnt from, where ``request.learn`` is given.
    """
    lines = ["import napari_stmask as stm"]
    if request.learn is not None:
        lines.append("from napari_stmask.features.regions import inside_polygons")
    lines += ["", *_reading("target", request.target)]
    given = ["target"]
    if request.references:
        names = [f"reference{i + 1}" for i in range(len(request.references))]
        for name, section in zip(names, request.references, strict=True):
            lines += _reading(name, section)
        given.append(f"[{', '.join(names)}]")
    values = _values(request, params)
    if request.learn is not None:
        drawn = [outline.round(3).tolist() for outline in outlines]
        lines.append(f"outlines = {drawn!r}")
        given.append("learn=inside_polygons(target.coords, outlines)")
        values["gap"] = request.gap
    if request.pitch is not None:
        values["pitch"] = request.pitch
    given += [f"{name}={value!r}" for name, value in ({"method": method} | values).items()]
    lines += ["found = stm.predict(", *(f"    {argument}," for argument in given), ")"]
    return "\n".join([*lines, 'stm.write(found.section, "predicted.h5ad")', ""])


def as_command(
    method: str, request: Request, params: Params, stored: Mapping[str, str] | None = None
) -> str:
    """The command line that makes the prediction.

    Parameters
    ----------
    method, request, params
        As in `as_python`.
    stored
        Name of a section -> patient as its file says; by default as ``request`` says.

    Raises
    ------
    ParameterError
        If it has no command: a drawn region, patients typed by hand, sections read differently.
    """
    if request.learn is not None:
        raise ParameterError("A drawn region has no command", "copy it as Python")
    sections = [request.target, *request.references]
    known = dict(zip((s.name for s in sections), patients_of(sections), strict=True))
    if stored is not None and any(stored.get(name, "") != who for name, who in known.items()):
        raise ParameterError(
            "The command line takes patients from the files, and others were typed here",
            f"copy it as Python, or write them into the column {PATIENT} of the files",
        )
    reading = [{k: v for k, v in s.reading.items() if k != "image"} for s in sections]
    if any(one != reading[0] for one in reading):
        raise ParameterError(
            "The sections were read with different options, which one command cannot say",
            "copy it as Python",
        )
    parts = ["napari-stmask", "predict", method, _path(request.target)]
    for section in request.references:
        parts += ["--reference", _path(section)]
    values = _values(request, params) | ({"grid": request.pitch} if request.pitch else {})
    for name, value in (values | reading[0]).items():
        parts += flags_of(name, value)
    return shlex.join([*parts, "--out", "predicted.h5ad"])


def _values(request: Request, params: Params) -> dict[str, Any]:
    """Parameters that count; a trained model brings the others."""
    if request.model is not None:
        return {"model": request.model} | params.model_dump(include=set(FREE))
    return {"preset": "defaults"} | params.model_dump(exclude_defaults=True)


def _reading(name: str, section: Section) -> list[str]:
    options = "".join(f", {key}={value!r}" for key, value in section.reading.items())
    read = PLACEHOLDER
    if section.source:
        read = f"stm.read({section.source!r}, name={section.name!r}{options})"
    lines = [f"{name} = {read}"]
    (patient,) = patients_of([section])
    if patient:
        lines.append(f"{name}.adata.obs[{PATIENT!r}] = {patient!r}")
    return lines


def _path(section: Section) -> str:
    path, image = section.source or "PATH", section.reading.get("image")
    return path if image is None else f"{path}::{image}"
