"""A comparison as a script or a command line that repeats it; no Qt."""

from __future__ import annotations

import shlex
from contextlib import suppress

from ...core.errors import StmaskError
from ...core.provenance import PLACEHOLDER, flags_of
from ...core.section import Section
from ...recipes import command_of, python_of
from ..model import Item
from .choices import Choice

__all__ = ["command", "python"]

_FILE = "result.h5ad"
_SAVE = f"# Save the section with its results as {_FILE} first."


def python(item: Item, first: Choice, second: Choice) -> str:
    """A script that makes the results again where it can, and compares.

    Results that were edited, or whose runs have no record, are read from a saved file.
    """
    lines = [
        f"found = stm.compare(section, {first.column!r}, {second.column!r})",
        "print(found.scores)",
        "print(found.table)",
    ]
    return "\n".join([*_made(item, first, second), "", *lines, ""])


def command(item: Item, first: Choice, second: Choice) -> str:
    """The command lines that make the one result, and compare; see `python`."""
    section = item.section
    source, reading, lines = _FILE, {}, [_SAVE]
    keys = _keys(first, second)
    if not keys:
        source, reading, lines = section.source or "PATH", section.reading, []
    elif len(keys) == 1 and not _edited(item, keys):
        with suppress(StmaskError, ValueError, KeyError):
            lines = [command_of(section, keys[0])]
    parts = ["napari-stmask", "compare", source, "--first", first.column]
    parts += ["--second", second.column]
    for name, value in reading.items():
        parts += flags_of(name, value)
    return "\n".join([*lines, shlex.join(parts)])


def _made(item: Item, first: Choice, second: Choice) -> list[str]:
    section, keys = item.section, _keys(first, second)
    if not keys:
        return ["import napari_stmask as stm", "", f"section = {_opened(section)}"]
    if not _edited(item, keys):
        try:
            runs = [python_of(section, key).rstrip("\n").splitlines() for key in keys]
        except (StmaskError, ValueError, KeyError):
            pass
        else:
            # Every script begins with the same three lines; they read the section.
            return [*runs[0], *(line for run in runs[1:] for line in run[3:])]
    return [_SAVE, "import napari_stmask as stm", "", f"section = stm.read({_FILE!r})"]


def _keys(first: Choice, second: Choice) -> list[str]:
    return list(dict.fromkeys(c.key for c in (first, second) if c.key))


def _edited(item: Item, keys: list[str]) -> bool:
    return any(item.domains[key].can_undo for key in keys)


def _opened(section: Section) -> str:
    if not section.source:
        return PLACEHOLDER
    options = "".join(f", {k}={v!r}" for k, v in section.reading.items())
    return f"stm.read({section.source!r}{options})"
