"""The commands ``integrate METHOD`` and ``align``: several sections as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import typer

from .cli import emit
from .cli_analysis.job import aligned, plain
from .cli_options import Baselines, Json, Key, Model, On, ParamsFile, SaveModel
from .cli_reading import with_reading
from .cli_run import read_json, read_params, report_lines, summary, watch, with_parameters
from .core.errors import FileFormatError, OutputError, ParameterError
from .core.joint import JointParams
from .core.section import Section

__all__ = ["register"]

_SUMMARY = "Run a method over several sections as one."
_Paths = Annotated[list[Path], typer.Argument(help="Sections: folders or files, in their order.")]


def register(app: typer.Typer) -> None:
    """Add both commands, with one command per method that takes several sections."""
    from . import models

    group = typer.Typer(no_args_is_help=True, help=_SUMMARY)
    for name in models.integrating():
        command = with_parameters(name, _fixed, _integrate, also=(JointParams,))
        group.command(name, help=_SUMMARY)(command)
    app.add_typer(group, name="integrate")
    app.command()(with_reading(align))


def _fixed(
    path: _Paths,
    out: Annotated[
        Path | None, typer.Option(help="File for the joined section; its suffix decides.")
    ] = None,
    each: Annotated[
        Path | None, typer.Option(help="Folder for the single sections, as NAME.h5ad.")
    ] = None,
    joint: Annotated[
        Path | None, typer.Option(help="JSON file with how sections go together, or a record.")
    ] = None,
    joint_preset: Annotated[
        str | None, typer.Option(help="separate (default), serial, adjoining or paper.")
    ] = None,
    transforms: Annotated[
        Path | None, typer.Option(help="JSON file with a 3 x 3 matrix for each, as align writes.")
    ] = None,
    gaps_um: Annotated[
        str | None, typer.Option(help="Distances between serial sections, such as 10,300,10.")
    ] = None,
    accept_poor: Annotated[
        bool, typer.Option("--accept-poor", help="Go on with an alignment that is doubtful.")
    ] = False,
    preset: Annotated[
        str | None, typer.Option(help="several (default), paper, defaults or a platform.")
    ] = None,
    params: ParamsFile = None,
    key: Key = None,
    model: Model = None,
    save_model: SaveModel = None,
    truth: Annotated[
        str | None, typer.Option(help="Column of obs to compare the domains with.")
    ] = None,
    scores: Annotated[bool, typer.Option(help="Score how the sections mix.")] = True,
    baselines: Baselines = True,
    on: On = None,
    json_out: Json = False,
) -> None:
    """Options that every method has; only the signature is used."""


def _integrate(
    method: str,
    *,
    path: list[Path],
    out: Path | None,
    each: Path | None,
    joint: Path | None,
    joint_preset: str | None,
    transforms: Path | None,
    gaps_um: str | None,
    params: Path | None,
    preset: str | None,
    save_model: Path | None,
    truth: str | None,
    reading: dict[str, Any],
    key: str | None,
    json_out: bool,
    values: dict[str, Any],
    **options: Any,
) -> None:
    from .api import save_model as store_model
    from .integration import iter_integrate, split_values
    from .io.atomic import check_target
    from .io.write import check_writable, write

    if params is not None and preset is not None:
        raise ParameterError("--params and --preset were both given", "give one of them")
    # Before the work, not after it.
    if out is not None:
        check_writable(out)
    if save_model is not None:
        check_target(save_model)
    of_joint, of_method = split_values(values)
    sections = _sections(path, reading)
    files = _files(each, sections)
    if truth is not None and any(truth not in s.adata.obs for s in sections):
        raise ParameterError(f"not every section has a column '{truth}'", "name a common column")
    found = watch(
        iter_integrate(
            method,
            sections,
            joint=_joint(joint, joint_preset, of_joint),
            transforms=None if transforms is None else _matrices(transforms),
            gaps_um=None if gaps_um is None else _numbers(gaps_um),
            preset="defaults" if params else preset or "several",
            key_added=key,
            **options,
            **((read_params(params, method) if params else {}) | of_method),
        )
    )
    if out is not None:
        write(found.joined, out)
    for section, file in zip(sections, files, strict=True):
        if file is not None:
            write(section, file)
    if save_model is not None:
        store_model(found.result, save_model)
    facts = summary(found.result) | {"out": None if out is None else str(out)}
    joint_facts = found.result.record["joint"]
    facts |= {"joint": joint_facts, "composition": plain(_named(found.composition))}
    lines = report_lines(facts)
    for s, a in zip(joint_facts["sections"], joint_facts["alignments"], strict=False):
        lines.append(f"{s}: {_fit(a)}")
    if len(found.table):
        lines += ["", *aligned(_named(found.table))]
    if truth is not None:
        against = _named(found.scores(truth))
        facts["truth"] = plain(against)
        lines += ["", *aligned(against)]
    emit(facts, json_out, lines)


def align(
    path: _Paths,
    *,
    method: Annotated[
        Literal["outline", "histology"], typer.Option(help="What is brought to lie on another.")
    ] = "outline",
    flip: Annotated[
        Literal["auto", "never"], typer.Option(help="Whether a section may be mirrored.")
    ] = "auto",
    reference: Annotated[int, typer.Option(help="Number, from 1, of the section that stays.")] = 1,
    use_expression: Annotated[
        bool, typer.Option(help="Let expression choose among the poses that fit.")
    ] = True,
    max_residual: Annotated[
        float, typer.Option(help="Residual, in distances between spots, from which it is doubtful.")
    ] = 0.5,
    out: Annotated[
        Path | None, typer.Option(help="JSON file to write, for --transforms of integrate.")
    ] = None,
    reading: dict[str, Any],
    json_out: Json = False,
) -> None:
    """Align serial sections and say how well they fit."""
    from .features.alignment import align_sections
    from .integration import alignment_facts
    from .io.atomic import atomic_path, check_target

    if out is not None:
        check_target(out)
    sections = _sections(path, reading)
    if not 1 <= reference <= len(sections):
        raise ParameterError(
            f"--reference is {reference}", f"give a number from 1 to {len(sections)}"
        )
    found = watch(
        align_sections(
            sections,
            method=method,
            flip=flip,
            reference=reference - 1,
            use_expression=use_expression,
            max_residual=max_residual,
        )
    )
    facts: dict[str, Any] = {
        "alignments": alignment_facts(found),
        "sections": [s.name for s in sections],
    }
    if out is not None:
        with atomic_path(out) as temporary:
            temporary.write_text(json.dumps(facts, indent=2), encoding="utf-8")
    lines = [f"{s}: {_fit(a)}" for s, a in zip(facts["sections"], facts["alignments"], strict=True)]
    if out is not None:
        lines.append(f"written to {out}")
    emit(facts, json_out, lines)


def _sections(path: list[Path], reading: dict[str, Any]) -> list[Section]:
    from .io.read import read_sections

    sections: list[Section] = []
    for one in path:
        sections += read_sections(one, **reading)
    if len(sections) < 2:
        raise ParameterError(f"{len(sections)} sections were given", "give two or more")
    return sections


def _files(each: Path | None, sections: list[Section]) -> list[Path | None]:
    """A file for every section; known before the work that it can be written."""
    from .core.joining import section_labels
    from .io.write import check_writable

    if each is None:
        return [None] * len(sections)
    try:
        each.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{each} cannot be made ({error.strerror})", "give a folder") from None
    files = [each / f"{label.replace('/', '_')}.h5ad" for label in section_labels(sections)]
    for file, section in zip(files, sections, strict=True):
        check_writable(file, section)
    return list(files)


def _joint(path: Path | None, preset: str | None, values: dict[str, Any]) -> JointParams:
    """How the sections go together: a file or a preset, with single values on top."""
    if path is not None and preset is not None:
        raise ParameterError("--joint and --joint-preset were both given", "give one of them")
    if path is None:
        return JointParams.preset(preset or "separate", **values)
    data = _json(path)
    if isinstance(data, dict) and isinstance(data.get("joint"), dict):  # the record of a run
        data = data["joint"].get("settings", data["joint"])
    if not isinstance(data, dict):
        raise FileFormatError(f"{path} holds no JSON object", 'give {"name": value, ...}')
    return JointParams.checked(**(data | values))


def _matrices(path: Path) -> list[Any]:
    """Matrices of a JSON file: a bare list, or what ``align`` or a record holds."""
    data = _json(path)
    if isinstance(data, dict):
        record = data.get("joint")
        data = (record if isinstance(record, dict) else data).get("alignments")
    rows = data if isinstance(data, list) else []
    rows = [one.get("matrix") if isinstance(one, dict) else one for one in rows]
    try:
        found = [np.asarray(row, dtype=np.float64) for row in rows]
    except (TypeError, ValueError):
        found = []
    if not found or any(m.shape != (3, 3) for m in found):
        raise FileFormatError(
            f"{path} holds no list of 3 x 3 matrices", "give a file that align wrote"
        )
    return found


def _json(path: Path) -> Any:
    return read_json(path, missing="give a JSON file", wrong="give a JSON file")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ParameterError(
            f"--gaps-um is '{text}'", "give numbers with commas, such as 10,300,10"
        ) from None


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """The index as a first column."""
    return table.reset_index(names=str(table.index.name or ""))


def _fit(alignment: dict[str, Any]) -> str:
    """One alignment in words."""
    if alignment["residual"] is None:
        text = str(alignment["method"])
    else:
        text = f"{alignment['method']}, residual {alignment['residual']:.1f}"
        if alignment["overlap"] is not None:
            text += f", overlap {alignment['overlap']:.0%}"
    if alignment["mirrored"]:
        text += ", mirrored"
    return f"{text}. {alignment['problem']}".rstrip(". ") + "."
