"""How a stored result was made, as a script and as commands, also where it was divided later."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from .core.errors import ParameterError
from .core.provenance import as_command, as_python, flags_of, read_record, records
from .core.section import Section
from .models import params_of

__all__ = ["command_of", "python_of"]

_FILE = "result.h5ad"


def python_of(
    section: Section,
    key: str,
    *,
    then: Mapping[str, Any] | None = None,
    saved: bool = False,
) -> str:
    """A script that repeats the run ``key`` of a section, from reading it on.

    Parameters
    ----------
    section, key
        With the record of the run.
    then
        One more step: ``call``, ``key`` and arguments of a function of the package.
    saved
        Begin with the section as it was written to ``result.h5ad`` instead of with the run:
        names that were given and regions that were drawn by hand are nowhere else.

    Raises
    ------
    ParameterError
        If there is no record of the run, or it was of several sections.
    """
    text = f"import napari_stmask as stm\n\nsection = stm.read({_FILE!r})\n"
    steps = [dict(then)] if then else []
    if not saved:
        before, base = _history(section, key)
        steps, text = [*steps, *before], _base(as_python, section, base)
    for how in reversed(steps):
        given = {k: v for k, v in how.items() if k not in ("call", "key", "within")}
        within = [repr(_one(how["within"]))] if "within" in how else []
        arguments = [repr(how["key"]), *within, *(f"{k}={v!r}" for k, v in given.items())]
        text += f"result = stm.{how['call']}(section, {', '.join(arguments)})\n"
    return text


def command_of(
    section: Section,
    key: str,
    *,
    then: Mapping[str, Any] | None = None,
    saved: bool = False,
) -> str:
    """The commands that repeat the run ``key`` of a section, one a line; see `python_of`."""
    steps, lines = [dict(then)] if then else [], []
    if not saved:
        before, base = _history(section, key)
        steps, lines = [*steps, *before], [_base(as_command, section, base)]
    for how in reversed(steps):
        parts = ["napari-stmask", how["call"], _FILE, "--key", how["key"]]
        for name in how.get("within", ()):
            parts += ["--within", name]
        for name, value in how.items():
            if name in ("call", "key", "within"):
                continue
            if name == "n_domains" and value is None:
                parts.append("--auto")
            elif value is not None:
                # A reader's option has the name of the column.
                parts += flags_of("regions" if name == "column" else name, value)
        lines.append(shlex.join([*parts, "--out", _FILE]))
    return "\n".join(lines)


def _history(section: Section, key: str) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    """What was done to the answer of a run, last first, and the record of that run."""
    if key not in records(section.adata):
        raise ParameterError("This result has no record of its run", "run the method again")
    record: Mapping[str, Any] = read_record(section.adata, key)
    steps = []
    while "derived" in record:
        steps.append(dict(record["derived"]) | {"key_added": key})
        key, record = (
            str(record["derived"]["key"]),
            {**record["parent"], "method": record["method"]},
        )
    if "joint" in record:
        raise ParameterError(
            "This result is of several sections", "copy it in Integrate sections, tab Run"
        )
    if "params" not in record:
        raise ParameterError("This result has no record of its run", "run the method again")
    return steps, {**record, "key": key}


def _base(write: Callable[..., str], section: Section, record: Mapping[str, Any]) -> str:
    method = str(record["method"])
    params = params_of(method).checked(**record["params"])
    return write(method, section.source, params, key=record["key"], reading=section.reading)


def _one(names: list[str]) -> str | list[str]:
    return names[0] if len(names) == 1 else names
