"""The command ``denoising``: a method and its controls on molecules that they have not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..cli_reading import with_reading
from ..core.errors import OutputError, ParameterError
from .job import Json, Out, aligned, plain, watched

__all__ = ["denoising"]


@with_reading
def denoising(
    method: Annotated[str, typer.Argument(help="Method that denoises genes.")],
    path: Annotated[Path, typer.Argument(help="Section: a folder or file.")],
    *,
    reading: dict[str, Any],
    preset: Annotated[str, typer.Option(help="Preset of the parameters.")] = "recommended",
    share: Annotated[
        float, typer.Option(min=0.05, max=0.95, help="Part of the molecules that is seen.")
    ] = 0.8,
    seed: Annotated[int, typer.Option(min=0, help="Of the division and the training.")] = 0,
    out: Out = None,
    json_out: Json = False,
) -> None:
    """How well denoised genes tell molecules that were held out; needs no truth."""
    from ..api import params
    from ..cli import emit
    from ..io.atomic import atomic_path, check_target
    from ..io.read import read_sections
    from ..scoring import denoising_steps

    if out is not None:
        if out.suffix.lower() != ".csv":
            raise OutputError(f"{out} is no table", "give a name that ends in .csv")
        check_target(out)
    sections = read_sections(path, **reading)
    if len(sections) != 1:
        raise ParameterError(f"{path} holds {len(sections)} sections", "give one of them")
    chosen = params(method, platform=sections[0].platform, preset=preset, seed=seed)
    table = watched(denoising_steps(method, sections[0], chosen, share=share))
    if out is not None:
        with atomic_path(out) as temporary:
            table.to_csv(temporary, index=False)
    lines = aligned(table)
    lines.append("Pearson correlation of each gene with the molecules that were held out.")
    if out is not None:
        lines.append(f"written to {out}")
    emit(plain({"scores": table, "out": None if out is None else str(out)}), json_out, lines)
