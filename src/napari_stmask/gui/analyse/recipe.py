"""An analysis as a script or a command line that repeats it; no Qt."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from ...core.errors import StmaskError
from ...core.provenance import PLACEHOLDER, flags_of
from ...core.provenance import as_command as run_command
from ...core.provenance import as_python as run_python
from ...core.section import Section
from ...models import params_of
from ..model import DomainSet

__all__ = ["command_of", "python_of"]

_EDITED = "# The domains were edited in the window: save the section, and read that file instead."


def python_of(
    section: Section, domains: DomainSet, imports: Sequence[str], lines: Sequence[str]
) -> str:
    """A script that reads the section, makes the run again where no file has it, and asks.

    Parameters
    ----------
    section
        That is asked about.
    domains
        Its result, ``domains`` in ``lines``.
    imports
        Further lines at the top.
    lines
        Python after ``domains = section.adata.obs[...]``.
    """
    run = _run_of(domains)
    if run is None:
        options = "".join(f", {k}={v!r}" for k, v in section.reading.items())
        source = f"stm.read({section.source!r}{options})" if section.source else PLACEHOLDER
        start = f"import napari_stmask as stm\n\nsection = {source}"
    else:
        method, params = run
        start = run_python(
            method, section.source, params, key=domains.key, reading=section.reading
        ).rstrip("\n")
    body = start.splitlines()
    top = [body[0], *imports]
    note = [_EDITED] if domains.can_undo else []
    column = f"domains = section.adata.obs[{domains.column!r}]"
    return "\n".join([*top, *body[1:], *note, column, *lines, ""])


def command_of(
    section: Section,
    domains: DomainSet,
    command: Sequence[str],
    flags: Sequence[tuple[str, Any]],
) -> str:
    """The command lines that ask; the first one makes the run where no file has it.

    Parameters
    ----------
    section, domains
        What is asked about.
    command
        Words after ``napari-stmask``.
    flags
        Option and value.
    """
    run = _run_of(domains)
    lines = [_EDITED] if domains.can_undo else []
    path, reading = section.source or "PATH", dict(section.reading)
    if run is not None:
        method, params = run
        lines.append(
            run_command(
                method, section.source, params, key=domains.key, reading=reading, out="result.h5ad"
            )
        )
        path, reading = "result.h5ad", {}
    parts = ["napari-stmask", *command, path, "--key", domains.key, "--domains", domains.column]
    for name, value in (*flags, *reading.items()):
        parts += flags_of(name, value)
    return "\n".join([*lines, shlex.join(parts)])


def _run_of(domains: DomainSet) -> tuple[str, Any] | None:
    """Method and parameters of a run that was made in this window; None where a file has it."""
    if domains.result is None:
        return None
    try:
        method = str(domains.record["method"])
        return method, params_of(method).checked(**domains.record.get("params", {}))
    except (KeyError, StmaskError):
        return None
