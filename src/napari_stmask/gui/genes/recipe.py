"""A question to the genes as a script or a command line that repeats it; no Qt."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
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
    other
        Name in Python of another section that the question needs, the section, and its run, or
        None.
    option
        Of the command line, which names the file of that other section.
    imports
        Further lines at the top.
    saved
        File that the section has to be saved to first, because the question needs what was made
        in the window.
    """

    question: str
    lines: Sequence[str]
    flags: Sequence[tuple[str, Any]] = ()
    other: tuple[str, Section, GeneRun | None] | None = None
    option: str = ""
    imports: Sequence[str] = ()
    saved: str = ""


def as_python(run: GeneRun, recipe: Recipe, *, unsaved: Collection[GeneRun]) -> str:
    """A script that asks.

    Parameters
    ----------
    run
        Whose genes.
    recipe
        What.
    unsaved
        Runs that were made in this window, so that the file has no answers of them yet.
    """
    top = ["import napari_stmask as stm"]
    if any("drain(" in line for line in recipe.lines):
        top.append(_DRAIN)
    lines = [*top, *recipe.imports, ""]
    if recipe.saved:
        lines += [_saving(recipe), f"section = stm.read({recipe.saved!r})"]
    else:
        lines += _with_run("section", run, unsaved)
    lines.append(f"genes = stm.genes_of(section, {run.key!r})")
    if recipe.other is not None:
        name, section, its_run = recipe.other
        if its_run is None:
            lines.append(_reading(name, section))
        else:
            lines += _with_run(name, its_run, unsaved)
            lines.append(f"others = stm.genes_of({name}, {its_run.key!r})")
    return "\n".join([*lines, *recipe.lines, ""])


def as_command(run: GeneRun, recipe: Recipe, *, unsaved: Collection[GeneRun]) -> str:
    """The command lines that ask; the first one makes the run where the file lacks it."""
    lines = [_saving(recipe)] if recipe.saved else []
    path, reading = file_of(run.section), dict(run.section.reading)
    if recipe.saved:
        path, reading = recipe.saved, {}
    elif run in unsaved:
        lines.append(_run_line(run, "result.h5ad"))
        path, reading = "result.h5ad", {}
    parts = ["napari-stmask", "genes", recipe.question, path]
    if recipe.other is not None:
        _, section, its_run = recipe.other
        other = file_of(section)
        if its_run is not None and its_run in unsaved:
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


def _saving(recipe: Recipe) -> str:
    return f"# Save the section as {recipe.saved} first: the file needs what was drawn."


def _with_run(name: str, run: GeneRun, unsaved: Collection[GeneRun]) -> list[str]:
    """Lines that read a section, and make its run again where no file has it."""
    lines = [_reading(name, run.section)]
    return lines + _running(name, run) if run in unsaved else lines


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
