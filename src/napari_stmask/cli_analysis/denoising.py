"""The command ``denoising``: a method and its controls on molecules that they have not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..cli_reading import with_reading
from .job import Json, Out, aligned, check_table, plain, save_table, watched

if TYPE_CHECKING:
    from ..core.params import DomainParams

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
    from ..cli import emit, read_one
    from ..scoring import denoising_steps

    if out is not None:
        check_table(out)
    section = read_one(path, reading)
    chosen = params(method, platform=section.platform, preset=preset, seed=seed)
    table = watched(denoising_steps(method, section, cast("DomainParams", chosen), share=share))
    lines = aligned(table)
    lines.append("Pearson correlation of each gene with the molecules that were held out.")
    if out is not None:
        save_table(table, out)
        lines.append(f"written to {out}")
    emit(plain({"scores": table, "out": None if out is None else str(out)}), json_out, lines)
