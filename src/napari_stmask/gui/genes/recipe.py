"""A question to the genes as a script or a command line that repeats it; no Qt."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...core.provenance import PLACEHOLDER, flags_of, read_record
from ...core.provenance import as_command as run_command
from ...core.section import Section
from ...models import params_of
from .known import GeneRun

__all__ = ["Recipe", "as_command", "as_python", "file_of"]

_DRAIN = "from napari_stmask.core.progress import drain"


@dataclass(frozen=True)
class Recipe:
    """What is asked of a run.

    Attributes
    ----------
    question
        Subcommand of ``napari-stmask genes``.
    lines
        Python after ``genes = stm.genes_of(section, key)``.
    flags
        Options of the subcommand.
    others
        Name in Python -> another section that the question needs, and its run, or None.
    option
        Of the command line, which names the file of that other section.
    imports
        Further lines at the top.
    note
        What has to be done first, for both forms.
    """

    question: str
    lines: Sequence[str]
    flags: Sequence[tuple[str, Any]] = ()
    other: tuple[str, Section, GeneRun | None] | None = None
    option: str = ""
    imports: Sequence[str] = ()
    note: str = ""


def as_python(run: GeneRun, recipe: Recipe, *, made_here: bool) -> str:
    """A script that asks.

    Parameters
    ----------
    run
        Whose genes.
    recipe
        What.
    made_here
        Whether the run was made in this window, so that the file has no answers of it yet.
    """
    top = ["import napari_stmask as stm"]
    if any("drain(" in line for line in recipe.lines):
        top.append(_DRAIN)
    lines = [*top, *recipe.imports, ""]
    if recipe.note:
        lines.append(f"# {recipe.note}")
    lines += [_reading("section", run.section)]
    if made_here:
        lines += _running("section", run)
    lines.append(f"genes = stm.genes_of(section, {run.key!r})")
    if recipe.other is not None:
        name, section, its_run = recipe.other
        lines.append(_reading(name, section))
        if its_run is not None:
            if made_here:
                lines += _running(name, its_run)
            lines.append(f"others = stm.genes_of({name}, {its_run.key!r})")
    return "\n".join([*lines, *recipe.lines, ""])


def as_command(run: GeneRun, recipe: Recipe, *, made_here: bool) -> str:
    """The command lines that ask; the first one makes the run where the file lacks it."""
    lines = [f"# {recipe.note}"] if recipe.note else []
    path, reading = file_of(run.section), dict(run.section.reading)
    if made_here:
        lines.append(_run_line(run, "result.h5ad"))
        path, reading = "result.h5ad", {}
    parts = ["napari-stmask", "genes", recipe.question, path]
    if recipe.other is not None:
        _, section, its_run = recipe.other
        other = file_of(section)
        if its_run is not None and made_here:
            lines.append(_run_line(its_run, "other.h5ad"))
            other = "other.h5ad"
        parts += [recipe.option, other]
        if its_run is not None:
            parts += ["--other-key", its_run.key]
    for name, value in (*recipe.flags, *reading.items()):
        parts += flags_of(name, value)
    lines.append(shlex.join([*parts, "--key", run.key]))
    return "\n".join(lines)


def file_of(section: Section) -> str:
    """Its path, or a word that stands for it."""
    return section.source or "PATH"


def _reading(name: str, section: Section) -> str:
    options = "".join(f", {key}={value!r}" for key, value in section.reading.items())
    read = f"stm.read({section.source!r}{options})" if section.source else PLACEHOLDER
    return f"{name} = {read}"


def _record(run: GeneRun) -> tuple[str, Any]:
    record = read_record(run.section.adata, run.key)
    method = str(record["method"])
    return method, params_of(method).checked(**record.get("params", {}))


def _running(name: str, run: GeneRun) -> list[str]:
    method, params = _record(run)
    values = {"preset": "defaults"} | params.model_dump(exclude_defaults=True)
    if run.key != method:
        values["key_added"] = run.key
    inner = "".join(f"    {key}={value!r},\n" for key, value in values.items())
    return [f"stm.run(\n    {method!r},\n    {name},\n{inner})"]


def _run_line(run: GeneRun, out: str) -> str:
    method, params = _record(run)
    section = run.section
    return run_command(
        method, section.source, params, key=run.key, reading=section.reading, out=out
    )
