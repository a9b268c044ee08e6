"""An integration as a script or a command line that repeats it; no Qt."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import ParameterError
from ...core.joint import JointParams
from ...core.params import Params
from ...core.provenance import flags_of
from ...core.section import Section
from ...features.alignment import Alignment

__all__ = ["Recipe", "as_command", "as_python"]

_POSES = "poses.json"


@dataclass(frozen=True)
class Recipe:
    """What is asked for.

    Attributes
    ----------
    method, key
        Of the run.
    sections, labels
        In their order; every section was read from a file.
    joint, params
        Complete settings.
    poses
        Where sections lie, if set by hand; None where a run finds it.
    gaps
        Between serial sections; None for the usual spacing.
    accept_poor
        Whether a doubtful alignment is used.
    """

    method: str
    key: str
    sections: Sequence[Section]
    labels: Sequence[str]
    joint: JointParams
    params: Params
    poses: Sequence[Alignment] | None = None
    gaps: Sequence[float] | None = None
    accept_poor: bool = False

    def joint_values(self) -> dict[str, Any]:
        """Settings of how sections go together that are not the usual ones."""
        return self.joint.model_dump(exclude_defaults=True)


def as_python(recipe: Recipe) -> str:
    """A script that integrates the sections and writes each."""
    lines = ["import napari_stmask as stm", "", "sections = ["]
    for section, label in zip(recipe.sections, recipe.labels, strict=True):
        lines.append(f"    {_reading(section, label)}")
    lines.append("]")
    values: dict[str, Any] = dict(recipe.joint_values())
    if recipe.poses is not None:
        values["transforms"] = [np.round(one.matrix, 6).tolist() for one in recipe.poses]
    if recipe.gaps is not None:
        values["gaps_um"] = list(recipe.gaps)
    if recipe.accept_poor:
        values["accept_poor"] = True
    values |= {"preset": "defaults"} | recipe.params.model_dump(exclude_defaults=True)
    if recipe.key != recipe.method:
        values["key_added"] = recipe.key
    lines += ["found = stm.integrate(", f"    {recipe.method!r},", "    sections,"]
    lines += [f"    {name}={value!r}," for name, value in values.items()]
    lines += [
        ")",
        "for section in found.sections:",
        '    stm.write(section, f"{section.name}.h5ad")',
    ]
    return "\n".join([*lines, ""])


def as_command(recipe: Recipe) -> str:
    """The command line that integrates the sections and writes each.

    Raises
    ------
    ParameterError
        If the sections were read with different options.
    """
    reading = [dict(section.reading) for section in recipe.sections]
    if any(one != reading[0] for one in reading):
        raise ParameterError(
            "The sections were read with different options, which one command cannot say",
            "copy it as Python",
        )
    parts = ["napari-stmask", "integrate", recipe.method]
    parts += [str(section.source) for section in recipe.sections]
    for name, value in recipe.joint_values().items():
        parts += flags_of(name, value)
    if recipe.poses is not None:
        parts += ["--transforms", _POSES]
    if recipe.gaps is not None:
        parts += ["--gaps-um", ",".join(f"{gap:g}" for gap in recipe.gaps)]
    if recipe.accept_poor:
        parts.append("--accept-poor")
    values = {"preset": "defaults"} | recipe.params.model_dump(exclude_defaults=True)
    for name, value in (values | reading[0]).items():
        parts += flags_of(name, value)
    if recipe.key != recipe.method:
        parts += ["--key", recipe.key]
    line = shlex.join([*parts, "--each", "integrated"])
    if recipe.poses is None:
        return line
    return f"# Save the poses as {_POSES} first: they were set in the window.\n{line}"


def _reading(section: Section, label: str) -> str:
    options = "".join(f", {key}={value!r}" for key, value in section.reading.items())
    return f"stm.read({section.source!r}, name={label!r}{options}),"
