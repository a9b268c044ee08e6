"""Regions of a file as a script or a command that reads them again; no Qt."""

from __future__ import annotations

import shlex

from ...core.provenance import PLACEHOLDER, flags_of
from ...core.section import Section

__all__ = ["as_command", "as_python"]


def as_python(section: Section, path: str, column: str) -> str:
    """A script that annotates the section with the file."""
    options = "".join(f", {name}={value!r}" for name, value in section.reading.items())
    read = f"stm.read({section.source!r}{options})" if section.source else PLACEHOLDER
    return (
        "import napari_stmask as stm\n\n"
        f"section = {read}\n"
        f"stm.annotate(section, {path!r}, column={column!r})\n"
    )


def as_command(section: Section, path: str, column: str, out: str = "annotated.h5ad") -> str:
    """The command that writes the section with the regions of the file."""
    parts = ["napari-stmask", "annotate", section.source or "PATH", path, "--name", column]
    for name, value in section.reading.items():
        parts += flags_of(name, value)
    return shlex.join([*parts, "--out", out])
